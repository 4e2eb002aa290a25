-module(mod_event_pusher_push_mnesia).
-moduledoc "Registrations for push notifications in Mnesia, in the server's own table.".

-behaviour(mod_event_pusher_push_backend).

-export([init/2, enable/5, disable/2, disable/4, get_publish_services/2, remove_domain/2]).

%% What is no value of its type stands in the pattern of a search.
-record(push_subscription, {user_jid :: {jid:luser() | '$1', jid:lserver()},
                            pubsub_jid :: jid:jid() | '_',
                            pubsub_node :: mod_event_pusher_push:pubsub_node() | '_',
                            form :: mod_event_pusher_push:form() | '_'}).

-define(TABLE, push_subscription).

-spec init(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
init(_HostType, _Opts) ->
    _ = mongoose_mnesia:create_table(?TABLE, [{disc_copies, [node()]}, {type, bag},
                                              {attributes, record_info(fields, push_subscription)}]),
    ok.

-spec enable(mongooseim:host_type(), jid:jid(), jid:jid(), mod_event_pusher_push:pubsub_node(),
             mod_event_pusher_push:form()) -> ok | {error, term()}.
enable(_HostType, User, PubsubJid, Node, Form) ->
    Key = jid:to_lus(User),
    change(fun() ->
               delete(Key, PubsubJid, Node),
               mnesia:write(#push_subscription{user_jid = Key, pubsub_jid = PubsubJid,
                                               pubsub_node = Node, form = Form})
           end).

-spec disable(mongooseim:host_type(), jid:jid()) -> ok | {error, term()}.
disable(_HostType, User) ->
    change(fun() -> mnesia:delete({?TABLE, jid:to_lus(User)}) end).

-spec disable(mongooseim:host_type(), jid:jid(), jid:jid(),
              mod_event_pusher_push_backend:node_or_all()) -> ok | {error, term()}.
disable(_HostType, User, PubsubJid, Node) ->
    change(fun() -> delete(jid:to_lus(User), PubsubJid, Node) end).

-spec get_publish_services(mongooseim:host_type(), jid:jid()) ->
    {ok, [mod_event_pusher_push:publish_service()]} | {error, term()}.
get_publish_services(_HostType, User) ->
    try mnesia:dirty_read(?TABLE, jid:to_lus(User)) of
        Found -> {ok, [{PubsubJid, Node, Form}
                       || #push_subscription{pubsub_jid = PubsubJid, pubsub_node = Node,
                                             form = Form} <- Found]}
    catch
        exit:{aborted, Reason} -> {error, Reason}
    end.

%% The key has the user in front of the domain, so no index helps. The search runs inside the table
%% and gives the users of this domain only, whose registrations are deleted by key.
-spec remove_domain(mongooseim:host_type(), jid:lserver()) -> ok.
remove_domain(_HostType, Domain) ->
    OfDomain = #push_subscription{user_jid = {'$1', Domain}, pubsub_jid = '_', pubsub_node = '_',
                                  form = '_'},
    Users = mnesia:dirty_select(?TABLE, [{OfDomain, [], ['$1']}]),
    lists:foreach(fun(User) -> mnesia:dirty_delete(?TABLE, {User, Domain}) end,
                  lists:usort(Users)).

%% Locks the registrations of the user: two of a user's devices may change them at once.
-spec change(fun(() -> ok)) -> ok | {error, term()}.
change(Change) ->
    case mnesia:transaction(Change) of
        {atomic, ok} -> ok;
        {aborted, Reason} -> {error, Reason}
    end.

delete(Key, PubsubJid, Node) ->
    lists:foreach(fun mnesia:delete_object/1,
                  [Registration
                   || #push_subscription{pubsub_jid = Of, pubsub_node = At} = Registration
                          <- mnesia:read(?TABLE, Key, write),
                      Of =:= PubsubJid, Node =:= undefined orelse Node =:= At]).
