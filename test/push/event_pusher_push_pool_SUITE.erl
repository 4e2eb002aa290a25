-module(event_pusher_push_pool_SUITE).
-moduledoc "The pool of push notifications: who runs a job, what is refused, how each job ends.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2,
         end_per_testcase/2]).
-export([jobs_run_in_workers_of_the_servers_pool/1,
         jobs_run_in_the_order_they_came/1,
         a_function_of_a_plugin_runs_in_the_pool/1,
         a_crashing_function_of_a_plugin_is_rejected/1,
         jobs_that_find_no_free_worker_run_when_one_is_free/1,
         jobs_that_wait_for_a_worker_are_missed_once_however_long_it_takes/1,
         what_is_delivered_is_counted_and_timed/1,
         a_service_that_refuses_or_does_not_answer_is_told/1, what_waits_is_measured/1,
         too_many_jobs_are_refused_at_once_and_logged_once/1,
         too_many_bytes_are_refused/1,
         a_job_that_awaits_its_answer_counts_against_the_bound/1,
         a_resumed_job_gets_its_place_in_a_full_queue/1,
         each_fate_is_counted_and_its_cause_is_logged/1,
         an_answer_may_come_while_its_job_still_runs/1,
         an_answer_that_never_comes_is_exhausted/1,
         an_answer_after_the_deadline_changes_nothing/1,
         the_first_answer_counts/1,
         a_crashing_job_costs_only_itself_and_logs_no_content/1,
         a_job_whose_worker_is_killed_is_rejected_and_others_go_on/1,
         whatever_jobs_do_each_ends_exactly_once/1,
         jobs_that_wait_survive_a_killed_pool/1,
         jobs_may_come_while_the_pool_is_down/1,
         calls_that_are_not_for_jobs_do_no_harm/1,
         stopping_waits_until_the_last_job_has_ended/1,
         stopping_waits_for_no_answer/1,
         what_starts_while_the_pool_stops_waits_for_no_answer/1,
         stopping_closes_what_is_left_at_the_deadline/1,
         stopping_waits_for_nothing_if_there_is_nothing/1,
         stopping_goes_on_if_the_owner_is_killed_meanwhile/1,
         the_pool_starts_and_stops_any_number_of_times/1,
         two_host_types_do_not_share_anything/1,
         what_a_killed_owner_leaves_is_closed_and_the_next_goes_on/1,
         what_a_killed_owner_has_not_told_is_told_by_the_next/1,
         what_is_told_when_its_owner_is_killed_is_told_once/1,
         a_teller_that_is_killed_costs_no_more_than_its_report/1,
         what_comes_between_two_owners_is_counted_as_closed/1,
         a_report_that_crashes_does_not_cost_the_queue/1]).

