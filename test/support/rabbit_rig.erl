-module(rabbit_rig).
-moduledoc "What suites about RabbitMQ share beside rig: the broker, the options, the pool, and what arrives.".

-export([start_suite/1, stop_suite/1, start_case/1, stop_case/0]).
-export([exchanges/0, connection/1, connection/2, start_host/1, stats/0, await_stats/1]).
-export([opts/2, start/2, start_with_connection/2, start_opts/1, send/3]).
-export([delivered_all/0, is_up/1, total/1, until_connections/3]).
-export([user/2, bind/3, bind_all/1]).
-export([message/1, messages/2, json/1, texts/2, distinct/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(WAIT, 30000).
-define(LABELS, #{host_type => ?HT, pool_type => rabbit, pool_tag => event_pusher}).

%% Suites, and their cases

-spec start_suite(list()) -> list().
start_suite(Config) ->
    ok = rig:start_application(),
    %% What is refused is tried again soon enough for a test.
    ok = application:set_env(event_pusher, reconnect_max_ms, 500),
    Certs = test_certs:make(?config(priv_dir, Config)),
    #{cert := Cert, key := Key, ca := Ca} = Certs,
    {ok, Broker} = rabbit_service:start(#{cert => Cert, key => Key, cacert => Ca}),
    [{broker, Broker}, {info, rabbit_service:info(Broker)}, {certs, Certs} | Config].

-spec stop_suite(list()) -> ok.
stop_suite(Config) ->
    rabbit_service:stop(?config(broker, Config)),
    application:unset_env(event_pusher, reconnect_max_ms),
    application:stop(event_pusher).

-spec start_case(list()) -> list().
start_case(Config) ->
    ok = rabbit_service:reset(?config(broker, Config)),
    _ = rabbit_service:flush(?config(broker, Config)),
    ok = log_capture:start(),
    Config.

-spec stop_case() -> ok.
stop_case() ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

%% The module

%% The three exchanges as the configuration has them by default.
-spec exchanges() -> map().
exchanges() ->
    Exchange = fun(Name) -> #{name => Name, type => <<"topic">>, durable => false} end,
    Messages = fun(Name) -> (Exchange(Name))#{sent_topic => <<Name/binary, "_sent">>,
                                              recv_topic => <<Name/binary, "_recv">>}
               end,
    #{presence_exchange => Exchange(<<"presence">>),
      chat_msg_exchange => Messages(<<"chat_msg">>),
      groupchat_msg_exchange => Messages(<<"groupchat_msg">>)}.

-spec connection(rabbit_service:info()) -> map().
connection(Info) ->
    connection(Info, #{}).

%% The options of the section connection, for the broker that runs.
-spec connection(rabbit_service:info(), map()) -> map().
connection(#{host := Host, port := Port, username := Username, password := Password,
             vhost := VirtualHost}, More) ->
    maps:merge(#{host => binary_to_list(Host), port => Port, username => Username,
                 password => Password, virtual_host => VirtualHost, confirms_enabled => true,
                 reconnect => #{attempts => 0, delay => 100}}, More).

%% Starts one host type with RabbitMQ alone.
-spec start_host(map()) -> ok.
start_host(RabbitOpts) ->
    rig:start_host(#{mod_event_pusher => #{rabbit => RabbitOpts}}).

-spec stats() -> rig:stats().
stats() ->
    rig:stats({rabbit, ?HT}).

-spec await_stats(fun((rig:stats()) -> boolean())) -> rig:stats().
await_stats(Wanted) ->
    rig:await_stats({rabbit, ?HT}, Wanted).

%% With the broker of the suite

-spec opts(list(), map()) -> map().
opts(Config, More) ->
    Opts = maps:merge(exchanges(), More),
    maps:merge(#{connection => connection(?config(info, Config))}, Opts).

-spec start(list(), map()) -> ok.
start(Config, #{presence_exchange := _} = Exchanges) ->
    start_opts(maps:merge(#{connection => connection(?config(info, Config))}, Exchanges));
start(Config, #{chat_msg_exchange := _} = Exchanges) ->
    start_opts(maps:merge(#{connection => connection(?config(info, Config))}, Exchanges));
start(Config, More) ->
    start_opts(opts(Config, More)).

-spec start_with_connection(list(), map()) -> ok.
start_with_connection(Config, More) ->
    start(Config, #{connection => connection(?config(info, Config), More)}).

%% Most cases publish to exchanges without queues.
-spec start_opts(map()) -> ok.
start_opts(Opts) ->
    start_host(maps:merge(#{mandatory => false}, Opts)).

-spec send(Type :: binary(), From :: binary(), Body :: binary()) -> term().
send(Type, From, Body) ->
    host:send_message(From, ?BOB, rig:message(Type, Body)).

%% The pool

-spec delivered_all() -> rig:stats().
delivered_all() ->
    await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end).

-spec is_up(rig:stats()) -> boolean().
is_up(#{connection := Connection}) ->
    is_map(Connection) andalso maps:get(state, Connection) =:= up.

-spec total(atom()) -> non_neg_integer().
total(Metric) ->
    host_metrics:total(event_pusher_events, ?LABELS, Metric).

%% The broker takes a moment to list a connection, and to forget it.
-spec until_connections(pid(), binary(), non_neg_integer()) -> ok.
until_connections(Broker, User, Wanted) ->
    until_connections(Broker, User, Wanted, 1000).

until_connections(Broker, User, Wanted, Left) when Left > 0 ->
    case rabbit_service:connections(Broker, User) of
        Wanted -> ok;
        _ -> until_connections(Broker, User, Wanted, Left - 1)
    end.

%% The broker

%% One who may do everything.
-spec user(pid(), binary()) -> ok.
user(Broker, Name) ->
    ok = rabbit_service:add_user(Broker, Name, "secret"),
    rabbit_service:permissions(Broker, Name, "/", ".*", ".*", ".*").

-spec bind_all(list()) -> list().
bind_all(Config) ->
    [bind(Config, Exchange, false)
     || Exchange <- [<<"presence">>, <<"chat_msg">>, <<"groupchat_msg">>]].

-spec bind(list(), binary(), boolean()) -> term().
bind(Config, Exchange, Durable) ->
    rabbit_service:bind(?config(broker, Config), Exchange, topic, Durable, "#").

%% What arrives

-spec message(list()) -> rabbit_service:message().
message(Config) ->
    {ok, Message} = rabbit_service:await_message(?config(broker, Config), ?WAIT),
    Message.

-spec messages(non_neg_integer(), list()) -> [rabbit_service:message()].
messages(Count, Config) ->
    Messages = rabbit_service:await_messages(?config(broker, Config), Count, ?WAIT),
    ?assertEqual(Count, length(Messages)),
    Messages.

-spec json(rabbit_service:message()) -> map().
json(#{body := Body}) ->
    jiffy:decode(Body, [return_maps]).

%% What arrived under one routing key, in order.
-spec texts(binary(), [rabbit_service:message()]) -> [binary()].
texts(Key, Messages) ->
    [maps:get(<<"message">>, json(Message)) || #{routing_key := K} = Message <- Messages, K =:= Key].

%% Without what came again.
-spec distinct([Item]) -> [Item].
distinct(List) ->
    {Distinct, _} = lists:foldl(fun(Item, {Kept, Seen}) when is_map_key(Item, Seen) -> {Kept, Seen};
                                   (Item, {Kept, Seen}) -> {[Item | Kept], Seen#{Item => true}}
                                end, {[], #{}}, List),
    lists:reverse(Distinct).
