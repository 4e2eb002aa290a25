-module(push_store).
-moduledoc "What suites about the storage of registrations share: two host types with one store, and what is in it.".

-export([start/2, stop/1, start_host/1]).
-export([enable/1, enable/4, disable/1, disable/3, registrations/1, places/1, jid/1]).
-export([table/0, sql/2, count_by_domain/1, count_by_domain/2]).
-export([in_parallel/3, result/2]).

-include_lib("common_test/include/ct.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other.localhost">>).
-define(BACKEND, mod_event_pusher_push_backend).
-define(PUSH, mod_event_pusher_push).
-define(WAIT, 30000).

-type registration() :: {User :: binary(), Service :: binary(), Node :: binary(),
                         mod_event_pusher_push:form()}.

%% For a group of cases.
-spec start(mnesia | database_service:engine(), list()) -> list().
start(mnesia, Config) ->
    ok = push_rig:start_mnesia(Config),
    [{store, mnesia} | Config];
start(Engine, Config) ->
    {ok, Database} = database_service:start(Engine),
    [{store, Engine}, {database, Database} | Config].

-spec stop(list()) -> ok.
stop(Config) ->
    case ?config(store, Config) of
        mnesia -> host_mnesia:stop();
        _Engine -> database_service:stop(?config(database, Config))
    end.

%% With an empty table, but for what Mnesia has.
-spec start_host(list()) -> ok.
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

-spec enable(registration()) -> ok | {error, term()}.
enable({User, Service, Node, Form}) ->
    enable(User, Service, Node, Form).

%% What one host type enables, the other disables.
-spec enable(binary(), binary(), binary(), mod_event_pusher_push:form()) -> ok | {error, term()}.
enable(User, Service, Node, Form) ->
    ?BACKEND:enable(?HT, jid:to_bare(jid(User)), jid(Service), Node, Form).

-spec disable(binary()) -> ok | {error, term()}.
disable(User) ->
    ?BACKEND:disable(?OTHER_HT, jid(User)).

-spec disable(binary(), binary(), binary() | undefined) -> ok | {error, term()}.
disable(User, Service, Node) ->
    ?BACKEND:disable(?OTHER_HT, jid(User), jid(Service), Node).

%% Both host types give the same.
-spec registrations(binary()) -> [{binary(), binary(), mod_event_pusher_push:form()}].
registrations(User) ->
    [Services, Services] =
        [begin
             {ok, Found} = ?BACKEND:get_publish_services(HostType, jid(User)),
             lists:sort([{jid:to_binary(Service), Node, Form} || {Service, Node, Form} <- Found])
         end || HostType <- [?HT, ?OTHER_HT]],
    Services.

-spec places(binary()) -> [{binary(), binary()}].
places(User) ->
    [{Service, Node} || {Service, Node, _Form} <- registrations(User)].

%% Also what stringprep does not know, or would write differently.
-spec jid(binary()) -> jid:jid().
jid(Text) ->
    jid:from_binary_noprep(Text).

%% Tables

-spec table() -> string().
table() ->
    "event_pusher_push_subscription".

-spec sql(list(), unicode:chardata()) -> [tuple()] | integer().
sql(Config, Statement) ->
    database_service:sql(?config(database, Config), Statement).

%% How many registrations each domain has.
-spec count_by_domain(list()) -> #{binary() => pos_integer()}.
count_by_domain(Config) ->
    count_by_domain(?config(store, Config), Config).

-spec count_by_domain(mnesia | database_service:engine(), list()) -> #{binary() => pos_integer()}.
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

%% What the function gives for each, or how it fails, in no order.
-spec in_parallel(pos_integer(), fun((One) -> Result), [One]) -> [Result | {atom(), term()}].
in_parallel(Processes, Fun, List) ->
    Shares = [[One || {N, One} <- lists:enumerate(List), N rem Processes =:= I]
              || I <- lists:seq(0, Processes - 1)],
    Running = [spawn_monitor(fun() -> exit({results, [result(Fun, One) || One <- Share]}) end)
               || Share <- Shares],
    lists:append([receive {'DOWN', Monitor, process, Pid, {results, Results}} -> Results
                  after ?WAIT -> ct:fail(no_result)
                  end || {Pid, Monitor} <- Running]).

-spec result(fun((One) -> Result), One) -> Result | {atom(), term()}.
result(Fun, Argument) ->
    try Fun(Argument)
    catch Class:Reason -> {Class, Reason}
    end.
