-module(scheduler_watch_SUITE).
-moduledoc "The watch of schedulers finds what is planted, however busy the machine is, and nothing else.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([one_call_that_works_for_long_is_found/1,
         one_call_that_waits_for_a_lock_is_found/1,
         a_machine_that_is_busy_is_told_from_what_holds_a_scheduler/1,
         what_others_do_for_long_is_not_laid_to_the_calls/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(LONG_MS, 5).
-define(PLANTED_MS, 15).
%% As many programs that never wait share the processors with the VM.
-define(SPINNING, 4).
-define(ENTRIES, 10).
-define(WITHIN_MS, 60000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), length(string:split(atom_to_list(Case), "_", all)) > 4].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    ok = scheduler_watch:load(library(filename:dirname(code:which(?MODULE)))),
    Config.

%% Built by tools/test.
library(Folder) ->
    File = filename:join([Folder, "target", "debug", "libevent_pusher_watch.so"]),
    case filelib:is_regular(File) of
        true -> File;
        false when Folder =/= "/" -> library(filename:dirname(Folder))
    end.

end_per_suite(_Config) ->
    ok.

%% There is always something to do for each scheduler and each processor.
init_per_testcase(_Case, Config) ->
    Spinning = [spin() || _ <- lists:seq(1, ?SPINNING)],
    Calling = [spawn_link(fun call_shortly/0) || _ <- lists:seq(1, 2 * erlang:system_info(schedulers_online))],
    [{spinning, Spinning}, {calling, Calling} | Config].

end_per_testcase(_Case, Config) ->
    [begin unlink(Pid), exit(Pid, kill) end || Pid <- ?config(calling, Config)],
    [_ = os:cmd("kill -KILL " ++ integer_to_list(OsPid)) || OsPid <- ?config(spinning, Config)],
    ok.

%% It ends by itself after as much work as no case waits for.
spin() ->
    Port = open_port({spawn_executable, os:find_executable("sh")},
                     [{args, ["-c", "ulimit -t 100; while :; do :; done"]}]),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    OsPid.

call_shortly() ->
    ok = scheduler_watch:hold(work, 0),
    _ = lists:sum(lists:seq(1, 1000)),
    call_shortly().

%% Confirms it of a single call among very many short ones.
one_call_that_works_for_long_is_found(_Config) ->
    found(work, worked).

%% Confirms it of one that another thread keeps from going on.
one_call_that_waits_for_a_lock_is_found(_Config) ->
    found(lock, asleep).

found(How, Spent) ->
    ok = start(),
    {Planted, Monitor} = spawn_monitor(fun() -> ok = scheduler_watch:hold(How, ?PLANTED_MS) end),
    receive {'DOWN', Monitor, process, Planted, normal} -> ok end,
    #{calls := #{{scheduler_watch, hold, 2} := Calls}, missing := Missing} = Seen = scheduler_watch:stop(),
    ct:pal("~p", [Seen]),
    ?assertEqual([], Missing),
    ?assertMatch(#{long := 1}, Calls),
    ?assert(maps:get(Spent, maps:get(longest, Calls)) >= ?PLANTED_MS * 1000),
    ?assertMatch([#{process := Planted}], caused(calls, Seen)).

%% Confirms it of entries of the VM's own monitor, of which there have to be some.
a_machine_that_is_busy_is_told_from_what_holds_a_scheduler(_Config) ->
    ok = start(),
    ok = await_entries(erlang:monotonic_time(millisecond) + ?WITHIN_MS),
    #{calls := #{{scheduler_watch, hold, 2} := #{count := Count}}, entries := Entries, missing := Missing} =
        Seen = scheduler_watch:stop(),
    ct:pal("~b entries, ~b calls: ~p", [Entries, Count, Seen]),
    ?assert(Entries >= ?ENTRIES),
    ?assertEqual([], Missing),
    ?assertEqual([], caused(calls, Seen)),
    ?assertMatch([_ | _], caused(machine, Seen)).

await_entries(Until) ->
    true = erlang:monotonic_time(millisecond) < Until,
    case scheduler_watch:entries() >= ?ENTRIES of
        true -> ok;
        false -> timer:sleep(100), await_entries(Until)
    end.

%% Confirms it of a call that is not watched.
what_others_do_for_long_is_not_laid_to_the_calls(_Config) ->
    ok = scheduler_watch:start(?LONG_MS, [{event_pusher_nif, '_', '_'}]),
    {Other, Monitor} = spawn_monitor(fun() -> ok = scheduler_watch:hold(work, ?PLANTED_MS) end),
    receive {'DOWN', Monitor, process, Other, normal} -> ok end,
    Seen = scheduler_watch:stop(),
    ?assertMatch([_], [Stint || #{process := Pid} = Stint <- caused(other, Seen), Pid =:= Other]),
    ?assertEqual([], caused(calls, Seen)).

start() ->
    scheduler_watch:start(?LONG_MS, [{scheduler_watch, hold, 2}]).

caused(Cause, #{stints := Stints}) ->
    [Stint || Stint <- Stints, scheduler_watch:cause(Stint, ?LONG_MS) =:= Cause].
