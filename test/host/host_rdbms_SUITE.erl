-module(host_rdbms_SUITE).
-moduledoc "Holds mongoose_rdbms of the stand-in to what a server does, with real databases.".

-behaviour(ct_suite).

-export([all/0, groups/0, suite/0, init_per_group/2, end_per_group/2]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([parameters_are_taken_in_their_order/1,
         any_text_comes_back_as_it_was_stored/1,
         integers_and_null_are_no_text/1,
         a_form_comes_back_as_json_text/1,
         rows_that_a_statement_finds_are_counted/1,
         a_pattern_finds_wildcards_that_are_escaped/1,
         a_value_that_the_database_refuses_is_an_error/1,
         a_second_row_with_the_same_key_is_a_duplicate/1,
         an_error_is_logged_and_raised_where_success_is_expected/1,
         a_statement_is_prepared_once_for_all/1,
         a_statement_that_cannot_be_prepared_is_an_exit/1,
         statements_run_side_by_side/1,
         a_lost_database_is_an_exit_until_it_is_back/1,
         the_engine_is_the_driver_of_the_pool/1,
         a_pool_of_the_host_type_comes_before_the_global_one/1,
         without_a_pool_nothing_is_executed/1,
         a_refused_connection_keeps_the_host_from_starting/1,
         a_wrong_password_keeps_the_host_from_starting/1]).
%% MariaDB alone
-export([case_accents_and_emoji_are_the_same_by_default/1,
         a_binary_collation_tells_all_characters_apart/1,
         a_blank_at_the_end_is_told_apart_by_like_alone/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(WAIT, 20000).
-define(TABLE, event_pusher_push_subscription).
-define(MARIADB, [case_accents_and_emoji_are_the_same_by_default,
                  a_binary_collation_tells_all_characters_apart,
                  a_blank_at_the_end_is_told_apart_by_like_alone]).

all() ->
    [{group, pgsql}, {group, mysql}].

groups() ->
    Cases = [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))],
    [{pgsql, Cases -- ?MARIADB}, {mysql, Cases}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_group(Engine, Config) ->
    {ok, Database} = database_service:start(Engine),
    [{engine, Engine}, {database, Database} | Config].

end_per_group(_Engine, Config) ->
    ok = database_service:stop(?config(database, Config)).

init_per_testcase(_Case, Config) ->
    ok = database_service:reset(?config(database, Config)),
    ok = start_host([pool(Config)]),
    Config.

%% Cases may have stopped it.
end_per_testcase(_Case, _Config) ->
    _ = application:stop(host),
    ok.

%% Values

%% Confirms that the first question mark is the first parameter, in values and conditions.
parameters_are_taken_in_their_order(_Config) ->
    ?assertEqual({updated, 1}, insert(<<"a@h">>, <<"n1">>, <<"p1">>)),
    ?assertEqual({updated, 1}, insert(<<"a@h">>, <<"n2">>, <<"p2">>)),
    ?assertEqual({selected, [{<<"n1">>, <<"p1">>, <<"{}">>, 7}, {<<"n2">>, <<"p2">>, <<"{}">>, 7}]},
                 select(<<"a@h">>)),
    ?assertEqual({updated, 0}, delete(<<"a@h">>, <<"p2">>, <<"n2">>)),
    ?assertEqual({updated, 1}, delete(<<"a@h">>, <<"n2">>, <<"p2">>)),
    ?assertEqual({selected, [{<<"n1">>, <<"p1">>, <<"{}">>, 7}]}, select(<<"a@h">>)),
    ?assertEqual({selected, []}, select(<<"b@h">>)).

%% Confirms that no character of a value has a meaning on its way.
any_text_comes_back_as_it_was_stored(_Config) ->
    Texts = [<<>>, <<"'">>, <<"\"">>, <<"\\">>, <<"\\'; --">>, <<"`?$1%_">>, <<"a\r\n\t\e">>,
             <<"Zażółć gęślą jaźń"/utf8>>, <<"推送"/utf8>>, <<"👩‍👩‍👧😀"/utf8>>],
    [begin
         ?assertEqual({updated, 1}, insert(<<"a@h">>, Text, <<"p">>)),
         ?assertEqual({selected, [{Text, <<"p">>, <<"{}">>, 7}]}, select(<<"a@h">>)),
         ?assertEqual({updated, 1}, delete(<<"a@h">>, Text, <<"p">>))
     end || Text <- Texts],
    ?assertEqual({updated, 1}, insert(<<"a@h">>, ["iodata ", <<"is">>, [" text"]], <<"p">>)),
    ?assertMatch({selected, [{<<"iodata is text">>, _, _, _}]}, select(<<"a@h">>)).

%% Confirms the bounds of the column, and what an absent value is.
integers_and_null_are_no_text(_Config) ->
    [begin
         ?assertEqual({updated, 1}, insert(<<"a@h">>, <<"n">>, <<"p">>, <<"{}">>, Number)),
         ?assertMatch({selected, [{_, _, _, Number}]}, select(<<"a@h">>)),
         ?assertEqual({updated, 1}, delete(<<"a@h">>, <<"n">>, <<"p">>))
     end || Number <- [0, 1764100000123456, -(1 bsl 63), 1 bsl 63 - 1]],
    {updated, 1} = insert(<<"a@h">>, <<"n">>, <<"p">>),
    prepare(coalesce, ["SELECT COALESCE(?, owner_jid), NULLIF(node, ?) FROM ", table()]),
    ?assertEqual({selected, [{<<"a@h">>, null}]}, execute(coalesce, [null, <<"n">>])).

%% Confirms that the text is kept to the letter, its blanks and escapes included.
a_form_comes_back_as_json_text(_Config) ->
    Form = <<"{ \"secret\" : \"\\u0007 \\\\ \\\" 'x' 😀\", \"a\":[] }"/utf8>>,
    ?assertEqual({updated, 1}, insert(<<"a@h">>, <<"n">>, <<"p">>, Form, 1)),
    ?assertEqual({selected, [{<<"n">>, <<"p">>, Form, 1}]}, select(<<"a@h">>)).

%% Confirms that rows count although nothing in them changes.
rows_that_a_statement_finds_are_counted(_Config) ->
    [{updated, 1} = insert(<<"a@h">>, Node, <<"p">>) || Node <- [<<"1">>, <<"2">>]],
    prepare(touch, ["UPDATE ", table(), " SET created_at = ? WHERE owner_jid = ?"]),
    ?assertEqual({updated, 2}, execute(touch, [8, <<"a@h">>])),
    ?assertEqual({updated, 2}, execute(touch, [8, <<"a@h">>])),
    ?assertEqual({updated, 0}, execute(touch, [8, <<"b@h">>])).

%% Confirms that each of the three characters stands for itself, and a backslash, too.
a_pattern_finds_wildcards_that_are_escaped(_Config) ->
    Owners = [<<"a@", Middle/binary, ".h">> || Middle <- [<<"%">>, <<"_">>, <<"$">>, <<"\\">>]],
    [{updated, 1} = insert(Owner, <<"n">>, <<"p">>) || Owner <- [<<"a@x.h">> | Owners]],
    prepare(like, ["SELECT owner_jid FROM ", table(), " WHERE owner_jid LIKE ? ESCAPE '$'"]),
    [?assertEqual({selected, [{Owner}]},
                  execute(like, [<<"%", (mongoose_rdbms:escape_prepared_like(Rest))/binary>>]))
     || Owner = <<"a", Rest/binary>> <- Owners],
    {selected, All} = execute(like, [<<"%@_.h">>]),
    ?assertEqual(lists:sort([<<"a@x.h">> | Owners]), lists:sort([Owner || {Owner} <- All])).

%% Confirms that values are refused after the statement has been prepared, and that it goes on.
a_value_that_the_database_refuses_is_an_error(_Config) ->
    TooLong = binary:copy(<<"x">>, 251),
    ?assertMatch({error, [_ | _]}, insert(TooLong, <<"n">>, <<"p">>)),
    ?assertMatch({error, [_ | _]}, insert(<<"a@h">>, <<"n">>, <<"p">>, <<"no json">>, 1)),
    ?assertMatch({error, [_ | _]}, insert(<<"a@h">>, <<"n">>, <<"p">>, null, 1)),
    ?assertMatch({error, [_ | _]}, execute(select, [])),
    ?assertEqual({updated, 1}, insert(binary:copy(<<"ż"/utf8>>, 250), <<"n">>, <<"p">>)).

%% Confirms the error that a server tells apart from others.
a_second_row_with_the_same_key_is_a_duplicate(_Config) ->
    ?assertEqual({updated, 1}, insert(<<"a@h">>, <<"n">>, <<"p">>)),
    ?assertEqual({error, duplicate_key}, insert(<<"a@h">>, <<"n">>, <<"p">>)),
    ?assertMatch({selected, [_]}, select(<<"a@h">>)).

%% Confirms what an operator sees, and that what succeeds is returned.
an_error_is_logged_and_raised_where_success_is_expected(_Config) ->
    Insert = fun() ->
        mongoose_rdbms:execute_successfully(?HT, insert, [<<"a@h">>, <<"n">>, <<"p">>, <<"{}">>, 7])
    end,
    ok = log_capture:start(),
    try
        ?assertEqual({updated, 1}, Insert()),
        ?assertError(#{what := sql_execute_failed, statement_name := insert,
                       reason := {error, duplicate_key}}, Insert()),
        ?assertMatch(#{host := ?HT, reason := {error, duplicate_key}},
                     log_capture:await(sql_execute_failed))
    after
        log_capture:stop()
    end.

%% Statements

%% Confirms that modules of several host types may prepare the same.
a_statement_is_prepared_once_for_all(_Config) ->
    ?assertEqual({error, already_exists},
                 mongoose_rdbms:prepare(select, ?TABLE, [owner_jid], <<"SELECT 1">>)),
    ?assertEqual({ok, one}, mongoose_rdbms:prepare(one, <<"t">>, [<<"f">>], ["SELECT ", <<"1">>])),
    [?assertEqual({selected, [{1}]}, execute(one, [])) || _ <- lists:seq(1, 5)].

%% Confirms that the connection which was given up for it is replaced.
a_statement_that_cannot_be_prepared_is_an_exit(_Config) ->
    prepare(wrong, "SELECT FROM WHERE"),
    prepare(nowhere, "SELECT a FROM nowhere WHERE a = ?"),
    ?assertExit(#{what := sql_prepare_failed, statement_name := wrong}, execute(wrong, [])),
    ?assertExit(#{what := sql_prepare_failed, statement_name := nowhere}, execute(nowhere, [1])),
    ?assertExit({lookup_statement_failed, unknown}, execute(unknown, [])),
    [?assertEqual({selected, []}, select(<<"a@h">>)) || _ <- lists:seq(1, 5)].

%% Confirms it with a statement that waits for a lock of another connection; they take turns.
statements_run_side_by_side(Config) ->
    {Lock, Unlock, Waiting} = locking(?config(engine, Config)),
    prepare(lock, Lock),
    prepare(unlock, Unlock),
    {selected, [_]} = execute(lock, []),
    {Pid, Ref} = spawn_monitor(fun() -> exit(execute(lock, [])) end),
    await(fun() -> database_service:sql(?config(database, Config), Waiting) =:= [{1}] end),
    ?assertEqual({selected, []}, select(<<"a@h">>)),
    ?assert(is_process_alive(Pid)),
    {selected, [_]} = execute(unlock, []),
    receive
        {'DOWN', Ref, process, Pid, Result} -> ?assertMatch({selected, [_]}, Result)
    after ?WAIT -> ct:fail(no_answer)
    end.

locking(pgsql) ->
    {"SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)",
     "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"};
locking(mysql) ->
    {"SELECT GET_LOCK('one', 20)", "SELECT RELEASE_LOCK('one')",
     "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'"}.

%% Connections

%% Confirms that callers are not kept waiting, and that nothing has to be started anew.
a_lost_database_is_an_exit_until_it_is_back(Config) ->
    Database = ?config(database, Config),
    {updated, 1} = insert(<<"a@h">>, <<"n">>, <<"p">>),
    ok = database_service:down(Database),
    [?assertExit(_, select(<<"a@h">>)) || _ <- lists:seq(1, 3)],
    ?assertExit(#{what := rdbms_connection_failed}, select(<<"a@h">>)),
    ok = database_service:up(Database),
    [?assertMatch({selected, [_]}, select(<<"a@h">>)) || _ <- lists:seq(1, 3)].

%% Confirms the answer with a pool and without.
the_engine_is_the_driver_of_the_pool(Config) ->
    ?assertEqual(?config(engine, Config), mongoose_rdbms:db_engine(?HT)),
    ok = host:stop(),
    ok = host:start(#{?HT => #{}}),
    ?assertEqual(undefined, mongoose_rdbms:db_engine(?HT)).

%% Confirms it with a user for each pool, whom the database knows.
a_pool_of_the_host_type_comes_before_the_global_one(Config) ->
    ok = host:stop(),
    [database_service:sql(?config(database, Config), Statement)
     || Statement <- second_user(?config(engine, Config))],
    Pool = #{conn_opts := Options} = pool(Config),
    Own = Pool#{scope := ?HT, conn_opts := Options#{username := "second", password := "2"}},
    OtherTag = Own#{scope := global, tag := other},
    ok = host:start(#{?HT => #{}, <<"h">> => #{}}, #{outgoing_pools => [Pool, OtherTag],
                                                     {outgoing_pools, ?HT} => [Own]}),
    prepare(who, "SELECT CURRENT_USER"),
    ?assertMatch({selected, [{<<"second", _/binary>>}]}, mongoose_rdbms:execute(?HT, who, [])),
    [?assertMatch({selected, [{<<"mongooseim", _/binary>>}]},
                  mongoose_rdbms:execute(HostType, who, [])) || HostType <- [<<"h">>, global]],
    ok = host:stop(),
    %% One pool for each host type, but of the host type that has its own.
    ok = host:start(#{?HT => #{}, <<"h">> => #{}},
                    #{outgoing_pools => [Pool#{scope := host_type}],
                      {outgoing_pools, ?HT} => [Own]}),
    prepare(who, "SELECT CURRENT_USER"),
    ?assertMatch({selected, [{<<"second", _/binary>>}]}, mongoose_rdbms:execute(?HT, who, [])),
    ?assertMatch({selected, [{<<"mongooseim", _/binary>>}]},
                 mongoose_rdbms:execute(<<"h">>, who, [])),
    ?assertMatch({error, {pool_not_started, _}}, mongoose_rdbms:execute(global, who, [])).

second_user(pgsql) ->
    ["DROP ROLE IF EXISTS second", "CREATE ROLE second LOGIN PASSWORD '2'"];
second_user(mysql) ->
    ["CREATE OR REPLACE USER second@'127.0.0.1' IDENTIFIED BY '2'",
     "GRANT SELECT ON mongooseim.* TO second@'127.0.0.1'"].

%% Confirms how modules notice, each in its way.
without_a_pool_nothing_is_executed(_Config) ->
    ok = host:stop(),
    ok = host:start(#{?HT => #{}}),
    ?assertError(badarg, mongoose_rdbms:prepare(one, t, [f], "SELECT 1")),
    ?assertEqual({error, {pool_not_started, {rdbms, global, default}}}, execute(one, [])),
    ?assertError(#{what := sql_execute_failed}, mongoose_rdbms:execute_successfully(?HT, one, [])).

%% Confirms that the error names the place, and that nothing of the host is left.
a_refused_connection_keeps_the_host_from_starting(Config) ->
    Pool = #{conn_opts := #{port := Port}} = pool(Config),
    ok = host:stop(),
    ok = database_service:down(?config(database, Config)),
    ?assertError(#{what := rdbms_connection_failed, host := "127.0.0.1", port := Port},
                 start_host([Pool])),
    ?assertNot(lists:keymember(host, 1, application:which_applications())).

%% Confirms that neither the error nor the log has the password.
a_wrong_password_keeps_the_host_from_starting(Config) ->
    Pool = #{conn_opts := Options} = pool(Config),
    ok = host:stop(),
    ok = log_capture:start(),
    try start_host([Pool#{conn_opts := Options#{password := "not the word"}}]) of
        ok -> ct:fail(started)
    catch
        error:Error = #{what := rdbms_connection_failed} ->
            Told = io_lib:format("~p", [[Error | log_capture:all()]]),
            ?assertEqual(nomatch, string:find(Told, "not the word"))
    after
        log_capture:stop()
    end.

%% MariaDB compares in the collation of the column, which is that of the server's character set

%% Confirms what = and LIKE take for the same, and that a key does, too.
case_accents_and_emoji_are_the_same_by_default(_Config) ->
    prepare(like, ["SELECT owner_jid FROM ", table(), " WHERE owner_jid LIKE ?"]),
    [begin
         {updated, 1} = insert(Stored, <<"n">>, <<"p">>),
         ?assertMatch({selected, [_]}, select(Asked)),
         ?assertEqual({selected, [{Stored}]}, execute(like, [Asked])),
         ?assertEqual({error, duplicate_key}, insert(Asked, <<"n">>, <<"p">>))
     end || {Stored, Asked} <- pairs()].

%% Confirms it for = and LIKE with parameters, and that a key stays as it is.
a_binary_collation_tells_all_characters_apart(_Config) ->
    Column = "owner_jid COLLATE utf8mb4_bin",
    prepare(equal_bin, ["SELECT owner_jid FROM ", table(), " WHERE ", Column, " = ?"]),
    prepare(like_bin, ["SELECT owner_jid FROM ", table(), " WHERE ", Column,
                       " LIKE ? ESCAPE '$'"]),
    [begin
         {updated, 1} = insert(Stored, <<"n">>, <<"p">>),
         [begin
              ?assertEqual({selected, [{Stored}]}, execute(Name, [Stored])),
              ?assertEqual({selected, []}, execute(Name, [Asked]))
          end || Name <- [equal_bin, like_bin]],
         ?assertEqual({error, duplicate_key}, insert(Asked, <<"n">>, <<"p">>))
     end || {Stored, Asked} <- pairs()].

%% Confirms that = ignores blanks at the end in the binary collation, too.
a_blank_at_the_end_is_told_apart_by_like_alone(_Config) ->
    {updated, 1} = insert(<<"a@h">>, <<"n">>, <<"p">>),
    Select = ["SELECT node FROM ", table(), " WHERE node COLLATE utf8mb4_bin "],
    prepare(equal_bin, [Select, "= ?"]),
    prepare(like_bin, [Select, "LIKE ?"]),
    ?assertEqual({selected, [{<<"n">>}]}, execute(equal_bin, [<<"n ">>])),
    ?assertEqual({selected, []}, execute(like_bin, [<<"n ">>])),
    ?assertEqual({error, duplicate_key}, insert(<<"a@h">>, <<"n ">>, <<"p">>)).

pairs() ->
    [{<<"josé@x"/utf8>>, <<"jose@x">>}, {<<"kate@x">>, <<"KATE@x">>},
     {<<"😀@x"/utf8>>, <<"👻@x"/utf8>>}].

%% Helpers

pool(Config) ->
    database_service:pool(?config(database, Config)).

start_host(Pools) ->
    ok = host:start(#{?HT => #{}}, #{outgoing_pools => Pools}),
    prepare(insert, ["INSERT INTO ", table(), " VALUES (?, ?, ?, ?, ?)"]),
    prepare(select, ["SELECT node, pubsub_jid, form, created_at FROM ", table(),
                     " WHERE owner_jid = ? ORDER BY node"]),
    prepare(delete, ["DELETE FROM ", table(),
                     " WHERE owner_jid = ? AND node = ? AND pubsub_jid = ?"]).

table() ->
    atom_to_list(?TABLE).

prepare(Name, Statement) ->
    {ok, Name} = mongoose_rdbms:prepare(Name, ?TABLE, [owner_jid], Statement),
    ok.

execute(Name, Params) ->
    mongoose_rdbms:execute(?HT, Name, Params).

insert(Owner, Node, PubsubJid) ->
    insert(Owner, Node, PubsubJid, <<"{}">>, 7).

insert(Owner, Node, PubsubJid, Form, CreatedAt) ->
    execute(insert, [Owner, Node, PubsubJid, Form, CreatedAt]).

select(Owner) ->
    execute(select, [Owner]).

delete(Owner, Node, PubsubJid) ->
    execute(delete, [Owner, Node, PubsubJid]).

%% A database does not tell who has begun to wait in it.
await(Condition) ->
    case Condition() of
        true -> ok;
        false -> receive after 50 -> await(Condition) end
    end.
