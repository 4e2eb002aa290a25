-module(event_pusher_push_request).
-moduledoc "Reads what a client asks for: enable and disable of XEP-0357.".

-export([parse/1]).
-export_type([request/0]).

-include("exml.hrl").

-type request() :: {enable, PubsubJid :: jid:jid(), mod_event_pusher_push:pubsub_node(),
                    mod_event_pusher_push:form()}
                 | {disable, PubsubJid :: jid:jid(), mod_event_pusher_push_backend:node_or_all()}.

-define(NS_PUBLISH_OPTIONS, <<"http://jabber.org/protocol/pubsub#publish-options">>).

%% https://xmpp.org/extensions/xep-0357.html#enabling and #disabling
-spec parse(exml:element()) -> {ok, request()} | {error, bad_request}.
parse(#xmlel{name = <<"enable">>} = Request) ->
    case {jid(Request), pubsub_node(Request), form(Request)} of
        {{ok, Jid}, {ok, Node}, {ok, Form}} when is_binary(Node) -> {ok, {enable, Jid, Node, Form}};
        _ -> {error, bad_request}
    end;
parse(#xmlel{name = <<"disable">>} = Request) ->
    case {jid(Request), pubsub_node(Request)} of
        {{ok, Jid}, {ok, Node}} -> {ok, {disable, Jid, Node}};
        _ -> {error, bad_request}
    end;
parse(#xmlel{}) ->
    {error, bad_request}.

jid(Request) ->
    case jid:from_binary(exml_query:attr(Request, <<"jid">>, <<>>)) of
        error -> {error, jid};
        Jid -> bare(jid:lserver(Jid), Jid)
    end.

bare(<<>>, _Jid) -> {error, jid};
bare(_Domain, Jid) -> {ok, jid:to_bare(Jid)}.

pubsub_node(Request) ->
    case exml_query:attr(Request, <<"node">>) of
        <<>> -> {error, node};
        Node -> {ok, Node}
    end.

%% The options for each publication, if any: a submitted form with one value for each field.
form(Request) ->
    case mongoose_data_forms:find_form(Request) of
        undefined -> {ok, #{}};
        Form -> options(mongoose_data_forms:parse_form_fields(Form))
    end.

options(#{type := <<"submit">>, ns := ?NS_PUBLISH_OPTIONS, kvs := Fields}) ->
    case lists:all(fun(Values) -> length(Values) =:= 1 end, maps:values(Fields)) of
        true -> {ok, maps:map(fun(_Name, [Value]) -> Value end, Fields)};
        false -> {error, form}
    end;
options(_Other) ->
    {error, form}.
