-module(mod_event_pusher_push_backend).
-moduledoc "Where registrations for push notifications are kept: the behaviour, and who is asked.".

-export([init/2, enable/5, disable/2, disable/4, get_publish_services/2, remove_domain/2]).

-type node_or_all() :: mod_event_pusher_push:pubsub_node() | undefined.

-export_type([node_or_all/0]).

%% JIDs are bare. A user has at most one registration for a node of a service; a later one replaces
%% it. Removing what is not there is no error.

-callback init(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
-callback enable(mongooseim:host_type(), User :: jid:jid(), PubsubJid :: jid:jid(),
                 mod_event_pusher_push:pubsub_node(), mod_event_pusher_push:form()) ->
    ok | {error, term()}.
-callback disable(mongooseim:host_type(), User :: jid:jid()) -> ok | {error, term()}.
-callback disable(mongooseim:host_type(), User :: jid:jid(), PubsubJid :: jid:jid(),
                  node_or_all()) -> ok | {error, term()}.
-callback get_publish_services(mongooseim:host_type(), User :: jid:jid()) ->
    {ok, [mod_event_pusher_push:publish_service()]} | {error, term()}.
-callback remove_domain(mongooseim:host_type(), Domain :: jid:lserver()) -> ok.

-define(MAIN, mod_event_pusher_push).
%% The server measures these.
-define(TRACKED, [enable, disable, get_publish_services]).

-spec init(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
init(HostType, Opts) ->
    mongoose_backend:init(HostType, ?MAIN, ?TRACKED, Opts),
    mongoose_backend:call(HostType, ?MAIN, init, [HostType, Opts]).

-spec enable(mongooseim:host_type(), jid:jid(), jid:jid(), mod_event_pusher_push:pubsub_node(),
             mod_event_pusher_push:form()) -> ok | {error, term()}.
enable(HostType, User, PubsubJid, Node, Form) ->
    mongoose_backend:call_tracked(HostType, ?MAIN, enable,
                                  [HostType, User, PubsubJid, Node, Form]).

-spec disable(mongooseim:host_type(), jid:jid()) -> ok | {error, term()}.
disable(HostType, User) ->
    mongoose_backend:call_tracked(HostType, ?MAIN, disable, [HostType, User]).

-spec disable(mongooseim:host_type(), jid:jid(), jid:jid(), node_or_all()) -> ok | {error, term()}.
disable(HostType, User, PubsubJid, Node) ->
    mongoose_backend:call_tracked(HostType, ?MAIN, disable, [HostType, User, PubsubJid, Node]).

-spec get_publish_services(mongooseim:host_type(), jid:jid()) ->
    {ok, [mod_event_pusher_push:publish_service()]} | {error, term()}.
get_publish_services(HostType, User) ->
    mongoose_backend:call_tracked(HostType, ?MAIN, get_publish_services, [HostType, User]).

-spec remove_domain(mongooseim:host_type(), jid:lserver()) -> ok.
remove_domain(HostType, Domain) ->
    mongoose_backend:call(HostType, ?MAIN, remove_domain, [HostType, Domain]).
