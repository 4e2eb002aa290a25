-module(bench_spool).
-moduledoc "What the spool costs, and what it gives back.".

-export([cases/0]).
%% On the node
-export([hook/2, backlog/2]).

%% So many times the events of other measurements: the rate is that of batches, and a backlog is large.
-define(BATCHED, 5).
-define(BACKLOG, 10).
-define(IN_MEMORY, 10000).

-spec cases() -> [bench_case:bench_case()].
cases() ->
    Case = #{name => "spool", needs => [receiver]},
    Occupied = "a backlog that has come while nothing was sent: how fast it leaves, what it occupied",
    [Case#{title => "SNS without and with a spool: microseconds of the hook, one caller",
           figures => [{p50, "p50", 1}, {p99, "p99", 1}], rows => fun hooks/1},
     Case#{title => "SNS without and with a spool: events per second",
           figures => [{rate, "per s", 0}, {cpu, "CPU s per 100k", 2}], rows => fun rates/1},
     Case#{title => Occupied, fresh => true,
           figures => [{rate, "per s", 0}, {resident, "MiB resident", 1}], rows => fun backlogs/1}].

hooks(#{url := Url, events := Count} = Rig) ->
    [#{row => "hook", subjects => [{node, What, {?MODULE, hook, [Setup, Count]}}
                                   || {What, Setup} <- setups(Url, Rig, #{}, #{})]}].

rates(#{url := Url, events := Count} = Rig) ->
    [#{row => "a receiver that takes all",
       subjects => [{node, What, {bench_rate, measure, [Setup, ?BATCHED * Count]}}
                    || {What, Setup} <- setups(Url, Rig, #{}, #{})]}].

backlogs(#{url := Url, events := Count} = Rig) ->
    Backlog = ?BACKLOG * Count,
    Large = #{queue => #{max_events => Backlog, max_bytes => 1 bsl 30}},
    Small = #{queue => #{max_events => ?IN_MEMORY}},
    [#{row => lists:concat([Backlog, " events"]),
       subjects => [{node, What, {?MODULE, backlog, [Setup, Backlog]}}
                    || {What, Setup} <- setups(Url, Rig, Large, Small)]}].

setups(Url, #{folder := Folder}, Without, With) ->
    [{"without", {sns, Url, 100, Without}},
     {"with", {spooled_sns, Url, filename:join(Folder, "spool"), With}}].

-spec hook(bench_host:setup(), Count :: pos_integer()) -> bench_case:figures().
hook(Setup, Count) ->
    bench_hook:measure(Setup, hook, 1, Count).

%% How fast it leaves, after it has come while nothing was sent, and what it occupied meanwhile.
-spec backlog(bench_host:setup(), Count :: pos_integer()) -> bench_case:figures().
backlog(Setup, Count) ->
    Name = bench_host:start(Setup),
    ok = event_pusher:pause(Name),
    Hook = bench_event:hook(),
    ok = bench_event:push(100, Hook),
    Before = bench_memory:resident(),
    ok = push_all(Count, Name, Hook),
    MiB = max(0.1, (bench_memory:resident() - Before) / 1048576),
    #{waiting := Count} = rig:stats(Name),
    Figures = bench_rate:used(fun() ->
        ok = event_pusher:resume(Name),
        ok = bench_host:await_delivered(Name, Count),
        Count
    end),
    ok = bench_host:stop(),
    Figures#{resident => MiB}.

%% What finds no room is pushed once more: the disk may be slower than the hook.
push_all(Count, Name, Hook) ->
    case Count - maps:get(accepted, rig:stats(Name)) of
        0 -> ok;
        Missing -> ok = bench_event:push(Missing, Hook), push_all(Count, Name, Hook)
    end.
