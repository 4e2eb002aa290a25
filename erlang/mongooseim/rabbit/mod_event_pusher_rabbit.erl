-module(mod_event_pusher_rabbit).
-moduledoc "Publishes presence and messages to exchanges of RabbitMQ.".

-behaviour(gen_mod).
-behaviour(mongoose_module_metrics).
-behaviour(event_pusher_backend).

%% gen_mod callbacks
-export([start/2, stop/1, hooks/1, config_spec/0, supported_features/0, instrumentation/1]).
%% For the check of a configuration
-export([complaints/2]).
%% Hook handler
-export([push_event/3]).
%% event_pusher_backend callbacks
-export([pools/2, message/3]).

-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").
-include_lib("kernel/include/logger.hrl").

%% The exchanges that are configured, by the key of their section.
-type exchanges() :: #{presence_exchange | chat_msg_exchange | groupchat_msg_exchange =>
                           #{name := binary(), sent_topic => binary(), recv_topic => binary(),
                             _ => _}}.

%% What the JSON object of a message holds, in its order.
-type fields() :: [{binary(), event_pusher_fields:value()}].

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
    ok = event_pusher_backend:start(?MODULE, HostType, Opts),
    warn_nothing_published(HostType, exchanges(Opts)).

warn_nothing_published(_HostType, Exchanges) when map_size(Exchanges) > 0 ->
    ok;
warn_nothing_published(HostType, _None) ->
    ?LOG_WARNING((labels(HostType))#{what => event_pusher_rabbit_without_exchange,
                                     text => <<"Nothing is published: there is no section "
                                               "[modules.mod_event_pusher.rabbit.*_exchange]">>}).

%% What start/2 would complain about, without a start.
-spec complaints(mongooseim:host_type(), gen_mod:module_opts()) -> [binary()].
complaints(HostType, Opts) ->
    event_pusher_backend:complaints(?MODULE, HostType, Opts).

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    event_pusher_backend:stop(?MODULE, HostType).

-spec hooks(mongooseim:host_type()) -> gen_hook:hook_list().
hooks(HostType) ->
    event_pusher_backend:hooks(?MODULE, HostType).

-spec config_spec() -> #section{}.
config_spec() ->
    #section{items = maps:from_list(
        [{<<"queue">>, event_pusher_queue_options:spec()},
         {<<"retry">>, event_pusher_retry_options:spec()},
         {<<"connection">>, connection_spec()},
         {<<"declare">>, #option{type = atom, validate = {enum, [active, passive, none]}}},
         {<<"mandatory">>, #option{type = boolean}},
         {<<"nack_retry_count">>, #option{type = int_or_infinity, validate = non_negative}}
         | [exchange_spec(Kind, Topics)
            || {Kind, Topics} <- [{<<"presence">>, []},
                                  {<<"chat_msg">>, [<<"sent">>, <<"recv">>]},
                                  {<<"groupchat_msg">>, [<<"sent">>, <<"recv">>]}]]])}.

%% Of one kind of event. Where nothing is configured, names are made of the kind's.
exchange_spec(Kind, Topics) ->
    Text = #option{type = binary, validate = non_empty},
    Options = [{<<"durable">>, #option{type = boolean}, false},
               {<<"type">>, Text, <<"topic">>},
               {<<"name">>, Text, Kind}
               | [{<<Topic/binary, "_topic">>, Text, <<Kind/binary, $_, Topic/binary>>}
                  || Topic <- Topics]],
    {<<Kind/binary, "_exchange">>,
     #section{items = maps:from_list([{Key, Spec} || {Key, Spec, _Default} <- Options]),
              defaults = maps:from_list([{Key, Default} || {Key, _Spec, Default} <- Options])}}.

%% The keys of [outgoing_pools.rabbit.event_pusher.connection], for use in its place, and the nodes of
%% a cluster.
connection_spec() ->
    Text = #option{type = binary, validate = non_empty},
    Number = #option{type = integer, validate = non_negative},
    #section{items = #{<<"host">> => #option{type = string, validate = non_empty},
                       <<"hosts">> => #list{items = Text, validate = unique_non_empty},
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

connection_defaults() ->
    #{host => "localhost", port => 5672, username => <<"guest">>, password => <<"guest">>,
      virtual_host => <<"/">>, confirms_enabled => false}.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec instrumentation(mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(HostType) ->
    event_pusher_metrics:instrumentation(labels(HostType)).

%% Events

-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), _ => _}) ->
    {ok, mod_event_pusher:push_event_acc()}.
push_event(HookAcc, Params, Extra) ->
    event_pusher_backend:push_event(?MODULE, HookAcc, Params, Extra).

-spec message(mod_event_pusher:event(), mod_event_pusher:push_event_acc(), exchanges()) ->
    event_pusher:message() | skip.
