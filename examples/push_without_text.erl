-module(push_without_text).
-moduledoc "An example of a push plugin: notifications tell who wrote, but not what.".

%% A notification passes through services that are not ours before it reaches a device. What a
%% plugin leaves out, here all but one callback, is done by mod_event_pusher_push_plugin_defaults.
%%
%%   [modules.mod_event_pusher.push]
%%     plugin_module = "push_without_text"

-behaviour(mod_event_pusher_push_plugin).

-export([prepare_notification/2]).

-define(BODY, <<"last-message-body">>).

-spec prepare_notification(mongoose_acc:t(), mod_event_pusher:event()) ->
    mod_event_pusher_push_plugin:push_payload() | skip.
prepare_notification(Acc, Event) ->
    case mod_event_pusher_push_plugin_defaults:prepare_notification(Acc, Event) of
        skip -> skip;
        Payload -> lists:keyreplace(?BODY, 1, Payload, {?BODY, <<"New message">>})
    end.
