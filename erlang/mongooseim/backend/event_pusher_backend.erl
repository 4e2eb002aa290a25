-module(event_pusher_backend).
-moduledoc "The behaviour of backends with native pools, and the one way of an event to them.".

%% For the functions of the same names in a backend
-export([start/3, stop/2, hooks/2, complaints/3, push_event/4]).
%% For the check of a configuration
-export([probe/3]).
%% Called by the owners of pools
-export([report/3, tell/3]).
-export([fates/1]).
%% An option of those whose receivers may be away
-export([circuit_breaker_failures/1]).

-export_type([pool_type/0, labels/0, fields/0, fates/0, pool/0]).

-type pool_type() :: http | push | rabbit | sns.
%% Of metrics, log lines and errors, as the server names those of its pools: its handler for
%% Exometer knows no other set, and complains at each measurement. A pool tag is what the server
%% calls the pool of a backend.
-type labels() :: #{host_type := mongooseim:host_type(), pool_type := pool_type(),
                    pool_tag := atom()}.

%% Of log lines about a pool with a receiver.
-type fields() :: #{host_type := mongooseim:host_type(), pool_type := pool_type(),
                    pool_tag := atom(), receiver => binary()}.

%% How many events ended how, as metrics and log lines name it: also those that a pool did not accept.
-type fates() :: #{delivered | rejected | exhausted | nacked | unanswered | unroutable | expired | purged | unreadable | closed
                   | full
                       => non_neg_integer()}.

%% A pool that a backend needs. The settings are those that the options queue, retry and spool do not
%% give; complaints are about other options. The log is the name under which its events are kept on disk: the
%% same for as long as they may go to the same receiver. The context is what the backend wants to know of the pool at
%% each event.
-type pool() :: #{name := event_pusher:name(), log := binary(), labels := labels(), fields := fields(), settings := map(),
                  complaints => [binary()], report_to := event_pusher:report_to(),
                  context := term()}.

-doc "The pools that the options ask for. Asked once, at the start.".
-callback pools(mongooseim:host_type(), gen_mod:module_opts()) -> [pool()].
-doc "What an event is to the pool with this context. Runs in the process that the event is from.".
-callback message(mod_event_pusher:event(), mod_event_pusher:push_event_acc(), Context :: term()) ->
    event_pusher:message() | skip.

%% What is worked out at the start, for all events.
-define(KEY(Module, HostType), {?MODULE, Module, HostType}).
-define(CIRCUIT_BREAKER_FAILURES, 5).
%% The longest wait between two attempts, unless the receiver asks for more.
-define(RETRY_MAX_MS, 60000).

%% Starting and stopping

