-module(event_pusher_push_crash_SUITE).
-moduledoc "The pool of push notifications while jobs, workers, the server's pool or its owner crash or are killed.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_crashing_job_costs_only_itself_and_logs_no_content/1,
         a_job_whose_worker_is_killed_is_rejected_and_others_go_on/1,
         whatever_jobs_do_each_ends_exactly_once/1,
         jobs_that_find_no_free_worker_run_when_one_is_free/1,
         jobs_that_wait_for_a_worker_are_missed_once_however_long_it_takes/1,
         jobs_that_wait_survive_a_killed_pool/1,
         jobs_may_come_while_the_pool_is_down/1,
         calls_that_are_not_for_jobs_do_no_harm/1,
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

%% Crashes

%% Confirms each kind. The worker goes on; what the job holds is in no line.
a_crashing_job_costs_only_itself_and_logs_no_content(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    [Worker] = push_rig:workers(),
    Body = <<"a private word">>,
    [begin
         ok = push_jobs:push(fun(_Ticket) -> erlang:Class({Class, Body}) end),
         ?assertMatch(#{host_type := ?HT, pool_type := push, class := Class, reason := Class,
                        stacktrace := [_ | _]}, log_capture:await(event_pusher_event_failed)),
         ok = push_jobs:push(push_jobs:tell(Class)),
         ?assertEqual(Worker, push_jobs:ran(Class))
     end || Class <- [error, exit, throw]],
    push_rig:await_stats(#{rejected => 3, delivered => 3, waiting => 0}),
    ?assertMatch(#{reason := rejected, last_cause := <<"crash">>},
                 log_capture:await(event_pusher_drops)),
    push_rig:no_log_of(<<"private">>).

%% Confirms it for one worker of two, with jobs that wait behind both.
a_job_whose_worker_is_killed_is_rejected_and_others_go_on(_Config) ->
    push_jobs:start(#{}, #{workers => 2}),
    [{Victim, _}, Other] = [push_rig:occupy() || _ <- [1, 2]],
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- [1, 2, 3]],
    push_rig:kill(Victim),
    [push_jobs:ran(N) || N <- [1, 2, 3]],
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
        push_jobs:start(#{max_events => 5, drain_timeout_ms => 0}, #{workers => 2}),
        try
            Model = lists:foldl(fun step/2, empty_model(), Commands),
            ok = push_jobs:stop(),
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
    case {push_jobs:push(obedient(Next, self())), held(Model)} of
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
        [push_jobs:total(Metric) || Metric <- [delivered, rejected, exhausted, full]],
    #{awaiting := Awaiting} = Model,
    {length(Awaiting), held(Model) - length(Awaiting)} =:= {push_jobs:total(unanswered), push_jobs:total(closed)}.

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
    push_jobs:start(#{}, #{workers => 1, strategy => next_available_worker}),
    ok = application:set_env(event_pusher, report_interval_ms, Interval),
    Busy = push_rig:occupy(),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- lists:seq(1, 20)],
    push_rig:release(Busy, delivered),
    ?assertEqual(lists:seq(1, 20), [push_jobs:next_ran() || _ <- lists:seq(1, 20)]).

%% Confirms it over many looks of the owner, who calls for them each time.
jobs_that_wait_for_a_worker_are_missed_once_however_long_it_takes(_Config) ->
    push_jobs:start(#{}, #{workers => 1, strategy => next_available_worker}),
    Busy = push_rig:occupy(),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- lists:seq(1, 20)],
    await_looks(10),
    #{queue := Queue} = persistent_term:get({?POOL, ?HT}),
    ?assert(missed(Queue) =< 20),
    push_rig:release(Busy, delivered),
    ?assertEqual(lists:seq(1, 20), [push_jobs:next_ran() || _ <- lists:seq(1, 20)]).

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
         push_jobs:start(#{}, #{workers => 1, strategy => Strategy}),
         push_rig:occupy(),
         [ok = push_jobs:push(push_jobs:tell(N)) || N <- lists:seq(1, 5)],
         push_rig:kill(push_jobs:pool()),
         ?assertEqual({Strategy, [1, 2, 3, 4, 5]},
                      {Strategy, [push_jobs:next_ran() || _ <- lists:seq(1, 5)]}),
         push_rig:await_stats(#{accepted => 6, delivered => 5, rejected => 1, waiting => 0}),
         ok = push_rig:stop_host()
     end || Strategy <- ?STRATEGIES].

%% Confirms it for each strategy. The supervisor is held back until the jobs have come.
jobs_may_come_while_the_pool_is_down(_Config) ->
    [begin
         push_jobs:start(#{}, #{workers => 2, strategy => Strategy}),
         ok = sys:suspend(ejabberd_sup),
         push_rig:kill(push_jobs:pool()),
         ?assertEqual([ok, ok, ok], [push_jobs:push(push_jobs:tell(N)) || N <- [1, 2, 3]]),
         ?assertMatch(#{queue_events := 3}, push_rig:stats()),
         ok = sys:resume(ejabberd_sup),
         [push_jobs:ran(N) || N <- [1, 2, 3]],
         push_rig:await_stats(#{delivered => 3, waiting => 0}),
         ok = push_rig:stop_host()
     end || Strategy <- ?STRATEGIES].

%% Confirms it with a job that waits behind more of them, and that the owner goes on.
calls_that_are_not_for_jobs_do_no_harm(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    Owner = push_rig:owner(),
    Busy = push_rig:occupy(),
    ok = push_jobs:push(push_jobs:tell(1)),
    [ok = mongoose_wpool:cast(generic, ?HT, pusher_push, {erlang, self, []}) || _ <- [1, 2, 3]],
    ok = host_metrics:await(event_pusher_queue, fun() -> push_jobs:gauge(oldest_ms) > 50 end),
    push_rig:release(Busy, delivered),
    ?assertEqual(1, push_jobs:next_ran()),
    push_rig:await_stats(#{delivered => 2, waiting => 0}),
    ?assertEqual(Owner, push_rig:owner()).

%% The owner is lost

%% Confirms the metric and the log line; workers that were at work then do no harm.
what_a_killed_owner_leaves_is_closed_and_the_next_goes_on(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    Ticket = push_jobs:awaiting(),
    Busy = push_rig:occupy(),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- [1, 2, 3]],
    push_rig:kill(push_rig:owner()),
    ?assertMatch(#{reason := closed, count := 5}, log_capture:await(event_pusher_drops)),
    ?assertEqual(5, push_jobs:total(closed)),
    await_owner(),
    ok = push_jobs:push(push_jobs:tell(4)),
    push_rig:release(Busy, delivered),
    ?assertEqual(4, push_jobs:next_ran()),
    ok = ?POOL:answered(Ticket, delivered),
    push_rig:await_stats(#{accepted => 1, delivered => 1, closed => 0, waiting => 0}),
    push_jobs:nothing_ran().

%% Confirms it for jobs that ended after the last report, and that nothing is told twice. The worker
%% has counted them when it begins with the one that occupies it.
what_a_killed_owner_has_not_told_is_told_by_the_next(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    ok = push_jobs:push(push_jobs:tell(1)),
    ok = host_metrics:await(event_pusher_events, fun() -> push_jobs:total(delivered) =:= 1 end),
    Owner = push_rig:owner(),
    ok = sys:suspend(Owner),
    [ok = push_jobs:push(push_jobs:tell(N)) || N <- [2, 3]],
    Busy = push_rig:occupy(),
    ?assertEqual(1, push_jobs:total(delivered)),
    push_rig:kill(Owner),
    ?assertMatch(#{reason := closed, count := 1,
                   last_cause := <<"owner of the queue was killed">>},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual({3, 1}, {push_jobs:total(delivered), push_jobs:total(closed)}),
    await_owner(),
    push_rig:release(Busy, delivered),
    ok = push_jobs:push(push_jobs:tell(4)),
    ok = host_metrics:await(event_pusher_events, fun() -> push_jobs:total(delivered) > 3 end),
    ?assertEqual({4, 1}, {push_jobs:total(delivered), push_jobs:total(closed)}).

%% Confirms it for a kill after the metrics were told, and before the log was.
what_is_told_when_its_owner_is_killed_is_told_once(_Config) ->
    push_jobs:start(#{}, #{workers => 1}),
    Test = self(),
    Hold = fun(#{msg := {report, #{what := event_pusher_drops}}}, _Extra) ->
                   Test ! {held, self()},
                   receive go -> ignore end;
              (_Other, _Extra) ->
                   ignore
           end,
    ok = logger:add_primary_filter(?FUNCTION_NAME, {Hold, none}),
    ok = push_jobs:push(fun(_Ticket) -> {rejected, <<"as the test wants">>} end),
    Teller = receive {held, Pid} -> Pid after ?WAIT -> ct:fail(not_logged) end,
    ok = push_rig:kill(push_rig:owner()),
    ok = logger:remove_primary_filter(?FUNCTION_NAME),
    Teller ! go,
    await_owner(),
    ?assertMatch(#{reason := rejected, count := 1}, log_capture:await(event_pusher_drops)),
    push_jobs:stop(),
    ?assertEqual(1, push_jobs:total(rejected)),
    ?assertEqual(none, log_capture:already(event_pusher_drops)).

%% Confirms that the next one tells what it has not.
a_teller_that_is_killed_costs_no_more_than_its_report(_Config) ->
    push_jobs:start(#{}, #{}),
    #{teller := Teller} = persistent_term:get({?POOL, ?HT}),
    push_rig:kill(Teller),
    ok = push_jobs:push(push_jobs:tell(1)),
    ok = host_metrics:await(event_pusher_events, fun() -> push_jobs:total(delivered) =:= 1 end),
    #{teller := Next} = persistent_term:get({?POOL, ?HT}),
    push_jobs:stop(),
    ?assertNotEqual(Teller, Next),
    ?assertNot(is_process_alive(Next)).

%% Confirms it for what is refused until there is a new owner.
what_comes_between_two_owners_is_counted_as_closed(_Config) ->
    push_jobs:start(#{}, #{}),
    ok = sys:suspend(ejabberd_sup),
    push_rig:kill(push_rig:owner()),
    ?assertEqual([{error, closed}, {error, closed}], [push_jobs:push(push_jobs:tell(N)) || N <- [1, 2]]),
    ok = sys:resume(ejabberd_sup),
    ?assertMatch(#{reason := closed, count := 2}, log_capture:await(event_pusher_drops)),
    ?assertEqual(2, push_jobs:total(closed)),
    await_owner(),
    ?assertEqual(ok, push_jobs:push(push_jobs:tell(3))).

%% Helpers

%% The supervisor starts the next owner before it answers; that tells what the former one left before it
%% answers.
await_owner() ->
    _ = supervisor:which_children(ejabberd_sup),
    {error, unknown} = gen_server:call(push_rig:owner(), are_you_there),
    ok.

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
