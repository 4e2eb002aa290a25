-module(bench_text).
-moduledoc "What a benchmark prints: progress, tables for people, JSON for programs.".

-export([say/1, progress/0, head/2, case_head/1, row/2, noise/1, json/1, summary/1, named/2]).

-type summary() :: #{median := number(), min := number(), max := number()}.

%% Of the JSON, which docs/benchmarks.md describes.
-define(SCHEMA, 1).

-spec say(iodata()) -> ok.
say(Text) ->
    clear(),
    io:put_chars([Text, $\n]).

%% On a terminal, one line that changes; elsewhere, one for each case. Either with the seconds so far.
-spec progress() -> fun((iodata()) -> ok).
progress() ->
    Begin = erlang:monotonic_time(second),
    fun(Text) ->
        Line = io_lib:format("bench: ~b s, ~ts", [erlang:monotonic_time(second) - Begin, Text]),
        case is_terminal() of
            true -> clear(), io:put_chars(standard_error, string:slice(Line, 0, 79));
            false -> [io:put_chars(standard_error, [Line, $\n]) || string:find(Text, ",") =:= nomatch], ok
        end
    end.

clear() ->
    case is_terminal() of
        true -> io:put_chars(standard_error, "\r\e[K");
        false -> ok
    end.

is_terminal() ->
    os:getenv("BENCH_TERMINAL", "") =/= "".

