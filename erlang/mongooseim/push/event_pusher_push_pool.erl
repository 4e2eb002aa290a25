-module(event_pusher_push_pool).
-moduledoc "The server's worker pool for push notifications, with a bounded queue in front of it.".

%% Jobs stay in the queue's tables until they have ended. What goes through the worker pool are
%% calls that each take the oldest job there; calls that get lost with a worker or the whole pool
%% are made again.

-behaviour(gen_server).
-behaviour(event_pusher_directory).

-export([start/3, stop/1, push/2, cast/3, labels/1]).
%% event_pusher_directory callbacks
-export([stats/1, probe/1, pause/1, resume/1, retry_now/1, purge/2]).
%% For jobs that wait for an answer
-export([answered/2, resume/2]).
%% Called by the supervisor and by workers
-export([start_link/2, work/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([job/0, ticket/0, fate/0]).

%% Runs in a worker. If it waits for an answer, somebody calls answered/2 or resume/2 with the
%% ticket; if nobody does so in time, the job is exhausted, and unanswered if the pool stops before.
-type job() :: fun((ticket()) -> fate() | {await, TimeoutMs :: pos_integer()}).
-type fate() :: delivered | {rejected | exhausted, Cause :: binary()}.
-opaque ticket() :: {mongooseim:host_type(), event_pusher_push_queue:queue(),
                     event_pusher_push_queue:id()}.

-type state() :: #{host_type := mongooseim:host_type(),
                   teller := pid(),
                   queue := event_pusher_push_queue:queue(),
                   %% The one before, which may have refused something since it was told of.
                   former := none | event_pusher_push_queue:queue(),
                   drain_timeout_ms := non_neg_integer(),
                   interval_ms := pos_integer()}.

%% Where everybody finds the queue, and its next owner who tells of it.
-type entry() :: #{queue := event_pusher_push_queue:queue(), teller := pid()}.

-define(KEY(HostType), {?MODULE, HostType}).
%% The server's name for the pool of this backend.
-define(TAG, pusher_push).
-define(EXIT_WITHIN_MS, 3000).

%% Starting and stopping

-spec start(mongooseim:host_type(), Wpool :: map(), event_pusher_queue_options:values()) -> ok.
start(HostType, Wpool, #{drain_timeout_ms := Drain} = QueueOpts) ->
    {ok, _} = mongoose_wpool:start(generic, HostType, ?TAG, maps:to_list(Wpool)),
    {ok, _} = ejabberd_sup:start_child(
                  #{id => ?KEY(HostType),
                    start => {?MODULE, start_link, [HostType, QueueOpts]},
                    shutdown => Drain + ?EXIT_WITHIN_MS}),
    event_pusher_directory:enter(name(HostType), (labels(HostType))#{module => ?MODULE}).

-spec name(mongooseim:host_type()) -> event_pusher:name().
name(HostType) ->
    {push, HostType}.

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
    ok = event_pusher_latest:forget(name(HostType)),
    event_pusher_directory:leave(name(HostType)).

-spec start_link(mongooseim:host_type(), event_pusher_queue_options:values()) ->
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
    case entry(HostType) of
        none ->
            {error, closed};
        #{queue := Queue} ->
            case event_pusher_push_queue:add(Queue, Job) of
                ok -> call_workers(HostType, Queue, 1);
                {error, Reason} -> {error, Reason}
            end
    end.

%% A job that is any function. Where the queue has no room for it, it does not run.
-spec cast(mongooseim:host_type(), fun((...) -> term()), [term()]) -> ok | {error, full | closed}.
cast(HostType, Fun, Args) ->
    push(HostType, fun(_Ticket) ->
        _ = apply(Fun, Args),
        delivered
    end).

-spec answered(ticket(), fate()) -> ok.
answered({_HostType, Queue, Id}, Fate) ->
    finish(Queue, Id, Fate).

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
    case event_pusher_isolation:run(labels(HostType), Run, {rejected, <<"crash">>}) of
        {await, Timeout} -> event_pusher_push_queue:await(Queue, Id, Timeout);
        Fate -> finish(Queue, Id, Fate)
    end.

-spec finish(event_pusher_push_queue:queue(), event_pusher_push_queue:id(), fate()) -> ok.
finish(Queue, Id, Fate) ->
    _ = event_pusher_push_queue:remove(Queue, Id,
                                       fun(Us) -> event_pusher_push_queue:ended(Queue, Fate, Us) end),
    ok.

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

-spec stats(event_pusher:name()) -> {ok, event_pusher:stats()} | {error, closed}.
stats(Name) ->
    with(Name, fun(Queue) -> {ok, event_pusher_push_queue:stats(Queue)} end).

%% Who delivers notifications is for users to say.
-spec probe(event_pusher:name()) -> {ok, [event_pusher:finding()]} | {error, closed}.
probe({push, HostType} = Name) ->
    with(Name, fun(_Queue) -> {ok, [event_pusher_push_storage:probe(HostType)]} end).

-spec pause(event_pusher:name()) -> ok | {error, closed}.
pause(Name) ->
    with(Name, fun event_pusher_push_queue:pause/1).

-spec resume(event_pusher:name()) -> ok | {error, closed}.
resume({push, HostType} = Name) ->
    with(Name, fun(Queue) ->
        ok = event_pusher_push_queue:resume(Queue),
        repeat_lost_calls(HostType, Queue)
    end).

%% A job has one attempt. What waits is for a worker; that calls are lost is seen sooner.
-spec retry_now(event_pusher:name()) -> ok | {error, closed}.
retry_now({push, HostType} = Name) ->
    with(Name, fun(Queue) -> repeat_lost_calls(HostType, Queue) end).

-spec purge(event_pusher:name(), AgeMs :: non_neg_integer()) ->
    {ok, Events :: non_neg_integer()} | {error, closed}.
purge(Name, Age) ->
    with(Name, fun(Queue) -> {ok, event_pusher_push_queue:purge(Queue, Age)} end).

with({push, HostType}, Handle) ->
    case entry(HostType) of
        none -> {error, closed};
        #{queue := Queue} -> Handle(Queue)
    end.

-spec entry(mongooseim:host_type()) -> entry() | none.
entry(HostType) ->
    persistent_term:get(?KEY(HostType), none).

-spec labels(mongooseim:host_type()) -> event_pusher_backend:labels().
labels(HostType) ->
    #{host_type => HostType, pool_type => push, pool_tag => ?TAG}.

%% gen_server callbacks: the owner of the queue

-spec init({mongooseim:host_type(), event_pusher_queue_options:values()}) ->
    {ok, state()} | {ok, state(), {continue, {succeed, entry()}}}.
init({HostType, #{drain_timeout_ms := Drain} = Limits}) ->
    process_flag(trap_exit, true),
    State = look_later(#{host_type => HostType,
                         teller => event_pusher_teller:start(name(HostType)),
                         queue => event_pusher_push_queue:new(Limits),
                         former => none,
                         drain_timeout_ms => Drain,
                         interval_ms => event_pusher_env:get(report_interval_ms)}),
    case entry(HostType) of
        none -> {ok, publish(State)};
        Entry -> {ok, State, {continue, {succeed, Entry}}}
    end.

%% Outside of the start, which the supervisor waits for. Whoever follows this owner finds its teller from
%% now on, and waits for it.
-spec handle_continue({succeed, entry()}, state()) -> {noreply, state()}.
handle_continue({succeed, #{queue := Left, teller := Teller}}, State) ->
    ok = event_pusher_teller:await_end(Teller, ?EXIT_WITHIN_MS),
    _ = publish(State#{queue := Left}),
    ok = tell_killed(Left, State),
    {noreply, publish(State#{former := Left})}.

-spec publish(state()) -> state().
publish(#{host_type := HostType} = State) ->
    persistent_term:put(?KEY(HostType), maps:with([queue, teller], State)),
    State.

-spec handle_call(term(), gen_server:from(), state()) -> {reply, ok | {error, unknown}, state()}.
handle_call(drain, _From, State) ->
    ok = drain(State),
    {reply, ok, State};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info(look, #{host_type := HostType, queue := Queue} = State) ->
    ok = event_pusher_push_queue:expire(Queue),
    give_up_lost_jobs(State),
    repeat_lost_calls(HostType, Queue),
    Next = tell_former(State),
    ok = tell(Next),
    {noreply, look_later(Next)};
handle_info({'DOWN', _Monitor, process, Teller, _Reason},
            #{teller := Teller, host_type := HostType} = State) ->
    {noreply, publish(State#{teller := event_pusher_teller:start(name(HostType))})};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), state()) -> ok.
terminate(_Reason, #{host_type := HostType, teller := Teller} = State) ->
    ok = drain(tell_former(State)),
    _ = persistent_term:erase(?KEY(HostType)),
    event_pusher_teller:stop(Teller).

-spec look_later(state()) -> state().
look_later(#{interval_ms := Interval} = State) ->
    _ = erlang:send_after(Interval, self(), look),
    State.

%% The second time there is nothing left to wait for.
-spec drain(state()) -> ok.
drain(#{host_type := HostType, queue := Queue, drain_timeout_ms := Drain} = State) ->
    ok = event_pusher_push_queue:resume(Queue),
    repeat_lost_calls(HostType, Queue),
    ok = event_pusher_push_queue:close(Queue, Drain),
    tell(State).

-spec give_up_lost_jobs(state()) -> ok.
give_up_lost_jobs(#{queue := Queue}) ->
    [finish(Queue, Id, {rejected, <<"worker died">>})
     || Id <- event_pusher_push_queue:lost(Queue, died)],
    [finish(Queue, Id, {exhausted, <<"no answer">>})
     || Id <- event_pusher_push_queue:lost(Queue, overdue)],
    ok.

%% Calls that nobody has taken yet are in the worker pool. Too many calls do no harm. What was missed
%% is among the jobs that wait, so it is not made up for twice.
-spec repeat_lost_calls(mongooseim:host_type(), event_pusher_push_queue:queue()) -> ok.
repeat_lost_calls(HostType, Queue) ->
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

-spec tell(state()) -> ok.
tell(#{queue := Queue} = State) ->
    tell(Queue, event_pusher_push_queue:report(Queue), State).

%% Somebody has to say what became of the jobs of a killed owner since its last report.
-spec tell_killed(event_pusher_push_queue:queue(), state()) -> ok.
tell_killed(Queue, State) ->
    ok = event_pusher_push_queue:close(Queue, 0),
    #{recent := #{causes := Causes} = Recent} = Last = event_pusher_push_queue:report(Queue),
    Why = Causes#{closed => <<"owner of the queue was killed">>},
    tell(Queue, Last#{recent := Recent#{causes := Why}}, State).

%% Once more, for those who found that queue before the new one was there, and came to it afterwards.
-spec tell_former(state()) -> state().
tell_former(#{former := none} = State) ->
    State;
tell_former(#{former := Queue} = State) ->
    ok = tell(Queue, event_pusher_push_queue:report(Queue), State),
    State#{former := none}.

-spec tell(event_pusher_push_queue:queue(), event_pusher:report(), state()) -> ok.
tell(Queue, Report, #{host_type := HostType, teller := Teller}) ->
    Latest = event_pusher_latest:of_report(Report),
    Tell = fun() -> event_pusher_backend:tell(Report, labels(HostType), [Latest]) end,
    ok = event_pusher_latest:keep(name(HostType), Latest),
    event_pusher_teller:tell(Teller, Tell, fun() -> event_pusher_push_queue:told(Queue, Report) end).
