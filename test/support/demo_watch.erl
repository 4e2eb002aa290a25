-module(demo_watch).
-moduledoc "What an operator sees while the demo plays: log lines, and metrics that have changed.".

-export([start/0, log/0, log_until/1, log_rest/0, metrics/1, totals/0]).

-define(WITHIN_MS, 5000).
%% More than from one report to the next.
-define(QUIET_MS, 1000).
-define(SEEN, demo_watch_seen).

%% Log lines go to this process, and nowhere else.
-spec start() -> ok.
start() ->
    ok = logger:set_primary_config(level, warning),
    ok = logger:set_handler_config(default, level, emergency),
    ok = log_capture:start().

%% Shows the lines that are there.
-spec log() -> ok.
log() ->
    lists:foreach(fun show/1, log_capture:all()).

%% Shows lines until each `what' was there. They come with the next report of the pool.
-spec log_until(Whats :: [atom()]) -> ok.
log_until([]) ->
    ok;
log_until(Whats) ->
    receive
        {logged, Report} -> show(Report), log_until(Whats -- [maps:get(what, Report, none)])
    after ?WITHIN_MS ->
        demo_text:say("  the log has no line ~0tp", [Whats])
    end.

%% Shows lines until there are no more.
-spec log_rest() -> ok.
log_rest() ->
    receive {logged, Report} -> show(Report), log_rest() after ?QUIET_MS -> ok end.

show(Report) ->
    demo_text:say("  log      ~ts", [demo_text:logged(Report)]).

%% Shows those of the pools of this type that changed since they were last shown, and are not 0.
-spec metrics(event_pusher_backend:pool_type()) -> ok.
metrics(PoolType) ->
    All = maps:filter(fun({Event, Labels, _}, _) -> is_of(PoolType, Event, Labels) end,
                      host_metrics:latest()),
    Seen = persistent_term:get(?SEEN, #{}),
    persistent_term:put(?SEEN, maps:merge(Seen, All)),
    [demo_text:say("  metric   ~s_~s{~ts} ~b", [Event, Metric, labels(Labels), Value])
     || {{Event, Labels, Metric} = Key, Value} <- lists:sort(maps:to_list(All)),
        maps:get(Key, Seen, 0) =/= Value, Value =/= 0],
    ok.

%% What became of all events, by pool.
-spec totals() -> ok.
totals() ->
    Counts = [{maps:get(pool_type, Labels), [atom_to_list(Metric), " ", integer_to_list(Value)]}
              || {{event_pusher_events, Labels, Metric}, Value}
                     <- lists:sort(maps:to_list(host_metrics:latest())), Value =/= 0],
    Of = fun(PoolType) -> lists:join(", ", proplists:get_all_values(PoolType, Counts)) end,
    [demo_text:say("  ~-8s ~s", [PoolType, Of(PoolType)]) || PoolType <- [sns, http, rabbit, push]],
    ok.

is_of(PoolType, Event, #{pool_type := PoolType}) -> is_ours(Event);
is_of(_PoolType, _Event, _Labels) -> false.

is_ours(Event) -> lists:prefix("event_pusher_", atom_to_list(Event)).

labels(Labels) ->
    lists:join(",", [[atom_to_list(Name), "=", io_lib:format("~s", [Value])]
                     || {Name, Value} <- lists:sort(maps:to_list(Labels))]).
