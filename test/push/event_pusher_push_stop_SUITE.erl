-module(event_pusher_push_stop_SUITE).
-moduledoc "The pool of push notifications when it stops and starts again.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([stopping_waits_until_the_last_job_has_ended/1,
         stopping_waits_for_no_answer/1,
         what_starts_while_the_pool_stops_waits_for_no_answer/1,
         stopping_closes_what_is_left_at_the_deadline/1,
         stopping_waits_for_nothing_if_there_is_nothing/1,
         stopping_goes_on_if_the_owner_is_killed_meanwhile/1,
         the_pool_starts_and_stops_any_number_of_times/1,
         two_host_types_do_not_share_anything/1]).

-include_lib("stdlib/include/assert.hrl").

-define(POOL, event_pusher_push_pool).
-define(HT, <<"localhost">>).
-define(HOUR, 3600000).
-define(WAIT, 10000).

all() ->
    push_rig:cases(?MODULE).

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    push_rig:start_suite(Config).

end_per_suite(Config) ->
    push_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    push_rig:stop_host().

%% Start and stop

%% Confirms that what was accepted runs although nothing more is.
stopping_waits_until_the_last_job_has_ended(_Config) ->
    push_jobs:start(#{drain_timeout_ms => ?HOUR, max_bytes => 10000}, #{workers => 1}),
    Busy = push_rig:occupy(),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- [1, 2, 3]],
    Stopping = stopping(),
    await_refusal(),
    push_rig:release(Busy, delivered),
    await_end(Stopping),
    ?assertEqual([1, 2, 3], [push_jobs:next_ran() || _ <- [1, 2, 3]]),
    %% What was refused meanwhile is the only one.
    ?assertEqual({4, 1}, {push_jobs:total(delivered), push_jobs:total(closed)}).

