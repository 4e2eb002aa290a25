-module(mod_event_pusher_rabbit).
-moduledoc "Publishes presence and messages to exchanges of RabbitMQ.".

-behaviour(gen_mod).
-behaviour(mongoose_module_metrics).

%% gen_mod callbacks
-export([start/2, stop/1, hooks/1, config_spec/0, supported_features/0, instrumentation/1]).
%% For the check of a configuration
-export([complaints/2]).
%% Hook handler
-export([push_event/3]).

-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").
-include_lib("kernel/include/logger.hrl").

%% The exchanges that are configured, by the key of their section.
-type exchanges() :: #{presence_exchange | chat_msg_exchange | groupchat_msg_exchange =>
                           #{name := binary(), sent_topic => binary(), recv_topic => binary(),
                             _ => _}}.

%% What the JSON object of a message holds, in its order.
-type fields() :: [{binary(), event_pusher_fields:value()}].

-define(KEY(HostType), {?MODULE, HostType}).
-define(EXCHANGES, [presence_exchange, chat_msg_exchange, groupchat_msg_exchange]).
-define(TAG, event_pusher).
-define(WORKERS, 10).
%% Waits before a batch is published again whose channel has ended.
-define(RETRY_TIME_MS, 50).
-define(RETRY_MAX_MS, 5000).
%% The same after a nack: a queue may be full for long, and others may get the message each time.
-define(NACK_RETRY_COUNT, 15).
-define(NACK_RETRY_TIME_MS, 1000).
-define(NACK_RETRY_MAX_MS, 300000).

%% gen_mod callbacks

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(HostType, Opts) ->
    event_pusher_backend:start(?MODULE, HostType, fun() -> start_exchanges(HostType, Opts) end).

start_exchanges(HostType, Opts) ->
    Exchanges = maps:with(?EXCHANGES, Opts),
    case map_size(Exchanges) of
        0 -> warn_nothing_published(HostType);
        _ -> event_pusher_backend:start_pool(pool(HostType, Exchanges, Opts))
    end,
    persistent_term:put(?KEY(HostType), Exchanges).

warn_nothing_published(HostType) ->
    ?LOG_WARNING((labels(HostType))#{what => event_pusher_rabbit_without_exchange,
                                     text => <<"Nothing is published: there is no section "
                                               "[modules.mod_event_pusher.rabbit.*_exchange]">>}).

%% What start/2 would complain about, without a start.
-spec complaints(mongooseim:host_type(), gen_mod:module_opts()) -> [binary()].
complaints(HostType, Opts) ->
    Exchanges = maps:with(?EXCHANGES, Opts),
    case map_size(Exchanges) of
        0 -> [];
        _ -> event_pusher_backend:complaints(pool(HostType, Exchanges, Opts))
    end.

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    event_pusher_backend:stop_pools([name(HostType)]),
    _ = persistent_term:erase(?KEY(HostType)),
    ok.

-spec hooks(mongooseim:host_type()) -> gen_hook:hook_list().
hooks(HostType) ->
    [{push_event, HostType, fun ?MODULE:push_event/3, #{}, 50}].

-spec config_spec() -> #section{}.
config_spec() ->
    #section{items = #{<<"presence_exchange">> => exchange_spec(<<"presence">>),
                       <<"chat_msg_exchange">> => messages_spec(<<"chat_msg">>),
                       <<"groupchat_msg_exchange">> => messages_spec(<<"groupchat_msg">>),
                       <<"declare">> => #option{type = atom,
                                                validate = {enum, [active, passive, none]}},
                       <<"nack_retry_count">> => #option{type = int_or_infinity,
                                                         validate = non_negative},
                       <<"connection">> => connection_spec(),
                       <<"queue">> => event_pusher_backend:queue_spec()}}.

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

