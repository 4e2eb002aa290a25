-module(crash_moment).
-moduledoc "Brings a node to the moment when it is to be killed, and the receivers back to work.".

-export([await/3, end_outage/1]).
-export_type([cut/0]).

%% When something else than a kill cut off what was under way, for all pools.
-type cut() :: {BeforeMs :: integer(), EndedMs :: integer()}.

-define(BURST, 400).
-define(SLOW_MS, 300).
-define(LOOK_MS, 20).
-define(FULL_WITHIN_MS, 30000).

%% Returns at the moment. The lanes push at this pace.
-spec await(crash_plan:kill(), PaceMs :: pos_integer(), chaos_rig:rig()) -> [cut()].
await(#{moment := Moment, wait_ms := Wait, burst := Burst}, Pace, Rig) ->
    ok = on_node(Rig, pace, [Pace]),
    await(Moment, fun() -> burst(Burst, Rig) end, Wait, Rig).

await(start, _Burst, Wait, Rig) ->
    open_meanwhile(Rig),
    ok = timer:sleep(Wait),
    [];
await(calm, _Burst, Wait, _Rig) ->
    ok = timer:sleep(Wait),
    [];
await(burst, Burst, Wait, _Rig) ->
    ok = Burst(),
    ok = timer:sleep(Wait),
    [];
await(outage, Burst, Wait, Rig) ->
    ok = begin_outage(Rig),
    ok = Burst(),
    ok = timer:sleep(Wait),
    [];
await(recovery, Burst, Wait, Rig) ->
    ok = begin_outage(Rig),
    ok = Burst(),
    ok = timer:sleep(Wait),
    ok = end_outage(Rig),
    ok = timer:sleep(Wait),
    [];
await(slow, Burst, Wait, Rig) ->
    ok = slow_down(Rig),
    ok = Burst(),
    ok = timer:sleep(Wait),
    [];
await(stop, Burst, Wait, #{node := Node} = Rig) ->
    ok = begin_outage(Rig),
    ok = Burst(),
    ok = timer:sleep(Wait),
    meanwhile(fun() -> chaos_rig:on_node(Node, stop, []) end),
    ok = timer:sleep(Wait),
    [];
await(owner, Burst, Wait, #{pools := Pools} = Rig) ->
    ok = Burst(),
    ok = timer:sleep(Wait),
    Before = os:system_time(millisecond),
    [ok = on_node(Rig, kill_owner, [Pool]) || Pool <- Pools],
    ok = timer:sleep(Wait),
    [{Before, os:system_time(millisecond)}];
await(disk_full, _Burst, Wait, Rig) ->
    ok = begin_outage(Rig),
    ok = fill(Rig, os:system_time(millisecond) + ?FULL_WITHIN_MS),
    ok = timer:sleep(Wait),
    [].

%% Until a pool says so.
fill(Rig, Until) ->
    ok = burst(true, Rig),
    Troubles = [Trouble || #{levels := #{spool := #{trouble := Trouble}}}
                               <- maps:values(on_node(Rig, stats, [])),
                           Trouble =/= none],
    case Troubles of
        [_ | _] -> ok;
        [] ->
            %% A disk that cannot be filled would make the proof worthless.
            true = os:system_time(millisecond) < Until,
            ok = timer:sleep(?LOOK_MS),
            fill(Rig, Until)
    end.

open_meanwhile(#{node := Node, place := Place}) ->
    meanwhile(fun() -> chaos_rig:on_node(Node, open, [Place]) end).

%% In a process that may fail with the node.
meanwhile(Fun) ->
    _ = spawn(fun() -> try Fun() catch exit:_ -> ok; error:_ -> ok end end),
    ok.

burst(false, _Rig) -> ok;
burst(true, #{pools := Pools} = Rig) ->
    [ok = on_node(Rig, burst, [Pool, ?BURST]) || Pool <- Pools],
    ok.

%% Nothing that has arrived is left without its answer, so nothing is sent again because of it.
begin_outage(#{broker := Broker} = Rig) ->
    [ok = tell(Rig, ["every", Receiver, 1, "503"]) || Receiver <- receivers()],
    rabbit_service:block(Broker).

slow_down(Rig) ->
    [ok = tell(Rig, ["every", Receiver, 1, "slow:" ++ integer_to_list(?SLOW_MS)])
     || Receiver <- receivers()],
    tell(Rig, ["weather", "rabbit", "delay", ?SLOW_MS]).

%% Also if there was none.
-spec end_outage(chaos_rig:rig()) -> ok.
end_outage(#{broker := Broker} = Rig) ->
    [ok = tell(Rig, ["clear", Receiver]) || Receiver <- receivers()],
    ok = tell(Rig, ["fair", "rabbit", "delay"]),
    rabbit_service:unblock(Broker).

receivers() ->
    ["sns", "http2", "http1"].

tell(#{receivers := Receivers}, Words) ->
    receiver:command(Receivers, Words).

on_node(#{node := Node}, Function, Args) ->
    chaos_rig:on_node(Node, Function, Args).
