-module(event_pusher_push_queue_SUITE).
-moduledoc "The bounded tables that hold jobs of the push pool.".

-behaviour(ct_suite).

-export([all/0]).
-export([whatever_happens_the_bounds_and_the_order_hold/1,
         a_job_goes_to_one_process_and_ends_once/1,
         too_many_jobs_are_refused_until_one_ends/1,
         too_many_bytes_are_refused/1,
         what_waits_for_too_long_expires/1,
         a_job_that_was_started_does_not_expire/1,
         a_new_job_takes_the_place_of_the_oldest/1,
         a_job_that_can_never_fit_drops_no_other/1,
         a_job_that_was_started_makes_no_room/1,
         a_job_whose_process_died_is_lost/1,
         a_job_whose_answer_does_not_come_is_lost_after_its_deadline/1,
         an_answer_may_come_before_anybody_waits_for_it/1,
         each_missed_call_is_made_up_for_once/1,
         who_waits_for_an_answer_too_late_takes_the_job_from_nobody/1,
         closing_waits_for_the_last_job/1,
         closing_does_not_wait_for_jobs_that_are_refused/1,
         what_has_not_ended_in_time_is_closed/1,
         what_waits_for_an_answer_does_not_hold_up_the_end/1,
         who_waits_for_an_answer_while_the_queue_closes_does_so_in_vain/1,
         who_ends_the_last_job_has_told_before_the_queue_is_closed/1,
         nothing_crashes_after_the_owner_has_ended/1,
         what_a_killed_owner_leaves_is_counted/1]).

