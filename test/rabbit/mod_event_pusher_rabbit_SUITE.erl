-module(mod_event_pusher_rabbit_SUITE).
-moduledoc "The RabbitMQ backend against a real broker: what is published, how it is configured, and how it starts and stops.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([all_five_notifications_arrive_with_their_fields/1,
         messages_have_properties_and_durable_exchanges_make_them_persistent/1,
         an_absent_exchange_is_not_declared_and_its_events_are_skipped/1,
         a_message_without_body_is_skipped_and_one_with_an_empty_body_is_not/1,
         other_types_of_messages_are_skipped/1,
         metadata_joins_the_fields_and_overrides_them/1,
         metadata_of_a_wrong_type_costs_its_event_and_is_named/1,
         text_that_is_not_utf8_is_rejected_and_the_next_event_arrives/1,
         a_start_without_an_exchange_is_told/1,
         a_host_that_is_a_url_is_one_clear_error_without_its_password/1,
         the_connection_of_the_outgoing_pool_is_used/1,
         a_missing_connection_is_one_clear_error/1,
         without_confirms_events_arrive_as_well/1,
         tls_with_a_client_certificate_works/1,
         a_certificate_of_another_authority_is_not_trusted/1,
         stopping_under_load_drains/1,
         stopping_while_the_broker_is_down_reports_what_it_dropped/1,
         the_module_starts_and_stops_any_number_of_times/1,
         secrets_and_content_reach_no_log/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(ROOM, <<"garden@muc.localhost">>).
-define(WAIT, 30000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 3}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    rabbit_rig:start_suite(Config).

end_per_suite(Config) ->
    rabbit_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    rabbit_rig:start_case(Config).

end_per_testcase(_Case, _Config) ->
    rabbit_rig:stop_case().

%% Notifications

