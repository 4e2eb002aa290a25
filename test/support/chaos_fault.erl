-module(chaos_fault).
-moduledoc "What goes wrong in a run of chaos: each kind of fault, how it begins and how it ends.".

%% A new kind is a line in one of the lists of kinds/1, and a clause of begins/3 and ends/3 if it is
%% of a new sort.

-export([kinds/1, run/3, limit_messages/1]).
-export_type([kind/0, rig/0, sort/0]).

%% Faults of one slot and pool come one after the other. Pools that a fault may make repeat what has
%% arrived, because it cuts off an answer or a confirm, are in `cuts'.
-type kind() :: #{name := atom(), pools := [chaos_node:pool()], slot := atom(),
                  cuts := [chaos_node:pool()], sort := sort()}.
-type sort() :: {weather, Name :: string(), Number :: pos_integer()}
              | {receiver, Every :: pos_integer(), Fault :: string()}
              | {broker, atom()}
              | {push, chaos_push:behaviour_()}
              | {node, atom()}
              | reset | impostor | flap | away | clock | workers.

%% The programs and the node that a fault is made in.
-type rig() :: #{receivers := pid(), broker := pid(), node := chaos_rig:node_(), _ => _}.

-define(AGAIN_MS, 400).
-define(USER, "event-pusher").

%% With a spool, or without.
-spec kinds(Spool :: boolean()) -> [kind()].
kinds(Spool) ->
    weather() ++ receivers() ++ broker() ++ push() ++ node_itself(Spool).

%% In the proxy. A connection of HTTP/2 or AMQP has much under way, which ends with it.
weather() ->
    All = chaos_node:pools() -- [push],
    Shared = [http2, rabbit, loose],
    [kind(refuse, All, refuse, [], {weather, "refuse", 1}),
     kind(slow_accept, All, accept, [], {weather, "accept_after", 1500}),
     kind(black_hole, All, silent, All, {weather, "silent", 1}),
     kind(delay, All, delay, [], {weather, "delay", 100}),
     kind(throttle, All, throttle, All, {weather, "throttle", 30000}),
     kind(reset_before, All, cut, Shared, {weather, "reset_before", 7}),
     kind(reset_middle, All, cut, Shared, {weather, "reset_middle", 7}),
     kind(reset_after, All, cut, All, {weather, "reset_after", 7}),
     kind(truncate, All, cut, All, {weather, "truncate", 7}),
     kind(half_close, All, cut, All, {weather, "half_close", 7}),
     kind(reset_all, All, reset, All, reset),
     kind(wrong_certificate, All, route, All, impostor)].

%% In the receivers of SNS and webhooks. Over HTTP/2, what ends one answer ends a connection.
receivers() ->
    Web = [http2, http1],
    Both = [sns | Web],
    [kind(Name, Pools, script, Cuts, {receiver, Every, Fault})
     || {Name, Pools, Cuts, Every, Fault} <-
            [{status_500, Both, [], 2, "500"}, {status_429, Both, [], 3, "429:1"},
             {redirect, Both, [], 9, "redirect"}, {hang, Both, [http2], 15, "hang"},
             {slow_answer, Both, [], 4, "slow:1000"},
             {half_answer, Both, [sns, http2], 5, "half_answer"},
             {garbage, Both, [], 4, "garbage"}, {not_http, Both, [http2], 4, "not_http"},
             {endless_answer, Both, [http2], 15, "endless"},
             {receiver_resets, Both, [http2], 5, "reset"},
             {receiver_closes, Both, [http2], 5, "close"},
             {entry_fails, [sns], [], 2, "fail_entries:InternalError"},
             {entry_unanswered, [sns], [sns], 3, "drop_entry"},
             {wrong_ids, [sns], [sns], 4, "wrong_ids"}]]
    ++ [kind(receiver_flaps, Both, flap, Both, flap),
        kind(go_away, Web, away, [], away),
        kind(wrong_clock, [sns], clock, [], clock)].

broker() ->
    [kind(Name, [rabbit], broker, Cuts, {broker, Name})
     || {Name, Cuts} <- [{broker_restart, [rabbit]}, {broker_kill, [rabbit]}, {memory_alarm, []},
                         {exchange_deleted, [rabbit]}, {connections_closed, [rabbit]},
                         {nacks, [rabbit]}, {no_permission, [rabbit]}, {wrong_password, [rabbit]}]].

%% Nobody repeats a notification.
push() ->
    [kind(Name, [push], service, [], Sort)
     || {Name, Sort} <-
            [{push_slow, {push, slow}}, {push_away, {push, away}},
             {push_error, {push, {error, <<"wait">>, <<"resource-constraint">>}}},
             {push_gone, {push, {error, <<"cancel">>, <<"item-not-found">>}}}]]
    ++ [kind(workers_killed, [push], workers, [], workers)].

%% What is on disk, the next owner sends again.
node_itself(Spool) ->
    All = chaos_node:pools(),
    Repeats = case Spool of true -> All -- [push]; false -> [] end,
    [kind(queue_full, All, burst, [], {node, queue_full}),
     kind(too_large, [sns, rabbit], oversize, [rabbit], {node, too_large}),
     kind(owner_killed, All, owner, Repeats, {node, owner_killed})].

kind(Name, Pools, Slot, Cuts, Sort) ->
    #{name => Name, pools => Pools, slot => Slot, cuts => Cuts, sort => Sort}.

%% Makes the fault, for so long, and ends it.
-spec run(chaos_plan:fault(), ForMs :: pos_integer(), rig()) -> ok.
run(#{sort := Sort, pool := Pool}, ForMs, Rig) ->
    Until = erlang:monotonic_time(millisecond) + ForMs,
    ok = begins(Sort, Pool, Rig),
    ok = lasts(Sort, Pool, Until, Rig),
    ends(Sort, Pool, Rig).

begins({weather, Name, Number}, Pool, Rig) -> tell(["weather", Pool, Name, Number], Rig);
begins({receiver, Every, Fault}, Pool, Rig) -> tell(["every", Pool, Every, Fault], Rig);
begins({broker, Fault}, rabbit, #{broker := Broker}) -> broker_begins(Fault, Broker);
begins({node, queue_full}, Pool, Rig) -> node(burst, [Pool, 300], Rig);
begins({node, too_large}, Pool, Rig) -> node(oversize, [Pool, 2], Rig);
begins({node, owner_killed}, Pool, Rig) -> node(kill_owner, [Pool], Rig);
begins({push, Behaviour}, push, Rig) -> behave(Behaviour, Rig);
begins(impostor, Pool, Rig) -> tell(["impostor", Pool], Rig);
begins(clock, sns, Rig) -> tell(["clock", 1200], Rig);
begins(_Again, _Pool, _Rig) -> ok.

%% Some are made again and again.
lasts(reset, Pool, Until, Rig) ->
    again(Until, fun() -> tell(["reset", Pool], Rig) end);
lasts(away, Pool, Until, Rig) ->
    again(Until, fun() -> tell(["away", Pool], Rig) end);
lasts(workers, push, Until, Rig) ->
    again(Until, fun() -> node(kill_worker, [], Rig) end);
lasts(flap, Pool, Until, Rig) ->
    again(Until, fun() ->
        ok = tell(["down", Pool], Rig),
        timer:sleep(?AGAIN_MS),
        tell(["up", Pool], Rig)
    end);
lasts(_Sort, _Pool, Until, _Rig) ->
    timer:sleep(max(0, Until - erlang:monotonic_time(millisecond))).

again(Until, Fun) ->
    ok = Fun(),
    timer:sleep(?AGAIN_MS),
    case erlang:monotonic_time(millisecond) < Until of
        true -> again(Until, Fun);
        false -> ok
    end.

ends({weather, Name, _}, Pool, Rig) -> tell(["fair", Pool, Name], Rig);
ends({receiver, _, _}, Pool, Rig) -> tell(["clear", Pool], Rig);
ends({broker, Fault}, rabbit, #{broker := Broker}) -> broker_ends(Fault, Broker);
ends({push, _Behaviour}, push, Rig) -> behave(well, Rig);
ends(impostor, Pool, Rig) -> tell(["home", Pool], Rig);
ends(clock, sns, Rig) -> tell(["clock", 0], Rig);
ends(_Sort, _Pool, _Rig) -> ok.

tell(["clock" | _] = Words, #{receivers := Receivers}) ->
    receiver:command(Receivers, Words);
tell([Word, Pool | More], #{receivers := Receivers}) ->
    receiver:command(Receivers, [Word, atom_to_list(Pool) | More]).

behave(Behaviour, #{node := Node}) ->
    chaos_rig:on_node(Node, chaos_push, behave, [Behaviour]).

node(Function, Args, #{node := Node}) ->
    chaos_rig:on_node(Node, Function, Args).

broker_begins(broker_restart, Broker) -> rabbit_service:down(Broker);
broker_begins(broker_kill, Broker) -> rabbit_service:kill(Broker);
broker_begins(memory_alarm, Broker) -> rabbit_service:block(Broker);
broker_begins(exchange_deleted, Broker) -> rabbit_service:delete(Broker, "chat_msg");
broker_begins(connections_closed, Broker) -> close_connections(Broker);
broker_begins(nacks, Broker) ->
    put(chaos_full, rabbit_service:bind_full(Broker, "chat_msg", "rabbit1", 0)),
    ok;
broker_begins(no_permission, Broker) ->
    rabbit_service:permissions(Broker, ?USER, "/", ".*", "^nothing$", ".*");
broker_begins(wrong_password, Broker) ->
    ok = rabbit_service:password(Broker, ?USER, "another"),
    close_connections(Broker).

%% So that the broker takes no larger ones, as SNS does not; it forgets that with its end.
-spec limit_messages(pid()) -> ok.
limit_messages(Broker) ->
    rabbit_service:max_message_size(Broker, 200000).

close_connections(Broker) ->
    _ = rabbit_service:close_connections(Broker, ?USER),
    ok.

broker_ends(Ended, Broker) when Ended =:= broker_restart; Ended =:= broker_kill ->
    ok = rabbit_service:up(Broker),
    limit_messages(Broker);
broker_ends(memory_alarm, Broker) -> rabbit_service:unblock(Broker);
broker_ends(nacks, Broker) -> rabbit_service:unbind(Broker, erase(chaos_full));
broker_ends(no_permission, Broker) ->
    rabbit_service:permissions(Broker, ?USER, "/", ".*", ".*", ".*");
broker_ends(wrong_password, Broker) ->
    #{password := Password} = rabbit_service:info(Broker),
    rabbit_service:password(Broker, ?USER, Password);
broker_ends(_Once, _Broker) -> ok.
