-module(bench_SUITE).
-moduledoc "The short form of `make bench', without its programs: what is measured, compared, told and refused.".

-behaviour(ct_suite).

-export([all/0]).
-export([a_short_run_compares_two_builds_and_writes_json/1,
         the_first_subject_is_what_others_are_compared_with/1,
         every_other_round_is_in_the_opposite_order/1,
         what_another_build_lacks_is_told_in_its_row/1,
         a_failure_of_this_build_ends_the_run/1,
         a_noisy_run_says_so_and_why/1,
         what_others_use_is_told_from_what_is_ours/1,
         a_case_that_is_optional_has_to_be_asked_for/1,
         a_case_that_does_not_exist_is_refused_with_those_that_do/1,
         a_commit_that_does_not_exist_is_refused/1]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), length(string:split(atom_to_list(Case), "_", all)) > 3].

%% Confirms it with nodes and pools as a long run has them, in the cases that need no receiver.
a_short_run_compares_two_builds_and_writes_json(_Config) ->
    {ok, Cases} = bench_case:wanted(["memory", "look"], bench_case:all()),
    Ebin = filename:dirname(code:which(event_pusher)),
    Self = self(),
    Say = fun(Text) -> Self ! {said, Text}, ok end,
    Run = bench:run(#{cases => Cases, rounds => 1, events => 100, folder => filename:absname("bench"),
                      programs => "none", builds => [{this, Ebin}, {that, Ebin}],
                      commits => #{this => "one", that => "other"}, say => Say, tell => fun(_) -> ok end}),
    #{<<"schema">> := 1, <<"commit">> := <<"one">>, <<"compared">> := <<"other">>,
      <<"cases">> := [#{<<"case">> := <<"memory">>}, #{<<"case">> := <<"look">>, <<"rows">> := Rows}]} =
        jiffy:decode(bench_text:json(Run), [return_maps]),
    ?assertMatch([#{<<"row">> := <<"500 groups">>,
                    <<"measured">> := [#{<<"build">> := <<"this">>,
                                         <<"figures">> := #{<<"median">> := #{<<"rounds">> := [Micros]}}},
                                       #{<<"build">> := <<"that">>}],
                    <<"ratios">> := [#{<<"figure">> := <<"median">>, <<"min">> := _},
                                     #{<<"figure">> := <<"max">>}]}, _] when Micros > 0, Rows),
    ?assertNotEqual(nomatch, string:find(said(), "stats, this/that: median")).

said() ->
    receive {said, Text} -> [Text | said()] after 0 -> [] end.

%% Confirms it with the median and the rounds themselves.
the_first_subject_is_what_others_are_compared_with(_Config) ->
    Rates = fun(Rates) -> each_time([#{rate => Rate, cpu => 1} || Rate <- Rates]) end,
    #{measured := [_, #{figures := #{rate := Pool}}], ratios := Ratios} =
        row([{here, "bare", Rates([100, 200, 400])}, {here, "pool", Rates([50, 200, 100])}], []),
    ?assertEqual([50, 200, 100], Pool),
    ?assertEqual([#{figure => rate, over => {"pool", here}, under => {"bare", here}, rounds => [0.5, 1.0, 0.25]}],
                 Ratios),
    ?assertEqual(#{median => 0.5, min => 0.25, max => 1.0}, bench_text:summary([0.5, 1.0, 0.25])).

%% Confirms that nobody is always the first.
every_other_round_is_in_the_opposite_order(_Config) ->
    Self = self(),
    Says = fun(Name) -> {here, Name, fun() -> Self ! {ran, Name}, #{rate => 1, cpu => 1} end} end,
    _ = row([Says("one"), Says("two")], []),
    ?assertEqual(["one", "two", "two", "one", "one", "two"],
                 [receive {ran, Name} -> Name after 0 -> nobody end || _ <- lists:seq(1, 6)]).

%% Confirms that the others of the row are there.
what_another_build_lacks_is_told_in_its_row(_Config) ->
    This = fun(_, _, _) -> #{rate => 10, cpu => 1} end,
    That = fun(_, _, _) -> error({undef, some_function}) end,
    Result = row([{node, "pool", {m, f, []}}], [{this, This}, {that, That}]),
    #{measured := [#{build := this, figures := #{rate := [10, 10, 10]}},
                   #{build := that, lacks := Why}], ratios := []} = Result,
    ?assertNotEqual(nomatch, string:find(Why, "some_function")),
    ?assertNotEqual(nomatch, string:find(bench_text:row(bench_case(), Result), "cannot be measured: error")).

%% Confirms that nobody takes it for a figure.
a_failure_of_this_build_ends_the_run(_Config) ->
    ?assertError(broken, row([{node, "pool", {m, f, []}}], [{this, fun(_, _, _) -> error(broken) end}])).

%% Confirms each reason, and that a quiet run has none.
a_noisy_run_says_so_and_why(_Config) ->
    {Quiet, Busy} = {#{others => 0.5, steal => 0.0}, #{others => 50.0, steal => 0.0}},
    Row = fun(Rounds) -> #{row => "r", measured => [#{what => "w", build => this, figures => #{rate => Rounds}}],
                           ratios => []} end,
    Case = fun(Rounds, Meanwhile) -> [#{bench_case => bench_case(), rows => [Row(Rounds)], meanwhile => Meanwhile}] end,
    ?assertEqual([], bench:noise(Quiet, Case([100, 101, 102], Quiet))),
    ?assertMatch(["Before the run, other processes took 50.0 %" ++ _],
                 bench:noise(Busy, Case([100, 101, 102], Quiet))),
    ?assertMatch(["During the case c, other" ++ _], bench:noise(Quiet, Case([100, 101, 102], Busy))),
    ?assertMatch(["During the case c, other processes took 0.0 %" ++ _],
                 bench:noise(Quiet, Case([100, 101, 102], #{others => 0.0, steal => 9.0}))),
    ?assertEqual(["In the case c, r, w, rounds differ by 100 % of their median."],
                 bench:noise(Quiet, Case([50, 100, 150], Quiet))).

%% Confirms it with work of this VM, which is nobody else's.
what_others_use_is_told_from_what_is_ours(_Config) ->
    Begin = bench_machine:look(),
    Until = erlang:monotonic_time(millisecond) + 500,
    _ = bench_event:in_parallel(1, fun() -> work_until(Until) end),
    #{all := All, busy := Busy, ours := Ours} = bench_machine:look(),
    #{all := AllBefore, busy := BusyBefore, ours := OursBefore} = Begin,
    ?assert(All > AllBefore),
    ?assert(Ours > OursBefore),
    ?assert(Busy - BusyBefore >= (Ours - OursBefore) div 2).

work_until(Until) ->
    case erlang:monotonic_time(millisecond) < Until of
        true -> work_until(Until);
        false -> ok
    end.

%% Confirms it of all that are optional.
a_case_that_is_optional_has_to_be_asked_for(_Config) ->
    All = bench_case:all(),
    Optional = [Name || #{name := Name, optional := true} <- All],
    ?assertMatch([_ | _], Optional),
    {ok, Usual} = bench_case:wanted([], All),
    ?assertEqual([], [Name || #{name := Name} <- Usual, lists:member(Name, Optional)]),
    {ok, Asked} = bench_case:wanted(Optional, All),
    ?assertEqual(Optional, [Name || #{name := Name} <- Asked]).

%% Confirms it by the script, whose status tells it as well.
a_case_that_does_not_exist_is_refused_with_those_that_do(_Config) ->
    Said = script("ONLY=hook,nothing", "tools/bench"),
    ?assertNotEqual(nomatch, string:find(Said, "there is no case nothing; there are hook, ")),
    ?assertNotEqual(nomatch, string:find(Said, "status 2")).

%% Confirms it before anything is built.
a_commit_that_does_not_exist_is_refused(_Config) ->
    Said = script("", "tools/bench-build no-such-commit"),
    ?assertNotEqual(nomatch, string:find(Said, "bench: there is no commit no-such-commit")),
    ?assertNotEqual(nomatch, string:find(Said, "status 2")).

script(Environment, Command) ->
    Root = filename:join([filename:dirname(code:which(?MODULE)), "..", ".."]),
    os:cmd("cd '" ++ Root ++ "' && env " ++ Environment ++ " " ++ Command ++ " 2>&1; echo status $?").

%% One after the other.
each_time(Figures) ->
    Left = counters:new(1, []),
    fun() -> ok = counters:add(Left, 1, 1), lists:nth(counters:get(Left, 1), Figures) end.

row(Subjects, Calls) ->
    bench_case:run_row(bench_case(), #{row => "r", subjects => Subjects}, Calls,
                       #{rounds => 3, tell => fun(_) -> ok end}).

bench_case() ->
    #{name => "c", title => "t", needs => [], figures => [{rate, "per s", 0}, {cpu, "CPU s", 2}],
      rows => fun(_) -> [] end}.
