-module(bench_many).
-moduledoc "Whether a thousand handlers, topics or host types deliver as one does.".

-export([cases/0]).
%% On the node
-export([start/4, push/3, stop/0, runtime_ms/0]).

-define(MANY, 1000).
-define(WORKERS, 100).
%% A thousand pools report as often as those of a server, and not as often as others here.
-define(REPORT_MS, 5000).

-type kind() :: handlers | topics | host_types.

-spec cases() -> [bench_case:bench_case()].
cases() ->
    [#{name => "many", needs => [counted], optional => true,
       title => "deliveries per second, from the first push to the last arrival",
       figures => [{rate, "per s", 0}, {cpu, "CPU s per 100k", 2}], rows => fun rows/1}].

rows(#{events := Count} = Rig) ->
    Many = min(?MANY, Count div 10),
    [#{row => Row,
       subjects => [{about_node, integer_to_list(Number), fun(Call) -> measure(Rig, Call, Kind, Number) end}
                    || Number <- [1, Many]]}
     || {Row, Kind} <- [{"HTTP handlers", handlers}, {"SNS topics", topics}, {"host types with SNS", host_types}]].

%% After one delivery for each, in which connections are made.
measure(#{events := Count, counted := Receiver}, Call, Kind, Number) ->
    #{url := Url} = Receiver,
    ok = Call(?MODULE, start, [Kind, Url, Number, Count]),
    ok = Call(?MODULE, push, [Kind, Number, Number]),
    ok = bench_rig:await_more(Receiver, Number),
    {Begin, Before} = {erlang:monotonic_time(microsecond), Call(?MODULE, runtime_ms, [])},
    ok = Call(?MODULE, push, [Kind, Number, Count]),
    ok = bench_rig:await_more(Receiver, Count),
    Micros = erlang:monotonic_time(microsecond) - Begin,
    Used = Call(?MODULE, runtime_ms, []) - Before,
    ok = Call(?MODULE, stop, []),
    #{rate => Count * 1000000 / Micros, cpu => Used * 100 / Count}.

-spec start(kind(), Url :: string(), Number :: pos_integer(), Count :: pos_integer()) -> ok.
start(Kind, Url, Number, Count) ->
    ok = application:set_env(event_pusher, report_interval_ms, ?REPORT_MS),
    Queue = #{max_events => 2 * Count, drain_timeout_ms => 0},
    case Kind of
        handlers ->
            bench_host:start_http(Url, ?WORKERS, Number, #{queue => Queue#{max_events := 2 * Count div Number}});
        topics ->
            bench_host:start_sns([<<"localhost">>], Url, ?WORKERS, #{queue => Queue});
        host_types ->
            Each = #{queue => Queue#{max_events := 2 * Count div Number}},
            bench_host:start_sns(host_types(Number), Url, max(1, ?WORKERS div Number), Each)
    end.

%% As many deliveries, the same for each.
-spec push(kind(), Number :: pos_integer(), Count :: pos_integer()) -> ok.
push(handlers, Number, Count) ->
    bench_event:push(Count div Number, bench_event:hook());
push(topics, Number, Count) ->
    Message = #{attributes => [], body => bench_event:body(200)},
    Topics = [Message#{destination => <<"arn:aws:sns:eu-west-1:123456789012:topic",
                                        (integer_to_binary(Topic))/binary>>} || Topic <- lists:seq(1, Number)],
    each(Count div Number, fun(Topic) -> ok = event_pusher:push({sns, <<"localhost">>}, Topic) end, Topics);
push(host_types, Number, Count) ->
    Hooks = [bench_event:hook(HostType, 200) || HostType <- host_types(Number)],
    each(Count div Number, fun(Hook) -> Hook() end, Hooks).

each(Times, Fun, List) ->
    lists:foreach(fun(_) -> lists:foreach(Fun, List) end, lists:seq(1, Times)).

host_types(Number) ->
    [<<"host", (integer_to_binary(HostType))/binary, ".example">> || HostType <- lists:seq(1, Number)].

-spec stop() -> ok.
stop() ->
    ok = bench_host:stop(),
    bench_host:set_report_interval().

-spec runtime_ms() -> non_neg_integer().
runtime_ms() ->
    {Total, _} = erlang:statistics(runtime),
    Total.
