-module(event_pusher_retry_SUITE).
-moduledoc "Retrying by age, with receivers that are away for longer than the counts would allow.".

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([an_http_receiver_that_is_away_costs_no_event_before_its_time/1,
         events_of_http_are_exhausted_when_their_time_is_over/1,
         an_event_that_fails_alone_waits_without_a_worker/1,
         with_a_spool_alone_an_outage_costs_no_event/1,
         with_a_spool_alone_rabbitmq_counts_nacks/1,
         sns_that_is_away_costs_no_event_before_its_time/1,
         events_of_sns_are_exhausted_when_their_time_is_over/1,
         a_nack_of_rabbitmq_costs_no_event_before_its_time/1,
         events_of_rabbitmq_are_nacked_when_their_time_is_over/1,
         what_waits_without_an_attempt_has_one_at_any_age/1,
         the_time_goes_on_while_the_server_is_stopped/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(HTTP, {http, ?HT, 1}).
-define(WAIT, 30000).
-define(HOUR_MS, 3600000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 2}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    ok = rig:start_application(),
    ok = application:set_env(event_pusher, reconnect_max_ms, 500),
    {ok, Receiver} = http_service:start(),
    {ok, Service} = sns_service:start(),
    {ok, Broker} = rabbit_service:start(),
    _ = sns_service:topic(Service, "pm"),
    [{receiver, Receiver}, {service, Service}, {broker, Broker} | Config].

end_per_suite(Config) ->
    ok = http_service:stop(?config(receiver, Config)),
    ok = sns_service:stop(?config(service, Config)),
    ok = rabbit_service:stop(?config(broker, Config)),
    ok = application:stop(event_pusher),
    application:unset_env(event_pusher, reconnect_max_ms).

init_per_testcase(_Case, Config) ->
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, Config) ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok = http_service:reset(?config(receiver, Config)),
    ok = rabbit_service:reset(?config(broker, Config)),
    ok.

%% HTTP

%% Confirms it with a count of none, while the circuit breaker lets one event after the other be a
%% probe.
an_http_receiver_that_is_away_costs_no_event_before_its_time(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:down(Receiver),
    start_http(#{retry_count => 0}, ?HOUR_MS, #{}, Config),
    send(20),
    _ = log_capture:await(event_pusher_circuit_open),
    rig:await_stats(?HTTP, fun(#{retried := Retried}) -> Retried >= 10 end),
    ?assertMatch(#{waiting := 20, exhausted := 0}, rig:stats(?HTTP)),
    ok = http_service:up(Receiver),
    ?assertMatch(#{delivered := 20, exhausted := 0}, ended(?HTTP)).

%% Confirms it with a count that would allow far more attempts.
events_of_http_are_exhausted_when_their_time_is_over(Config) ->
    ok = http_service:answer(?config(receiver, Config), 503),
    start_http(#{retry_count => 1000000, circuit_breaker_failures => 0}, 500, #{}, Config),
    send(3),
    ?assertMatch(#{delivered := 0, exhausted := 3, expired := 0, retried := Retried}
                     when Retried >= 3, ended(?HTTP)),
    ?assertMatch(#{reason := exhausted, last_cause := <<"503">>},
                 log_capture:await(event_pusher_drops)).

%% Confirms it of one that would wait for long, and that it goes at once when somebody wants that.
an_event_that_fails_alone_waits_without_a_worker(Config) ->
    ok = http_service:script(?config(receiver, Config), [500]),
    start_http(#{retry_time_ms => 60000}, ?HOUR_MS, #{}, Config),
    send(1),
    rig:await_stats(?HTTP, fun(#{retried := Retried}) -> Retried =:= 1 end),
    send(1),
    ?assertMatch(#{waiting := 1, queue_events := 1, in_flight := 0},
                 rig:await_stats(?HTTP, fun(#{delivered := Delivered}) -> Delivered =:= 1 end)),
    _ = event_pusher:retry_now(?HTTP),
    ?assertMatch(#{delivered := 2, exhausted := 0}, ended(?HTTP)).

%% SNS

sns_that_is_away_costs_no_event_before_its_time(Config) ->
    #{endpoint := Endpoint} = Info = sns_service:info(?config(service, Config)),
    Port = rig:free_port(),
    start_sns(Info#{endpoint := url(Port)}, #{publish_retry_count => 0}, ?HOUR_MS),
    send(20),
    _ = log_capture:await(event_pusher_circuit_open),
    sns_rig:await_stats(fun(#{retried := Retried}) -> Retried >= 10 end),
    ?assertMatch(#{waiting := 20, exhausted := 0}, sns_rig:stats()),
    #{port := ServicePort} = uri_string:parse(Endpoint),
    _ = freezing_proxy:start(ServicePort, Port),
    ?assertMatch(#{delivered := 20, exhausted := 0}, ended({sns, ?HT})),
    ?assertEqual(20, length(sns_service:await_messages(?config(service, Config), 20, ?WAIT))).

events_of_sns_are_exhausted_when_their_time_is_over(Config) ->
    Info = sns_service:info(?config(service, Config)),
    start_sns(Info#{endpoint := url(rig:free_port())},
              #{publish_retry_count => 1000000, circuit_breaker_failures => 0}, 500),
    send(3),
    ?assertMatch(#{delivered := 0, exhausted := 3, expired := 0, retried := Retried}
                     when Retried >= 3, ended({sns, ?HT})),
    ?assertMatch(#{reason := exhausted, pool_type := sns}, log_capture:await(event_pusher_drops)).

%% RabbitMQ

%% Confirms it with a count of none: a queue refuses all for longer than that.
a_nack_of_rabbitmq_costs_no_event_before_its_time(Config) ->
    Broker = ?config(broker, Config),
    start_rabbit(#{nack_retry_count => 0}, ?HOUR_MS, Config),
    ok = rabbit_service:await_exchange(Broker, "chat_msg"),
    Full = rabbit_service:bind_full(Broker, "chat_msg", "#", 0),
    send(5),
    rabbit_rig:await_stats(fun(#{nacks := Nacks}) -> Nacks >= 5 end),
    ?assertMatch(#{nacked := 0, delivered := 0}, rabbit_rig:stats()),
    %% In this order: there is always a queue.
    _ = rabbit_service:bind(Broker, "chat_msg", topic, false, "#"),
    ok = rabbit_service:unbind(Broker, Full),
    %% One of the sender, one of the recipient.
    ?assertMatch(#{delivered := 10, nacked := 0}, ended({rabbit, ?HT})).

events_of_rabbitmq_are_nacked_when_their_time_is_over(Config) ->
    Broker = ?config(broker, Config),
    start_rabbit(#{nack_retry_count => 1000000}, 1500, Config),
    ok = rabbit_service:await_exchange(Broker, "chat_msg"),
    _ = rabbit_service:bind_full(Broker, "chat_msg", "#", 0),
    send(2),
    ?assertMatch(#{delivered := 0, nacked := 4, exhausted := 0, expired := 0}, ended({rabbit, ?HT})),
    ?assertMatch(#{reason := nacked, last_cause := <<"nack from the broker">>},
                 log_capture:await(event_pusher_drops)).

%% Confirms it of events that are far older than they may become, at a broker that is away.
what_waits_without_an_attempt_has_one_at_any_age(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:down(Broker),
    %% No queue is bound.
    start_rabbit(#{mandatory => false}, 1, Config),
    send(5),
    _ = log_capture:await(event_pusher_connection_down),
    ?assertMatch(#{waiting := 10}, rabbit_rig:stats()),
    ok = rabbit_service:up(Broker),
    ?assertMatch(#{delivered := 10}, ended({rabbit, ?HT})).

%% A spool without the section

%% Confirms it with a count of none.
with_a_spool_alone_an_outage_costs_no_event(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:down(Receiver),
    start_http(#{retry_count => 0}, none, spool(Config), Config),
    send(20),
    rig:await_stats(?HTTP, fun(#{retried := Retried}) -> Retried >= 10 end),
    ?assertMatch(#{waiting := 20, exhausted := 0}, rig:stats(?HTTP)),
    ok = http_service:up(Receiver),
    ?assertMatch(#{delivered := 20, exhausted := 0}, ended(?HTTP)).

with_a_spool_alone_rabbitmq_counts_nacks(Config) ->
    Broker = ?config(broker, Config),
    start_rabbit(#{nack_retry_count => 0}, none, spool(Config), Config),
    ok = rabbit_service:await_exchange(Broker, "chat_msg"),
    _ = rabbit_service:bind_full(Broker, "chat_msg", "#", 0),
    send(2),
    ?assertMatch(#{delivered := 0, nacked := 4}, ended({rabbit, ?HT})).

%% Over a restart

%% Confirms that an event of the run before is exhausted by its first attempt that fails.
the_time_goes_on_while_the_server_is_stopped(Config) ->
    Spool = spool(Config),
    ok = http_service:down(?config(receiver, Config)),
    start_http(#{retry_count => 0}, ?HOUR_MS, Spool, Config),
    send(3),
    rig:await_stats(?HTTP, fun(#{retried := Retried}) -> Retried >= 3 end),
    ok = host:stop(),
    ?assertMatch(#{count := 3}, log_capture:await(event_pusher_kept)),
    start_http(#{retry_count => 1000000}, 1, Spool, Config),
    ?assertMatch(#{count := 3}, log_capture:await(event_pusher_restored)),
    ?assertMatch(#{exhausted := 3, retried := 0}, ended(?HTTP)).

%% Helpers

start_http(Handler, MaxAge, More, Config) ->
    #{url := Url} = http_service:info(?config(receiver, Config)),
    Pool = #{type => http, scope => global, tag => http_pool,
             opts => #{workers => 5, strategy => available_worker},
             conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>,
                            request_timeout => 2000}},
    Http = options(MaxAge, #{handlers => [maps:merge(#{pool_name => http_pool, path => <<"x">>,
                                                       callback_module => mod_event_pusher_http_defaults,
                                                       retry_time_ms => 1}, Handler)]}),
    rig:start_host(#{mod_event_pusher => More#{http => Http}}, #{outgoing_pools => [Pool]}).

start_sns(Info, More, MaxAge) ->
    sns_rig:start_host(options(MaxAge, sns_rig:opts(Info, More#{publish_retry_time_ms => 1}))).

start_rabbit(More, MaxAge, Config) ->
    start_rabbit(More, MaxAge, #{}, Config).

start_rabbit(More, MaxAge, Spool, Config) ->
    Connection = rabbit_rig:connection(rabbit_service:info(?config(broker, Config))),
    Exchanges = maps:with([chat_msg_exchange], rabbit_rig:exchanges()),
    Rabbit = options(MaxAge, maps:merge(Exchanges#{connection => Connection}, More)),
    rig:start_host(#{mod_event_pusher => Spool#{rabbit => Rabbit}}).

options(MaxAge, Options) ->
    Queue = #{queue => #{drain_timeout_ms => 0}},
    maps:merge(Options, case MaxAge of
                            none -> Queue;
                            _ -> Queue#{retry => #{max_age_ms => MaxAge}}
                        end).

spool(Config) ->
    Dir = filename:join(?config(priv_dir, Config), "spool"),
    #{spool => #{dir => unicode:characters_to_binary(Dir), max_bytes => 1 bsl 26, sync => 1}}.

url(Port) ->
    <<"http://127.0.0.1:", (integer_to_binary(Port))/binary>>.

send(Count) ->
    [host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>))
     || _ <- lists:seq(1, Count)].

%% The counts when nothing waits any more.
ended(Name) ->
    rig:await_stats(Name, fun(#{waiting := Waiting}) -> Waiting =:= 0 end).
