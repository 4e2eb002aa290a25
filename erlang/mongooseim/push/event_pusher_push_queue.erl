-module(event_pusher_push_queue).
-moduledoc "Jobs that wait, or wait for an answer, in bounded tables that any process may use.".

-export([new/1, add/2, claim/1, await/3, again/3, remove/3, lost/2]).
-export([pause/1, resume/1, purge/2]).
-export([expire/1, miss/2, take_missed/1, forget_missed/1]).
-export([close/2, count/2, ended/3, cause/3, stats/1, levels/1, report/1, told/2]).
-export_type([queue/0, id/0, limits/0, counter/0]).

%% A job keeps its place in the bounds from add/2 to remove/3. The tables end with the process that
%% made them; the counters can be read after that.
-opaque queue() :: #{waiting := ets:tid(), started := ets:tid(), causes := ets:tid(),
                     health := event_pusher_push_health:health(),
                     times := event_pusher_push_times:times(), counters := atomics:atomics_ref(), told := atomics:atomics_ref(),
                     owner := pid(), max_age_us := pos_integer() | infinity,
                     max_events := pos_integer(), max_bytes := pos_integer(),
                     on_full := drop_new | drop_old}.
%% Ascending, so that the oldest job comes first.
-type id() :: integer().
-type limits() :: #{max_events := pos_integer(), max_bytes := pos_integer(),
                    on_full => drop_new | drop_old, max_age_ms => pos_integer(), _ => _}.
-type counter() :: accepted | delivered | rejected | exhausted | unanswered | expired | purged | full | closed
                 | refused_full | refused_closed.

%% Waiting: {id(), Since, Bytes, Job, Expires}. Started: {id(), Holder, Since, Bytes}; the holder is a
%% process or, while an answer is awaited, the deadline. Times are monotonic, in microseconds. What
%% has been started once does not expire: begun is in the place of the time then.

-define(COUNTERS, [events, bytes, closing, missed, accepted, delivered, rejected, exhausted,
                   unanswered, closed, refused_full, refused_closed, expired,
                   full, purged, paused]).
-define(NOT_TOLD, [events, bytes, closing, missed, paused]).

%% Started jobs, or a certain one, that no process holds: see drop/4.
-define(AWAITING(Id), {{Id, '$3', '_', '$2'}, [{is_integer, '$3'}]}).

