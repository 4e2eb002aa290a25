-module(bench_hook).
-moduledoc "What a hook costs its caller, whatever state the receiver is in.".

-export([cases/0]).
%% On the node
-export([measure/4]).

-define(CALLERS, [1, 10]).

-spec cases() -> [bench_case:bench_case()].
cases() ->
    [#{name => "hook", needs => [receiver, broker],
       title => "microseconds of the caller, from the hook of the server to its return",
       figures => [{p50, "p50", 1}, {p99, "p99", 1}, {'p99.9', "p99.9", 1}],
       rows => fun rows/1}].

rows(#{url := Url, silent := Slow, broker := Broker, folder := Folder, events := Count}) ->
    Dead = "https://127.0.0.1:" ++ integer_to_list(rig:free_port()),
    Retrying = #{publish_retry_count => 5, publish_retry_time_ms => 1000},
    Away = #{port => rig:free_port()},
    Mnesia = filename:join(Folder, "mnesia"),
    States = [{"SNS fast", hook, {sns, Url, 100, #{}}},
              {"SNS slow", hook, {sns, Slow, 100, #{}}},
              {"SNS dead", hook, {sns, Dead, 100, Retrying}},
              {"SNS full", hook, {sns, Slow, 100, #{queue => #{max_events => 10}}}},
              {"HTTP fast", hook, {http, Url, 100, #{}}},
              {"HTTP slow", hook, {http, Slow, 100, #{request_timeout => 60000}}},
              {"RabbitMQ up", hook, {rabbit, Broker, #{}}},
              {"RabbitMQ down", hook, {rabbit, Broker, Away}},
              {"push, online", delivery_hook, {push, online, Mnesia}},
              {"push fast", delivery_hook, {push, fast, Mnesia}},
              {"push slow", delivery_hook, {push, slow, Mnesia}}],
    [#{row => Name ++ callers(Callers),
       subjects => [{node, "hook", {?MODULE, measure, [Setup, Hook, Callers, Count]}}]}
     || {Name, Hook, Setup} <- States, Callers <- ?CALLERS].

callers(1) -> ", 1 caller";
callers(Callers) -> ", " ++ integer_to_list(Callers) ++ " callers".

-spec measure(bench_host:setup(), hook | delivery_hook, Callers :: pos_integer(),
              Count :: pos_integer()) -> bench_case:figures().
measure(Setup, Hook, Callers, Count) ->
    Name = bench_host:start(Setup),
    Each = max(1, Count div Callers),
    Times = bench_event:in_parallel(Callers, fun() -> bench_event:sample(Each, bench_event:Hook()) end),
    ok = settle(Setup, Name),
    ok = bench_host:stop(),
    bench_event:percentiles(lists:append(Times)).

%% Its service is a process of this node: what waits would be in the way of what comes next.
settle({push, fast, _Folder}, Name) -> bench_host:await_none_waits(Name);
settle(_Setup, _Name) -> ok.
