-module(event_pusher_push_iq).
-moduledoc "Answers the IQs of XEP-0357, by which clients change their registrations.".

-export([handle/3]).

-include("iq.hrl").

-spec handle(mongoose_acc:t(), From :: jid:jid(), #iq{}) -> {mongoose_acc:t(), #iq{}}.
handle(Acc, From, #iq{type = Type, sub_el = Request} = IQ) ->
    case answer(Type, Request, From, Acc) of
        ok -> {Acc, IQ#iq{type = result, sub_el = []}};
        {error, Error} -> {Acc, IQ#iq{type = error, sub_el = [Request, Error]}}
    end.

-spec answer(get | set, exml:element(), jid:jid(), mongoose_acc:t()) ->
    ok | {error, exml:element()}.
answer(get, _Request, _From, _Acc) ->
    {error, mongoose_xmpp_errors:not_allowed()};
answer(set, Request, From, Acc) ->
    case {event_pusher_push_request:parse(Request), is_own_user(From, Acc)} of
        {{error, bad_request}, _} -> {error, mongoose_xmpp_errors:bad_request()};
        {{ok, _}, false} -> {error, mongoose_xmpp_errors:not_allowed()};
        {{ok, Change}, true} -> change(Change, From, Acc)
    end.

%% Anybody may send an IQ to this server, but registrations are for those whose messages it gets.
is_own_user(From, Acc) ->
    mongoose_domain_api:get_host_type(jid:lserver(From)) =:= {ok, mongoose_acc:host_type(Acc)}.

%% A storage that fails makes the server answer with an internal error.
-spec change(event_pusher_push_request:request(), jid:jid(), mongoose_acc:t()) -> ok.
change({enable, PubsubJid, Node, Form}, From, Acc) ->
    Sid = mongoose_acc:get(c2s, origin_sid, undefined, Acc),
    ok = event_pusher_push_registrations:enable(mongoose_acc:host_type(Acc), From, Sid,
                                                {PubsubJid, Node, Form});
change({disable, PubsubJid, Node}, From, Acc) ->
    ok = event_pusher_push_registrations:disable(mongoose_acc:host_type(Acc), From, PubsubJid,
                                                 Node).
