-module(mongoose_instrument).
-moduledoc "Registers events and takes their measurements; host_metrics keeps them in memory.".

-export([set_up/1, set_up/3, tear_down/1, tear_down/2, execute/3, span/4, span/5, span/6]).
-export([create_table/0, probe/2, registered/0]).

-type event_name() :: atom().
-type labels() :: #{atom() => term()}.
-type metric_type() :: gauge | counter | spiral | histogram.
-type probe() :: #{module := module(), interval => pos_integer(), extra => map()}.
-type config() :: #{metrics => #{atom() => metric_type()},
                    loglevel => logger:level(),
                    probe => probe()}.
-type spec() :: {event_name(), labels(), config()}.
-type measurements() :: #{atom() => term()}.
-type measure_fun(Result) :: fun((TimeMicros :: integer(), Result) -> measurements()).

-export_type([event_name/0, labels/0, metric_type/0, config/0, spec/0, measurements/0,
              measure_fun/1]).

-define(PROBE_INTERVAL_S, 15).
%% The only labels that the server's handler for Exometer can turn into a name, besides host_type.
-define(EXOMETER_LABELS, [[], [function], [pool_tag], [pool_tag, pool_type], [pool_id],
                          [connection_type], [listener_id], [cache_name]]).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {read_concurrency, true}]),
    ok.

%% Registering

-spec set_up([spec()]) -> ok.
set_up(Specs) ->
    lists:foreach(fun({Event, Labels, Config}) -> set_up(Event, Labels, Config) end, Specs).

-spec set_up(event_name(), labels(), config()) -> ok.
set_up(Event, Labels, Config) ->
    Details = #{event_name => Event, labels => Labels},
    check_labels(Event, Labels, Details),
    check_exometer_labels(Labels, Details),
    check_probe(Config, Details),
    ets:insert_new(?MODULE, {{Event, Labels}, Config, no_probe})
        orelse error(Details#{what => event_already_registered}),
    start_probe(Event, Labels, Config).

-spec tear_down([spec()]) -> ok.
tear_down(Specs) ->
    lists:foreach(fun({Event, Labels, _Config}) -> tear_down(Event, Labels) end, Specs).

-spec tear_down(event_name(), labels()) -> ok.
tear_down(Event, Labels) ->
    lists:foreach(fun({_Key, _Config, Probe}) -> stop_probe(Probe) end,
                  ets:take(?MODULE, {Event, Labels})).

-spec registered() -> [spec()].
registered() ->
    [{Event, Labels, Config} || {{Event, Labels}, Config, _Probe} <- ets:tab2list(?MODULE)].

check_labels(Event, Labels, Details) ->
    Keys = maps:keys(Labels),
    [error(Details#{what => inconsistent_labels, earlier_labels => Earlier})
     || [Earlier] <- ets:match(?MODULE, {{Event, '$1'}, '_', '_'}), maps:keys(Earlier) =/= Keys],
    ok.

%% With other labels, the server would log this as a warning: here, and at each measurement.
check_exometer_labels(Labels, Details) ->
    lists:member(lists:sort(maps:keys(maps:remove(host_type, Labels))), ?EXOMETER_LABELS)
        orelse error(Details#{what => default_exometer_labels_conversion}),
    ok.

check_probe(#{probe := _, metrics := Metrics}, Details) ->
    [error(Details#{what => non_gauge_metrics_in_probe, metrics => Metrics})
     || Type <- maps:values(Metrics), Type =/= gauge],
    ok;
check_probe(#{}, _Details) ->
    ok.

start_probe(Event, Labels, #{probe := Probe}) ->
    Interval = maps:get(interval, Probe, ?PROBE_INTERVAL_S),
    {ok, Timer} = timer:apply_interval(timer:seconds(Interval), ?MODULE, probe, [Event, Labels]),
    true = ets:update_element(?MODULE, {Event, Labels}, {3, Timer}),
    ok;
start_probe(_Event, _Labels, #{}) ->
    ok.

stop_probe(no_probe) ->
    ok;
stop_probe(Timer) ->
    {ok, cancel} = timer:cancel(Timer),
    ok.

%% Asks the probe of an event now; the timer does it at each interval.
-spec probe(event_name(), labels()) -> ok.
probe(Event, Labels) ->
    #{probe := Probe = #{module := Module}} = config(Event, Labels),
    execute(Event, Labels, Module:probe(Event, Labels, maps:get(extra, Probe, #{}))).

%% Measuring

-spec execute(event_name(), labels(), measurements()) -> ok.
execute(Event, Labels, Measurements) ->
    host_metrics:record(Event, Labels, config(Event, Labels), Measurements).

-spec span(event_name(), labels(), fun(() -> Result), measure_fun(Result)) -> Result.
span(Event, Labels, Fun, MeasureFun) ->
    span(Event, Labels, Fun, [], MeasureFun).

-spec span(event_name(), labels(), fun((...) -> Result), [term()], measure_fun(Result)) -> Result.
span(Event, Labels, Fun, Args, MeasureFun) ->
    Config = config(Event, Labels),
    {Time, Result} = timer:tc(Fun, Args),
    host_metrics:record(Event, Labels, Config, MeasureFun(Time, Result)),
    Result.

-spec span(event_name(), labels(), module(), atom(), [term()], measure_fun(Result)) -> Result.
span(Event, Labels, Module, Function, Args, MeasureFun) ->
    span(Event, Labels, erlang:make_fun(Module, Function, length(Args)), Args, MeasureFun).

config(Event, Labels) ->
    case ets:lookup(?MODULE, {Event, Labels}) of
        [{_Key, Config, _Probe}] ->
            Config;
        [] ->
            error(#{what => event_not_registered, event_name => Event, labels => Labels})
    end.
