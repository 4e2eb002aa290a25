-module(host_wpool).
-moduledoc "The processes of one pool of mongoose_wpool: its workers, and a queue that feeds them.".
-behaviour(supervisor).

-export([create_table/0, forget/1]).
-export([start_link/2, start_workers/2, register/2, queue/1, worker/2]).
-export([init/1]).

%% A worker that is replaced has another pid, so pids are looked up by the name of their pool.
-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {read_concurrency, true}]),
    ok.

-spec forget(Pool :: atom()) -> ok.
forget(Pool) ->
    true = ets:match_delete(?MODULE, {{Pool, '_'}, '_'}),
    ok.

-spec start_link(Pool :: atom(), Size :: pos_integer()) -> supervisor:startlink_ret().
start_link(Pool, Size) ->
    supervisor:start_link({local, Pool}, ?MODULE, {pool, Pool, Size}).

-spec start_workers(Pool :: atom(), Size :: pos_integer()) -> supervisor:startlink_ret().
start_workers(Pool, Size) ->
    supervisor:start_link(?MODULE, {workers, Pool, Size}).

%% The queue and each worker register themselves.
-spec register(Pool :: atom(), queue | pos_integer()) -> ok.
register(Pool, Part) ->
    true = ets:insert(?MODULE, {{Pool, Part}, self()}),
    ok.

-spec queue(Pool :: atom()) -> pid().
queue(Pool) ->
    ets:lookup_element(?MODULE, {Pool, queue}, 2).

-spec worker(Pool :: atom(), Number :: pos_integer()) -> pid().
worker(Pool, Number) ->
    ets:lookup_element(?MODULE, {Pool, Number}, 2).

%% A lost worker is replaced alone; a lost queue no longer knows who is free, so all start again.
-spec init({pool | workers, atom(), pos_integer()}) ->
          {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({pool, Pool, Size}) ->
    {ok, {flags(one_for_all),
          [#{id => queue, start => {host_wpool_queue, start_link, [Pool]}},
           #{id => workers, start => {?MODULE, start_workers, [Pool, Size]}, type => supervisor}]}};
init({workers, Pool, Size}) ->
    {ok, {flags(one_for_one),
          [#{id => Number, start => {host_wpool_worker, start_link, [Pool, Number]}}
           || Number <- lists:seq(1, Size)]}}.

flags(Strategy) ->
    #{strategy => Strategy, intensity => 5, period => 60}.
