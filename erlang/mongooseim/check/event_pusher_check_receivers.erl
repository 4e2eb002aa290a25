-module(event_pusher_check_receivers).
-moduledoc "Which receivers the configuration names.".

-export([sns_urls/0, tls_connections/0]).

-spec sns_urls() -> [string()].
sns_urls() ->
    [Url || {_HostType, #{sns_host := Url}} <- event_pusher_check_config:with(sns)].

%% Those of HTTP and RabbitMQ. Pools that are missing have a check of their own.
-spec tls_connections() -> [event_pusher_check_tls:connection()].
tls_connections() ->
    Tags = [{HostType, Tag} || {HostType, #{handlers := Handlers}}
                                   <- event_pusher_check_config:with(http),
                               #{pool_name := Tag} <- Handlers],
    Https = [Connection || {HostType, Tag} <- lists:usort(Tags),
                           {ok, #{conn_opts := ConnOpts}}
                               <- [event_pusher_outgoing:find(http, HostType, Tag)],
                           Connection <- https(Tag, ConnOpts)],
    Amqps = [Connection || {HostType, Opts} <- event_pusher_check_config:with_exchanges(),
                           Connection <- amqps(HostType, Opts)],
    lists:usort(Https ++ Amqps).

https(Tag, #{host := Url} = ConnOpts) ->
    case uri_string:parse(string:trim(Url)) of
        #{scheme := Scheme, host := Host} = Parts ->
            [#{section => io_lib:format("[outgoing_pools.http.~ts]", [Tag]),
               host => string:trim(Host, both, "[]"), port => maps:get(port, Parts, 443),
               tls => event_pusher_tls:options(true, ConnOpts)}
             || string:lowercase(Scheme) =:= "https"];
        _NoUrl ->
            []
    end.

amqps(HostType, Opts) ->
    case rabbit_connection(HostType, Opts) of
        {Section, #{tls := _} = ConnOpts} ->
            [#{section => Section, host => Host, port => Port,
               tls => event_pusher_tls:options(true, ConnOpts)}
             || {Host, Port} <- broker_nodes(ConnOpts)];
        _WithoutTls ->
            []
    end.

%% What cannot be read is complained about elsewhere.
broker_nodes(#{hosts := Hosts, port := Port}) ->
    [{string:trim(Host, both, "[]"), maps:get(port, Parts, Port)}
     || Text <- Hosts, #{host := Host} = Parts <- [uri_string:parse(["amqp://", authority(Text)])]];
broker_nodes(#{host := Host, port := Port}) ->
    [{Host, Port}].

%% An address of IPv6 may be without brackets.
authority(Text) ->
    case inet:parse_ipv6strict_address(binary_to_list(Text)) of
        {ok, _} -> ["[", Text, "]"];
        {error, _} -> Text
    end.

rabbit_connection(_HostType, #{connection := ConnOpts}) ->
    {"[modules.mod_event_pusher.rabbit.connection]", ConnOpts};
rabbit_connection(HostType, _Opts) ->
    case event_pusher_outgoing:find(rabbit, HostType, event_pusher) of
        {ok, #{conn_opts := ConnOpts}} -> {"[outgoing_pools.rabbit.event_pusher]", ConnOpts};
        {error, not_configured} -> none
    end.
