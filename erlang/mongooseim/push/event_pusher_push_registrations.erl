-module(event_pusher_push_registrations).
-moduledoc "Where registrations begin and end: in the storage, and in the session of their client.".

-export([enable/4, disable/4, of_session/1]).

-include("session.hrl").

-type service() :: mod_event_pusher_push:publish_service().

%% Each client's own registration, in the information about its session.
-define(SESSION_KEY, publish_service).

-spec enable(mongooseim:host_type(), User :: jid:jid(), ejabberd_sm:sid() | undefined, service()) ->
    ok | {error, term()}.
enable(HostType, User, Sid, {PubsubJid, Node, Form} = Service) ->
    BareUser = jid:to_bare(User),
    case mod_event_pusher_push_backend:enable(HostType, BareUser, PubsubJid, Node, Form) of
        ok -> remember(User, Sid, Service);
        {error, Reason} -> {error, Reason}
    end.

%% Without a session, as when the server's API sends the IQ, there is none to remember it.
remember(_User, undefined, _Service) -> ok;
remember(User, Sid, Service) -> ejabberd_sm:store_info(User, Sid, ?SESSION_KEY, Service).

%% Ends a registration; without a node, all that the user has at that service.
-spec disable(mongooseim:host_type(), User :: jid:jid(), PubsubJid :: jid:jid(),
              mod_event_pusher_push_backend:node_or_all()) -> ok | {error, term()}.
disable(HostType, User, PubsubJid, Node) ->
    BareUser = jid:to_bare(User),
    _ = [ejabberd_sm:remove_info(Jid, Sid, ?SESSION_KEY)
         || {Jid, Sid, {Of, At, _Form}} <- remembered(BareUser),
            Of =:= PubsubJid, Node =:= undefined orelse Node =:= At],
    mod_event_pusher_push_backend:disable(HostType, BareUser, PubsubJid, Node).

remembered(BareUser) ->
    [{jid:replace_resource_noprep(BareUser, mongoose_session:get_resource(Session)), Sid, Service}
     || #session{sid = Sid} = Session <- ejabberd_sm:get_raw_sessions(BareUser),
        {?SESSION_KEY, Service} <- [mongoose_session:get_info(Session, ?SESSION_KEY, none)]].

%% Which of the user's registrations is that of the client with this full JID.
-spec of_session(jid:jid()) -> [service()].
of_session(Jid) ->
    case ejabberd_sm:get_info(Jid, ?SESSION_KEY) of
        {ok, Service} -> [Service];
        {error, _} -> []
    end.
