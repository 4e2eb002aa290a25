-module(crash).
-moduledoc "Kills a node under load at random moments; what was on disk must arrive.".

%% This VM is the judge: it has the receivers, kills and counts. The node is a VM of its own, each
%% time another one with the same folder.

-export([main/0, run/1]).
-export_type([options/0, result/0]).

-type options() :: #{kills := pos_integer(), seed := integer(), pace_ms := pos_integer(),
                     program := file:filename(), progress := chaos_text:progress()}.
-type result() :: #{violations := [chaos_record:problem()], disk := crash_disk:disk(),
                    rows := #{crash_plan:moment() => row()},
                    arrived := map(), seconds := non_neg_integer()}.
-type row() :: #{kills | restored | accepted | delivered | missing_synced | missing_unsaved
                     | missing_unsynced | copies => non_neg_integer()}.

-define(SETTLE_MS, 60000).
-define(LOOK_MS, 200).
-define(MIB, 1024 * 1024).
-define(PARENT, "_build/crash").
%% Those with a spool whose receivers confirm what they have.
-define(POOLS, [sns, http2, http1, rabbit]).

%% CRASH_KILLS and CRASH_SEED say how often and which plan. Ends the VM, with status 0 only if
%% nothing was violated.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    Options = #{kills => chaos_text:number("CRASH_KILLS", "20"),
                seed => chaos_text:number("CRASH_SEED", chaos_text:any_seed()),
                pace_ms => 20,
                program => "target/release/chaos",
                progress => chaos_text:progress()},
    chaos_text:main(fun() ->
        #{violations := Violations} = Result = run(Options),
        crash_text:report(Result, Options),
        Violations =:= []
    end).

