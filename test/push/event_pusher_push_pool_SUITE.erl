-module(event_pusher_push_pool_SUITE).
-moduledoc "The pool of push notifications: who runs a job, what is refused, how each job ends.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([jobs_run_in_workers_of_the_servers_pool/1,
         jobs_run_in_the_order_they_came/1,
         a_function_of_a_plugin_runs_in_the_pool/1,
         a_crashing_function_of_a_plugin_is_rejected/1,
         what_is_delivered_is_counted_and_timed/1,
         a_service_that_refuses_or_does_not_answer_is_told/1,
         what_waits_is_measured/1,
         too_many_jobs_are_refused_at_once_and_logged_once/1,
         too_many_bytes_are_refused/1,
         a_job_that_awaits_its_answer_counts_against_the_bound/1,
         a_resumed_job_gets_its_place_in_a_full_queue/1,
         each_fate_is_counted_and_its_cause_is_logged/1,
         an_answer_may_come_while_its_job_still_runs/1,
         an_answer_that_never_comes_is_exhausted/1,
         an_answer_after_the_deadline_changes_nothing/1,
         the_first_answer_counts/1]).

-include_lib("stdlib/include/assert.hrl").

-define(POOL, event_pusher_push_pool).
-define(HT, <<"localhost">>).
-define(LABELS, #{host_type => ?HT, pool_type => push, pool_tag => pusher_push}).
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

%% Workers

%% Confirms that none runs in the process that pushes it.
jobs_run_in_workers_of_the_servers_pool(_Config) ->
    push_jobs:start(#{}, #{workers => 3}),
    Workers = push_rig:workers(),
    ?assertEqual(3, length(Workers)),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- lists:seq(1, 20)],
    ?assertEqual([], lists:usort([push_jobs:ran(N) || N <- lists:seq(1, 20)]) -- Workers).

%% Confirms it for a single worker, which takes one after the other.
jobs_run_in_the_order_they_came(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    Busy = push_rig:occupy(),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- lists:seq(1, 20)],
    push_rig:release(Busy, delivered),
    ?assertEqual(lists:seq(1, 20), [push_jobs:next_ran() || _ <- lists:seq(1, 20)]).

%% Confirms it for cast/3, with its arguments, and what it returns where there is no room.
a_function_of_a_plugin_runs_in_the_pool(_Config) ->
    push_jobs:start(#{max_events => 1}, #{}),
    Test = self(),
    Tell = fun(A, B) -> Test ! {told, A, B, self()} end,
    ok = mod_event_pusher_push:cast(?HT, Tell, [1, two]),
    Worker = receive {told, 1, two, Pid} -> Pid after ?WAIT -> ct:fail(did_not_run) end,
    ?assert(lists:member(Worker, push_rig:workers())),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    Busy = push_rig:occupy(),
    ?assertEqual({error, full}, mod_event_pusher_push:cast(?HT, Tell, [3, four])),
    push_rig:release(Busy, delivered),
    push_jobs:stop(),
    ?assertEqual({error, closed}, mod_event_pusher_push:cast(?HT, Tell, [5, six])),
    receive {told, _, _, _} = Late -> ct:fail(Late) after 0 -> ok end.

%% Confirms that the arguments are in no log line.
a_crashing_function_of_a_plugin_is_rejected(_Config) ->
    push_jobs:start(#{}, #{}),
    ok = mod_event_pusher_push:cast(?HT, fun erlang:binary_to_integer/1, [<<"a private word">>]),
    ?assertMatch(#{rejected := 1}, push_rig:await_stats(#{waiting => 0, rejected => 1})),
    ?assertMatch(#{class := error, reason := badarg},
                 log_capture:await(event_pusher_event_failed)),
    push_rig:no_log_of(<<"private">>).

%% Metrics

%% Confirms that a time includes the wait in the queue.
what_is_delivered_is_counted_and_timed(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    ?assertMatch(#{state := connecting, last_success_ms := none}, status()),
    Busy = push_rig:occupy(),
    [ok = push_jobs:push(fun(_Ticket) -> delivered end) || _ <- [1, 2]],
    ok = host_metrics:await(event_pusher_queue, fun() -> push_jobs:gauge(oldest_ms) >= 20 end),
    push_rig:release(Busy, delivered),
    ok = host_metrics:await(event_pusher_events, fun() -> push_jobs:total(delivered) =:= 3 end),
    ?assertMatch(#{state := connected, cause := none, last_error := none}, status()),
    Times = host_metrics:values(event_pusher_events, ?LABELS, time),
    ?assertEqual(3, length(Times)),
    ?assertEqual([], [Time || Time <- Times, Time < 20000]),
    ?assertEqual([0, 0, 0, 0], [push_jobs:total(Fate) || Fate <- [rejected, exhausted, closed, full]]).

%% Confirms that the latest job tells.
a_service_that_refuses_or_does_not_answer_is_told(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    [begin
         ok = push_jobs:push(fun(_Ticket) -> Fate end),
         ok = host_metrics:await(event_pusher_status, fun() ->
             #{state := Now, cause := Of} = status(),
             {Now, Of} =:= {State, Cause}
         end)
     end || {Fate, State, Cause} <- [{{rejected, <<"no">>}, refused, <<"no">>},
                                     {{rejected, <<"never">>}, refused, <<"never">>},
                                     {{exhausted, <<"late">>}, degraded, <<"late">>},
                                     {delivered, connected, none}]],
    ?assertMatch(#{last_success_ms := _, last_error := #{cause := <<"late">>}}, status()),
    ok = host_metrics:await(event_pusher_status, fun() ->
        host_metrics:gauge(event_pusher_status, ?LABELS, connected) =:= 1
    end).

status() ->
    {ok, #{status := Status}} = event_pusher_push_pool:stats({push, ?HT}),
    Status.

%% Confirms each level, before and after.
what_waits_is_measured(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Body = binary:copy(<<"x">>, 5000),
    [ok = push_jobs:push(fun(_Ticket) -> 5000 = byte_size(Body), delivered end) || _ <- [1, 2]],
    ok = host_metrics:await(event_pusher_queue, fun() -> push_jobs:gauge(events) =:= 2 end),
    ?assertEqual(1, push_jobs:gauge(in_flight)),
    ?assert(push_jobs:gauge(bytes) > 10000),
    ok = host_metrics:await(event_pusher_queue, fun() -> push_jobs:gauge(oldest_ms) > 0 end),
    push_rig:release(Busy, delivered),
    Levels = [events, bytes, in_flight, oldest_ms],
    ok = host_metrics:await(event_pusher_queue, fun() ->
        [push_jobs:gauge(Level) || Level <- Levels] =:= [0, 0, 0, 0]
    end).

%% Bounds

%% Confirms that the caller does not wait: if it did, this case would never end. The owner reports
%% all refusals of one interval in one line.
too_many_jobs_are_refused_at_once_and_logged_once(_Config) ->
    push_jobs:start(#{max_events => 3}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Owner = push_rig:owner(),
    ok = sys:suspend(Owner),
    ?assertEqual([ok, ok | lists:duplicate(10, {error, full})],
                 [push_jobs:push(push_jobs:tell(N)) || N <- lists:seq(1, 12)]),
    ok = sys:resume(Owner),
    ?assertMatch(#{host_type := ?HT, pool_type := push, reason := full, count := 10,
                   last_cause := <<"queue is full">>}, log_capture:await(event_pusher_drops)),
    ?assertEqual(10, push_jobs:total(full)),
    push_rig:release(Busy, delivered),
    push_rig:await_stats(#{delivered => 3, waiting => 0}),
    ok = push_jobs:push(push_jobs:tell(again)),
    push_jobs:ran(again),
    ?assertMatch(#{accepted := 4, refused_full := 10}, push_rig:stats()),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    ?assertEqual([1, 2], [push_jobs:next_ran(), push_jobs:next_ran()]),
    push_jobs:nothing_ran().

%% Confirms that a smaller one still has room, and that the bytes are given back.
too_many_bytes_are_refused(_Config) ->
    push_jobs:start(#{max_bytes => 10000}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Large = push_jobs:large_job(7000),
    ?assertEqual([ok, {error, full}, ok],
                 [push_jobs:push(Job) || Job <- [Large, Large, push_jobs:large_job(100)]]),
    push_rig:release(Busy, delivered),
    push_rig:await_stats(#{delivered => 3, waiting => 0, queue_bytes => 0}),
    ?assertEqual(ok, push_jobs:push(Large)).

%% Confirms it while no worker is busy.
a_job_that_awaits_its_answer_counts_against_the_bound(_Config) ->
    push_jobs:start(#{max_events => 2}, #{}),
    [First, Second] = [push_jobs:awaiting() || _ <- [1, 2]],
    ?assertMatch(#{in_flight := 2, queue_events := 0, waiting := 2}, push_rig:stats()),
    ?assertEqual({error, full}, push_jobs:push(push_jobs:tell(third))),
    ok = ?POOL:answered(First, delivered),
    ?assertEqual(ok, push_jobs:push(push_jobs:tell(third))),
    ok = ?POOL:answered(Second, {rejected, <<"modify bad-request">>}),
    push_rig:await_stats(#{delivered => 2, rejected => 1, refused_full => 1, waiting => 0}).

%% Confirms that it runs, in a worker, and ends as it says then.
a_resumed_job_gets_its_place_in_a_full_queue(_Config) ->
    push_jobs:start(#{max_events => 2}, #{workers => 1}),
    Ticket = push_jobs:awaiting(),
    Busy = {Worker, _} = push_rig:occupy(),
    ?assertEqual({error, full}, push_jobs:push(push_jobs:tell(third))),
    Test = self(),
    ok = ?POOL:resume(Ticket, fun(Again) ->
        Test ! {resumed, Again, self()},
        {rejected, <<"cancel item-not-found">>}
    end),
    ?assertMatch(#{queue_events := 1, in_flight := 1}, push_rig:stats()),
    push_rig:release(Busy, delivered),
    ?assertEqual({Ticket, Worker},
                 receive {resumed, Same, Pid} -> {Same, Pid} after ?WAIT -> ct:fail(lost) end),
    push_rig:await_stats(#{accepted => 2, delivered => 1, rejected => 1, waiting => 0}).

%% Fates

%% Confirms counters, metrics and log lines of what the job itself says.
each_fate_is_counted_and_its_cause_is_logged(_Config) ->
    push_jobs:start(#{}, #{}),
    [ok = push_jobs:push(fun(_Ticket) -> Fate end)
     || Fate <- [delivered, {rejected, <<"modify bad-request">>}, {exhausted, <<"wait gone">>}]],
    push_rig:await_stats(#{accepted => 3, delivered => 1, rejected => 1, exhausted => 1,
                           closed => 0, waiting => 0}),
    Lines = [log_capture:await(event_pusher_drops) || _ <- [1, 2]],
    ?assertMatch([#{reason := exhausted, count := 1, last_cause := <<"wait gone">>},
                  #{reason := rejected, count := 1, last_cause := <<"modify bad-request">>}],
                 lists:sort(fun(#{reason := A}, #{reason := B}) -> A =< B end, Lines)),
    ?assertEqual([1, 1, 1], [push_jobs:total(Fate) || Fate <- [delivered, rejected, exhausted]]),
    ?assertEqual(1, length(host_metrics:values(event_pusher_events, ?LABELS, time))).

%% Confirms that the wait which the job asks for then is none.
an_answer_may_come_while_its_job_still_runs(_Config) ->
    push_jobs:start(#{}, #{}),
    ok = push_jobs:push(fun(Ticket) -> ok = ?POOL:answered(Ticket, delivered), {await, 1} end),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    ok = push_jobs:push(fun(Ticket) ->
        ok = ?POOL:resume(Ticket, fun(_) -> {rejected, <<"cancel">>} end),
        {await, ?HOUR}
    end),
    push_rig:await_stats(#{delivered => 1, rejected => 1, exhausted => 0, waiting => 0}).

%% Confirms that it takes as long as the job allowed, and that the cause is logged.
an_answer_that_never_comes_is_exhausted(_Config) ->
    push_jobs:start(#{}, #{}),
    ok = push_jobs:push(fun(_Ticket) -> {await, 1} end),
    Patient = push_jobs:awaiting(),
    push_rig:await_stats(#{exhausted => 1, waiting => 1}),
    ?assertMatch(#{reason := exhausted, count := 1, last_cause := <<"no answer">>},
                 log_capture:await(event_pusher_drops)),
    ok = ?POOL:answered(Patient, delivered),
    push_rig:await_stats(#{exhausted => 1, delivered => 1, waiting => 0}).

%% Confirms it for an answer and for more work.
an_answer_after_the_deadline_changes_nothing(_Config) ->
    push_jobs:start(#{}, #{}),
    Test = self(),
    ok = push_jobs:push(fun(Ticket) -> Test ! {ticket, Ticket}, {await, 1} end),
    Ticket = receive {ticket, Given} -> Given after ?WAIT -> ct:fail(did_not_run) end,
    Stats = push_rig:await_stats(#{exhausted => 1, waiting => 0}),
    ok = ?POOL:answered(Ticket, delivered),
    ok = ?POOL:resume(Ticket, fun(_) -> Test ! resumed, delivered end),
    ?assertEqual(Stats, push_rig:stats()),
    receive resumed -> ct:fail(resumed) after 0 -> ok end.

%% Confirms that a second one, of whatever kind, is not counted.
the_first_answer_counts(_Config) ->
    push_jobs:start(#{}, #{}),
    Ticket = push_jobs:awaiting(),
    [ok = ?POOL:answered(Ticket, Fate)
     || Fate <- [{rejected, <<"first">>}, delivered, {exhausted, <<"third">>}]],
    ?assertMatch(#{rejected := 1, delivered := 0, exhausted := 0, waiting := 0}, push_rig:stats()),
    ?assertMatch(#{reason := rejected, last_cause := <<"first">>},
                 log_capture:await(event_pusher_drops)).
