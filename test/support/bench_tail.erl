-module(bench_tail).
-moduledoc "What the slow calls of a hook are made of: garbage collections, and turns of other processes.".

-export([cases/0]).
%% On the node
-export([measure/2]).

%% A call is slow that takes so many times the median.
-define(SLOW, 3).

-type interval() :: {Begin :: integer(), End :: integer()}.

-spec cases() -> [bench_case:bench_case()].
cases() ->
    [#{name => "tail", needs => [receiver],
       title => "calls of a hook that took more than 3 x p50, and what happened to their process meanwhile",
       figures => [{p50, "p50, traced", 1}, {'p99.9', "p99.9, traced", 1}, {slow, "slow", 0},
                   {collected, "collected", 0}, {scheduled_out, "scheduled out", 0}, {neither, "neither", 0}],
       rows => fun rows/1}].

rows(#{url := Url, silent := Slow, events := Count}) ->
    [#{row => lists:concat([Name, ", ", Count, " calls"]),
       subjects => [{node, "hook", {?MODULE, measure, [Setup, Count]}}]}
     || {Name, Setup} <- [{"SNS fast", {sns, Url, 100, #{}}}, {"SNS slow", {sns, Slow, 100, #{}}},
                          {"HTTP fast", {http, Url, 100, #{}}}]].

%% With a trace of the caller, which costs it something as well.
-spec measure(bench_host:setup(), Count :: pos_integer()) -> bench_case:figures().
measure(Setup, Count) ->
    _ = bench_host:start(Setup),
    Tracer = spawn_link(fun() -> gather([]) end),
    {Caller, Monitor} = spawn_monitor(fun() -> receive begin_ -> exit({done, calls(Count)}) end end),
    1 = erlang:trace(Caller, true, [garbage_collection, running, monotonic_timestamp, {tracer, Tracer}]),
    Caller ! begin_,
    Calls = receive {'DOWN', Monitor, process, Caller, {done, Result}} -> Result end,
    Delivered = erlang:trace_delivered(Caller),
    receive {trace_delivered, Caller, Delivered} -> ok end,
    Tracer ! {traced, self()},
    Traced = receive {traced, All} -> All end,
    ok = bench_host:stop(),
    figures(Calls, Traced).

gather(Traced) ->
    receive
        {traced, From} -> From ! {traced, lists:reverse(Traced)};
        Message -> gather([Message | Traced])
    end.

%% When each began and ended. Kept outside of the heap, so that keeping them costs no garbage collection.
-spec calls(Count :: pos_integer()) -> [interval()].
calls(Count) ->
    Hook = bench_event:hook(),
    ok = bench_event:push(10, Hook),
    {Begins, Ends} = {atomics:new(Count, []), atomics:new(Count, [])},
    ok = call(Count, Hook, Begins, Ends),
    [{atomics:get(Begins, N), atomics:get(Ends, N)} || N <- lists:seq(1, Count)].

call(0, _Hook, _Begins, _Ends) ->
    ok;
call(N, Hook, Begins, Ends) ->
    ok = atomics:put(Begins, N, erlang:monotonic_time()),
    Hook(),
    ok = atomics:put(Ends, N, erlang:monotonic_time()),
    call(N - 1, Hook, Begins, Ends).

figures(Calls, Traced) ->
    #{p50 := Median} = Figures = bench_event:percentiles([nanoseconds(Call) || Call <- Calls]),
    Slow = [Call || Call <- Calls, nanoseconds(Call) > 1000 * ?SLOW * Median],
    Collections = intervals([gc_minor_start, gc_major_start], [gc_minor_end, gc_major_end], Traced),
    Absences = intervals([out], [in], Traced),
    Collected = [Call || Call <- Slow, meets_any(Call, Collections)],
    Out = [Call || Call <- Slow, meets_any(Call, Absences)],
    (maps:with([p50, 'p99.9'], Figures))#{
        slow => length(Slow), collected => length(Collected), scheduled_out => length(Out),
        neither => length((Slow -- Collected) -- Out)}.

nanoseconds({Begin, End}) ->
    erlang:convert_time_unit(End - Begin, native, nanosecond).

meets_any({Begin, End}, Intervals) ->
    lists:any(fun({From, To}) -> From =< End andalso To >= Begin end, Intervals).

%% From each message of the first kinds to the next one of the others.
-spec intervals([atom()], [atom()], [tuple()]) -> [interval()].
intervals(Begins, Ends, Traced) ->
    Points = [{lists:member(Kind, Begins), At}
              || {trace_ts, _Pid, Kind, _Info, At} <- Traced, lists:member(Kind, Begins ++ Ends)],
    paired(Points).

paired([{true, Begin}, {false, End} | Points]) -> [{Begin, End} | paired(Points)];
paired([_ | Points]) -> paired(Points);
paired([]) -> [].
