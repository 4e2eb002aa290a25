-module(chaos).
-moduledoc "Pushes a steady stream of events while everything fails; none may be lost silently.".

%% This VM is the judge: it has the receivers, makes the faults and counts. The node under test is a
%% VM of its own.

-export([main/0, run/1]).
-export_type([options/0, result/0, happening/0]).

-type options() :: #{seconds := pos_integer(), seed := integer(), spool := boolean(), program := file:filename(),
                     progress := chaos_text:progress()}.
%% A fault that was, and what became of the events of its pool meanwhile.
-type happening() :: #{name := atom(), pool := chaos_node:pool(), cuts := boolean(),
                       begin_ms := integer(), end_ms := integer(),
                       retried := non_neg_integer(), dropped := non_neg_integer()}.
-type result() :: #{violations := [violation()], happenings := [happening()],
                    sums := #{chaos_node:pool() => map()}, measures := [chaos_node:measures()],
                    began_ms := integer(), arrived := map()}.
-type violation() :: {Text :: string(), chaos_node:pool() | node,
                      [{Id :: binary(), AtMs :: integer()}],
                      Between :: {integer(), integer()} | none}.

-define(CALL_MS, 60000).
-define(SETTLE_MS, 60000).
-define(LOOK_MS, 300).
-define(PACE_MS, 50).
-define(CALM_MS, 2000).
%% How long an act takes at least with all that is around it, and its storm alone.
-define(ACT_MS, 20000).
-define(STORM_MS, 14000).
-define(FAULTS, 10).
-define(SPOOL_BYTES, 1024 * 1024 * 1024).
-define(SYNC_MS, 100).
%% Beyond the first third of a run, memory may vary by this much.
-define(TOLERANCE_KIB, 32 * 1024).

%% CHAOS_SECONDS and CHAOS_SEED say how long and which plan. Ends the VM, with status 0 only if
%% nothing was violated.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    Options = #{seconds => chaos_text:number("CHAOS_SECONDS", "300"),
                seed => chaos_text:number("CHAOS_SEED", chaos_text:any_seed()),
                spool => chaos_text:number("CHAOS_SPOOL", "0") =/= 0,
                program => "target/release/chaos",
                progress => chaos_text:progress()},
    chaos_text:main(fun() ->
        #{violations := Violations} = Result = run(Options),
        chaos_text:report(Result, Options),
        Violations =:= []
    end).

-spec run(options()) -> result().
run(#{seconds := Seconds, seed := Seed, spool := Spool} = Options) ->
    Size = #{act_ms => min(?STORM_MS, 500 * Seconds), faults => min(?FAULTS, Seconds),
             spool => Spool},
    Plan = chaos_plan:draw(Seed, 1 + 1000 * Seconds div ?ACT_MS, Size),
    Rig = start(Options),
    try
        play(Plan, Rig#{until => now_ms() + 1000 * Seconds})
    after
        stop(Rig)
    end.

%% What is needed

start(#{spool := Spool} = Options) ->
    #{place := Place, folder := Folder} = Rig =
        chaos_rig:start("_build/chaos", Options#{pools => chaos_node:pools()}),
    Dir = list_to_binary(filename:join(Folder, "spool")),
    Rig#{place := case Spool of
                      true -> Place#{spool => #{dir => Dir, max_bytes => ?SPOOL_BYTES,
                                                sync => ?SYNC_MS}};
                      false -> Place
                  end,
         node => chaos_rig:start_node(Rig)}.

