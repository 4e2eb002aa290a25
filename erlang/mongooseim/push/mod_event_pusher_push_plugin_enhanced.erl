-module(mod_event_pusher_push_plugin_enhanced).
-moduledoc "As the defaults, and notifies of messages that a client did not acknowledge.".

-behaviour(mod_event_pusher_push_plugin).

-export([may_publish/2, should_publish/3]).

-include("mod_event_pusher_events.hrl").

-spec may_publish(mongoose_acc:t(), mod_event_pusher:event()) -> boolean().
may_publish(_Acc, #unack_msg_event{}) -> true;
may_publish(Acc, Event) -> mod_event_pusher_push_plugin_defaults:may_publish(Acc, Event).

%% The session that did not acknowledge knows which of the user's registrations is its own.
-spec should_publish(mongoose_acc:t(), mod_event_pusher:event(),
                     [mod_event_pusher_push:publish_service()]) ->
    [mod_event_pusher_push:publish_service()].
should_publish(Acc, #unack_msg_event{to = Jid}, _Services) ->
    event_pusher_push_registrations:of_session(Jid)
        -- mongoose_acc:get(event_pusher, published_services, [], Acc);
should_publish(Acc, Event, Services) ->
    mod_event_pusher_push_plugin_defaults:should_publish(Acc, Event, Services).
