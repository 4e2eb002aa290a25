-module(event_pusher_backend).
-moduledoc "What backends with a pool share: the option queue, metrics, log lines, isolation.".

-export([start/3, start/4, queue_spec/0, queue_opts/1, instrumentation/1]).
-export([start_pool/1, stop_pools/1, complaints/1, queue_complaints/1, refuse/2]).
-export([isolate/2, isolate/3, body/1]).
%% Called by the owner of the pool
-export([report/4, report/3, delivered_after/2]).

-export_type([pool_type/0, labels/0, fields/0, queue_opts/0, pool/0]).

-include("mongoose_config_spec.hrl").
-include_lib("kernel/include/logger.hrl").

-type pool_type() :: http | push | rabbit | sns.
%% Of metrics, log lines and errors, as the server names those of its pools: its handler for
%% Exometer knows no other set, and complains at each measurement. A pool tag is what the server
%% calls the pool of a backend.
-type labels() :: #{host_type := mongooseim:host_type(), pool_type := pool_type(),
                    pool_tag := atom()}.

%% Of log lines about a pool with a receiver.
-type fields() :: #{host_type := mongooseim:host_type(), pool_type := pool_type(),
                    pool_tag := atom(), receiver => binary()}.

%% A pool that a module needs. The settings are those that the option queue does not give; complaints
%% are about other options of the module.
-type pool() :: #{name := event_pusher:name(), labels := labels(), settings := map(),
                  opts := gen_mod:module_opts(), complaints => [binary()],
                  report_to := event_pusher:report_to()}.

-type queue_opts() :: #{max_events := pos_integer(), max_bytes := pos_integer(),
                        drain_timeout_ms := non_neg_integer()}.

%% Deliveries and drops are counted per event, retries per event and attempt.
-define(EVENTS, event_pusher_events).
-define(QUEUE, event_pusher_queue).
-define(CONNECTION, event_pusher_connection).

-define(DAY_MS, 86400000).
%% The longest wait between two attempts, unless the receiver asks for more.
-define(RETRY_MAX_MS, 60000).

%% Starting a module

-spec start(module(), mongooseim:host_type(), fun(() -> ok)) -> ok.
start(Module, HostType, Start) ->
    start(Module, HostType, fun() -> ok end, Start).

%% A start that fails leaves nothing behind: neither what the module has started, nor its metrics,
%% which the server has registered before and would not register again. While it is only checked
%% whether it may start, there is nothing to stop.
-spec start(module(), mongooseim:host_type(), Check :: fun(() -> ok), fun(() -> ok)) -> ok.
start(Module, HostType, Check, Start) ->
    try
        ok = start_application(),
        ok = Check(),
        start_or_stop(Module, HostType, Start)
    catch
        Class:Reason:Stacktrace ->
            mongoose_instrument:tear_down(Module:instrumentation(HostType)),
            %% The server logs both.
            erlang:raise(Class, event_pusher_crash:outline(Reason),
                         event_pusher_crash:places(Stacktrace))
    end.

start_or_stop(Module, HostType, Start) ->
    try
        Start()
    catch
        Class:Reason:Stacktrace ->
            Module:stop(HostType),
            erlang:raise(Class, Reason, Stacktrace)
    end.

%% What is read when a module starts may have been changed since the application did.
start_application() ->
    case application:ensure_all_started(event_pusher) of
        {ok, _} -> settings_are_good(event_pusher_env:check());
        {error, Reason} -> error(#{what => event_pusher_not_started, reason => cause(Reason)})
    end.

settings_are_good(ok) -> ok;
settings_are_good({error, Error}) -> error(Error).

%% Without what the application controller adds to it.
cause({event_pusher, {Cause, {event_pusher_app, start, _Args}}}) -> Cause;
cause(Reason) -> Reason.

%% Options

%% The optional section queue of a backend: how much may wait, and for how long at the stop.
-spec queue_spec() -> #section{}.
queue_spec() ->
    #section{items = #{<<"max_events">> => #option{type = integer, validate = positive},
                       <<"max_bytes">> => #option{type = integer, validate = positive},
                       <<"drain_timeout_ms">> => #option{type = integer,
                                                         validate = non_negative}}}.

