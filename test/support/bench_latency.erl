-module(bench_latency).
-moduledoc "How long an event takes to its receiver when nothing else is to be done.".

-export([cases/0]).
%% On the node
-export([push/3]).

-define(EVENTS, 500).
-define(PAUSE_MS, 5).
%% Those in which the connection is made, and code is loaded.
-define(WARM_UP, 20).

-spec cases() -> [bench_case:bench_case()].
cases() ->
    [#{name => "latency", needs => [arrivals],
       title => "microseconds from the begin of the hook until an idle receiver has read the event",
       figures => [{p50, "p50", 0}, {p99, "p99", 0}], rows => fun rows/1}].

rows(#{arrivals := #{url := Url} = Receiver, events := Most} = Rig) ->
    Count = min(Most, ?EVENTS) + ?WARM_UP,
    Paced = fun() -> bench_yardstick:paced(Rig, Receiver, #{pause_ms => ?PAUSE_MS, events => Count}) end,
    [#{row => "HTTP over TLS",
       subjects => [{here, "bare reqwest", fun() -> figures(Paced(), Receiver) end},
                    {about_node, "pool", fun(Call) ->
                         Begins = Call(?MODULE, push, [{http, Url, 1, #{}}, Count, ?PAUSE_MS]),
                         figures(Begins, Receiver)
                     end}]}].

%% When each hook began, by the clock of the system, in nanoseconds.
-spec push(bench_host:setup(), Count :: pos_integer(), PauseMs :: pos_integer()) -> [integer()].
push(Setup, Count, PauseMs) ->
    Name = bench_host:start(Setup),
    Hook = bench_event:hook(),
    Begins = [begin
                  Begin = os:system_time(nanosecond),
                  Hook(),
                  %% This is the idle time that is wanted.
                  timer:sleep(PauseMs),
                  Begin
              end || _ <- lists:seq(1, Count)],
    ok = bench_host:await_delivered(Name, Count),
    ok = bench_host:stop(),
    Begins.

%% There is one at a time, so they arrive in order.
figures(Begins, Receiver) ->
    Arrivals = bench_rig:arrivals(Receiver, length(Begins)),
    Times = lists:nthtail(?WARM_UP, lists:zipwith(fun(Begin, Arrived) -> Arrived - Begin end, Begins, Arrivals)),
    maps:with([p50, p99], bench_event:percentiles(Times)).
