-module(mod_event_pusher_push_plugin).
-moduledoc "Decides what is published where: the behaviour, and the plugin of each host type.".

%% Each callback is optional. What a plugin leaves out is done by
%% mod_event_pusher_push_plugin_defaults.

-export([init/2, terminate/1, complaints/1, default_plugin_module/0]).
-export([may_publish/3, prepare_notification/2, should_publish/3, publish_notification/4]).

-export_type([push_payload/0]).

-doc "The fields of a notification's summary form, in their order.".
-type push_payload() :: [{Name :: binary(), Value :: binary()}].

-doc "Asked first, to spare databases the questions that follow: false if this event cannot lead to
a notification, whatever the user has registered. A plugin with a should_publish of its own and
without this one is asked everything.".
-callback may_publish(mongoose_acc:t(), mod_event_pusher:event()) -> boolean().

-doc "What the notification says; skip for none.".
-callback prepare_notification(mongoose_acc:t(), mod_event_pusher:event()) ->
    push_payload() | skip.

-doc "Those of the user's registrations that get the notification.".
-callback should_publish(mongoose_acc:t(), mod_event_pusher:event(),
                         [mod_event_pusher_push:publish_service()]) ->
    [mod_event_pusher_push:publish_service()].

-doc "Publishes to the given registrations; not called without any. Returns the accumulator with
what a later event of the same stanza has to know, in the namespace event_pusher.".
-callback publish_notification(mongoose_acc:t(), mod_event_pusher:event(), push_payload(),
                               [mod_event_pusher_push:publish_service()]) -> mongoose_acc:t().

-optional_callbacks([may_publish/2, prepare_notification/2, should_publish/3,
                     publish_notification/4]).
-define(CALLBACKS, [{may_publish, 2}, {prepare_notification, 2}, {should_publish, 3},
                    {publish_notification, 4}]).

-define(KEY(HostType), {?MODULE, HostType}).

-spec init(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
init(HostType, #{plugin_module := Plugin}) ->
    persistent_term:put(?KEY(HostType), Plugin).

%% A module without any of the callbacks would do what the default plugin does, which nobody means
%% who names another one.
-spec complaints(module()) -> [binary()].
complaints(Plugin) ->
    event_pusher_callbacks:complaints(plugin_module, Plugin, {any, ?CALLBACKS}).

-spec terminate(mongooseim:host_type()) -> ok.
terminate(HostType) ->
    _ = persistent_term:erase(?KEY(HostType)),
    ok.

-spec default_plugin_module() -> module().
default_plugin_module() ->
    mod_event_pusher_push_plugin_defaults.

-spec may_publish(mongooseim:host_type(), mongoose_acc:t(), mod_event_pusher:event()) -> boolean().
may_publish(HostType, Acc, Event) ->
    Plugin = plugin(HostType),
    case exports(Plugin, may_publish, 2) orelse not exports(Plugin, should_publish, 3) of
        true -> boolean(call(Plugin, may_publish, [Acc, Event]));
        false -> true
    end.

boolean(Answer) when is_boolean(Answer) -> Answer;
boolean(_Answer) -> error({bad_plugin_result, may_publish}).

-spec prepare_notification(mongoose_acc:t(), mod_event_pusher:event()) -> push_payload() | skip.
prepare_notification(Acc, Event) ->
    case call(of_acc(Acc), prepare_notification, [Acc, Event]) of
        skip ->
            skip;
        Payload ->
            is_payload(Payload) orelse error({bad_plugin_result, prepare_notification}),
            Payload
    end.

-spec should_publish(mongoose_acc:t(), mod_event_pusher:event(),
                     [mod_event_pusher_push:publish_service()]) ->
    [mod_event_pusher_push:publish_service()].
should_publish(Acc, Event, Services) ->
    case call(of_acc(Acc), should_publish, [Acc, Event, Services]) of
        Chosen when is_list(Chosen) -> Chosen;
        _ -> error({bad_plugin_result, should_publish})
    end.

-spec publish_notification(mongoose_acc:t(), mod_event_pusher:event(), push_payload(),
                           [mod_event_pusher_push:publish_service()]) -> mongoose_acc:t().
publish_notification(Acc, Event, Payload, Services) ->
    case call(of_acc(Acc), publish_notification, [Acc, Event, Payload, Services]) of
        #{mongoose_acc := true} = NewAcc -> NewAcc;
        _ -> error({bad_plugin_result, publish_notification})
    end.

%% Helpers

call(Plugin, Callback, Args) ->
    case exports(Plugin, Callback, length(Args)) of
        true -> apply(Plugin, Callback, Args);
        false -> apply(default_plugin_module(), Callback, Args)
    end.

%% The plugin was loaded by the check at the start.
exports(Plugin, Callback, Arity) ->
    erlang:function_exported(Plugin, Callback, Arity).

of_acc(Acc) ->
    plugin(mongoose_acc:host_type(Acc)).

plugin(HostType) ->
    persistent_term:get(?KEY(HostType)).

is_payload(Payload) when is_list(Payload) ->
    lists:all(fun({Name, Value}) -> is_binary(Name) andalso is_binary(Value);
                 (_Other) -> false
              end, Payload);
is_payload(_Other) ->
    false.
