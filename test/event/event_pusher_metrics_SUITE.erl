-module(event_pusher_metrics_SUITE).
-moduledoc "What histograms are told of the times of deliveries.".

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [all_times_are_told_while_they_are_few, of_many_times_all_ranks_stay,
     times_of_notifications_are_as_exact_as_those_of_native_pools].

%% Confirms it for none as well.
all_times_are_told_while_they_are_few(_Config) ->
    ?assertEqual([], event_pusher_metrics:samples([])),
    ?assertEqual([1, 1, 7, 900], event_pusher_metrics:samples([{1, 2}, {7, 1}, {900, 1}])).

%% Confirms for a million times, one in a thousand of them slow, that a rank is off by one in five
%% thousand at most, and that the longest is there.
of_many_times_all_ranks_stay(_Config) ->
    Times = [{Us, 9990} || Us <- lists:seq(1, 100)] ++ [{10000 + Us, 10} || Us <- lists:seq(1, 100)],
    Samples = event_pusher_metrics:samples(Times),
    ?assertEqual(5000, length(Samples)),
    ?assertEqual(10100, lists:last(Samples)),
    All = lists:append([lists:duplicate(Count div 10, Us) || {Us, Count} <- Times]),
    [begin
         Lowest = at(Rank - 0.0003, All),
         Highest = at(Rank + 0.0003, All),
         Sample = at(Rank, Samples),
         ?assert(Lowest =< Sample andalso Sample =< Highest, {Rank, Lowest, Sample, Highest})
     end || Rank <- [0.001, 0.25, 0.5, 0.9, 0.99, 0.998, 0.9985, 0.9995]].

%% Confirms it at the ends of spans and for what takes longer than anything; each is told once.
times_of_notifications_are_as_exact_as_those_of_native_pools(_Config) ->
    Times = event_pusher_push_times:new(),
    Powers = [1 bsl Power || Power <- lists:seq(0, 35)],
    All = lists:usort([0 | lists:append([[Us - 1, Us, Us + 1] || Us <- Powers])]),
    [begin
         ok = event_pusher_push_times:add(Times, Us),
         [{Told, 1}] = event_pusher_push_times:take(Times),
         ?assert(abs(Told - Us) * 1000 =< Us * 16, {Us, Told})
     end || Us <- All],
    [ok = event_pusher_push_times:add(Times, Us) || Us <- [5, 5, 1 bsl 60]],
    ?assertMatch([{5, 2}, {_, 1}], event_pusher_push_times:take(Times)),
    ?assertEqual([], event_pusher_push_times:take(Times)).

at(Rank, Sorted) ->
    lists:nth(max(1, min(length(Sorted), ceil(Rank * length(Sorted)))), Sorted).
