-module(event_pusher_levers_SUITE).
-moduledoc "What operators see of pools of both kinds, and do to them.".

-compile([export_all, nowarn_export_all]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(SNS, {sns, ?HT}).
-define(PUSH, {push, ?HT}).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/phone">>).
-define(LABELS(Type, Tag), #{host_type => ?HT, pool_type => Type, pool_tag => Tag}).

all() ->
    [what_is_seen_fits_a_terminal_and_a_program,
     a_pool_that_is_not_there_is_named,
     what_a_pool_delivers_to_is_tried_with_its_own_options,
     a_paused_pool_waits_and_a_resumed_one_goes_on,
     paused_notifications_wait_and_go_on,
     a_drain_waits_for_what_was_accepted_and_tells_what_is_left,
     what_waits_is_dropped_counted_and_logged,
     notifications_that_wait_are_dropped_by_their_age,
     levers_under_load_lose_nothing].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config0) ->
    Config = push_rig:start_suite(Config0),
    {ok, Service} = sns_service:start(),
    _ = sns_service:topic(Service, "pm"),
    [{service, Service} | Config].

end_per_suite(Config) ->
    sns_service:stop(?config(service, Config)),
    push_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    ok = log_capture:start(),
    {module, _} = code:ensure_loaded(mod_event_pusher_push),
    Sns = sns_rig:opts(sns_service:info(?config(service, Config))),
    ok = rig:start_host(#{mod_event_pusher => #{sns => Sns, push => push_rig:opts(#{})}}),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    ok = push_rig:stop_host(),
    ?assertEqual([], event_pusher:pools(), "nothing of a pool is left behind").

%% Looking

%% Confirms width, rows, a cause, and that both say the same.
what_is_seen_fits_a_terminal_and_a_program(_Config) ->
    ok = event_pusher:pause(?SNS),
    send(3),
    _ = rig:await_stats(?SNS, fun(#{waiting := Waiting}) -> Waiting =:= 3 end),
    [Push, Sns] = event_pusher:pools(),
    ?assertMatch(#{name := ?PUSH, status := #{state := connecting}, times := none}, Push),
    ?assertMatch(#{name := ?SNS, receiver := <<"http://", _/binary>>, levels := #{waiting := 3},
                   status := #{state := degraded, paused := true, cause := <<"paused">>}}, Sns),
    Lines = string:split(printed(fun event_pusher:status/0), "\n", all),
    ?assertMatch(["pool" ++ _, "push:localhost " ++ _, "sns:localhost " ++ _, "  paused", ""], Lines),
    ?assertEqual([], [Line || Line <- Lines, string:length(Line) > 79]),
    ok = event_pusher:resume(?SNS),
    ok = host_metrics:await(event_pusher_events, fun() ->
        #{times := Times, counts := #{delivered := Delivered}} = pool(?SNS),
        Delivered =:= 3 andalso Times =/= none
    end),
    Details = printed(fun() -> event_pusher:status(?SNS) end),
    [?assertNotEqual(nomatch, string:find(Details, Part), Part)
     || Part <- ["sns:localhost to http://", "connected for", "last success", "p99 ", "delivered "]].

a_pool_that_is_not_there_is_named(_Config) ->
    [?assertEqual({error, unknown}, Ask({sns, <<"nowhere">>}))
     || Ask <- [fun event_pusher:status/1, fun event_pusher:probe/1, fun event_pusher:pause/1, fun event_pusher:resume/1,
                fun event_pusher:retry_now/1, fun event_pusher:drain/1,
                fun(Name) -> event_pusher:drop(Name, all) end]],
    ok = push_rig:stop_host(),
    ?assertEqual({error, unknown}, event_pusher:pause(?SNS)),
    ?assertNotEqual(nomatch, string:find(printed(fun event_pusher:status/0), "no pools")).

%% Confirms that nothing is delivered, that a pause does not matter, and what is found when a topic is gone.
what_a_pool_delivers_to_is_tried_with_its_own_options(Config) ->
    Before = sns_service:count(?config(service, Config)),
    {ok, Found} = event_pusher:probe(?SNS),
    ?assertMatch([{works, _}], [Finding || {_, Text} = Finding <- Found,
                                           string:find(Text, ":pm is there, and the key is right") =/= nomatch]),
    ?assertMatch([_, _], [Text || {broken, Text} <- Found, string:find(Text, "there is no topic") =/= nomatch]),
    ok = event_pusher:pause(?SNS),
    ?assertEqual({ok, Found}, event_pusher:probe(?SNS)),
    ?assertEqual({ok, [{works, <<"registrations can be read (mnesia)">>}]}, event_pusher:probe(?PUSH)),
    ?assertEqual(Before, sns_service:count(?config(service, Config))),
    ?assertMatch(#{accepted := 0}, sns_rig:stats()).

%% Handling

%% Confirms the metric as well.
a_paused_pool_waits_and_a_resumed_one_goes_on(_Config) ->
    ok = event_pusher:pause(?SNS),
    send(5),
    ok = host_metrics:await(event_pusher_status, fun() ->
        host_metrics:gauge(event_pusher_status, ?LABELS(sns, pusher_sns), paused) =:= 1
    end),
    ?assertMatch(#{waiting := 5, in_flight := 0, delivered := 0}, sns_rig:stats()),
    ok = event_pusher:resume(?SNS),
    ok = event_pusher:drain(?SNS),
    ?assertMatch(#{delivered := 5}, sns_rig:stats()).

paused_notifications_wait_and_go_on(_Config) ->
    ok = event_pusher:pause(?PUSH),
    [ok = event_pusher_push_pool:push(?HT, fun(_Ticket) -> delivered end) || _ <- lists:seq(1, 5)],
    ?assertMatch(#{queue_events := 5, in_flight := 0}, push_rig:stats()),
    ?assertMatch(#{status := #{state := degraded, paused := true, cause := <<"paused">>}},
                 pool(?PUSH)),
    ok = event_pusher:resume(?PUSH),
    ok = event_pusher:drain(?PUSH),
    ?assertMatch(#{delivered := 5, waiting := 0}, push_rig:stats()),
    ok = host_metrics:await(event_pusher_events, fun() -> times(?PUSH) =/= none end).

a_drain_waits_for_what_was_accepted_and_tells_what_is_left(_Config) ->
    ok = event_pusher:drain(?SNS),
    ok = event_pusher:pause(?SNS),
    send(4),
    ?assertEqual({error, {waiting, 4}}, event_pusher:drain(?SNS, 0)),
    Test = self(),
    spawn_link(fun() -> Test ! {drained, event_pusher:drain(?SNS)} end),
    ok = event_pusher:resume(?SNS),
    receive {drained, Answer} -> ?assertEqual(ok, Answer) end,
    ?assertMatch(#{delivered := 4}, sns_rig:stats()).

%% Confirms number, metric and log line.
what_waits_is_dropped_counted_and_logged(_Config) ->
    ok = event_pusher:pause(?SNS),
    send(7),
    ?assertEqual({ok, 0}, event_pusher:drop(?SNS, {older_than_ms, 3600000})),
    ?assertEqual({ok, 7}, event_pusher:drop(?SNS, all)),
    ok = host_metrics:await(event_pusher_events, fun() ->
        host_metrics:total(event_pusher_events, ?LABELS(sns, pusher_sns), purged) =:= 7
    end),
    ?assertMatch(#{reason := purged, count := 7, last_cause := <<"dropped by an operator">>},
                 log_capture:await(event_pusher_drops)),
    ok = event_pusher:resume(?SNS),
    send(1),
    ok = event_pusher:drain(?SNS),
    ?assertMatch(#{delivered := 1, purged := 7, accepted := 8, waiting := 0}, sns_rig:stats()).

notifications_that_wait_are_dropped_by_their_age(_Config) ->
    ok = event_pusher:pause(?PUSH),
    [ok = event_pusher_push_pool:push(?HT, fun(_Ticket) -> delivered end) || _ <- lists:seq(1, 3)],
    ?assertEqual({ok, 0}, event_pusher:drop(?PUSH, {older_than_ms, 3600000})),
    ?assertEqual({ok, 3}, event_pusher:drop(?PUSH, all)),
    ?assertMatch(#{purged := 3, waiting := 0, queue_bytes := 0}, push_rig:stats()),
    ?assertMatch(#{reason := purged, count := 3}, log_capture:await(event_pusher_drops)).

%% Confirms it for all of them, from several processes, while events come.
levers_under_load_lose_nothing(_Config) ->
    Handle = fun(Name) ->
        [begin
             ok = event_pusher:pause(Name),
             ok = event_pusher:retry_now(Name),
             {ok, _} = event_pusher:drop(Name, {older_than_ms, 1}),
             _ = event_pusher:drain(Name, 0),
             ok = event_pusher:resume(Name)
         end || _ <- lists:seq(1, 50)]
    end,
    Load = fun() ->
        send(200),
        [ok = event_pusher_push_pool:push(?HT, fun(_Ticket) -> delivered end)
         || _ <- lists:seq(1, 200)]
    end,
    Monitors = [element(2, spawn_monitor(Do))
                || Do <- [Load, Load, fun() -> Handle(?SNS) end, fun() -> Handle(?SNS) end,
                          fun() -> Handle(?PUSH) end]],
    [receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end
     || Monitor <- Monitors],
    [begin
         ok = event_pusher:resume(Name),
         ok = event_pusher:drain(Name),
         #{accepted := 400, delivered := Delivered, purged := Purged, waiting := 0} = Stats(),
         ?assertEqual(400, Delivered + Purged)
     end || {Name, Stats} <- [{?SNS, fun sns_rig:stats/0}, {?PUSH, fun push_rig:stats/0}]].

%% Helpers

send(Count) ->
    [host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>)) || _ <- lists:seq(1, Count)].

pool(Name) ->
    [Pool] = [It || #{name := Of} = It <- event_pusher:pools(), Of =:= Name],
    Pool.

times(Name) ->
    #{times := Times} = pool(Name),
    Times.

printed(Print) ->
    ct:capture_start(),
    _ = Print(),
    ct:capture_stop(),
    lists:append(ct:capture_get()).
