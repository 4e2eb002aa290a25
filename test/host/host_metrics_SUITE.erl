-module(host_metrics_SUITE).
-moduledoc "Holds instrumentation to a server's rules, and tries how tests read measurements.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([each_kind_of_metric_is_kept/1,
         an_event_has_to_be_registered/1,
         an_event_is_registered_once_for_its_labels/1,
         labels_of_an_event_have_the_same_keys/1,
         labels_are_among_those_that_exometer_can_name/1,
         tearing_down_twice_is_fine/1,
         what_was_measured_outlives_its_event/1,
         a_span_measures_its_function/1,
         a_span_of_an_unknown_event_calls_nothing/1,
         a_crash_in_a_span_is_not_measured/1,
         a_probe_gives_gauges/1,
         a_probe_has_no_other_metrics/1,
         only_integers_are_measured/1,
         prometheus_gets_what_the_server_would_give_it/1,
         waiting_ends_with_the_measurement/1,
         waiting_in_vain_is_an_error/1]).
-export([probe/3, add/2]).

-include_lib("stdlib/include/assert.hrl").

-define(LABELS, #{host_type => <<"localhost">>}).

all() ->
    Helpers = [module_info],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    ok = host:start(#{}),
    Config.

end_per_testcase(_Case, _Config) ->
    host:stop().

%% Confirms counters and spirals as sums, gauges as the last value, histograms as all values.
each_kind_of_metric_is_kept(_Config) ->
    set_up(#{c => counter, s => spiral, g => gauge, h => histogram}),
    ?assertEqual({0, undefined, []}, {host_metrics:total(toy, ?LABELS, c),
                                      host_metrics:gauge(toy, ?LABELS, g),
                                      host_metrics:values(toy, ?LABELS, h)}),
    mongoose_instrument:execute(toy, ?LABELS, #{c => 5, s => 1, g => 5, h => 5, other => <<"x">>}),
    mongoose_instrument:execute(toy, ?LABELS, #{c => -2, s => 1, g => 1, h => 2}),
    mongoose_instrument:execute(toy, ?LABELS, #{}),
    ?assertEqual([3, 2], [host_metrics:total(toy, ?LABELS, Metric) || Metric <- [c, s]]),
    ?assertEqual({1, [5, 2]},
                 {host_metrics:gauge(toy, ?LABELS, g), host_metrics:values(toy, ?LABELS, h)}),
    ?assertEqual(0, host_metrics:total(toy, #{host_type => <<"other">>}, c)).

%% Confirms it for labels that differ in value only.
an_event_has_to_be_registered(_Config) ->
    set_up(#{c => counter}),
    ?assertError(#{what := event_not_registered, event_name := toy},
                 mongoose_instrument:execute(toy, #{host_type => <<"other">>}, #{c => 1})).

%% Confirms that a second registration is refused and changes nothing.
an_event_is_registered_once_for_its_labels(_Config) ->
    set_up(#{c => counter}),
    ?assertError(#{what := event_already_registered}, set_up(#{d => counter})),
    ?assertEqual(ok, mongoose_instrument:set_up(toy, #{host_type => <<"other">>}, #{})),
    mongoose_instrument:execute(toy, ?LABELS, #{c => 1, d => 1}),
    ?assertEqual([1, 0], [host_metrics:total(toy, ?LABELS, Metric) || Metric <- [c, d]]).

%% Confirms that more or other keys are refused.
labels_of_an_event_have_the_same_keys(_Config) ->
    set_up(#{}),
    [?assertError(#{what := inconsistent_labels}, mongoose_instrument:set_up([{toy, Labels, #{}}]))
     || Labels <- [#{}, ?LABELS#{pool_tag => x}, #{pool_tag => x}]],
    mongoose_instrument:tear_down(toy, ?LABELS),
    ?assertEqual(ok, mongoose_instrument:set_up([{toy, #{}, #{}}])).

%% Confirms the rule for whatever a module registers, with a host type and without.
labels_are_among_those_that_exometer_can_name(_Config) ->
    [?assertError(#{what := default_exometer_labels_conversion, event_name := toy},
                  mongoose_instrument:set_up(toy, maps:from_keys(Labels, x), #{}))
     || Labels <- [[host_type, backend, pool_tag], [host_type, pool_type], [backend], [host]]],
    [begin
         ?assertEqual(ok, mongoose_instrument:set_up(toy, maps:from_keys(Labels, x), #{})),
         mongoose_instrument:tear_down(toy, maps:from_keys(Labels, x))
     end || Labels <- [[host_type, pool_type, pool_tag], [pool_type, pool_tag], [host_type], [],
                       [host_type, function]]].

%% Confirms both forms.
tearing_down_twice_is_fine(_Config) ->
    set_up(#{c => counter}),
    ok = mongoose_instrument:tear_down([{toy, ?LABELS, #{}}]),
    ok = mongoose_instrument:tear_down(toy, ?LABELS),
    ?assertError(#{what := event_not_registered}, mongoose_instrument:execute(toy, ?LABELS, #{})).

%% Confirms that a test can look after a module has stopped.
what_was_measured_outlives_its_event(_Config) ->
    set_up(#{c => counter}),
    mongoose_instrument:execute(toy, ?LABELS, #{c => 1}),
    mongoose_instrument:tear_down(toy, ?LABELS),
    ?assertEqual(1, host_metrics:total(toy, ?LABELS, c)).

%% Confirms the three forms: time and result are measured, the result is returned.
a_span_measures_its_function(_Config) ->
    set_up(#{c => counter, time => histogram}),
    Measure = fun(Time, Result) -> #{c => Result, time => Time} end,
    ?assertEqual(1, mongoose_instrument:span(toy, ?LABELS, fun() -> 1 end, Measure)),
    ?assertEqual(5, mongoose_instrument:span(toy, ?LABELS, fun ?MODULE:add/2, [2, 3], Measure)),
    ?assertEqual(7, mongoose_instrument:span(toy, ?LABELS, ?MODULE, add, [3, 4], Measure)),
    ?assertEqual(13, host_metrics:total(toy, ?LABELS, c)),
    Times = host_metrics:values(toy, ?LABELS, time),
    ?assertEqual(3, length(Times)),
    ?assert(lists:all(fun(Time) -> is_integer(Time) andalso Time >= 0 end, Times)).

%% Confirms that the check comes first.
a_span_of_an_unknown_event_calls_nothing(_Config) ->
    Call = fun() -> self() ! called end,
    ?assertError(#{what := event_not_registered},
                 mongoose_instrument:span(toy, ?LABELS, Call, fun(_, _) -> #{} end)),
    ?assertEqual(not_called, receive called -> called after 0 -> not_called end).

%% Confirms that the exception reaches the caller.
a_crash_in_a_span_is_not_measured(_Config) ->
    set_up(#{c => counter}),
    ?assertExit(oops, mongoose_instrument:span(toy, ?LABELS, fun() -> exit(oops) end,
                                               fun(_, _) -> #{c => 1} end)),
    ?assertEqual(0, host_metrics:total(toy, ?LABELS, c)).

%% Confirms the timer of a probe, and that a probe can be asked at once.
a_probe_gives_gauges(_Config) ->
    Probe = #{module => ?MODULE, interval => 1, extra => #{value => 7}},
    mongoose_instrument:set_up(toy, ?LABELS, #{metrics => #{length => gauge}, probe => Probe}),
    mongoose_instrument:set_up(toy, #{host_type => <<"other">>},
                               #{metrics => #{length => gauge}, probe => Probe#{interval := 3600}}),
    mongoose_instrument:probe(toy, #{host_type => <<"other">>}),
    ?assertEqual(7, host_metrics:gauge(toy, #{host_type => <<"other">>}, length)),
    host_metrics:await(toy, fun() -> host_metrics:gauge(toy, ?LABELS, length) =:= 7 end).

%% Confirms the rule for the types of metrics.
a_probe_has_no_other_metrics(_Config) ->
    Config = #{metrics => #{length => counter}, probe => #{module => ?MODULE}},
    ?assertError(#{what := _, event_name := toy}, mongoose_instrument:set_up(toy, ?LABELS, Config)).

%% Confirms it for all types, and that a spiral only grows.
only_integers_are_measured(_Config) ->
    set_up(#{c => counter, s => spiral, g => gauge, h => histogram}),
    [?assertError(#{what := measurement_of_wrong_type, value := Value},
                  mongoose_instrument:execute(toy, ?LABELS, #{Metric => Value}))
     || {Metric, Value} <- [{c, 0.5}, {s, 1.0}, {s, -1}, {g, 1.5}, {g, undefined}, {h, <<"1">>}]],
    ?assertEqual({0, 0, undefined, []}, {host_metrics:total(toy, ?LABELS, c),
                                         host_metrics:total(toy, ?LABELS, s),
                                         host_metrics:gauge(toy, ?LABELS, g),
                                         host_metrics:values(toy, ?LABELS, h)}).

%% Confirms names, types, labels and buckets, and what is there before anything was measured.
prometheus_gets_what_the_server_would_give_it(_Config) ->
    set_up(#{c => counter, s => spiral, g => gauge, h => histogram}),
    mongoose_instrument:set_up(toy, #{host_type => <<"a \"b\" \\ c">>}, #{metrics => #{s => spiral}}),
    ?assertEqual(["# TYPE toy_c gauge", "toy_c{host_type=\"localhost\"} 0",
                  "# TYPE toy_g gauge",
                  "# TYPE toy_h histogram",
                  "# TYPE toy_s counter",
                  "toy_s{host_type=\"a \\\"b\\\" \\\\ c\"} 0",
                  "toy_s{host_type=\"localhost\"} 0"], prometheus_lines()),
    mongoose_instrument:execute(toy, ?LABELS, #{c => -2, s => 3, g => 7, h => 2}),
    mongoose_instrument:execute(toy, ?LABELS, #{h => 3}),
    mongoose_instrument:execute(toy, ?LABELS, #{h => 1 bsl 31}),
    Lines = prometheus_lines(),
    Histogram = [Line || "toy_h_" ++ Line <- Lines],
    ?assertEqual(["toy_c{host_type=\"localhost\"} -2", "toy_g{host_type=\"localhost\"} 7",
                  "toy_s{host_type=\"localhost\"} 3"],
                 [Line || "toy_" ++ [Metric | _] = Line <- Lines, Metric =/= $h,
                          lists:suffix(" 0", Line) =:= false]),
    ?assertEqual({["bucket{host_type=\"localhost\",le=\"1\"} 0",
                   "bucket{host_type=\"localhost\",le=\"2\"} 1",
                   "bucket{host_type=\"localhost\",le=\"4\"} 2"],
                  ["bucket{host_type=\"localhost\",le=\"1073741824\"} 2",
                   "bucket{host_type=\"localhost\",le=\"+Inf\"} 3",
                   "count{host_type=\"localhost\"} 3",
                   "sum{host_type=\"localhost\"} 2147483653"]},
                 {lists:sublist(Histogram, 3), lists:nthtail(length(Histogram) - 4, Histogram)}).

%% Confirms that a condition may hold already, or come to hold with a later measurement.
waiting_ends_with_the_measurement(_Config) ->
    set_up(#{c => counter}),
    Reached = fun(N) -> fun() -> host_metrics:total(toy, ?LABELS, c) >= N end end,
    ok = host_metrics:await(toy, Reached(0)),
    spawn_link(fun() ->
        [mongoose_instrument:execute(toy, ?LABELS, #{c => 1}) || _ <- lists:seq(1, 100)]
    end),
    ok = host_metrics:await(toy, Reached(100)),
    ?assertEqual(100, host_metrics:total(toy, ?LABELS, c)),
    ?assertEqual({messages, []}, process_info(self(), messages)).

%% Confirms that a test cannot wait for ever, or pass because it waited.
waiting_in_vain_is_an_error(_Config) ->
    ?assertError({condition_never_held, toy}, host_metrics:await(toy, fun() -> false end, 1)).

%% Helpers

set_up(Metrics) ->
    mongoose_instrument:set_up(toy, ?LABELS, #{metrics => Metrics}).

%% In the order of names, and of labels within.
prometheus_lines() ->
    string:lexemes(binary_to_list(iolist_to_binary(host_prometheus:text())), "\n").

probe(toy, #{host_type := _}, #{value := Value}) ->
    #{length => Value}.

add(A, B) ->
    A + B.