%% Not in the spec: existing configurations keep the very options that they have today. The server's
%% own callers give a change of modules 5 seconds, in which all four backends may have to stop.
-spec queue_opts(gen_mod:module_opts()) -> queue_opts().
queue_opts(Opts) ->
    Defaults = #{max_events => 100000, max_bytes => 64 * 1024 * 1024, drain_timeout_ms => 1000},
    maps:merge(Defaults, maps:get(queue, Opts, #{})).

%% Pools

-spec start_pool(pool()) -> ok.
start_pool(#{name := Name, labels := Labels, report_to := ReportTo} = Pool) ->
    warn_unverified(Pool),
    case own_complaints(Pool) of
        [] -> started(event_pusher:start_pool(Name, settings(Pool), ReportTo), Labels);
        _ -> refuse(Labels, complaints(Pool))
    end.

warn_unverified(#{labels := Labels, settings := #{target := #{tls := Tls}}}) ->
    event_pusher_outgoing:warn_unverified(Labels, Tls);
warn_unverified(_WithoutOptions) ->
    ok.

started(ok, _Labels) -> ok;
started({error, Reason}, Labels) -> refuse(Labels, Reason).

%% A line for each option that cannot be used.
-spec complaints(pool()) -> [binary()].
complaints(Pool) ->
    own_complaints(Pool) ++ case event_pusher:check_pool(settings(Pool)) of
                                ok -> [];
                                {error, Complaints} -> Complaints
                            end.

own_complaints(#{opts := Opts} = Pool) ->
    maps:get(complaints, Pool, []) ++ queue_complaints(Opts).

%% The numbers that the native side does not see.
-spec queue_complaints(gen_mod:module_opts()) -> [binary()].
queue_complaints(Opts) ->
    case queue_opts(Opts) of
        #{drain_timeout_ms := Drain} when Drain =< ?DAY_MS ->
            [];
        #{drain_timeout_ms := Drain} ->
            [iolist_to_binary(io_lib:format("queue.drain_timeout_ms: must be from 0 to ~b, got ~b",
                                            [?DAY_MS, Drain]))]
    end.

settings(#{settings := Settings, opts := Opts}) ->
    Defaults = #{retry_max_ms => ?RETRY_MAX_MS},
    maps:merge(maps:merge(Defaults, queue_opts(Opts)), Settings).

%% Ends the start of a module, with a line for each option that cannot be used.
-spec refuse(labels(), Reason :: atom() | [binary(), ...]) -> no_return().
refuse(Labels, Reason) ->
    error(Labels#{what => event_pusher_pool_not_started, reason => Reason}).

%% Drains the pools at the same time.
-spec stop_pools([event_pusher:name()]) -> ok.
stop_pools(Names) ->
    event_pusher:stop_pools(Names).

%% Messages

%% The text of the first body, if there is one.
-spec body(exml:element()) -> binary() | none.
body(Packet) ->
    case exml_query:subelements(Packet, <<"body">>) of
        [Body | _] -> exml_query:cdata(Body);
        [] -> none
    end.

%% Metrics

-spec instrumentation(labels()) -> [mongoose_instrument:spec()].
instrumentation(#{pool_type := PoolType} = All) ->
    Labels = event_pusher_compat:metric_labels(All),
    Fates = maps:from_keys([delivered, rejected, exhausted, closed, full | own_fates(PoolType)],
                           spiral),
    [{?EVENTS, Labels, #{metrics => Fates#{retried => spiral, time => histogram}}},
     {?QUEUE, Labels, #{metrics => #{events => gauge, bytes => gauge, in_flight => gauge,
                                     oldest_ms => gauge}}}
     | [{?CONNECTION, Labels, #{metrics => #{up => gauge, blocked => gauge, opened => spiral,
                                             lost => spiral, failed => spiral,
                                             nacks => spiral}}}
        || PoolType =:= rabbit]].

%% What events end as with one kind of pool only.
own_fates(push) -> [unanswered];
own_fates(rabbit) -> [nacked];
own_fates(_PoolType) -> [].

%% Turns what happened in a native pool between two reports into measurements and log lines. Levels
%% are those of all pools that have the same labels.
-spec report(event_pusher:report(), event_pusher:report(), fields(), [event_pusher:name()]) -> ok.
report(Previous, Report, Fields, Names) ->
    All = [Stats || Name <- Names, {ok, Stats} <- [event_pusher:stats(Name)]],
    tell(Previous, Report, Fields, All).

%% The same for a pool that is the only one with its labels.
-spec report(event_pusher:report(), event_pusher:report(), labels()) -> ok.
report(Previous, Report, Labels) ->
    tell(Previous, Report, Labels, [Report]).

tell(Previous, Report, Fields, All) ->
    Labels = maps:remove(receiver, Fields),
    Counts = counts(Previous, Report),
    measure(Counts, Report, Labels),
    measure_levels(Labels, All),
    log_drops(Counts, Report, Fields),
    log_retries(Counts, Report, Fields),
    log_batching(Previous, Report, Fields),
    log_clock(Previous, Report, Fields),
    report_connection(Previous, Report, Fields).

-spec counts(event_pusher:report(), event_pusher:report()) -> #{atom() => non_neg_integer()}.
counts(Previous, Report) ->
    Since = fun(Keys) -> lists:sum([since(Key, Previous, Report) || Key <- Keys]) end,
    #{delivered => Since([delivered]),
      rejected => Since([rejected]),
      exhausted => Since([exhausted]),
      nacked => Since([nacked]),
      unanswered => Since([unanswered]),
      closed => Since([closed, refused_closed]),
      full => Since([refused_full]),
      retried => Since([retried])}.

%% Not every kind of pool has all counters.
-spec since(atom(), event_pusher:report(), event_pusher:report()) -> non_neg_integer().
since(Key, Previous, Report) ->
    maps:get(Key, Report, 0) - maps:get(Key, Previous, 0).

measure(Counts, #{times_us := Times}, Labels) ->
    execute_some(?EVENTS, Labels, Counts),
    lists:foreach(fun(Time) -> delivered_after(Time, Labels) end, Times).

%% One of the times from acceptance to delivery.
-spec delivered_after(Us :: non_neg_integer(), labels()) -> ok.
delivered_after(Time, Labels) ->
    execute(?EVENTS, Labels, #{time => Time}).

execute(Event, Labels, Measurements) ->
    mongoose_instrument:execute(Event, event_pusher_compat:metric_labels(Labels), Measurements).

%% Nothing is executed for what did not happen.
execute_some(Event, Labels, Counts) ->
    case maps:filter(fun(_Key, Count) -> Count > 0 end, Counts) of
        None when map_size(None) =:= 0 -> ok;
        Some -> execute(Event, Labels, Some)
    end.

-spec measure_levels(labels(), [event_pusher:stats()]) -> ok.
measure_levels(Labels, All) ->
    Of = fun(Key) -> [maps:get(Key, Stats) || Stats <- All] end,
    Levels = #{events => lists:sum(Of(queue_events)), bytes => lists:sum(Of(queue_bytes)),
               in_flight => lists:sum(Of(in_flight)), oldest_ms => lists:max([0 | Of(oldest_ms)])},
    execute(?QUEUE, Labels, Levels).

%% Log lines

log_drops(Counts, Report, Fields) ->
    Causes = [{rejected, maps:get(last_rejected, Report)},
              {exhausted, maps:get(last_exhausted, Report)},
              {nacked, maps:get(last_nacked, Report, undefined)},
              {unanswered, <<"module is stopped">>},
              {closed, <<"module is stopped">>},
              {full, <<"queue is full">>}],
    lists:foreach(fun({Reason, Cause}) ->
                      log_drop(maps:get(Reason, Counts), Reason, Cause, Fields)
                  end, Causes).

log_drop(0, _Reason, _Cause, _Fields) ->
    ok;
log_drop(Count, Reason, Cause, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_drops, reason => Reason, count => Count,
                         last_cause => Cause}).

log_retries(#{retried := 0}, _Report, _Fields) ->
    ok;
log_retries(#{retried := Count}, #{last_retried := Cause}, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_retries, count => Count, last_cause => Cause}).

log_batching(#{batch_limit := Before}, #{batch_limit := 1}, Fields) when Before > 1 ->
    ?LOG_NOTICE(Fields#{what => event_pusher_batching_off,
                        text => <<"The endpoint has no PublishBatch, events go one by one. "
                                  "Batches are tried again in an hour">>});
log_batching(_Previous, _Report, _Fields) ->
    ok.

%% Once for each correction, which is of minutes at least; not when the clock has been set right.
log_clock(#{clock_offset_s := Same}, #{clock_offset_s := Same}, _Fields) ->
    ok;
log_clock(_Previous, #{clock_offset_s := Ahead}, _Fields) when abs(Ahead) < 60 ->
    ok;
log_clock(_Previous, #{clock_offset_s := Ahead}, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_clock, receiver_ahead_s => Ahead,
                         text => <<"The clock of this machine is not that of the receiver. "
                                   "Requests are signed for its time; set this clock right">>}).

%% The connection that a pool keeps

report_connection(Previous, #{connection := State} = Report, Fields) when State =/= none ->
    Labels = maps:remove(receiver, Fields),
    execute(?CONNECTION, Labels, #{up => level(State =/= down),
                                                       blocked => level(State =:= blocked)}),
    Changes = maps:from_list([{Key, since(Counter, Previous, Report)}
                              || {Key, Counter} <- [{opened, connections_opened},
                                                    {lost, connections_lost},
                                                    {failed, connections_failed},
                                                    {nacks, nacks}]]),
    execute_some(?CONNECTION, Labels, Changes),
    log_connection(connection_change(Previous, Report, Changes), Changes, Report, Fields),
    log_refusal(Previous, Report, Fields),
    log_limit(Previous, Report, Fields);
report_connection(_Previous, _Report, _Fields) ->
    ok.

level(true) -> 1;
level(false) -> 0.

%% What is worth a line: once per change, and the first failure of all.
-spec connection_change(event_pusher:report(), event_pusher:report(), map()) ->
    none | down | up | blocked.
connection_change(_Previous, #{connection := up}, #{opened := Opened}) when Opened > 0 -> up;
connection_change(#{connection := blocked}, #{connection := up}, _Changes) -> up;
connection_change(#{connection := blocked}, #{connection := blocked}, #{lost := 0}) -> none;
connection_change(_Previous, #{connection := blocked}, _Changes) -> blocked;
connection_change(_Previous, #{connection := down}, #{lost := Lost}) when Lost > 0 -> down;
connection_change(#{connections_failed := 0, connections_opened := 0}, #{connection := down},
                  #{failed := Failed}) when Failed > 0 -> down;
connection_change(_Previous, _Report, _Changes) -> none.

log_connection(none, _Changes, _Report, _Fields) ->
    ok;
log_connection(up, #{lost := Lost}, _Report, Fields) ->
    ?LOG_NOTICE(Fields#{what => event_pusher_connection_up, lost => Lost});
log_connection(Change, #{lost := Lost, failed := Failed}, #{connection_cause := Cause}, Fields) ->
    What = case Change of
               down -> event_pusher_connection_down;
               blocked -> event_pusher_connection_blocked
           end,
    ?LOG_WARNING(Fields#{what => What, lost => Lost, failed_attempts => Failed,
                         last_cause => Cause}).

%% Somebody has to mend it, so it is told once, and again when it has changed.
log_refusal(#{connection_refused := Same}, #{connection_refused := Same}, _Fields) ->
    ok;
log_refusal(_Previous, #{connection_refused := undefined}, Fields) ->
    ?LOG_NOTICE(Fields#{what => event_pusher_connection_accepted,
                        text => <<"The broker accepts what it refused before">>});
log_refusal(_Previous, #{connection_refused := Refused}, Fields) ->
    ?LOG_ERROR(Fields#{what => event_pusher_connection_refused, reason => Refused,
                       text => <<"The broker refuses this. Events wait; it is tried again">>}).

%% It works with less, so it is told once.
log_limit(#{connection_limited := Same}, #{connection_limited := Same}, _Fields) ->
    ok;
log_limit(_Previous, #{connection_limited := undefined}, _Fields) ->
    ok;
log_limit(_Previous, #{connection_limited := Limited}, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_connection_limited, reason => Limited,
                         text => <<"Fewer batches are published at once. A higher limit counts "
                                   "for the next connection">>}).

%% Isolation

%% Runs what pushes one event. A crash, as in a plugin, costs that event and nothing else.
-spec isolate(labels(), fun(() -> term())) -> ok.
isolate(Labels, Push) ->
    isolate(Labels, fun() -> _ = Push(), ok end, ok).

%% The same where there is a result, which is the last argument after a crash.
-spec isolate(labels(), fun(() -> Result), Result) -> Result.
isolate(Labels, Push, Otherwise) ->
    try
        Push()
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(Labels#{what => event_pusher_event_failed, class => Class,
                               reason => event_pusher_crash:kind(Reason),
                               stacktrace => event_pusher_crash:places(Stacktrace)}),
            Otherwise
    end.
