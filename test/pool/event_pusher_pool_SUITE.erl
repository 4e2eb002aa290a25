-module(event_pusher_pool_SUITE).
-moduledoc "Owners of pools that are killed, cannot start their pool again, or have reports that hang.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([a_pool_that_cannot_start_again_is_tried_again_and_costs_no_other/1,
         what_is_refused_meanwhile_is_reported/1,
         any_number_of_owners_may_be_killed/1,
         an_owner_that_is_killed_again_and_again_costs_no_other_pool/1,
         an_owner_that_crashes_is_followed_by_another/1,
         levels_are_those_after_the_kill/1,
         a_report_that_hangs_holds_up_nobody/1,
         a_stop_does_not_wait_for_an_owner_without_end/1,
         a_caller_of_a_stop_may_be_killed/1,
         a_report_is_told_and_what_goes_wrong_is_logged/1,
         a_panic_inside_the_library_is_logged/1,
         what_is_told_when_its_owner_is_killed_is_told_once/1,
         a_teller_that_is_killed_costs_no_more_than_its_report/1,
         nothing_starts_without_the_application/1,
         bad_settings_start_nothing_and_show_nothing/1]).
%% Reports
-export([tell/3, hang/2, hold/3]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(NAME, {http, <<"pool.test">>, 1}).
-define(OTHER, {http, <<"pool.test">>, 2}).
-define(WAIT, 30000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), length(string:split(atom_to_list(Case), "_", all)) > 3].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_testcase(_Case, Config) ->
    ok = rig:start_application(),
    ok = log_capture:start(),
    {Listen, Url} = rig:silent_server(),
    [{listen, Listen}, {url, list_to_binary(Url)} | Config].

end_per_testcase(_Case, Config) ->
    ok = log_capture:stop(),
    _ = application:stop(event_pusher),
    gen_tcp:close(?config(listen, Config)).

%% A killed owner

