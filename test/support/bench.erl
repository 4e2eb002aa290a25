-module(bench).
-moduledoc "Measures in one run, side by side, what hooks cost and pools deliver: see docs/benchmarks.md.".

-export([main/0, check/0, run/1, noise/2]).
-export_type([options/0, run/0, measured_case/0]).

%% builds: the folders with the beams of event_pusher, by name.
-type options() :: #{cases := [bench_case:bench_case()], rounds := pos_integer(), events := pos_integer(),
                     folder := file:filename(), programs := file:filename(),
                     builds := [{this | that, file:filename()}],
                     commits := #{this | that => string()},
                     say := fun((iodata()) -> ok), tell := fun((string()) -> ok)}.
-type measured_case() :: #{bench_case := bench_case:bench_case(), rows := [bench_case:result()],
                           meanwhile := bench_machine:others()}.
-type run() :: #{options := options(), cases := [measured_case()], seconds := non_neg_integer(),
                 load := float(), before := bench_machine:others(), noise := [string()]}.

-define(ROUNDS, 3).
-define(EVENTS, 20000).
%% How long the machine is watched before.
-define(WATCH_MS, 2000).
%% A run is noisy that is beyond one of these. Percent of all processors:
-define(OTHERS, 5).
-define(STEAL, 2).
%% The widest spread in the first figure of a row, in percent of its median.
-define(SPREAD, 30).

%% The status is 2 if there is no case of a name in ONLY.
-spec check() -> ok.
check() ->
    _ = wanted(),
    ok.

wanted() ->
    All = bench_case:all(),
    case bench_case:wanted(string:lexemes(os:getenv("ONLY", ""), ", "), All) of
        {ok, Cases} ->
            Cases;
        {error, Unknown} ->
            io:format(standard_error, "bench: there is no case ~ts; there are ~ts~n",
                      [lists:join(", ", Unknown), lists:join(", ", names(All))]),
            halt(2)
    end.

names(Cases) ->
    Names = [Name || #{name := Name} <- Cases],
    %% Some cases have several tables.
    Names -- (Names -- lists:usort(Names)).

%% Of tools/bench. BENCH_THAT is the folder of another build, whose commit is COMPARE.
-spec main() -> ok.
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    This = filename:dirname(code:which(event_pusher)),
    That = os:getenv("BENCH_THAT", ""),
    Run = run(#{cases => wanted(), rounds => ?ROUNDS, events => ?EVENTS,
                folder => filename:absname("_build/bench"), programs => filename:absname("target/release"),
                builds => [{this, This} | [{that, That} || That =/= ""]],
                commits => maps:from_list([{this, os:getenv("BENCH_COMMIT", "unknown")}
                                           | [{that, os:getenv("COMPARE")} || That =/= ""]]),
                say => fun bench_text:say/1, tell => bench_text:progress()}),
    Json = os:getenv("BENCH_JSON", "_build/bench.json"),
    ok = file:write_file(Json, bench_text:json(Run)),
    bench_text:say(["\nThe same for programs is in ", Json, "."]).

%% Measures, and tells each row when it is complete.
-spec run(options()) -> run().
run(#{cases := Cases, say := Say, tell := Tell} = Options) ->
    Begin = erlang:monotonic_time(second),
    {Load, Before} = {bench_machine:load(), before(Tell)},
    ok = Say(bench_text:head(Options, Before)),
    ok = Tell("starting receivers"),
    Rig = bench_rig:start(lists:append([Needs || #{needs := Needs} <- Cases]), Options),
    Measured = try [run_case(Case, Rig, Options) || Case <- Cases] after bench_rig:stop(Rig) end,
    Noise = noise(Before, Measured),
    ok = Say(bench_text:noise(Noise)),
    #{options => maps:without([say, tell], Options), cases => Measured, load => Load, before => Before,
      seconds => erlang:monotonic_time(second) - Begin, noise => Noise}.

before(Tell) ->
    ok = Tell("watching the machine"),
    Look = bench_machine:look(),
    timer:sleep(?WATCH_MS),
    bench_machine:between(Look, bench_machine:look()).

run_case(#{name := Name, rows := Rows} = Case, Rig, #{builds := Builds, say := Say, tell := Tell} = Options) ->
    ok = Say(bench_text:case_head(Case)),
    ok = Tell(Name),
    Look = bench_machine:look(),
    OfCase = Options#{tell := fun(Text) -> Tell([Name, ", ", Text]) end},
    Measured = bench_rig:with_nodes(Case, Builds, Rig, fun(Calls) ->
        [begin
             Result = bench_case:run_row(Case, Row, Calls, OfCase),
             ok = Say(bench_text:row(Case, Result)),
             Result
         end || Row <- Rows(Rig)]
    end),
    #{bench_case => Case, rows => Measured, meanwhile => bench_machine:between(Look, bench_machine:look())}.

%% What makes the figures doubtful, each as a sentence.
-spec noise(bench_machine:others(), [measured_case()]) -> [string()].
noise(Before, Measured) ->
    [busy("Before the run", Before) || is_busy(Before)]
    ++ [busy("During the case " ++ Name, Meanwhile)
        || #{bench_case := #{name := Name}, meanwhile := Meanwhile} <- Measured, is_busy(Meanwhile)]
    ++ [lists:flatten(io_lib:format("In the case ~s, ~ts, ~ts, rounds differ by ~b % of their median.",
                                    [Name, Row, bench_text:named(What, Build), round(Spread)]))
        || #{bench_case := #{name := Name, figures := [{Main, _, _} | _]}, rows := Rows} <- Measured,
           #{row := Row, measured := All} <- Rows, #{what := What, build := Build, figures := #{Main := Rounds}} <- All,
           Spread <- [spread(Rounds)], Spread > ?SPREAD].

is_busy(#{others := Others, steal := Steal}) ->
    Others > ?OTHERS orelse Steal > ?STEAL.

busy(When, #{others := Others, steal := Steal}) ->
    lists:flatten(io_lib:format("~s, other processes took ~.1f % of the processors, and the hypervisor ~.1f %.",
                                [When, Others, Steal])).

spread(Rounds) ->
    #{median := Median, min := Min, max := Max} = bench_text:summary(Rounds),
    100 * (Max - Min) / max(Median, 1.0e-9).
