-module(event_pusher_nif_SUITE).
-moduledoc "The native library as Erlang sees it: terms in, terms out, and never a crash.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([random_terms_never_crash_the_vm/1,
         a_pool_may_be_stopped_again_and_without_a_runtime/1,
         a_runtime_has_from_one_to_1024_threads/1,
         options_of_another_shape_are_named/1,
         json_is_built_from_every_kind_of_value/1,
         json_may_have_objects_within_each_other_up_to_a_bound/1,
         text_that_is_not_utf8_is_accepted_and_rejected/1,
         a_full_queue_and_a_closed_pool_refuse/1,
         whether_a_pool_takes_a_message_is_asked_before_what_is_in_it/1,
         settings_that_cannot_be_used_are_all_named/1,
         a_pool_ends_with_the_process_that_started_it/1,
         nothing_is_lost_or_counted_twice_under_concurrent_pushers/1,
         the_runtime_stops_and_starts_again/1,
         a_second_load_keeps_running_pools_alive/1,
         the_library_loads_again_after_it_was_purged/1,
         the_library_is_never_unmapped/1,
         a_pool_whose_owner_is_killed_starts_again/1,
         a_killed_owner_loses_nothing_that_was_counted/1,
         what_is_refused_between_two_owners_is_told/1,
         what_is_refused_during_a_stop_is_told/1,
         what_was_not_told_is_in_the_next_report/1,
         a_report_that_crashes_does_not_cost_the_pool/1]).
%% Reports
-export([tell/2, crash/2]).

-include_lib("stdlib/include/assert.hrl").

