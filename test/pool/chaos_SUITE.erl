-module(chaos_SUITE).
-moduledoc "The short form of `make chaos': one storm. The judge is held to what it has to find.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([a_storm_loses_nothing_silently/1,
         a_storm_loses_nothing_silently_that_has_a_spool/1,
         the_same_seed_gives_the_same_plan/1,
         each_kind_of_fault_is_in_a_plan_and_none_is_in_the_way_of_another/1,
         what_is_missing_is_told_by_its_id/1,
         what_a_receiver_has_lost_is_told_apart/1,
         what_was_dropped_may_be_missing_or_late_and_nothing_else/1,
         what_came_twice_is_told_unless_there_is_leave/1,
         what_nobody_has_sent_is_told/1,
         what_was_refused_may_not_arrive/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(AT, 1000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 5}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

%% Confirms it with real receivers and faults of all sorts, several at once; others each time.
a_storm_loses_nothing_silently(_Config) ->
    storm(false).

%% The same with events on disk.
a_storm_loses_nothing_silently_that_has_a_spool(_Config) ->
    storm(true).

storm(Spool) ->
    Options = #{seconds => 20, seed => os:system_time(second), spool => Spool, program => chaos_rig:debug_program(),
                progress => chaos_text:silent()},
    #{violations := Violations, happenings := Happenings} = Result = chaos:run(Options),
    chaos_text:report(Result, Options),
    ?assertMatch([_, _, _, _, _ | _], Happenings),
    ?assertEqual([], Violations).

%% Confirms that a run can be repeated.
the_same_seed_gives_the_same_plan(_Config) ->
    Draw = fun(Seed) -> chaos_plan:draw(Seed, 5, #{act_ms => 10000, faults => 10, spool => true}) end,
    ?assertEqual(Draw(1), Draw(1)),
    ?assertNotEqual(Draw(1), Draw(2)).

%% Confirms that nothing is left out, and that two faults do not use the same switch at a time.
each_kind_of_fault_is_in_a_plan_and_none_is_in_the_way_of_another(_Config) ->
    Acts = chaos_plan:draw(3, 15, #{act_ms => 14000, faults => 10, spool => true}),
    Kinds = lists:usort([Name || #{name := Name} <- chaos_fault:kinds(true)]),
    ?assert(length(Kinds) >= 20),
    ?assertEqual(Kinds, lists:usort([Name || Act <- Acts, #{name := Name} <- Act])),
    [?assertNot(At1 =< At2 + For2 andalso At2 =< At1 + For1)
     || Act <- Acts,
        {N1, #{pool := Pool1, slot := Slot1, at_ms := At1, for_ms := For1}} <- lists:enumerate(Act),
        {N2, #{pool := Pool2, slot := Slot2, at_ms := At2, for_ms := For2}} <- lists:enumerate(Act),
        N1 < N2, Pool1 =:= Pool2, Slot1 =:= Slot2],
    ok.

%% Confirms it for an event that was accepted, did not arrive, and was not dropped.
what_is_missing_is_told_by_its_id(Config) ->
    {#{missing := 1}, [{_, rabbit, [{<<"rabbit1.2">>, _}]}]} = check([1, 3], "aaa", 0, Config).

%% Confirms it for an event that was pushed before that, and for one that was not.
what_a_receiver_has_lost_is_told_apart(Config) ->
    {#{missing := 0, lost := 1}, []} = check([1, 3], "aaa", 0, ?AT, Config),
    {#{missing := 1, lost := 0}, [_]} = check([1, 3], "aaa", 0, ?AT - 1, Config).

%% Confirms it for two dropped events, of which one arrives late.
what_was_dropped_may_be_missing_or_late_and_nothing_else(Config) ->
    {#{missing := 1}, []} = check([1, 4, 3], "aaaa", 2, Config),
    {#{missing := 1}, [{_, rabbit, [{<<"rabbit1.3">>, _}]}]} = check([1, 4, 3], "aaaa", 1, Config).

%% Confirms it, with the times that the decision is made by.
what_came_twice_is_told_unless_there_is_leave(_Config) ->
    Record = chaos_record:new(),
    ok = chaos_record:arrived(Record, [arrival(N, N) || N <- [1, 2, 2]]),
    Range = #{<<"rabbit1">> => {0, 2}},
    ?assertEqual({1, []}, chaos_record:duplicates(Record, Range, fun(?AT, [2, 2]) -> true end)),
    ?assertEqual({1, [{<<"rabbit1.2">>, 2}]},
                 chaos_record:duplicates(Record, Range, fun(?AT, [2, 2]) -> false end)).

%% Confirms it for a number that was not pushed yet, and for a text that is not as it was sent.
what_nobody_has_sent_is_told(Config) ->
    {#{missing := 0}, [{_, rabbit, [{<<"rabbit1.2">>, _}]}]} = check([1, 2], "a", 0, Config),
    Record = chaos_record:new(),
    #{body := Body} = Message = arrival(1, 1),
    ok = chaos_record:arrived(Record, [Message#{body := <<Body/binary, "y">>}]),
    {#{missing := 1}, [_Missing, {_, rabbit, [{_, 1}]}]} = check(Record, "a", 0, Config).

%% Confirms it for an event that was refused because the queue was full.
what_was_refused_may_not_arrive(Config) ->
    {#{missing := 0}, [{_, rabbit, [{<<"rabbit1.2">>, _}]}]} = check([1, 2, 3], "afa", 0, Config),
    {#{missing := 0}, []} = check([1, 3], "afa", 0, Config).

check(Arrived, Ledger, Dropped, Config) ->
    check(Arrived, Ledger, Dropped, 0, Config).

check(Numbers, Ledger, Dropped, LostUntil, Config) when is_list(Numbers) ->
    Record = chaos_record:new(),
    ok = chaos_record:arrived(Record, [arrival(N, N) || N <- Numbers]),
    check(Record, Ledger, Dropped, LostUntil, Config);
check(Record, Ledger, Dropped, LostUntil, Config) ->
    Folder = ?config(priv_dir, Config),
    Path = filename:join(Folder, "rabbit1"),
    ok = file:write_file(Path, ""),
    {Open, 0} = chaos_ledger:open(Path),
    [ok = chaos_ledger:write(Open, case Letter of $a -> accepted; $f -> full end, ?AT)
     || Letter <- Ledger],
    Range = #{<<"rabbit1">> => {0, length(Ledger)}},
    chaos_record:check(Record, Folder, {rabbit, Range}, Dropped, LostUntil).

arrival(Number, At) ->
    #{routing_key => <<"rabbit1">>, body => chaos_lane:body(<<"rabbit1">>, Number, ?AT),
      redelivered => false, received_at_ms => At}.
