-module(host_wpool_SUITE).
-moduledoc "Holds pools of workers to the behaviour of a server, with what they lose.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([a_call_returns_what_the_request_returns/1,
         only_a_free_worker_is_the_next_available_one/1,
         a_request_that_crashes_is_logged_and_the_worker_goes_on/1,
         a_request_of_another_form_is_refused/1,
         a_cast_to_busy_workers_returns_and_waits_its_turn/1,
         a_free_worker_takes_the_next_task/1,
         a_call_that_waits_too_long_exits_and_takes_no_worker_away/1,
         a_call_that_works_too_long_exits/1,
         a_killed_worker_is_replaced_and_loses_its_mailbox/1,
         a_killed_pool_comes_back_without_its_tasks/1,
         without_its_processes_a_pool_has_no_workers/1,
         a_cast_to_workers_that_are_being_replaced_is_lost/1,
         the_best_worker_has_the_shortest_mailbox/1,
         other_strategies_take_each_worker_in_its_turn/1,
         a_hash_key_always_leads_to_the_same_worker/1,
         a_global_pool_stands_in_for_that_of_a_host_type/1,
         a_pool_that_was_not_started_is_an_error/1,
         a_pool_is_started_once/1,
         a_stopped_pool_can_be_started_again/1,
         a_length_of_queue_limits_nothing/1,
         mailboxes_are_a_metric/1,
         pools_are_named_after_their_keys/1,
         stopping_the_host_stops_the_pools/1]).
-export([tell/2, wait/2, crash/1]).

-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).

