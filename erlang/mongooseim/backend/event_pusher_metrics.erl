-module(event_pusher_metrics).
-moduledoc "What the server's instrumentation is told of a pool.".

-export([instrumentation/1, tell/4, samples/1]).

%% Deliveries and drops are counted per event, retries per event and attempt.
-define(EVENTS, event_pusher_events).
-define(QUEUE, event_pusher_queue).
-define(CONNECTION, event_pusher_connection).
-define(SPOOL, event_pusher_spool).
-define(STATUS, event_pusher_status).
-define(RECEIVER, event_pusher_receiver).
%% How many times a report gives a histogram at most: a rank is off by no more than one in so many.
-define(SAMPLES, 5000).
%% What happens to events because they are on disk.
-define(SPOOLED, [kept, restored, unsaved, unreadable]).

-spec instrumentation(event_pusher_backend:labels()) -> [mongoose_instrument:spec()].
instrumentation(#{host_type := HostType, pool_type := PoolType} = All) ->
    Labels = event_pusher_compat:metric_labels(All),
    Counts = maps:from_keys(counts(PoolType), spiral),
    Changes = maps:from_keys(changes(), spiral),
    Times = maps:from_keys(times(PoolType), histogram),
    [{?EVENTS, Labels, #{metrics => maps:merge(Counts, Times)}},
     {?STATUS, Labels, #{metrics => maps:from_keys(status_metrics(), gauge)}},
     {?QUEUE, Labels, #{metrics => maps:from_keys(maps:keys(levels(PoolType)), gauge)}}
     | [{?CONNECTION, Labels, #{metrics => Changes#{up => gauge, blocked => gauge}}}
        || PoolType =:= rabbit]
         ++ [{?RECEIVER, Labels, #{metrics => #{certificate_days => gauge}}} || PoolType =/= push]
         ++ [{?SPOOL, Labels, #{metrics => spool_metrics()}}
             || PoolType =/= push, event_pusher_spool_options:is_configured(HostType)]].

spool_metrics() ->
    Levels = [events, ahead, bytes, used_percent, oldest_ms, synced_ms, set_aside_files,
              orphaned_events, orphaned_bytes, accepts],
    maps:merge(maps:from_keys(Levels, gauge), maps:from_keys(?SPOOLED, spiral)).

%% Of a push notification, there is one attempt.
times(push) -> [time];
times(_PoolType) -> [time, attempt_time].

%% What is counted of events; the last ones with one kind of pool only.
counts(push) -> [unanswered | counts(any)];
counts(rabbit) -> [nacked, unroutable | counts(any)];
counts(_PoolType) -> [delivered, rejected, exhausted, expired, purged, closed, full, retried].

%% In how many pools the receiver stands so. Whoever is stopped tells nothing.
states() -> [connected, connecting, degraded, refused].

status_metrics() -> [paused | states()].

%% What is counted of a connection.
changes() -> [opened, lost, failed, nacks].

%% The metrics of a queue, and the levels that they are made of.
levels(PoolType) when PoolType =:= sns; PoolType =:= http ->
    (levels(any))#{open_destinations => open_destinations};
levels(_PoolType) ->
    #{events => queue_events, bytes => queue_bytes, in_flight => in_flight,
      oldest_ms => oldest_ms}.

%% Levels are those of all pools that have the same labels.
-spec tell(event_pusher_backend:fates(), event_pusher:report(), event_pusher_backend:labels(),
           [event_pusher:latest()]) -> ok.
tell(Fates, #{counts := Counts, connection := Connection, recent := Recent},
     #{pool_type := PoolType} = Labels, All) ->
    %% Fates come second: they have what was refused as well.
    execute_some(?EVENTS, Labels, maps:with(counts(PoolType), maps:merge(Counts, Fates))),
    tell_times(time, maps:get(times_us, Recent), Labels),
    tell_times(attempt_time, maps:get(attempt_times_us, Recent), Labels),
    Levels = [Of || #{levels := Of} <- All],
    tell_levels(Labels, Levels),
    tell_certificates(Labels, [Days || #{certificate_days := Days} <- Levels, Days =/= none]),
    tell_status(Labels, [Status || #{status := Status} <- All]),
    tell_spool([Spool || #{spool := #{} = Spool} <- Levels], Counts, Labels),
    tell_connection(Connection, Counts, Labels).

tell_times(Metric, Times, Labels) ->
    lists:foreach(fun(Time) -> execute(?EVENTS, Labels, #{Metric => Time}) end, samples(Times)).

%% For a histogram, which takes one by one: all, or of more than it should be bothered with the same
%% share from each part, so that all ranks stay, and the longest.
-spec samples(event_pusher:times()) -> [Us :: non_neg_integer()].
samples(Times) ->
    Total = lists:sum([Count || {_Time, Count} <- Times]),
    samples(Times, 0, Total, min(Total, ?SAMPLES)).

samples([], _Passed, _Total, _Wanted) ->
    [];
samples([{Time, Count} | Longer], Passed, Total, Wanted) ->
    Before = Passed * Wanted div Total,
    After = (Passed + Count) * Wanted div Total,
    lists:duplicate(After - Before, Time) ++ samples(Longer, Passed + Count, Total, Wanted).

execute(Event, Labels, Measurements) ->
    mongoose_instrument:execute(Event, event_pusher_compat:metric_labels(Labels), Measurements).

%% Nothing is executed for what did not happen.
execute_some(Event, Labels, Counts) ->
    case maps:filter(fun(_Key, Count) -> Count > 0 end, Counts) of
        None when map_size(None) =:= 0 -> ok;
        Some -> execute(Event, Labels, Some)
    end.

-spec tell_levels(event_pusher_backend:labels(), [event_pusher:levels()]) -> ok.
tell_levels(#{pool_type := PoolType} = Labels, All) ->
    Together = fun(Metric, Level) -> together(Metric, [maps:get(Level, Levels) || Levels <- All]) end,
    execute(?QUEUE, Labels, maps:map(Together, levels(PoolType))).

%% Nothing is known before a connection with TLS. The first to end tells.
tell_certificates(_Labels, []) ->
    ok;
tell_certificates(Labels, Days) ->
    execute(?RECEIVER, Labels, #{certificate_days => lists:min(Days)}).

tell_status(Labels, Now) ->
    Standing = fun(State, _) -> length([State || #{state := It} <- Now, It =:= State]) end,
    Pools = maps:map(Standing, maps:from_keys(states(), 0)),
    execute(?STATUS, Labels, Pools#{paused => length([paused || #{paused := true} <- Now])}).

together(oldest_ms, Values) -> lists:max([0 | Values]);
together(_Metric, Values) -> lists:sum(Values).

tell_spool([], _Counts, _Labels) ->
    ok;
tell_spool(Spools, Counts, Labels) ->
    Of = fun(Key) -> [maps:get(Key, Spool) || Spool <- Spools] end,
    Sums = [events, ahead, bytes, set_aside_files],
    %% But for the times, these are of the directory, which pools share.
    Most = [oldest_ms, synced_ms, used_percent, orphaned_events, orphaned_bytes],
    Accepts = lists:all(fun(Trouble) -> Trouble =:= none end, Of(trouble)),
    execute(?SPOOL, Labels, maps:from_list([{accepts, level(Accepts)}]
                                           ++ [{Key, lists:sum(Of(Key))} || Key <- Sums]
                                           ++ [{Key, lists:max(Of(Key))} || Key <- Most])),
    execute_some(?SPOOL, Labels, maps:with(?SPOOLED, Counts)).

tell_connection(none, _Counts, _Labels) ->
    ok;
tell_connection(#{state := State} = Connection, Counts, Labels) ->
    execute(?CONNECTION, Labels, #{up => level(State =/= down), blocked => level(State =:= blocked)}),
    execute_some(?CONNECTION, Labels, maps:with(changes(), maps:merge(Counts, Connection))).

level(true) -> 1;
level(false) -> 0.
