-module(event_pusher_push_pool).
-moduledoc "The server's worker pool for push notifications, with a bounded queue in front of it.".

%% Jobs stay in the queue's tables until they have ended. What goes through the worker pool are
%% calls that each take the oldest job there; calls that get lost with a worker or the whole pool
%% are made again.

-behaviour(gen_server).

-export([start/3, stop/1, push/2, stats/1, labels/1]).
%% For jobs that wait for an answer
-export([answered/2, resume/2]).
%% Called by the supervisor and by workers
-export([start_link/2, work/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([job/0, ticket/0, fate/0]).

-include_lib("kernel/include/logger.hrl").

%% Runs in a worker. If it waits for an answer, somebody calls answered/2 or resume/2 with the
%% ticket; if nobody does so in time, the job is exhausted, and unanswered if the pool stops before.
-type job() :: fun((ticket()) -> fate() | {await, TimeoutMs :: pos_integer()}).
-type fate() :: delivered | {rejected | exhausted, Cause :: binary()}.
-opaque ticket() :: {mongooseim:host_type(), event_pusher_push_queue:queue(),
                     event_pusher_push_queue:id()}.

-type state() :: #{host_type := mongooseim:host_type(),
                   queue := event_pusher_push_queue:queue(),
                   drain_timeout_ms := non_neg_integer(),
                   interval_ms := pos_integer(),
                   previous := event_pusher:report()}.

-define(KEY(HostType), {?MODULE, HostType}).
%% The server's name for the pool of this backend.
-define(TAG, pusher_push).
-define(EXIT_WITHIN_MS, 3000).

%% Starting and stopping

-spec start(mongooseim:host_type(), Wpool :: map(), event_pusher_backend:queue_opts()) -> ok.
start(HostType, Wpool, #{drain_timeout_ms := Drain} = QueueOpts) ->
    {ok, _} = mongoose_wpool:start(generic, HostType, ?TAG, maps:to_list(Wpool)),
    {ok, _} = ejabberd_sup:start_child(
                  #{id => ?KEY(HostType),
                    start => {?MODULE, start_link, [HostType, QueueOpts]},
                    shutdown => Drain + ?EXIT_WITHIN_MS}),
    ok.

%% Drains the queue up to its deadline, but waits for no answer. The supervisor is not kept waiting
%% meanwhile. An owner that is killed drains nothing, but the rest is stopped.
-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    try
        ok = gen_server:call(owner(HostType), drain, infinity)
    catch
        exit:_ -> ok
    end,
    _ = ejabberd_sup:stop_child(?KEY(HostType)),
    mongoose_wpool:stop(generic, HostType, ?TAG),
    ok.

-spec start_link(mongooseim:host_type(), event_pusher_backend:queue_opts()) ->
    gen_server:start_ret().
start_link(HostType, QueueOpts) ->
    gen_server:start_link({local, owner(HostType)}, ?MODULE, {HostType, QueueOpts}, []).

-spec owner(mongooseim:host_type()) -> atom().
owner(HostType) ->
    gen_mod:get_module_proc(HostType, ?MODULE).

%% Jobs

%% Takes microseconds and never waits.
-spec push(mongooseim:host_type(), job()) -> ok | {error, full | closed}.
push(HostType, Job) ->
    case persistent_term:get(?KEY(HostType), undefined) of
        undefined ->
            {error, closed};
        Queue ->
            case event_pusher_push_queue:add(Queue, Job) of
                ok -> call_workers(HostType, Queue, 1);
                {error, Reason} -> {error, Reason}
            end
    end.

-spec answered(ticket(), fate()) -> ok.
answered({HostType, Queue, Id}, Fate) ->
    finish(HostType, Queue, Id, Fate).

%% The answer needs more work than the process that brings it should do.
-spec resume(ticket(), job()) -> ok.
resume({HostType, Queue, Id}, Job) ->
    case event_pusher_push_queue:again(Queue, Id, Job) of
        ok -> call_workers(HostType, Queue, 1);
        gone -> ok
    end.

%% In a worker: one job for each call, so that there are never more calls than jobs, and one for
%% each call that found no free worker.
-spec work(mongooseim:host_type(), event_pusher_push_queue:queue()) -> ok.
work(HostType, Queue) ->
    case event_pusher_push_queue:claim(Queue) of
        {ok, Id, Job} -> run(HostType, Queue, Id, Job);
        empty -> ok
    end,
    case event_pusher_push_queue:take_missed(Queue) of
        true -> work(HostType, Queue);
        false -> ok
    end.

run(HostType, Queue, Id, Job) ->
    Run = fun() -> Job({HostType, Queue, Id}) end,
    case event_pusher_backend:isolate(labels(HostType), Run, {rejected, <<"crash">>}) of
        {await, Timeout} -> event_pusher_push_queue:await(Queue, Id, Timeout);
        Fate -> finish(HostType, Queue, Id, Fate)
    end.

-spec finish(mongooseim:host_type(), event_pusher_push_queue:queue(),
             event_pusher_push_queue:id(), fate()) -> ok.
finish(HostType, Queue, Id, Fate) ->
    _ = event_pusher_push_queue:remove(Queue, Id,
                                       fun(Time) -> count(HostType, Queue, Time, Fate) end),
    ok.

count(HostType, Queue, Time, delivered) ->
    event_pusher_backend:delivered_after(Time, labels(HostType)),
    event_pusher_push_queue:count(Queue, delivered);
count(_HostType, Queue, _Time, {Fate, Cause}) ->
    event_pusher_push_queue:cause(Queue, Fate, Cause),
    event_pusher_push_queue:count(Queue, Fate).

%% With some strategies, the server's pool raises when no worker is free, or none is there. Then
%% one that becomes free makes up for the rest of the calls, or, later, the owner of the queue.
-spec call_workers(mongooseim:host_type(), event_pusher_push_queue:queue(),
                   Calls :: non_neg_integer()) -> ok.
call_workers(_HostType, _Queue, 0) ->
    ok;
call_workers(HostType, Queue, Calls) ->
    try mongoose_wpool:cast(generic, HostType, ?TAG, {?MODULE, work, [HostType, Queue]}) of
        _ -> call_workers(HostType, Queue, Calls - 1)
    catch
        exit:_ -> event_pusher_push_queue:miss(Queue, Calls)
    end.

%% Looking inside

-spec stats(mongooseim:host_type()) -> {ok, event_pusher:stats()} | {error, closed}.
stats(HostType) ->
    case persistent_term:get(?KEY(HostType), undefined) of
        undefined -> {error, closed};
        Queue -> {ok, report(Queue)}
    end.

-spec labels(mongooseim:host_type()) -> event_pusher_backend:labels().
labels(HostType) ->
    #{host_type => HostType, pool_type => push, pool_tag => ?TAG}.

%% gen_server callbacks: the owner of the queue

-spec init({mongooseim:host_type(), event_pusher_backend:queue_opts()}) -> {ok, state()}.
init({HostType, #{drain_timeout_ms := Drain} = Limits}) ->
    process_flag(trap_exit, true),
    ok = close_leftover(HostType),
    Queue = event_pusher_push_queue:new(Limits),
    persistent_term:put(?KEY(HostType), Queue),
    {ok, look_later(#{host_type => HostType,
                      queue => Queue,
                      drain_timeout_ms => Drain,
                      interval_ms => event_pusher_env:get(report_interval_ms),
                      previous => report(Queue)})}.

-spec handle_call(term(), gen_server:from(), state()) -> {reply, ok | {error, unknown}, state()}.
handle_call(drain, _From, State) ->
    {reply, ok, drain(State)};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info(look, State) ->
    give_up_lost_jobs(State),
    repeat_lost_calls(State),
    {noreply, look_later(tell(State))};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), state()) -> ok.