all() ->
    Helpers = [module_info, crash],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    ok = host:start(#{?HT => #{}}),
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    ok = host:stop().

%% Requests

%% Confirms it for each strategy.
a_call_returns_what_the_request_returns(_Config) ->
    [begin
         start(Strategy, [{strategy, Strategy}, {workers, 2}]),
         ?assertEqual({ok, 3}, call(Strategy, {erlang, '+', [1, 2]}))
     end || Strategy <- [best_worker, random_worker, next_worker, available_worker,
                         next_available_worker]].

%% Confirms what happens when the only worker is busy, and when it is free again.
only_a_free_worker_is_the_next_available_one(_Config) ->
    start(tag, [{strategy, next_available_worker}, {workers, 1}]),
    Test = self(),
    Hang = fun() -> Test ! {busy, self()}, receive go -> ok end, Test ! done end,
    ok = cast(tag, {erlang, apply, [Hang, []]}),
    Worker = receive {busy, Pid} -> Pid after 10000 -> ct:fail(not_called) end,
    ?assertExit(no_available_workers, cast(tag, {erlang, apply, [Hang, []]})),
    Worker ! go,
    receive done -> ok after 10000 -> ct:fail(not_done) end,
    _ = sys:get_state(Worker),
    ?assertEqual({ok, 3}, call(tag, {erlang, '+', [1, 2]})).

%% Confirms it for calls and casts, and each class of exception.
a_request_that_crashes_is_logged_and_the_worker_goes_on(_Config) ->
    start(tag, [{strategy, available_worker}, {workers, 1}]),
    Worker = worker(tag),
    [begin
         ?assertEqual({error, oops}, call(tag, {?MODULE, crash, [Class]})),
         ?assertMatch(#{class := Class, reason := oops, stacktrace := _},
                      log_capture:await(pool_request_failed)),
         ?assertEqual(ok, cast(tag, {?MODULE, crash, [Class]})),
         ?assertMatch(#{class := Class}, log_capture:await(pool_request_failed))
     end || Class <- [error, exit, throw]],
    ?assertEqual(Worker, worker(tag)).

%% Confirms that only {Module, Function, Args} is run.
a_request_of_another_form_is_refused(_Config) ->
    start(tag, [{workers, 1}]),
    ?assertEqual({error, invalid_request}, call(tag, {erlang, self})),
    log_capture:await(invalid_pool_request),
    ?assertEqual(ok, cast(tag, fun erlang:self/0)),
    log_capture:await(invalid_pool_request).

%% Queue

%% Confirms order, and that what waits is counted and what runs is not.
a_cast_to_busy_workers_returns_and_waits_its_turn(_Config) ->
    start(tag, [{strategy, available_worker}, {workers, 1}]),
    Busy = occupy(tag),
    [?assertEqual(ok, cast(tag, {?MODULE, tell, [self(), N]})) || N <- [1, 2, 3]],
    ?assertEqual(3, waiting(tag)),
    release(Busy),
    ?assertEqual([1, 2, 3], [told() || _ <- [1, 2, 3]]).

%% Confirms that one long task holds up nothing else.
a_free_worker_takes_the_next_task(_Config) ->
    start(tag, [{strategy, available_worker}, {workers, 2}]),
    Busy = occupy(tag),
    [cast(tag, {?MODULE, tell, [self(), N]}) || N <- [1, 2, 3]],
    ?assertEqual([1, 2, 3], [told() || _ <- [1, 2, 3]]),
    release(Busy).

%% Confirms that the queue passes over a caller who has given up.
a_call_that_waits_too_long_exits_and_takes_no_worker_away(_Config) ->
    start(tag, [{strategy, available_worker}, {workers, 1}, {call_timeout, 20}]),
    Busy = occupy(tag),
    ?assertExit(timeout, call(tag, {erlang, self, []})),
    cast(tag, {?MODULE, tell, [self(), after_the_call]}),
    release(Busy),
    ?assertEqual(after_the_call, told()).

%% Confirms the exit of a gen_server's client, for both ways to a worker.
a_call_that_works_too_long_exits(_Config) ->
    [begin
         start(Strategy, [{strategy, Strategy}, {workers, 1}, {call_timeout, 20}]),
         ?assertExit({timeout, {gen_server, call, _}},
                     call(Strategy, {?MODULE, wait, [self(), Strategy]})),
         release(told())
     end || Strategy <- [best_worker, available_worker]].

%% Losses

%% Confirms that tasks of the queue are not lost with the worker.
a_killed_worker_is_replaced_and_loses_its_mailbox(_Config) ->
    start(tag, [{strategy, available_worker}, {workers, 1}]),
    {Worker, _Ref} = occupy(tag),
    mongoose_wpool:cast(generic, ?HT, tag, key, {?MODULE, tell, [self(), in_mailbox]}),
    cast(tag, {?MODULE, tell, [self(), in_queue]}),
    ?assertEqual(2, waiting(tag)),
    exit(Worker, kill),
    ?assertEqual(in_queue, told()),
    ?assertNotEqual(Worker, worker(tag)),
    ?assertEqual(none, told_already()).

%% Confirms that the pool has its options again, but no task.
a_killed_pool_comes_back_without_its_tasks(_Config) ->
    Pool = start(tag, [{strategy, available_worker}, {workers, 1}]),
    occupy(tag),
    cast(tag, {?MODULE, tell, [self(), lost]}),
    ?assertEqual(1, waiting(tag)),
    exit(Pool, kill),
    await_restart(tag, Pool),
    ?assertEqual(0, waiting(tag)),
    ?assertMatch({ok, _}, call(tag, {erlang, self, []})),
    ?assertEqual(none, told_already()).

%% Confirms who notices it. The supervisor is held back meanwhile.
without_its_processes_a_pool_has_no_workers(_Config) ->
    Pools = [start(Tag, [{strategy, Tag}]) || Tag <- [best_worker, next_worker, available_worker]],
    sys:suspend(ejabberd_sup),
    [kill(Pool) || Pool <- Pools],
    [?assertExit(no_workers, call(Tag, {erlang, self, []}))
     || Tag <- [best_worker, next_worker, available_worker]],
    [?assertExit(no_workers, cast(Tag, {erlang, self, []})) || Tag <- [best_worker, next_worker]],
    ?assertEqual(ok, cast(available_worker, {erlang, self, []})),
    ?assertExit(no_workers,
                mongoose_wpool:call(generic, ?HT, best_worker, key, {erlang, self, []})),
    ?assertExit(no_workers, mongoose_wpool:stats(generic, ?HT, best_worker)),
    sys:resume(ejabberd_sup).

%% Confirms it for strategies without a queue. The supervisor of the workers is held back meanwhile.
a_cast_to_workers_that_are_being_replaced_is_lost(_Config) ->
    [begin
         Pool = start(Tag, [{strategy, Tag}, {workers, 2}]),
         {workers, Supervisor, _, _} = lists:keyfind(workers, 1, supervisor:which_children(Pool)),
         sys:suspend(Supervisor),
         Name = mongoose_wpool:make_pool_name(generic, ?HT, Tag),
         [kill(host_wpool:worker(Name, Number)) || Number <- [1, 2]],
         ?assertEqual(ok, cast(Tag, {?MODULE, tell, [self(), lost]})),
         ?assertEqual(0, waiting(Tag)),
         sys:resume(Supervisor)
     end || Tag <- [best_worker, next_worker]],
    ?assertEqual(none, told_already()).

%% Choosing a worker

%% Confirms that a busy worker with a mailbox is left alone.
the_best_worker_has_the_shortest_mailbox(_Config) ->
    start(tag, [{strategy, best_worker}, {workers, 2}]),
    {Worker, _} = Busy = occupy(tag),
    mongoose_wpool:cast(generic, ?HT, tag, key_of(Worker, 1), {erlang, self, []}),
    Chosen = [begin {ok, Pid} = mongoose_wpool:get_worker(generic, ?HT, tag), Pid end
              || _ <- lists:seq(1, 10)],
    ?assertEqual([], [Pid || Pid <- Chosen, Pid =:= Worker]),
    release(Busy).

%% Confirms the round.
other_strategies_take_each_worker_in_its_turn(_Config) ->
    start(tag, [{strategy, next_worker}, {workers, 3}]),
    Round = [worker(tag) || _ <- [1, 2, 3]],
    ?assertEqual(3, length(lists:usort(Round))),
    ?assertEqual(Round, [worker(tag) || _ <- [1, 2, 3]]).

%% Confirms it for calls and casts.
a_hash_key_always_leads_to_the_same_worker(_Config) ->
    start(tag, [{workers, 5}]),
    Keys = lists:seq(1, 50),
    ByCall = [begin
                  {ok, Pid} = mongoose_wpool:call(generic, ?HT, tag, Key, {erlang, self, []}),
                  Pid
              end || Key <- Keys],
    ByCast = [begin
                  ok = mongoose_wpool:cast(generic, ?HT, tag, Key, {?MODULE, wait, [self(), Key]}),
                  Busy = {Pid, _} = told(),
                  release(Busy),
                  Pid
              end || Key <- Keys],
    ?assertEqual(ByCall, ByCast),
    ?assertEqual(5, length(lists:usort(ByCall))).

%% Confirms that the pool of the host type goes first.
a_global_pool_stands_in_for_that_of_a_host_type(_Config) ->
    {ok, _} = mongoose_wpool:start(generic, global, tag, [{workers, 1}], #{}),
    Global = worker(tag),
    start(tag, [{workers, 1}]),
    ?assertNotEqual(Global, worker(tag)),
    ok = mongoose_wpool:stop(generic, ?HT, tag),
    ?assertEqual(Global, worker(tag)).

%% Confirms that this is returned, and names the global pool.
a_pool_that_was_not_started_is_an_error(_Config) ->
    Error = {error, {pool_not_started, {generic, global, tag}}},
    Request = {erlang, self, []},
    ?assertEqual([Error, Error, Error, Error, Error],
                 [call(tag, Request), cast(tag, Request),
                  mongoose_wpool:call(generic, ?HT, tag, key, Request),
                  mongoose_wpool:cast(generic, ?HT, tag, key, Request),
                  mongoose_wpool:get_worker(generic, ?HT, tag)]).

%% Life of a pool

%% Confirms that the first one is not touched.
a_pool_is_started_once(_Config) ->
    start(tag, [{workers, 1}]),
    Worker = worker(tag),
    ?assertError(#{what := event_already_registered},
                 mongoose_wpool:start(generic, ?HT, tag, [{workers, 1}])),
    ?assertEqual(Worker, worker(tag)).

%% Confirms that its workers end, and that it may be stopped when it is not there.
a_stopped_pool_can_be_started_again(_Config) ->
    ?assertEqual(ok, mongoose_wpool:stop(generic, ?HT, tag)),
    start(tag, [{workers, 1}]),
    Monitor = monitor(process, worker(tag)),
    ?assertEqual(ok, mongoose_wpool:stop(generic, ?HT, tag)),
    receive {'DOWN', Monitor, process, _, shutdown} -> ok end,
    ?assertMatch({error, _}, call(tag, {erlang, self, []})),
    start(tag, [{workers, 1}]),
    ?assertMatch({ok, _}, call(tag, {erlang, self, []})).

%% Confirms that the option is accepted, and that tasks beyond it wait.
a_length_of_queue_limits_nothing(_Config) ->
    start(tag, [{workers, 1}, {strategy, available_worker}, {max_worker_queue_len, 1}]),
    Busy = occupy(tag),
    [?assertEqual(ok, cast(tag, {?MODULE, tell, [self(), N]})) || N <- [1, 2, 3]],
    ?assertEqual(3, waiting(tag)),
    release(Busy).

%% Confirms that the metric, as a server's, leaves out what waits in the queue.
mailboxes_are_a_metric(_Config) ->
    start(tag, [{workers, 1}, {strategy, available_worker}]),
    Busy = occupy(tag),
    cast(tag, {?MODULE, tell, [self(), in_queue]}),
    mongoose_wpool:cast(generic, ?HT, tag, key, {?MODULE, tell, [self(), in_mailbox]}),
    ?assertEqual(2, waiting(tag)),
    Labels = #{host_type => ?HT, pool_type => generic, pool_tag => tag},
    mongoose_instrument:probe(wpool_queue_lengths, Labels),
    ?assertEqual(1, host_metrics:gauge(wpool_queue_lengths, Labels, total)),
    {ok, _} = mongoose_wpool:start(generic, global, tag, [{workers, 1}]),
    GlobalLabels = maps:remove(host_type, Labels),
    mongoose_instrument:probe(wpool_global_queue_lengths, GlobalLabels),
    ?assertEqual(0, host_metrics:gauge(wpool_global_queue_lengths, GlobalLabels, total)),
    release(Busy).

%% Confirms the names of the supervisors.
pools_are_named_after_their_keys(_Config) ->
    ?assertEqual('mongoose_wpool$generic$global$tag',
                 mongoose_wpool:make_pool_name(generic, global, tag)),
    Pool = start(tag, [{workers, 1}]),
    ?assertEqual(Pool, whereis('mongoose_wpool$generic$localhost$tag')).

%% Confirms that a new host starts without them.
stopping_the_host_stops_the_pools(_Config) ->
    Pool = start(tag, [{workers, 1}]),
    Monitor = monitor(process, Pool),
    ok = host:stop(),
    receive {'DOWN', Monitor, process, Pool, shutdown} -> ok end,
    ok = host:start(#{?HT => #{}}),
    ?assertMatch({error, _}, call(tag, {erlang, self, []})).

%% Requests that workers run

tell(Pid, Message) ->
    Pid ! {told, Message}.

%% Until it is released.
wait(Pid, Ref) ->
    tell(Pid, {self(), Ref}),
    receive {release, Ref} -> ok end.

crash(Class) ->
    erlang:raise(Class, oops, []).

%% Helpers

start(Tag, Opts) ->
    {ok, Pool} = mongoose_wpool:start(generic, ?HT, Tag, Opts),
    Pool.

call(Tag, Request) ->
    mongoose_wpool:call(generic, ?HT, Tag, Request).

cast(Tag, Request) ->
    mongoose_wpool:cast(generic, ?HT, Tag, Request).

worker(Tag) ->
    {ok, Worker} = call(Tag, {erlang, self, []}),
    Worker.

waiting(Tag) ->
    proplists:get_value(total_message_queue_len, mongoose_wpool:stats(generic, ?HT, Tag)).

%% A hash key that leads to the worker, of two; only the other one can be asked.
key_of(Busy, Key) ->
    case host_wpool:worker(mongoose_wpool:make_pool_name(generic, ?HT, tag),
                           1 + erlang:phash2(Key, 2)) of
        Busy -> Key;
        _Other -> key_of(Busy, Key + 1)
    end.

occupy(Tag) ->
    ok = cast(Tag, {?MODULE, wait, [self(), make_ref()]}),
    told().

release({Worker, Ref}) ->
    Worker ! {release, Ref}.

told() ->
    receive {told, Message} -> Message
    after 10000 -> ct:fail(nothing_told)
    end.

told_already() ->
    receive {told, Message} -> Message after 0 -> none end.

kill(Pool) ->
    Monitor = monitor(process, Pool),
    exit(Pool, kill),
    receive {'DOWN', Monitor, process, Pool, killed} -> ok end.

%% Asks the supervisor until it has another child in the place of the old one.
await_restart(Tag, Old) ->
    Name = mongoose_wpool:make_pool_name(generic, ?HT, Tag),
    case lists:keyfind(Name, 1, supervisor:which_children(ejabberd_sup)) of
        {_, New, _, _} when is_pid(New), New =/= Old -> ok;
        _ -> await_restart(Tag, Old)
    end.
