-module(mod_event_pusher_push_plugin_hints).
-moduledoc "As the enhanced plugin, and heeds processing hints: XEP-0334, and calls of XEP-0353.".

-behaviour(mod_event_pusher_push_plugin).

-export([may_publish/2, prepare_notification/2, should_publish/3]).

-include("exml.hrl").

-define(NS_HINTS, <<"urn:xmpp:hints">>).
-define(NS_JINGLE_MESSAGE, <<"urn:xmpp:jingle-message:0">>).

-spec may_publish(mongoose_acc:t(), mod_event_pusher:event()) -> boolean().
may_publish(Acc, Event) ->
    mod_event_pusher_push_plugin_enhanced:may_publish(Acc, Event).

-spec should_publish(mongoose_acc:t(), mod_event_pusher:event(),
                     [mod_event_pusher_push:publish_service()]) ->
    [mod_event_pusher_push:publish_service()].
should_publish(Acc, Event, Services) ->
    mod_event_pusher_push_plugin_enhanced:should_publish(Acc, Event, Services).

-spec prepare_notification(mongoose_acc:t(), mod_event_pusher:event()) ->
    mod_event_pusher_push_plugin:push_payload() | skip.
prepare_notification(Acc, Event) ->
    {From, _To, Packet} = mongoose_acc:packet(Acc),
    case has_hint(Packet, <<"no-store">>) of
        true ->
            skip;
        false ->
            case mod_event_pusher_push_plugin_defaults:prepare_notification(Acc, Event) of
                skip -> call(From, Packet);
                Payload -> Payload
            end
    end.

has_hint(Packet, Name) ->
    exml_query:subelement_with_name_and_ns(Packet, Name, ?NS_HINTS) =/= undefined.

%% A message without a body about a call, which the sender wants to be kept.
call(From, Packet) ->
    Call = exml_query:subelement_with_ns(Packet, ?NS_JINGLE_MESSAGE),
    case has_hint(Packet, <<"store">>) andalso Call =/= undefined of
        true -> call(From, exml_query:attr(Call, <<"id">>), Call);
        false -> skip
    end.

call(_From, undefined, _Call) ->
    skip;
call(From, Id, #xmlel{name = Name}) ->
    [{<<"message-sender">>, jid:to_binary(jid:to_bare(From))},
     {<<"jingle-message">>, Name},
     {<<"jingle-session-id">>, Id}].
