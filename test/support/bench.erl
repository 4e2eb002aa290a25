-module(bench).
-moduledoc "What a hook costs its caller, what a pool delivers, what it costs to have events wait.".

-export([main/0]).
%% A receiver of push notifications that does not answer
-export([hang/3]).

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(EVENTS, 20000).
-define(REQUESTS, 20000).
-define(SAMPLES, 20000).
-define(LOOKS, 1000).
-define(BACKLOG, 300000).
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
    {ok, Broker} = rabbit_service:start(),
    Info = rabbit_service:info(Broker),
    Cases = [{"hook", fun() -> hook_cost(Receiver, Info) end},
             {"sns", fun() -> sns_throughput(Receiver) end},
             {"http", fun() -> http_throughput(Receiver) end},
             {"signed", fun() -> signed_throughput(Receiver) end},
             {"rabbit", fun() -> rabbit_throughput(Info) end},
             {"spool", fun() -> spool(Receiver) end},
             {"memory", fun memory/0},
             {"look", fun() -> looks(Info) end}],
    [Case() || {_Name, Case} <- wanted(os:getenv("ONLY", ""), Cases)],
    ok = rabbit_service:stop(Broker),
    stop(Receiver).

wanted("", Cases) ->
    Cases;
wanted(Only, Cases) ->
    Names = string:lexemes(Only, ", "),
    case Names -- [Name || {Name, _} <- Cases] of
        [] -> [Case || {Name, _} = Case <- Cases, lists:member(Name, Names)];
        Unknown -> error({no_such_case, Unknown, [Name || {Name, _} <- Cases]})
    end.

%% What the hook costs

