-module(host_rdbms).
-moduledoc "The pools of database connections that are configured in `outgoing_pools'.".
-behaviour(supervisor).

-export([start_pools/0, engine/0, add_statement/2, statement/1, execute/4]).
%% For the connections of a pool
-export([start_link/1, options/1, register_connection/2]).
-export([init/1]).

-type key() :: {mongooseim:host_type() | global, Tag :: atom()}.

-export_type([key/0]).

-define(POOLS, host_rdbms_pools).
-define(STATEMENTS, host_rdbms_statements).

%% Called before modules start, because they prepare statements. Without a pool there is nowhere to
%% keep those, as on a server.
-spec start_pools() -> ok.
start_pools() ->
    case pools() of
        Pools when map_size(Pools) =:= 0 -> ok;
        Pools -> start_pools(maps:map(fun(_Key, #{opts := #{workers := Size}}) -> Size end, Pools))
    end.

%% The sizes alone, so that no password gets into a report of a supervisor.
start_pools(Sizes) ->
    Spec = #{id => ?MODULE, start => {?MODULE, start_link, [Sizes]}, type => supervisor},
    case supervisor:start_child(host_sup, Spec) of
        {ok, _Pid} -> ok;
        {error, {{shutdown, {failed_to_start_child, _Id, Reason}}, _Spec}} -> error(Reason)
    end.

-spec engine() -> mongoose_rdbms:backend() | undefined.
engine() ->
    case maps:values(pools()) of
        [#{conn_opts := #{driver := Driver}} | _] -> Driver;
        [] -> undefined
    end.

%% Statements

%% False if there is one of that name.
-spec add_statement(mongoose_rdbms:query_name(), SQL :: binary()) -> boolean().
add_statement(Name, SQL) ->
    ets:insert_new(?STATEMENTS, {Name, SQL}).

-spec statement(mongoose_rdbms:query_name()) -> SQL :: binary().
statement(Name) ->
    case ets:lookup(?STATEMENTS, Name) of
        [{Name, SQL}] -> SQL;
        [] -> error({lookup_statement_failed, Name})
    end.

%% Executing

%% The connections of a pool take turns.
-spec execute(mongooseim:host_type() | global, Tag :: atom(), mongoose_rdbms:query_name(),
              mongoose_rdbms:query_params()) -> mongoose_rdbms:query_result().
execute(HostType, Tag, Name, Params) ->
    case [Key || Key <- [{HostType, Tag}, {global, Tag}], is_started(Key)] of
        [Key | _] ->
            Number = ets:update_counter(?POOLS, Key, {2, 1, ets:lookup_element(?POOLS, Key, 3), 1}),
            Connection = ets:lookup_element(?POOLS, {Key, Number}, 2),
            host_rdbms_connection:execute(Connection, Name, Params);
        [] ->
            {error, {pool_not_started, {rdbms, global, Tag}}}
    end.

is_started(Key) ->
    ets:info(?POOLS, id) =/= undefined andalso ets:member(?POOLS, Key).

%% Pools as configured

%% A pool of its own wins over the one that is made for each host type.
-spec pools() -> #{key() => map()}.
pools() ->
    HostTypes = mongoose_config:get_opt(hosts) ++ mongoose_config:get_opt(host_types),
    ForAll = [{Key, Pool} || Pool = #{type := rdbms} <- mongoose_config:get_opt(outgoing_pools),
                             Key <- keys(Pool, HostTypes)],
    Own = [{{HostType, Tag}, Pool}
           || HostType <- HostTypes,
              Pool = #{type := rdbms, tag := Tag}
                  <- mongoose_config:get_opt({outgoing_pools, HostType}, [])],
    maps:from_list(ForAll ++ Own).

keys(#{scope := global, tag := Tag}, _HostTypes) -> [{global, Tag}];
keys(#{scope := host_type, tag := Tag}, HostTypes) -> [{HostType, Tag} || HostType <- HostTypes].

%% For the connections of a pool

-spec start_link(Sizes :: #{key() => pos_integer()}) -> supervisor:startlink_ret().
start_link(Sizes) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Sizes).

-spec options(key()) -> map().
options(Key) ->
    #{Key := #{conn_opts := Options}} = pools(),
    Options.

-spec register_connection(key(), Number :: pos_integer()) -> true.
register_connection(Key, Number) ->
    ets:insert(?POOLS, {{Key, Number}, self()}).

-spec init(Sizes :: #{key() => pos_integer()}) ->
          {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Sizes) ->
    ?POOLS = ets:new(?POOLS, [named_table, public]),
    ?STATEMENTS = ets:new(?STATEMENTS, [named_table, public]),
    ets:insert(?POOLS, [{Key, 0, Size} || {Key, Size} <- maps:to_list(Sizes)]),
    {ok, {#{strategy => one_for_one},
          [connection(Key, Number) || {Key, Size} <- maps:to_list(Sizes),
                                      Number <- lists:seq(1, Size)]}}.

connection(Key, Number) ->
    #{id => {Key, Number}, start => {host_rdbms_connection, start_link, [Key, Number]}}.
