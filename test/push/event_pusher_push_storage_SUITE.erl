-module(event_pusher_push_storage_SUITE).
-moduledoc "What a probe says of the storage of registrations: in Mnesia, PostgreSQL and MariaDB, while it works and while it does not.".

-behaviour(ct_suite).

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([a_storage_that_works_is_told/1,
         a_table_that_is_missing_is_told/1]).
%% Mnesia
-export([a_mnesia_that_does_not_run_is_told/1,
         a_table_that_waits_for_another_node_is_told_with_that_node/1]).
%% Databases
-export([a_database_that_is_away_is_told_until_it_is_back/1,
         a_database_that_hangs_is_told_within_seconds/1,
         a_pool_that_is_not_configured_is_no_start/1]).
%% PostgreSQL
-export([a_permission_that_is_missing_is_told_in_words_of_the_database/1]).
%% For another node
-export([join/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(PUSH, {push, ?HT}).
-define(BOTH, [a_storage_that_works_is_told, a_table_that_is_missing_is_told]).
-define(DATABASES, [a_database_that_is_away_is_told_until_it_is_back,
                    a_database_that_hangs_is_told_within_seconds,
                    a_pool_that_is_not_configured_is_no_start]).

all() ->
    [{group, mnesia}, {group, pgsql}, {group, mysql}].

groups() ->
    [{mnesia, ?BOTH ++ [a_mnesia_that_does_not_run_is_told,
                        a_table_that_waits_for_another_node_is_told_with_that_node]},
     {pgsql, ?BOTH ++ ?DATABASES ++ [a_permission_that_is_missing_is_told_in_words_of_the_database]},
     {mysql, ?BOTH ++ ?DATABASES}].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    ok = rig:start_application(),
    Config.

end_per_suite(_Config) ->
    application:stop(event_pusher).

init_per_group(mnesia, Config) ->
    [{store, mnesia} | Config];
init_per_group(Engine, Config) ->
    {ok, Database} = database_service:start(Engine),
    [{store, Engine}, {database, Database} | Config].

end_per_group(mnesia, _Config) ->
    ok;
end_per_group(_Engine, Config) ->
    database_service:stop(?config(database, Config)).

init_per_testcase(_Case, Config) ->
    case ?config(store, Config) of
        mnesia ->
            ok = push_rig:start_mnesia(Config),
            ok = push_rig:start_host();
        _Engine ->
            ok = database_service:reset(?config(database, Config)),
            ok = start_host(database_service:pool(?config(database, Config)))
    end,
    Config.

end_per_testcase(_Case, Config) ->
    ok = push_rig:stop_host(),
    case ?config(store, Config) of
        mnesia -> host_mnesia:stop();
        _Engine -> ok
    end.

start_host(Pool) ->
    {module, _} = code:ensure_loaded(mod_event_pusher_push),
    rig:start_host(#{mod_event_pusher => #{push => push_rig:opts(#{backend => rdbms})}},
                   #{outgoing_pools => [Pool]}).

%% Confirms it with registrations and without, and that none is made.
a_storage_that_works_is_told(Config) ->
    Told = {works, iolist_to_binary(["registrations can be read (", backend(Config), ")"])},
    ?assertEqual({ok, [Told]}, event_pusher:probe(?PUSH)),
    ok = push_rig:enable(<<"bob@localhost/phone">>, <<"push.localhost">>),
    ?assertEqual({ok, [Told]}, event_pusher:probe(?PUSH)),
    ?assertMatch([_], push_rig:registrations(<<"bob@localhost">>)).

backend(Config) ->
    case ?config(store, Config) of mnesia -> "mnesia"; _Engine -> "rdbms" end.

%% Confirms that the remedy is told.
a_table_that_is_missing_is_told(Config) ->
    Wanted = case ?config(store, Config) of
        mnesia ->
            {atomic, ok} = mnesia:delete_table(push_subscription),
            "there is no table push_subscription in Mnesia: restart the node, which makes it";
        _Engine ->
            _ = database_service:sql(?config(database, Config), "DROP TABLE event_pusher_push_subscription"),
            "there is no table event_pusher_push_subscription in the database: make it, as the server's schema "
            "has it, priv/pg.sql, priv/mysql.sql or priv/cockroachdb.sql"
    end,
    ?assertEqual("registrations cannot be read: " ++ Wanted, broken()).

%% Mnesia

a_mnesia_that_does_not_run_is_told(_Config) ->
    ok = host_mnesia:stop(),
    ?assertEqual("registrations cannot be read: Mnesia does not run on this node: restart it", broken()).

%% Confirms it with two nodes, of which the one that went first has come back alone.
a_table_that_waits_for_another_node_is_told_with_that_node(_Config) ->
    true = os:putenv("ERL_EPMD_PORT", integer_to_list(rig:free_port())),
    true = os:putenv("ERL_EPMD_ADDRESS", "127.0.0.1"),
    [{First, _}, {Last, _}] = Nodes = [named(Name) || Name <- ["first", "last"]],
    try
        Name = child_node:call(First, erlang, node, []),
        Other = child_node:call(Last, erlang, node, []),
        ok = child_node:call(First, push_rig, start_host, []),
        ok = child_node:call(Last, ?MODULE, join, [Name]),
        stopped = child_node:call(First, mnesia, stop, []),
        stopped = child_node:call(Last, mnesia, stop, []),
        ok = child_node:call(First, mnesia, start, []),
        {ok, [{broken, Text}]} = child_node:call(First, event_pusher, probe, [?PUSH]),
        Names = lists:join(", ", lists:sort([atom_to_list(Node) || Node <- [Name, Other]])),
        ?assertEqual(lists:flatten(["registrations cannot be read: the table push_subscription of Mnesia is not "
                                    "loaded, it waits for the nodes that had it last, among ", Names, ": start them"]),
                     binary_to_list(Text))
    after
        [begin
             child_node:stop(Node),
             ok = file:del_dir_r(Folder)
         end || {Node, Folder} <- Nodes],
        _ = os:cmd("epmd -kill"),
        [true = os:unsetenv(Variable) || Variable <- ["ERL_EPMD_PORT", "ERL_EPMD_ADDRESS"]]
    end.

%% It may write there, whoever runs it.
named(Name) ->
    Node = child_node:start(["-sname", Name ++ os:getpid() ++ "@localhost", "-setcookie", "test",
                             "-kernel", "inet_dist_use_interface", "{127,0,0,1}"]),
    Folder = "/tmp/event_pusher_mnesia_" ++ Name ++ child_node:os_pid(Node),
    ok = child_node:call(Node, rig, start_application, []),
    ok = child_node:call(Node, filelib, ensure_path, [Folder]),
    ok = child_node:call(Node, push_rig, start_mnesia, [[{priv_dir, Folder}]]),
    {Node, Folder}.

%% A copy of what the other node has.
-spec join(node()) -> ok.
join(Node) ->
    stopped = mnesia:stop(),
    ok = mnesia:delete_schema([node()]),
    ok = mnesia:start(),
    {ok, [Node]} = mnesia:change_config(extra_db_nodes, [Node]),
    {atomic, ok} = mnesia:change_table_copy_type(schema, node(), disc_copies),
    {atomic, ok} = mnesia:add_table_copy(push_subscription, node(), disc_copies),
    ok.

%% Databases

a_database_that_is_away_is_told_until_it_is_back(Config) ->
    Database = ?config(database, Config),
    {ok, [{works, _}]} = event_pusher:probe(?PUSH),
    ok = database_service:down(Database),
    ?assertMatch("registrations cannot be read: the database of [outgoing_pools.rdbms.default] does not "
                 "answer (" ++ _, broken()),
    ok = database_service:up(Database),
    ?assertMatch({ok, [{works, _}]}, event_pusher:probe(?PUSH)).

%% Confirms that nobody waits as long as the server would.
a_database_that_hangs_is_told_within_seconds(Config) ->
    ok = push_rig:stop_host(),
    #{port := Port} = database_service:info(?config(database, Config)),
    Proxy = freezing_proxy:start(Port),
    #{conn_opts := Connection} = Pool = database_service:pool(?config(database, Config)),
    ok = start_host(Pool#{conn_opts := Connection#{port := freezing_proxy:port(Proxy)}}),
    {ok, [{works, _}]} = event_pusher:probe(?PUSH),
    ok = freezing_proxy:freeze(Proxy),
    ?assertEqual("registrations cannot be read: no answer within 5 s (rdbms)", broken()).

%% Confirms that the section is named.
a_pool_that_is_not_configured_is_no_start(Config) ->
    ok = push_rig:stop_host(),
    Pool = database_service:pool(?config(database, Config)),
    ?assertError(#{what := event_pusher_pool_not_started,
                   reason := [<<"backend: must be another one without [outgoing_pools.rdbms.default], "
                                "got \"rdbms\"">>]},
                 start_host(Pool#{tag := another})).

a_permission_that_is_missing_is_told_in_words_of_the_database(Config) ->
    #{username := User} = database_service:info(?config(database, Config)),
    _ = database_service:sql(?config(database, Config),
                             ["REVOKE ALL ON event_pusher_push_subscription FROM ", User]),
    ?assertEqual("registrations cannot be read: the database says: permission denied for table "
                 "event_pusher_push_subscription", broken()).

broken() ->
    {ok, [{broken, Text}]} = event_pusher:probe(?PUSH),
    binary_to_list(Text).
