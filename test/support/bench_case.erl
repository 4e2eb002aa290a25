-module(bench_case).
-moduledoc "A case of the benchmark: rows of subjects that are measured in turn, round by round.".

-export([all/0, wanted/2, run_row/4]).
-export_type([bench_case/0, row/0, subject/0, figures/0, result/0, measured/0, ratio/0,
              builds/0, call/0]).

-type figures() :: #{atom() => number()}.
%% Calls a function on a node that has event_pusher.
-type call() :: fun((module(), Function :: atom(), Args :: [term()]) -> term()).
%% What is compared: a function here, one of such a node, or one here that is about such a node.
-type subject() :: {here, What :: string(), fun(() -> figures())}
                 | {node, What :: string(), {module(), Function :: atom(), Args :: [term()]}}
                 | {about_node, What :: string(), fun((call()) -> figures())}.
%% Ratios are to the first subject. Without a number of rounds, there are as many as in other rows.
-type row() :: #{row := string(), subjects := [subject(), ...], rounds => pos_integer()}.
%% The first figure is the one that ratios are of. Of each: its name, its unit, how many decimals. With fresh,
%% each measurement is on a node that has done nothing before. What is optional has to be asked for.
-type bench_case() :: #{name := string(), title := string(),
                        needs := [bench_rig:part()], optional => true, fresh => true,
                        figures := [{atom(), Unit :: string(), Decimals :: non_neg_integer()}, ...],
                        rows := fun((bench_rig:rig()) -> [row()])}.

-type build() :: here | this | that.
-type builds() :: [{this | that, call()}].
-type measured() :: #{what := string(), build := build(), figures => #{atom() => [number(), ...]},
                      lacks => string()}.
-type ratio() :: #{figure := atom(), over := {string(), build()}, under := {string(), build()},
                   rounds := [float(), ...]}.
-type result() :: #{row := string(), measured := [measured(), ...], ratios := [ratio()]}.

%% In the order in which they run.
-spec all() -> [bench_case()].
all() ->
    Modules = [bench_hook, bench_tail, bench_rate, bench_many, bench_latency, bench_spool, bench_rules, bench_memory],
    lists:append([Module:cases() || Module <- Modules]).

%% Those of these names, or all that are not optional.
-spec wanted([string()], [bench_case()]) -> {ok, [bench_case()]} | {error, Unknown :: [string()]}.
wanted([], Cases) ->
    {ok, [Case || Case <- Cases, not maps:get(optional, Case, false)]};
wanted(Names, Cases) ->
    case Names -- [Name || #{name := Name} <- Cases] of
        [] -> {ok, [Case || #{name := Name} = Case <- Cases, lists:member(Name, Names)]};
        Unknown -> {error, Unknown}
    end.

%% Each subject that is on a node is measured with each build.
-spec run_row(bench_case(), row(), builds(), #{rounds := pos_integer(), tell := fun((string()) -> ok),
                                               _ => _}) -> result().
run_row(#{figures := Figures}, #{row := Name, subjects := Subjects} = Row, Builds, Options) ->
    #{rounds := Usual, tell := Tell} = Options,
    Places = lists:append([places(Subject, Builds) || Subject <- Subjects]),
    Rounds = [run_round(Name, Round, Places, Tell) || Round <- lists:seq(1, maps:get(rounds, Row, Usual))],
    Measured = [measured(Place, [maps:get(key(Place), Round) || Round <- Rounds]) || Place <- Places],
    #{row => Name, measured => Measured, ratios => ratios([Figure || {Figure, _, _} <- Figures], Measured)}.

places({here, What, Fun}, _Builds) ->
    [{What, here, Fun}];
places({node, What, {Module, Function, Args}}, Builds) ->
    places({about_node, What, fun(Call) -> Call(Module, Function, Args) end}, Builds);
places({about_node, What, Fun}, Builds) ->
    [{What, Build, fun() -> Fun(Call) end} || {Build, Call} <- Builds].

key({What, Build, _Run}) -> {What, Build}.

%% Every other round in the opposite order, so that nobody is always the first.
run_round(Name, Round, Places, Tell) ->
    Ordered = case Round rem 2 of 1 -> Places; 0 -> lists:reverse(Places) end,
    maps:from_list([begin
                        Tell(lists:flatten(io_lib:format("~ts: ~ts~s, round ~b",
                                                         [Name, What, suffix(Build), Round]))),
                        {{What, Build}, attempt(Build, Run)}
                    end || {What, Build, Run} <- Ordered]).

suffix(that) -> " (that)";
suffix(_) -> "".

%% An older build may lack what the row is about.
attempt(that, Run) ->
    try Run()
    catch Class:Reason -> {lacks, lists:flatten(io_lib:format("~p: ~0tP", [Class, Reason, 12]))}
    end;
attempt(_, Run) ->
    Run().

measured({What, Build, _Run}, Rounds) ->
    case [Why || {lacks, Why} <- Rounds] of
        [] ->
            Figures = maps:map(fun(Figure, _) -> [maps:get(Figure, Round) || Round <- Rounds] end, hd(Rounds)),
            #{what => What, build => Build, figures => Figures};
        [Why | _] ->
            #{what => What, build => Build, lacks => Why}
    end.

%% Of each to the first subject in its first figure, and of this build to that in all of them.
ratios([Main | _] = Figures, [#{what := First} | _] = Measured) ->
    [ratio(Main, One, Base)
     || #{what := What, build := Build} = One <- Measured, What =/= First,
        #{what := Under, build := Of} = Base <- Measured, Under =:= First, Of =:= here orelse Of =:= Build,
        has(Main, One), has(Main, Base)]
    ++ [ratio(Figure, This, That)
        || #{what := What, build := this} = This <- Measured,
           #{what := Same, build := that} = That <- Measured, Same =:= What,
           Figure <- Figures, has(Figure, This), has(Figure, That)].

has(Figure, #{figures := Figures}) -> is_map_key(Figure, Figures);
has(_Figure, #{lacks := _}) -> false.

ratio(Figure, #{what := Over, build := OfOver, figures := Ones},
      #{what := Under, build := OfUnder, figures := Others}) ->
    #{figure => Figure, over => {Over, OfOver}, under => {Under, OfUnder},
      rounds => lists:zipwith(fun divided/2, maps:get(Figure, Ones), maps:get(Figure, Others))}.

%% Of something too small to be measured.
divided(_One, Other) when Other == 0 -> 0.0;
divided(One, Other) -> One / Other.
