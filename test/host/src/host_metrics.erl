-module(host_metrics).
-moduledoc "What tests read instead of a metrics server; a test can wait here for a value to come.".

-export([total/3, gauge/3, values/3, latest/0, await/2, await/3]).
-export([create_tables/0, record/4]).

-define(TOTALS, host_metrics_totals).
-define(VALUES, host_metrics_values).
-define(WAITING, host_metrics_waiting).
-define(PATIENCE_MS, 10000).

-type event() :: mongoose_instrument:event_name().
-type labels() :: mongoose_instrument:labels().

%% Reading; what was measured stays readable after the event is torn down.

%% Sum of a counter or a spiral.
-spec total(event(), labels(), Metric :: atom()) -> integer().
total(Event, Labels, Metric) ->
    latest({Event, Labels, Metric}, 0).

%% The latest value of a gauge.
-spec gauge(event(), labels(), Metric :: atom()) -> integer() | undefined.
gauge(Event, Labels, Metric) ->
    latest({Event, Labels, Metric}, undefined).

%% All values of a histogram, oldest first.
-spec values(event(), labels(), Metric :: atom()) -> [integer()].
values(Event, Labels, Metric) ->
    [Value || {_Key, Value} <- ets:lookup(?VALUES, {Event, Labels, Metric})].

%% Of all counters, spirals and gauges.
-spec latest() -> #{{event(), labels(), Metric :: atom()} => integer()}.
latest() ->
    maps:from_list(ets:tab2list(?TOTALS)).

latest(Key, Default) ->
    case ets:lookup(?TOTALS, Key) of
        [{Key, Value}] -> Value;
        [] -> Default
    end.

-spec await(event(), Condition :: fun(() -> boolean())) -> ok.
await(Event, Condition) ->
    await(Event, Condition, ?PATIENCE_MS).

%% Returns once the condition holds; looks again after each measurement of the event.
-spec await(event(), Condition :: fun(() -> boolean()), timeout()) -> ok.
await(Event, Condition, TimeoutMs) ->
    Ref = make_ref(),
    Timer = erlang:start_timer(TimeoutMs, self(), Ref),
    true = ets:insert(?WAITING, {Event, self(), Ref}),
    try
        await_change(Event, Condition, Ref, Timer)
    after
        ets:match_delete(?WAITING, {Event, self(), Ref}),
        _ = erlang:cancel_timer(Timer),
        flush(Ref, Timer)
    end.

await_change(Event, Condition, Ref, Timer) ->
    case Condition() of
        true ->
            ok;
        false ->
            receive
                {measured, Ref} -> await_change(Event, Condition, Ref, Timer);
                {timeout, Timer, Ref} -> error({condition_never_held, Event})
            end
    end.

flush(Ref, Timer) ->
    receive
        {measured, Ref} -> flush(Ref, Timer);
        {timeout, Timer, Ref} -> flush(Ref, Timer)
    after 0 -> ok
    end.

%% Recording

-spec create_tables() -> ok.
create_tables() ->
    ?TOTALS = ets:new(?TOTALS, [named_table, public, {write_concurrency, true}]),
    ?VALUES = ets:new(?VALUES, [named_table, public, duplicate_bag, {write_concurrency, true}]),
    ?WAITING = ets:new(?WAITING, [named_table, public, duplicate_bag]),
    ok.

-spec record(event(), labels(), mongoose_instrument:config(), mongoose_instrument:measurements()) ->
          ok.
record(Event, Labels, Config, Measurements) ->
    Metrics = maps:to_list(maps:get(metrics, Config, #{})),
    _ = [store(Type, {Event, Labels, Metric}, maps:get(Metric, Measurements))
         || {Metric, Type} <- Metrics, is_map_key(Metric, Measurements)],
    _ = [Pid ! {measured, Ref} || {_Event, Pid, Ref} <- ets:lookup(?WAITING, Event)],
    ok.

%% The server's handler for Prometheus takes nothing else, and logs a crash.
store(Type, Key, Value) when not is_integer(Value); Type =:= spiral, Value < 0 ->
    error(#{what => measurement_of_wrong_type, type => Type, metric => Key, value => Value});
store(gauge, Key, Value) ->
    ets:insert(?TOTALS, {Key, Value});
store(histogram, Key, Value) ->
    ets:insert(?VALUES, {Key, Value});
store(_CounterOrSpiral, Key, Value) ->
    ets:update_counter(?TOTALS, Key, Value, {Key, 0}).
