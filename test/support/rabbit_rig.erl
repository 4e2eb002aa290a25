-module(rabbit_rig).
-moduledoc "What suites about RabbitMQ share beside rig: the options and the pool.".

-export([exchanges/0, connection/1, connection/2, start_host/1, stats/0, await_stats/1]).

-define(HT, <<"localhost">>).

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
