-module(demo_outage).
-moduledoc "The second part of the demo: receivers that are busy or away; what becomes of events.".

-export([play/1]).

-define(HT, <<"localhost">>).
-define(HTTP, {http, ?HT, 1}).
-define(RABBIT, {rabbit, ?HT}).
-define(WITHIN_MS, 30000).
-define(LOOK_MS, 20).
%% More than may wait, by examples/mongooseim.toml.
-define(FLOOD, 1200).
%% More than a receiver that is away costs while somebody watches.
-define(CALLS, 10).
%% Of each message between users, as sent and as received.
-define(COPIES, 2).

%% Says whether everything went as it should.
-spec play(demo_receivers:services()) -> boolean().
play(Services) ->
    %% What the first part has left is not of this one.
    _ = log_capture:all(),
    lists:foldl(fun(Act, AsItShould) -> Act(Services) andalso AsItShould end, true,
                [fun http_is_busy/1, fun http_is_away/1, fun rabbit_is_away/1]).

%% An attempt that may succeed later is repeated, when the receiver says so.
http_is_busy(#{http := Http} = Services) ->
    #{delivered := Before} = rig:stats(?HTTP),
    ok = http_service:answer(Http, 503, 1),
    Arrived = others_get(http, "The HTTP receiver is busy: it answers 503 with \"Retry-After: 1\".",
                         Services, <<"Are you there?">>),
    until(fun() -> maps:get(retried, rig:stats(?HTTP)) > 0 end),
    demo_watch:log_until([event_pusher_retries]),
    demo_watch:metrics(http),
    ok = http_service:answer(Http, 200),
    Begin = erlang:monotonic_time(millisecond),
    Delivered = until(fun() -> maps:get(delivered, rig:stats(?HTTP)) =:= Before + 1 end),
    [demo_text:say("  HTTP     ~5b ms  the second attempt is answered with 200: delivered",
                   [erlang:monotonic_time(millisecond) - Begin]) || Delivered],
    _ = http_service:flush(Http),
    Arrived andalso Delivered.

%% An event that has had all its attempts is dropped, and counted. When nobody answers for longer, the
%% others wait.
http_is_away(#{http := Http} = Services) ->
    #{exhausted := Before} = rig:stats(?HTTP),
    ok = http_service:down(Http),
    Arrived = others_get(http, "The HTTP receiver is away. Its handler has retry_count = 2.",
                         Services, <<"Hello?">>),
    demo_watch:log_until([event_pusher_drops, event_pusher_retries]),
    demo_watch:metrics(http),
    #{exhausted := Exhausted} = rig:stats(?HTTP),
    Waited = others_wait(Services),
    Back = comes_back(Services, <<"Here you are.">>),
    Arrived andalso Exhausted =:= Before + 1 andalso Waited andalso Back.

%% As long as it is away, one event at a time is tried.
others_wait(#{http := Http} = Services) ->
    #{delivered := DeliveredBefore, exhausted := ExhaustedBefore} = rig:stats(?HTTP),
    demo_text:say("~nbob writes to alice ~b times more", [?CALLS]),
    [Act() || N <- lists:seq(1, ?CALLS),
              {_, Act, _} <- [demo_conversation:private(integer_to_binary(N))]],
    Others = [length(demo_receivers:arrived(Receiver, Services, Wanted, ?WITHIN_MS))
              || {Receiver, Wanted} <- [{sns, ?CALLS}, {rabbit, ?COPIES * ?CALLS}]],
    demo_watch:log_until([event_pusher_circuit_open]),
    demo_watch:metrics(http),
    demo_text:say("~nThe HTTP receiver is back."),
    ok = http_service:up(Http),
    Begin = erlang:monotonic_time(millisecond),
    Ended = until(fun() -> maps:get(waiting, rig:stats(?HTTP)) =:= 0 end),
    #{delivered := Delivered, exhausted := Exhausted} = rig:stats(?HTTP),
    {Arrived, Lost} = {Delivered - DeliveredBefore, Exhausted - ExhaustedBefore},
    demo_text:say("  HTTP     ~5b ms  ~b of the ~b events have waited and arrive; ~b had had all their "
                  "attempts", [erlang:monotonic_time(millisecond) - Begin, Arrived, ?CALLS, Lost]),
    _ = http_service:flush(Http),
    Ended andalso Others =:= [?CALLS, ?COPIES * ?CALLS]
        andalso Arrived > 0 andalso Arrived + Lost =:= ?CALLS.

comes_back(Services, Body) ->
    {_, _, Wanted} = Step = demo_conversation:private(Body),
    demo_conversation:step(Services, Step) =:= length(Wanted).

%% A message that all but one receiver get at once.
others_get(Away, Title, Services, Body) ->
    demo_text:say("~n~n~ts", [Title]),
    {Text, Act, Wanted} = demo_conversation:private(Body),
    Others = [Notification || {Receiver, _, _} = Notification <- Wanted, Receiver =/= Away],
    demo_conversation:step(Services, {Text, Act, Others}) =:= length(Others).

%% What waits is bounded; what is within the bound is delivered when the broker is back.
rabbit_is_away(#{rabbit := Rabbit} = Services) ->
    #{accepted := Before, refused_full := FullBefore} = rig:stats(?RABBIT),
    ok = rabbit_service:down(Rabbit),
    OthersArrived = others_get(rabbit, "RabbitMQ is away. Its section has queue.max_events = 1000.",
                               Services, <<"Do they hear us?">>),
    Times = lists:sort(demo_conversation:flood(?FLOOD)),
    #{accepted := After, refused_full := FullAfter, waiting := Waiting} = rig:stats(?RABBIT),
    {Accepted, Full} = {After - Before, FullAfter - FullBefore},
    demo_text:say("~nthe room tells alice ~b messages (the server took ~b us for each, "
                  "~b us for the slowest of 100)~n"
                  "  RabbitMQ           ~b events wait, ~b were refused",
                  [?FLOOD, percentile(50, Times), percentile(99, Times), Waiting, Full]),
    demo_watch:log_until([event_pusher_connection_down, event_pusher_drops]),
    demo_watch:metrics(rabbit),
    Arrived = what_waited(Services, Accepted),
    OthersArrived andalso Arrived =:= Accepted andalso Full > 0
        andalso Accepted + Full =:= ?FLOOD + ?COPIES.

what_waited(#{rabbit := Rabbit} = Services, Accepted) ->
    demo_text:say("~nRabbitMQ starts again, which takes a few seconds ..."),
    ok = rabbit_service:up(Rabbit),
    Begin = erlang:monotonic_time(millisecond),
    Arrived = length(demo_receivers:arrived(rabbit, Services, Accepted, ?WITHIN_MS)),
    demo_text:say("  RabbitMQ ~5b ms  ~b of the ~b events that waited have arrived",
                  [erlang:monotonic_time(millisecond) - Begin, Arrived, Accepted]),
    until(fun() -> #{delivered := Delivered} = rig:stats(?RABBIT), Delivered =:= told() end),
    demo_watch:log(),
    demo_watch:metrics(rabbit),
    Arrived.

%% How many are delivered by the metrics, which come later than the events.
told() ->
    Labels = #{host_type => ?HT, pool_type => rabbit, pool_tag => event_pusher},
    host_metrics:total(event_pusher_events, Labels, delivered).

percentile(Percent, Sorted) ->
    lists:nth(max(1, length(Sorted) * Percent div 100), Sorted).

%% Whether it has become so in time.
until(Condition) ->
    until(Condition, erlang:monotonic_time(millisecond) + ?WITHIN_MS).

until(Condition, Deadline) ->
    case Condition() orelse erlang:monotonic_time(millisecond) > Deadline of
        true -> Condition();
        false -> timer:sleep(?LOOK_MS), until(Condition, Deadline)
    end.
