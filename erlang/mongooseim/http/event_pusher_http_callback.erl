-module(event_pusher_http_callback).
-moduledoc "What the callback module of a handler says of an event: whether it is posted, with which headers and body.".

-export([of_module/2, complaints/2, form/3, is_wanted/4, headers/4]).
-export_type([callbacks/0]).

-include("exml.hrl").
-include("mod_event_pusher_events.hrl").

%% Which callbacks are asked about documents. The default module is for forms alone.
-type callbacks() :: #{by_event := boolean(), by_packet := boolean(), headers := boolean()}.

-define(DEFAULT, mod_event_pusher_http_defaults).
-define(OF_FORMS, [{should_make_req, 6}, {prepare_headers, 7}, {prepare_body, 7}]).
-define(OF_DOCUMENTS, [{should_make_req, 3}, {should_make_req, 6}, {prepare_headers, 7}]).

-spec of_module(event_pusher_http_document:format(), module()) -> callbacks().
of_module(Format, Module) when Format =:= form; Module =:= ?DEFAULT ->
    #{by_event => false, by_packet => false, headers => false};
of_module(_Format, Module) ->
    _ = code:ensure_loaded(Module),
    [ByEvent, ByPacket, Headers] = [event_pusher_callbacks:has(Module, Callback)
                                    || Callback <- ?OF_DOCUMENTS],
    #{by_event => ByEvent, by_packet => ByPacket andalso not ByEvent, headers => Headers}.

-spec complaints(event_pusher_http_document:format(), module()) -> [binary()].
complaints(Format, Module) when Format =:= form; Module =:= ?DEFAULT ->
    event_pusher_callbacks:complaints(callback_module, Module, {all, ?OF_FORMS});
complaints(_Format, Module) ->
    event_pusher_callbacks:complaints(callback_module, Module, {any, ?OF_DOCUMENTS}).

%% Forms

-spec form(mod_event_pusher:event(), mod_event_pusher:push_event_acc(), mod_event_pusher_http:opts()) ->
    {Body :: binary(), [event_pusher:attribute()]} | skip.
form(#chat_event{} = Event, #{acc := Acc}, #{callback_module := Module} = Opts) ->
    case by_packet(Event, Acc, Opts) of
        true ->
            Args = arguments(Event, Acc, Opts),
            Body = checked_body(apply(Module, prepare_body, Args)),
            {Body, checked_headers(apply(Module, prepare_headers, Args))};
        false ->
            skip
    end;
form(_Event, _HookAcc, _Opts) ->
    skip.

by_packet(#chat_event{direction = Dir, from = From, to = To, packet = Packet}, Acc,
          #{callback_module := Module} = Opts) ->
    Module:should_make_req(Acc, Dir, Packet, From, To, Opts) =:= true.

arguments(#chat_event{direction = Dir, from = From, to = To, packet = Packet}, Acc, Opts) ->
    [Acc, Dir, jid:lserver(From), text(event_pusher_packet:body(Packet)), jid:luser(From),
     jid:luser(To), Opts].

text(none) -> <<>>;
text(Text) -> Text.

checked_body(Body) when is_binary(Body) -> Body;
checked_body(_Other) -> error({bad_plugin_result, prepare_body}).

checked_headers(Headers) when is_list(Headers) -> [checked_header(Header) || Header <- Headers];
checked_headers(_Other) -> error({bad_plugin_result, prepare_headers}).

checked_header({Name, Value}) when is_binary(Name), is_binary(Value) -> {Name, {binary, Value}};
checked_header(_Other) -> error({bad_plugin_result, prepare_headers}).

%% Documents

%% The server takes available presence for a message; where nobody is asked, only what has a text is one.
-spec is_wanted(mod_event_pusher:event(), mod_event_pusher:push_event_acc(),
                mod_event_pusher_http:opts(), callbacks()) -> boolean().
is_wanted(#chat_event{packet = #xmlel{name = Name}}, _HookAcc, _Opts, _Callbacks)
  when Name =/= <<"message">> ->
    false;
is_wanted(Event, #{acc := Acc}, #{callback_module := Module} = Opts, #{by_event := true}) ->
    Module:should_make_req(Acc, Event, Opts) =:= true;
is_wanted(#chat_event{} = Event, #{acc := Acc}, Opts, #{by_packet := true}) ->
    by_packet(Event, Acc, Opts);
is_wanted(#chat_event{packet = Packet}, _HookAcc, _Opts, _Callbacks) ->
    event_pusher_packet:body(Packet) =/= none;
is_wanted(_Event, _HookAcc, _Opts, _Callbacks) ->
    true.

%% Beside those of the document, which are not for callbacks to say.
-spec headers(mod_event_pusher:event(), mod_event_pusher:push_event_acc(),
              mod_event_pusher_http:opts(), callbacks()) -> [event_pusher:attribute()].
headers(#chat_event{} = Event, #{acc := Acc}, #{callback_module := Module} = Opts,
        #{headers := true}) ->
    Headers = checked_headers(apply(Module, prepare_headers, arguments(Event, Acc, Opts))),
    [Header || {Name, _} = Header <- Headers, not is_of_document(string:lowercase(Name))];
headers(_Event, _HookAcc, _Opts, _Callbacks) ->
    [].

is_of_document(<<"content-type">>) -> true;
is_of_document(<<"ce-", _/binary>>) -> true;
is_of_document(_Name) -> false.
