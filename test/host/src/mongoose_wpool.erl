-module(mongoose_wpool).
-moduledoc "Pools of workers that modules start and choose by host type and tag; of type generic.".

-export([start/4, start/5, stop/3]).
-export([call/4, call/5, cast/4, cast/5, get_worker/3]).
-export([stats/3, make_pool_name/3, workers_queue_len/1, probe/3]).
-export([create_table/0]).

-type pool_type() :: generic.
-type host_type_or_global() :: host_domains:host_type() | global.
-type tag() :: atom().
-type proc_name() :: atom().
-type strategy() :: best_worker | random_worker | next_worker | available_worker
                  | next_available_worker.
-type pool_opts() :: [{workers | call_timeout | max_worker_queue_len, non_neg_integer()}
                      | {strategy, strategy()}].
-type pool_name() :: {pool_type(), host_type_or_global(), tag()}.
-type pool_error() :: {pool_not_started, pool_name()}.

-record(pool, {key :: pool_name(),
               name :: proc_name(),
               size :: pos_integer(),
               strategy :: strategy(),
               call_timeout :: pos_integer(),
               next = 0 :: non_neg_integer()}).

-export_type([pool_type/0, tag/0, proc_name/0, pool_name/0, pool_opts/0]).

-define(DEFAULT_WORKERS, 100).
-define(DEFAULT_CALL_TIMEOUT_MS, 5000).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {keypos, #pool.key}]),
    ok.

%% Starting and stopping

-spec start(pool_type(), host_type_or_global(), tag(), pool_opts()) ->
          {ok, pid()} | {error, term()}.
start(Type, HostType, Tag, Opts) ->
    start(Type, HostType, Tag, Opts, #{}).

%% As on a server, a pool that is there already raises, because its metric is.
-spec start(pool_type(), host_type_or_global(), tag(), pool_opts(), ConnOpts :: map()) ->
          {ok, pid()} | {error, term()}.
start(generic, HostType, Tag, Opts, _ConnOpts) ->
    Pool = pool({generic, HostType, Tag}, Opts),
    mongoose_instrument:set_up(instrumentation(Pool#pool.key)),
    case supervisor:start_child(ejabberd_sup, child_spec(Pool)) of
        {ok, Pid} ->
            true = ets:insert(?MODULE, Pool),
            {ok, Pid};
        {error, Reason} ->
            mongoose_instrument:tear_down(instrumentation(Pool#pool.key)),
            {error, Reason}
    end.

pool(Key = {Type, HostType, Tag}, Opts) ->
    #pool{key = Key,
          name = make_pool_name(Type, HostType, Tag),
          size = proplists:get_value(workers, Opts, ?DEFAULT_WORKERS),
          strategy = proplists:get_value(strategy, Opts, best_worker),
          call_timeout = proplists:get_value(call_timeout, Opts, ?DEFAULT_CALL_TIMEOUT_MS)}.

child_spec(#pool{name = Name, size = Size}) ->
    #{id => Name, start => {host_wpool, start_link, [Name, Size]}, type => supervisor}.

-spec stop(pool_type(), host_type_or_global(), tag()) -> ok.
stop(Type, HostType, Tag) ->
    Key = {Type, HostType, Tag},
    Name = make_pool_name(Type, HostType, Tag),
    true = ets:delete(?MODULE, Key),
    _ = ejabberd_sup:stop_child(Name),
    host_wpool:forget(Name),
    mongoose_instrument:tear_down(instrumentation(Key)).

%% Requests

-spec call(pool_type(), host_type_or_global(), tag(), Request :: term()) ->
          {ok, term()} | {error, term()}.
call(Type, HostType, Tag, Request) ->
    with_pool(Type, HostType, Tag, fun
        (#pool{strategy = available_worker, name = Name, call_timeout = Timeout}) ->
            check_running(Name),
            host_wpool_queue:call(host_wpool:queue(Name), Request, Timeout);
        (Pool = #pool{call_timeout = Timeout}) ->
            gen_server:call(choose(Pool), Request, Timeout)
    end).

-spec call(pool_type(), host_type_or_global(), tag(), HashKey :: term(), Request :: term()) ->
          {ok, term()} | {error, term()}.
call(Type, HostType, Tag, HashKey, Request) ->
    with_pool(Type, HostType, Tag, fun(Pool = #pool{call_timeout = Timeout}) ->
        gen_server:call(choose(Pool, HashKey), Request, Timeout)
    end).

%% A task for the queue of a pool that is just not there is lost without a word.
-spec cast(pool_type(), host_type_or_global(), tag(), Request :: term()) ->
          ok | {error, pool_error()}.
cast(Type, HostType, Tag, Request) ->
    with_pool(Type, HostType, Tag, fun
        (#pool{strategy = available_worker, name = Name}) ->
            host_wpool_queue:cast(host_wpool:queue(Name), Request);
        (Pool) ->
            gen_server:cast(choose(Pool), Request)
    end).

-spec cast(pool_type(), host_type_or_global(), tag(), HashKey :: term(), Request :: term()) ->
          ok | {error, pool_error()}.
cast(Type, HostType, Tag, HashKey, Request) ->
    with_pool(Type, HostType, Tag, fun(Pool) ->
        gen_server:cast(choose(Pool, HashKey), Request)
    end).

-spec get_worker(pool_type(), host_type_or_global(), tag()) -> {ok, pid()} | {error, pool_error()}.
get_worker(Type, HostType, Tag) ->
    with_pool(Type, HostType, Tag, fun(Pool) -> {ok, choose(Pool)} end).

with_pool(Type, HostType, Tag, Fun) ->
    case {ets:lookup(?MODULE, {Type, HostType, Tag}), HostType} of
        {[Pool], _} -> Fun(Pool);
        {[], global} -> {error, {pool_not_started, {Type, global, Tag}}};
        {[], _} -> with_pool(Type, global, Tag, Fun)
    end.

%% The strategies that are none of those below share one: each worker in its turn.
choose(Pool = #pool{strategy = best_worker, name = Name}) ->
    check_running(Name),
    {_Length, Worker} = lists:min(mailboxes(Pool)),
    Worker;
choose(Pool = #pool{strategy = next_available_worker, name = Name}) ->
    check_running(Name),
    case [Worker || {0, Worker} <- mailboxes(Pool), is_idle(Worker)] of
        [Worker | _] -> Worker;
        [] -> exit(no_available_workers)
    end;
choose(#pool{key = Key, name = Name, size = Size}) ->
    check_running(Name),
    host_wpool:worker(Name, ets:update_counter(?MODULE, Key, {#pool.next, 1, Size, 1})).

choose(#pool{name = Name, size = Size}, HashKey) ->
    check_running(Name),
    host_wpool:worker(Name, 1 + erlang:phash2(HashKey, Size)).

is_idle(Worker) ->
    process_info(Worker, current_function) =:= {current_function, {gen_server, loop, 7}}.

check_running(Name) ->
    whereis(Name) =/= undefined orelse exit(no_workers).

%% A worker that is just being replaced has no mailbox, and is chosen only if there is no other.
mailboxes(#pool{name = Name, size = Size}) ->
    Pids = [host_wpool:worker(Name, Number) || Number <- lists:seq(1, Size)],
    [{mailbox(process_info(Pid, message_queue_len)), Pid} || Pid <- Pids].

mailbox({message_queue_len, Length}) -> Length;
mailbox(undefined) -> infinity.

%% Looking at a pool

%% Knows the pool with this key only, and not a global one in its place.
-spec stats(pool_type(), host_type_or_global(), tag()) -> [{atom(), term()}].
stats(Type, HostType, Tag) ->
    Name = make_pool_name(Type, HostType, Tag),
    check_running(Name),
    [Pool] = ets:lookup(?MODULE, {Type, HostType, Tag}),
    Waiting = host_wpool_queue:waiting(host_wpool:queue(Name)),
    [{pool, Name},
     {supervisor, whereis(Name)},
     {size, Pool#pool.size},
     {total_message_queue_len, Waiting + in_mailboxes(Pool)}].

-spec make_pool_name(pool_type(), host_type_or_global(), tag()) -> proc_name().
make_pool_name(Type, global, Tag) ->
    make_pool_name(Type, <<"global">>, Tag);
make_pool_name(Type, HostType, Tag) ->
    list_to_atom(lists:flatten(io_lib:format("mongoose_wpool$~ts$~ts$~ts", [Type, HostType, Tag]))).

%% Leaves out what waits for a worker.
-spec workers_queue_len(proc_name()) -> non_neg_integer().
workers_queue_len(Name) ->
    lists:sum([in_mailboxes(Pool) || Pool <- ets:tab2list(?MODULE), Pool#pool.name =:= Name]).

in_mailboxes(Pool) ->
    lists:sum([Length || {Length, _Pid} <- mailboxes(Pool), is_integer(Length)]).

-spec probe(mongoose_instrument:event_name(), mongoose_instrument:labels(), Extra :: map()) ->
          mongoose_instrument:measurements().
probe(_Event, Labels = #{pool_type := Type, pool_tag := Tag}, _Extra) ->
    HostType = maps:get(host_type, Labels, global),
    #{total => workers_queue_len(make_pool_name(Type, HostType, Tag))}.

instrumentation({Type, global, Tag}) ->
    [{wpool_global_queue_lengths, #{pool_type => Type, pool_tag => Tag}, probe_config()}];
instrumentation({Type, HostType, Tag}) ->
    [{wpool_queue_lengths, #{host_type => HostType, pool_type => Type, pool_tag => Tag},
      probe_config()}].

probe_config() ->
    #{probe => #{module => ?MODULE}, metrics => #{total => gauge}}.