-spec run(options()) -> result().
run(#{kills := Kills, seed := Seed} = Options) ->
    Rounds = crash_plan:draw(Seed, Kills),
    ok = crash_disk:remove_former(?PARENT ++ "/*/small"),
    Rig = start(Options),
    try
        play(Rounds, Rig)
    after
        stop(Rig)
    end.

start(#{pace_ms := Pace} = Options) ->
    #{folder := Folder, place := Place} = Rig = chaos_rig:start(?PARENT, Options#{pools => ?POOLS}),
    Rig#{place := Place#{patient => true}, pace_ms => Pace,
         disks => #{small => crash_disk:make(filename:join(Folder, "small")),
                    large => #{dir => filename:join(Folder, "large"), how => none}}}.

%% Nodes are linked, so the latest one ends with this process at last.
stop(#{disks := #{small := Small}} = Rig) ->
    ok = crash_disk:remove(Small),
    chaos_rig:stop(Rig).

%% Rounds

play([[First | _] | _] = Rounds, #{began_ms := Began, record := Record} = Rig) ->
    Zero = #{violations => [], rows => #{}, at => maps:from_keys(chaos_node:lanes(?POOLS), 0),
             kill => 0, kills => length(lists:append(Rounds))},
    {Node, #{rows := Rows, violations := Violations}} =
        lists:foldl(fun(Round, {Node, State}) -> round_of(Round, Rig, Node, State) end,
                    {open_pools(First, Rig, new_node(First, Rig)), Zero}, Rounds),
    ok = on_node(Node, stop, []),
    ok = chaos_rig:stop_node(Node),
    #{violations => Violations ++ left_on_disk(Rig), rows => Rows,
      disk => maps:get(small, maps:get(disks, Rig)),
      arrived => chaos_record:totals(Record),
      seconds => (os:system_time(millisecond) - Began) div 1000}.

%% Kills, then a life in which all arrives that is left.
round_of([First | _] = Round, Rig, Node0, State0) ->
    Node1 = reopen_pools(First, Rig, Node0),
    {Node2, Kills, State1} = kills(Round, Rig, Node1, [], State0),
    ok = crash_moment:end_outage(Rig#{node => Node2}),
    Node = open_pools(lists:last(Round), Rig, Node2),
    {Node, settle(Kills, Rig#{node => Node}, State1)}.

%% Returns a node whose pools are yet to be opened.
kills([], _Rig, Node, Kills, State) ->
    {Node, lists:reverse(Kills), State};
kills([#{moment := Moment, sync := Sync} = Kill | Others], Rig, Node, Kills,
      #{kill := Number} = State0) ->
    State = State0#{kill := Number + 1},
    tell_progress(Moment, Rig, State),
    Cuts = crash_moment:await(Kill, maps:get(pace_ms, Rig),
                              Rig#{node => Node, place := place(Kill, Rig)}),
    {Before, Ended} = chaos_rig:kill_node(Node),
    Killed = #{moment => Moment, sync => Sync, before_ms => Before, ended_ms => Ended,
               said => crash_watch:read(watched(Rig), ?POOLS), cuts => Cuts},
    kills(Others, Rig, new_node(Kill, Rig), [Killed | Kills], State).

new_node(Kill, #{disks := Disks} = Rig) ->
    #{os_pid := OsPid} = Node = chaos_rig:start_node(Rig),
    case Kill of
        #{disk := small} -> crash_disk:limit(maps:get(small, Disks), OsPid, longest_ledger(Rig));
        #{disk := large} -> ok
    end,
    ok = on_node(Node, start, [place(Kill, Rig)]),
    ok = chaos_rig:on_node(Node, crash_watch, start, [watched(Rig), ?POOLS]),
    Node#{opened => none}.

%% It gets a little longer while the node lives.
longest_ledger(#{place := #{folder := Folder}}) ->
    lists:max([filelib:file_size(filename:join(Folder, Lane)) || Lane <- chaos_node:lanes(?POOLS)]).

open_pools(Kill, Rig, Node) ->
    Place = place(Kill, Rig),
    ok = on_node(Node, open, [Place]),
    Node#{opened := Place}.

%% Where the next kill needs another node or other options.
reopen_pools(#{moment := Moment, disk := Disk} = Kill, #{disks := Disks} = Rig,
             #{opened := Opened} = Node) ->
    #{spool := #{dir := Dir}} = Opened,
    IsOther = Dir =/= list_to_binary(maps:get(dir, maps:get(Disk, Disks))),
    case place(Kill, Rig) of
        Opened when Moment =/= start -> Node;
        _ ->
            ok = on_node(Node, stop, []),
            case IsOther of
                true ->
                    ok = chaos_rig:stop_node(Node),
                    open_pools(Kill, Rig, new_node(Kill, Rig));
                false ->
                    open_pools(Kill, Rig, Node)
            end
    end.

place(#{sync := Sync, disk := Disk}, #{place := Place, disks := Disks}) ->
    Place#{spool => #{dir => list_to_binary(maps:get(dir, maps:get(Disk, Disks))),
                      max_bytes => case Disk of large -> 1024 * ?MIB; small -> 64 * ?MIB end,
                      sync => Sync}}.

watched(#{folder := Folder}) ->
    filename:join(Folder, "watched").

%% The balance

%% Waits until all has ended and arrived, and looks whether it is as it should be.
settle(Kills, #{place := #{folder := Folder}} = Rig,
       #{at := At, rows := Rows, violations := Violations} = State) ->
    Until = os:system_time(millisecond) + ?SETTLE_MS,
    Idle = await(Until, Rig, fun() -> is_idle(Rig) end),
    %% What arrives now has come after all that was before.
    [ok = on_node(Rig, burst, [Pool, 1]) || Pool <- ?POOLS],
    Now = maps:map(fun(Lane, _) -> chaos_ledger:count(filename:join(Folder, Lane)) end, At),
    Checked = await(Until, Rig, fun() -> is_balanced(chaos_node:ranges(?POOLS, At, Now), Kills, Rig) end),
    ok = chaos_record:forget_problems(maps:get(record, Rig)),
    {Sums, Problems} = lists:unzip(Checked),
    State#{at := Now, rows := add(Kills, Sums, restored(Rig), Rows),
           violations := Violations ++ lists:append(Problems) ++ dropped(Rig)
               ++ [{"events wait or are on disk, and nothing happens", node, []} || not Idle]}.

is_idle(Rig) ->
    Of = [{Waiting, Events} || #{levels := #{waiting := Waiting, spool := #{events := Events}}}
                                   <- maps:values(on_node(Rig, stats, []))],
    Idle = lists:all(fun(Levels) -> Levels =:= {0, 0} end, Of),
    {Idle, Idle}.

is_balanced(Ranges, Kills, #{place := #{folder := Folder}, record := Record}) ->
    Checked = [crash_balance:check(Record, Folder, {Pool, Range}, Kills)
               || {Pool, Range} <- Ranges],
    {lists:all(fun({_, Problems}) -> Problems =:= [] end, Checked), Checked}.

%% The last result, if it does not become good in time.
await(Until, Rig, Look) ->
    ok = chaos_rig:collect(Rig),
    case Look() of
        {true, Result} -> Result;
        {false, Result} ->
            case os:system_time(millisecond) > Until of
                true -> Result;
                false -> timer:sleep(?LOOK_MS), await(Until, Rig, Look)
            end
    end.

%% In the life that has settled; in those before, it would be missing.
dropped(Rig) ->
    [{lists:flatten(io_lib:format("~s: ~b events, although all are to be kept", [Fate, Count])),
      Pool, []}
     || {Pool, #{counts := Counts}} <- maps:to_list(on_node(Rig, stats, [])),
        Fate <- [rejected, exhausted, nacked, unroutable, expired, unreadable, full, closed],
        Count <- [maps:get(Fate, Counts)], Count > 0].

restored(Rig) ->
    lists:sum([Restored || #{counts := #{restored := Restored}}
                               <- maps:values(on_node(Rig, stats, []))]).

%% The sums of all pools, for each kill; what was restored at last is in those of the last one.
add(Kills, SumsOfPools, Restored, Rows) ->
    lists:foldl(fun({Number, #{moment := Moment}}, All) ->
        Mine = [lists:nth(Number, Sums) || Sums <- SumsOfPools],
        Last = case Number =:= length(Kills) of true -> Restored; false -> 0 end,
        Row = lists:foldl(fun plus/2, #{kills => 1, restored => Last}, Mine),
        All#{Moment => plus(Row, maps:get(Moment, All, #{}))}
    end, Rows, lists:enumerate(Kills)).

plus(Some, Sums) ->
    maps:merge(Sums, maps:map(fun(Key, Value) -> Value + maps:get(Key, Sums, 0) end, Some)).

%% When all has ended and the pools have stopped.
left_on_disk(#{disks := Disks}) ->
    [{"left on disk: " ++ File, node, []}
     || #{dir := Dir} <- maps:values(Disks), File <- filelib:wildcard(filename:join(Dir, "*/*"))].

tell_progress(Moment, #{progress := Progress, record := Record, began_ms := Began} = Rig,
              #{kill := Number, kills := Kills}) ->
    ok = chaos_rig:collect(Rig),
    #{arrived := Arrived, copies := Copies} = chaos_record:totals(Record),
    Progress("~3b s, kill ~b of ~b, ~s: ~b arrived, ~b copies",
             [(os:system_time(millisecond) - Began) div 1000, Number, Kills, Moment, Arrived,
              Copies]).

on_node(#{node := Node}, Function, Args) ->
    chaos_rig:on_node(Node, Function, Args);
on_node(Node, Function, Args) ->
    chaos_rig:on_node(Node, Function, Args).