%% The keys of [outgoing_pools.rabbit.event_pusher.connection], for use in its place.
connection_spec() ->
    Text = #option{type = binary, validate = non_empty},
    Number = #option{type = integer, validate = non_negative},
    #section{items = #{<<"host">> => #option{type = string, validate = non_empty},
                       <<"port">> => #option{type = integer, validate = port},
                       <<"username">> => Text,
                       <<"password">> => Text,
                       <<"virtual_host">> => Text,
                       <<"confirms_enabled">> => #option{type = boolean},
                       <<"tls">> => mongoose_config_spec:tls([client]),
                       <<"reconnect">> => #section{items = #{<<"attempts">> => Number,
                                                             <<"delay">> => Number}}},
             defaults = maps:from_list([{atom_to_binary(Key), Value}
                                        || {Key, Value} <- maps:to_list(connection_defaults())])}.

%% Also for what the pools of older servers do not have.
connection_defaults() ->
    #{host => "localhost", port => 5672, username => <<"guest">>, password => <<"guest">>,
      virtual_host => <<"/">>, confirms_enabled => false}.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec instrumentation(mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(HostType) ->
    event_pusher_backend:instrumentation(labels(HostType)).

%% Hook handler

-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), _ => _}) ->
    {ok, mod_event_pusher:push_event_acc()}.
