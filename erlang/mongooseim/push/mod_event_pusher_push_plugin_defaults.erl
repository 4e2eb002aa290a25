-module(mod_event_pusher_push_plugin_defaults).
-moduledoc "Notifies users who are offline of messages with a body.".

-behaviour(mod_event_pusher_push_plugin).

-export([may_publish/2, prepare_notification/2, should_publish/3, publish_notification/4]).

-include("jid.hrl").
-include("mod_event_pusher_events.hrl").
-include_lib("kernel/include/logger.hrl").

-type payload() :: mod_event_pusher_push_plugin:push_payload().
-type services() :: [mod_event_pusher_push:publish_service()].

%% A user who is online, and a room, are the usual cases. They cost a look at the sessions and the
%% domains, and nothing else.
-spec may_publish(mongoose_acc:t(), mod_event_pusher:event()) -> boolean().
may_publish(_Acc, #chat_event{to = Recipient}) ->
    ejabberd_sm:is_offline(Recipient) andalso has_users(jid:lserver(Recipient));
may_publish(_Acc, _Event) ->
    false.

%% Subdomains have none.
has_users(Domain) ->
    case mongoose_domain_api:get_host_type(Domain) of
        {ok, _HostType} -> true;
        {error, not_found} -> false
    end.

-spec prepare_notification(mongoose_acc:t(), mod_event_pusher:event()) -> payload() | skip.
prepare_notification(Acc, _Event) ->
    {From, To, Packet} = mongoose_acc:packet(Acc),
    Type = exml_query:attr(Packet, <<"type">>),
    case {sender(Type, From, To), event_pusher_packet:body(Packet)} of
        {none, _} -> skip;
        {_, none} -> skip;
        {_, <<>>} -> skip;
        {Sender, Body} -> [{<<"message-count">>, unread_count(Acc, To)},
                           {<<"last-message-sender">>, jid:to_binary(Sender)},
                           {<<"last-message-body">>, Body}]
    end.

%% In a room, the resource is who speaks: in one of mod_muc_light, which sends a message to its
%% sender as well, the bare JID. An error quotes what the recipient wrote.
sender(<<"groupchat">>, #jid{lresource = Speaker} = From, To) ->
    case jid:to_binary(jid:to_bare(To)) of
        Speaker -> none;
        _Other -> From
    end;
sender(<<"error">>, _From, _To) -> none;
sender(_Type, From, _To) -> jid:to_bare(From).

%% One, the new message, if the server has no inbox.
unread_count(Acc, To) ->
    WithCount = event_pusher_compat:inbox_unread_count(Acc, To),
    integer_to_binary(mongoose_acc:get(inbox, unread_count, 1, WithCount)).

-spec should_publish(mongoose_acc:t(), mod_event_pusher:event(), services()) -> services().
should_publish(_Acc, _Event, []) ->
    [];
should_publish(Acc, #chat_event{to = Recipient}, Services) ->
    HostType = mongoose_acc:host_type(Acc),
    case ejabberd_sm:is_offline(Recipient) andalso exists(HostType, Recipient) of
        true -> not_published(Acc, Services);
        false -> []
    end;
should_publish(_Acc, _Event, _Services) ->
    [].

%% Rather one notification too many than none while the user database is away.
exists(HostType, User) ->
    try
        ejabberd_auth:does_user_exist(HostType, User, stored)
    catch
        _:_ -> true
    end.

not_published(Acc, Services) ->
    Services -- mongoose_acc:get(event_pusher, published_services, [], Acc).

%% A service that the queue had no room for may get the same message with a later event.
-spec publish_notification(mongoose_acc:t(), mod_event_pusher:event(), payload(), services()) ->
    mongoose_acc:t().
publish_notification(Acc, _Event, Payload, Services) ->
    Accepted = [Service || Service <- Services,
                           event_pusher_push_publisher:publish(Acc, Payload, Service) =:= ok],
    mongoose_acc:append(event_pusher, published_services, Accepted, Acc).
