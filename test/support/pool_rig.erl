-module(pool_rig).
-moduledoc "What suites about native pools share: settings for each backend, to be changed as a case wants it.".

-export([settings/1, sns/1, http/1, rabbit/0, rabbit/1, tls/0]).

%% One worker, room for all that a case pushes, retries that nobody has to wait for, and a stop at once.
-spec settings(event_pusher:backend()) -> event_pusher:settings().
settings(Backend) ->
    #{pool_size => 1, max_events => 1000, max_bytes => 1 bsl 24, on_full => drop_new,
      retry_count => 2, retry_time_ms => 1, retry_max_ms => 1000, drain_timeout_ms => 0,
      backend => Backend}.

-spec sns(Url :: binary()) -> event_pusher:sns().
sns(Url) ->
    #{sns_host => Url, region => <<"eu-west-1">>, partition => <<"aws">>,
      account_id => <<"123456789012">>, topics => [{<<"pm_messages_topic">>, <<"pm">>}],
      access_key_id => <<"A">>, secret_access_key => <<"S">>, publish_batch => false,
      connect_timeout_ms => 5000, request_timeout_ms => 60000}.

-spec http(Url :: binary()) -> event_pusher:http().
http(Url) ->
    #{host => Url, path_prefix => <<"/">>, path => <<"x">>, tls => none, http2 => false,
      connect_timeout_ms => 5000, request_timeout_ms => 60000}.

%% Of a broker that is away.
-spec rabbit() -> event_pusher:rabbit().
rabbit() ->
    rabbit(rig:free_port()).

-spec rabbit(inet:port_number()) -> event_pusher:rabbit().
rabbit(Port) ->
    #{host => <<"127.0.0.1">>, port => Port, username => <<"u">>, password => <<"p">>,
      virtual_host => <<"/">>, connection_name => <<"tests">>, confirms => true,
      mandatory => true, declare => active, tls => none, reconnect_delay_ms => 100, reconnect_max_ms => 100,
      nack_retry_count => 1, nack_retry_time_ms => 1, nack_retry_max_ms => 1,
      exchanges => [{<<"chat_msg_exchange">>, <<"chat">>, <<"topic">>, false}]}.

%% Without a check of the certificate.
-spec tls() -> event_pusher:tls().
tls() ->
    #{verify_mode => none, disconnect_on_failure => true, versions => [<<"tlsv1.3">>],
      ciphers => <<"TLS_AES_256_GCM_SHA384">>, server_name => default}.