push_event(HookAcc, #{event := Event}, #{host_type := HostType}) ->
    Metadata = maps:get(metadata, HookAcc, #{}),
    event_pusher_backend:isolate(labels(HostType), fun() -> push(HostType, Event, Metadata) end),
    {ok, HookAcc}.

%% A refusal is counted by the pool; the chat must not notice it.
-spec push(mongooseim:host_type(), mod_event_pusher:event(), mod_event_pusher:metadata()) -> term().
push(HostType, Event, Metadata) ->
    case notification(Event, persistent_term:get(?KEY(HostType))) of
        skip ->
            skip;
        {#{name := Exchange}, RoutingKey, Fields} ->
            Message = #{destination => Exchange, group => RoutingKey,
                        body => event_pusher_fields:json(with_metadata(Fields, Metadata))},
            event_pusher:push(name(HostType), Message)
    end.

%% Notifications

-spec notification(mod_event_pusher:event(), exchanges()) ->
    {Exchange :: map(), RoutingKey :: binary(), Fields :: fields()} | skip.
notification(#user_status_event{jid = User, status = Status},
             #{presence_exchange := Exchange}) ->
    {Exchange, bare(User), [{<<"user_id">>, full(User)}, {<<"present">>, Status =:= online}]};
notification(#chat_event{type = chat} = Event, #{chat_msg_exchange := Exchange}) ->
    message(Event, Exchange);
notification(#chat_event{type = groupchat} = Event, #{groupchat_msg_exchange := Exchange}) ->
    message(Event, Exchange);
notification(_Event, _Exchanges) ->
    skip.

message(#chat_event{from = From, to = To, packet = Packet} = Event, Exchange) ->
    case event_pusher_backend:body(Packet) of
        none ->
            skip;
        Body ->
            {Exchange, routing_key(Event, Exchange),
             [{<<"from_user_id">>, full(From)}, {<<"to_user_id">>, full(To)},
              {<<"message">>, Body}]}
    end.

-spec routing_key(#chat_event{}, map()) -> binary().
routing_key(#chat_event{direction = in, from = From}, #{sent_topic := Topic}) ->
    <<(bare(From))/binary, $., Topic/binary>>;
routing_key(#chat_event{direction = out, to = To}, #{recv_topic := Topic}) ->
    <<(bare(To))/binary, $., Topic/binary>>.

%% What a filter says of a field is taken in its place.
-spec with_metadata(fields(), mod_event_pusher:metadata()) -> fields().
with_metadata(Fields, Metadata) ->
    New = event_pusher_fields:metadata(Metadata),
    Own = [proplists:lookup(Key, New ++ [Field]) || {Key, _} = Field <- Fields],
    Own ++ [Field || {Key, _} = Field <- New, not lists:keymember(Key, 1, Fields)].

-spec full(jid:jid()) -> binary().
full(Jid) ->
    jid:to_binary(jid:to_lower(Jid)).

-spec bare(jid:jid()) -> binary().
bare(Jid) ->
    jid:to_binary(jid:to_lower(jid:to_bare(Jid))).

%% The pool

-spec name(mongooseim:host_type()) -> event_pusher:name().
name(HostType) ->
    {rabbit, HostType}.

-spec labels(mongooseim:host_type()) -> event_pusher_backend:labels().
labels(HostType) ->
    #{host_type => HostType, pool_type => rabbit, pool_tag => ?TAG}.

-spec pool(mongooseim:host_type(), exchanges(), gen_mod:module_opts()) ->
    event_pusher_backend:pool().
pool(HostType, Exchanges, Opts) ->
    {PoolOpts, ConnOpts} = connection(HostType, Opts),
    #{host := Host, port := Port, virtual_host := VirtualHost} = Target =
        target(HostType, Exchanges, ConnOpts, Opts),
    Labels = labels(HostType),
    Settings = #{pool_size => maps:get(workers, PoolOpts, ?WORKERS),
                 retry_count => infinity,
                 retry_time_ms => ?RETRY_TIME_MS,
                 retry_max_ms => ?RETRY_MAX_MS,
                 target => Target},
    Name = name(HostType),
    Fields = Labels#{receiver => event_pusher_receiver:broker(Host, Port, VirtualHost)},
    #{name => Name,
      labels => Labels,
      settings => Settings,
      opts => Opts,
      report_to => {event_pusher_backend, report, [Fields, [Name]]}}.

-spec connection(mongooseim:host_type(), gen_mod:module_opts()) -> {map(), map()}.
connection(_HostType, #{connection := ConnOpts}) ->
    {#{}, ConnOpts};
connection(HostType, _Opts) ->
    case event_pusher_outgoing:find(rabbit, HostType, ?TAG) of
        {ok, #{opts := PoolOpts, conn_opts := ConnOpts}} ->
            {PoolOpts, ConnOpts};
        {error, not_configured} ->
            error(#{what => event_pusher_rabbit_connection_not_configured, host_type => HostType,
                    text => <<"Exchanges need [modules.mod_event_pusher.rabbit.connection] "
                              "or [outgoing_pools.rabbit.event_pusher]">>})
    end.

-spec target(mongooseim:host_type(), exchanges(), map(), gen_mod:module_opts()) ->
    event_pusher:target().
target(HostType, Exchanges, GivenConnOpts, Opts) ->
    ConnOpts = maps:merge(connection_defaults(), GivenConnOpts),
    #{host := Host, port := Port, username := Username, password := Password,
      virtual_host := VirtualHost, confirms_enabled := Confirms} = ConnOpts,
    Reconnect = maps:get(reconnect, ConnOpts, #{}),
    #{target => rabbit,
      host => unicode:characters_to_binary(Host),
      port => Port,
      username => Username,
      password => Password,
      virtual_host => VirtualHost,
      connection_name => <<"event_pusher ", HostType/binary>>,
      confirms => Confirms,
      declare => maps:get(declare, Opts, active),
      nack_retry_count => maps:get(nack_retry_count, Opts, ?NACK_RETRY_COUNT),
      nack_retry_time_ms => ?NACK_RETRY_TIME_MS,
      nack_retry_max_ms => ?NACK_RETRY_MAX_MS,
      tls => event_pusher_outgoing:tls(is_map_key(tls, ConnOpts), ConnOpts),
      reconnect_delay_ms => maps:get(delay, Reconnect, 2000),
      reconnect_max_ms => event_pusher_env:get(reconnect_max_ms),
      exchanges => [{atom_to_binary(Section), Name, Type, Durable}
                    || Section <- ?EXCHANGES,
                       #{name := Name, type := Type, durable := Durable}
                           <- [maps:get(Section, Exchanges, none)]]}.
