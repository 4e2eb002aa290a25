-module(host).
-moduledoc "Starts the stand-in for a server, and plays users whose acts run the server's hooks.".

-export([start/1, start/2, stop/0, add_domain/2]).
-export([user_available/1, user_unavailable/2]).
-export([send_message/3, route/3, unacknowledged_message/2, unacknowledged_message/3]).

-include("exml.hrl").
-include("jid.hrl").

-type address() :: jid:jid() | binary().
-type modules() :: #{gen_mod:host_type() => gen_mod_deps:modules()}.
-type received() :: mongoose_acc:t() | drop | not_local.

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

%% Presence. The hooks run only when a user becomes available, or ceases to be.

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
        {ok, Sent} -> #{sent => Sent, received => deliver(Sent, FromJid, ToJid, Packet)};
        {stop, Sent} -> #{sent => Sent}
    end.

%% Any stanza on its way to a user, without the hooks of the client that sent it.
-spec route(From :: address(), To :: address(), exml:element()) -> received().
route(From, To, Packet) ->
    {FromJid, ToJid} = {to_jid(From), to_jid(To)},
    deliver(new_acc(FromJid, ToJid, Packet, ?LOCATION), FromJid, ToJid, Packet).

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

%% The hook runs with an acc of the recipient; what it returns belongs to the sender again.
deliver(Acc, From, To, Packet) ->
    case place(To) of
        #{host_type := undefined} ->
            not_local;
        Place ->
            Params = Place#{element => Packet, from_jid => From, to_jid => To},
            FilterAcc = {From, To, mongoose_acc:strip(Params, Acc), Packet},
            delivered(mongoose_hooks:filter_local_packet(FilterAcc), Acc)
    end.

delivered(drop, _SenderAcc) ->
    drop;
delivered({From, To, Acc, Packet}, #{host_type := HostType, lserver := LServer}) ->
    Params = #{from_jid => From, to_jid => To, element => Packet},
    Delivered = mongoose_acc:update_stanza(Params, Acc),
    Delivered#{host_type := HostType, lserver := LServer}.

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
