-module(event_pusher_push_tables_SUITE).
-moduledoc "The tables of registrations, which are the server's own, in Mnesia, PostgreSQL and MariaDB; what they outlive, and what they do not take.".

-behaviour(ct_suite).

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
%% Mnesia
-export([the_table_is_that_of_the_server/1,
         a_record_is_what_the_server_writes/1,
         a_record_that_the_server_wrote_is_found/1,
         registrations_survive_a_restart_of_mnesia/1,
         registrations_survive_the_end_of_the_node/1,
         a_domain_can_be_removed_while_others_register/1,
         a_table_that_is_missing_is_an_error/1]).
%% Both databases
-export([a_row_is_what_the_server_writes/1,
         a_row_that_the_server_wrote_is_found/1,
         what_is_too_long_for_the_table_is_an_error/1,
         a_database_that_is_down_is_an_error_until_it_is_back/1,
         statements_are_prepared_once_for_all_starts/1,
         what_a_user_has_is_found_by_an_index/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other.localhost">>).
-define(BACKEND, mod_event_pusher_push_backend).
-define(PUSH, mod_event_pusher_push).
-define(WAIT, 30000).
-define(BOB, <<"bob@localhost">>).
-define(SERVICE, <<"push.localhost">>).
-define(MNESIA, [the_table_is_that_of_the_server,
                 a_record_is_what_the_server_writes,
                 a_record_that_the_server_wrote_is_found,
                 registrations_survive_a_restart_of_mnesia,
                 registrations_survive_the_end_of_the_node,
                 a_domain_can_be_removed_while_others_register,
                 a_table_that_is_missing_is_an_error]).
-define(DATABASES, [a_row_is_what_the_server_writes,
                    a_row_that_the_server_wrote_is_found,
                    what_is_too_long_for_the_table_is_an_error,
                    a_database_that_is_down_is_an_error_until_it_is_back,
                    statements_are_prepared_once_for_all_starts,
                    what_a_user_has_is_found_by_an_index]).

all() ->
    [{group, mnesia}, {group, pgsql}, {group, mysql}].

groups() ->
    [{mnesia, ?MNESIA}, {pgsql, ?DATABASES}, {mysql, ?DATABASES}].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    ok = rig:start_application(),
    Config.

end_per_suite(_Config) ->
    application:stop(event_pusher).

init_per_group(Store, Config) ->
    push_store:start(Store, Config).

end_per_group(_Store, Config) ->
    push_store:stop(Config).

init_per_testcase(_Case, Config) ->
    ok = push_store:start_host(Config),
    Config.

end_per_testcase(_Case, _Config) ->
    push_rig:stop_host().

%% Mnesia

%% Confirms what the server's own module would find.
the_table_is_that_of_the_server(_Config) ->
    Expected = [{type, bag}, {record_name, push_subscription},
                {attributes, [user_jid, pubsub_jid, pubsub_node, form]},
                {disc_copies, [node()]}, {ram_copies, []}, {disc_only_copies, []}, {index, []}],
    ?assertEqual(Expected, [{Item, mnesia:table_info(push_subscription, Item)}
                            || {Item, _} <- Expected]).

%% Confirms it with a tuple that is spelled out.
a_record_is_what_the_server_writes(_Config) ->
    ok = push_store:enable(<<"bob@localhost/phone">>, <<"u@push.localhost">>, <<"node">>,
                #{<<"a">> => <<"1">>}),
    ?assertEqual([{push_subscription, {<<"bob">>, <<"localhost">>},
                   {jid, <<"u">>, <<"push.localhost">>, <<>>}, <<"node">>, #{<<"a">> => <<"1">>}}],
                 ets:tab2list(push_subscription)).

%% Confirms that it can be found, replaced and disabled.
a_record_that_the_server_wrote_is_found(_Config) ->
    [ok = mnesia:dirty_write({push_subscription, {<<"bob">>, <<"localhost">>},
                              {jid, <<>>, <<"push.localhost">>, <<>>}, Node, Form})
     || {Node, Form} <- [{<<"n1">>, #{}}, {<<"n2">>, #{<<"a">> => <<"1">>}}]],
    ?assertEqual([{?SERVICE, <<"n1">>, #{}}, {?SERVICE, <<"n2">>, #{<<"a">> => <<"1">>}}],
                 push_store:registrations(?BOB)),
    ok = push_store:enable(?BOB, ?SERVICE, <<"n1">>, #{<<"b">> => <<"2">>}),
    ok = push_store:disable(?BOB, ?SERVICE, <<"n2">>),
    ?assertEqual([{?SERVICE, <<"n1">>, #{<<"b">> => <<"2">>}}], push_store:registrations(?BOB)).

%% Confirms it while the module runs and when it starts anew.
registrations_survive_a_restart_of_mnesia(Config) ->
    ok = push_store:enable(?BOB, ?SERVICE, <<"node">>, #{<<"a">> => <<"1">>}),
    Expected = push_store:registrations(?BOB),
    ok = restart_mnesia(Config),
    ?assertEqual(Expected, push_store:registrations(?BOB)),
    ok = host:stop(),
    ok = restart_mnesia(Config),
    ok = push_store:start_host(Config),
    ?assertEqual(Expected, push_store:registrations(?BOB)).

restart_mnesia(Config) ->
    ok = host_mnesia:stop(),
    push_rig:start_mnesia(Config).

%% Confirms it with nodes of their own, one after the other, in one folder.
registrations_survive_the_end_of_the_node(Config) ->
    Folder = filename:join(?config(priv_dir, Config), "another"),
    ok = filelib:ensure_path(Folder),
    Start = io_lib:format("push_rig:start_suite([{priv_dir, ~p}]), ok = push_rig:start_host(), ",
                          [Folder]),
    Form = #{<<"ż"/utf8>> => <<"😀"/utf8>>},
    Enable = io_lib:format("ok = ~s:enable(~w, ~w, ~w, ~w, ~w), init:stop().",
                           [?BACKEND, ?HT, push_store:jid(?BOB), push_store:jid(?SERVICE), <<"node">>, Form]),
    Print = io_lib:format("io:format(\"~~w.\", [push_rig:registrations(~w)]), init:stop().",
                          [?BOB]),
    ?assertEqual("", in_another_node([Start, Enable])),
    {ok, Tokens, _} = erl_scan:string(in_another_node([Start, Print])),
    ?assertEqual({ok, [{push_store:jid(?SERVICE), <<"node">>, Form}]}, erl_parse:parse_term(Tokens)).

%% What it prints. It has no name, so it knows of no other node.
in_another_node(Expressions) ->
    Folders = lists:usort([filename:absname(filename:dirname(code:which(Module)))
                           || Module <- [?MODULE, ?BACKEND, host, event_pusher]]),
    Args = ["-noinput", "-pa" | Folders] ++ ["-eval", lists:flatten(Expressions)],
    Port = open_port({spawn_executable, filename:join([code:root_dir(), "bin", "erl"])},
                     [{args, Args}, {env, [{"ERL_CRASH_DUMP_SECONDS", "0"}]}, exit_status,
                      stderr_to_stdout]),
    printed(Port, "").

printed(Port, Printed) ->
    receive
        {Port, {data, More}} -> printed(Port, Printed ++ More);
        {Port, {exit_status, 0}} -> Printed;
        {Port, {exit_status, Status}} -> ct:fail({exit_status, Status, Printed})
    after ?WAIT -> ct:fail({no_exit, Printed})
    end.

%% Confirms that others lose nothing, and that nobody waits for another forever.
a_domain_can_be_removed_while_others_register(_Config) ->
    User = fun(N, Domain) -> <<"user", (integer_to_binary(N))/binary, "@", Domain/binary>> end,
    Registrations = [{User(N, Domain), ?SERVICE, <<"node">>, #{}}
                     || N <- lists:seq(1, 1000), Domain <- [<<"example.org">>, <<"example.com">>]],
    Test = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> remove_until_told(<<"example.org">>, Test, 0) end),
    Results = push_store:in_parallel(4, fun push_store:enable/1, Registrations),
    Pid ! enough,
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> ?assertMatch({removed, N} when N > 0, Reason)
    after ?WAIT -> ct:fail(still_removing)
    end,
    ?assertEqual([ok], lists:usort(Results)),
    ok = ?BACKEND:remove_domain(?HT, <<"example.org">>),
    ?assertEqual(#{<<"example.com">> => 1000}, push_store:count_by_domain(mnesia, [])).

remove_until_told(Domain, Test, N) ->
    ok = ?BACKEND:remove_domain(?HT, Domain),
    receive enough -> exit({removed, N + 1}) after 0 -> remove_until_told(Domain, Test, N + 1) end.

%% Confirms it for each function, and that the next start makes a table again.
a_table_that_is_missing_is_an_error(Config) ->
    {atomic, ok} = mnesia:delete_table(push_subscription),
    [?assertMatch({error, {no_exists, _}}, Call()) || Call <- [fun get_services/0 | changes()]],
    ?assertExit({aborted, {no_exists, _}}, ?BACKEND:remove_domain(?HT, ?HT)),
    ok = host:stop(),
    ok = push_store:start_host(Config),
    ok = push_store:enable(?BOB, ?SERVICE, <<"node">>, #{}),
    ?assertEqual([{?SERVICE, <<"node">>}], push_store:places(?BOB)).

get_services() ->
    ?BACKEND:get_publish_services(?HT, push_store:jid(?BOB)).

changes() ->
    [fun() -> push_store:enable(?BOB, ?SERVICE, <<"node">>, #{}) end,
     fun() -> push_store:disable(?BOB) end,
     fun() -> push_store:disable(?BOB, ?SERVICE, undefined) end,
     fun() -> push_store:disable(?BOB, ?SERVICE, <<"node">>) end].

%% Databases

%% Confirms each column, in the order of the table, and that enabling again makes a row anew.
a_row_is_what_the_server_writes(Config) ->
    [begin
         Before = erlang:system_time(microsecond),
         ok = push_store:enable(<<"bob@localhost/phone">>, <<"u@push.localhost">>, <<"nodę"/utf8>>, Form),
         After = erlang:system_time(microsecond),
         [{Owner, Node, PubsubJid, Json, CreatedAt}] = push_store:sql(Config, ["SELECT * FROM ", push_store:table()]),
         ?assertEqual({<<"bob@localhost">>, <<"nodę"/utf8>>, <<"u@push.localhost">>},
                      {Owner, Node, PubsubJid}),
         ?assertEqual(Form, jiffy:decode(Json, [return_maps])),
         ?assert(Before =< CreatedAt andalso CreatedAt =< After)
     end || Form <- [#{}, #{<<"a">> => <<"\\\"😀"/utf8>>, <<>> => <<>>}]].

%% Confirms that it can be found, replaced and disabled.
a_row_that_the_server_wrote_is_found(Config) ->
    Row = fun(Node, Form) ->
        ["('bob@localhost', '", Node, "', 'push.localhost', '", Form, "', 1764100000123456)"]
    end,
    2 = push_store:sql(Config, ["INSERT INTO ", push_store:table(), " VALUES ", Row("n1", "{}"), ", ",
                     Row("n2", "{\"b\": \"x\",\"a\":\"1\" }")]),
    Second = {?SERVICE, <<"n2">>, #{<<"a">> => <<"1">>, <<"b">> => <<"x">>}},
    ?assertEqual([{?SERVICE, <<"n1">>, #{}}, Second], push_store:registrations(?BOB)),
    ok = push_store:enable(?BOB, ?SERVICE, <<"n1">>, #{<<"c">> => <<"2">>}),
    ?assertEqual([{?SERVICE, <<"n1">>, #{<<"c">> => <<"2">>}}, Second], push_store:registrations(?BOB)),
    ok = push_store:disable(?BOB, ?SERVICE, <<"n1">>),
    ok = push_store:disable(?BOB, ?SERVICE, <<"n2">>),
    ?assertEqual([], push_store:sql(Config, ["SELECT * FROM ", push_store:table()])).

%% Confirms that nothing is cut off, and what just fits.
what_is_too_long_for_the_table_is_an_error(_Config) ->
    Long = fun(Size, End) ->
        <<(binary:copy(<<"x">>, Size - byte_size(End)))/binary, End/binary>>
    end,
    [begin
         ok = push_store:enable(Long(250, <<"@localhost">>), Long(250, <<"@push">>), Long(250, <<>>), #{}),
         ?assertEqual([{Long(250, <<"@push">>), Long(250, <<>>)}],
                      push_store:places(Long(250, <<"@localhost">>))),
         ?assertError(#{what := sql_execute_failed}, push_store:enable(User, Service, Node, #{})),
         ?assertEqual([], push_store:registrations(User))
     end || {User, Service, Node} <- [{Long(251, <<"@localhost">>), ?SERVICE, <<"node">>},
                                      {?BOB, Long(251, <<"@push">>), <<"node">>},
                                      {?BOB, ?SERVICE, Long(251, <<>>)}]].

%% Confirms it for each function, and that nothing has to be started anew.
a_database_that_is_down_is_an_error_until_it_is_back(Config) ->
    ok = push_store:enable(?BOB, ?SERVICE, <<"kept">>, #{}),
    ok = database_service:down(?config(database, Config)),
    RemoveDomain = fun() -> ?BACKEND:remove_domain(?HT, ?HT) end,
    [?assertMatch({exit, _}, push_store:result(fun(Ask) -> Ask() end, Call))
     || Call <- [fun get_services/0, RemoveDomain | changes()]],
    ok = database_service:up(?config(database, Config)),
    ?assertEqual([{?SERVICE, <<"kept">>}], push_store:places(?BOB)),
    [ok = Call() || Call <- changes()],
    ?assertEqual([], push_store:registrations(?BOB)).

%% Confirms that each connection is asked to prepare each statement at most once.
statements_are_prepared_once_for_all_starts(Config) ->
    Library = case ?config(store, Config) of
                  pgsql -> host_rdbms_pgsql;
                  mysql -> host_rdbms_mysql
              end,
    {module, Library} = code:ensure_loaded(Library),
    Statements = ets:info(host_rdbms_statements, size),
    #{opts := #{workers := Connections}} = database_service:pool(?config(database, Config)),
    1 = erlang:trace_pattern({Library, prepare, 3}, true, [local, call_count]),
    [begin
         [ok = Call() || Call <- changes()],
         ?assertEqual([], push_store:registrations(?BOB)),
         ok = ?BACKEND:remove_domain(HostType, ?HT),
         {stopped, Opts} = mongoose_modules:ensure_stopped(HostType, ?PUSH),
         {started, _} = mongoose_modules:ensure_started(HostType, ?PUSH, Opts)
     end || _ <- lists:seq(1, 10), HostType <- [?HT, ?OTHER_HT]],
    {call_count, Prepared} = erlang:trace_info({Library, prepare, 3}, call_count),
    1 = erlang:trace_pattern({Library, prepare, 3}, false, [local, call_count]),
    ?assertEqual(Statements, ets:info(host_rdbms_statements, size)),
    ?assert(Prepared > 0 andalso Prepared =< Connections * Statements).

%% Confirms what the database plans for every statement that is about one user.
what_a_user_has_is_found_by_an_index(Config) ->
    900 = push_store:sql(Config, ["INSERT INTO ", push_store:table(), " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                       "SELECT i + 1 FROM n WHERE i < 900) SELECT CONCAT('user', i, '@localhost'), "
                       "'node', 'push.localhost', '{}', i FROM n"]),
    push_store:sql(Config, [analyze(?config(store, Config)), push_store:table()]),
    Statements = [event_pusher_push_select, event_pusher_push_delete,
                  event_pusher_push_delete_pubsub_jid, event_pusher_push_delete_node,
                  event_pusher_push_delete_key],
    [begin
         Plan = push_store:sql(Config, ["EXPLAIN ", string:replace(host_rdbms:statement(Statement), "?",
                                                        "'user7@localhost'", all)]),
         ?assert(uses_index(?config(store, Config), Plan), {Statement, Plan})
     end || Statement <- Statements].

analyze(pgsql) -> "ANALYZE ";
analyze(mysql) -> "ANALYZE TABLE ".

uses_index(pgsql, Lines) ->
    Plan = iolist_to_binary([Line || {Line} <- Lines]),
    string:find(Plan, "Index") =/= nomatch andalso string:find(Plan, "Seq Scan") =:= nomatch;
uses_index(mysql, [Row]) ->
    {_Id, _SelectType, _Table, Type, _Possible, Key, _Length, _Ref, _Rows, _Extra} = Row,
    is_binary(Key) andalso lists:member(Type, [<<"const">>, <<"ref">>, <<"range">>]).
