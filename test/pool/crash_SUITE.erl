-module(crash_SUITE).
-moduledoc "The short form of `make crash': three kills. The judge is held to what it has to find.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([what_is_on_disk_survives_kills_at_any_moment/1,
         the_same_seed_gives_the_same_kills/1,
         each_kind_of_moment_is_in_a_plan/1,
         what_was_synced_may_not_be_missing/1,
         what_was_not_yet_synced_may_be_missing/1,
         what_was_counted_as_unsaved_may_be_missing/1,
         what_came_twice_has_a_kill_between/1,
         what_was_promised_may_not_come_late/1,
         what_was_refused_may_not_arrive/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

%% When the node was killed, in made-up balances. Then, what is younger than 1500 ms may be lost.
-define(KILLED, 100000).
-define(LANE, <<"rabbit1">>).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 5}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

%% Confirms it with real receivers and a node that is killed three times; at others each time.
what_is_on_disk_survives_kills_at_any_moment(_Config) ->
    Options = #{kills => 3, seed => os:system_time(second), pace_ms => 50,
                program => chaos_rig:debug_program(), progress => chaos_text:silent()},
    #{violations := Violations, rows := Rows} = Result = crash:run(Options),
    crash_text:report(Result, Options),
    ?assertEqual(3, lists:sum([Kills || #{kills := Kills} <- maps:values(Rows)])),
    ?assertEqual([], Violations).

%% Confirms that a run can be repeated.
the_same_seed_gives_the_same_kills(_Config) ->
    ?assertEqual(crash_plan:draw(1, 20), crash_plan:draw(1, 20)),
    ?assertNotEqual(crash_plan:draw(1, 20), crash_plan:draw(2, 20)).

%% Confirms it of 20, and that a start has something to begin with.
each_kind_of_moment_is_in_a_plan(_Config) ->
    Rounds = crash_plan:draw(3, 20),
    Kills = lists:append(Rounds),
    ?assertEqual(20, length(Kills)),
    ?assertEqual(lists:sort([Moment || {Moment, _} <- crash_plan:moments()]),
                 lists:usort([Moment || #{moment := Moment} <- Kills])),
    [?assertMatch([#{moment := outage}, #{moment := start}], Round)
     || Round <- Rounds, #{moment := start} <- Round],
    ok.

%% Confirms it by what the statistics said, and by the age.
what_was_synced_may_not_be_missing(Config) ->
    Events = [{accepted, ?KILLED - 10}, {accepted, ?KILLED - 10}],
    {#{missing_synced := 1, delivered := 1}, [{_, rabbit, [{<<"rabbit1.2">>, _}]}]} =
        check(Events, [{1, ?KILLED}], kill(#{synced_ms => ?KILLED - 10}), Config),
    {#{missing_synced := 1}, [{_, rabbit, [{<<"rabbit1.1">>, _}]}]} =
        check([{accepted, ?KILLED - 1600}], [], kill(#{}), Config),
    {#{missing_synced := 0}, [{_, rabbit, [{<<"rabbit1.1">>, _}]}]} =
        check([{unknown, 0}, {accepted, ?KILLED + 1000}], [{2, ?KILLED + 1000}, {1, ?KILLED},
                                                           {1, ?KILLED}, {1, ?KILLED}],
              kill(#{}), Config).

what_was_not_yet_synced_may_be_missing(Config) ->
    {#{missing_synced := 0, missing_unsynced := 1, accepted := 1}, []} =
        check([{accepted, ?KILLED - 1400}], [], kill(#{}), Config).

%% Confirms it for as many as were, and for one more.
what_was_counted_as_unsaved_may_be_missing(Config) ->
    Kill = kill(#{unsaved => 1}),
    Old = {accepted, ?KILLED - 5000},
    {#{missing_synced := 0, missing_unsaved := 1}, []} = check([Old], [], Kill, Config),
    {#{missing_synced := 1}, [{_, rabbit, [_, _]}]} = check([Old, Old], [], Kill, Config).

%% Confirms it for an end that may not have been written yet, one that must have been, and one copy
%% too many.
what_came_twice_has_a_kill_between(Config) ->
    Check = fun(Times) ->
        {_, Problems} = check([{accepted, ?KILLED - 9000}], [{1, At} || At <- Times], kill(#{}),
                              Config),
        Problems
    end,
    ?assertEqual([], Check([?KILLED - 1400, ?KILLED + 3000])),
    ?assertMatch([{_, rabbit, [{<<"rabbit1.1">>, _}]}], Check([?KILLED - 1600, ?KILLED + 3000])),
    ?assertMatch([_], Check([?KILLED - 100, ?KILLED + 3000, ?KILLED + 4000])).

%% Confirms it, and that what was not on disk is of no order.
what_was_promised_may_not_come_late(Config) ->
    Late = fun(Age) ->
        {_, Problems} = check([{accepted, ?KILLED - Age}, {accepted, ?KILLED - Age}],
                              [{2, ?KILLED}, {1, ?KILLED}], kill(#{}), Config),
        Problems
    end,
    ?assertMatch([{_, rabbit, [{<<"rabbit1.1">>, _}]}], Late(2000)),
    ?assertEqual([], Late(1000)).

what_was_refused_may_not_arrive(Config) ->
    {_, [{_, rabbit, [{<<"rabbit1.1">>, _}]}]} =
        check([{full, ?KILLED - 5000}], [{1, ?KILLED}], kill(#{}), Config).

%% Of a node that synced after 500 ms.
kill(Said) ->
    Of = maps:merge(#{synced_ms => 0, unsaved => 0}, Said),
    #{moment => calm, sync => 500, before_ms => ?KILLED, ended_ms => ?KILLED + 50,
      said => #{rabbit => Of}, cuts => []}.

%% What was pushed, and what arrived then.
check(Pushed, Arrivals, Kill, Config) ->
    Folder = ?config(priv_dir, Config),
    Path = filename:join(Folder, ?LANE),
    ok = file:write_file(Path, ""),
    {Ledger, 0} = chaos_ledger:open(Path),
    [ok = chaos_ledger:write(Ledger, Said, At) || {Said, At} <- Pushed],
    Record = chaos_record:new(),
    ok = chaos_record:arrived(Record, [arrival(Number, At) || {Number, At} <- Arrivals]),
    Range = #{?LANE => {0, length(Pushed)}},
    {[Sums], Problems} = crash_balance:check(Record, Folder, {rabbit, Range}, [Kill]),
    {Sums, Problems}.

arrival(Number, At) ->
    #{routing_key => ?LANE, body => chaos_lane:body(?LANE, Number, 1), redelivered => false,
      received_at_ms => At}.
