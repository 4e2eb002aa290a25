-module(mod_event_pusher_http_defaults).
-moduledoc "The callbacks of the HTTP backend where none are configured: chat messages as a form.".

-behaviour(mod_event_pusher_http).

-export([should_make_req/6, prepare_headers/7, prepare_body/7]).

%% Chat messages that a user of this server sends, if they have a text.
-spec should_make_req(mongoose_acc:t(), in | out, exml:element(), jid:jid(), jid:jid(),
                      mod_event_pusher_http:opts()) -> boolean().
should_make_req(_Acc, out, _Packet, _From, _To, _Opts) ->
    false;
should_make_req(_Acc, in, Packet, _From, _To, _Opts) ->
    exml_query:attr(Packet, <<"type">>) =:= <<"chat">>
        andalso not lists:member(event_pusher_packet:body(Packet), [none, <<>>]).

-spec prepare_headers(mongoose_acc:t(), in | out, binary(), binary(), binary(), binary(),
                      mod_event_pusher_http:opts()) -> mod_event_pusher_http:headers().
prepare_headers(_Acc, _Dir, _Domain, _Message, _Sender, _Receiver, _Opts) ->
    [{<<"content-type">>, <<"application/x-www-form-urlencoded">>}].

%% Metadata of filters follows what every receiver knows.
-spec prepare_body(mongoose_acc:t(), in | out, binary(), binary(), binary(), binary(),
                   mod_event_pusher_http:opts()) -> binary().
prepare_body(_Acc, _Dir, Domain, Message, Sender, Receiver, Opts) ->
    Metadata = event_pusher_fields:metadata(maps:get(metadata, Opts, #{})),
    Fields = [{<<"author">>, Sender}, {<<"server">>, Domain}, {<<"receiver">>, Receiver},
              {<<"message">>, Message}
              | [{Key, event_pusher_fields:text(Value)} || {Key, Value} <- Metadata]],
    %% One binary that grows: this runs in the process of the user's session.
    <<$&, Form/binary>> = lists:foldl(fun append/2, <<>>, Fields),
    Form.

append({Name, Value}, Form) ->
    encode(Value, <<(encode(Name, <<Form/binary, $&>>))/binary, $=>>).

%% https://url.spec.whatwg.org/#urlencoded-serializing, with the set of plain characters that
%% receivers of MongooseIM's notifications are used to: letters, digits, "-", "." and "_".
-spec encode(Text :: binary(), Form :: binary()) -> Form :: binary().
encode(<<Byte, Rest/binary>>, Form)
  when Byte >= $a, Byte =< $z; Byte >= $A, Byte =< $Z; Byte >= $0, Byte =< $9;
       Byte =:= $-; Byte =:= $.; Byte =:= $_ ->
    encode(Rest, <<Form/binary, Byte>>);
encode(<<$\s, Rest/binary>>, Form) ->
    encode(Rest, <<Form/binary, $+>>);
encode(<<High:4, Low:4, Rest/binary>>, Form) ->
    encode(Rest, <<Form/binary, $%, (hex(High)), (hex(Low))>>);
encode(<<>>, Form) ->
    Form.

hex(Digit) when Digit < 10 -> $0 + Digit;
hex(Digit) -> $A + Digit - 10.
