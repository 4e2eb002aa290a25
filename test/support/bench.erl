-module(bench).
-moduledoc "What a hook costs its caller, what a pool delivers, what a waiting event occupies.".

-export([main/0]).

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(EVENTS, 20000).
-define(REQUESTS, 20000).
-define(SAMPLES, 20000).
-define(ROUNDS, 3).
-define(SETTLE_MS, 120000).

-spec main() -> ok.
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    ok = rig:start_application(),
    %% The roots of the system are read anew when a pool starts.
    Receiver = receiver(["--ca-file", os:getenv("SSL_CERT_FILE")]),
    say("~b schedulers, ~b events per measurement, medians of ~b rounds",
        [erlang:system_info(schedulers_online), ?EVENTS, ?ROUNDS]),
    hook_cost(Receiver),
    throughput(Receiver),
    memory(),
    stop(Receiver).

%% What the hook costs

hook_cost(Receiver) ->
    say("~nhook: microseconds of its caller, from the hook of the server to its return~n"
        "  ~-12s ~8s ~8s ~8s ~8s", [receiver, callers, p50, p99, 'p99.9']),
    Slow = rig:silent_server(),
    {ok, Dead} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, DeadPort} = inet:port(Dead),
    ok = gen_tcp:close(Dead),
    DeadUrl = "https://127.0.0.1:" ++ integer_to_list(DeadPort),
    States = [{fast, maps:get(url, Receiver), #{}},
              {slow, element(2, Slow), #{}},
              {dead, DeadUrl, #{publish_retry_count => 5, publish_retry_time_ms => 1000}},
              {full, element(2, Slow), #{queue => #{max_events => 10}}}],
    [hook_cost(State, Callers) || State <- States, Callers <- [1, 10, 100]],
    gen_tcp:close(element(1, Slow)).

hook_cost({Name, Url, More}, Callers) ->
    start(Url, 100, More),
    Each = ?SAMPLES div Callers,
    Times = lists:sort(lists:append(in_parallel(Callers, fun() -> sample(Each, hook()) end))),
    ok = host:stop(),
    say("  ~-12s ~8b ~8.1f ~8.1f ~8.1f",
        [Name, Callers | [percentile(P, Times) || P <- [0.5, 0.99, 0.999]]]).

%% The hook as the process of a session runs it, for a message with a body of 200 bytes.
hook() ->
    Packet = rig:message(<<"chat">>, binary:copy(<<"0123456789">>, 20)),
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT, element => Packet,
                             from_jid => jid:from_binary(?ALICE), to_jid => jid:from_binary(?BOB)}),
    fun() -> mongoose_c2s_hooks:user_send_message(?HT, Acc, #{}) end.

sample(Count, Hook) ->
    [Hook() || _ <- lists:seq(1, 10)],
    %% Outside of the heap, so that collecting the samples costs no garbage collection.
    Times = atomics:new(Count, []),
    sample(Count, Hook, Times),
    [atomics:get(Times, N) || N <- lists:seq(1, Count)].

sample(0, _Hook, _Times) ->
    ok;
sample(N, Hook, Times) ->
    Begin = erlang:monotonic_time(nanosecond),
    Hook(),
    ok = atomics:put(Times, N, erlang:monotonic_time(nanosecond) - Begin),
    sample(N - 1, Hook, Times).

in_parallel(Callers, Fun) ->
    Spawned = [spawn_monitor(fun() -> exit({done, Fun()}) end) || _ <- lists:seq(1, Callers)],
    [receive {'DOWN', Monitor, process, Pid, {done, Result}} -> Result end
     || {Pid, Monitor} <- Spawned].

percentile(P, Sorted) ->
    lists:nth(max(1, ceil(P * length(Sorted))), Sorted) / 1000.

%% What a pool delivers

throughput(Receiver) ->
    say("~ndelivery over TLS: events per second from the first hook to the last confirmation,~n"
        "and as a multiple of a bare loop of reqwest and aws-sigv4 with as many connections~n"
        "  ~-9s ~9s ~9s ~7s ~9s ~7s", ["pool_size", bare, single, ratio, batched, ratio]),
    [throughput(Receiver, PoolSize) || PoolSize <- [1, 10, 100]],
    ok.

%% Round by round, so that a machine whose speed drifts is the same for all.
throughput(Receiver, PoolSize) ->
    Rounds = [{bare_rate(Receiver, PoolSize),
               pool_rate(Receiver, PoolSize, false),
               pool_rate(Receiver, PoolSize, true)} || _ <- lists:seq(1, ?ROUNDS)],
    {Bare, Single, Batched} = lists:unzip3(Rounds),
    say("  ~-9b ~9b ~9b ~7.2f ~9b ~7.2f",
        [PoolSize, round(median(Bare)),
         round(median(Single)), median([S / B || {B, S, _} <- Rounds]),
         round(median(Batched)), median([B2 / B || {B, _, B2} <- Rounds])]).

pool_rate(#{url := Url}, PoolSize, Batch) ->
    start(Url, PoolSize, #{publish_batch => Batch}),
    Count = case Batch of true -> 5 * ?EVENTS; false -> ?EVENTS end,
    Hook = hook(),
    Begin = erlang:monotonic_time(microsecond),
    push(Count, Hook),
    ok = host_metrics:await(event_pusher_queue,
                            fun() -> maps:get(waiting, sns_rig:stats()) =:= 0 end, ?SETTLE_MS),
    Micros = erlang:monotonic_time(microsecond) - Begin,
    #{delivered := Count} = sns_rig:stats(),
    ok = host:stop(),
    Count * 1000000 / Micros.

push(0, _Hook) -> ok;
push(Count, Hook) -> Hook(), push(Count - 1, Hook).

bare_rate(#{url := Url}, PoolSize) ->
    CaFile = os:getenv("SSL_CERT_FILE"),
    BodyFile = filename:join("_build", "bench-body-" ++ os:getpid()),
    ok = file:write_file(BodyFile, request_body()),
    Threads = integer_to_list(event_pusher_app:runtime_threads()),
    Args = [Url, CaFile, BodyFile, integer_to_list(PoolSize), integer_to_list(?REQUESTS), Threads],
    Rate = os:cmd(lists:join(" ", ["target/release/event_pusher_bench" | Args])),
    ok = file:delete(BodyFile),
    float(list_to_integer(string:trim(Rate))).

%% The bytes of one Publish request for the event of hook/0.
request_body() ->
    Body = binary:copy(<<"0123456789">>, 20),
    Json = ["{\"from_user_id\":\"alice@localhost\",\"to_user_id\":\"bob@localhost\","
            "\"message\":\"", Body, "\"}"],
    ["Action=Publish&Version=2010-03-31&TopicArn=",
     uri_string:quote("arn:aws:sns:eu-west-1:123456789012:pm"),
     "&Message=", uri_string:quote(iolist_to_binary(Json))].

median(Values) ->
    lists:nth((length(Values) + 1) div 2, lists:sort(Values)).

%% What a waiting event occupies

memory() ->
    Count = 90000,
    {Silent, Url} = rig:silent_server(),
    start(Url, 1, #{}),
    Hook = hook(),
    push(100, Hook),
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    Before = resident(),
    push(Count, Hook),
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    Bytes = (resident() - Before) / Count,
    #{refused_full := 0} = sns_rig:stats(),
    ok = host:stop(),
    ok = gen_tcp:close(Silent),
    say("~nmemory: ~b bytes resident per waiting event with a body of 200 bytes", [round(Bytes)]).

resident() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    1024 * list_to_integer(KiB).

%% Helpers

start(Url, PoolSize, More) ->
    Info = #{endpoint => iolist_to_binary(Url), region => <<"eu-west-1">>,
             account_id => <<"123456789012">>, access_key_id => <<"AKIDEXAMPLE">>,
             secret_access_key => <<"secret">>},
    Queue = maps:merge(#{drain_timeout_ms => 0}, maps:get(queue, More, #{})),
    sns_rig:start_host(sns_rig:opts(Info, More#{pool_size => PoolSize, queue => Queue})).

%% A program of its own, as a receiver is.
receiver(Args) ->
    Port = open_port({spawn_executable, "target/release/receiver"}, [{args, Args}, {line, 1000}]),
    receive
        {Port, {data, {eol, Line}}} ->
            #{port => Port, url => Line}
    after 10000 -> error(no_receiver)
    end.

stop(#{port := Port}) ->
    true = port_close(Port),
    ok.

say(Format, Args) ->
    io:format(Format ++ "~n", Args).
