-module(event_pusher_rules).
-moduledoc "Applies the rules of the configuration: which event goes to which backend, and with what.".

%% A handler of the hook push_event, between filters and backends, decides once for all backends. The
%% verdict is beside the metadata in what handlers pass on. Without it, as after a filter that does not
%% pass it on, or a handler that crashed, each backend asks the rules itself: no event goes where it
%% must not.

%% Called when mod_event_pusher starts and stops
-export([start/2, stop/1, instrumentation/2]).
%% Hook handler
-export([push_event/3]).
%% Called by backends
-export([apply_to/4]).

-export_type([verdict/0]).

%% The backends that do not get the event, and metadata that is for some of the others only.
-opaque verdict() :: {Dropped :: backends(), [{backends(), mod_event_pusher:metadata()}]}.
-type backends() :: event_pusher_rules_options:backends().
-type rules() :: [event_pusher_rules_options:rule(), ...].

-define(DROPPED, event_pusher_rules).
-define(KEY(HostType), {?MODULE, HostType}).
-define(VERDICT, ?MODULE).
%% After filters, whose priority is 10 in the example, and before backends, which have 50.
-define(PRIORITY, 20).
-define(ALL, 2#1111).
%% All but push notifications.
-define(WITH_METADATA, 2#0111).

%% Start and stop

%% Nothing is there without rules.
-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(HostType, #{rules := [_ | _] = Rules} = Opts) ->
    case event_pusher_rules_options:read(Rules) of
        {ok, Read} ->
            Handlers = handlers(HostType, Read, Opts),
            persistent_term:put(?KEY(HostType), Handlers),
            gen_hook:add_handlers(Handlers);
        {error, Complaints} ->
            %% The server would not register them again.
            mongoose_instrument:tear_down(instrumentation(HostType, Opts)),
            error(#{what => event_pusher_bad_rules, host_type => HostType, reason => Complaints})
    end;
start(_HostType, _Opts) ->
    ok.

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    ok = gen_hook:delete_handlers(persistent_term:get(?KEY(HostType), [])),
    _ = persistent_term:erase(?KEY(HostType)),
    ok.

%% The server may run a handler for a while after the stop. So it has the rules itself.
handlers(HostType, Rules, Opts) ->
    Configured = [Bit || {Backend, Bit} <- event_pusher_rules_options:backends(),
                         is_map_key(Backend, Opts)],
    Extra = #{rules => Rules, configured => lists:sum(Configured)},
    [{push_event, HostType, fun ?MODULE:push_event/3, Extra, ?PRIORITY}].

-spec instrumentation(mongooseim:host_type(), gen_mod:module_opts()) ->
    [mongoose_instrument:spec()].
instrumentation(HostType, #{rules := [_ | _]} = Opts) ->
    Metrics = [{metric(Backend), spiral} || {Backend, _} <- event_pusher_rules_options:backends(),
                                            is_map_key(Backend, Opts)],
    [{?DROPPED, #{host_type => HostType}, #{metrics => maps:from_list(Metrics)}}];
instrumentation(_HostType, _Opts) ->
    [].

metric(sns) -> dropped_sns;
metric(http) -> dropped_http;
metric(rabbit) -> dropped_rabbit;
metric(push) -> dropped_push.

%% Events

%% An event that no backend gets ends here, as with a filter.
-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), rules := rules(),
                   configured := backends(), _ => _}) ->
    {ok | stop, mod_event_pusher:push_event_acc()}.
push_event(HookAcc, #{event := Event}, #{host_type := HostType, rules := Rules,
                                         configured := Configured}) ->
    {Dropped, Ruled} = rule(Rules, Event, HookAcc),
    ok = count(HostType, Dropped band Configured),
    case Dropped of
        ?ALL -> {stop, Ruled};
        _Some -> {ok, Ruled}
    end.

-spec rule(rules(), mod_event_pusher:event(), mod_event_pusher:push_event_acc()) ->
    {backends(), mod_event_pusher:push_event_acc()}.
rule(Rules, Event, #{acc := Acc} = HookAcc) ->
    Kind = event_pusher_rules_event:kind(Event),
    {Dropped, Added} = decide(Rules, Kind, event_pusher_rules_event:new(Event, Acc), ?ALL, 0, []),
    {ForAll, ForSome} = lists:splitwith(fun({Backends, _}) ->
                                            ?WITH_METADATA band bnot (Backends bor Dropped) =:= 0
                                        end, lists:reverse(Added)),
    {Dropped, (with(ForAll, HookAcc))#{?VERDICT => {Dropped, ForSome}}}.

%% Undecided are the backends for which no rule has decided yet.
decide([], _Kind, _Event, _Undecided, Dropped, Added) ->
    {Dropped, Added};
decide(_Rules, _Kind, _Event, 0, Dropped, Added) ->
    {Dropped, Added};
decide([{Backends, Kinds, Conditions, Action, Metadata} | Others], Kind, Event, Undecided, Dropped,
       Added) when Kinds band Kind =/= 0, Backends band Undecided =/= 0 ->
    case event_pusher_rules_event:meets(Conditions, Event) of
        {false, Known} ->
            decide(Others, Kind, Known, Undecided, Dropped, Added);
        {true, Known} ->
            For = Backends band Undecided,
            decide(Others, Kind, Known, undecided(Action, Undecided, For),
                   dropped(Action, Dropped, For), added(Metadata, For, Added))
    end;
decide([_OfOthers | Others], Kind, Event, Undecided, Dropped, Added) ->
    decide(Others, Kind, Event, Undecided, Dropped, Added).

undecided(none, Undecided, _For) -> Undecided;
undecided(_Action, Undecided, For) -> Undecided band bnot For.

dropped(drop, Dropped, For) -> Dropped bor For;
dropped(_Action, Dropped, _For) -> Dropped.

added(Metadata, _For, Added) when map_size(Metadata) =:= 0 -> Added;
added(Metadata, For, Added) -> [{For, Metadata} | Added].

%% Of two rules, the later one counts.
with([], HookAcc) ->
    HookAcc;
with(Added, HookAcc) ->
    HookAcc#{metadata => lists:foldl(fun({_Backends, More}, Metadata) ->
                                         maps:merge(Metadata, More)
                                     end, maps:get(metadata, HookAcc, #{}), Added)}.

%% After a stop, handlers may still run while the metric is gone already. The verdict counts.
count(_HostType, 0) ->
    ok;
count(HostType, Dropped) ->
    Counts = [{metric(Backend), 1} || {Backend, Bit} <- event_pusher_rules_options:backends(),
                                      Dropped band Bit =/= 0],
    try
        mongoose_instrument:execute(?DROPPED, #{host_type => HostType}, maps:from_list(Counts))
    catch
        error:_ -> ok
    end.

%% Backends

%% The event as the backend gets it, if it does.
-spec apply_to(event_pusher_rules_options:backend(), mod_event_pusher:push_event_acc(),
               mod_event_pusher:event(), mongooseim:host_type()) ->
    mod_event_pusher:push_event_acc() | dropped.
apply_to(Backend, #{?VERDICT := {Dropped, ForSome}} = HookAcc, _Event, _HostType) ->
    {Backend, Bit} = lists:keyfind(Backend, 1, event_pusher_rules_options:backends()),
    case Dropped band Bit of
        0 -> with([Added || {For, _} = Added <- ForSome, For band Bit =/= 0], HookAcc);
        _ -> dropped
    end;
apply_to(Backend, HookAcc, Event, HostType) ->
    case persistent_term:get(?KEY(HostType), []) of
        [] ->
            HookAcc;
        [{_Hook, _HostType, _Handler, #{rules := Rules}, _Priority}] ->
            {_Dropped, Ruled} = rule(Rules, Event, HookAcc),
            apply_to(Backend, Ruled, Event, HostType)
    end.
