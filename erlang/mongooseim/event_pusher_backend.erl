-module(event_pusher_backend).
-moduledoc "What backends with a pool share: the option queue, metrics, log lines, isolation.".

-export([queue_spec/0, start_pool/3, stop_pool/2, instrumentation/2, isolate/3, unavailable/2]).
%% Called by the owner of the pool
-export([report/4]).

-include("mongoose_config_spec.hrl").
-include_lib("kernel/include/logger.hrl").

-type backend() :: sns.

%% Deliveries and drops are counted per event, retries per event and attempt.
-define(EVENTS, event_pusher_events).
-define(QUEUE, event_pusher_queue).

%% The optional section queue of a backend: how much may wait, and for how long at the stop.
-spec queue_spec() -> #section{}.
queue_spec() ->
    #section{items = #{<<"max_events">> => #option{type = integer, validate = positive},
                       <<"max_bytes">> => #option{type = integer, validate = positive},
                       <<"drain_timeout_ms">> => #option{type = integer,
                                                         validate = non_negative}}}.

%% Not in the spec: existing configurations keep the very options that they have today.
-spec queue_opts(gen_mod:module_opts()) -> #{atom() => non_neg_integer()}.
queue_opts(Opts) ->
    Defaults = #{max_events => 100000, max_bytes => 64 * 1024 * 1024, drain_timeout_ms => 5000},
    maps:merge(Defaults, maps:get(queue, Opts, #{})).

%% Starts the pool of a backend; settings are those that the option queue does not give.
-spec start_pool(backend(), mongooseim:host_type(), #{settings := map(), opts := map()}) -> ok.
start_pool(Backend, HostType, #{settings := Settings, opts := Opts}) ->
    {ok, _} = application:ensure_all_started(event_pusher),
    PoolSettings = maps:merge(Settings, queue_opts(Opts)),
    ReportTo = {?MODULE, report, [Backend, HostType]},
    case event_pusher:start_pool({Backend, HostType}, PoolSettings, ReportTo) of
        ok ->
            ok;
        {error, Reason} ->
            error(#{what => event_pusher_pool_not_started, backend => Backend,
                    host_type => HostType, reason => Reason})
    end.

-spec stop_pool(backend(), mongooseim:host_type()) -> ok.
stop_pool(Backend, HostType) ->
    _ = event_pusher:stop_pool({Backend, HostType}),
    ok.

%% Refuses to start a backend whose options are accepted but which cannot deliver yet.
-spec unavailable(http | push | rabbit, mongooseim:host_type()) -> no_return().
unavailable(Backend, HostType) ->
    error(#{what => event_pusher_backend_unavailable, backend => Backend, host_type => HostType,
            text => <<"This version of event_pusher delivers to SNS only: "
                      "remove the backend's section or use the server's own modules">>}).

%% Metrics

-spec instrumentation(backend(), mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(Backend, HostType) ->
    Labels = #{host_type => HostType, backend => Backend},
    [{?EVENTS, Labels, #{metrics => #{delivered => spiral, rejected => spiral,
                                      exhausted => spiral, closed => spiral, full => spiral,
                                      retried => spiral, time => histogram}}},
     {?QUEUE, Labels, #{metrics => #{events => gauge, bytes => gauge, in_flight => gauge,
                                     oldest_ms => gauge}}}].

%% Turns what happened between two reports into measurements and log lines.
-spec report(event_pusher:report(), event_pusher:report(), backend(), mongooseim:host_type()) -> ok.
report(Previous, Report, Backend, HostType) ->
    Labels = #{host_type => HostType, backend => Backend},
    Counts = counts(Previous, Report),
    measure(Counts, Report, Labels),
    log_drops(Counts, Report, Labels),
    log_retries(Counts, Report, Labels),
    log_batching(Previous, Report, Labels).

-spec counts(event_pusher:report(), event_pusher:report()) -> #{atom() => non_neg_integer()}.
counts(Previous, Report) ->
    Since = fun(Keys) -> lists:sum([maps:get(K, Report) - maps:get(K, Previous) || K <- Keys]) end,
    #{delivered => Since([delivered]),
      rejected => Since([rejected]),
      exhausted => Since([exhausted]),
      closed => Since([closed, refused_closed]),
      full => Since([refused_full]),
      retried => Since([retried])}.

measure(Counts, #{times_us := Times} = Report, Labels) ->
    case maps:filter(fun(_Key, Count) -> Count > 0 end, Counts) of
        None when map_size(None) =:= 0 -> ok;
        Some -> mongoose_instrument:execute(?EVENTS, Labels, Some)
    end,
    lists:foreach(fun(Time) -> mongoose_instrument:execute(?EVENTS, Labels, #{time => Time}) end,
                  Times),
    #{queue_events := Events, queue_bytes := Bytes, in_flight := InFlight, oldest_ms := Oldest} =
        Report,
    mongoose_instrument:execute(?QUEUE, Labels, #{events => Events, bytes => Bytes,
                                                  in_flight => InFlight, oldest_ms => Oldest}).

log_drops(Counts, Report, Labels) ->
    Causes = [{rejected, maps:get(last_rejected, Report)},
              {exhausted, maps:get(last_exhausted, Report)},
              {closed, <<"module is stopped">>},
              {full, <<"queue is full">>}],
    lists:foreach(fun({Reason, Cause}) ->
                      log_drop(maps:get(Reason, Counts), Reason, Cause, Labels)
                  end, Causes).

log_drop(0, _Reason, _Cause, _Labels) ->
    ok;
log_drop(Count, Reason, Cause, Labels) ->
    ?LOG_WARNING(Labels#{what => event_pusher_drops, reason => Reason, count => Count,
                         last_cause => Cause}).

log_retries(#{retried := 0}, _Report, _Labels) ->
    ok;
log_retries(#{retried := Count}, #{last_retried := Cause}, Labels) ->
    ?LOG_WARNING(Labels#{what => event_pusher_retries, count => Count, last_cause => Cause}).

log_batching(#{batch_limit := Before}, #{batch_limit := 1}, Labels) when Before > 1 ->
    ?LOG_NOTICE(Labels#{what => event_pusher_batching_off,
                        text => <<"The endpoint has no PublishBatch, events go one by one">>});
log_batching(_Previous, _Report, _Labels) ->
    ok.

%% Isolation

%% Runs what pushes one event. A crash, as in a plugin, costs that event and nothing else.
-spec isolate(backend(), mongooseim:host_type(), fun(() -> term())) -> ok.
isolate(Backend, HostType, Push) ->
    try Push() of
        _ -> ok
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => event_pusher_event_failed, backend => Backend,
                         host_type => HostType, class => Class, reason => kind(Reason),
                         stacktrace => [without_args(Entry) || Entry <- Stacktrace]})
    end.

%% Reasons and arguments hold the packet: only their kind is shown.
-spec kind(term()) -> term().
kind(Reason) when is_atom(Reason) -> Reason;
kind({bad_plugin_result, Callback}) -> {bad_plugin_result, Callback};
kind(Reason) when is_tuple(Reason), is_atom(element(1, Reason)) -> element(1, Reason);
kind(#{what := What}) when is_atom(What) -> What;
kind(_Reason) -> other.

without_args({M, F, Args, Location}) when is_list(Args) ->
    {M, F, length(Args), without_error_info(Location)};
without_args({M, F, Arity, Location}) ->
    {M, F, Arity, without_error_info(Location)}.

without_error_info(Location) ->
    [Item || {Key, _} = Item <- Location, Key =:= file orelse Key =:= line].