%% Confirms exchange, routing key and every field of each kind, with full JIDs.
all_five_notifications_arrive_with_their_fields(Config) ->
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind_all(Config),
    host:user_available(?ALICE),
    ?assertMatch({<<"presence">>, <<"alice@localhost">>,
                  <<"{\"user_id\":\"alice@localhost/phone\",\"present\":true}">>}, arrived(Config)),
    host:user_unavailable(?ALICE, <<>>),
    ?assertMatch({<<"presence">>, <<"alice@localhost">>,
                  <<"{\"user_id\":\"alice@localhost/phone\",\"present\":false}">>},
                 arrived(Config)),
    Text = <<"Tea & \"biscuits\" ☕"/utf8>>,
    host:send_message(?ALICE, <<"Bob@localhost/Laptop">>, rig:message(<<"chat">>, Text)),
    Fields = #{<<"from_user_id">> => ?ALICE, <<"to_user_id">> => <<"bob@localhost/Laptop">>,
               <<"message">> => Text},
    ?assertEqual(lists:sort([{<<"chat_msg">>, <<"alice@localhost.chat_msg_sent">>, Fields},
                             {<<"chat_msg">>, <<"bob@localhost.chat_msg_recv">>, Fields}]),
                 lists:sort([decoded(arrived(Config)), decoded(arrived(Config))])),
    host:send_message(?ALICE, ?ROOM, rig:message(<<"groupchat">>, <<"Hi, all">>)),
    host:route(<<"garden@muc.localhost/alice">>, ?BOB, rig:message(<<"groupchat">>, <<"Hi, all">>)),
    ?assertEqual(
       lists:sort([{<<"groupchat_msg">>, <<"alice@localhost.groupchat_msg_sent">>,
                    #{<<"from_user_id">> => ?ALICE, <<"to_user_id">> => ?ROOM,
                      <<"message">> => <<"Hi, all">>}},
                   {<<"groupchat_msg">>, <<"bob@localhost.groupchat_msg_recv">>,
                    #{<<"from_user_id">> => <<"garden@muc.localhost/alice">>,
                      <<"to_user_id">> => ?BOB, <<"message">> => <<"Hi, all">>}}]),
       lists:sort([decoded(arrived(Config)), decoded(arrived(Config))])),
    ?assertMatch(#{delivered := 6}, rabbit_rig:delivered_all()).

%% Confirms it for a durable exchange and one that is not.
messages_have_properties_and_durable_exchanges_make_them_persistent(Config) ->
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    rabbit_rig:start(Config, Exchanges#{presence_exchange := Presence#{durable := true}}),
    rabbit_rig:bind(Config, <<"presence">>, true),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    Before = erlang:system_time(second),
    host:user_available(?ALICE),
    host:user_unavailable(?ALICE, <<>>),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>),
    Messages = rabbit_rig:messages(4, Config),
    [?assertMatch(#{content_type := <<"application/json">>}, Properties)
     || #{properties := Properties} <- Messages],
    [?assert(At >= Before andalso At =< erlang:system_time(second))
     || #{properties := #{timestamp := At}} <- Messages],
    ?assertEqual(4, length(lists:usort([Id || #{properties := #{message_id := Id}} <- Messages]))),
    ?assertEqual([{<<"chat_msg">>, undefined}, {<<"presence">>, 2}],
                 lists:usort([{Exchange, Mode}
                              || #{exchange := Exchange,
                                   properties := #{delivery_mode := Mode}} <- Messages])),
    ?assertMatch(#{<<"presence">> := #{durable := true}, <<"chat_msg">> := #{durable := false}},
                 rabbit_service:exchanges(?config(broker, Config))).

%% Confirms that an absent section switches a notification off.
an_absent_exchange_is_not_declared_and_its_events_are_skipped(Config) ->
    rabbit_rig:start(Config, maps:with([chat_msg_exchange], rabbit_rig:exchanges())),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    host:user_available(?ALICE),
    rabbit_rig:send(<<"groupchat">>, ?ALICE, <<"skipped">>),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([#{exchange := <<"chat_msg">>}, #{exchange := <<"chat_msg">>}],
                 rabbit_rig:messages(2, Config)),
    ?assertMatch(#{accepted := 2}, rabbit_rig:stats()),
    ?assertNot(is_map_key(<<"presence">>, rabbit_service:exchanges(?config(broker, Config)))).

%% Confirms the difference between no body and an empty one.
a_message_without_body_is_skipped_and_one_with_an_empty_body_is_not(Config) ->
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    rabbit_rig:send(<<"chat">>, ?ALICE, none),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<>>),
    [?assertMatch(#{<<"message">> := <<>>}, rabbit_rig:json(Message)) || Message <- rabbit_rig:messages(2, Config)],
    ?assertMatch(#{accepted := 2}, rabbit_rig:stats()).

%% Confirms it for headlines, normal messages and errors.
other_types_of_messages_are_skipped(Config) ->
    rabbit_rig:start(Config, #{}),
    [rabbit_rig:send(Type, ?ALICE, <<"skipped">>) || Type <- [<<"normal">>, <<"headline">>, <<"error">>]],
    ?assertMatch(#{accepted := 0}, rabbit_rig:stats()).

%% Confirms types, the order of precedence, and that the filter of the examples works.
metadata_joins_the_fields_and_overrides_them(Config) ->
    rig:start_host(#{mod_event_pusher => #{rabbit => rabbit_rig:opts(Config, #{})},
                     mod_event_pusher_filter => #{}}),
    rabbit_rig:bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"user_id">> := ?ALICE, <<"present">> := true, <<"session_count">> := 1,
                   <<"timestamp">> := Timestamp} when is_integer(Timestamp),
                 rabbit_rig:json(rabbit_rig:message(Config))),
    Metadata = #{present => <<"overridden">>, flag => true, word => some_atom, ratio => 0.5,
                 big => 1 bsl 70, float => 1.0e25, 'zażółć' => 'ż'},
    {ok, _} = mod_event_pusher_rabbit:push_event(
                #{metadata => Metadata},
                #{event => {user_status_event, jid:from_binary(?ALICE), online}},
                #{host_type => ?HT}),
    ?assertEqual(#{<<"user_id">> => ?ALICE, <<"present">> => <<"overridden">>, <<"flag">> => true,
                   <<"word">> => <<"some_atom">>, <<"ratio">> => 0.5, <<"big">> => 1 bsl 70,
                   <<"float">> => 1.0e25, <<"zażółć"/utf8>> => <<"ż"/utf8>>},
                 rabbit_rig:json(rabbit_rig:message(Config))).

%% Confirms the one log line, and that the next event arrives.
metadata_of_a_wrong_type_costs_its_event_and_is_named(Config) ->
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"presence">>, false),
    Push = fun(Metadata) ->
               mod_event_pusher_rabbit:push_event(
                   #{metadata => Metadata},
                   #{event => {user_status_event, jid:from_binary(?ALICE), online}},
                   #{host_type => ?HT})
           end,
    {ok, _} = Push(#{wrong => [1]}),
    ?assertMatch(#{reason := {bad_value, <<"wrong">>}}, log_capture:await(event_pusher_event_failed)),
    {ok, _} = Push(#{right => 1}),
    ?assertMatch(#{<<"right">> := 1}, rabbit_rig:json(rabbit_rig:message(Config))).

%% Confirms a clear fate in place of a crash, and that nothing else is lost by it.
text_that_is_not_utf8_is_rejected_and_the_next_event_arrives(Config) ->
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"broken: ", 255, 254>>),
    ?assertMatch(#{accepted := 2, rejected := 2}, rabbit_rig:stats()),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"whole">>),
    ?assertMatch(#{<<"message">> := <<"whole">>}, rabbit_rig:json(rabbit_rig:message(Config))).

%% Configuration

%% Confirms a warning: a section that is missing shows nowhere else.
a_start_without_an_exchange_is_told(Config) ->
    rabbit_rig:start_opts(#{connection => rabbit_rig:connection(?config(info, Config))}),
    ?assertMatch(#{host_type := ?HT}, log_capture:await(event_pusher_rabbit_without_exchange)).

%% Confirms that field, what is allowed and what came are named.
a_host_that_is_a_url_is_one_clear_error_without_its_password(Config) ->
    Host = "amqp://guest:topsecretword@mq.example.com:5672/chat",
    Reason = try rabbit_rig:start_with_connection(Config, #{host => Host})
             catch _:Error -> Error
             end,
    Text = iolist_to_binary(io_lib:format("~p", [Reason])),
    ?assertMatch({_, _}, binary:match(Text, <<"host: must be a host name or an address alone">>)),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    [?assertEqual(nomatch, binary:match(Told, <<"topsecretword">>)) || Told <- [Text, Logged]].

%% Confirms the scopes, and that the pool of the host type comes first.
the_connection_of_the_outgoing_pool_is_used(Config) ->
    Nowhere = #{host => "localhost", port => 1},
    Right = rabbit_rig:connection(?config(info, Config)),
    Pool = fun(Scope, ConnOpts) -> pool(Scope, maps:merge(Right, ConnOpts)) end,
    Modules = #{mod_event_pusher => #{rabbit => rabbit_rig:exchanges()}},
    [begin
         rig:start_host(Modules, Pools),
         _ = rabbit_rig:await_stats(fun rabbit_rig:is_up/1),
         ok = host:stop()
     end || Pools <- [#{outgoing_pools => [Pool(global, #{})]},
                      #{outgoing_pools => [Pool(host_type, #{})]},
                      #{outgoing_pools => [Pool(global, Nowhere)],
                        {outgoing_pools, ?HT} => [Pool(?HT, #{})]}]],
    %% And the section of the module comes before all of them.
    rig:start_host(#{mod_event_pusher => #{rabbit => rabbit_rig:opts(Config, #{})}},
                   #{outgoing_pools => [Pool(global, Nowhere)]}),
    _ = rabbit_rig:await_stats(fun rabbit_rig:is_up/1),
    ok.

%% Confirms that both places are named, and that no exchange needs no connection.
a_missing_connection_is_one_clear_error(_Config) ->
    ?assertError(#{what := event_pusher_rabbit_connection_not_configured,
                   text := <<"Exchanges need [modules.mod_event_pusher.rabbit.connection] or "
                             "[outgoing_pools.rabbit.event_pusher]">>},
                 rabbit_rig:start_host(rabbit_rig:exchanges())),
    rabbit_rig:start_host(#{}),
    host:user_available(?ALICE),
    ?assertEqual({error, closed}, event_pusher:stats({rabbit, ?HT})).

%% Confirms order and count; what is delivered has been written to the socket.
without_confirms_events_arrive_as_well(Config) ->
    rabbit_rig:start_with_connection(Config, #{confirms_enabled => false}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 500)],
    [rabbit_rig:send(<<"chat">>, ?ALICE, Text) || Text <- Texts],
    Messages = rabbit_rig:messages(1000, Config),
    [?assertEqual(Texts, rabbit_rig:texts(Key, Messages))
     || Key <- [<<"alice@localhost.chat_msg_sent">>, <<"bob@localhost.chat_msg_recv">>]],
    ?assertMatch(#{delivered := 1000}, rabbit_rig:delivered_all()).

%% TLS

%% Confirms that the certificate is needed and that ours is taken.
tls_with_a_client_certificate_works(Config) ->
    #{ca := Ca, client_cert := Cert, client_key := Key} = ?config(certs, Config),
    #{tls_port := Port} = ?config(info, Config),
    Tls = #{verify_mode => peer, cacertfile => Ca, disconnect_on_failure => true},
    rabbit_rig:start_with_connection(Config, #{port => Port, tls => Tls}),
    ?assertMatch(#{failed_attempts := _}, log_capture:await(event_pusher_connection_down)),
    ok = host:stop(),
    rabbit_rig:start_with_connection(Config, #{port => Port, tls => Tls#{certfile => Cert, keyfile => Key}}),
    rabbit_rig:bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"present">> := true}, rabbit_rig:json(rabbit_rig:message(Config))).

%% Confirms that nothing is sent to a stranger, and that the cause is told.
a_certificate_of_another_authority_is_not_trusted(Config) ->
    #{foreign_ca := Foreign} = ?config(certs, Config),
    #{tls_port := Port} = ?config(info, Config),
    rabbit_rig:start_with_connection(Config, #{port => Port, tls => #{cacertfile => Foreign}}),
    #{last_cause := Cause} = log_capture:await(event_pusher_connection_down),
    ?assertMatch({_, _}, binary:match(Cause, <<"which is not trusted">>)).

%% Start and stop

%% Confirms that all that was accepted arrives before the module has stopped.
stopping_under_load_drains(Config) ->
    rabbit_rig:start(Config, #{queue => #{drain_timeout_ms => ?WAIT}}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    [rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>) || _ <- lists:seq(1, 1000)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_rabbit),
    ?assertEqual(2000, length(rabbit_rig:messages(2000, Config))),
    ?assertEqual(2000, rabbit_rig:total(delivered)),
    ?assertEqual(0, rabbit_rig:total(closed)).

%% Confirms that the deadline holds and that nothing is lost silently.
stopping_while_the_broker_is_down_reports_what_it_dropped(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:down(Broker),
    rabbit_rig:start(Config, #{queue => #{drain_timeout_ms => 100}}),
    [rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>) || _ <- lists:seq(1, 5)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_rabbit),
    ?assertMatch(#{reason := closed, count := 10}, log_capture:await(event_pusher_drops)),
    ?assertEqual(10, rabbit_rig:total(closed)),
    ok = rabbit_service:up(Broker).

%% Confirms that nothing is left behind: neither connections nor threads.
the_module_starts_and_stops_any_number_of_times(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "counted", "secret"),
    ok = rabbit_service:permissions(Broker, "counted", "/", ".*", ".*", ".*"),
    User = #{username => <<"counted">>, password => <<"secret">>},
    Cycle = fun() ->
        rabbit_rig:start_with_connection(Config, User),
        _ = rabbit_rig:await_stats(fun rabbit_rig:is_up/1),
        ok = rabbit_rig:until_connections(Broker, "counted", 1),
        ok = host:stop()
    end,
    Cycle(),
    Threads = threads(),
    [Cycle() || _ <- lists:seq(1, 10)],
    ok = rabbit_rig:until_connections(Broker, "counted", 0),
    ?assert(threads() =< Threads + 2).

%% Confirms it for what is logged while a pool works, fails and is stopped.
secrets_and_content_reach_no_log(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "secretive", "topsecretword"),
    ok = rabbit_service:permissions(Broker, "secretive", "/", ".*", ".*", ".*"),
    rabbit_rig:start_with_connection(Config, #{username => <<"secretive">>, password => <<"topsecretword">>}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    [rabbit_rig:send(<<"chat">>, ?ALICE, <<"a private word">>) || _ <- lists:seq(1, 3)],
    _ = rabbit_rig:delivered_all(),
    ok = rabbit_service:delete(Broker, "chat_msg"),
    [rabbit_rig:send(<<"chat">>, ?ALICE, <<"a private word">>) || _ <- lists:seq(1, 3)],
    _ = rabbit_rig:delivered_all(),
    [Owner] = event_pusher_sup:owners([{rabbit, ?HT}]),
    Monitor = monitor(process, Owner),
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, _} -> ok end,
    ok = host:stop(),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertMatch({_, _}, binary:match(Logged, <<"event_pusher_retries">>)),
    ?assertEqual(nomatch, binary:match(Logged, [<<"topsecretword">>, <<"private">>, <<"alice">>])).

%% Helpers

pool(Scope, ConnOpts) ->
    #{type => rabbit, scope => Scope, tag => event_pusher, conn_opts => ConnOpts,
      opts => #{workers => 5, strategy => best_worker, call_timeout => 5000}}.

arrived(Config) ->
    #{exchange := Exchange, routing_key := Key, body := Body} = rabbit_rig:message(Config),
    {Exchange, Key, Body}.

decoded({Exchange, Key, Body}) ->
    {Exchange, Key, rabbit_rig:json(#{body => Body})}.

%% Threads of the whole node.
threads() ->
    {ok, Entries} = file:list_dir("/proc/self/task"),
    length(Entries).