-include_lib("proper/include/proper.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(QUEUE, event_pusher_push_queue).
-define(WAIT, 10000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

%% Confirms against a list of jobs that the oldest comes first, and the counts of both kinds.
whatever_happens_the_bounds_and_the_order_hold(_Config) ->
    Command = frequency([{4, {add, binary()}}, {3, claim}, {2, {remove, nat()}}, {1, {again, nat()}},
                         {1, {await, nat()}}]),
    Property = ?FORALL(Commands, list(Command), begin
        Queue = ?QUEUE:new(#{max_events => 5, max_bytes => 1000}),
        Empty = #{queue => Queue, next => 1, waiting => [], started => []},
        is_map(lists:foldl(fun step/2, Empty, Commands))
    end),
    ?assertEqual(true, proper:quickcheck(Property, [{numtests, 500}, quiet])).

step({add, Body}, #{queue := Queue, next := Next, waiting := Waiting, started := Started} = Model) ->
    Held = length(Waiting) + length(Started),
    case ?QUEUE:add(Queue, {Next, Body}) of
        ok when Held < 5 -> check(Model#{next := Next + 1, waiting := Waiting ++ [Next]});
        {error, full} when Held =:= 5 -> check(Model)
    end;
step(claim, #{queue := Queue, waiting := []} = Model) ->
    empty = ?QUEUE:claim(Queue),
    check(Model);
step(claim, #{queue := Queue, waiting := [Oldest | Waiting], started := Started} = Model) ->
    {ok, Id, {Oldest, _Body}} = ?QUEUE:claim(Queue),
    check(Model#{waiting := Waiting, started := Started ++ [{Oldest, Id}]});
step({_Change, _N}, #{started := []} = Model) ->
    Model;
step({remove, N}, Model) ->
    {{_Number, Id}, #{queue := Queue} = Less} = pick(N, Model),
    ok = remove(Queue, Id),
    gone = remove(Queue, Id),
    check(Less);
step({again, N}, Model) ->
    {{Number, Id}, #{queue := Queue, waiting := Waiting} = Less} = pick(N, Model),
    ok = ?QUEUE:again(Queue, Id, {Number, <<"more">>}),
    check(Less#{waiting := lists:sort([Number | Waiting])});
step({await, N}, Model) ->
    {{_Number, Id}, #{queue := Queue}} = pick(N, Model),
    ok = ?QUEUE:await(Queue, Id, 1000),
    check(Model).

pick(N, #{started := Started} = Model) ->
    One = lists:nth(1 + N rem length(Started), Started),
    {One, Model#{started := Started -- [One]}}.

check(#{queue := Queue, waiting := Waiting, started := Started} = Model) ->
    #{queue_events := Events, in_flight := InFlight, queue_bytes := Bytes} = ?QUEUE:levels(Queue),
    {Events, InFlight} = {length(Waiting), length(Started)},
    true = (Bytes =:= 0) =:= (Waiting =:= [] andalso Started =:= []),
    Model.

%% Confirms it with many processes that add, claim and end jobs at the same time.
a_job_goes_to_one_process_and_ends_once(_Config) ->
    Queue = queue(100000),
    [spawn_link(fun() -> [ok = ?QUEUE:add(Queue, {From, N}) || N <- lists:seq(1, 1000)] end)
     || From <- lists:seq(1, 8)],
    Test = self(),
    [spawn_link(fun() -> take_until_enough(Queue, Test) end) || _ <- lists:seq(1, 8)],
    Ended = [receive {ended, Job} -> Job after ?WAIT -> ct:fail(missing) end
             || _ <- lists:seq(1, 8000)],
    ?assertEqual([{From, N} || From <- lists:seq(1, 8), N <- lists:seq(1, 1000)],
                 lists:sort(Ended)),
    receive {ended, Twice} -> ct:fail({twice, Twice}) after 0 -> ok end,
    ?assertMatch(#{queue_events := 0, in_flight := 0, queue_bytes := 0}, ?QUEUE:levels(Queue)),
    ?assertMatch(#{accepted := 8000}, counts(Queue)).

take_until_enough(Queue, Test) ->
    case ?QUEUE:claim(Queue) of
        {ok, Id, Job} ->
            ok = remove(Queue, Id),
            Test ! {ended, Job},
            take_until_enough(Queue, Test);
        empty ->
            %% Others may still add.
            erlang:yield(),
            case {counts(Queue), ?QUEUE:levels(Queue)} of
                {#{accepted := 8000}, #{queue_events := 0}} -> ok;
                _ -> take_until_enough(Queue, Test)
            end
    end.

%% Confirms that a job counts until it has ended, not until it is started.
too_many_jobs_are_refused_until_one_ends(_Config) ->
    Queue = queue(2),
    ok = ?QUEUE:add(Queue, one),
    ok = ?QUEUE:add(Queue, two),
    ?assertEqual({error, full}, ?QUEUE:add(Queue, three)),
    {ok, Id, one} = ?QUEUE:claim(Queue),
    ?assertEqual({error, full}, ?QUEUE:add(Queue, three)),
    ok = remove(Queue, Id),
    ?assertEqual(ok, ?QUEUE:add(Queue, three)),
    ?assertMatch(#{accepted := 3, refused_full := 2}, counts(Queue)).

%% Confirms that a refused job leaves room for a smaller one.
too_many_bytes_are_refused(_Config) ->
    Queue = ?QUEUE:new(#{max_events => 100, max_bytes => 1000}),
    ok = ?QUEUE:add(Queue, binary:copy(<<"x">>, 900)),
    ?assertEqual({error, full}, ?QUEUE:add(Queue, binary:copy(<<"x">>, 100))),
    ?assertEqual(ok, ?QUEUE:add(Queue, <<"small">>)).

%% Confirms that its place is free then, and that nobody gets it.
what_waits_for_too_long_expires(_Config) ->
    Queue = aging_queue(),
    [ok = ?QUEUE:add(Queue, N) || N <- [1, 2]],
    ok = await_expired(2, Queue),
    ?assertMatch(#{queue_events := 0, queue_bytes := 0}, ?QUEUE:levels(Queue)),
    ?assertEqual(empty, ?QUEUE:claim(Queue)),
    #{counts := Counts, recent := #{causes := Causes}} = ?QUEUE:report(Queue),
    ?assertMatch(#{accepted := 2, expired := 2}, Counts),
    ?assertEqual(#{expired => <<"waited longer than queue.max_age_ms">>}, Causes).

%% Confirms it for one that waits once more.
a_job_that_was_started_does_not_expire(_Config) ->
    Queue = aging_queue(),
    Id = claim_in_time(Queue),
    #{expired := Before} = counts(Queue),
    ok = ?QUEUE:again(Queue, Id, more),
    %% When a younger job is too old, this one would be.
    Other = aging_queue(),
    ok = ?QUEUE:add(Other, younger),
    ok = await_expired(1, Other),
    ?assertEqual({ok, Id, more}, ?QUEUE:claim(Queue)),
    ?assertMatch(#{expired := Before}, counts(Queue)).

%% Confirms it for places and for bytes.
a_new_job_takes_the_place_of_the_oldest(_Config) ->
    Queue = ?QUEUE:new(#{max_events => 3, max_bytes => 1000, on_full => drop_old}),
    [ok = ?QUEUE:add(Queue, N) || N <- [1, 2, 3, 4]],
    ?assertMatch(#{accepted := 4, full := 1, refused_full := 0}, counts(Queue)),
    Large = binary:copy(<<"x">>, 993),
    ok = ?QUEUE:add(Queue, Large),
    ?assertMatch(#{accepted := 5, full := 4, refused_full := 0}, counts(Queue)),
    ?assertMatch(#{queue_events := 1}, ?QUEUE:levels(Queue)),
    {ok, Id, Large} = ?QUEUE:claim(Queue),
    ok = remove(Queue, Id),
    ?assertMatch(#{queue_events := 0, queue_bytes := 0}, ?QUEUE:levels(Queue)).

a_job_that_can_never_fit_drops_no_other(_Config) ->
    Queue = ?QUEUE:new(#{max_events => 3, max_bytes => 1000, on_full => drop_old}),
    ok = ?QUEUE:add(Queue, one),
    ?assertEqual({error, full}, ?QUEUE:add(Queue, binary:copy(<<"x">>, 1000))),
    ?assertMatch(#{full := 0, refused_full := 1}, counts(Queue)),
    ?assertMatch({ok, _, one}, ?QUEUE:claim(Queue)).

%% Confirms it for one that runs and for one that waits once more.
a_job_that_was_started_makes_no_room(_Config) ->
    Queue = ?QUEUE:new(#{max_events => 3, max_bytes => 1000, on_full => drop_old}),
    [ok = ?QUEUE:add(Queue, N) || N <- [1, 2, 3]],
    {ok, First, 1} = ?QUEUE:claim(Queue),
    {ok, _Second, 2} = ?QUEUE:claim(Queue),
    ok = ?QUEUE:again(Queue, First, more),
    ok = ?QUEUE:add(Queue, 4),
    {ok, First, more} = ?QUEUE:claim(Queue),
    ?assertMatch({ok, _, 4}, ?QUEUE:claim(Queue)),
    ?assertEqual({error, full}, ?QUEUE:add(Queue, 5)),
    ?assertMatch(#{full := 1, refused_full := 1}, counts(Queue)).

%% Another one is added as long as they expire before they are claimed.
claim_in_time(Queue) ->
    ok = ?QUEUE:add(Queue, job),
    case ?QUEUE:claim(Queue) of
        {ok, Id, job} -> Id;
        empty -> claim_in_time(Queue)
    end.

aging_queue() ->
    ?QUEUE:new(#{max_events => 2, max_bytes => 1000, max_age_ms => 1}).

await_expired(Count, Queue) ->
    ok = ?QUEUE:expire(Queue),
    case counts(Queue) of
        #{expired := Count} -> ok;
        _ -> erlang:yield(), await_expired(Count, Queue)
    end.

%% Confirms that others are not.
a_job_whose_process_died_is_lost(_Config) ->
    Queue = queue(10),
    ok = ?QUEUE:add(Queue, its),
    {Pid, Monitor} = spawn_monitor(fun() -> {ok, Id, its} = ?QUEUE:claim(Queue), exit(Id) end),
    Lost = receive {'DOWN', Monitor, process, Pid, Id} -> Id after ?WAIT -> ct:fail(alive) end,
    ok = ?QUEUE:add(Queue, mine),
    {ok, _Mine, mine} = ?QUEUE:claim(Queue),
    ?assertEqual([Lost], ?QUEUE:lost(Queue, died)),
    ?assertEqual([], ?QUEUE:lost(Queue, overdue)).

%% Confirms that it is not lost before, and that its process may die meanwhile.
a_job_whose_answer_does_not_come_is_lost_after_its_deadline(_Config) ->
    Queue = queue(10),
    ok = ?QUEUE:add(Queue, patient),
    ok = ?QUEUE:add(Queue, impatient),
    {Pid, Monitor} = spawn_monitor(fun() ->
        {ok, Patient, patient} = ?QUEUE:claim(Queue),
        {ok, Impatient, impatient} = ?QUEUE:claim(Queue),
        ok = ?QUEUE:await(Queue, Patient, 3600000),
        ok = ?QUEUE:await(Queue, Impatient, -1),
        exit(Impatient)
    end),
    Lost = receive {'DOWN', Monitor, process, Pid, Id} -> Id after ?WAIT -> ct:fail(alive) end,
    ?assertEqual([Lost], ?QUEUE:lost(Queue, overdue)),
    ?assertEqual([], ?QUEUE:lost(Queue, died)).

%% Confirms it for an answer that ends the job and one that makes it wait again.
an_answer_may_come_before_anybody_waits_for_it(_Config) ->
    Queue = queue(10),
    [ok = ?QUEUE:add(Queue, Job) || Job <- [a, b]],
    {ok, A, a} = ?QUEUE:claim(Queue),
    ok = remove(Queue, A),
    ok = ?QUEUE:await(Queue, A, 1000),
    {ok, B, b} = ?QUEUE:claim(Queue),
    ok = ?QUEUE:again(Queue, B, b2),
    ok = ?QUEUE:await(Queue, B, 1000),
    ?assertEqual({ok, B, b2}, ?QUEUE:claim(Queue)),
    ?assertMatch(#{queue_events := 0, in_flight := 1}, ?QUEUE:levels(Queue)),
    ?assertEqual(gone, ?QUEUE:again(Queue, A, a2)).

%% Confirms it with processes that all want to.
each_missed_call_is_made_up_for_once(_Config) ->
    Queue = queue(10),
    ?assertNot(?QUEUE:take_missed(Queue)),
    [ok = ?QUEUE:miss(Queue, 10) || _ <- lists:seq(1, 100)],
    Takers = [spawn_monitor(fun() -> exit(length([taken || _ <- lists:seq(1, 500),
                                                           ?QUEUE:take_missed(Queue)])) end)
              || _ <- lists:seq(1, 8)],
    Taken = [receive {'DOWN', Monitor, process, Pid, Count} -> Count after ?WAIT -> ct:fail(alive) end
             || {Pid, Monitor} <- Takers],
    ?assertEqual(1000, lists:sum(Taken)),
    ?assertNot(?QUEUE:take_missed(Queue)),
    ok = ?QUEUE:miss(Queue, 3),
    ok = ?QUEUE:forget_missed(Queue),
    ?assertNot(?QUEUE:take_missed(Queue)).

%% Confirms that the process which has the job now still holds it.
who_waits_for_an_answer_too_late_takes_the_job_from_nobody(_Config) ->
    Queue = queue(10),
    ok = ?QUEUE:add(Queue, first),
    {ok, Id, first} = ?QUEUE:claim(Queue),
    ok = ?QUEUE:again(Queue, Id, second),
    {Pid, Monitor} = spawn_monitor(fun() -> {ok, Id, second} = ?QUEUE:claim(Queue),
                                            receive go -> ok end
                                   end),
    await_start(Queue),
    ok = ?QUEUE:await(Queue, Id, -1),
    ?assertEqual([], ?QUEUE:lost(Queue, overdue)),
    Pid ! go,
    receive {'DOWN', Monitor, process, Pid, normal} -> ok after ?WAIT -> ct:fail(alive) end,
    ?assertEqual([Id], ?QUEUE:lost(Queue, died)).

await_start(Queue) ->
    case ?QUEUE:levels(Queue) of
        #{in_flight := 1} -> ok;
        #{in_flight := 0} -> erlang:yield(), await_start(Queue)
    end.

%% Confirms that it ends with that job and refuses others.
closing_waits_for_the_last_job(_Config) ->
    Queue = queue(10),
    [ok = ?QUEUE:add(Queue, Job) || Job <- [a, b]],
    spawn_link(fun() ->
        {ok, A, a} = ?QUEUE:claim(Queue),
        ok = remove(Queue, A),
        await_refusal(Queue),
        {ok, B, b} = ?QUEUE:claim(Queue),
        ok = remove(Queue, B)
    end),
    ok = ?QUEUE:close(Queue, ?WAIT),
    ?assertMatch(#{closed := 0}, counts(Queue)),
    ?assertEqual({error, closed}, ?QUEUE:add(Queue, late)).

await_refusal(Queue) ->
    case ?QUEUE:add(Queue, another) of
        {error, closed} -> ok;
        ok -> {ok, Id, another} = claim_last(Queue), ok = remove(Queue, Id),
              await_refusal(Queue)
    end.

%% Confirms it while others keep trying to add some, which are counted until they are refused.
closing_does_not_wait_for_jobs_that_are_refused(_Config) ->
    [begin
         {Owner, Monitor} = spawn_monitor(fun close_among_refusals/0),
         receive {'DOWN', Monitor, process, Owner, Reason} -> ?assertEqual(done, Reason) end
     end || _ <- lists:seq(1, 100)].

close_among_refusals() ->
    Queue = queue(10),
    ok = ?QUEUE:add(Queue, last),
    {ok, Id, last} = ?QUEUE:claim(Queue),
    TooLarge = binary:copy(<<"x">>, 1000000),
    [spawn_link(fun() -> add_in_vain(Queue, TooLarge) end) || _ <- [1, 2, 3]],
    spawn_link(fun() -> await_closing(Queue, TooLarge), ok = remove(Queue, Id) end),
    {Us, ok} = timer:tc(fun() -> ?QUEUE:close(Queue, ?WAIT) end),
    true = Us < ?WAIT * 1000,
    #{closed := 0} = counts(Queue),
    exit(done).

%% Until the owner of the queue ends.
add_in_vain(Queue, TooLarge) ->
    {error, _} = ?QUEUE:add(Queue, TooLarge),
    add_in_vain(Queue, TooLarge).

await_closing(Queue, TooLarge) ->
    case ?QUEUE:add(Queue, TooLarge) of
        {error, closed} -> ok;
        {error, full} -> await_closing(Queue, TooLarge)
    end.

%% The job b waits in front of it.
claim_last(Queue) ->
    {ok, B, b} = ?QUEUE:claim(Queue),
    Last = ?QUEUE:claim(Queue),
    ok = ?QUEUE:again(Queue, B, b),
    Last.

%% Confirms the count, and that a late end is not counted a second time.
what_has_not_ended_in_time_is_closed(_Config) ->
    Queue = queue(10),
    [ok = ?QUEUE:add(Queue, Job) || Job <- [a, b, c]],
    {ok, A, a} = ?QUEUE:claim(Queue),
    ok = ?QUEUE:close(Queue, 0),
    ?assertMatch(#{closed := 3}, counts(Queue)),
    ?assertEqual(gone, remove(Queue, A)),
    ok = ?QUEUE:close(Queue, ?WAIT),
    ?assertMatch(#{closed := 3, accepted := 3}, counts(Queue)).

%% Confirms that only the waiting is over: a job that answers made wait again is closed.
what_waits_for_an_answer_does_not_hold_up_the_end(_Config) ->
    Queue = queue(10),
    [ok = ?QUEUE:add(Queue, Job) || Job <- [a, b, c, d]],
    [A, B, C] = [begin {ok, Id, _} = ?QUEUE:claim(Queue), Id end || _ <- [1, 2, 3]],
    [ok = ?QUEUE:await(Queue, Id, 3600000) || Id <- [A, B, C]],
    ok = ?QUEUE:again(Queue, C, more),
    ok = ?QUEUE:close(Queue, 0),
    ?assertMatch(#{unanswered := 2, closed := 2, accepted := 4}, counts(Queue)),
    ?assertEqual(gone, remove(Queue, A)),
    ?assertEqual(gone, ?QUEUE:again(Queue, B, more)),
    ?assertMatch(#{queue_events := 0, in_flight := 0, queue_bytes := 0}, ?QUEUE:levels(Queue)).

%% Confirms it without a deadline: if it were not over, this case would never end.
who_waits_for_an_answer_while_the_queue_closes_does_so_in_vain(_Config) ->
    Queue = queue(10),
    ok = ?QUEUE:add(Queue, last),
    spawn_link(fun() ->
        {ok, Id, last} = ?QUEUE:claim(Queue),
        await_closing(Queue, binary:copy(<<"x">>, 1000000)),
        ok = ?QUEUE:await(Queue, Id, 3600000)
    end),
    ok = ?QUEUE:close(Queue, infinity),
    ?assertMatch(#{unanswered := 1, closed := 0}, counts(Queue)).

%% Confirms it with a function that takes its time.
who_ends_the_last_job_has_told_before_the_queue_is_closed(_Config) ->
    Queue = queue(10),
    ok = ?QUEUE:add(Queue, last),
    spawn_link(fun() ->
        {ok, Id, last} = ?QUEUE:claim(Queue),
        await_closing(Queue, binary:copy(<<"x">>, 1000000)),
        ok = ?QUEUE:remove(Queue, Id, fun(_Us) ->
            receive after 20 -> ?QUEUE:count(Queue, delivered) end
        end)
    end),
    ok = ?QUEUE:close(Queue, infinity),
    ?assertMatch(#{delivered := 1, closed := 0}, counts(Queue)).

%% Confirms each function.
nothing_crashes_after_the_owner_has_ended(_Config) ->
    Queue = of_ended_owner(normal),
    ?assertEqual({error, closed}, ?QUEUE:add(Queue, late)),
    ?assertEqual(empty, ?QUEUE:claim(Queue)),
    ?assertEqual(ok, ?QUEUE:await(Queue, 1, 1000)),
    ?assertEqual(gone, ?QUEUE:again(Queue, 1, job)),
    ?assertEqual(gone, remove(Queue, 1)),
    ?assertEqual(ok, ?QUEUE:cause(Queue, rejected, <<"late">>)),
    ?assertMatch(#{queue_events := 0, in_flight := 0, oldest_ms := 0}, ?QUEUE:levels(Queue)),
    ?assertMatch(#{counts := #{refused_closed := 1}, recent := #{causes := Causes}}
                     when map_size(Causes) =:= 0, ?QUEUE:report(Queue)).

%% Confirms that what was refused after the kill is not among it.
what_a_killed_owner_leaves_is_counted(_Config) ->
    Queue = of_ended_owner(kill),
    {error, closed} = ?QUEUE:add(Queue, late),
    ok = ?QUEUE:close(Queue, 0),
    ?assertMatch(#{accepted := 2, closed := 2, refused_closed := 1}, counts(Queue)),
    ?assertMatch(#{queue_events := 0, queue_bytes := 0}, ?QUEUE:levels(Queue)).

%% With one job that waits and one that was started.
of_ended_owner(Reason) ->
    Test = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        Queue = queue(10),
        [ok = ?QUEUE:add(Queue, Job) || Job <- [a, b]],
        {ok, _, a} = ?QUEUE:claim(Queue),
        Test ! Queue,
        receive go -> ok end
    end),
    Queue = receive #{} = New -> New after ?WAIT -> ct:fail(no_queue) end,
    _ = case Reason of kill -> exit(Owner, kill); normal -> Owner ! go end,
    receive {'DOWN', Monitor, process, Owner, _} -> Queue after ?WAIT -> ct:fail(alive) end.

counts(Queue) ->
    #{counts := Counts} = ?QUEUE:stats(Queue),
    Counts.

remove(Queue, Id) ->
    ?QUEUE:remove(Queue, Id, fun(Us) when Us >= 0 -> ok end).

queue(MaxEvents) ->
    ?QUEUE:new(#{max_events => MaxEvents, max_bytes => 1000000}).