-include_lib("proper/include/proper.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(STRATEGIES, [available_worker, best_worker, next_worker, next_available_worker, random_worker]).
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
    start(#{}, #{workers => 3}),
    Workers = push_rig:workers(),
    ?assertEqual(3, length(Workers)),
    [ok = push(tell(N)) || N <- lists:seq(1, 20)],
    ?assertEqual([], lists:usort([ran(N) || N <- lists:seq(1, 20)]) -- Workers).

%% Confirms it for a single worker, which takes one after the other.
jobs_run_in_the_order_they_came(_Config) ->
    start(#{}, #{workers => 1}),
    Busy = push_rig:occupy(),
    [ok = push(tell(N)) || N <- lists:seq(1, 20)],
    push_rig:release(Busy, delivered),
    ?assertEqual(lists:seq(1, 20), [next_ran() || _ <- lists:seq(1, 20)]).

%% Confirms it for cast/3, with its arguments, and what it returns where there is no room.
a_function_of_a_plugin_runs_in_the_pool(_Config) ->
    start(#{max_events => 1}, #{}),
    Test = self(),
    Tell = fun(A, B) -> Test ! {told, A, B, self()} end,
    ok = mod_event_pusher_push:cast(?HT, Tell, [1, two]),
    Worker = receive {told, 1, two, Pid} -> Pid after ?WAIT -> ct:fail(did_not_run) end,
    ?assert(lists:member(Worker, push_rig:workers())),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    Busy = push_rig:occupy(),
    ?assertEqual({error, full}, mod_event_pusher_push:cast(?HT, Tell, [3, four])),
    push_rig:release(Busy, delivered),
    stop(),
    ?assertEqual({error, closed}, mod_event_pusher_push:cast(?HT, Tell, [5, six])),
    receive {told, _, _, _} = Late -> ct:fail(Late) after 0 -> ok end.

%% Confirms that the arguments are in no log line.
a_crashing_function_of_a_plugin_is_rejected(_Config) ->
    start(#{}, #{}),
    ok = mod_event_pusher_push:cast(?HT, fun erlang:binary_to_integer/1, [<<"a private word">>]),
    ?assertMatch(#{rejected := 1}, push_rig:await_stats(#{waiting => 0, rejected => 1})),
    ?assertMatch(#{class := error, reason := badarg},
                 log_capture:await(event_pusher_event_failed)),
    push_rig:no_log_of(<<"private">>).

%% Metrics

%% Confirms that a time includes the wait in the queue.
what_is_delivered_is_counted_and_timed(_Config) ->
    start(#{}, #{workers => 1}),
    ?assertMatch(#{state := connecting, last_success_ms := none}, status()),
    Busy = push_rig:occupy(),
    [ok = push(fun(_Ticket) -> delivered end) || _ <- [1, 2]],
    ok = host_metrics:await(event_pusher_queue, fun() -> gauge(oldest_ms) >= 20 end),
    push_rig:release(Busy, delivered),
    ok = host_metrics:await(event_pusher_events, fun() -> total(delivered) =:= 3 end),
    ?assertMatch(#{state := connected, cause := none, last_error := none}, status()),
    Times = host_metrics:values(event_pusher_events, ?LABELS, time),
    ?assertEqual(3, length(Times)),
    ?assertEqual([], [Time || Time <- Times, Time < 20000]),
    ?assertEqual([0, 0, 0, 0], [total(Fate) || Fate <- [rejected, exhausted, closed, full]]).

%% Confirms that the latest job tells.
a_service_that_refuses_or_does_not_answer_is_told(_Config) ->
    start(#{}, #{workers => 1}),
    [begin
         ok = push(fun(_Ticket) -> Fate end),
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
    start(#{}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Body = binary:copy(<<"x">>, 5000),
    [ok = push(fun(_Ticket) -> 5000 = byte_size(Body), delivered end) || _ <- [1, 2]],
    ok = host_metrics:await(event_pusher_queue, fun() -> gauge(events) =:= 2 end),
    ?assertEqual(1, gauge(in_flight)),
    ?assert(gauge(bytes) > 10000),
    ok = host_metrics:await(event_pusher_queue, fun() -> gauge(oldest_ms) > 0 end),
    push_rig:release(Busy, delivered),
    Levels = [events, bytes, in_flight, oldest_ms],
    ok = host_metrics:await(event_pusher_queue, fun() ->
        [gauge(Level) || Level <- Levels] =:= [0, 0, 0, 0]
    end).

%% Bounds

%% Confirms that the caller does not wait: if it did, this case would never end. The owner reports
%% all refusals of one interval in one line.
too_many_jobs_are_refused_at_once_and_logged_once(_Config) ->
    start(#{max_events => 3}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Owner = push_rig:owner(),
    ok = sys:suspend(Owner),
    ?assertEqual([ok, ok | lists:duplicate(10, {error, full})],
                 [push(tell(N)) || N <- lists:seq(1, 12)]),
    ok = sys:resume(Owner),
    ?assertMatch(#{host_type := ?HT, pool_type := push, reason := full, count := 10,
                   last_cause := <<"queue is full">>}, log_capture:await(event_pusher_drops)),
    ?assertEqual(10, total(full)),
    push_rig:release(Busy, delivered),
    push_rig:await_stats(#{delivered => 3, waiting => 0}),
    ok = push(tell(again)),
    ran(again),
    ?assertMatch(#{accepted := 4, refused_full := 10}, push_rig:stats()),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    ?assertEqual([1, 2], [next_ran(), next_ran()]),
    nothing_ran().

%% Confirms that a smaller one still has room, and that the bytes are given back.
too_many_bytes_are_refused(_Config) ->
    start(#{max_bytes => 10000}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Large = large_job(7000),
    ?assertEqual([ok, {error, full}, ok], [push(Large), push(Large), push(large_job(100))]),
    push_rig:release(Busy, delivered),
    push_rig:await_stats(#{delivered => 3, waiting => 0, queue_bytes => 0}),
    ?assertEqual(ok, push(Large)).

large_job(Size) ->
    Body = binary:copy(<<"x">>, Size),
    fun(_Ticket) -> Size = byte_size(Body), delivered end.

%% Confirms it while no worker is busy.
a_job_that_awaits_its_answer_counts_against_the_bound(_Config) ->
    start(#{max_events => 2}, #{}),
    [First, Second] = [awaiting() || _ <- [1, 2]],
    ?assertMatch(#{in_flight := 2, queue_events := 0, waiting := 2}, push_rig:stats()),
    ?assertEqual({error, full}, push(tell(third))),
    ok = ?POOL:answered(First, delivered),
    ?assertEqual(ok, push(tell(third))),
    ok = ?POOL:answered(Second, {rejected, <<"modify bad-request">>}),
    push_rig:await_stats(#{delivered => 2, rejected => 1, refused_full => 1, waiting => 0}).

%% Confirms that it runs, in a worker, and ends as it says then.
a_resumed_job_gets_its_place_in_a_full_queue(_Config) ->
    start(#{max_events => 2}, #{workers => 1}),
    Ticket = awaiting(),
    Busy = {Worker, _} = push_rig:occupy(),
    ?assertEqual({error, full}, push(tell(third))),
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
    start(#{}, #{}),
    [ok = push(fun(_Ticket) -> Fate end)
     || Fate <- [delivered, {rejected, <<"modify bad-request">>}, {exhausted, <<"wait gone">>}]],
    push_rig:await_stats(#{accepted => 3, delivered => 1, rejected => 1, exhausted => 1,
                           closed => 0, waiting => 0}),
    Lines = [log_capture:await(event_pusher_drops) || _ <- [1, 2]],
    ?assertMatch([#{reason := exhausted, count := 1, last_cause := <<"wait gone">>},
                  #{reason := rejected, count := 1, last_cause := <<"modify bad-request">>}],
                 lists:sort(fun(#{reason := A}, #{reason := B}) -> A =< B end, Lines)),
    ?assertEqual([1, 1, 1], [total(Fate) || Fate <- [delivered, rejected, exhausted]]),
    ?assertEqual(1, length(host_metrics:values(event_pusher_events, ?LABELS, time))).

%% Confirms that the wait which the job asks for then is none.
an_answer_may_come_while_its_job_still_runs(_Config) ->
    start(#{}, #{}),
    ok = push(fun(Ticket) -> ok = ?POOL:answered(Ticket, delivered), {await, 1} end),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    ok = push(fun(Ticket) ->
        ok = ?POOL:resume(Ticket, fun(_) -> {rejected, <<"cancel">>} end),
        {await, ?HOUR}
    end),
    push_rig:await_stats(#{delivered => 1, rejected => 1, exhausted => 0, waiting => 0}).

%% Confirms that it takes as long as the job allowed, and that the cause is logged.
an_answer_that_never_comes_is_exhausted(_Config) ->
    start(#{}, #{}),
    ok = push(fun(_Ticket) -> {await, 1} end),
    Patient = awaiting(),
    push_rig:await_stats(#{exhausted => 1, waiting => 1}),
    ?assertMatch(#{reason := exhausted, count := 1, last_cause := <<"no answer">>},
                 log_capture:await(event_pusher_drops)),
    ok = ?POOL:answered(Patient, delivered),
    push_rig:await_stats(#{exhausted => 1, delivered => 1, waiting => 0}).

%% Confirms it for an answer and for more work.
an_answer_after_the_deadline_changes_nothing(_Config) ->
    start(#{}, #{}),
    Test = self(),
    ok = push(fun(Ticket) -> Test ! {ticket, Ticket}, {await, 1} end),
    Ticket = receive {ticket, Given} -> Given after ?WAIT -> ct:fail(did_not_run) end,
    Stats = push_rig:await_stats(#{exhausted => 1, waiting => 0}),
    ok = ?POOL:answered(Ticket, delivered),
    ok = ?POOL:resume(Ticket, fun(_) -> Test ! resumed, delivered end),
    ?assertEqual(Stats, push_rig:stats()),
    receive resumed -> ct:fail(resumed) after 0 -> ok end.

%% Confirms that a second one, of whatever kind, is not counted.
the_first_answer_counts(_Config) ->
    start(#{}, #{}),
    Ticket = awaiting(),
    [ok = ?POOL:answered(Ticket, Fate)
     || Fate <- [{rejected, <<"first">>}, delivered, {exhausted, <<"third">>}]],
    ?assertMatch(#{rejected := 1, delivered := 0, exhausted := 0, waiting := 0}, push_rig:stats()),
    ?assertMatch(#{reason := rejected, last_cause := <<"first">>},
                 log_capture:await(event_pusher_drops)).

%% Crashes

%% Confirms each kind. The worker goes on; what the job holds is in no line.
a_crashing_job_costs_only_itself_and_logs_no_content(_Config) ->
    start(#{}, #{workers => 1}),
    [Worker] = push_rig:workers(),
    Body = <<"a private word">>,
    [begin
         ok = push(fun(_Ticket) -> erlang:Class({Class, Body}) end),
         ?assertMatch(#{host_type := ?HT, pool_type := push, class := Class, reason := Class,
                        stacktrace := [_ | _]}, log_capture:await(event_pusher_event_failed)),
         ok = push(tell(Class)),
         ?assertEqual(Worker, ran(Class))
     end || Class <- [error, exit, throw]],
    push_rig:await_stats(#{rejected => 3, delivered => 3, waiting => 0}),
    ?assertMatch(#{reason := rejected, last_cause := <<"crash">>},
                 log_capture:await(event_pusher_drops)),
    push_rig:no_log_of(<<"private">>).

%% Confirms it for one worker of two, with jobs that wait behind both.
a_job_whose_worker_is_killed_is_rejected_and_others_go_on(_Config) ->
    start(#{}, #{workers => 2}),
    [{Victim, _}, Other] = [push_rig:occupy() || _ <- [1, 2]],
    [ok = push(tell(N)) || N <- [1, 2, 3]],
    push_rig:kill(Victim),
    [ran(N) || N <- [1, 2, 3]],
    push_rig:await_stats(#{rejected => 1, delivered => 3, waiting => 1}),
    ?assertMatch(#{reason := rejected, count := 1, last_cause := <<"worker died">>},
                 log_capture:await(event_pusher_drops)),
    push_rig:release(Other, delivered),
    push_rig:await_stats(#{accepted => 5, rejected => 1, delivered => 4, waiting => 0}),
    ?assertEqual(2, length([Pid || Pid <- push_rig:workers(), is_process_alive(Pid)])).

%% Confirms against a model that accepted is delivered, rejected, exhausted and waiting together
%% after each step, and with closed at the end. Two workers, room for five jobs.
whatever_jobs_do_each_ends_exactly_once(_Config) ->
    ok = application:set_env(event_pusher, report_interval_ms, 1),
    try
        Result = proper:quickcheck(jobs_end_once(), [{numtests, 60}, {to_file, user}]),
        ?assertEqual(true, Result)
    after
        application:set_env(event_pusher, report_interval_ms, 20)
    end.

jobs_end_once() ->
    Fate = oneof([delivered, {rejected, <<"r">>}, {exhausted, <<"e">>}]),
    Told = oneof([{fate, Fate}, {crash, error}, {crash, exit}, {crash, throw}, kill, await,
                  await_in_vain]),
    Command = frequency([{5, push}, {4, {tell, nat(), Told}}, {2, {answer, nat(), Fate}},
                         {1, {resume, nat()}}]),
    ?FORALL(Commands, list(Command), begin
        start(#{max_events => 5, drain_timeout_ms => 0}, #{workers => 2}),
        try
            Model = lists:foldl(fun step/2, empty_model(), Commands),
            ok = stop(),
            check_totals(Model)
        catch
            Class:Reason:Stacktrace ->
                ct:pal("~p:~p~n~p", [Class, Reason, Stacktrace]),
                false
        after
            push_rig:stop_host()
        end
    end).

%% Jobs are numbered. Those that run are held by a worker; those that await have a ticket only.
empty_model() ->
    #{next => 1, queued => [], running => [], awaiting => [], kills => 0,
      counts => #{accepted => 0, refused_full => 0, delivered => 0, rejected => 0,
                  exhausted => 0}}.

step(push, #{next := Next, queued := Queued} = Model) ->
    case {push(obedient(Next, self())), held(Model)} of
        {{error, full}, 5} -> settle(count(refused_full, Model));
        {ok, Held} when Held < 5 ->
            settle(count(accepted, Model#{next := Next + 1, queued := Queued ++ [Next]}))
    end;
%% More kills would end the pool, and with it all that runs.
step({tell, N, kill}, #{kills := 4} = Model) ->
    step({tell, N, {crash, exit}}, Model);
step({tell, N, What}, #{running := [_ | _] = Running} = Model) ->
    {Id, Ticket, Worker} = Job = pick(N, Running),
    tell_worker(Worker, Id, What),
    settle(told(What, {Id, Ticket}, Model#{running := Running -- [Job]}));
step({answer, N, Fate}, #{awaiting := [_ | _] = Awaiting} = Model) ->
    {_Id, Ticket} = Job = pick(N, Awaiting),
    ok = ?POOL:answered(Ticket, Fate),
    settle(count(kind(Fate), Model#{awaiting := Awaiting -- [Job]}));
step({resume, N}, #{awaiting := [_ | _] = Awaiting, queued := Queued} = Model) ->
    {Id, Ticket} = Job = pick(N, Awaiting),
    ok = ?POOL:resume(Ticket, obedient(Id, self())),
    settle(Model#{awaiting := Awaiting -- [Job], queued := lists:sort([Id | Queued])});
step(_NothingToDo, Model) ->
    Model.

obedient(Id, Test) ->
    fun(Ticket) ->
        Test ! {runs, Id, Ticket, self()},
        receive
            {Id, {fate, Fate}} -> Fate;
            {Id, {crash, Class}} -> erlang:Class(crash);
            {Id, await} -> {await, ?HOUR};
            {Id, await_in_vain} -> {await, 1}
        end
    end.

tell_worker(Worker, _Id, kill) -> push_rig:kill(Worker);
tell_worker(Worker, Id, What) -> Worker ! {Id, What}.

told({fate, Fate}, _Job, Model) -> count(kind(Fate), Model);
told({crash, _Class}, _Job, Model) -> count(rejected, Model);
told(kill, _Job, #{kills := Kills} = Model) -> count(rejected, Model#{kills := Kills + 1});
told(await_in_vain, _Job, Model) -> count(exhausted, Model);
told(await, Job, #{awaiting := Awaiting} = Model) -> Model#{awaiting := [Job | Awaiting]}.

%% The oldest jobs run as soon as workers are free; then everything is as the model says.
settle(#{queued := [Oldest | Queued], running := Running} = Model) when length(Running) < 2 ->
    Job = receive {runs, Oldest, Ticket, Worker} -> {Oldest, Ticket, Worker}
          after ?WAIT -> ct:fail({does_not_run, Oldest})
          end,
    settle(Model#{queued := Queued, running := [Job | Running]});
settle(#{counts := Counts, queued := Queued} = Model) ->
    Held = held(Model),
    Started = Held - length(Queued),
    push_rig:await_stats(Counts#{closed => 0, refused_closed => 0, waiting => Held,
                                 queue_events => length(Queued), in_flight => Started}),
    #{accepted := Accepted, delivered := Delivered, rejected := Rejected,
      exhausted := Exhausted} = Counts,
    Accepted = Delivered + Rejected + Exhausted + Held,
    Model.

%% What was left at the stop is closed, or unanswered if it waited for an answer, and the metrics say
%% the same as the counters.
check_totals(#{counts := Counts} = Model) ->
    #{delivered := Delivered, rejected := Rejected, exhausted := Exhausted,
      refused_full := Full} = Counts,
    [Delivered, Rejected, Exhausted, Full] =
        [total(Metric) || Metric <- [delivered, rejected, exhausted, full]],
    #{awaiting := Awaiting} = Model,
    {length(Awaiting), held(Model) - length(Awaiting)} =:= {total(unanswered), total(closed)}.

count(Counter, #{counts := Counts} = Model) ->
    Model#{counts := maps:update_with(Counter, fun(Count) -> Count + 1 end, Counts)}.

held(#{queued := Queued, running := Running, awaiting := Awaiting}) ->
    length(Queued) + length(Running) + length(Awaiting).

kind({Fate, _Cause}) -> Fate;
kind(delivered) -> delivered.

pick(N, List) ->
    lists:nth(1 + N rem length(List), List).

%% Confirms it where the owner does not look meanwhile.
jobs_that_find_no_free_worker_run_when_one_is_free(_Config) ->
    {ok, Interval} = application:get_env(event_pusher, report_interval_ms),
    ok = application:set_env(event_pusher, report_interval_ms, 3600000),
    start(#{}, #{workers => 1, strategy => next_available_worker}),
    ok = application:set_env(event_pusher, report_interval_ms, Interval),
    Busy = push_rig:occupy(),
    [ok = push(tell(N)) || N <- lists:seq(1, 20)],
    push_rig:release(Busy, delivered),
    ?assertEqual(lists:seq(1, 20), [next_ran() || _ <- lists:seq(1, 20)]).

%% Confirms it over many looks of the owner, who calls for them each time.
jobs_that_wait_for_a_worker_are_missed_once_however_long_it_takes(_Config) ->
    start(#{}, #{workers => 1, strategy => next_available_worker}),
    Busy = push_rig:occupy(),
    [ok = push(tell(N)) || N <- lists:seq(1, 20)],
    await_looks(10),
    #{queue := Queue} = persistent_term:get({?POOL, ?HT}),
    ?assert(missed(Queue) =< 20),
    push_rig:release(Busy, delivered),
    ?assertEqual(lists:seq(1, 20), [next_ran() || _ <- lists:seq(1, 20)]).

%% Each look ends with a measurement.
await_looks(Count) ->
    Seen = counters:new(1, []),
    Enough = fun() -> counters:add(Seen, 1, 1), counters:get(Seen, 1) > Count end,
    ok = host_metrics:await(event_pusher_queue, Enough).

missed(Queue) ->
    case event_pusher_push_queue:take_missed(Queue) of
        true -> 1 + missed(Queue);
        false -> 0
    end.

%% The server's pool is lost

%% Confirms it for each strategy of the pool; only the job that ran is lost.
jobs_that_wait_survive_a_killed_pool(_Config) ->
    [begin
         start(#{}, #{workers => 1, strategy => Strategy}),
         push_rig:occupy(),
         [ok = push(tell(N)) || N <- lists:seq(1, 5)],
         push_rig:kill(pool()),
         ?assertEqual({Strategy, [1, 2, 3, 4, 5]},
                      {Strategy, [next_ran() || _ <- lists:seq(1, 5)]}),
         push_rig:await_stats(#{accepted => 6, delivered => 5, rejected => 1, waiting => 0}),
         ok = push_rig:stop_host()
     end || Strategy <- ?STRATEGIES].

%% Confirms it for each strategy. The supervisor is held back until the jobs have come.
jobs_may_come_while_the_pool_is_down(_Config) ->
    [begin
         start(#{}, #{workers => 2, strategy => Strategy}),
         ok = sys:suspend(ejabberd_sup),
         push_rig:kill(pool()),
         ?assertEqual([ok, ok, ok], [push(tell(N)) || N <- [1, 2, 3]]),
         ?assertMatch(#{queue_events := 3}, push_rig:stats()),
         ok = sys:resume(ejabberd_sup),
         [ran(N) || N <- [1, 2, 3]],
         push_rig:await_stats(#{delivered => 3, waiting => 0}),
         ok = push_rig:stop_host()
     end || Strategy <- ?STRATEGIES].

%% Confirms it with a job that waits behind more of them, and that the owner goes on.
calls_that_are_not_for_jobs_do_no_harm(_Config) ->
    start(#{}, #{workers => 1}),
    Owner = push_rig:owner(),
    Busy = push_rig:occupy(),
    ok = push(tell(1)),
    [ok = mongoose_wpool:cast(generic, ?HT, pusher_push, {erlang, self, []}) || _ <- [1, 2, 3]],
    ok = host_metrics:await(event_pusher_queue, fun() -> gauge(oldest_ms) > 50 end),
    push_rig:release(Busy, delivered),
    ?assertEqual(1, next_ran()),
    push_rig:await_stats(#{delivered => 2, waiting => 0}),
    ?assertEqual(Owner, push_rig:owner()).

%% Start and stop

%% Confirms that what was accepted runs although nothing more is.
stopping_waits_until_the_last_job_has_ended(_Config) ->
    start(#{drain_timeout_ms => ?HOUR, max_bytes => 10000}, #{workers => 1}),
    Busy = push_rig:occupy(),
    [ok = push(tell(N)) || N <- [1, 2, 3]],
    Stopping = stopping(),
    await_refusal(),
    push_rig:release(Busy, delivered),
    await_end(Stopping),
    ?assertEqual([1, 2, 3], [next_ran() || _ <- [1, 2, 3]]),
    %% What was refused meanwhile is the only one.
    ?assertEqual({4, 1}, {total(delivered), total(closed)}).

%% Confirms the count, the log line, and that answers may come after that: before the next start, and
%% after it.
stopping_waits_for_no_answer(_Config) ->
    start(#{drain_timeout_ms => ?HOUR}, #{}),
    [First, Second, Third] = [awaiting() || _ <- [1, 2, 3]],
    ok = stop(),
    ?assertMatch(#{reason := unanswered, count := 3, last_cause := <<"module is stopped">>},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual(ok, ?POOL:answered(First, delivered)),
    ok = start_again(#{}, #{}),
    ?assertEqual(ok, ?POOL:answered(Second, delivered)),
    ?assertEqual(ok, ?POOL:resume(Third, tell(late))),
    ok = push(tell(next)),
    ran(next),
    push_rig:await_stats(#{accepted => 1, delivered => 1, unanswered => 0, waiting => 0}),
    nothing_ran(),
    %% The one of the new pool, and no late answer.
    ok = host_metrics:await(event_pusher_events, fun() -> total(delivered) > 0 end),
    ?assertEqual([1, 3, 0], [total(Fate) || Fate <- [delivered, unanswered, closed]]).

%% Confirms it for a job that waits for a worker when the stop begins: it runs, and that is all.
what_starts_while_the_pool_stops_waits_for_no_answer(_Config) ->
    start(#{drain_timeout_ms => ?HOUR, max_bytes => 10000}, #{workers => 1}),
    Busy = push_rig:occupy(),
    Test = self(),
    ok = push(fun(_Ticket) -> Test ! {ran, last, self()}, {await, ?HOUR} end),
    Stopping = stopping(),
    await_refusal(),
    push_rig:release(Busy, delivered),
    ran(last),
    await_end(Stopping),
    %% What was refused meanwhile is the only one that is closed.
    ?assertEqual([1, 1, 1], [total(Fate) || Fate <- [delivered, unanswered, closed]]).

%% Confirms the count, the log line, and that what ends or comes later changes nothing.
stopping_closes_what_is_left_at_the_deadline(_Config) ->
    start(#{drain_timeout_ms => 30}, #{workers => 1}),
    Ticket = awaiting(),
    {Worker, _} = push_rig:occupy(),
    [ok = push(tell(N)) || N <- [1, 2, 3]],
    Monitor = monitor(process, Worker),
    ok = stop(),
    receive {'DOWN', Monitor, process, Worker, _} -> ok after ?WAIT -> ct:fail(alive) end,
    ?assertEqual({1, 4}, {total(unanswered), total(closed)}),
    Lines = [log_capture:await(event_pusher_drops) || _ <- [1, 2]],
    ?assertMatch([#{reason := unanswered, count := 1}, #{reason := closed, count := 4}], Lines),
    ?assertMatch([#{last_cause := <<"module is stopped">>}], lists:usort(
        [maps:with([last_cause], Line) || Line <- Lines])),
    ?assertEqual({error, closed}, ?POOL:stats({push, ?HT})),
    ?assertEqual({error, closed}, push(tell(late))),
    ?assertEqual(ok, ?POOL:answered(Ticket, delivered)),
    ?assertEqual(ok, ?POOL:resume(Ticket, tell(late))),
    ?assertEqual({0, 4}, {total(delivered), total(closed)}),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    nothing_ran().

%% Confirms that it does not take the hour that it may take, before and after work.
stopping_waits_for_nothing_if_there_is_nothing(_Config) ->
    start(#{drain_timeout_ms => ?HOUR}, #{}),
    ok = stop(),
    ok = start_again(#{drain_timeout_ms => ?HOUR}, #{}),
    ok = push(tell(1)),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    ok = stop().

%% Confirms that nobody is left, and that what could not end is counted.
stopping_goes_on_if_the_owner_is_killed_meanwhile(_Config) ->
    start(#{drain_timeout_ms => ?HOUR, max_bytes => 10000}, #{workers => 1}),
    push_rig:occupy(),
    Stopping = stopping(),
    await_refusal(),
    push_rig:kill(push_rig:owner()),
    await_end(Stopping),
    ?assertEqual({undefined, undefined}, {push_rig:owner(), pool()}),
    ?assertEqual({error, closed}, push(tell(late))),
    %% The job, and what was refused meanwhile.
    ?assertEqual(2, total(closed)).

%% Confirms that no counter, job or process of the one before is there.
the_pool_starts_and_stops_any_number_of_times(_Config) ->
    start(#{}, #{}),
    [begin
         ok = push(tell(N)),
         ran(N),
         push_rig:await_stats(#{accepted => 1, delivered => 1, waiting => 0}),
         ok = stop(),
         ?assertEqual({undefined, undefined}, {push_rig:owner(), pool()}),
         ok = start_again(#{}, #{})
     end || N <- lists:seq(1, 20)],
    ?assertMatch(#{accepted := 0, delivered := 0, waiting := 0}, push_rig:stats()).

%% Confirms that one may be full, or stopped, while the other works.
two_host_types_do_not_share_anything(_Config) ->
    {module, _} = code:ensure_loaded(mod_event_pusher_push),
    Opts = push_rig:opts(#{queue => #{max_events => 1, drain_timeout_ms => 0}}),
    ok = host:start(maps:from_keys([?HT, <<"other">>], #{mod_event_pusher => #{push => Opts}})),
    push_rig:occupy(),
    ?assertEqual({error, full}, push(tell(full))),
    Others = fun(N) ->
        ok = ?POOL:push(<<"other">>, tell(N)),
        ran(N)
    end,
    ?assertNot(lists:member(Others(1), push_rig:workers())),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        {ok, #{counts := #{delivered := Delivered}, levels := #{waiting := Waiting}}} =
            ?POOL:stats({push, <<"other">>}),
        {Delivered, Waiting} =:= {1, 0}
    end),
    ok = stop(),
    ?assertEqual({error, closed}, push(tell(closed))),
    _ = Others(2),
    ?assertMatch({ok, #{counts := #{accepted := 2, refused_full := 0, closed := 0}}},
                 ?POOL:stats({push, <<"other">>})).

%% The owner is lost

%% Confirms the metric and the log line; workers that were at work then do no harm.
what_a_killed_owner_leaves_is_closed_and_the_next_goes_on(_Config) ->
    start(#{}, #{workers => 1}),
    Ticket = awaiting(),
    Busy = push_rig:occupy(),
    [ok = push(tell(N)) || N <- [1, 2, 3]],
    push_rig:kill(push_rig:owner()),
    ?assertMatch(#{reason := closed, count := 5}, log_capture:await(event_pusher_drops)),
    ?assertEqual(5, total(closed)),
    await_owner(),
    ok = push(tell(4)),
    push_rig:release(Busy, delivered),
    ?assertEqual(4, next_ran()),
    ok = ?POOL:answered(Ticket, delivered),
    push_rig:await_stats(#{accepted => 1, delivered => 1, closed => 0, waiting => 0}),
    nothing_ran().

%% Confirms it for jobs that ended after the last report, and that nothing is told twice. The worker
%% has counted them when it begins with the one that occupies it.
what_a_killed_owner_has_not_told_is_told_by_the_next(_Config) ->
    start(#{}, #{workers => 1}),
    ok = push(tell(1)),
    ok = host_metrics:await(event_pusher_events, fun() -> total(delivered) =:= 1 end),
    Owner = push_rig:owner(),
    ok = sys:suspend(Owner),
    [ok = push(tell(N)) || N <- [2, 3]],
    Busy = push_rig:occupy(),
    ?assertEqual(1, total(delivered)),
    push_rig:kill(Owner),
    ?assertMatch(#{reason := closed, count := 1,
                   last_cause := <<"owner of the queue was killed">>},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual({3, 1}, {total(delivered), total(closed)}),
    await_owner(),
    push_rig:release(Busy, delivered),
    ok = push(tell(4)),
    ok = host_metrics:await(event_pusher_events, fun() -> total(delivered) > 3 end),
    ?assertEqual({4, 1}, {total(delivered), total(closed)}).

%% Confirms it for a kill after the metrics were told, and before the log was.
what_is_told_when_its_owner_is_killed_is_told_once(_Config) ->
    start(#{}, #{workers => 1}),
    Test = self(),
    Hold = fun(#{msg := {report, #{what := event_pusher_drops}}}, _Extra) ->
                   Test ! {held, self()},
                   receive go -> ignore end;
              (_Other, _Extra) ->
                   ignore
           end,
    ok = logger:add_primary_filter(?FUNCTION_NAME, {Hold, none}),
    ok = push(fun(_Ticket) -> {rejected, <<"as the test wants">>} end),
    Teller = receive {held, Pid} -> Pid after ?WAIT -> ct:fail(not_logged) end,
    ok = push_rig:kill(push_rig:owner()),
    ok = logger:remove_primary_filter(?FUNCTION_NAME),
    Teller ! go,
    await_owner(),
    ?assertMatch(#{reason := rejected, count := 1}, log_capture:await(event_pusher_drops)),
    stop(),
    ?assertEqual(1, total(rejected)),
    ?assertEqual(none, log_capture:already(event_pusher_drops)).

%% Confirms that the next one tells what it has not.
a_teller_that_is_killed_costs_no_more_than_its_report(_Config) ->
    start(#{}, #{}),
    #{teller := Teller} = persistent_term:get({?POOL, ?HT}),
    push_rig:kill(Teller),
    ok = push(tell(1)),
    ok = host_metrics:await(event_pusher_events, fun() -> total(delivered) =:= 1 end),
    #{teller := Next} = persistent_term:get({?POOL, ?HT}),
    stop(),
    ?assertNotEqual(Teller, Next),
    ?assertNot(is_process_alive(Next)).

%% Confirms it for what is refused until there is a new owner.
what_comes_between_two_owners_is_counted_as_closed(_Config) ->
    start(#{}, #{}),
    ok = sys:suspend(ejabberd_sup),
    push_rig:kill(push_rig:owner()),
    ?assertEqual([{error, closed}, {error, closed}], [push(tell(N)) || N <- [1, 2]]),
    ok = sys:resume(ejabberd_sup),
    ?assertMatch(#{reason := closed, count := 2}, log_capture:await(event_pusher_drops)),
    ?assertEqual(2, total(closed)),
    await_owner(),
    ?assertEqual(ok, push(tell(3))).

%% Helpers

start(Queue, Wpool) ->
    push_rig:start_host(opts(Queue, Wpool)).

start_again(Queue, Wpool) ->
    {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push,
                                                   push_rig:opts(opts(Queue, Wpool))),
    ok.

opts(Queue, Wpool) ->
    #{wpool := Defaults} = push_rig:opts(#{}),
    #{queue => Queue, wpool => maps:merge(Defaults, Wpool)}.

stop() ->
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
    ok.

stopping() ->
    spawn_monitor(fun stop/0).

await_end({Pid, Monitor}) ->
    receive {'DOWN', Monitor, process, Pid, Reason} -> normal = Reason
    after ?WAIT -> ct:fail(does_not_stop)
    end.

%% A job that is too large is refused for another reason once the pool is closing.
await_refusal() ->
    case push(large_job(10000)) of
        {error, closed} -> ok;
        {error, full} -> erlang:yield(), await_refusal()
    end.

%% The supervisor starts the next owner before it answers; that tells what the former one left before it
%% answers.
await_owner() ->
    _ = supervisor:which_children(ejabberd_sup),
    {error, unknown} = gen_server:call(push_rig:owner(), are_you_there),
    ok.

push(Job) ->
    ?POOL:push(?HT, Job).

%% A job that tells who runs it.
tell(What) ->
    Test = self(),
    fun(_Ticket) -> Test ! {ran, What, self()}, delivered end.

%% Who ran it.
ran(What) ->
    receive {ran, What, Pid} -> Pid after ?WAIT -> ct:fail({did_not_run, What}) end.

next_ran() ->
    receive {ran, What, _Pid} -> What after ?WAIT -> ct:fail(nothing_runs) end.

nothing_ran() ->
    receive {ran, What, _Pid} -> ct:fail({ran, What}) after 0 -> ok end.

%% The ticket of a job that has started and waits for its answer.
awaiting() ->
    Test = self(),
    ok = push(fun(Ticket) -> Test ! {awaiting, Ticket}, {await, ?HOUR} end),
    receive {awaiting, Ticket} -> Ticket after ?WAIT -> ct:fail(did_not_run) end.

pool() ->
    whereis(mongoose_wpool:make_pool_name(generic, ?HT, pusher_push)).

total(Metric) ->
    host_metrics:total(event_pusher_events, ?LABELS, Metric).

gauge(Level) ->
    case host_metrics:gauge(event_pusher_queue, ?LABELS, Level) of
        undefined -> 0;
        Value -> Value
    end.

%% Confirms it for metrics that the server does not know any more.
a_report_that_crashes_does_not_cost_the_queue(_Config) ->
    ok = push_rig:start_host(),
    Owner = push_rig:owner(),
    ok = mongoose_instrument:tear_down(event_pusher_metrics:instrumentation(?LABELS)),
    [?assertMatch(#{pool := {push, ?HT}, reason := #{what := event_not_registered}},
                  log_capture:await(event_pusher_report_failed)) || _ <- [1, 2]],
    mongoose_instrument:set_up(event_pusher_metrics:instrumentation(?LABELS)),
    Busy = push_rig:occupy(),
    ok = push_rig:release(Busy, delivered),
    ?assertMatch(#{delivered := 1}, push_rig:await_stats(#{delivered => 1})),
    ?assertEqual(Owner, push_rig:owner()).
