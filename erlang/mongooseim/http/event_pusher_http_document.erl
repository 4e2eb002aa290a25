-module(event_pusher_http_document).
-moduledoc "An event as a JSON document, by itself or as a CloudEvent: docs/webhooks.md, docs/schemas.".

-export([spec/0, format/1, complaints/1, content/4, subject/1]).
-export_type([format/0]).

-include("exml.hrl").
-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").

-type format() :: form | json | structured | binary.
-type fields() :: [{binary(), binary() | integer() | {time, integer()} | event_pusher:json()}].
%% What stands in the document and beside it.
-type about() :: #{id := binary(), time := integer(), name := binary(), host := binary(),
                   subject := binary()}.

-define(VERSION, 1).
-define(TYPE, "event_pusher.").

%% Options

-spec spec() -> #{binary() => #option{}}.
spec() ->
    #{<<"format">> => #option{type = atom, validate = {enum, [form, json, cloudevents]}},
      <<"mode">> => #option{type = atom, validate = {enum, [structured, binary]}}}.

%% CloudEvents have two formats, by their mode.
-spec format(Handler :: map()) -> format().
format(#{format := cloudevents} = Handler) -> maps:get(mode, Handler, structured);
format(Handler) -> maps:get(format, Handler, form).

-spec complaints(Handler :: map()) -> [binary()].
complaints(#{mode := Mode} = Handler) when not is_map_key(format, Handler);
                                           map_get(format, Handler) =/= cloudevents ->
    [<<"mode: must be left out without format = \"cloudevents\", got \"",
       (atom_to_binary(Mode))/binary, "\"">>];
complaints(_Handler) ->
    [].

%% Body and headers

-spec content(json | structured | binary, Id :: binary(), mod_event_pusher:event(),
              mod_event_pusher:push_event_acc()) ->
    {event_pusher:json(), [event_pusher:attribute()]}.
content(Format, Id, Event, #{acc := Acc} = HookAcc) ->
    About = #{id => Id, time => erlang:system_time(microsecond), name => name(Event),
              host => host(Event), subject => subject(Event)},
    Fields = common(About) ++ fields(Event, Acc) ++ metadata(HookAcc),
    {body(Format, About, {json, Fields}), headers(Format, About)}.

-spec body(json | structured | binary, about(), event_pusher:json()) -> event_pusher:json().
body(structured, #{time := Time} = About, Document) ->
    {json, attributes(About)
           ++ [{<<"time">>, {time, Time}}, {<<"datacontenttype">>, <<"application/json">>},
               {<<"data">>, Document}]};
body(_Format, _About, Document) ->
    Document.

-spec headers(json | structured | binary, about()) -> [event_pusher:attribute()].
headers(json, _About) ->
    [content_type(<<"application/json">>)];
headers(structured, _About) ->
    [content_type(<<"application/cloudevents+json">>)];
headers(binary, #{time := Time} = About) ->
    [content_type(<<"application/json">>)
     | [{<<"ce-", Name/binary>>, {binary, encoded(Value)}} || {Name, Value} <- attributes(About)]
       ++ [{<<"ce-time">>, {time, Time}}]].

content_type(Type) ->
    {<<"content-type">>, {binary, Type}}.

%% https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#context-attributes
-spec attributes(about()) -> [{binary(), binary()}].
attributes(#{id := Id, name := Name, host := Host, subject := Subject}) ->
    [{<<"specversion">>, <<"1.0">>}, {<<"id">>, Id}, {<<"source">>, <<"xmpp:", (encoded(Host))/binary>>},
     {<<"type">>, <<?TYPE, Name/binary>>}, {<<"subject">>, Subject}].

%% As these attributes are in headers; and an address in a URI.
%% https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values
-spec encoded(binary()) -> binary().
encoded(Text) ->
    << <<(byte(Byte))/binary>> || <<Byte>> <= Text >>.

byte(Byte) when Byte > $\s, Byte < 127, Byte =/= $", Byte =/= $% -> <<Byte>>;
byte(Byte) -> <<$%, (binary:encode_hex(<<Byte>>))/binary>>.

%% The document

-spec common(about()) -> fields().
common(#{id := Id, time := Time, name := Name, host := Host}) ->
    [{<<"version">>, ?VERSION}, {<<"id">>, Id}, {<<"time">>, {time, Time}}, {<<"event">>, Name},
     {<<"host">>, Host}].

-spec name(mod_event_pusher:event()) -> binary().
name(#chat_event{direction = in}) -> <<"message.sent">>;
name(#chat_event{direction = out}) -> <<"message.delivered">>;
name(#unack_msg_event{}) -> <<"message.unacknowledged">>;
name(#user_status_event{status = online}) -> <<"presence.online">>;
name(#user_status_event{status = offline}) -> <<"presence.offline">>.

%% The domain of this server that it happened at.
-spec host(mod_event_pusher:event()) -> binary().
host(#chat_event{direction = in, from = From}) -> jid:lserver(From);
host(#chat_event{direction = out, to = To}) -> jid:lserver(To);
host(#unack_msg_event{to = To}) -> jid:lserver(To);
host(#user_status_event{jid = User}) -> jid:lserver(User).

%% Whose doing it is, without a device. Events of one subject may have to stay in order.
-spec subject(mod_event_pusher:event()) -> binary().
subject(#chat_event{from = From}) -> bare(From);
subject(#unack_msg_event{to = To}) -> bare(To);
subject(#user_status_event{jid = User}) -> bare(User).

-spec fields(mod_event_pusher:event(), mongoose_acc:t()) -> fields().
fields(#chat_event{type = Type, direction = Direction, from = From, to = To, packet = Packet}, _Acc) ->
    [{<<"from">>, full(From)}, {<<"to">>, full(To)}, {<<"type">>, atom_to_binary(Type)},
     {<<"direction">>, atom_to_binary(Direction)}
     | of_packet(Packet) ++ room(Type, Direction, From, To)];
fields(#user_status_event{jid = User}, _Acc) ->
    [{<<"from">>, full(User)}];
fields(#unack_msg_event{to = To}, Acc) ->
    [{<<"to">>, full(To)} | of_unacknowledged(mongoose_acc:packet(Acc))].

%% What nobody acknowledged is the stanza of the accumulator.
of_unacknowledged({From, To, #xmlel{name = <<"message">>} = Packet}) ->
    Type = case exml_query:attr(Packet, <<"type">>) of
               <<"groupchat">> -> groupchat;
               <<"chat">> -> chat;
               <<"headline">> -> headline;
               _ -> normal
           end,
    [{<<"from">>, full(From)}, {<<"type">>, atom_to_binary(Type)}
     | of_packet(Packet) ++ room(Type, out, From, To)];
of_unacknowledged(_None) ->
    [].

of_packet(Packet) ->
    [{<<"body">>, Body} || Body <- [event_pusher_packet:body(Packet)], Body =/= none]
        ++ [{<<"stanza_id">>, Id} || Id <- [exml_query:attr(Packet, <<"id">>)], Id =/= undefined]
        ++ [{<<"thread">>, exml_query:cdata(Thread)}
            || Thread <- lists:sublist(exml_query:subelements(Packet, <<"thread">>), 1)].

room(groupchat, in, _From, To) -> [{<<"room">>, bare(To)}];
room(groupchat, out, From, _To) -> [{<<"room">>, bare(From)}];
room(_Type, _Direction, _From, _To) -> [].

metadata(HookAcc) ->
    case maps:get(metadata, HookAcc, #{}) of
        None when map_size(None) =:= 0 -> [];
        Metadata -> [{<<"metadata">>, event_pusher_fields:json(event_pusher_fields:metadata(Metadata))}]
    end.

-spec full(jid:jid()) -> binary().
full(Jid) ->
    jid:to_binary(jid:to_lower(Jid)).

-spec bare(jid:jid()) -> binary().
bare(Jid) ->
    jid:to_binary(jid:to_lower(jid:to_bare(Jid))).