terminate(_Reason, #{host_type := HostType} = State) ->
    _ = drain(State),
    _ = persistent_term:erase(?KEY(HostType)),
    ok.

-spec look_later(state()) -> state().
look_later(#{interval_ms := Interval} = State) ->
    _ = erlang:send_after(Interval, self(), look),
    State.

%% The second time there is nothing left to wait for.
-spec drain(state()) -> state().
drain(#{queue := Queue, drain_timeout_ms := Drain} = State) ->
    repeat_lost_calls(State),
    ok = event_pusher_push_queue:close(Queue, Drain),
    tell(State).

%% Of a former owner that was killed: somebody has to say what was dropped, and what was refused
%% until now.
-spec close_leftover(mongooseim:host_type()) -> ok.
close_leftover(HostType) ->
    case persistent_term:get(?KEY(HostType), undefined) of
        undefined ->
            ok;
        Queue ->
            Before = report(Queue),
            ok = event_pusher_push_queue:close(Queue, 0),
            event_pusher_backend:report(Before#{refused_closed := 0}, report(Queue),
                                        labels(HostType))
    end.

-spec give_up_lost_jobs(state()) -> ok.
give_up_lost_jobs(#{host_type := HostType, queue := Queue}) ->
    [finish(HostType, Queue, Id, {rejected, <<"worker died">>})
     || Id <- event_pusher_push_queue:lost(Queue, died)],
    [finish(HostType, Queue, Id, {exhausted, <<"no answer">>})
     || Id <- event_pusher_push_queue:lost(Queue, overdue)],
    ok.

%% Calls that nobody has taken yet are in the worker pool. Too many calls do no harm. What was missed
%% is among the jobs that wait, so it is not made up for twice.
-spec repeat_lost_calls(state()) -> ok.
repeat_lost_calls(#{host_type := HostType, queue := Queue}) ->
    ok = event_pusher_push_queue:forget_missed(Queue),
    case event_pusher_push_queue:levels(Queue) of
        #{queue_events := 0} ->
            ok;
        #{queue_events := Waiting} ->
            Lost = max(0, Waiting - calls_under_way(HostType, Waiting)),
            call_workers(HostType, Queue, Lost)
    end.

%% None can be made while the pool is down.
calls_under_way(HostType, Waiting) ->
    try
        proplists:get_value(total_message_queue_len,
                            mongoose_wpool:stats(generic, HostType, ?TAG), Waiting)
    catch
        exit:_ -> Waiting
    end.

%% Metrics and log

-spec tell(state()) -> state().
tell(#{host_type := HostType, queue := Queue, previous := Previous} = State) ->
    Report = report(Queue),
    ok = event_pusher_backend:report(Previous, Report, labels(HostType)),
    State#{previous := Report}.

%% As native pools report it. Nothing is tried again here, and the times are told one by one.
-spec report(event_pusher_push_queue:queue()) -> event_pusher:report().
report(Queue) ->
    Levels = #{queue_events := Waiting, in_flight := Started} =
        event_pusher_push_queue:levels(Queue),
    Totals = maps:merge(event_pusher_push_queue:totals(Queue), Levels),
    Totals#{waiting => Waiting + Started, retried => 0, panics => 0, batch_limit => 1,
            clock_offset_s => 0, times_us => [], connection => none, connections_opened => 0,
            connections_lost => 0, connections_failed => 0, connection_cause => undefined,
            connection_refused => undefined, last_retried => undefined}.