-define(NAME, {sns, <<"nif.test">>}).
-define(CALLS, 5000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_testcase(_Case, Config) ->
    ok = rig:start_application(),
    {ok, Listen} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    [{listen, Listen} | Config].

end_per_testcase(_Case, Config) ->
    _ = application:stop(event_pusher),
    gen_tcp:close(proplists:get_value(listen, Config)).

%% Any term

%% Confirms that each function answers as specified or raises badarg, and that a pool still works;
%% "make hostile" does it a million times. The seed is in the log of the case.
random_terms_never_crash_the_vm(Config) ->
    Seed = rand:uniform(1 bsl 30),
    ct:pal("HOSTILE_SEED=~b HOSTILE_CALLS=~b make hostile", [Seed, ?CALLS]),
    {Listen, Url} = rig:silent_server(),
    Scene = hostile_terms:start(list_to_binary(Url)),
    Tally = hostile_terms:run(Scene, Seed, lists:seq(1, ?CALLS), fun(_Number) -> ok end),
    ct:pal("~p", [Tally]),
    %% Of settings, what is wrong is named.
    Named = [check_pool, start_pool],
    [?assertMatch({Key, #{Key := _}}, {Key, Tally})
     || Function <- Named ++ [push, stop_pool, stats, report, told, try_tls],
        Key <- [{Function, answer} | [{Function, badarg} || not lists:member(Function, Named)]]],
    ok = hostile_terms:stop(Scene),
    ok = gen_tcp:close(Listen),
    Pool = pool(Config),
    ?assertEqual(<<"after it">>, received_message(Pool, message(<<"after it">>), Config)).

%% Confirms that a stop of any length, by any process and after any other stop, ends it.
a_pool_may_be_stopped_again_and_without_a_runtime(Config) ->
    [Pool, Left] = [pool(Config), pool(Config)],
    [ok = event_pusher_nif:push(Left, message(<<"body">>)) || _ <- lists:seq(1, 3)],
    [?assertMatch(#{waiting := 0}, last_report(Pool, Ms))
     || Ms <- [0, (1 bsl 64) - 1]],
    ok = application:stop(event_pusher),
    ?assertMatch(#{accepted := 3, closed := 3, waiting := 0, queue_events := 0},
                 last_report(Left, (1 bsl 64) - 1)),
    ?assertEqual({error, closed}, event_pusher_nif:push(Left, message(<<"body">>))).

%% Confirms that the bounds of the setting are also those of the function.
a_runtime_has_from_one_to_1024_threads(_Config) ->
    ok = application:stop(event_pusher),
    [?assertError(badarg, event_pusher_nif:start_runtime(Threads))
     || Threads <- [0, 1025, 1 bsl 33, 1 bsl 63, 1 bsl 64, -1]],
    ?assertEqual(ok, event_pusher_nif:start_runtime(1024)),
    ?assertEqual(ok, event_pusher_nif:stop_runtime()).

%% Confirms that no option can be left out unless it has a meaning then, and that none is unknown.
options_of_another_shape_are_named(Config) ->
    Settings = settings(Config),
    Refused = fun(Wrong) ->
        {error, [Complaint]} = event_pusher_nif:start_pool(Wrong),
        ?assertEqual({error, [Complaint]}, event_pusher_nif:check_pool(Wrong)),
        ?assertEqual(nomatch, binary:match(Complaint, <<"planted">>)),
        Complaint
    end,
    [?assertEqual(missing(Key), Refused(maps:remove(Key, Settings))) || Key <- maps:keys(Settings)],
    [?assertEqual(of_another_type(Key), Refused(Settings#{Key := [planted]}))
     || Key <- maps:keys(Settings)],
    [?assertEqual(of_another_type(drain_timeout_ms), Refused(Settings#{drain_timeout_ms := Wrong}))
     || Wrong <- [infinity, -1, 1.5, <<"planted">>, 1 bsl 64]],
    ?assertEqual(unknown(unheard_of), Refused(Settings#{unheard_of => planted})),
    [?assertEqual(of_another_type(options), Refused(Wrong)) || Wrong <- [planted, [], <<"planted">>]],
    [begin
         With = fun(Changed) -> Settings#{backend := {Kind, Changed}} end,
         Within = fun(Key) -> "backend." ++ atom_to_list(Key) end,
         [?assertEqual(missing(Within(Key)), Refused(With(maps:remove(Key, Backend))))
          || Key <- maps:keys(Backend)],
         ?assertEqual(unknown("backend.unheard_of"), Refused(With(Backend#{unheard_of => 1}))),
         ?assertEqual(of_another_type(backend), Refused(Settings#{backend := {no_backend, Backend}}))
     end || {Kind, Backend} <- [maps:get(backend, Settings), http_backend(), {rabbit, pool_rig:rabbit(1)}]],
    {http, Http} = http_backend(),
    ?assertEqual(of_another_type("backend.tls.versions"),
                 Refused(Settings#{backend := {http, Http#{tls := (pool_rig:tls())#{versions := [1]}}}})),
    Tls = fun(Changed) ->
        {error, {options, [Complaint]}} = event_pusher_nif:try_tls(<<"localhost">>, 1, Changed, 1),
        Complaint
    end,
    [?assertEqual(Complaint, Tls(Wrong))
     || {Complaint, Wrong} <- [{of_another_type(options), none},
                               {unknown(cacert), (pool_rig:tls())#{cacert => <<"a">>}},
                               {of_another_type(server_name), (pool_rig:tls())#{server_name := <<"default">>}},
                               {of_another_type(password), (pool_rig:tls())#{password => planted}},
                               {of_another_type(verify_mode), (pool_rig:tls())#{verify_mode := <<"peer">>}}]].

missing(Option) ->
    complaint(Option, "given, got nothing").

unknown(Option) ->
    complaint(Option, "left out, got an option that there is not").

of_another_type(Option) ->
    complaint(Option, "of its type, got something else").

complaint(Option, Text) ->
    unicode:characters_to_binary(io_lib:format("~s: must be ~s", [Option, Text])).

http_backend() ->
    {http, (pool_rig:http(<<"https://127.0.0.1:1">>))#{tls := pool_rig:tls(), http2 := true}}.

%% Messages

%% Confirms the text that is sent, read by a server of our own.
json_is_built_from_every_kind_of_value(Config) ->
    Pool = pool(Config),
    Pairs = [{<<"text">>, <<"ä \"\\\n\x{1F600}"/utf8>>},
             {<<"b">>, {number, <<"-36893488147419103232">>}}, {<<"t">>, true},
             {<<"f">>, false}, {<<"n">>, null}, {<<"i">>, -42}, {<<"u">>, 18446744073709551615},
             {<<"d">>, 1.5}, {<<"m">>, {time, 1775000000123456}}, {<<"s">>, {time, -1000000}},
             {<<"o">>, {json, [{<<"e">>, {json, []}}]}}],
    Sent = received_message(Pool, message({json, Pairs}), Config),
    ?assertEqual(<<"{\"text\":\"ä \\\"\\\\\\n\x{1F600}\",\"b\":-36893488147419103232,\"t\":true,"
                   "\"f\":false,\"n\":null,\"i\":-42,\"u\":18446744073709551615,\"d\":1.5,"
                   "\"m\":\"2026-03-31T23:33:20.123456Z\",\"s\":\"1969-12-31T23:59:59Z\",\"o\":{\"e\":{}}}"/utf8>>,
                 Sent).

%% Confirms the bound, and that what is no time is a bad argument.
json_may_have_objects_within_each_other_up_to_a_bound(Config) ->
    Pool = pool(Config),
    Nested = fun(Depth) ->
        message(lists:foldl(fun(_, Value) -> {json, [{<<"a">>, Value}]} end, 1, lists:seq(1, Depth)))
    end,
    ?assertEqual(<<"{\"a\":{\"a\":{\"a\":{\"a\":1}}}}">>, received_message(Pool, Nested(4), Config)),
    Other = pool(Config),
    [?assertError(badarg, event_pusher_nif:push(Other, Message))
     || Message <- [Nested(5), Nested(100000), message({json, [{<<"a">>, {time, 1 bsl 62}}]}),
                    message({json, [{<<"a">>, {time, <<"now">>}}]}),
                    (message(<<>>))#{attributes => [{<<"a">>, {time, 1 bsl 62}}]}]].

%% Confirms it for every text of a message.
text_that_is_not_utf8_is_accepted_and_rejected(Config) ->
    Pool = pool(Config),
    Broken = <<"a", 255>>,
    Message = message(<<"body">>),
    Messages = [message({json, [{<<"a">>, Broken}]}), message({json, [{Broken, <<"a">>}]}),
                Message#{destination := Broken}, Message#{group => Broken},
                Message#{attributes => [{Broken, {string, <<"a">>}}]},
                Message#{attributes => [{<<"a">>, {string, Broken}}]}],
    [?assertEqual(ok, event_pusher_nif:push(Pool, Each)) || Each <- Messages],
    ?assertMatch(#{accepted := 6, rejected := 6, waiting := 0}, stats(Pool)).

%% Confirms both refusals, and that they are counted.
a_full_queue_and_a_closed_pool_refuse(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool((settings(Config))#{max_events := 2}),
    Answers = [event_pusher_nif:push(Pool, message(<<"body">>)) || _ <- lists:seq(1, 20)],
    Accepted = length([ok || ok <- Answers]),
    ?assert(Accepted >= 2 andalso Accepted =< 3),
    ?assertEqual([{error, full}], lists:usort(Answers) -- [ok]),
    ?assertMatch(#{accepted := Accepted, closed := Accepted, waiting := 0},
                 last_report(Pool, 0)),
    ?assertEqual({error, closed}, event_pusher_nif:push(Pool, message(<<"body">>))),
    ?assertMatch(#{refused_closed := 1}, stats(Pool)).

%% Confirms it by texts that are not UTF-8: one that is too large is not even read.
whether_a_pool_takes_a_message_is_asked_before_what_is_in_it(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool((settings(Config))#{max_bytes := 1000}),
    Large = binary:copy(<<255>>, 1001),
    [?assertEqual({error, full}, event_pusher_nif:push(Pool, maps:merge(message(<<>>), Field)))
     || Field <- [#{body => Large}, #{destination => Large}, #{group => Large},
                  #{attributes => [{<<"a">>, {string, Large}}]},
                  #{attributes => [{Large, {string, <<"a">>}} | improper]},
                  #{body => {json, [{<<"a">>, 1}, {<<"b">>, Large}]}},
                  #{body => {json, [{<<"n">>, {number, Large}}]}}]],
    Broken = message({json, [{<<"a">>, <<255>>}]}),
    ?assertEqual(ok, event_pusher_nif:push(Pool, Broken)),
    ok = event_pusher_nif:close_pool(Pool),
    ?assertEqual({error, closed}, event_pusher_nif:push(Pool, Broken)),
    ?assertMatch(#{accepted := 1, rejected := 1, refused_full := 7, refused_closed := 1},
                 stats(Pool)).

%% Confirms that settings of the pool and of the backend are complained about together.
settings_that_cannot_be_used_are_all_named(Config) ->
    #{backend := {sns, Backend}} = Settings = settings(Config),
    Bad = Settings#{pool_size := 0,
                    backend := {sns, Backend#{sns_host := <<"a b">>, region := <<>>}}},
    {error, Complaints} = event_pusher_nif:start_pool(Bad),
    ?assertMatch([<<"pool_size: ", _/binary>>, <<"sns_host: ", _/binary>>,
                  <<"region: ", _/binary>>], Complaints).

%% Owners

%% Confirms that the pool of a dead process refuses and keeps nothing.
a_pool_ends_with_the_process_that_started_it(Config) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        {ok, Pool} = event_pusher_nif:start_pool(settings(Config)),
        [ok = event_pusher_nif:push(Pool, message(<<"body">>)) || _ <- lists:seq(1, 10)],
        Self ! {pool, Pool},
        receive stop -> ok end
    end),
    Pool = receive {pool, Started} -> Started end,
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, killed} -> ok end,
    %% A second stop waits for the one that the death of the owner began.
    ?assertMatch(#{accepted := 10, closed := 10, waiting := 0, queue_events := 0},
                 last_report(Pool, 0)),
    ?assertEqual({error, closed}, event_pusher_nif:push(Pool, message(<<"body">>))).

%% Confirms accepted = delivered + dropped + waiting while and after many processes push.
nothing_is_lost_or_counted_twice_under_concurrent_pushers(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool((settings(Config))#{max_events := 500,
                                                                 retry_count := 0}),
    Push = fun() ->
        exit({accepted, length([ok || _ <- lists:seq(1, 1000), balanced(Pool),
                                      event_pusher_nif:push(Pool, message(<<"body">>)) =:= ok])})
    end,
    Pushers = [spawn_monitor(Push) || _ <- lists:seq(1, 10)],
    gen_tcp:close(proplists:get_value(listen, Config)),
    Accepted = lists:sum([receive {'DOWN', Monitor, process, Pid, {accepted, N}} -> N end
                          || {Pid, Monitor} <- Pushers]),
    Last = last_report(Pool, 1000),
    ?assertMatch(#{accepted := Accepted, waiting := 0, queue_events := 0, queue_bytes := 0}, Last),
    ?assertEqual(10000 - Accepted, maps:get(refused_full, Last)),
    ?assert(balanced(Pool)).

balanced(Pool) ->
    #{accepted := Accepted, delivered := Delivered, rejected := Rejected, exhausted := Exhausted,
      closed := Closed, waiting := Waiting} = stats(Pool),
    Accepted =:= Delivered + Rejected + Exhausted + Closed + Waiting.

%% The life of the runtime and of the library

%% Confirms both, and that there is only one runtime.
the_runtime_stops_and_starts_again(Config) ->
    ?assertEqual({error, already_running}, event_pusher_nif:start_runtime(1)),
    ok = application:stop(event_pusher),
    ?assertEqual({error, not_running}, event_pusher_nif:start_pool(settings(Config))),
    ok = event_pusher_nif:stop_runtime(),
    ok = application:start(event_pusher),
    ?assertMatch({ok, _}, event_pusher_nif:start_pool(settings(Config))).

%% Confirms it of the library that the suites load: its threads and their data outlive a purge.
the_library_is_never_unmapped(_Config) ->
    Library = filename:join(code:priv_dir(event_pusher), "libevent_pusher_nif.so"),
    Dynamic = os:cmd("readelf -dW '" ++ Library ++ "'"),
    ?assertMatch({match, _}, re:run(Dynamic, "FLAGS_1.*NODELETE")).

%% Confirms it whatever the load itself answers.
a_second_load_keeps_running_pools_alive(Config) ->
    Pool = pool(Config),
    _ = code:load_file(event_pusher_nif),
    ?assertEqual(<<"after the load">>,
                 received_message(Pool, message(<<"after the load">>), Config)).

%% Confirms that nothing of the first load is in the way.
the_library_loads_again_after_it_was_purged(Config) ->
    ok = application:stop(event_pusher),
    true = code:delete(event_pusher_nif),
    _ = code:purge(event_pusher_nif),
    {module, event_pusher_nif} = code:load_file(event_pusher_nif),
    ok = application:start(event_pusher),
    Pool = pool(Config),
    ?assertEqual(<<"again">>, received_message(Pool, message(<<"again">>), Config)).

%% The owner of the pools

%% Confirms that the name leads to a working pool again.
a_pool_whose_owner_is_killed_starts_again(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]}),
    ?assertEqual({error, already_started},
                 event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]})),
    ok = event_pusher:push(?NAME, message(<<"body">>)),
    [Owner] = event_pusher_sup:owners([?NAME]),
    exit(Owner, kill),
    ?assertMatch(#{accepted := 1, closed := 1}, await_counts(#{closed => 1})),
    ?assertMatch(#{counts := #{accepted := 0}}, await_report()),
    ?assertEqual(ok, event_pusher:push(?NAME, message(<<"body">>))),
    ?assertEqual(ok, event_pusher:stop_pools([?NAME])),
    ?assertEqual({error, closed}, event_pusher:push(?NAME, message(<<"body">>))),
    ?assertEqual(ok, event_pusher:stop_pools([?NAME])).

%% Confirms it for what was counted before it was told, and after.
a_killed_owner_loses_nothing_that_was_counted(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]}),
    Broken = (message(<<"body">>))#{destination := <<255>>},
    ok = event_pusher:push(?NAME, Broken),
    #{rejected := 1} = await_counts(#{rejected => 1}),
    [Owner] = event_pusher_sup:owners([?NAME]),
    true = erlang:suspend_process(Owner),
    [ok = event_pusher:push(?NAME, Broken) || _ <- [1, 2]],
    exit(Owner, kill),
    ?assertMatch({#{rejected := 2}, #{closed := <<"owner of the pool was killed">>}},
                 await_killed()),
    ok = event_pusher:stop_pools([?NAME]).

%% Confirms it for a process that has found the pool of the killed owner, and comes before or after the
%% new one is there.
what_is_refused_between_two_owners_is_told(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]}),
    {ok, Former} = event_pusher_pool:handle(?NAME),
    Late = fun() -> {error, closed} = event_pusher_nif:push(Former, message(<<"body">>)) end,
    [Owner] = event_pusher_sup:owners([?NAME]),
    [{?NAME, Supervisor, _, _}] = supervisor:which_children(event_pusher_sup),
    true = erlang:suspend_process(Supervisor),
    exit(Owner, kill),
    #{closed := 0} = last_report(Former, 0),
    Late(),
    true = erlang:resume_process(Supervisor),
    await_counts(#{refused_closed => 1}),
    await_other(Former),
    Late(),
    ?assertMatch({#{refused_closed := 1}, #{closed := <<"owner of the pool was killed">>}},
                 await_killed()),
    ok = event_pusher:stop_pools([?NAME]).

await_other(Former) ->
    case event_pusher_pool:handle(?NAME) of
        {ok, Former} -> erlang:yield(), await_other(Former);
        {ok, _Other} -> ok
    end.

%% Confirms it for whatever process comes at whatever moment, until the pool cannot be found any more.
what_is_refused_during_a_stop_is_told(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]}),
    Pushing = [spawn_monitor(fun() -> exit(push_until_gone(0)) end) || _ <- [1, 2, 3]],
    ok = event_pusher:stop_pools([?NAME]),
    Refused = lists:sum([receive {'DOWN', Monitor, process, _, Count} -> Count end
                         || {_, Monitor} <- Pushing]),
    ?assert(told_refused() >= Refused).

told_refused() ->
    receive
        {report, #{counts := #{refused_closed := Refused}}} -> Refused + told_refused()
    after 0 -> 0
    end.

%% How often the pool has refused and could still be found then.
push_until_gone(Refused) ->
    Result = event_pusher:push(?NAME, message(<<"body">>)),
    case {event_pusher_pool:handle(?NAME), Result} of
        {{ok, _}, ok} -> push_until_gone(Refused);
        {{ok, _}, {error, full}} -> push_until_gone(Refused);
        {{ok, _}, {error, closed}} -> push_until_gone(Refused + 1);
        {{error, closed}, _} -> Refused
    end.

%% Confirms that a report which reached nobody is repeated, with what came since.
what_was_not_told_is_in_the_next_report(Config) ->
    Pool = pool(Config),
    Reject = fun() -> event_pusher_nif:push(Pool, (message(<<"body">>))#{destination := <<255>>}) end,
    Rejected = fun() ->
        #{counts := #{rejected := Count}, recent := #{causes := Causes}} =
            event_pusher_nif:report(Pool),
        {Count, maps:is_key(rejected, Causes)}
    end,
    ok = Reject(),
    ?assertEqual({1, true}, Rejected()),
    ok = Reject(),
    ?assertEqual({2, true}, Rejected()),
    ok = event_pusher_nif:told(Pool),
    ?assertEqual({0, false}, Rejected()),
    ?assertMatch(#{rejected := 2}, stats(Pool)).

%% Confirms that it is tried again.
a_report_that_crashes_does_not_cost_the_pool(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, crash, [self()]}),
    [receive crashed -> ok end || _ <- [1, 2]],
    ?assertEqual(ok, event_pusher:push(?NAME, message(<<"body">>))),
    ok = event_pusher:stop_pools([?NAME]).

tell(Report, Pid) ->
    Pid ! {report, Report}.

crash(_Report, Pid) ->
    Pid ! crashed,
    error(as_the_test_wants).

%% Counts of the reports until they have come to what is wanted.
await_counts(Wanted) ->
    await_counts(Wanted, #{}).

await_counts(Wanted, Before) ->
    #{counts := New} = await_report(),
    Counts = maps:map(fun(Key, Count) -> maps:get(Key, Before, 0) + Count end, New),
    case maps:with(maps:keys(Wanted), Counts) of
        Wanted -> Counts;
        _ -> await_counts(Wanted, Counts)
    end.

%% The first report after a kill.
await_killed() ->
    case await_report() of
        #{counts := Counts, recent := #{causes := #{closed := _} = Causes}} -> {Counts, Causes};
        _ -> await_killed()
    end.

await_report() ->
    receive {report, Report} -> Report end.

%% Helpers

last_report(Pool, DrainMs) ->
    ok = event_pusher_nif:stop_pool(Pool, DrainMs),
    rig:together(event_pusher_nif:report(Pool)).

stats(Pool) ->
    rig:together(event_pusher_nif:stats(Pool)).

pool(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool(settings(Config)),
    Pool.

settings(Config) ->
    pool_rig:settings({sns, sns_backend(Config)}).

sns_backend(Config) ->
    {ok, Port} = inet:port(proplists:get_value(listen, Config)),
    pool_rig:sns(iolist_to_binary(["http://127.0.0.1:", integer_to_list(Port)])).

message(Body) ->
    #{destination => <<"arn:aws:sns:eu-west-1:123456789012:topic">>, body => Body}.

%% The parameter Message of the request that delivers the message; it is left without an answer.
received_message(Pool, Pushed, Config) ->
    ok = event_pusher_nif:push(Pool, Pushed),
    {ok, Socket} = gen_tcp:accept(proplists:get_value(listen, Config), 10000),
    Message = read_message(Socket, <<>>),
    gen_tcp:close(Socket),
    %% A pool lives no longer than the last reference to it: this is one.
    #{accepted := 1} = last_report(Pool, 0),
    Message.

read_message(Socket, Read) ->
    case binary:split(Read, <<"\r\n\r\n">>) of
        [Head, Form] ->
            {match, [Length]} = re:run(Head, "content-length: (\\d+)",
                                       [caseless, {capture, all_but_first, binary}]),
            read_message(Socket, Read, binary_to_integer(Length), Form);
        [_] ->
            read_more(Socket, Read)
    end.

read_message(_Socket, _Read, Length, Form) when byte_size(Form) =:= Length ->
    proplists:get_value(<<"Message">>, uri_string:dissect_query(Form));
read_message(Socket, Read, _Length, _Form) ->
    read_more(Socket, Read).

read_more(Socket, Read) ->
    {ok, More} = gen_tcp:recv(Socket, 0, 10000),
    read_message(Socket, <<Read/binary, More/binary>>).
