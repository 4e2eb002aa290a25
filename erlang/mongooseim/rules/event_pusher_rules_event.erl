-module(event_pusher_rules_event).
-moduledoc "What rules can ask of an event.".

-export([kinds/0, kind/1, new/2, meets/2]).
-export_type([kinds/0, condition/0, event/0]).

-include("exml.hrl").
-include("mod_event_pusher_events.hrl").

%% A set of kinds of events: a bit for each.
-type kinds() :: non_neg_integer().
-type condition() :: {hosts | from | to, event_pusher_rules_pattern:patterns()}
                   | {has_body, boolean()} | {hints, [binary(), ...]}
                   | {recipient, online | offline}.

%% Presence is from a user to nobody, and has no packet.
-record(event, {host :: jid:lserver(),
                from :: jid:jid() | none,
                to :: jid:jid() | none,
                packet :: exml:element() | none,
                %% Nobody, if it is no user of this server.
                recipient = unknown :: unknown | online | offline | nobody}).
-opaque event() :: #event{}.

%% https://xmpp.org/extensions/xep-0334.html
-define(NS_HINTS, <<"urn:xmpp:hints">>).
-define(ONLINE, 16#1).
-define(OFFLINE, 16#2).
-define(UNACKNOWLEDGED, 16#4).
%% Of each type, the first is of what is sent, the second of what is received.
-define(CHAT, 16#8).
-define(GROUPCHAT, 16#20).
-define(NORMAL, 16#80).
-define(HEADLINE, 16#200).

%% By their names in the configuration.
-spec kinds() -> [{binary(), kinds()}].
kinds() ->
    [{<<"presence_online">>, ?ONLINE}, {<<"presence_offline">>, ?OFFLINE},
     {<<"chat_sent">>, ?CHAT}, {<<"chat_received">>, received(?CHAT)},
     {<<"groupchat_sent">>, ?GROUPCHAT}, {<<"groupchat_received">>, received(?GROUPCHAT)},
     {<<"normal_sent">>, ?NORMAL}, {<<"normal_received">>, received(?NORMAL)},
     {<<"headline_sent">>, ?HEADLINE}, {<<"headline_received">>, received(?HEADLINE)},
     {<<"unacknowledged">>, ?UNACKNOWLEDGED}].

-spec kind(mod_event_pusher:event()) -> kinds().
kind(#chat_event{direction = in, type = Type}) -> sent(Type);
kind(#chat_event{direction = out, type = Type}) -> received(sent(Type));
kind(#user_status_event{status = online}) -> ?ONLINE;
kind(#user_status_event{status = offline}) -> ?OFFLINE;
kind(#unack_msg_event{}) -> ?UNACKNOWLEDGED.

sent(chat) -> ?CHAT;
sent(groupchat) -> ?GROUPCHAT;
sent(normal) -> ?NORMAL;
sent(headline) -> ?HEADLINE.

received(Sent) -> Sent bsl 1.

%% The host is the domain of the user whom the event is about.
-spec new(mod_event_pusher:event(), mongoose_acc:t()) -> event().
new(#chat_event{direction = in, from = From, to = To, packet = Packet}, _Acc) ->
    #event{host = jid:lserver(From), from = From, to = To, packet = Packet};
new(#chat_event{direction = out, from = From, to = To, packet = Packet}, _Acc) ->
    #event{host = jid:lserver(To), from = From, to = To, packet = Packet};
new(#user_status_event{jid = User}, _Acc) ->
    #event{host = jid:lserver(User), from = User, to = none, packet = none};
%% The accumulator is that of the message.
new(#unack_msg_event{to = To}, Acc) ->
    #event{host = jid:lserver(To), from = given(mongoose_acc:from_jid(Acc)), to = To,
           packet = given(mongoose_acc:element(Acc))}.

given(undefined) -> none;
given(Value) -> Value.

%% Whether it meets all of the conditions. What had to be looked up for that is in the result.
-spec meets([condition()], event()) -> {boolean(), event()}.
meets([], Event) ->
    {true, Event};
meets([{recipient, _} | _] = Conditions, #event{recipient = unknown, to = To} = Event) ->
    meets(Conditions, Event#event{recipient = recipient(To)});
meets([Condition | Others], Event) ->
    case is_met(Condition, Event) of
        true -> meets(Others, Event);
        false -> {false, Event}
    end.

%% What an event does not have meets no condition.
-spec is_met(condition(), event()) -> boolean().
is_met({hosts, Patterns}, #event{host = Host}) ->
    event_pusher_rules_pattern:matches({<<>>, Host}, Patterns);
is_met({from, Patterns}, #event{from = From}) ->
    is_one_of(From, Patterns);
is_met({to, Patterns}, #event{to = To}) ->
    is_one_of(To, Patterns);
is_met({recipient, Wanted}, #event{recipient = Recipient}) ->
    Recipient =:= Wanted;
is_met(_OfMessage, #event{packet = none}) ->
    false;
is_met({has_body, Wanted}, #event{packet = Packet}) ->
    has_body(Packet) =:= Wanted;
is_met({hints, Hints}, #event{packet = #xmlel{children = Children}}) ->
    lists:any(fun(Child) -> is_hint(Child, Hints) end, Children).

is_one_of(none, _Patterns) -> false;
is_one_of(Jid, Patterns) -> event_pusher_rules_pattern:matches(jid:to_lus(Jid), Patterns).

has_body(Packet) ->
    not lists:member(event_pusher_packet:body(Packet), [none, <<>>]).

is_hint(#xmlel{name = Name, attrs = #{<<"xmlns">> := ?NS_HINTS}}, Hints) ->
    lists:member(Name, Hints);
is_hint(_Child, _Hints) ->
    false.

%% As push notifications see it. Others than users of this server have no sessions here. The database
%% of sessions may be out of reach: then nobody knows.
recipient(none) ->
    nobody;
recipient(User) ->
    try {ejabberd_sm:is_offline(User), mongoose_domain_api:get_host_type(jid:lserver(User))} of
        {false, _} -> online;
        {true, {ok, _HostType}} -> offline;
        {true, {error, not_found}} -> nobody
    catch
        _:_ -> nobody
    end.