%% Confirms the count, the log line, and that answers may come after that: before the next start, and
%% after it.
stopping_waits_for_no_answer(_Config) ->
    push_jobs:start(#{drain_timeout_ms => ?HOUR}, #{}),
    [First, Second, Third] = [push_jobs:awaiting() || _ <- [1, 2, 3]],
    ok = push_jobs:stop(),
    ?assertMatch(#{reason := unanswered, count := 3, last_cause := <<"module is stopped">>},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual(ok, ?POOL:answered(First, delivered)),
    ok = push_jobs:start_again(#{}, #{}),
    ?assertEqual(ok, ?POOL:answered(Second, delivered)),
    ?assertEqual(ok, ?POOL:resume(Third, push_jobs:tell(late))),
    ok = push_jobs:push(push_jobs:tell(next)),
    push_jobs:ran(next),
    push_rig:await_stats(#{accepted => 1, delivered => 1, unanswered => 0, waiting => 0}),
    push_jobs:nothing_ran(),
    %% The one of the new pool, and no late answer.
    ok = host_metrics:await(event_pusher_events, fun() -> push_jobs:total(delivered) > 0 end),
    ?assertEqual([1, 3, 0], [push_jobs:total(Fate) || Fate <- [delivered, unanswered, closed]]).

%% Confirms it for a job that waits for a worker when the stop begins: it runs, and that is all.
what_starts_while_the_pool_stops_waits_for_no_answer(_Config) ->
    push_jobs:start(#{drain_timeout_ms => ?HOUR, max_bytes => 10000}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Test = self(),
    ok = push_jobs:push(fun(_Ticket) -> Test ! {ran, last, self()}, {await, ?HOUR} end),
    Stopping = stopping(),
    await_refusal(),
    push_rig:release(Busy, delivered),
    push_jobs:ran(last),
    await_end(Stopping),
    %% What was refused meanwhile is the only one that is closed.
    ?assertEqual([1, 1, 1], [push_jobs:total(Fate) || Fate <- [delivered, unanswered, closed]]).

%% Confirms the count, the log line, and that what ends or comes later changes nothing.
stopping_closes_what_is_left_at_the_deadline(_Config) ->
    push_jobs:start(#{drain_timeout_ms => 30}, #{workers => 1}),
    Ticket = push_jobs:awaiting(),
    {Worker, _} = push_rig:occupy(),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- [1, 2, 3]],
    Monitor = monitor(process, Worker),
    ok = push_jobs:stop(),
    receive {'DOWN', Monitor, process, Worker, _} -> ok after ?WAIT -> ct:fail(alive) end,
    ?assertEqual({1, 4}, {push_jobs:total(unanswered), push_jobs:total(closed)}),
    Lines = [log_capture:await(event_pusher_drops) || _ <- [1, 2]],
    ?assertMatch([#{reason := unanswered, count := 1}, #{reason := closed, count := 4}], Lines),
    ?assertMatch([#{last_cause := <<"module is stopped">>}], lists:usort(
        [maps:with([last_cause], Line) || Line <- Lines])),
    ?assertEqual({error, closed}, ?POOL:stats({push, ?HT})),
    ?assertEqual({error, closed}, push_jobs:push(push_jobs:tell(late))),
    ?assertEqual(ok, ?POOL:answered(Ticket, delivered)),
    ?assertEqual(ok, ?POOL:resume(Ticket, push_jobs:tell(late))),
    ?assertEqual({0, 4}, {push_jobs:total(delivered), push_jobs:total(closed)}),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    push_jobs:nothing_ran().

%% Confirms that it does not take the hour that it may take, before and after work.
stopping_waits_for_nothing_if_there_is_nothing(_Config) ->
    push_jobs:start(#{drain_timeout_ms => ?HOUR}, #{}),
    ok = push_jobs:stop(),
    ok = push_jobs:start_again(#{drain_timeout_ms => ?HOUR}, #{}),
    ok = push_jobs:push(push_jobs:tell(1)),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    ok = push_jobs:stop().

%% Confirms that nobody is left, and that what could not end is counted.
stopping_goes_on_if_the_owner_is_killed_meanwhile(_Config) ->
    push_jobs:start(#{drain_timeout_ms => ?HOUR, max_bytes => 10000}, #{workers => 1}),
    push_rig:occupy(),
    Stopping = stopping(),
    await_refusal(),
    push_rig:kill(push_rig:owner()),
    await_end(Stopping),
    ?assertEqual({undefined, undefined}, {push_rig:owner(), push_jobs:pool()}),
    ?assertEqual({error, closed}, push_jobs:push(push_jobs:tell(late))),
    %% The job, and what was refused meanwhile.
    ?assertEqual(2, push_jobs:total(closed)).

%% Confirms that no counter, job or process of the one before is there.
the_pool_starts_and_stops_any_number_of_times(_Config) ->
    push_jobs:start(#{}, #{}),
    [begin
         ok = push_jobs:push(push_jobs:tell(N)),
         push_jobs:ran(N),
         push_rig:await_stats(#{accepted => 1, delivered => 1, waiting => 0}),
         ok = push_jobs:stop(),
         ?assertEqual({undefined, undefined}, {push_rig:owner(), push_jobs:pool()}),
         ok = push_jobs:start_again(#{}, #{})
     end || N <- lists:seq(1, 20)],
    ?assertMatch(#{accepted := 0, delivered := 0, waiting := 0}, push_rig:stats()).

%% Confirms that one may be full, or stopped, while the other works.
two_host_types_do_not_share_anything(_Config) ->
    {module, _} = code:ensure_loaded(mod_event_pusher_push),
    Opts = push_rig:opts(#{queue => #{max_events => 1, drain_timeout_ms => 0}}),
    ok = host:start(maps:from_keys([?HT, <<"other">>], #{mod_event_pusher => #{push => Opts}})),
    push_rig:occupy(),
    ?assertEqual({error, full}, push_jobs:push(push_jobs:tell(full))),
    Others = fun(N) ->
        ok = ?POOL:push(<<"other">>, push_jobs:tell(N)),
        push_jobs:ran(N)
    end,
    ?assertNot(lists:member(Others(1), push_rig:workers())),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        {ok, #{counts := #{delivered := Delivered}, levels := #{waiting := Waiting}}} =
            ?POOL:stats({push, <<"other">>}),
        {Delivered, Waiting} =:= {1, 0}
    end),
    ok = push_jobs:stop(),
    ?assertEqual({error, closed}, push_jobs:push(push_jobs:tell(closed))),
    _ = Others(2),
    ?assertMatch({ok, #{counts := #{accepted := 2, refused_full := 0, closed := 0}}},
                 ?POOL:stats({push, <<"other">>})).

%% Helpers

stopping() ->
    spawn_monitor(fun push_jobs:stop/0).

await_end({Pid, Monitor}) ->
    receive {'DOWN', Monitor, process, Pid, Reason} -> normal = Reason
    after ?WAIT -> ct:fail(does_not_stop)
    end.

%% A job that is too large is refused for another reason once the pool is closing.
await_refusal() ->
    case push_jobs:push(push_jobs:large_job(10000)) of
        {error, closed} -> ok;
        {error, full} -> erlang:yield(), await_refusal()
    end.
