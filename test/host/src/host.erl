-module(host).
-moduledoc "Starts the stand-in for a server, and plays its users, clients and components.".

-export([start/1, start/2, stop/0, add_domain/2, remove_domain/1]).
-export([add_user/1, forget_user/1, break_user/2, user_exists/1, remove_user/1]).
-export([user_connected/1, user_available/1, user_unavailable/2]).
-export([send_message/3, route/3, unacknowledged_message/2, unacknowledged_message/3]).
-export([send_iq/3, add_component/1, features/1]).

-include("exml.hrl").
-include("jid.hrl").
-include("session.hrl").

-type address() :: jid:jid() | binary().
-type modules() :: #{gen_mod:host_type() => gen_mod_deps:modules()}.
-type received() :: host_router:result().

-export_type([address/0, modules/0, received/0]).

-define(LOCATION,
        #{mfa => {?MODULE, ?FUNCTION_NAME, ?FUNCTION_ARITY}, line => ?LINE, file => ?FILE}).

%% Starting and stopping

%% Takes the path of a mongooseim.toml, or the modules of each host type with their parsed options.
-spec start(file:filename_all() | modules()) -> ok.
start(ModulesOfHostTypes) when is_map(ModulesOfHostTypes) -> start(ModulesOfHostTypes, #{});
start(Path) -> boot(fun() -> host_config:load(Path) end).

%% More: other options under the keys they have at run time, such as `outgoing_pools'.
-spec start(modules(), More :: mongoose_config:opts()) -> ok.
start(ModulesOfHostTypes, More) ->
    boot(fun() -> host_config:from_modules(ModulesOfHostTypes, More) end).

boot(LoadOpts) ->
    {ok, _} = application:ensure_all_started(host),
    try
        mongoose_config:set_opts(LoadOpts()),
        host_rdbms:start_pools(),
        mongoose_modules:start(),
        gen_hook:reload_hooks()
    catch
        Class:Reason:Stacktrace ->
            ok = application:stop(host),
            erlang:raise(Class, Reason, Stacktrace)
    end.

-spec stop() -> ok.
stop() ->
    mongoose_modules:stop(),
    ok = application:stop(host).

%% Gives a host type another domain; a static host is a domain of its own already.
-spec add_domain(Domain :: binary(), gen_mod:host_type()) -> ok.
add_domain(Domain, HostType) ->
    host_domains:add(Domain, HostType).

%% Takes a domain away from its host type, and runs the hook by which modules give up its data.
-spec remove_domain(Domain :: jid:lserver()) -> mongoose_domain_api:remove_domain_acc().
remove_domain(Domain) ->
    {ok, HostType} = host_domains:host_type(Domain),
    host_domains:remove(Domain),
    mongoose_hooks:remove_domain(HostType, Domain).

%% Users. All of a local domain exist.

-spec add_user(address()) -> ok.
add_user(Address) ->
    ejabberd_auth:note(to_jid(Address), exists).

-spec forget_user(address()) -> ok.
forget_user(Address) ->
    ejabberd_auth:note(to_jid(Address), unknown).

%% From now on it raises the reason to ask whether the user exists.
-spec break_user(address(), Reason :: term()) -> ok.
break_user(Address, Reason) ->
    ejabberd_auth:note(to_jid(Address), {broken, Reason}).

-spec user_exists(address()) -> boolean().
user_exists(Address) ->
    Jid = to_jid(Address),
    ejabberd_auth:does_user_exist(maps:get(host_type, place(Jid)), Jid, stored).

%% Forgets the user, and runs the hook by which modules give up what they keep of one.
-spec remove_user(address()) -> mongoose_acc:t().
remove_user(Address) ->
    Jid = #jid{luser = LUser, lserver = LServer} = to_jid(Address),
    forget_user(Jid),
    Acc = mongoose_acc:new(maps:merge(#{location => ?LOCATION}, place(Jid))),
    mongoose_hooks:remove_user(Acc, LServer, LUser).

%% Presence. The hooks run only when a user becomes available, or ceases to be.

%% A session without a presence, and so without a priority.
-spec user_connected(address()) -> ok.
user_connected(Address) ->
    _ = ejabberd_sm:connect(to_jid(Address)),
    ok.

-spec user_available(address()) -> mongoose_acc:t().
user_available(Address) ->
    Jid = to_jid(Address),
    Acc = new_acc(Jid, jid:to_bare(Jid), #xmlel{name = <<"presence">>}, ?LOCATION),
    case ejabberd_sm:open(Jid) of
        true -> mongoose_hooks:user_available(Acc, Jid);
        false -> Acc
    end.

-spec user_unavailable(address(), StatusText :: binary()) -> mongoose_acc:t().
user_unavailable(Address, StatusText) ->
    Jid = to_jid(Address),
    Presence = #xmlel{name = <<"presence">>, attrs = #{<<"type">> => <<"unavailable">>}},
    Acc = new_acc(Jid, jid:to_bare(Jid), Presence, ?LOCATION),
    case ejabberd_sm:close(Jid) of
        true -> mongoose_hooks:unset_presence(Acc, Jid, StatusText);
        false -> Acc
    end.

%% Messages

%% A client sends a message. A handler that stops the first hook keeps it from being routed.
-spec send_message(From :: address(), To :: address(), exml:element()) ->
          #{sent := mongoose_acc:t(), received => received()}.
send_message(From, To, Packet) ->
    {FromJid, ToJid} = {to_jid(From), to_jid(To)},
    Acc = new_acc(FromJid, ToJid, Packet, ?LOCATION),
    HostType = mongoose_acc:host_type(Acc),
    case mongoose_c2s_hooks:user_send_message(HostType, Acc, c2s_params(Packet)) of
        {ok, Sent} -> #{sent => Sent, received => route_from(FromJid, ToJid, Packet, Sent)};
        {stop, Sent} -> #{sent => Sent}
    end.

%% Any stanza on its way to a user, without the hooks of the client that sent it.
-spec route(From :: address(), To :: address(), exml:element()) -> received().
route(From, To, Packet) ->
    {FromJid, ToJid} = {to_jid(From), to_jid(To)},
    host_router:route(new_acc(FromJid, ToJid, Packet, ?LOCATION)).

%% A message that a client did not acknowledge before its connection was lost.
-spec unacknowledged_message(FullJid :: address(), From :: address(), exml:element()) ->
          mongoose_acc:t().
unacknowledged_message(FullJid, From, Packet) ->
    Jid = to_jid(FullJid),
    FromJid = to_jid(From),
    Params = #{location => ?LOCATION, element => Packet, from_jid => FromJid, to_jid => Jid},
    unacknowledged_message(FullJid, mongoose_acc:new(maps:merge(Params, place(Jid)))).

%% The same for a message that was delivered, with the acc it came with.
-spec unacknowledged_message(FullJid :: address(), mongoose_acc:t()) -> mongoose_acc:t().
unacknowledged_message(FullJid, Acc) ->
    mongoose_hooks:unacknowledged_message(Acc, to_jid(FullJid)).

%% A handler of the first hook may have changed the stanza of the acc, but not what is sent.
route_from(From, To, Packet, Acc) ->
    Stanza = #{element => Packet, from_jid => From, to_jid => To},
    host_router:route(mongoose_acc:update_stanza(Stanza, Acc)).

%% IQs

%% A connected client sends an IQ, by default to its own account; gives the answer as it arrives.
%% There is none to an answer, to what a filter drops and to what the handler ignores.
-spec send_iq(From :: address(), To :: address() | account, exml:element()) ->
          host_clients:answer().
send_iq(From, To, Iq = #xmlel{name = <<"iq">>, attrs = #{<<"id">> := Id, <<"type">> := Type}}) ->
    FromJid = to_jid(From),
    Acc = from_client(FromJid, new_acc(FromJid, iq_recipient(To, FromJid), Iq, ?LOCATION)),
    case lists:member(Type, [<<"result">>, <<"error">>]) of
        true -> _ = host_router:route(Acc), no_reply;
        false -> host_clients:ask(FromJid, Id, fun() -> host_router:route(Acc) end)
    end.

iq_recipient(account, From) -> jid:to_bare(From);
iq_recipient(To, _From) -> to_jid(To).

from_client(Jid, Acc) ->
    case ejabberd_sm:find(Jid) of
        [#session{sid = Sid}] ->
            mongoose_acc:set_permanent(c2s, [{origin_sid, Sid}, {origin_jid, Jid}], Acc);
        [] ->
            Acc
    end.

%% Stanzas to the domain come to the calling process, as messages {routed, Stanza}. It answers with
%% route/3.
-spec add_component(Domain :: jid:lserver()) -> ok.
add_component(Domain) ->
    host_router:add_component(Domain, self()).

%% The namespaces of IQs that a domain handles.
-spec features(Domain :: jid:lserver()) -> [binary()].
features(Domain) ->
    host_iq_handlers:features(Domain).

%% Helpers

new_acc(From, To, Element, Location) ->
    Params = #{location => Location, element => Element, from_jid => From, to_jid => To},
    mongoose_acc:new(maps:merge(Params, place(From))).

place(#jid{lserver = LServer}) ->
    case host_domains:host_type(LServer) of
        {ok, HostType} -> #{lserver => LServer, host_type => HostType};
        {error, not_found} -> #{lserver => LServer, host_type => undefined}
    end.

c2s_params(Packet) ->
    #{c2s_data => undefined,
      c2s_state => session_established,
      event_type => internal,
      event_content => Packet,
      reason => undefined}.

to_jid(Text) when is_binary(Text) ->
    Jid = #jid{} = jid:from_binary(Text),
    Jid;
to_jid(Jid = #jid{}) ->
    Jid.
