-module(mod_event_pusher_hook_translator).
-moduledoc "Translates hooks of the server to events of mod_event_pusher.".

%% Handlers of hooks that are about presence
-export([user_present/3, user_not_present/3]).
%% Handlers of hooks that are about messages
-export([user_send_message/3, filter_local_packet/3, unacknowledged_message/3]).
%% Called when mod_event_pusher starts and stops
-export([add_hooks/1, delete_hooks/1]).

-include("mod_event_pusher_events.hrl").

-type chat_type() :: chat | groupchat | headline | normal.
-type hook_result(Acc) :: {ok, Acc}.

%% Presence

-spec user_present(mongoose_acc:t(), #{jid := jid:jid(), _ => _}, map()) ->
    hook_result(mongoose_acc:t()).
user_present(Acc, Params, _Extra) ->
    {ok, push_status(online, Params, Acc)}.

-spec user_not_present(mongoose_acc:t(), #{jid := jid:jid(), _ => _}, map()) ->
    hook_result(mongoose_acc:t()).
user_not_present(Acc, Params, _Extra) ->
    {ok, push_status(offline, Params, Acc)}.

push_status(Status, #{jid := User}, Acc) ->
    push_event(#user_status_event{jid = User, status = Status}, Acc).

%% Messages

-spec user_send_message(mongoose_acc:t(), map(), map()) -> hook_result(mongoose_acc:t()).
user_send_message(Acc, _Params, _Extra) ->
    {ok, push_chat_event(in, mongoose_acc:packet(Acc), Acc)}.

-spec filter_local_packet({jid:jid(), jid:jid(), mongoose_acc:t(), exml:element()}, map(), map()) ->
    hook_result({jid:jid(), jid:jid(), mongoose_acc:t(), exml:element()}).
filter_local_packet({From, To, Acc, Packet}, _Params, _Extra) ->
    NewAcc = push_chat_event(out, {From, To, Packet}, Acc),
    {ok, {From, To, NewAcc, Packet}}.

-spec unacknowledged_message(mongoose_acc:t(), #{jid := jid:jid(), _ => _}, map()) ->
    hook_result(mongoose_acc:t()).
unacknowledged_message(Acc, #{jid := Recipient}, _Extra) ->
    {ok, push_event(#unack_msg_event{to = Recipient}, Acc)}.

-spec push_chat_event(in | out, {jid:jid(), jid:jid(), exml:element()} | undefined,
                      mongoose_acc:t()) -> mongoose_acc:t().
push_chat_event(_Direction, undefined, Acc) ->
    Acc;
push_chat_event(Direction, {From, To, Packet}, Acc) ->
    case chat_type(mongoose_acc:stanza_type(Acc)) of
        {ok, Type} ->
            push_event(#chat_event{type = Type, direction = Direction,
                                   from = From, to = To, packet = Packet}, Acc);
        none ->
            Acc
    end.

%% The type that the accumulator remembers decides, not the packet's own.
-spec chat_type(binary() | undefined) -> {ok, chat_type()} | none.
chat_type(<<"chat">>) -> {ok, chat};
chat_type(<<"groupchat">>) -> {ok, groupchat};
chat_type(<<"headline">>) -> {ok, headline};
chat_type(<<"normal">>) -> {ok, normal};
chat_type(undefined) -> {ok, normal};
chat_type(_Other) -> none.

%% Backends talk back through the namespace event_pusher only. It becomes permanent, so that the
%% handler of the delivered message sees what the handler of the sent message stored.
-spec push_event(mod_event_pusher:event(), mongoose_acc:t()) -> mongoose_acc:t().
push_event(Event, Acc) ->
    case mongoose_acc:get(event_pusher, event_pusher_event:push(Acc, Event)) of
        [] -> Acc;
        Stored -> mongoose_acc:set_permanent(event_pusher, Stored, Acc)
    end.

%% Start and stop

-spec add_hooks(mongooseim:host_type()) -> ok.
add_hooks(HostType) ->
    gen_hook:add_handlers(handlers(HostType)).

-spec delete_hooks(mongooseim:host_type()) -> ok.
delete_hooks(HostType) ->
    gen_hook:delete_handlers(handlers(HostType)).

-spec handlers(mongooseim:host_type()) -> gen_hook:hook_list().
handlers(HostType) ->
    [{Hook, HostType, Handler, #{}, Priority}
     || {Priority, Hook, Handler} <-
            [{90, user_available, fun ?MODULE:user_present/3},
             {90, unset_presence, fun ?MODULE:user_not_present/3},
             {90, user_send_message, fun ?MODULE:user_send_message/3},
             {80, filter_local_packet, fun ?MODULE:filter_local_packet/3},
             {90, unacknowledged_message, fun ?MODULE:unacknowledged_message/3}]].
