-module(hostile).
-moduledoc "What make hostile does: a million calls with any terms, and full load beside a watch of schedulers.".

-export([terms/0, load/0, say/2, fail/2]).

%% Without a single call in that time, one hangs.
-define(PATIENCE_MS, 120000).
-define(WORKERS, 2).
%% In fewer calls, a leak is not to be seen.
-define(MANY, 500000).
%% By how much memory may grow in the second half of them: of what malloc has, and in all. A pool may
%% take 160 MiB while it lives, and the VM gives back over seconds what its processes had.
-define(MORE_HEAP_MIB, 8).
-define(MORE_MIB, 64).
-define(GIVEN_BACK_WITHIN_MS, 60000).

%% Needs the surroundings of tools/hostile: all that malloc has in small pieces is in one place then, and
%% nothing else is.
-spec terms() -> ok.
terms() ->
    with_application(fun terms/1).

-spec load() -> ok.
load() ->
    with_application(fun hostile_load:run/1).

with_application(Do) ->
    logger:set_primary_config(level, error),
    ok = rig:start_application(),
    {Listen, Url} = rig:silent_server(),
    ok = Do(list_to_binary(Url)),
    gen_tcp:close(Listen).

%% Calls with any terms

terms(Url) ->
    Seed = setting("HOSTILE_SEED", erlang:system_time(second)),
    [First, Calls] = [setting("HOSTILE_FIRST", 1), setting("HOSTILE_CALLS", 1000000)],
    say("~b calls with any terms; HOSTILE_SEED=~b HOSTILE_FIRST=~b HOSTILE_CALLS=~b makes the same",
        [Calls, Seed, First, Calls]),
    Scene = hostile_terms:start(Url),
    Half = Calls div 2,
    Begin = memory(),
    Tally = run(Scene, Seed, First, Half, #{}),
    Middle = memory(),
    All = run(Scene, Seed, First + Half, Calls - Half, Tally),
    [say("  ~-15s ~8b answers ~8b bad arguments",
         [Function, maps:get({Function, answer}, All, 0), maps:get({Function, badarg}, All, 0)])
     || Function <- lists:usort([Function || {Function, _} <- maps:keys(All)])],
    ok = given_back(Calls, Middle),
    End = memory(),
    ok = hostile_terms:stop(Scene),
    say("terms: none crashed", []),
    [say("  MiB ~-20s malloc ~4b, all of the VM ~4b", [When, Heap, Resident])
     || {When, #{malloc := Heap, vm := Resident}} <- [{"before", Begin}, {"after half of them", Middle},
                                                      {"after all", End}]],
    ok.

%% Adds to the tally what the calls from that number on came to.
run(Scene, Seed, First, Calls, Tally) ->
    Made = counters:new(1, []),
    Workers = [start_worker(Scene, Seed, lists:seq(First + Offset, First + Calls - 1, ?WORKERS), Made)
               || Offset <- lists:seq(0, ?WORKERS - 1)],
    await(Workers, Tally, {First, Calls, Made, 0}).

start_worker(Scene, Seed, Numbers, Made) ->
    Progress = fun(_Number) -> counters:add(Made, 1, 1) end,
    {_Pid, Monitor} = spawn_monitor(fun() ->
        exit({done, hostile_terms:run(Scene, Seed, Numbers, Progress)})
    end),
    Monitor.

await([], Tally, _Watch) ->
    Tally;
await(Workers, Tally, {First, Calls, Made, Seen} = Watch) ->
    receive
        {'DOWN', Monitor, process, _Pid, {done, Some}} ->
            Sum = maps:fold(fun(Key, Count, Acc) ->
                                maps:update_with(Key, fun(Other) -> Other + Count end, Count, Acc)
                            end, Tally, Some),
            await(Workers -- [Monitor], Sum, Watch);
        {'DOWN', _Monitor, process, _Pid, Reason} ->
            fail("~tp", [Reason])
    after progress_ms(Calls) ->
        case counters:get(Made, 1) of
            Seen ->
                fail("no call has ended since number ~b", [First + Seen]);
            Now ->
                say("  ~b of ~b from number ~b on", [Now, Calls, First]),
                await(Workers, Tally, {First, Calls, Made, Now})
        end
    end.

%% Few calls are made to see which one it was.
progress_ms(Calls) when Calls > 1000 -> 10000;
progress_ms(_Few) -> ?PATIENCE_MS.

%% Memory

%% Ends the VM if the second half of the calls has left something.
given_back(Calls, _Middle) when Calls < ?MANY ->
    ok;
given_back(_Calls, Middle) ->
    given_back_by(erlang:monotonic_time(millisecond) + ?GIVEN_BACK_WITHIN_MS, Middle).

given_back_by(Deadline, #{malloc := Heap, vm := Resident} = Middle) ->
    case memory() of
        #{malloc := Now, vm := All} when Now =< Heap + ?MORE_HEAP_MIB, All =< Resident + ?MORE_MIB ->
            ok;
        More ->
            case erlang:monotonic_time(millisecond) > Deadline of
                true -> fail("memory goes on growing: MiB after half of the calls ~w, after all ~w",
                             [Middle, More]);
                %% Nobody tells when the VM gives memory back.
                false -> receive after 100 -> given_back_by(Deadline, Middle) end
            end
    end.

%% In MiB, when no process holds what it does not need.
memory() ->
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    {ok, Status} = file:read_file("/proc/self/status"),
    {ok, Maps} = file:read_file("/proc/self/smaps"),
    #{malloc => mib(Maps, "\\[heap\\]\nSize:.*\n(?:.*\n)*?Rss:"), vm => mib(Status, "VmRSS:")}.

mib(Text, Before) ->
    {match, [Kib]} = re:run(Text, Before ++ "\\s+(\\d+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Kib) div 1024.

%% Helpers

setting(Name, Default) ->
    case os:getenv(Name, "") of
        "" -> Default;
        Text -> list_to_integer(Text)
    end.

-spec say(io:format(), [term()]) -> ok.
say(Format, Args) ->
    io:format("hostile: " ++ Format ++ "~n", Args).

-spec fail(io:format(), [term()]) -> no_return().
fail(Format, Args) ->
    say("FAILED: " ++ Format, Args),
    halt(1).