hook_cost(Receiver, Broker) ->
    say("~nhook: microseconds of its caller, from the hook of the server to its return~n"
        "  ~-12s ~8s ~8s ~8s ~8s", [receiver, callers, p50, p99, 'p99.9']),
    Slow = rig:silent_server(),
    Url = maps:get(url, Receiver),
    Dead = "https://127.0.0.1:" ++ integer_to_list(rig:free_port()),
    Slowly = #{request_timeout => 60000},
    Away = #{port => rig:free_port()},
    States = [{"SNS fast", fun() -> start(Url, 100, #{}) end},
              {"SNS slow", fun() -> start(element(2, Slow), 100, #{}) end},
              {"SNS dead", fun() -> start(Dead, 100, #{publish_retry_count => 5,
                                                       publish_retry_time_ms => 1000}) end},
              {"SNS full", fun() -> start(element(2, Slow), 100,
                                          #{queue => #{max_events => 10}}) end},
              {"HTTP fast", fun() -> start_http(Url, 100, #{}) end},
              {"HTTP slow", fun() -> start_http(element(2, Slow), 100, Slowly) end},
              {"RabbitMQ up", fun() -> start_rabbit(Broker, #{}) end},
              {"RabbitMQ down", fun() -> start_rabbit(Broker, Away) end}],
    [hook_cost(Name, Start, fun hook/0, fun() -> ok end, Callers)
     || {Name, Start} <- States, Callers <- [1, 10, 100]],
    gen_tcp:close(element(1, Slow)),
    push_hook_cost().

%% For a message on its way to a user, with the registrations in Mnesia.
push_hook_cost() ->
    Folder = "_build/bench-mnesia",
    _ = file:del_dir_r(Folder),
    ok = host_mnesia:start(Folder),
    States = [{"push online", fun() -> start_push(), host:user_available(?BOB) end,
                              fun() -> ok end},
              {"push fast", fun() -> start_push(), push_service:start(<<"push.example">>) end,
                            fun await_pushed/0},
              {"push slow", fun() -> start_push(), hang_push() end,
                            fun() -> ok end}],
    [hook_cost(Name, Start, fun delivery_hook/0, Settle, Callers)
     || {Name, Start, Settle} <- States, Callers <- [1, 10, 100]],
    ok = host_mnesia:stop(),
    ok = file:del_dir_r(Folder).

hook_cost(Name, Start, Hook, Settle, Callers) ->
    Start(),
    Each = ?SAMPLES div Callers,
    Times = lists:sort(lists:append(in_parallel(Callers, fun() -> sample(Each, Hook()) end))),
    Settle(),
    ok = host:stop(),
    say("  ~-13s ~7b ~8.1f ~8.1f ~8.1f",
        [Name, Callers | [percentile(P, Times) || P <- [0.5, 0.99, 0.999]]]).

%% The hook as the process of a session runs it, for a message with a body of 200 bytes.
hook() ->
    {_From, _To, Acc, _Packet} = message(),
    fun() -> mongoose_c2s_hooks:user_send_message(?HT, Acc, #{}) end.

%% The hook of the same message on its way to the recipient.
delivery_hook() ->
    Message = message(),
    fun() -> mongoose_hooks:filter_local_packet(Message) end.

message() ->
    Packet = rig:message(<<"chat">>, binary:copy(<<"0123456789">>, 20)),
    {From, To} = {jid:from_binary(?ALICE), jid:from_binary(?BOB)},
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT, element => Packet,
                             from_jid => From, to_jid => To}),
    {From, To, Acc, Packet}.

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

sns_throughput(Receiver) ->
    say("~nSNS over TLS: events per second from the first hook to the last confirmation,~n"
        "and as a multiple of a bare loop of reqwest and aws-sigv4 with as many connections~n"
        "  ~-9s ~9s ~9s ~7s ~9s ~7s", ["pool_size", bare, single, ratio, batched, ratio]),
    Pool = fun(PoolSize, Batch, Count) ->
        rate(Count, {sns, ?HT}, fun() -> start(maps:get(url, Receiver), PoolSize,
                                               #{publish_batch => Batch}) end)
    end,
    [compare(PoolSize, [fun() -> bare_rate(signed, Receiver, sns_body(), PoolSize) end,
                        fun() -> Pool(PoolSize, false, ?EVENTS) end,
                        fun() -> Pool(PoolSize, true, 5 * ?EVENTS) end])
     || PoolSize <- [1, 10, 100]].

http_throughput(Receiver) ->
    say("~nHTTP over TLS: likewise, compared with a bare loop of reqwest~n"
        "  ~-9s ~9s ~9s ~7s", ["workers", bare, pool, ratio]),
    Start = fun(Workers) -> fun() -> start_http(maps:get(url, Receiver), Workers, #{}) end end,
    [compare(Workers, [fun() -> bare_rate(plain, Receiver, form_body(), Workers) end,
                       fun() -> rate(?EVENTS, {http, ?HT, 1}, Start(Workers)) end])
     || Workers <- [1, 10, 100]].

%% With two secrets, as while one is changed.
signed_throughput(Receiver) ->
    say("~nHTTP over TLS, signed: likewise, compared with requests that are not~n"
        "  ~-9s ~9s ~9s ~7s", ["workers", plain, signed, ratio]),
    Secrets = [<<"whsec_", (base64:encode(crypto:strong_rand_bytes(32)))/binary>> || _ <- [1, 2]],
    Rate = fun(Workers, Handler) ->
        rate(?EVENTS, {http, ?HT, 1},
             fun() -> start_http(maps:get(url, Receiver), Workers, #{}, Handler) end)
    end,
    [compare(Workers, [fun() -> Rate(Workers, #{}) end,
                       fun() -> Rate(Workers, #{signing_secrets => Secrets}) end])
     || Workers <- [1, 10, 100]].

%% The first column is what ten workers of the server's own pool do.
rabbit_throughput(Broker) ->
    say("~nRabbitMQ: likewise, compared with bare loops of lapin: ten connections with one~n"
        "outstanding confirm each, and one connection with 256~n"
        "  ~-9s ~9s ~9s ~7s ~9s ~7s ~9s ~7s",
        ["workers", "10 x 1", "1 x 256", ratio, confirms, ratio, without, ratio]),
    Pool = fun(Confirms) ->
        rate(2 * ?EVENTS, {rabbit, ?HT},
             fun() -> start_rabbit(Broker, #{confirms_enabled => Confirms}) end)
    end,
    compare(10, [fun() -> bare_amqp_rate(Broker, 10, 1) end,
                 fun() -> bare_amqp_rate(Broker, 1, 256) end,
                 fun() -> Pool(true) end,
                 fun() -> Pool(false) end]).

%% A row: the median of each rate, and its median ratio to the first. Round by round, so that a
%% machine whose speed drifts is the same for all.
compare(Size, [_Yardstick | _] = Rates) ->
    Rounds = [[Rate() || Rate <- Rates] || _ <- lists:seq(1, ?ROUNDS)],
    [Bare | Others] = transposed(Rounds),
    Columns = [[round(median(Other)), median(lists:zipwith(fun(O, B) -> O / B end, Other, Bare))]
               || Other <- Others],
    say("  ~-9b ~9b" ++ lists:append(["~10b ~7.2f" || _ <- Columns]),
        [Size, round(median(Bare)) | lists:append(Columns)]).

transposed([[] | _]) -> [];
transposed(Rows) -> [[hd(Row) || Row <- Rows] | transposed([tl(Row) || Row <- Rows])].

%% Events per second through the hook.
rate(Count, Name, Start) ->
    Start(),
    Hook = hook(),
    Begin = erlang:monotonic_time(microsecond),
    push(Count, Hook),
    ok = host_metrics:await(event_pusher_queue,
                            fun() -> maps:get(waiting, rig:stats(Name)) =:= 0 end, ?SETTLE_MS),
    Micros = erlang:monotonic_time(microsecond) - Begin,
    #{delivered := Count} = rig:stats(Name),
    ok = host:stop(),
    Count * 1000000 / Micros.

push(0, _Hook) -> ok;
push(Count, Hook) -> Hook(), push(Count - 1, Hook).

bare_rate(Kind, #{url := Url}, Body, Connections) ->
    Numbers = [Connections, ?REQUESTS, event_pusher_env:get(runtime_threads)],
    bare("event_pusher_bench", fun(BodyFile) ->
        [atom_to_list(Kind), Url, os:getenv("SSL_CERT_FILE"), BodyFile | Numbers]
    end, Body).

bare_amqp_rate(#{username := User, password := Password, port := Port}, Connections, Window) ->
    Uri = ["amqp://", User, $:, Password, "@127.0.0.1:", integer_to_list(Port), "/%2f"],
    Numbers = [Connections, Window, ?REQUESTS, event_pusher_env:get(runtime_threads)],
    bare("bare_amqp", fun(BodyFile) -> [Uri, "chat_msg", BodyFile | Numbers] end, json_body()).

%% What the program prints. No shell is between, which would break a path at a blank.
bare(Program, Args, Body) ->
    BodyFile = filename:join("_build", "bench-body-" ++ os:getpid()),
    ok = file:write_file(BodyFile, Body),
    Words = [case is_integer(Arg) of
                 true -> integer_to_binary(Arg);
                 false -> iolist_to_binary(Arg)
             end || Arg <- Args(BodyFile)],
    Port = open_port({spawn_executable, filename:join("target/release", Program)},
                     [{args, Words}, exit_status, binary]),
    Rate = printed(Port, <<>>),
    ok = file:delete(BodyFile),
    float(binary_to_integer(string:trim(Rate))).

printed(Port, Said) ->
    receive
        {Port, {data, More}} -> printed(Port, <<Said/binary, More/binary>>);
        {Port, {exit_status, 0}} -> Said;
        {Port, {exit_status, Status}} -> error({yardstick_failed, Status})
    end.

%% The bytes of one Publish request for the event of hook/0.
sns_body() ->
    ["Action=Publish&Version=2010-03-31&TopicArn=",
     uri_string:quote("arn:aws:sns:eu-west-1:123456789012:pm"),
     "&Message=", uri_string:quote(iolist_to_binary(json_body()))].

form_body() ->
    ["author=alice&server=localhost&receiver=bob&message=", binary:copy(<<"0123456789">>, 20)].

json_body() ->
    ["{\"from_user_id\":\"alice@localhost\",\"to_user_id\":\"bob@localhost\",\"message\":\"",
     binary:copy(<<"0123456789">>, 20), "\"}"].

median(Values) ->
    lists:nth((length(Values) + 1) div 2, lists:sort(Values)).

%% What the spool costs, and what it gives back

spool(Receiver) ->
    Url = maps:get(url, Receiver),
    With = fun(More) -> fun() -> start_spooled(Url, More) end end,
    Without = fun() -> start(Url, 100, #{}) end,
    say("~nspool: the hook in microseconds, SNS, one caller: without, with, and the ratio", []),
    Hooks = [{hook_p50(Without), hook_p50(With(#{}))} || _ <- lists:seq(1, ?ROUNDS)],
    row(Hooks),
    say("spool: events per second to a receiver that takes all: without, with, and the ratio", []),
    Rates = [{rate(5 * ?EVENTS, {sns, ?HT}, Without), rate(5 * ?EVENTS, {sns, ?HT}, With(#{}))}
             || _ <- lists:seq(1, ?ROUNDS)],
    row(Rates),
    say("spool: a backlog of ~b events, per second: from memory, from disk, and the ratio",
        [?BACKLOG]),
    Large = #{max_events => ?BACKLOG, max_bytes => 1 bsl 30},
    Backlogs = [{backlog(fun() -> start(Url, 100, #{queue => Large, publish_batch => true}) end),
                 backlog(With(#{queue => #{max_events => 10000}, publish_batch => true}))}
                || _ <- lists:seq(1, ?ROUNDS)],
    row([{Memory, Disk} || {{Memory, _}, {Disk, _}} <- Backlogs]),
    say("spool: MiB resident for it: in memory, and on disk with 10000 events in memory", []),
    row([{Memory, Disk} || {{_, Memory}, {_, Disk}} <- Backlogs]).

row(Pairs) ->
    {Without, With} = lists:unzip(Pairs),
    say("  ~12.1f ~12.1f ~7.2f", [median(Without), median(With),
                                 median([B / A || {A, B} <- Pairs])]).

hook_p50(Start) ->
    Start(),
    [Times] = in_parallel(1, fun() -> sample(?SAMPLES, hook()) end),
    ok = host:stop(),
    percentile(0.5, lists:sort(Times)).

%% How fast it leaves, after it has come while nothing was sent, and what it occupied meanwhile.
backlog(Start) ->
    Start(),
    Name = {sns, ?HT},
    ok = event_pusher:pause(Name),
    Hook = hook(),
    push(100, Hook),
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    Before = resident(),
    push_all(?BACKLOG, Name, Hook),
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    MiB = max(0.1, (resident() - Before) / 1048576),
    #{waiting := ?BACKLOG} = rig:stats(Name),
    Begin = erlang:monotonic_time(microsecond),
    ok = event_pusher:resume(Name),
    ok = host_metrics:await(event_pusher_queue,
                            fun() -> maps:get(waiting, rig:stats(Name)) =:= 0 end, ?SETTLE_MS),
    Micros = erlang:monotonic_time(microsecond) - Begin,
    #{delivered := ?BACKLOG} = rig:stats(Name),
    ok = host:stop(),
    {?BACKLOG * 1000000 / Micros, MiB}.

%% What finds no room is pushed once more: the disk may be slower than the hook.
push_all(Count, Name, Hook) ->
    case Count - maps:get(accepted, rig:stats(Name)) of
        0 -> ok;
        Missing -> push(Missing, Hook), push_all(Count, Name, Hook)
    end.

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

%% What a look into a pool costs the scheduler that it runs on

%% Nothing can be taken, and each event has a group of its own.
looks(Broker) ->
    Count = 99000,
    start_rabbit(Broker, #{port => 1}),
    Name = {rabbit, ?HT},
    [ok = event_pusher:push(Name, #{destination => <<"chat_msg">>, body => <<"0123456789">>,
                                    group => integer_to_binary(Group)})
     || Group <- lists:seq(1, Count)],
    #{queue_events := Count} = rig:stats(Name),
    {ok, Pool} = event_pusher_pool:handle(Name),
    say("~nlook: milliseconds while ~b events of as many groups wait~n"
        "  ~-9s ~9s ~9s", [Count, "", median, max]),
    [look(What, Look) || {What, Look} <- [{stats, fun() -> event_pusher_nif:stats(Pool) end},
                                          {report, fun() -> event_pusher_nif:report(Pool) end}]],
    ok = host:stop().

look(What, Look) ->
    Times = [micros(Look) || _ <- lists:seq(1, ?LOOKS)],
    say("  ~-9s ~9.3f ~9.3f", [What, median(Times) / 1000, lists:max(Times) / 1000]).

micros(Fun) ->
    {Micros, _} = timer:tc(Fun),
    Micros.

resident() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    1024 * list_to_integer(KiB).

%% Helpers

start(Url, PoolSize, More) ->
    sns_rig:start_host(sns_opts(Url, PoolSize, More)).

sns_opts(Url, PoolSize, More) ->
    Info = #{endpoint => iolist_to_binary(Url), region => <<"eu-west-1">>,
             account_id => <<"123456789012">>, access_key_id => <<"AKIDEXAMPLE">>,
             secret_access_key => <<"secret">>},
    Queue = maps:merge(#{drain_timeout_ms => 0}, maps:get(queue, More, #{})),
    sns_rig:opts(Info, More#{pool_size => PoolSize, queue => Queue}).

%% In a folder that is new each time.
start_spooled(Url, More) ->
    Dir = filename:absname("_build/bench-spool"),
    _ = file:del_dir_r(Dir),
    Spool = #{dir => list_to_binary(Dir), max_bytes => 4 bsl 30, sync => 500},
    rig:start_host(#{mod_event_pusher => #{sns => sns_opts(Url, 100, More), spool => Spool}}).

start_http(Url, Workers, ConnOpts) ->
    start_http(Url, Workers, ConnOpts, #{}).

start_http(Url, Workers, ConnOpts, More) ->
    Pool = #{type => http, scope => global, tag => http_pool, opts => #{workers => Workers},
             conn_opts => maps:merge(#{host => Url, path_prefix => <<"/">>,
                                       request_timeout => 10000}, ConnOpts)},
    Handler = More#{pool_name => http_pool, path => <<>>,
                    callback_module => mod_event_pusher_http_defaults},
    rig:start_host(#{mod_event_pusher => #{http => #{handlers => [Handler],
                                                     queue => #{drain_timeout_ms => 0}}}},
                   #{outgoing_pools => [Pool]}).

start_rabbit(Broker, ConnOpts) ->
    Exchanges = maps:with([chat_msg_exchange], rabbit_rig:exchanges()),
    %% No queue is bound: the bare loops and the broker have the same to do.
    rabbit_rig:start_host(Exchanges#{connection => rabbit_rig:connection(Broker, ConnOpts),
                                     mandatory => false,
                                     queue => #{drain_timeout_ms => 0}}).

%% With one registration of the recipient, at a service.
start_push() ->
    ok = push_rig:start_host(#{virtual_pubsub_hosts => [{prefix, <<"virtual.">>}],
                               queue => #{drain_timeout_ms => 0}}),
    ok = push_rig:enable(?BOB, <<"push.example">>).

await_pushed() ->
    ok = host_metrics:await(event_pusher_queue,
                            fun() -> maps:get(waiting, push_rig:stats()) =:= 0 end, ?SETTLE_MS).

%% Moves the registration to a virtual host, whose handler keeps each worker for good.
hang_push() ->
    ok = push_rig:disable(?BOB, <<"push.example">>),
    ok = push_rig:enable(?BOB, <<"virtual.localhost">>),
    ok = gen_hook:add_handler(push_notifications, ?HT, fun ?MODULE:hang/3, #{}, 50),
    ok = gen_hook:reload_hooks().

-spec hang(term(), map(), map()) -> no_return().
hang(_Acc, _Params, _Extra) ->
    receive after infinity -> ok end.

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