-spec start(module(), mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(Module, HostType, Opts) ->
    event_pusher_start:run(Module, HostType, fun() -> ok end,
                           fun() -> start_pools(Module, HostType, Opts) end).

%% All are remembered before the first one starts, so that a stop finds them if one does not.
start_pools(Module, HostType, Opts) ->
    Pools = Module:pools(HostType, Opts),
    Known = [maps:with([name, labels, context], Pool) || Pool <- Pools],
    persistent_term:put(?KEY(Module, HostType), Known),
    lists:foreach(fun(Pool) -> start_pool(Pool, Opts), enter(Pool) end, Pools).

enter(#{name := Name, fields := Fields}) ->
    event_pusher_directory:enter(Name, Fields#{module => event_pusher_pool}).

-spec start_pool(pool(), gen_mod:module_opts()) -> ok.
start_pool(#{name := Name, labels := Labels, report_to := ReportTo} = Pool, Opts) ->
    warn_unverified(Pool),
    case own_complaints(Pool, Opts) of
        [] -> started(event_pusher:start_pool(Name, settings(Pool, Opts), ReportTo), Labels);
        _ -> event_pusher_start:refuse(Labels, pool_complaints(Pool, Opts))
    end.

warn_unverified(#{labels := Labels, settings := #{backend := {_, #{tls := Tls}}}}) ->
    event_pusher_tls:warn_unverified(Labels, Tls);
warn_unverified(_WithoutOptions) ->
    ok.

started(ok, _Labels) -> ok;
started({error, Reason}, Labels) -> event_pusher_start:refuse(Labels, Reason).

%% Drains the pools at the same time.
-spec stop(module(), mongooseim:host_type()) -> ok.
stop(Module, HostType) ->
    Names = [Name || #{name := Name} <- known(Module, HostType)],
    event_pusher:stop_pools(Names),
    lists:foreach(fun event_pusher_directory:leave/1, Names),
    _ = persistent_term:erase(?KEY(Module, HostType)),
    ok.

-spec known(module(), mongooseim:host_type()) ->
    [#{name := event_pusher:name(), labels := labels(), context := term()}].
known(Module, HostType) ->
    persistent_term:get(?KEY(Module, HostType), []).

%% What a start would complain about, without one: a line for each option that cannot be used.
-spec complaints(module(), mongooseim:host_type(), gen_mod:module_opts()) -> [binary()].
complaints(Module, HostType, Opts) ->
    lists:append([pool_complaints(Pool, Opts) || Pool <- Module:pools(HostType, Opts)]).

pool_complaints(Pool, Opts) ->
    own_complaints(Pool, Opts) ++ case event_pusher:check_pool(settings(Pool, Opts)) of
                                      ok -> [];
                                      {error, Complaints} -> Complaints
                                  end.

%% What is found at the receivers, without anything that runs here: by their URLs.
-spec probe(module(), mongooseim:host_type(), gen_mod:module_opts()) ->
    [{Receiver :: binary(), {ok, [event_pusher:finding()]} | {error, [binary()]}}].
probe(Module, HostType, Opts) ->
    [{Receiver, event_pusher:try_receiver(settings(Pool, Opts))}
     || #{fields := #{receiver := Receiver}} = Pool <- Module:pools(HostType, Opts)].

own_complaints(Pool, Opts) ->
    maps:get(complaints, Pool, []) ++ event_pusher_spool_options:complaints(Opts).

settings(#{labels := #{pool_type := PoolType}, settings := Settings, log := Log}, Opts) ->
    Defaults = #{retry_max_ms => ?RETRY_MAX_MS},
    Shared = [event_pusher_queue_options:values(Opts),
              event_pusher_retry_options:settings(PoolType, Opts),
              event_pusher_spool_options:settings(Opts, Log)],
    lists:foldl(fun(More, All) -> maps:merge(All, More) end, Defaults, Shared ++ [Settings]).

-spec circuit_breaker_failures(map()) -> non_neg_integer().
circuit_breaker_failures(Opts) ->
    maps:get(circuit_breaker_failures, Opts, ?CIRCUIT_BREAKER_FAILURES).

%% Events

-spec hooks(module(), mongooseim:host_type()) -> gen_hook:hook_list().
hooks(Module, HostType) ->
    [{push_event, HostType, fun Module:push_event/3, #{}, 50}].

-spec push_event(module(), mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), _ => _}) ->
    {ok, mod_event_pusher:push_event_acc()}.
push_event(Module, HookAcc, #{event := Event}, #{host_type := HostType}) ->
    ok = push_ruled(known(Module, HostType), Module, Event, HookAcc, HostType),
    {ok, HookAcc}.

%% All pools are of one backend.
push_ruled([], _Module, _Event, _HookAcc, _HostType) ->
    ok;
push_ruled([#{labels := #{pool_type := Backend}} | _] = Pools, Module, Event, HookAcc, HostType) ->
    case event_pusher_rules:apply_to(Backend, HookAcc, Event, HostType) of
        dropped -> ok;
        Ruled -> push_to_each(Pools, Module, Event, Ruled)
    end.

%% A crash costs the event for one pool, and nothing else.
push_to_each([], _Module, _Event, _HookAcc) ->
    ok;
push_to_each([#{labels := Labels} = Pool | Others], Module, Event, HookAcc) ->
    Push = fun() -> push(Pool, Module, Event, HookAcc) end,
    ok = event_pusher_isolation:run(Labels, Push, ok),
    push_to_each(Others, Module, Event, HookAcc).

%% A refusal is counted by the pool; the chat must not notice it.
push(#{name := Name, context := Context}, Module, Event, HookAcc) ->
    case Module:message(Event, HookAcc, Context) of
        skip -> ok;
        Message -> _ = event_pusher:push(Name, Message), ok
    end.

%% Reports

%% What a native pool reports. Those of the names have the same labels.
-spec report(event_pusher:report(), fields(), [event_pusher:name()]) -> ok.
report(Report, Fields, Names) ->
    tell(Report, Fields, event_pusher:latest(Names)).

%% Turns a report into measurements and log lines, with the latest of all pools that have the same labels.
-spec tell(event_pusher:report(), fields(), [event_pusher:latest()]) -> ok.
tell(#{counts := Counts} = Report, Fields, All) ->
    Fates = fates(Counts),
    event_pusher_metrics:tell(Fates, Report, maps:remove(receiver, Fields), All),
    event_pusher_log:tell(Fates, Report, Fields).

-spec fates(event_pusher:counts()) -> fates().
fates(#{closed := Closed, refused_closed := RefusedClosed, full := Full,
        refused_full := RefusedFull} = Counts) ->
    Fates = maps:with([delivered, rejected, exhausted, nacked, unanswered, unroutable, expired,
                       purged, unreadable],
                      Counts),
    Fates#{closed => Closed + RefusedClosed, full => Full + RefusedFull}.
