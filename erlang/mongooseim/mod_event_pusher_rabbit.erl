-module(mod_event_pusher_rabbit).
-moduledoc "Accepts the options of RabbitMQ; refuses to start until the backend is there.".

-behaviour(gen_mod).

-export([start/2, stop/1, config_spec/0, supported_features/0]).

-include("mongoose_config_spec.hrl").

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> no_return().
start(HostType, _Opts) ->
    event_pusher_backend:unavailable(rabbit, HostType).

-spec stop(mongooseim:host_type()) -> ok.
stop(_HostType) ->
    ok.

-spec config_spec() -> #section{}.
config_spec() ->
    #section{items = #{<<"presence_exchange">> => exchange_spec(<<"presence">>),
                       <<"chat_msg_exchange">> => messages_spec(<<"chat_msg">>),
                       <<"groupchat_msg_exchange">> => messages_spec(<<"groupchat_msg">>)}}.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

exchange_spec(Name) ->
    Text = #option{type = binary, validate = non_empty},
    #section{items = #{<<"name">> => Text, <<"type">> => Text,
                       <<"durable">> => #option{type = boolean}},
             defaults = #{<<"name">> => Name, <<"type">> => <<"topic">>, <<"durable">> => false}}.

messages_spec(Name) ->
    #section{items = Items, defaults = Defaults} = Exchange = exchange_spec(Name),
    Topic = #option{type = binary, validate = non_empty},
    Exchange#section{items = Items#{<<"sent_topic">> => Topic, <<"recv_topic">> => Topic},
                     defaults = Defaults#{<<"sent_topic">> => <<Name/binary, "_sent">>,
                                          <<"recv_topic">> => <<Name/binary, "_recv">>}}.
