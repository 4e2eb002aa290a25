-module(mod_event_pusher_sns_defaults).
-moduledoc "The plugin of the SNS backend where none is configured: bare JIDs, no attributes.".

-behaviour(mod_event_pusher_sns).

-export([user_guid/1, message_attributes/3, message_attributes/5]).

-spec user_guid(jid:jid()) -> mod_event_pusher_sns:user_guid().
user_guid(User) ->
    jid:to_binary(jid:to_lower(jid:to_bare(User))).

-spec message_attributes(mod_event_pusher_sns:topic_arn(), jid:jid(), boolean()) ->
    mod_event_pusher_sns:attributes().
message_attributes(_TopicArn, _User, _IsOnline) ->
    #{}.

-spec message_attributes(mod_event_pusher_sns:topic_arn(), jid:jid(), jid:jid(), pm | muc,
                         exml:element()) -> mod_event_pusher_sns:attributes().
message_attributes(_TopicArn, _From, _To, _Kind, _Packet) ->
    #{}.
