-module(push_jobs).
-moduledoc "What suites about the pool of push notifications share: jobs that tell who runs them, and counts.".

-export([start/2, start_again/2, opts/2, stop/0, pool/0]).
-export([push/1, tell/1, ran/1, next_ran/0, nothing_ran/0, awaiting/0, large_job/1]).
-export([total/1, gauge/1]).

-define(POOL, event_pusher_push_pool).
-define(HT, <<"localhost">>).
-define(LABELS, #{host_type => ?HT, pool_type => push, pool_tag => pusher_push}).
-define(HOUR, 3600000).
-define(WAIT, 10000).

-spec start(Queue :: map(), Wpool :: map()) -> ok.
start(Queue, Wpool) ->
    push_rig:start_host(opts(Queue, Wpool)).

-spec start_again(Queue :: map(), Wpool :: map()) -> ok.
start_again(Queue, Wpool) ->
    {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push,
                                                   push_rig:opts(opts(Queue, Wpool))),
    ok.

-spec opts(Queue :: map(), Wpool :: map()) -> map().
opts(Queue, Wpool) ->
    #{wpool := Defaults} = push_rig:opts(#{}),
    #{queue => Queue, wpool => maps:merge(Defaults, Wpool)}.

-spec stop() -> ok.
stop() ->
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
    ok.

-spec pool() -> pid() | undefined.
pool() ->
    whereis(mongoose_wpool:make_pool_name(generic, ?HT, pusher_push)).

-spec push(event_pusher_push_pool:job()) -> ok | {error, full | closed}.
push(Job) ->
    ?POOL:push(?HT, Job).

%% A job that tells who runs it.
-spec tell(term()) -> event_pusher_push_pool:job().
tell(What) ->
    Test = self(),
    fun(_Ticket) -> Test ! {ran, What, self()}, delivered end.

%% Who ran it.
-spec ran(term()) -> pid().
ran(What) ->
    receive {ran, What, Pid} -> Pid after ?WAIT -> ct:fail({did_not_run, What}) end.

-spec next_ran() -> term().
next_ran() ->
    receive {ran, What, _Pid} -> What after ?WAIT -> ct:fail(nothing_runs) end.

-spec nothing_ran() -> ok.
nothing_ran() ->
    receive {ran, What, _Pid} -> ct:fail({ran, What}) after 0 -> ok end.

%% The ticket of a job that has started and waits for its answer.
-spec awaiting() -> event_pusher_push_pool:ticket().
awaiting() ->
    Test = self(),
    ok = push(fun(Ticket) -> Test ! {awaiting, Ticket}, {await, ?HOUR} end),
    receive {awaiting, Ticket} -> Ticket after ?WAIT -> ct:fail(did_not_run) end.

-spec large_job(non_neg_integer()) -> event_pusher_push_pool:job().
large_job(Size) ->
    Body = binary:copy(<<"x">>, Size),
    fun(_Ticket) -> Size = byte_size(Body), delivered end.

-spec total(atom()) -> non_neg_integer().
total(Metric) ->
    host_metrics:total(event_pusher_events, ?LABELS, Metric).

-spec gauge(atom()) -> non_neg_integer().
gauge(Level) ->
    case host_metrics:gauge(event_pusher_queue, ?LABELS, Level) of
        undefined -> 0;
        Value -> Value
    end.