message(Event, HookAcc, Exchanges) ->
    case notification(Event, Exchanges) of
        skip ->
            skip;
        {#{name := Exchange}, RoutingKey, Fields} ->
            Metadata = maps:get(metadata, HookAcc, #{}),
            #{destination => Exchange, group => RoutingKey,
              body => event_pusher_fields:json(with_metadata(Fields, Metadata))}
    end.

%% Notifications

-spec notification(mod_event_pusher:event(), exchanges()) ->
    {Exchange :: map(), RoutingKey :: binary(), Fields :: fields()} | skip.
notification(#user_status_event{jid = User, status = Status},
             #{presence_exchange := Exchange}) ->
    {Exchange, bare(User), [{<<"user_id">>, full(User)}, {<<"present">>, Status =:= online}]};
notification(#chat_event{type = chat} = Event, #{chat_msg_exchange := Exchange}) ->
    chat_notification(Event, Exchange);
notification(#chat_event{type = groupchat} = Event, #{groupchat_msg_exchange := Exchange}) ->
    chat_notification(Event, Exchange);
notification(_Event, _Exchanges) ->
    skip.

chat_notification(#chat_event{from = From, to = To, packet = Packet} = Event, Exchange) ->
    case event_pusher_packet:body(Packet) of
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

-spec pools(mongooseim:host_type(), gen_mod:module_opts()) -> [event_pusher_backend:pool()].
pools(HostType, Opts) ->
    Exchanges = exchanges(Opts),
    [pool(HostType, Exchanges, Opts) || map_size(Exchanges) > 0].

-spec exchanges(gen_mod:module_opts()) -> exchanges().
exchanges(Opts) ->
    maps:with(?EXCHANGES, Opts).

-spec labels(mongooseim:host_type()) -> event_pusher_backend:labels().
labels(HostType) ->
    #{host_type => HostType, pool_type => rabbit, pool_tag => ?TAG}.

-spec pool(mongooseim:host_type(), exchanges(), gen_mod:module_opts()) ->
    event_pusher_backend:pool().
pool(HostType, Exchanges, Opts) ->
    {PoolOpts, ConnOpts} = connection(HostType, Opts),
    Backend = backend(HostType, Exchanges, ConnOpts, Opts),
    Labels = labels(HostType),
    Settings = #{pool_size => maps:get(workers, PoolOpts, ?WORKERS),
                 retry_count => infinity,
                 retry_time_ms => ?RETRY_TIME_MS,
                 retry_max_ms => ?RETRY_MAX_MS,
                 backend => {rabbit, Backend}},
    Name = {rabbit, HostType},
    Fields = Labels#{receiver => receiver(Backend)},
    #{name => Name,
      log => <<"rabbit ", HostType/binary>>,
      labels => Labels,
      settings => Settings,
      complaints => complaints(maps:get(connection, Opts, #{})),
      fields => Fields, report_to => {event_pusher_backend, report, [Fields, [Name]]},
      context => Exchanges}.

-spec connection(mongooseim:host_type(), gen_mod:module_opts()) -> {map(), map()}.
connection(_HostType, #{connection := ConnOpts}) ->
    {#{}, ConnOpts};
connection(HostType, _Opts) ->
    case event_pusher_outgoing:find(rabbit, HostType, ?TAG) of
        {ok, #{opts := PoolOpts, conn_opts := ConnOpts}} ->
            {PoolOpts, event_pusher_compat:rabbit_connection(ConnOpts, connection_defaults())};
        {error, not_configured} ->
            error(#{what => event_pusher_rabbit_connection_not_configured, host_type => HostType,
                    text => <<"Exchanges need [modules.mod_event_pusher.rabbit.connection] "
                              "or [outgoing_pools.rabbit.event_pusher]">>})
    end.

%% The default beside hosts is nobody's.
complaints(#{hosts := _, host := Host}) when Host =/= "localhost" ->
    [<<"host: must be left out beside hosts, got both">>];
complaints(_ConnOpts) ->
    [].

%% The broker, in words.
receiver(#{hosts := [_ | _] = Hosts, virtual_host := VirtualHost}) ->
    event_pusher_receiver:cluster(Hosts, VirtualHost);
receiver(#{host := Host, port := Port, virtual_host := VirtualHost}) ->
    event_pusher_receiver:broker(Host, Port, VirtualHost).

-spec backend(mongooseim:host_type(), exchanges(), map(), gen_mod:module_opts()) ->
    event_pusher:rabbit().
backend(HostType, Exchanges, ConnOpts, Opts) ->
    #{host := Host, port := Port, username := Username, password := Password,
      virtual_host := VirtualHost, confirms_enabled := Confirms} = ConnOpts,
    Reconnect = maps:get(reconnect, ConnOpts, #{}),
    #{host => unicode:characters_to_binary(Host),
      hosts => maps:get(hosts, ConnOpts, []),
      port => Port,
      username => Username,
      password => Password,
      virtual_host => VirtualHost,
      connection_name => <<"event_pusher ", HostType/binary>>,
      confirms => Confirms,
      mandatory => maps:get(mandatory, Opts, Confirms),
      declare => maps:get(declare, Opts, active),
      nack_retry_count => maps:get(nack_retry_count, Opts, ?NACK_RETRY_COUNT),
      nack_retry_time_ms => ?NACK_RETRY_TIME_MS,
      nack_retry_max_ms => ?NACK_RETRY_MAX_MS,
      tls => event_pusher_tls:options(is_map_key(tls, ConnOpts), ConnOpts),
      reconnect_delay_ms => maps:get(delay, Reconnect, 2000),
      reconnect_max_ms => event_pusher_env:get(reconnect_max_ms),
      exchanges => [{atom_to_binary(Section), Name, Type, Durable}
                    || Section <- ?EXCHANGES,
                       #{name := Name, type := Type, durable := Durable}
                           <- [maps:get(Section, Exchanges, none)]]}.