stop(#{node := Node} = Rig) ->
    ok = chaos_rig:stop_node(Node),
    chaos_rig:stop(Rig).

on_node(#{node := Node}, Function, Args) ->
    chaos_rig:on_node(Node, Function, Args).

%% Acts

play(Plan, #{place := Place, began_ms := Began, record := Record} = Rig) ->
    ok = on_node(Rig, start, [Place]),
    ok = on_node(Rig, open, [Place]),
    Warm = calm(Rig, zero(Rig, Plan)),
    ok = on_node(Rig, stop, []),
    Before = {on_node(Rig, measure, []), on_node(Rig, descriptors, [])},
    ok = on_node(Rig, open, [Place]),
    Zero = maps:merge(zero(Rig, Plan), maps:with([at, violations], Warm)),
    #{violations := Violations, happenings := Happenings, measures := Measures, sums := Sums} =
        acts(Plan, Rig, Zero),
    ok = on_node(Rig, stop, []),
    Leaks = leaks(Before, Rig, now_ms() + ?CALL_MS),
    #{violations => lists:reverse(Violations) ++ growth(Measures) ++ Leaks,
      happenings => lists:reverse(Happenings),
      measures => [element(1, Before) | lists:reverse(Measures)],
      sums => Sums, began_ms => Began, arrived => chaos_record:totals(Record)}.

%% Before anything was pushed into these pools.
zero(Rig, Plan) ->
    #{violations => [], happenings => [], measures => [], sums => #{},
      at => maps:from_keys(chaos_node:lanes(maps:get(pools, Rig)), 0), counts => on_node(Rig, counts, []),
      act => 0, acts => length(Plan)}.

%% As many of the plan as there is time for, and one at least.
acts([Act | Plan], #{until := Until} = Rig, State0) ->
    State = act(Act, Rig, State0),
    case Plan =:= [] orelse now_ms() > Until of
        true -> State;
        false -> acts(Plan, Rig, State)
    end.

%% A storm, then a calm: in it, nothing may be dropped and nothing may come twice.
act(Faults, Rig, #{act := Number} = State0) ->
    State1 = State0#{act := Number + 1},
    Storm = now_ms(),
    ok = on_node(Rig, pace, [?PACE_MS]),
    State2 = storm(Faults, Rig, State1),
    ok = on_node(Rig, pause, []),
    #{measures := Measures} = State3 = calm(Rig, settle(storm, Storm, Rig, State2)),
    State3#{measures := [on_node(Rig, measure, []) | Measures]}.

calm(Rig, State) ->
    Since = now_ms(),
    ok = on_node(Rig, pace, [?PACE_MS]),
    watch(now_ms() + ?CALM_MS, [], Rig, State),
    ok = on_node(Rig, pause, []),
    settle(calm, Since, Rig, State).

storm(Faults, Rig, #{happenings := Happenings} = State) ->
    Begin = now_ms(),
    Making = [spawn_monitor(fun() -> exit({made, [make(Fault, Begin, Rig) || Fault <- InTurn]}) end)
              || InTurn <- in_turn(Faults)],
    Made = watch(infinity, [Monitor || {_, Monitor} <- Making], Rig, State),
    Newest = lists:reverse(lists:keysort(1, Made)),
    State#{happenings := [Happening || {_Begin, Happening} <- Newest] ++ Happenings}.

%% The faults of one slot of a pool, which wait for each other: one can take longer than planned, as
%% a broker that has to start again.
in_turn(Faults) ->
    maps:values(maps:groups_from_list(fun(#{pool := Pool, slot := Slot}) -> {Pool, Slot} end,
                                      Faults)).

make(#{at_ms := At, for_ms := For, name := Name, pool := Pool, cuts := Cuts} = Fault, Begin, Rig) ->
    timer:sleep(max(0, Begin + At - now_ms())),
    #{Pool := Before} = on_node(Rig, counts, []),
    Began = now_ms(),
    ok = chaos_fault:run(Fault, For, Rig),
    Ended = now_ms(),
    #{Pool := After} = on_node(Rig, counts, []),
    #{name => Name, pool => Pool, cuts => Cuts, begin_ms => Began, end_ms => Ended,
      retried => maps:get(retried, After) - maps:get(retried, Before),
      dropped => drops(After) - drops(Before)}.

drops(Counts) ->
    lists:sum([maps:get(Fate, Counts) || Fate <- chaos_node:drops()]).

%% Until then, or until all that is monitored has ended; takes what arrives meanwhile.
watch(_Until, [], _Rig, _State, Made) when Made =/= [] ->
    Made;
watch(Until, Monitors, Rig, State, Made) ->
    ok = chaos_rig:collect(Rig),
    tell_progress(Monitors, Rig, State),
    receive
        {'DOWN', Monitor, process, _, {made, Happenings}} ->
            Sorted = [{Begin, It} || #{begin_ms := Begin} = It <- Happenings],
            watch(Until, lists:delete(Monitor, Monitors), Rig, State, Sorted ++ Made);
        {'DOWN', _Monitor, process, _, Reason} ->
            error({fault_failed, Reason})
    after ?LOOK_MS ->
        case now_ms() > Until of
            true -> Made;
            false -> watch(Until, Monitors, Rig, State, Made)
        end
    end.

watch(Until, Monitors, Rig, State) ->
    watch(Until, Monitors, Rig, State, []).

tell_progress(Monitors, #{progress := Progress, record := Record, began_ms := Began} = Rig,
              #{act := Act, acts := Acts}) ->
    Counts = maps:values(on_node(Rig, counts, [])),
    Sum = fun(Key) -> lists:sum([maps:get(Key, Of) || Of <- Counts]) end,
    #{arrived := Arrived} = chaos_record:totals(Record),
    Progress("~3b s, act ~b of ~b, ~2b slots at fault: ~b delivered, ~b dropped, ~b waiting, ~b arrived",
             [(now_ms() - Began) div 1000, Act, Acts, length(Monitors), Sum(delivered),
              lists:sum([drops(Of) || Of <- Counts]), Sum(waiting), Arrived]).

%% The balance

%% Waits until all that was pushed since the last time has ended and arrived, and looks whether it
%% is as it should be.
settle(Phase, Since, #{place := #{folder := Folder}, record := Record, pools := Pools} = Rig,
       #{at := At, counts := Before, happenings := Happenings, violations := Violations,
         sums := Sums} = State) ->
    Now = maps:map(fun(Lane, _) -> chaos_ledger:count(filename:join(Folder, Lane)) end, At),
    Ranges = chaos_node:ranges(Pools, At, Now),
    {Counts, Checked} = await(now_ms() + ?SETTLE_MS, Rig, State, fun() ->
        Counts = on_node(Rig, counts, []),
        Checked = [check(Phase, {Pool, Range, lost_until(Pool, Happenings)}, maps:get(Pool, Before),
                         maps:get(Pool, Counts), Rig)
                   || {Pool, Range} <- Ranges],
        {lists:all(fun({_, Problems}) -> Problems =:= [] end, Checked), {Counts, Checked}}
    end),
    ok = chaos_record:forget_problems(Record),
    Twice = [{Pool, chaos_record:duplicates(Record, Range, leave(Phase, Pool, Happenings))}
             || {Pool, Range} <- Ranges],
    New = lists:append([Problems || {_, Problems} <- Checked])
        ++ [{"arrived twice without a reason", Pool, Ids} || {Pool, {_, Ids}} <- Twice, Ids =/= []],
    Between = {Since, now_ms()},
    State#{at := Now, counts := Counts,
           violations := [{Text, Pool, Ids, Between} || {Text, Pool, Ids} <- New]
               ++ Violations,
           sums := add([Sum || {Sum, _} <- Checked],
                       [{Pool, #{copies => Copies}} || {Pool, {Copies, _}} <- Twice], Sums)}.

%% The last result, if it does not become good in time.
await(Until, Rig, State, Look) ->
    watch(0, [], Rig, State),
    case Look() of
        {true, Result} -> Result;
        {false, Result} ->
            case now_ms() > Until of
                true -> Result;
                false -> await(Until, Rig, State, Look)
            end
    end.

%% Pushed is accepted and refused; accepted is delivered, dropped and waiting; and what was
%% delivered has arrived.
check(Phase, {Pool, Range, LostUntil}, Before, After,
      #{place := #{folder := Folder}, record := Record}) ->
    Grown = maps:map(fun(Key, Value) -> Value - maps:get(Key, Before) end, After),
    #{accepted := Accepted, full := Full, closed := Closed} = chaos_record:pushed(Folder, Range),
    #{delivered := Delivered, closed := AllClosed, full := AllFull} = Grown,
    Waiting = maps:get(waiting, After),
    Dropped = drops(Grown) - Full - Closed,
    {#{missing := Missing, lost := Lost}, Problems} =
        chaos_record:check(Record, Folder, {Pool, Range}, Dropped, LostUntil),
    Balance = [{"accepted, delivered, dropped, waiting: ", [Accepted, Delivered, Dropped, Waiting]}
               || Accepted =/= Delivered + Dropped orelse Waiting =/= 0]
        ++ [{"refused as full, as closed, and counted: ", [Full, Closed, AllFull, AllClosed]}
            || AllFull < Full orelse AllClosed < Closed]
        ++ [{"dropped or refused in a calm: ", [Dropped, Full, Closed]}
            || Phase =:= calm, Dropped + Full + Closed =/= 0],
    Sum = maps:merge(maps:with([rejected, exhausted, nacked, unroutable, unanswered, expired,
                                retried],
                               Grown),
                     #{pushed => Accepted + Full + Closed, refused_full => Full,
                       refused_closed => Closed, delivered => Delivered, waiting => Waiting,
                       full => AllFull - Full, closed => AllClosed - Closed,
                       lost => Lost, late => max(0, Dropped - Missing - Lost)}),
    {{Pool, Sum}, [{text("~s~w", [Text, Numbers]), Pool, []} || {Text, Numbers} <- Balance]
                  ++ Problems}.

%% Without confirms, a broker that has read an event may end without it: its end is then all that is
%% known of what was pushed before.
lost_until(loose, Happenings) ->
    lists:max([0 | [End || #{name := Name, end_ms := End} <- Happenings,
                           lists:member(Name, [broker_restart, broker_kill])]]);
lost_until(_Pool, _Happenings) ->
    0.

%% A fault that cuts answers off, at any time between the push and the last arrival. What happens to
%% the broker happens to both of its pools.
leave(calm, _Pool, _Happenings) ->
    fun(_, _) -> false end;
leave(storm, Pool, Happenings) ->
    Cuts = [{Begin, End} || #{pool := Of, cuts := true, begin_ms := Begin, end_ms := End}
                                <- Happenings,
                            Of =:= Pool orelse Pool =:= loose andalso Of =:= rabbit],
    fun(Pushed, [Last | _]) ->
        lists:any(fun({Begin, End}) -> Begin =< Last andalso Pushed =< End end, Cuts)
    end.

add(Some, More, Sums) ->
    lists:foldl(fun({Pool, Sum}, All) ->
        Plus = fun(Key, Value) -> Value + maps:get(Key, maps:get(Pool, All, #{}), 0) end,
        All#{Pool => maps:merge(maps:get(Pool, All, #{}), maps:map(Plus, Sum))}
    end, Sums, Some ++ More).

%% What grows

%% In the last third of the acts as in the first.
growth(Measures) when length(Measures) < 6 ->
    [];
growth(Measures) ->
    Resident = [KiB || #{resident_kib := KiB} <- lists:reverse(Measures)],
    Third = length(Resident) div 3,
    First = lists:max(lists:sublist(Resident, Third)),
    Last = lists:min(lists:nthtail(length(Resident) - Third, Resident)),
    [violation("resident memory grew from ~b to ~b KiB", [First, Last])
     || Last > First + ?TOLERANCE_KIB].

%% Of the node, at no time in particular.
violation(Format, Args) ->
    {text(Format, Args), node, [], none}.

text(Format, Args) ->
    lists:flatten(io_lib:format(Format, Args)).

%% When the pools have stopped, nothing of them is left. Threads and sockets may end a moment later.
leaks({Before, Open}, Rig, Until) ->
    After = on_node(Rig, measure, []),
    Left = [{Key, maps:get(Key, Before), maps:get(Key, After)}
            || Key <- [threads, descriptors, processes],
               maps:get(Key, After) > maps:get(Key, Before)],
    case Left =:= [] orelse now_ms() > Until of
        true ->
            [violation("~s left behind: ~b before, ~b after", [Key, Was, Is])
             || {Key, Was, Is} <- Left]
            ++ [violation("open in addition: ~p", [on_node(Rig, descriptors, []) -- Open])
                || {descriptors, _, _} <- Left];
        false ->
            timer:sleep(?LOOK_MS),
            leaks({Before, Open}, Rig, Until)
    end.

now_ms() ->
    os:system_time(millisecond).