%% Confirms it with a file of authorities that is gone for a while: one line says so, one that it is over.
a_pool_that_cannot_start_again_is_tried_again_and_costs_no_other(Config) ->
    {File, Settings} = with_authorities(Config),
    ok = start(?NAME, Settings),
    ok = start(?OTHER, settings(Config)),
    {ok, Authorities} = file:read_file(File),
    ok = file:delete(File),
    ok = kill(?NAME),
    #{pool := ?NAME, reason := [Complaint]} = log_capture:await(event_pusher_pool_not_started),
    ?assertMatch(<<"tls.cacertfile: ", _/binary>>, Complaint),
    ?assertEqual({error, closed}, event_pusher:push(?NAME, message())),
    ?assertEqual(ok, event_pusher:push(?OTHER, message())),
    ?assertEqual({error, already_started}, event_pusher:start_pool(?NAME, Settings, report(?NAME))),
    ok = file:write_file(File, Authorities),
    ?assertMatch(#{pool := ?NAME}, log_capture:await(event_pusher_pool_started)),
    ?assertEqual(none, log_capture:already(event_pusher_pool_not_started)),
    ?assertEqual(ok, event_pusher:push(?NAME, message())),
    ok = event_pusher:stop_pools([?NAME, ?OTHER]).

%% Confirms it of all that is refused from the kill to the stop.
what_is_refused_meanwhile_is_reported(Config) ->
    {File, Settings} = with_authorities(Config),
    ok = start(?NAME, Settings),
    ok = file:delete(File),
    ok = kill(?NAME),
    Refuse = fun(Count) ->
        [?assertEqual({error, closed}, event_pusher:push(?NAME, message()))
         || _ <- lists:seq(1, Count)]
    end,
    _ = Refuse(10),
    _ = log_capture:await(event_pusher_pool_not_started),
    _ = Refuse(5),
    ok = await_counts(?NAME, #{refused_closed => 15}),
    %% The next owner has the same trouble, and the pool that refuses is still there.
    ok = kill(?NAME),
    _ = Refuse(1),
    ok = await_counts(?NAME, #{refused_closed => 1}),
    ok = event_pusher:stop_pools([?NAME]).

%% Confirms it of more than a supervisor would stand of its children.
any_number_of_owners_may_be_killed(Config) ->
    Names = [{http, <<"pool.test">>, Number} || Number <- lists:seq(1, 21)],
    [ok = start(Name, settings(Config)) || Name <- Names],
    [ok = event_pusher:push(Name, message()) || Name <- Names],
    [ok = kill(Name) || Name <- Names],
    [ok = await_counts(Name, #{accepted => 1, closed => 1}) || Name <- Names],
    [ok = await_owner(Name) || Name <- Names],
    ?assertEqual([ok], lists:usort([event_pusher:push(Name, message()) || Name <- Names])),
    ok = event_pusher:stop_pools(Names).

%% Confirms that it is given up in the end, and starts again when somebody starts it.
an_owner_that_is_killed_again_and_again_costs_no_other_pool(Config) ->
    ok = start(?NAME, settings(Config)),
    ok = start(?OTHER, settings(Config)),
    ok = kill_until_given_up(?NAME),
    ?assertEqual({error, closed}, event_pusher:push(?NAME, message())),
    ?assertEqual(ok, event_pusher:push(?OTHER, message())),
    ok = start(?NAME, settings(Config)),
    ok = await_owner(?NAME),
    ?assertEqual(ok, event_pusher:push(?NAME, message())),
    ok = event_pusher:stop_pools([?NAME, ?OTHER]).

%% Confirms that what the crash left is told.
an_owner_that_crashes_is_followed_by_another(Config) ->
    ok = start(?NAME, settings(Config)),
    ok = event_pusher:push(?NAME, message()),
    [Owner] = event_pusher_sup:owners([?NAME]),
    ok = gen_server:stop(Owner, as_the_test_wants, infinity),
    ok = await_counts(?NAME, #{accepted => 1, closed => 1}),
    ok = await_owner(?NAME),
    ?assertEqual(ok, event_pusher:push(?NAME, message())),
    ok = event_pusher:stop_pools([?NAME]).

%% Confirms it while the report of the kill is told: that is when gauges are set.
levels_are_those_after_the_kill(Config) ->
    ok = start(?NAME, settings(Config)),
    [ok = event_pusher:push(?NAME, message()) || _ <- lists:seq(1, 10)],
    ok = await_levels(?NAME, fun(Events) -> Events > 0 end),
    ok = kill(?NAME),
    ?assertMatch([#{queue_events := 0, waiting := 0}], levels_when_closed(?NAME)),
    ok = event_pusher:stop_pools([?NAME]).

%% Reports and stops that hang

%% Confirms it of its own pool and of others, while it hangs at each report, also after a kill.
a_report_that_hangs_holds_up_nobody(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, hang, [self()]}),
    ok = event_pusher:push(?NAME, message()),
    _ = hanging(),
    ok = kill(?NAME),
    _ = hanging(),
    ok = start(?OTHER, settings(Config)),
    ok = event_pusher:stop_pools([?OTHER]),
    ?assertMatch(#{pool := ?NAME, class := exit, reason := timeout,
                   stacktrace := [{?MODULE, hang, 2, _} | _]},
                 log_capture:await(event_pusher_report_failed)),
    ok = event_pusher:stop_pools([?NAME]),
    ?assertEqual([], event_pusher_sup:owners([?NAME])).

%% Confirms it of one that does nothing any more.
a_stop_does_not_wait_for_an_owner_without_end(Config) ->
    ok = start(?NAME, settings(Config)),
    [Owner] = event_pusher_sup:owners([?NAME]),
    true = erlang:suspend_process(Owner),
    ok = event_pusher:stop_pools([?NAME]),
    ?assertNot(is_process_alive(Owner)),
    ok = start(?NAME, settings(Config)),
    ok = await_owner(?NAME),
    ?assertEqual(ok, event_pusher:push(?NAME, message())).

%% Confirms it at the moment when the supervisor has been asked.
a_caller_of_a_stop_may_be_killed(Config) ->
    ok = start(?NAME, settings(Config)),
    Supervisor = whereis(event_pusher_sup),
    true = erlang:suspend_process(Supervisor),
    {Caller, Monitor} = spawn_monitor(fun() -> event_pusher:stop_pools([?NAME]) end),
    ok = await_messages(Supervisor),
    exit(Caller, kill),
    receive {'DOWN', Monitor, process, Caller, killed} -> ok end,
    true = erlang:resume_process(Supervisor),
    ?assertEqual(ok, event_pusher:start_pool(?NAME, settings(Config), report(?NAME))),
    ok = event_pusher:stop_pools([?NAME]).

%% Confirms it for each way in which a function can end.
a_report_is_told_and_what_goes_wrong_is_logged(_Config) ->
    Test = self(),
    Teller = event_pusher_teller:start(?NAME),
    Tell = fun(Report) ->
        ok = event_pusher_teller:tell(Teller, Report, fun() -> Test ! confirmed, ok end),
        receive confirmed -> ok after 0 -> ct:fail(not_confirmed) end
    end,
    ok = Tell(fun() -> Test ! told end),
    receive told -> ok after 0 -> ct:fail(not_told) end,
    ?assertEqual(none, log_capture:already(event_pusher_report_failed)),
    [begin
         ok = Tell(Report),
         ?assertMatch(#{pool := ?NAME, class := Class, reason := what_was_raised},
                      log_capture:await(event_pusher_report_failed))
     end || {Class, Report} <- [{error, fun() -> error(what_was_raised) end},
                                {throw, fun() -> throw(what_was_raised) end},
                                {exit, fun() -> exit(what_was_raised) end},
                                {exit, fun() -> exit(self(), what_was_raised),
                                                receive never -> ok end end}]],
    ok = event_pusher_teller:stop(Teller),
    ?assertEqual([], log_capture:all(), "one line each").

%% Confirms it of a report that has counted some, and that others have no such line.
a_panic_inside_the_library_is_logged(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool(settings(Config)),
    #{counts := #{panics := 0} = Counts} = Report = event_pusher_nif:report(Pool),
    ok = event_pusher_nif:stop_pool(Pool, 0),
    Fields = #{host_type => <<"pool.test">>, pool_type => http, pool_tag => hooks,
               receiver => <<"http://localhost/x">>},
    ok = event_pusher_log:tell(event_pusher_backend:fates(Counts), Report, Fields),
    ?assertEqual(none, log_capture:already(event_pusher_panics)),
    ok = event_pusher_log:tell(event_pusher_backend:fates(Counts),
                               Report#{counts := Counts#{panics := 2}}, Fields),
    ?assertMatch(#{count := 2, host_type := <<"pool.test">>, receiver := _},
                 log_capture:await(event_pusher_panics)).

%% Confirms it for a kill of the owner, and for one of the supervisor, after which the application kills
%% what is left of it.
what_is_told_when_its_owner_is_killed_is_told_once(Config) ->
    [begin
         Gate = atomics:new(1, []),
         ReportTo = {?MODULE, hold, [Gate, self()]},
         ok = event_pusher:start_pool(?NAME, settings(Config), ReportTo),
         [ok = event_pusher:push(?NAME, message()) || _ <- [1, 2, 3]],
         {Teller, Told} = held_with_something(),
         [Owner] = event_pusher_sup:owners([?NAME]),
         Monitor = monitor(process, Owner),
         Ended = Kill(Owner),
         receive {'DOWN', Monitor, process, Owner, killed} -> ok end,
         ok = atomics:put(Gate, 1, 1),
         Teller ! go,
         ok = Ended(ReportTo, Config),
         ?assertMatch({3, 3}, told_until_closed(3, {Told, 0})),
         ok = event_pusher:stop_pools([?NAME]),
         ?assertEqual([], [Counts || #{accepted := More} = Counts <- told(), More > 0]),
         ?assertEqual(none, log_capture:already(event_pusher_report_failed))
     end || Kill <- [fun kill_owner/1, fun kill_supervisor/1]].

%% Returns what has to be done until there is another owner.
kill_owner(Owner) ->
    exit(Owner, kill),
    fun(_ReportTo, _Config) -> ok end.

kill_supervisor(_Owner) ->
    Master = application_controller:get_master(event_pusher),
    Monitor = monitor(process, Master),
    exit(whereis(event_pusher_sup), kill),
    fun(ReportTo, Config) ->
        receive {'DOWN', Monitor, process, Master, _} -> ok end,
        {ok, _} = application:ensure_all_started(event_pusher),
        event_pusher:start_pool(?NAME, settings(Config), ReportTo)
    end.

%% Confirms it, and that the next one tells as well.
a_teller_that_is_killed_costs_no_more_than_its_report(Config) ->
    ok = start(?NAME, settings(Config)),
    Teller = teller(?NAME),
    exit(Teller, kill),
    ok = event_pusher:push(?NAME, message()),
    ok = await_counts(?NAME, #{accepted => 1}),
    Next = teller(?NAME),
    ?assertNotEqual(Teller, Next),
    ok = event_pusher:stop_pools([?NAME]),
    ?assertNot(is_process_alive(Next)).

%% Starts that are refused

%% Confirms it for all that can be asked.
nothing_starts_without_the_application(Config) ->
    ok = application:stop(event_pusher),
    ?assertEqual({error, not_running},
                 event_pusher:start_pool(?NAME, settings(Config), report(?NAME))),
    ?assertEqual({error, closed}, event_pusher:push(?NAME, message())),
    ?assertEqual({error, closed}, event_pusher:stats(?NAME)),
    ?assertEqual([], event_pusher:latest([?NAME])),
    ?assertEqual(ok, event_pusher:stop_pools([?NAME])).

%% Confirms it for times to drain of all kinds, and for what is no settings.
bad_settings_start_nothing_and_show_nothing(Config) ->
    Settings = settings(Config),
    [begin
         Started = event_pusher:start_pool(?NAME, Wrong, report(?NAME)),
         ?assertMatch({Wrong, {error, _}}, {Wrong, Started}),
         ?assertEqual(nomatch, string:find(io_lib:format("~p", [Started]), "planted"))
     end || Wrong <- [maps:remove(drain_timeout_ms, Settings), planted
                      | [Settings#{drain_timeout_ms := Time}
                         || Time <- [infinity, -1, -5000, 1.5, <<"planted">>, 86400001,
                                     16#ffffffff, 1 bsl 64]]]],
    ?assertEqual([], log_capture:all()),
    ok = event_pusher:start_pool(?NAME, Settings#{drain_timeout_ms := 86400000}, report(?NAME)),
    ok = event_pusher:stop_pools([?NAME]).

%% Reports

report(Name) ->
    {?MODULE, tell, [Name, self()]}.

tell(Report, Name, Test) ->
    Levels = [Of || #{levels := Of} <- event_pusher:latest([Name])],
    Test ! {report, Name, Report, Levels}.

hang(_Report, Test) ->
    Test ! {hanging, self()},
    receive never -> ok end.

hanging() ->
    receive {hanging, Teller} -> Teller after ?WAIT -> ct:fail(not_told) end.

%% While the gate is closed, a report ends when the test says so, after it was told.
hold(#{counts := Counts}, Gate, Test) ->
    Test ! {told, self(), Counts},
    case atomics:get(Gate, 1) of
        0 -> receive go -> ok end;
        1 -> ok
    end.

held_with_something() ->
    receive
        {told, Teller, #{accepted := 0}} -> Teller ! go, held_with_something();
        {told, Teller, #{accepted := Accepted}} -> {Teller, Accepted}
    after ?WAIT -> ct:fail(not_told)
    end.

%% How many were accepted and closed, by all reports.
told_until_closed(Wanted, {Accepted, Closed}) when Closed < Wanted ->
    receive
        {told, _Teller, #{accepted := New, closed := Dropped}} ->
            told_until_closed(Wanted, {Accepted + New, Closed + Dropped})
    after ?WAIT -> ct:fail({not_told, Accepted, Closed})
    end;
told_until_closed(_Wanted, Sums) ->
    Sums.

told() ->
    receive {told, _Teller, Counts} -> [Counts | told()] after 0 -> [] end.

%% Takes reports of the pool until their counts have come to what is wanted.
await_counts(Name, Wanted) ->
    receive
        {report, Name, #{counts := Counts}, _Levels} ->
            Left = maps:map(fun(Key, Count) -> Count - maps:get(Key, Counts) end, Wanted),
            case lists:usort(maps:values(Left)) of
                [0] -> ok;
                [Least | _] when Least >= 0 -> await_counts(Name, Left)
            end
    after ?WAIT -> ct:fail({not_reported, Name, Wanted})
    end.

await_levels(Name, Wanted) ->
    receive
        {report, Name, _Report, [#{queue_events := Events}]} ->
            case Wanted(Events) of
                true -> ok;
                false -> await_levels(Name, Wanted)
            end
    after ?WAIT -> ct:fail({not_reported, Name})
    end.

levels_when_closed(Name) ->
    receive
        {report, Name, #{counts := #{closed := Closed}}, Levels} when Closed > 0 -> Levels
    after ?WAIT -> ct:fail({not_reported, Name})
    end.

%% Owners

kill(Name) ->
    [Owner] = event_pusher_sup:owners([Name]),
    Monitor = monitor(process, Owner),
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, killed} -> ok end.

kill_until_given_up(Name) ->
    case event_pusher_sup:owners([Name]) of
        [] ->
            ok;
        [Owner] ->
            exit(Owner, kill),
            kill_until_given_up(Name)
    end.

%% An owner answers when it has told what the former one left, and has its new pool.
await_owner(Name) ->
    [Owner] = event_pusher_sup:owners([Name]),
    {error, unknown} = gen_server:call(Owner, are_you_there, infinity),
    ok.

teller(Name) ->
    #{teller := Teller} = persistent_term:get({event_pusher_pool, Name}),
    Teller.

await_messages(Pid) ->
    case process_info(Pid, message_queue_len) of
        {message_queue_len, 0} -> erlang:yield(), await_messages(Pid);
        {message_queue_len, _} -> ok
    end.

%% Pools

start(Name, Settings) ->
    event_pusher:start_pool(Name, Settings, report(Name)).

settings(Config) ->
    Settings = pool_rig:settings({http, pool_rig:http(?config(url, Config))}),
    Settings#{retry_count := 0}.

%% Of a receiver with TLS, whose certificate the authorities in a file are to have signed.
with_authorities(Config) ->
    File = filename:join(?config(priv_dir, Config), "authorities.pem"),
    #{ca := Authorities} = test_certs:make(?config(priv_dir, Config)),
    {ok, _} = file:copy(Authorities, File),
    #{backend := {http, Http}} = Settings = settings(Config),
    Tls = #{verify_mode => peer, disconnect_on_failure => true, versions => [],
            server_name => default, cacertfile => unicode:characters_to_binary(File)},
    {File, Settings#{backend := {http, Http#{host := <<"https://127.0.0.1:1">>, tls := Tls}}}}.

message() ->
    #{destination => <<>>, body => <<"body">>}.
