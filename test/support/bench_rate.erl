-module(bench_rate).
-moduledoc "What a pool delivers in a second, beside bare loops of the same clients, and what it costs.".

-export([cases/0]).
%% On the node
-export([measure/2, measure/3, used/1]).

-define(CONCURRENT, [1, 10, 100]).
%% A batch is fast: with so many times more events, it is measured for as long as the others.
-define(BATCHED, 5).
%% OTP's client is slow: with so many times fewer.
-define(SLOW, 4).
-define(KIB, 1024).
-define(SIZES, [{"200 B", 200}, {"2 KiB", 2 * ?KIB}, {"20 KiB", 20 * ?KIB}, {"100 KiB", 100 * ?KIB}]).
%% All events of a measurement together.
-define(MOST_BYTES, (100 * ?KIB * ?KIB)).
-define(DELAY_S, 3).

-spec cases() -> [bench_case:bench_case()].
cases() ->
    Of = "events per second, from the first hook to the last confirmation",
    Case = #{figures => [{rate, "per s", 0}, {cpu, "CPU s per 100k", 2}]},
    [Case#{name => "sns", needs => [receiver], title => "SNS over TLS: " ++ Of, rows => fun sns/1},
     Case#{name => "http", needs => [receiver, beside], title => "HTTP over TLS: " ++ Of, rows => fun http/1},
     Case#{name => "signed", needs => [receiver], title => "HTTP over TLS, not signed and signed: " ++ Of,
           rows => fun signed/1},
     Case#{name => "rabbit", needs => [broker], title => "RabbitMQ: " ++ Of, rows => fun rabbit/1},
     Case#{name => "sizes", needs => [receiver, broker], optional => true,
           title => "bodies of other sizes: " ++ Of, rows => fun sizes/1},
     Case#{name => "delays", needs => [delayed], optional => true,
           title => "HTTP receivers that take their time, 100 workers: " ++ Of, rows => fun delays/1}].

sns(#{url := Url, receiver := Receiver, events := Count} = Rig) ->
    Pool = fun(PoolSize, Batch, Events) ->
        {?MODULE, measure, [{sns, Url, PoolSize, #{publish_batch => Batch}}, Events]}
    end,
    [#{row => lists:concat(["pool_size ", PoolSize]),
       subjects => [{here, "bare reqwest, aws-sigv4",
                     bench_yardstick:signed(Rig, Receiver, #{connections => PoolSize, events => Count})},
                    {node, "pool, one by one", Pool(PoolSize, false, Count)},
                    {node, "pool, batched", Pool(PoolSize, true, ?BATCHED * Count)}]}
     || PoolSize <- ?CONCURRENT].

http(#{url := Url, receiver := Receiver, events := Count} = Rig) ->
    [begin
         Load = #{connections => Workers, events => Count},
         #{row => lists:concat(["workers ", Workers]),
           subjects => [{here, "bare reqwest", bench_yardstick:plain(Rig, Receiver, Load)},
                        {here, "httpc, a process each",
                         bench_yardstick:httpc(Rig, Receiver, Load#{events := max(1, Count div ?SLOW)})},
                        {node, "pool", {?MODULE, measure, [{http, Url, Workers, #{}}, Count]}}]}
     end || Workers <- ?CONCURRENT].

%% With two secrets, as while one is changed.
signed(#{url := Url, events := Count}) ->
    Secrets = [<<"whsec_", (base64:encode(crypto:strong_rand_bytes(32)))/binary>> || _ <- [1, 2]],
    [#{row => "workers 10",
       subjects => [{node, What, {?MODULE, measure, [{http, Url, 10, #{handler => Handler}}, Count]}}
                    || {What, Handler} <- [{"not signed", #{}}, {"signed", #{signing_secrets => Secrets}}]]}].

rabbit(#{broker := Broker, events := Count} = Rig) ->
    Bare = fun(Connections, Window, Events) ->
        bench_yardstick:amqp(Rig, Broker, #{connections => Connections, window => Window, events => Events})
    end,
    Pool = fun(Confirms) ->
        {?MODULE, measure, [{rabbit, Broker, #{confirms_enabled => Confirms}}, 2 * Count]}
    end,
    %% One outstanding confirm for each of ten connections is what the server's own pool has.
    [#{row => "with confirms",
       subjects => [{here, "bare lapin, 10 x 1", Bare(10, 1, Count)},
                    {here, "bare lapin, 1 x 256", Bare(1, 256, Count)},
                    {node, "pool", Pool(true)}]},
     #{row => "without confirms",
       subjects => [{here, "bare lapin, 1 x 256 writes", Bare(1, 0, 2 * Count)},
                    {node, "pool", Pool(false)}]}].

sizes(#{url := Url, receiver := Receiver, broker := Broker, events := Most} = Rig) ->
    Room = #{queue => #{max_bytes => 4 * ?MOST_BYTES}},
    Sizes = [{Name, Bytes, min(Most, ?MOST_BYTES div Bytes)} || {Name, Bytes} <- ?SIZES],
    [begin
         Load = #{connections => 10, window => 1, bytes => Bytes, events => Count},
         Bare = case Setup of
             {http, _, _, _} -> {here, "bare reqwest", bench_yardstick:plain(Rig, Receiver, Load)};
             {rabbit, _, _} -> {here, "bare lapin, 10 x 1", bench_yardstick:amqp(Rig, Broker, Load)}
         end,
         #{row => What ++ ", " ++ Name,
           subjects => [Bare, {node, "pool", {?MODULE, measure, [Setup, Count, Bytes]}}]}
     end || {What, Setup} <- [{"HTTP", {http, Url, 10, Room}}, {"RabbitMQ", {rabbit, Broker, Room}}],
            {Name, Bytes, Count} <- Sizes].

%% With a delay there cannot be more than workers divided by delay; for some seconds.
delays(#{delayed := Receivers, events := Most} = Rig) ->
    Workers = 100,
    [begin
         Count = min(Most, Workers * 1000 * ?DELAY_S div max(1, Ms)),
         Load = #{connections => Workers, events => Count},
         #{row => lists:concat([Ms, " ms"]),
           subjects => [{here, "bare reqwest", bench_yardstick:plain(Rig, Receiver, Load)},
                        {node, "pool", {?MODULE, measure, [{http, Url, Workers, #{}}, Count]}}]}
     end || {Ms, #{url := Url} = Receiver} <- Receivers].

%% Through the hook.
-spec measure(bench_host:setup(), Count :: pos_integer()) -> bench_case:figures().
measure(Setup, Count) ->
    measure(Setup, Count, 200).

%% With bodies of so many bytes.
-spec measure(bench_host:setup(), Count :: pos_integer(), Bytes :: pos_integer()) -> bench_case:figures().
measure(Setup, Count, Bytes) ->
    Name = bench_host:start(Setup),
    Hook = bench_event:hook(Bytes),
    Figures = used(fun() ->
        ok = bench_event:push(Count, Hook),
        ok = bench_host:await_delivered(Name, Count),
        Count
    end),
    ok = bench_host:stop(),
    Figures.

%% Of what delivers as many events as it returns.
-spec used(fun(() -> pos_integer())) -> bench_case:figures().
used(Deliver) ->
    {Begin, Before} = {erlang:monotonic_time(microsecond), runtime_ms()},
    Count = Deliver(),
    #{rate => Count * 1000000 / (erlang:monotonic_time(microsecond) - Begin),
      cpu => (runtime_ms() - Before) * 100 / Count}.

%% Of all threads of the VM, those of the library as well.
runtime_ms() ->
    {Total, _} = erlang:statistics(runtime),
    Total.
