-module(event_pusher_stop_SUITE).
-moduledoc "With its defaults, no backend stops for long because of a receiver that does not answer.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2,
         end_per_testcase/2]).
-export([sns_stops_in_time/1,
         more_handlers_of_http_than_schedulers_stop_in_time/1,
         rabbit_stops_in_time_while_the_broker_is_frozen/1,
         push_stops_at_once_while_answers_are_awaited/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
%% A second and a half, with what a busy machine adds; callers of the server's have five.
-define(IN_TIME_MS, 4000).

all() ->
    push_rig:cases(?MODULE).

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    push_rig:start_suite(Config).

end_per_suite(Config) ->
    push_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    {Listen, Url} = rig:silent_server(),
    [{silent, Listen}, {url, Url} | Config].

end_per_testcase(_Case, Config) ->
    ok = push_rig:stop_host(),
    gen_tcp:close(?config(silent, Config)).

%% Confirms it with all workers busy and a full batch behind each.
sns_stops_in_time(Config) ->
    Service = #{endpoint => list_to_binary(?config(url, Config)), region => <<"eu-west-1">>,
                account_id => <<"123456789012">>, access_key_id => <<"key">>,
                secret_access_key => <<"secret">>},
    ok = sns_rig:start_host(sns_rig:opts(Service, #{pool_size => 10})),
    send(1000),
    ok = stops(mod_event_pusher_sns, 1000),
    ?assertEqual(1000, total(closed, sns, pusher_sns)).

%% Confirms it although each of them occupies a scheduler while it drains.
more_handlers_of_http_than_schedulers_stop_in_time(Config) ->
    Count = 2 * erlang:system_info(dirty_io_schedulers) + 1,
    Pool = #{type => http, scope => global, tag => silent,
             opts => #{workers => 10, strategy => best_worker, call_timeout => 5000},
             conn_opts => #{host => ?config(url, Config), path_prefix => <<"/">>,
                            request_timeout => 60000}},
    Handlers = [#{pool_name => silent, path => integer_to_binary(N),
                  callback_module => mod_event_pusher_http_defaults}
                || N <- lists:seq(1, Count)],
    ok = rig:start_host(#{mod_event_pusher => #{http => #{handlers => Handlers}}},
                        #{outgoing_pools => [Pool]}),
    send(10),
    ok = stops(mod_event_pusher_http, 1000),
    ?assertEqual(10 * Count, total(closed, http, silent)).

%% Confirms it for a connection that stays open: neither confirms nor a farewell are answered.
rabbit_stops_in_time_while_the_broker_is_frozen(_Config) ->
    {ok, Broker} = rabbit_service:start(),
    try
        #{port := Port} = Info = rabbit_service:info(Broker),
        Proxy = freezing_proxy:start(Port),
        Connection = rabbit_rig:connection(Info#{port := freezing_proxy:port(Proxy)}),
        ok = rabbit_rig:start_host((rabbit_rig:exchanges())#{connection => Connection, mandatory => false}),
        send(1),
        _ = rabbit_rig:await_stats(fun(#{delivered := Delivered}) -> Delivered =:= 2 end),
        ok = freezing_proxy:freeze(Proxy),
        send(100),
        ok = stops(mod_event_pusher_rabbit, 1000),
        %% One event for the sender and one for the recipient of each message.
        ?assertEqual({2, 200}, {total(delivered, rabbit, event_pusher),
                                total(closed, rabbit, event_pusher)})
    after
        rabbit_service:stop(Broker)
    end.

%% Confirms it with notifications that the service has and others that wait for a worker.
push_stops_at_once_while_answers_are_awaited(_Config) ->
    ok = push_rig:start_host(),
    ok = host:add_component(<<"pubsub.localhost">>),
    ok = push_rig:enable(?BOB, <<"pubsub.localhost">>),
    [host:route(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>)) || _ <- lists:seq(1, 100)],
    _ = push_rig:routed(),
    ok = stops(mod_event_pusher_push, 0),
    ?assertEqual({100, 0}, {total(unanswered, push, pusher_push),
                            total(closed, push, pusher_push)}).

%% Helpers

%% It takes some time, as there is something to wait for, and not too much.
stops(Module, AtLeastMs) ->
    {Us, {stopped, _}} = timer:tc(mongoose_modules, ensure_stopped, [?HT, Module]),
    Ms = Us div 1000,
    ct:pal("~s stopped after ~p ms", [Module, Ms]),
    ?assert(Ms >= AtLeastMs),
    ?assert(Ms < ?IN_TIME_MS).

send(Count) ->
    [host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>))
     || _ <- lists:seq(1, Count)].

total(Fate, PoolType, Tag) ->
    Labels = #{host_type => ?HT, pool_type => PoolType, pool_tag => Tag},
    host_metrics:total(event_pusher_events, Labels, Fate).