-spec head(bench:options(), bench_machine:others()) -> iodata().
head(#{rounds := Rounds, events := Events, commits := Commits}, #{others := Others, steal := Steal}) ->
    #{processor := Processor, processors := Processors, otp := Otp, kernel := Kernel} = bench_machine:describe(),
    [format("~ts, ~b processors, Linux ~ts, OTP ~ts; ", [Processor, Processors, Kernel, Otp]),
     format("other processes take ~.1f % of the processors, the hypervisor ~.1f %~n", [Others, Steal]),
     format("~b events, medians of ~b rounds (least to most); ", [Events, Rounds]),
     lists:join(", ", [format("~s is ~ts", [Build, Commit]) || {Build, Commit} <- lists:sort(maps:to_list(Commits))])].

-spec case_head(bench_case:bench_case()) -> iodata().
case_head(#{name := Name, title := Title, figures := [{_, Unit, _} | Figures]}) ->
    [format("~n~ts: ~ts~n  ~-26ts ~-28ts ~-26ts", [Name, Title, "", "", Unit]),
     [format(" ~15ts", [Other]) || {_, Other, _} <- Figures], "   ratio to the first line"].

-spec row(bench_case:bench_case(), bench_case:result()) -> iodata().
row(#{figures := Figures}, #{row := Row, measured := Measured, ratios := Ratios}) ->
    Lines = [[line(One, Figures), to_first(One, Ratios)] || One <- Measured],
    Names = [Row | ["" || _ <- tl(Lines)]],
    Compared = [format("~n  ~-26ts ~ts", ["", this_to_that(What, Ratios)])
                || #{what := What, build := that} <- Measured, this_to_that(What, Ratios) =/= []],
    [lists:join($\n, [format("  ~-26ts ~ts", [Name, Line]) || {Name, Line} <- lists:zip(Names, Lines)]), Compared].

line(#{what := What, build := Build, lacks := Why}, _Figures) ->
    format("~-28ts cannot be measured: ~ts", [named(What, Build), string:slice(Why, 0, 100)]);
line(#{what := What, build := Build, figures := Values}, [{Main, _, Decimals} | Others]) ->
    #{median := Median, min := Min, max := Max} = summary(maps:get(Main, Values)),
    Spread = io_lib:format("(~ts..~ts)", [number(Min, Decimals), number(Max, Decimals)]),
    [format("~-28ts ~9ts ~-16ts", [named(What, Build), number(Median, Decimals), Spread]),
     [case Values of
          #{Other := Rounds} -> format(" ~15ts", [number(maps:get(median, summary(Rounds)), Least)]);
          #{} -> format(" ~15ts", [""])
      end || {Other, _, Least} <- Others]].

to_first(#{what := What, build := Build}, Ratios) ->
    ["   " ++ ratio(Rounds) || #{over := {Over, Of}, under := {Under, _}, rounds := Rounds} <- Ratios,
                              Over =:= What, Of =:= Build, Under =/= What].

this_to_that(What, Ratios) ->
    case [format("~s ~ts", [Figure, ratio(Rounds)])
          || #{figure := Figure, over := {Over, this}, under := {Under, that}, rounds := Rounds} <- Ratios,
             Over =:= What, Under =:= What] of
        [] -> [];
        Told -> [What, ", this/that: ", lists:join(", ", Told)]
    end.

ratio(Rounds) ->
    #{median := Median, min := Min, max := Max} = summary(Rounds),
    lists:flatten(io_lib:format("~.2f (~.2f..~.2f)", [Median * 1.0, Min * 1.0, Max * 1.0])).

-spec named(What :: string(), Build :: here | this | that) -> string().
named(What, that) -> What ++ ", that";
named(What, _) -> What.

number(Value, 0) -> integer_to_list(round(Value));
number(Value, Decimals) -> float_to_list(Value * 1.0, [{decimals, Decimals}]).

-spec noise([string()]) -> iodata().
noise([]) ->
    "\nThe machine was quiet.";
noise(Sentences) ->
    ["\nThis run is too noisy for its figures to be quoted:", [["\n  ", Sentence] || Sentence <- Sentences]].

-spec summary([number(), ...]) -> summary().
summary(Rounds) ->
    Sorted = lists:sort(Rounds),
    #{median => lists:nth((length(Sorted) + 1) div 2, Sorted), min => hd(Sorted), max => lists:last(Sorted)}.

format(Format, Args) ->
    io_lib:format(Format, Args).

%% JSON

-spec json(bench:run()) -> iodata().
json(#{options := #{rounds := Rounds, events := Events, commits := Commits}, cases := Cases, load := Load,
       before := Before, seconds := Seconds, noise := Noise}) ->
    Run = {[{schema, ?SCHEMA},
            {at, list_to_binary(calendar:system_time_to_rfc3339(erlang:system_time(second), [{offset, "Z"}]))},
            {commit, text(maps:get(this, Commits))},
            {compared, case Commits of #{that := That} -> text(That); #{} -> null end},
            {rounds, Rounds}, {events, Events}, {seconds, Seconds},
            {machine, {lists:sort(maps:to_list(bench_machine:describe()))}},
            {load_before, Load}, {before, others(Before)},
            {noise, [text(Sentence) || Sentence <- Noise]},
            {cases, [json_case(Case) || Case <- Cases]}]},
    [jiffy:encode(Run, [pretty]), $\n].

json_case(#{bench_case := #{name := Name, title := Title, figures := Figures}, rows := Rows,
            meanwhile := Meanwhile}) ->
    {[{'case', text(Name)}, {title, text(Title)},
      {figures, [{[{figure, Figure}, {unit, text(Unit)}, {decimals, Decimals}]}
                 || {Figure, Unit, Decimals} <- Figures]},
      {meanwhile, others(Meanwhile)},
      {rows, [json_row(Row) || Row <- Rows]}]}.

json_row(#{row := Row, measured := Measured, ratios := Ratios}) ->
    {[{row, text(Row)},
      {measured, [{[{what, text(What)}, {build, Build} | figures_or_lack(One)]}
                  || #{what := What, build := Build} = One <- Measured]},
      {ratios, [{[{figure, Figure}, {over, subject(Over)}, {under, subject(Under)} | summed(Rounds)]}
                || #{figure := Figure, over := Over, under := Under, rounds := Rounds} <- Ratios]}]}.

figures_or_lack(#{lacks := Why}) ->
    [{lacks, text(Why)}];
figures_or_lack(#{figures := Figures}) ->
    [{figures, {[{Figure, {summed(Rounds)}} || {Figure, Rounds} <- maps:to_list(Figures)]}}].

subject({What, Build}) ->
    {[{what, text(What)}, {build, Build}]}.

summed(Rounds) ->
    #{median := Median, min := Min, max := Max} = summary(Rounds),
    [{median, Median}, {min, Min}, {max, Max}, {rounds, Rounds}].

others(#{others := Others, steal := Steal}) ->
    {[{others_percent, Others}, {steal_percent, Steal}]}.

text(Text) ->
    unicode:characters_to_binary(Text).