%% The calling process owns the queue.
-spec new(limits()) -> queue().
new(#{max_events := MaxEvents, max_bytes := MaxBytes} = Limits) ->
    #{waiting => ets:new(waiting, [ordered_set, public]),
      started => ets:new(started, [set, public]),
      causes => ets:new(causes, [set, public]),
      health => event_pusher_push_health:new(),
      times => event_pusher_push_times:new(),
      counters => atomics:new(length(?COUNTERS), []),
      told => atomics:new(length(?COUNTERS), []),
      owner => self(), max_events => MaxEvents, max_bytes => MaxBytes,
      on_full => maps:get(on_full, Limits, drop_new),
      max_age_us => case Limits of #{max_age_ms := Age} -> Age * 1000; #{} -> infinity end}.

%% The way of a job

-spec add(queue(), Job :: term()) -> ok | {error, full | closed}.
add(#{waiting := Waiting} = Queue, Job) ->
    Bytes = erlang:external_size(Job),
    case room(Queue, Bytes) of
        ok ->
            Id = erlang:unique_integer([monotonic]),
            Now = now_us(),
            case insert(Waiting, {Id, Now, Bytes, Job, expires(Now, Queue)}) of
                true -> count(Queue, accepted);
                false -> refuse(Queue, Bytes, closed)
            end;
        full ->
            refuse(Queue, Bytes, full);
        closed ->
            refuse(Queue, Bytes, closed)
    end.

expires(_Since, #{max_age_us := infinity}) -> infinity;
expires(Since, #{max_age_us := Age}) -> Since + Age.

refuse(Queue, Bytes, Reason) ->
    ok = release(Queue, Bytes),
    count(Queue, case Reason of full -> refused_full; closed -> refused_closed end),
    {error, Reason}.

%% The oldest job that waits now belongs to the calling process. Those that are too old end.
-spec claim(queue()) -> {ok, id(), Job :: term()} | empty.
claim(#{waiting := Waiting, started := Started} = Queue) ->
    ok = expire(Queue),
    case is_paused(Queue) orelse first(Waiting) of
        true ->
            empty;
        '$end_of_table' ->
            empty;
        Id ->
            case take(Waiting, Id) of
                [{Id, Since, Bytes, Job, _Expires}] ->
                    _ = insert(Started, {Id, self(), Since, Bytes}),
                    {ok, Id, Job};
                [] ->
                    claim(Queue)
            end
    end.

%% Ends jobs that have waited for too long. The first one that has not shows that there are no more,
%% but for those behind a job that waits once more, which workers take first.
-spec expire(queue()) -> ok.
expire(#{max_age_us := infinity}) ->
    ok;
expire(#{waiting := Waiting} = Queue) ->
    Id = first(Waiting),
    case Id =/= '$end_of_table' andalso expires_at(Id, Waiting) of
        gone ->
            expire(Queue);
        Expires when is_integer(Expires) ->
            expire(Queue, Id, Expires =< now_us());
        _ ->
            ok
    end.

expire(_Queue, _Id, false) ->
    ok;
expire(#{waiting := Waiting} = Queue, Id, true) ->
    ok = cause(Queue, expired, <<"waited longer than queue.max_age_ms">>),
    ok = drop(Queue, Waiting, {{Id, '_', '$2', '_', '$3'}, [{is_integer, '$3'}]}, expired),
    expire(Queue).

%% Nobody takes what waits, until the queue is resumed or closes.
-spec pause(queue()) -> ok.
pause(#{counters := Counters} = Queue) ->
    case is_closing(Queue) of
        true -> ok;
        false -> atomics:put(Counters, index(paused), 1)
    end.

-spec resume(queue()) -> ok.
resume(#{counters := Counters}) ->
    atomics:put(Counters, index(paused), 0).

is_paused(#{counters := Counters}) ->
    atomics:get(Counters, index(paused)) =:= 1.

%% Drops what waits, that nobody has begun with, and has been here for so long; how many jobs.
-spec purge(queue(), AgeMs :: non_neg_integer()) -> non_neg_integer().
purge(#{waiting := Waiting, counters := Counters} = Queue, AgeMs) ->
    Before = atomics:get(Counters, index(purged)),
    Until = now_us() - 1000 * AgeMs,
    ok = drop(Queue, Waiting, {{'$1', '$4', '$2', '_', '$3'},
                               [{'=/=', '$3', begun}, {'=<', '$4', Until}]}, purged),
    atomics:get(Counters, index(purged)) - Before.

%% Gone, if somebody has taken it.
expires_at(Id, Waiting) ->
    try ets:lookup_element(Waiting, Id, 5) catch error:badarg -> gone end.

%% A started job is not held by the calling process any more, but until the deadline by an answer.
%% Nothing happens if the answer has come already, even if it made another process hold the job.
%% While the queue closes, nobody waits for answers.
-spec await(queue(), id(), TimeoutMs :: integer()) -> ok.
await(#{started := Started} = Queue, Id, TimeoutMs) ->
    _ = replace(Started, {{Id, self(), '$1', '$2'}, [],
                          [{{Id, now_us() + TimeoutMs * 1000, '$1', '$2'}}]}),
    case is_closing(Queue) of
        true -> drop(Queue, Started, ?AWAITING(Id), unanswered);
        false -> ok
    end.

%% A started job waits once more, with something else to do.
-spec again(queue(), id(), Job :: term()) -> ok | gone.
again(#{started := Started, waiting := Waiting}, Id, Job) ->
    case take(Started, Id) of
        [{Id, _Holder, Since, Bytes}] ->
            _ = insert(Waiting, {Id, Since, Bytes, Job, begun}),
            ok;
        [] ->
            gone
    end.

%% Ends a started job. The function of exactly one caller runs, with the time that the job was here;
%% it tells how the job ended before the owner can learn that there is none left.
-spec remove(queue(), id(), Tell :: fun((Us :: non_neg_integer()) -> ok)) -> ok | gone.
remove(#{started := Started} = Queue, Id, Tell) ->
    case take(Started, Id) of
        [{Id, _Holder, Since, Bytes}] ->
            try Tell(now_us() - Since) after release(Queue, Bytes) end;
        [] ->
            gone
    end.

%% Jobs wait that nobody could be called to claim.
-spec miss(queue(), Jobs :: non_neg_integer()) -> ok.
miss(#{counters := Counters}, Jobs) ->
    atomics:add(Counters, index(missed), Jobs).

%% Whether there is such a job; true for one caller for each of them.
-spec take_missed(queue()) -> boolean().
take_missed(#{counters := Counters} = Queue) ->
    Missed = atomics:get(Counters, index(missed)),
    Missed > 0 andalso
        case atomics:compare_exchange(Counters, index(missed), Missed, Missed - 1) of
            ok -> true;
            _ChangedMeanwhile -> take_missed(Queue)
        end.

%% For who is about to call somebody for all jobs that wait.
-spec forget_missed(queue()) -> ok.
forget_missed(#{counters := Counters}) ->
    atomics:put(Counters, index(missed), 0).

%% Started jobs whose process has died, or whose answer has not come by its deadline.
-spec lost(queue(), died | overdue) -> [id()].
lost(#{started := Started}, died) ->
    Held = ets:select(Started, [{{'$1', '$2', '_', '_'}, [{is_pid, '$2'}], [{{'$1', '$2'}}]}]),
    [Id || {Id, Pid} <- Held, not is_process_alive(Pid)];
lost(#{started := Started}, overdue) ->
    ets:select(Started, [{{'$1', '$2', '_', '_'},
                          [{is_integer, '$2'}, {'<', '$2', now_us()}], ['$1']}]).

%% Refuses new jobs from now on. What waits for an answer is counted as unanswered at once, what has
%% not ended by the timeout as closed, and both are forgotten. Also for a queue whose owner was
%% killed, with a timeout of 0.
-spec close(queue(), timeout()) -> ok.
close(#{waiting := Waiting, started := Started, counters := Counters} = Queue, TimeoutMs) ->
    atomics:put(Counters, index(closing), 1),
    ok = resume(Queue),
    ok = drop(Queue, Started, ?AWAITING('$1'), unanswered),
    case atomics:get(Counters, index(events)) of
        0 -> ok;
        _ -> receive {?MODULE, empty} -> ok after TimeoutMs -> ok end
    end,
    case exists(Waiting) of
        true ->
            ok = drop(Queue, Waiting, {{'$1', '_', '$2', '_', '_'}, []}, closed),
            ok = drop(Queue, Started, {{'$1', '_', '_', '$2'}, []}, closed);
        false ->
            atomics:put(Counters, index(bytes), 0),
            atomics:add(Counters, index(closed), atomics:exchange(Counters, index(events), 0))
    end.

%% One by one, as others may end jobs at the same time. The pattern says where identifier and bytes
%% stand.
-spec drop(queue(), ets:tid(), {Pattern :: tuple(), Guards :: [tuple()]},
           closed | expired | full | purged | unanswered) -> ok.
drop(Queue, Table, {Pattern, Guards}, Fate) ->
    Found = select(Table, {Pattern, Guards, [{{element(1, Pattern), '$2'}}]}),
    lists:foreach(
        fun({Id, Bytes}) ->
            case delete(Table, {setelement(1, Pattern, Id), Guards, [true]}) of
                1 -> ok = count(Queue, Fate), release(Queue, Bytes);
                0 -> ok
            end
        end, Found).

%% What is counted

-spec count(queue(), counter()) -> ok.
count(#{counters := Counters}, Counter) ->
    atomics:add(Counters, index(Counter), 1).

%% How the work at a job has ended, which was here for so long.
-spec ended(queue(), event_pusher_push_pool:fate(), Us :: non_neg_integer()) -> ok.
ended(#{health := Health, times := Times} = Queue, Ended, Us) ->
    ok = event_pusher_push_health:ended(Health, Ended),
    case Ended of
        delivered -> event_pusher_push_times:add(Times, Us), count(Queue, delivered);
        {Fate, Cause} -> cause(Queue, Fate, Cause), count(Queue, Fate)
    end.

%% Remembers the latest cause of a fate, for the log.
-spec cause(queue(), rejected | exhausted | expired, Cause :: binary()) -> ok.
cause(#{causes := Causes}, Fate, Cause) ->
    _ = insert(Causes, {Fate, Cause}),
    ok.

%% In the shape that native pools have.
-spec stats(queue()) -> event_pusher:stats().
stats(Queue) ->
    #{counts => counts(Queue, fun(_Counter) -> 0 end), levels => levels(Queue),
      status => status(Queue), connection => none}.

%% What is new since the report that was told last. Times are told in one report.
-spec report(queue()) -> event_pusher:report().
report(#{told := Told, times := Times} = Queue) ->
    Counts = counts(Queue, fun(Counter) -> atomics:get(Told, index(Counter)) end),
    Recent = #{times_us => event_pusher_push_times:take(Times), attempt_times_us => [], causes => causes(Queue), changes => []},
    #{counts => Counts, levels => levels(Queue), status => status(Queue), connection => none,
      recent => Recent}.

-spec status(queue()) -> event_pusher:status().
status(#{health := Health} = Queue) ->
    event_pusher_push_health:status(Health, is_closing(Queue), is_paused(Queue)).

%% Until then, the next report says the same again, and more.
-spec told(queue(), event_pusher:report()) -> ok.
told(#{told := Told}, #{counts := Counts}) ->
    maps:foreach(fun(Counter, Count) -> atomics:add(Told, index(Counter), Count) end, Counts).

-spec counts(queue(), fun((counter()) -> non_neg_integer())) -> event_pusher:counts().
counts(#{counters := Counters}, Told) ->
    maps:from_list([{Counter, atomics:get(Counters, index(Counter)) - Told(Counter)}
                    || Counter <- ?COUNTERS -- ?NOT_TOLD]).

-spec causes(queue()) -> #{rejected | exhausted | expired => binary()}.
causes(#{causes := Causes}) ->
    maps:from_list(select(Causes, {'_', [], ['$_']})).

%% How many jobs wait and how many were started, the bytes of both, and for how many milliseconds
%% the oldest that waits has done so.
-spec levels(queue()) -> event_pusher:levels().
levels(#{counters := Counters, waiting := Waiting, started := Started}) ->
    {Events, InFlight} = {size_of(Waiting), size_of(Started)},
    #{waiting => Events + InFlight,
      queue_events => Events,
      queue_bytes => max(0, atomics:get(Counters, index(bytes))),
      in_flight => InFlight,
      oldest_ms => waited_ms(first(Waiting), Waiting)}.

waited_ms('$end_of_table', _Waiting) ->
    0;
waited_ms(Id, Waiting) ->
    try ets:lookup_element(Waiting, Id, 2) of
        Since -> (now_us() - Since) div 1000
    catch
        error:badarg -> 0
    end.

%% Bounds

%% To be released, also if there is none. What it drops has waited longest; what somebody has begun with
%% is not dropped.
-spec room(queue(), Bytes :: non_neg_integer()) -> ok | full | closed.
room(#{max_bytes := MaxBytes, on_full := drop_old} = Queue, Bytes) when Bytes =< MaxBytes ->
    case reserve(Queue, Bytes) of
        full -> make_room(Queue, Bytes);
        OkOrClosed -> OkOrClosed
    end;
room(Queue, Bytes) ->
    reserve(Queue, Bytes).

make_room(#{waiting := Waiting} = Queue, Bytes) ->
    case first_not_begun(Waiting) of
        none ->
            full;
        Id ->
            ok = drop(Queue, Waiting, {{Id, '_', '$2', '_', '$3'}, [{'=/=', '$3', begun}]}, full),
            case is_full(Queue) of
                true -> make_room(Queue, Bytes);
                false -> ok
            end
    end.

first_not_begun(Waiting) ->
    not_begun(first(Waiting), Waiting).

not_begun('$end_of_table', _Waiting) ->
    none;
not_begun(Id, Waiting) ->
    case expires_at(Id, Waiting) of
        begun -> not_begun(next(Waiting, Id), Waiting);
        gone -> first_not_begun(Waiting);
        _ -> Id
    end.

%% To be released, also if it was too much.
-spec reserve(queue(), Bytes :: non_neg_integer()) -> ok | full | closed.
reserve(#{counters := Counters, max_events := MaxEvents, max_bytes := MaxBytes} = Queue, Bytes) ->
    Events = atomics:add_get(Counters, index(events), 1),
    AllBytes = atomics:add_get(Counters, index(bytes), Bytes),
    case is_closing(Queue) of
        true -> closed;
        false when Events > MaxEvents; AllBytes > MaxBytes -> full;
        false -> ok
    end.

is_full(#{counters := Counters, max_events := MaxEvents, max_bytes := MaxBytes}) ->
    atomics:get(Counters, index(events)) > MaxEvents
        orelse atomics:get(Counters, index(bytes)) > MaxBytes.

%% A refused job may be the last one to go: it was counted for a moment, when the last job ended.
-spec release(queue(), Bytes :: non_neg_integer()) -> ok.
release(#{counters := Counters, owner := Owner} = Queue, Bytes) ->
    atomics:sub(Counters, index(bytes), Bytes),
    Left = atomics:sub_get(Counters, index(events), 1),
    _ = Left =:= 0 andalso is_closing(Queue) andalso (Owner ! {?MODULE, empty}),
    ok.

is_closing(#{counters := Counters}) ->
    atomics:get(Counters, index(closing)) =:= 1.

index(events) -> 1;
index(bytes) -> 2;
index(closing) -> 3;
index(missed) -> 4;
index(accepted) -> 5;
index(delivered) -> 6;
index(rejected) -> 7;
index(exhausted) -> 8;
index(unanswered) -> 9;
index(closed) -> 10;
index(refused_full) -> 11;
index(refused_closed) -> 12;
index(expired) -> 13;
index(full) -> 14;
index(purged) -> 15;
index(paused) -> 16.

%% Tables that may be gone. Whoever comes after the owner has ended finds nothing; what was left
%% then has been counted as closed.

exists(Table) -> ets:info(Table, id) =/= undefined.

insert(Table, Object) ->
    try ets:insert(Table, Object) catch error:badarg -> false end.

replace(Table, Clause) ->
    try ets:select_replace(Table, [Clause]) catch error:badarg -> 0 end.

select(Table, Clause) ->
    try ets:select(Table, [Clause]) catch error:badarg -> [] end.

delete(Table, Clause) ->
    try ets:select_delete(Table, [Clause]) catch error:badarg -> 0 end.

take(Table, Key) ->
    try ets:take(Table, Key) catch error:badarg -> [] end.

next(Table, Key) ->
    try ets:next(Table, Key) catch error:badarg -> '$end_of_table' end.

first(Table) ->
    try ets:first(Table) catch error:badarg -> '$end_of_table' end.

size_of(Table) ->
    case ets:info(Table, size) of
        undefined -> 0;
        Size -> Size
    end.

now_us() ->
    erlang:monotonic_time(microsecond).
