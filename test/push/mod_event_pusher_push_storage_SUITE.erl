-module(mod_event_pusher_push_storage_SUITE).
-moduledoc "Where registrations are kept: the same in Mnesia, PostgreSQL and MariaDB.".

-behaviour(ct_suite).

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
%% All
-export([a_registration_is_found_by_its_user_alone/1,
         enabling_a_node_again_replaces_its_form/1,
         a_disabled_node_takes_no_other_with_it/1,
         a_disabled_service_takes_all_its_nodes_and_no_others/1,
         a_user_who_disables_all_has_nothing_left/1,
         disabling_what_is_not_there_is_no_error/1,
         any_form_comes_back_as_it_was/1,
         any_name_is_kept_to_the_letter/1,
         users_who_look_alike_have_nothing_in_common/1,
         names_that_look_alike_are_not_disabled/1,
         a_removed_domain_takes_its_registrations_and_no_others/1,
         a_node_enabled_by_many_at_once_is_registered_once/1,
         devices_that_register_at_once_are_all_kept/1,
         what_one_host_type_stores_another_finds_and_removes/1]).
%% Mnesia and PostgreSQL
-export([users_who_look_alike_may_have_the_same_node/1]).
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
%% MariaDB
-export([a_node_of_who_looks_alike_goes_to_the_later/1,
         names_of_a_user_that_look_alike_replace_each_other/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other.localhost">>).
-define(BACKEND, mod_event_pusher_push_backend).
-define(PUSH, mod_event_pusher_push).
-define(WAIT, 30000).

-define(BOB, <<"bob@localhost">>).
-define(SERVICE, <<"push.localhost">>).

-define(NOT_MARIADB, [users_who_look_alike_may_have_the_same_node]).
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
-define(MARIADB, [a_node_of_who_looks_alike_goes_to_the_later,
                  names_of_a_user_that_look_alike_replace_each_other]).

all() ->
    [{group, mnesia}, {group, pgsql}, {group, mysql}].

groups() ->
    Cases = push_rig:cases(?MODULE),
    [{mnesia, Cases -- (?DATABASES ++ ?MARIADB)},
     {pgsql, Cases -- (?MNESIA ++ ?MARIADB)},
     {mysql, Cases -- (?MNESIA ++ ?NOT_MARIADB)}].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    ok = rig:start_application(),
    Config.

end_per_suite(_Config) ->
    application:stop(event_pusher).

init_per_group(mnesia, Config) ->
    ok = push_rig:start_mnesia(Config),
    [{store, mnesia} | Config];
init_per_group(Engine, Config) ->
    {ok, Database} = database_service:start(Engine),
    [{store, Engine}, {database, Database} | Config].

end_per_group(mnesia, _Config) ->
    host_mnesia:stop();
end_per_group(_Engine, Config) ->
    database_service:stop(?config(database, Config)).

init_per_testcase(_Case, Config) ->
    ok = start_host(Config),
    Config.

end_per_testcase(_Case, _Config) ->
    push_rig:stop_host().

start_host(Config) ->
    case ?config(store, Config) of
        mnesia ->
            start_host_types(#{backend => mnesia}, #{});
        _Engine ->
            Database = ?config(database, Config),
            ok = database_service:reset(Database),
            start_host_types(#{backend => rdbms},
                             #{outgoing_pools => [database_service:pool(Database)]})
    end.

%% Two, with one store.
start_host_types(Different, More) ->
    {module, _} = code:ensure_loaded(?PUSH),
    Modules = #{mod_event_pusher => #{push => push_rig:opts(Different)}},
    host:start(#{?HT => Modules, ?OTHER_HT => Modules}, More).

%% Registrations

%% Confirms that nobody else has it, not even who has a name in another domain.
a_registration_is_found_by_its_user_alone(_Config) ->
    ?assertEqual([], registrations(?BOB)),
    ok = enable(?BOB, ?SERVICE, <<"node">>, #{<<"secret">> => <<"s">>}),
    ?assertEqual([{?SERVICE, <<"node">>, #{<<"secret">> => <<"s">>}}], registrations(?BOB)),
    [?assertEqual([], registrations(Other))
     || Other <- [<<"alice@localhost">>, <<"bob@example.org">>, <<"localhost">>]].

%% Confirms that the other node keeps its form.
enabling_a_node_again_replaces_its_form(_Config) ->
    [ok = enable(?BOB, ?SERVICE, Node, #{<<"a">> => <<"1">>}) || Node <- [<<"n1">>, <<"n2">>]],
    [begin
         ok = enable(?BOB, ?SERVICE, <<"n1">>, Form),
         ?assertEqual([{?SERVICE, <<"n1">>, Form}, {?SERVICE, <<"n2">>, #{<<"a">> => <<"1">>}}],
                      registrations(?BOB))
     end || Form <- [#{<<"b">> => <<"2">>}, #{}, #{}, #{<<"a">> => <<"1">>}]].

%% Confirms it for a node with the same name at another service.
a_disabled_node_takes_no_other_with_it(_Config) ->
    enable_everywhere(),
    ok = disable(?BOB, ?SERVICE, <<"n1">>),
    ?assertEqual([{?SERVICE, <<"n2">>}, {<<"u@push.example">>, <<"n1">>},
                  {<<"u@push.example">>, <<"n2">>}], places(?BOB)),
    ?assertEqual(4, length(registrations(<<"alice@localhost">>))).

%% Confirms that the other service and the other user keep theirs.
a_disabled_service_takes_all_its_nodes_and_no_others(_Config) ->
    enable_everywhere(),
    ok = disable(?BOB, <<"u@push.example">>, undefined),
    ?assertEqual([{?SERVICE, <<"n1">>}, {?SERVICE, <<"n2">>}], places(?BOB)),
    ?assertEqual(4, length(registrations(<<"alice@localhost">>))).

%% Confirms that the other user keeps all.
a_user_who_disables_all_has_nothing_left(_Config) ->
    enable_everywhere(),
    ok = disable(?BOB),
    ?assertEqual([], registrations(?BOB)),
    ?assertEqual(4, length(registrations(<<"alice@localhost">>))).

enable_everywhere() ->
    [ok = enable(User, Service, Node, #{})
     || User <- [?BOB, <<"alice@localhost">>], Service <- [?SERVICE, <<"u@push.example">>],
        Node <- [<<"n1">>, <<"n2">>]].

%% Confirms it without any registration, and with one that is another.
disabling_what_is_not_there_is_no_error(_Config) ->
    Disable = fun() ->
        ok = disable(<<"alice@localhost">>),
        ok = disable(?BOB, <<"push.example">>, undefined),
        ok = disable(?BOB, ?SERVICE, <<"other">>),
        ok = ?BACKEND:remove_domain(?HT, <<"example.org">>)
    end,
    Disable(),
    ok = enable(?BOB, ?SERVICE, <<"node">>, #{}),
    Disable(),
    ?assertEqual([{?SERVICE, <<"node">>}], places(?BOB)).

%% Names and values

%% Confirms that no character of a key or a value has a meaning on its way.
any_form_comes_back_as_it_was(_Config) ->
    Texts = [<<"a">>, <<"'">>, <<"\"">>, <<"\\">>, <<"\\u0041\\'; --">>, <<"`?$1%_:x">>,
             <<" \r\n\t\e\d ">>, <<"Zażółć gęślą jaźń"/utf8>>, <<"推送"/utf8>>, <<"👩‍👩‍👧😀"/utf8>>,
             <<16#2028/utf8, 16#FFFF/utf8, 16#10FFFF/utf8>>, <<"null">>, <<"{\"a\":[]}">>],
    Forms = [#{}, #{<<>> => <<>>}, maps:from_keys(Texts, <<>>),
             maps:from_list([{Text, Text} || Text <- Texts]),
             maps:from_keys([integer_to_binary(N) || N <- lists:seq(1, 200)], <<"value">>),
             #{<<"long">> => binary:copy(<<"😀\\"/utf8>>, 20000)}],
    [begin
         ok = enable(?BOB, ?SERVICE, <<"node">>, Form),
         ?assertEqual([{?SERVICE, <<"node">>, Form}], registrations(?BOB))
     end || Form <- Forms].

%% Confirms that each is found, and that disabling one leaves all others.
any_name_is_kept_to_the_letter(_Config) ->
    Users = [<<"łódź@localhost"/utf8>>, <<"o\\dd$%_`|~@localhost">>, <<"𝄞@localhost"/utf8>>,
             <<(binary:copy(<<"ż"/utf8>>, 200))/binary, "@localhost">>],
    Services = [<<"push.localhost">>, <<"user@push.localhost">>, <<"push.éxample"/utf8>>,
                <<"o\\dd$%_@pu\"sh'.exa_mple%">>,
                <<(binary:copy(<<"s">>, 200))/binary, "@push.localhost">>],
    Nodes = [<<"'">>, <<"\"">>, <<"' OR ''='">>, <<"\\">>, <<"%">>, <<"_">>, <<"$">>, <<"$1 ?">>,
             <<"a@b/c">>, <<" a\r\n\tb">>, <<"węzeł"/utf8>>, <<"👩‍👩‍👧😀"/utf8>>,
             binary:copy(<<"😀"/utf8>>, 200)],
    ?assertEqual(Users, [jid:to_binary(jid:from_binary(User)) || User <- Users]),
    [ok = enable(User, Service, Node, #{<<"node">> => Node})
     || User <- Users, Service <- Services, Node <- Nodes],
    All = lists:sort([{Service, Node, #{<<"node">> => Node}}
                      || Service <- Services, Node <- Nodes]),
    [?assertEqual(All, registrations(User)) || User <- Users],
    lists:foldl(fun({Service, Node, _Form} = One, Before) ->
        ok = disable(hd(Users), Service, Node),
        ?assertEqual(Before -- [One], registrations(hd(Users))),
        Before -- [One]
    end, All, All),
    lists:foldl(fun(Service, Before) ->
        ok = disable(lists:nth(2, Users), Service, undefined),
        Left = [Other || {At, _, _} = Other <- Before, At =/= Service],
        ?assertEqual(Left, registrations(lists:nth(2, Users))),
        Left
    end, All, Services),
    [?assertEqual(All, registrations(User)) || User <- lists:nthtail(2, Users)].

%% Confirms that neither sees, replaces, disables or removes what is the other's. The nodes are the
%% users' own.
users_who_look_alike_have_nothing_in_common(_Config) ->
    [begin
         ok = enable(One, ?SERVICE, <<"one">>, #{<<"of">> => <<"one">>}),
         ok = enable(Other, ?SERVICE, <<"other">>, #{}),
         ?assertEqual([{?SERVICE, <<"other">>, #{}}], registrations(Other)),
         Kept = fun() ->
             ?assertEqual([{?SERVICE, <<"one">>, #{<<"of">> => <<"one">>}}], registrations(One))
         end,
         Kept(),
         ok = disable(Other, ?SERVICE, <<"one">>),
         Kept(),
         ok = disable(Other, ?SERVICE, undefined),
         ?assertEqual([], registrations(Other)),
         Kept(),
         ok = disable(Other),
         Kept(),
         ok = disable(One)
     end || Pair <- look_alikes(), {One, Other} <- both_ways(Pair)].

%% Where one is a pattern or a beginning of the other, and where MariaDB takes them for the same.
%% Some would be refused, or written differently, by stringprep.
look_alikes() ->
    different() ++ equal_in_mariadb().

different() ->
    [{<<"a_b@localhost">>, <<"axb@localhost">>}, {<<"a%b@localhost">>, <<"a_b@localhost">>},
     {<<"%@localhost">>, <<"bob@localhost">>}, {<<"a$_b@localhost">>, <<"a_b@localhost">>},
     {<<"a\\b@localhost">>, <<"ab@localhost">>}, {<<"bob@localhost">>, <<"bobby@localhost">>},
     {<<"bob@localhost">>, <<"bob@localhost.org">>}, {<<"bob@localhost">>, <<"localhost">>}].

equal_in_mariadb() ->
    [{<<"josé@localhost"/utf8>>, <<"jose@localhost">>},
     {<<"jose@éxample.org"/utf8>>, <<"jose@example.org">>},
     {<<"ı@localhost"/utf8>>, <<"i@localhost">>}, {<<"KATE@localhost">>, <<"kate@localhost">>},
     {<<"𝄞@localhost"/utf8>>, <<"𝄢@localhost"/utf8>>},
     {<<"😀@localhost"/utf8>>, <<"👻@localhost"/utf8>>}].

both_ways({One, Other}) ->
    [{One, Other}, {Other, One}].

%% Confirms it for nodes and services that MariaDB takes for the same.
names_that_look_alike_are_not_disabled(_Config) ->
    Service = <<"kate@push.éxample"/utf8>>,
    ok = enable(?BOB, Service, <<"tokén"/utf8>>, #{}),
    [ok = disable(?BOB, Service, Node) || Node <- [<<"token">>, <<"TOKÉN"/utf8>>, <<"to%">>]],
    [ok = disable(?BOB, Other, Node)
     || Other <- [<<"kate@push.example">>, <<"kåte@push.éxample"/utf8>>, <<"push.éxample"/utf8>>,
                  <<"%">>],
        Node <- [undefined, <<"tokén"/utf8>>]],
    ?assertEqual([{Service, <<"tokén"/utf8>>}], places(?BOB)).

%% Confirms that each is told apart by the user.
users_who_look_alike_may_have_the_same_node(_Config) ->
    [begin
         Forms = [{User, #{<<"of">> => User}} || User <- [One, Other]],
         [ok = enable(User, ?SERVICE, <<"node">>, Form) || {User, Form} <- Forms],
         [?assertEqual([{?SERVICE, <<"node">>, Form}], registrations(User))
          || {User, Form} <- Forms],
         ok = disable(One, ?SERVICE, <<"node">>),
         ?assertEqual({[], 1}, {registrations(One), length(registrations(Other))}),
         ok = disable(Other)
     end || {One, Other} <- look_alikes()].

%% Domains

%% Confirms it for ten thousand registrations, and for domains that a pattern or a collation could
%% take for one another.
a_removed_domain_takes_its_registrations_and_no_others(Config) ->
    Registrations = [registration(N) || N <- lists:seq(1, 10000)],
    [] = [Result || Result <- in_parallel(8, fun enable/1, Registrations), Result =/= ok],
    Before = count_by_domain(Config),
    ?assertEqual({length(domains()), 10000}, {map_size(Before), lists:sum(maps:values(Before))}),
    lists:foldl(fun(Domain, Counts) ->
        {Us, ok} = timer:tc(?BACKEND, remove_domain, [?OTHER_HT, Domain]),
        ct:log("~tp: ~ts removed in ~b ms", [?config(store, Config), Domain, Us div 1000]),
        Left = count_by_domain(Config),
        ?assertEqual({Domain, maps:remove(Domain, Counts)}, {Domain, Left}),
        Left
    end, Before, [<<"missing.org">>, <<"org">>, <<"%">> | domains()]),
    [?assertEqual([], registrations(User)) || {User, _, _, _} <- lists:sublist(Registrations, 100)].

domains() ->
    [<<"ex_mple.org">>, <<"exampl%.org">>, <<"%.org">>, <<"x$y.org">>, <<"éxample.org"/utf8>>,
     <<"EXAMPLE.org">>, <<"example\\.org">>, <<"example.org">>, <<"sub.example.org">>,
     <<"anexample.org">>, <<"example.org.uk">>, <<"xy.org">>, <<"x$$y.org">>].

%% Most users have three; some owners are the domain itself.
registration(N) ->
    Domain = lists:nth(1 + N rem length(domains()), domains()),
    User = case N div length(domains()) div 3 of
               Nameless when Nameless rem 50 =:= 0 -> Domain;
               Number -> <<"user", (integer_to_binary(Number))/binary, "@", Domain/binary>>
           end,
    {User, ?SERVICE, <<"node-", (integer_to_binary(N))/binary>>, #{<<"n">> => <<"1">>}}.

enable({User, Service, Node, Form}) ->
    enable(User, Service, Node, Form).

count_by_domain(Config) ->
    count_by_domain(?config(store, Config), Config).

count_by_domain(mnesia, _Config) ->
    Domains = mnesia:dirty_select(push_subscription,
                                  [{{push_subscription, {'_', '$1'}, '_', '_', '_'}, [], ['$1']}]),
    lists:foldl(fun(Domain, Counts) ->
        maps:update_with(Domain, fun(Count) -> Count + 1 end, 1, Counts)
    end, #{}, Domains);
count_by_domain(Engine, Config) ->
    Exactly = case Engine of mysql -> " COLLATE utf8mb4_bin"; pgsql -> "" end,
    maps:from_list(sql(Config, ["SELECT SUBSTRING(owner_jid FROM POSITION('@' IN owner_jid) + 1)",
                                Exactly, " AS domain, COUNT(*) FROM ", table(),
                                " GROUP BY domain"])).

%% Many at once

%% Confirms it where a database refuses one of two insertions at the same time, and that the node
%% can be enabled as ever afterwards.
a_node_enabled_by_many_at_once_is_registered_once(Config) ->
    Forms = [#{<<"n">> => integer_to_binary(N)} || N <- lists:seq(1, 200)],
    Results = in_parallel(20, fun(Form) -> enable(?BOB, ?SERVICE, <<"node">>, Form) end, Forms),
    ?assertEqual([], [Result || Result <- Results,
                                not may_happen(?config(store, Config), Result)]),
    ?assertMatch([{?SERVICE, <<"node">>, _}], registrations(?BOB)),
    ok = enable(?BOB, ?SERVICE, <<"node">>, #{}),
    ?assertEqual([{?SERVICE, <<"node">>, #{}}], registrations(?BOB)).

may_happen(_Store, ok) -> true;
may_happen(mnesia, _Failure) -> false;
may_happen(_Engine, {error, #{reason := {error, duplicate_key}}}) -> true;
%% As its manual says of several insertions of one key.
may_happen(mysql, {error, #{reason := {error, "Deadlock found" ++ _}}}) -> true;
may_happen(_Engine, _Failure) -> false.

%% Confirms it for one user and for many.
devices_that_register_at_once_are_all_kept(_Config) ->
    Nodes = [<<"node-", (integer_to_binary(N))/binary>> || N <- lists:seq(1000, 1199)],
    Users = [<<"user", (integer_to_binary(N))/binary, "@localhost">> || N <- lists:seq(1, 200)],
    Results = in_parallel(20, fun enable/1,
                          [{?BOB, ?SERVICE, Node, #{}} || Node <- Nodes]
                          ++ [{User, ?SERVICE, <<"node">>, #{}} || User <- Users]),
    ?assertEqual([ok], lists:usort(Results)),
    ?assertEqual([{?SERVICE, Node} || Node <- Nodes], places(?BOB)),
    [?assertEqual([{?SERVICE, <<"node">>}], places(User)) || User <- Users].

%% Host types

%% Confirms that a registration is the user's and not the host type's, also when one of them ends.
what_one_host_type_stores_another_finds_and_removes(_Config) ->
    ok = ?BACKEND:enable(?HT, jid(?BOB), jid(?SERVICE), <<"n1">>, #{}),
    ok = ?BACKEND:enable(?OTHER_HT, jid(?BOB), jid(?SERVICE), <<"n2">>, #{}),
    ok = ?BACKEND:enable(?OTHER_HT, jid(?BOB), jid(?SERVICE), <<"n1">>, #{<<"a">> => <<"1">>}),
    Both = [{?SERVICE, <<"n1">>, #{<<"a">> => <<"1">>}}, {?SERVICE, <<"n2">>, #{}}],
    ?assertEqual(Both, registrations(?BOB)),
    {stopped, Opts} = mongoose_modules:ensure_stopped(?HT, ?PUSH),
    ?assertEqual(Both, registrations(?BOB)),
    {started, _} = mongoose_modules:ensure_started(?HT, ?PUSH, Opts),
    ?assertEqual(Both, registrations(?BOB)),
    ok = ?BACKEND:disable(?HT, jid(?BOB), jid(?SERVICE), <<"n2">>),
    ?assertEqual([hd(Both)], registrations(?BOB)),
    ok = ?BACKEND:remove_domain(?OTHER_HT, ?HT),
    ?assertEqual([], registrations(?BOB)).

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
    ok = enable(<<"bob@localhost/phone">>, <<"u@push.localhost">>, <<"node">>,
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
                 registrations(?BOB)),
    ok = enable(?BOB, ?SERVICE, <<"n1">>, #{<<"b">> => <<"2">>}),
    ok = disable(?BOB, ?SERVICE, <<"n2">>),
    ?assertEqual([{?SERVICE, <<"n1">>, #{<<"b">> => <<"2">>}}], registrations(?BOB)).

%% Confirms it while the module runs and when it starts anew.
registrations_survive_a_restart_of_mnesia(Config) ->
    ok = enable(?BOB, ?SERVICE, <<"node">>, #{<<"a">> => <<"1">>}),
    Expected = registrations(?BOB),
    ok = restart_mnesia(Config),
    ?assertEqual(Expected, registrations(?BOB)),
    ok = host:stop(),
    ok = restart_mnesia(Config),
    ok = start_host(Config),
    ?assertEqual(Expected, registrations(?BOB)).

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
                           [?BACKEND, ?HT, jid(?BOB), jid(?SERVICE), <<"node">>, Form]),
    Print = io_lib:format("io:format(\"~~w.\", [push_rig:registrations(~w)]), init:stop().",
                          [?BOB]),
    ?assertEqual("", in_another_node([Start, Enable])),
    {ok, Tokens, _} = erl_scan:string(in_another_node([Start, Print])),
    ?assertEqual({ok, [{jid(?SERVICE), <<"node">>, Form}]}, erl_parse:parse_term(Tokens)).

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
    Results = in_parallel(4, fun enable/1, Registrations),
    Pid ! enough,
    receive
        {'DOWN', Monitor, process, Pid, Reason} -> ?assertMatch({removed, N} when N > 0, Reason)
    after ?WAIT -> ct:fail(still_removing)
    end,
    ?assertEqual([ok], lists:usort(Results)),
    ok = ?BACKEND:remove_domain(?HT, <<"example.org">>),
    ?assertEqual(#{<<"example.com">> => 1000}, count_by_domain(mnesia, [])).

remove_until_told(Domain, Test, N) ->
    ok = ?BACKEND:remove_domain(?HT, Domain),
    receive enough -> exit({removed, N + 1}) after 0 -> remove_until_told(Domain, Test, N + 1) end.

%% Confirms it for each function, and that the next start makes a table again.
a_table_that_is_missing_is_an_error(Config) ->
    {atomic, ok} = mnesia:delete_table(push_subscription),
    [?assertMatch({error, {no_exists, _}}, Call()) || Call <- [fun get_services/0 | changes()]],
    ?assertExit({aborted, {no_exists, _}}, ?BACKEND:remove_domain(?HT, ?HT)),
    ok = host:stop(),
    ok = start_host(Config),
    ok = enable(?BOB, ?SERVICE, <<"node">>, #{}),
    ?assertEqual([{?SERVICE, <<"node">>}], places(?BOB)).

get_services() ->
    ?BACKEND:get_publish_services(?HT, jid(?BOB)).

changes() ->
    [fun() -> enable(?BOB, ?SERVICE, <<"node">>, #{}) end,
     fun() -> disable(?BOB) end,
     fun() -> disable(?BOB, ?SERVICE, undefined) end,
     fun() -> disable(?BOB, ?SERVICE, <<"node">>) end].

%% Databases

%% Confirms each column, in the order of the table, and that enabling again makes a row anew.
a_row_is_what_the_server_writes(Config) ->
    [begin
         Before = erlang:system_time(microsecond),
         ok = enable(<<"bob@localhost/phone">>, <<"u@push.localhost">>, <<"nodę"/utf8>>, Form),
         After = erlang:system_time(microsecond),
         [{Owner, Node, PubsubJid, Json, CreatedAt}] = sql(Config, ["SELECT * FROM ", table()]),
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
    2 = sql(Config, ["INSERT INTO ", table(), " VALUES ", Row("n1", "{}"), ", ",
                     Row("n2", "{\"b\": \"x\",\"a\":\"1\" }")]),
    Second = {?SERVICE, <<"n2">>, #{<<"a">> => <<"1">>, <<"b">> => <<"x">>}},
    ?assertEqual([{?SERVICE, <<"n1">>, #{}}, Second], registrations(?BOB)),
    ok = enable(?BOB, ?SERVICE, <<"n1">>, #{<<"c">> => <<"2">>}),
    ?assertEqual([{?SERVICE, <<"n1">>, #{<<"c">> => <<"2">>}}, Second], registrations(?BOB)),
    ok = disable(?BOB, ?SERVICE, <<"n1">>),
    ok = disable(?BOB, ?SERVICE, <<"n2">>),
    ?assertEqual([], sql(Config, ["SELECT * FROM ", table()])).

%% Confirms that nothing is cut off, and what just fits.
what_is_too_long_for_the_table_is_an_error(_Config) ->
    Long = fun(Size, End) ->
        <<(binary:copy(<<"x">>, Size - byte_size(End)))/binary, End/binary>>
    end,
    [begin
         ok = enable(Long(250, <<"@localhost">>), Long(250, <<"@push">>), Long(250, <<>>), #{}),
         ?assertEqual([{Long(250, <<"@push">>), Long(250, <<>>)}],
                      places(Long(250, <<"@localhost">>))),
         ?assertError(#{what := sql_execute_failed}, enable(User, Service, Node, #{})),
         ?assertEqual([], registrations(User))
     end || {User, Service, Node} <- [{Long(251, <<"@localhost">>), ?SERVICE, <<"node">>},
                                      {?BOB, Long(251, <<"@push">>), <<"node">>},
                                      {?BOB, ?SERVICE, Long(251, <<>>)}]].

%% Confirms it for each function, and that nothing has to be started anew.
a_database_that_is_down_is_an_error_until_it_is_back(Config) ->
    ok = enable(?BOB, ?SERVICE, <<"kept">>, #{}),
    ok = database_service:down(?config(database, Config)),
    RemoveDomain = fun() -> ?BACKEND:remove_domain(?HT, ?HT) end,
    [?assertMatch({exit, _}, result(fun(Ask) -> Ask() end, Call))
     || Call <- [fun get_services/0, RemoveDomain | changes()]],
    ok = database_service:up(?config(database, Config)),
    ?assertEqual([{?SERVICE, <<"kept">>}], places(?BOB)),
    [ok = Call() || Call <- changes()],
    ?assertEqual([], registrations(?BOB)).

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
         ?assertEqual([], registrations(?BOB)),
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
    900 = sql(Config, ["INSERT INTO ", table(), " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                       "SELECT i + 1 FROM n WHERE i < 900) SELECT CONCAT('user', i, '@localhost'), "
                       "'node', 'push.localhost', '{}', i FROM n"]),
    sql(Config, [analyze(?config(store, Config)), table()]),
    Statements = [event_pusher_push_select, event_pusher_push_delete,
                  event_pusher_push_delete_pubsub_jid, event_pusher_push_delete_node,
                  event_pusher_push_delete_key],
    [begin
         Plan = sql(Config, ["EXPLAIN ", string:replace(host_rdbms:statement(Statement), "?",
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

%% MariaDB, whose table has a primary key in which letters that differ by an accent are equal

%% Confirms that there is one of them at a time; the table cannot hold both.
a_node_of_who_looks_alike_goes_to_the_later(_Config) ->
    [begin
         ok = enable(One, ?SERVICE, <<"node">>, #{<<"of">> => <<"one">>}),
         ok = enable(Other, ?SERVICE, <<"node">>, #{<<"of">> => <<"other">>}),
         ?assertEqual([], registrations(One)),
         ?assertEqual([{?SERVICE, <<"node">>, #{<<"of">> => <<"other">>}}], registrations(Other)),
         ok = disable(Other)
     end || Pair <- equal_in_mariadb(), {One, Other} <- both_ways(Pair)].

%% Confirms it for nodes and services, and that the registration has the later name.
names_of_a_user_that_look_alike_replace_each_other(_Config) ->
    Names = [{?SERVICE, <<"tokén"/utf8>>}, {?SERVICE, <<"TOKEN">>}, {?SERVICE, <<"token ">>},
             {<<"push.locálhost"/utf8>>, <<"token">>}],
    [begin
         ok = enable(?BOB, Service, Node, #{}),
         ?assertEqual([{Service, Node}], places(?BOB))
     end || {Service, Node} <- Names].

%% Helpers

%% What one host type enables, the other disables.
enable(User, Service, Node, Form) ->
    ?BACKEND:enable(?HT, jid:to_bare(jid(User)), jid(Service), Node, Form).

disable(User) ->
    ?BACKEND:disable(?OTHER_HT, jid(User)).

disable(User, Service, Node) ->
    ?BACKEND:disable(?OTHER_HT, jid(User), jid(Service), Node).

%% Both host types give the same.
registrations(User) ->
    [Services, Services] =
        [begin
             {ok, Found} = ?BACKEND:get_publish_services(HostType, jid(User)),
             lists:sort([{jid:to_binary(Service), Node, Form} || {Service, Node, Form} <- Found])
         end || HostType <- [?HT, ?OTHER_HT]],
    Services.

places(User) ->
    [{Service, Node} || {Service, Node, _Form} <- registrations(User)].

%% Also what stringprep does not know, or would write differently.
jid(Text) ->
    jid:from_binary_noprep(Text).

table() ->
    "event_pusher_push_subscription".

sql(Config, Statement) ->
    database_service:sql(?config(database, Config), Statement).

%% What the function gives for each, or how it fails, in no order.
in_parallel(Processes, Fun, List) ->
    Shares = [[One || {N, One} <- lists:enumerate(List), N rem Processes =:= I]
              || I <- lists:seq(0, Processes - 1)],
    Running = [spawn_monitor(fun() -> exit({results, [result(Fun, One) || One <- Share]}) end)
               || Share <- Shares],
    lists:append([receive {'DOWN', Monitor, process, Pid, {results, Results}} -> Results
                  after ?WAIT -> ct:fail(no_result)
                  end || {Pid, Monitor} <- Running]).

result(Fun, Argument) ->
    try Fun(Argument)
    catch Class:Reason -> {Class, Reason}
    end.
