-module(mod_event_pusher_rabbit_SUITE).
-moduledoc "The RabbitMQ backend against a real broker, read back by a consumer of another library.".

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
         the_connection_of_the_outgoing_pool_is_used/1,
         a_missing_connection_is_one_clear_error/1,
         without_confirms_events_arrive_as_well/1,
         what_no_queue_takes_is_counted_and_named_and_costs_nothing_else/1,
         what_tells_of_no_queue_needs_confirms/1,
         the_broker_may_be_started_after_the_module/1,
         a_restart_under_load_loses_nothing_and_keeps_the_order_of_each_key/1,
         a_closed_connection_is_opened_again_and_told_once/1,
         an_exchange_deleted_meanwhile_is_declared_again/1,
         without_confirms_an_exchange_deleted_meanwhile_is_declared_again/1,
         a_refused_declaration_is_told_once_and_costs_the_other_exchanges_nothing/1,
         a_wrong_password_is_told_without_the_password_and_mended_later/1,
         a_missing_virtual_host_is_told_and_mended_later/1,
         a_user_who_may_not_write_is_told_and_mended_later/1,
         an_internal_exchange_is_told_as_refused/1,
         a_routing_key_that_is_refused_costs_its_events_alone/1,
         without_confirms_a_routing_key_that_is_refused_costs_its_events_alone/1,
         without_confirms_a_message_that_is_too_large_costs_no_other/1,
         a_user_with_few_channels_works_with_those_and_is_told_once/1,
         a_connection_with_few_channels_works_with_those/1,
         a_user_who_may_only_write_declares_passively_or_not_at_all/1,
         an_exchange_with_other_properties_is_refused_and_may_be_taken_as_it_is/1,
         an_exchange_that_nobody_declares_is_told_and_made_later/1,
         a_nack_is_published_again/1,
         a_queue_that_takes_nothing_costs_the_other_exchanges_nothing/1,
         a_full_queue_multiplies_messages_in_the_others_within_a_bound/1,
         a_start_without_an_exchange_is_told/1,
         a_host_that_is_a_url_is_one_clear_error_without_its_password/1,
         an_unknown_exchange_type_costs_the_other_exchanges_nothing/1,
         a_message_that_the_broker_cannot_take_is_rejected_alone/1,
         a_routing_key_that_amqp_cannot_carry_is_rejected/1,
         a_blocked_connection_holds_events_and_is_told_once/1,
         a_full_queue_drops_new_events_and_blocks_nobody/1,
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
-define(LABELS, #{host_type => ?HT, pool_type => rabbit, pool_tag => event_pusher}).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 3}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    ok = rig:start_application(),
    %% What is refused is tried again soon enough for a test.
    ok = application:set_env(event_pusher, reconnect_max_ms, 500),
    Certs = test_certs:make(?config(priv_dir, Config)),
    #{cert := Cert, key := Key, ca := Ca} = Certs,
    {ok, Broker} = rabbit_service:start(#{cert => Cert, key => Key, cacert => Ca}),
    [{broker, Broker}, {info, rabbit_service:info(Broker)}, {certs, Certs} | Config].

end_per_suite(Config) ->
    rabbit_service:stop(?config(broker, Config)),
    application:unset_env(event_pusher, reconnect_max_ms),
    application:stop(event_pusher).

init_per_testcase(_Case, Config) ->
    ok = rabbit_service:reset(?config(broker, Config)),
    _ = rabbit_service:flush(?config(broker, Config)),
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

%% Notifications

%% Confirms exchange, routing key and every field of each kind, with full JIDs.
all_five_notifications_arrive_with_their_fields(Config) ->
    start(Config, #{}),
    bind_all(Config),
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
    ?assertMatch(#{delivered := 6}, delivered_all()).

%% Confirms it for a durable exchange and one that is not.
messages_have_properties_and_durable_exchanges_make_them_persistent(Config) ->
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    start(Config, Exchanges#{presence_exchange := Presence#{durable := true}}),
    bind(Config, <<"presence">>, true),
    bind(Config, <<"chat_msg">>, false),
    Before = erlang:system_time(second),
    host:user_available(?ALICE),
    host:user_unavailable(?ALICE, <<>>),
    send(<<"chat">>, ?ALICE, <<"Hi">>),
    Messages = messages(4, Config),
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
    start(Config, maps:with([chat_msg_exchange], rabbit_rig:exchanges())),
    bind(Config, <<"chat_msg">>, false),
    host:user_available(?ALICE),
    send(<<"groupchat">>, ?ALICE, <<"skipped">>),
    send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([#{exchange := <<"chat_msg">>}, #{exchange := <<"chat_msg">>}],
                 messages(2, Config)),
    ?assertMatch(#{accepted := 2}, rabbit_rig:stats()),
    ?assertNot(is_map_key(<<"presence">>, rabbit_service:exchanges(?config(broker, Config)))).

%% Confirms the difference between no body and an empty one.
a_message_without_body_is_skipped_and_one_with_an_empty_body_is_not(Config) ->
    start(Config, #{}),
    bind(Config, <<"chat_msg">>, false),
    send(<<"chat">>, ?ALICE, none),
    send(<<"chat">>, ?ALICE, <<>>),
    [?assertMatch(#{<<"message">> := <<>>}, json(Message)) || Message <- messages(2, Config)],
    ?assertMatch(#{accepted := 2}, rabbit_rig:stats()).

%% Confirms it for headlines, normal messages and errors.
other_types_of_messages_are_skipped(Config) ->
    start(Config, #{}),
    [send(Type, ?ALICE, <<"skipped">>) || Type <- [<<"normal">>, <<"headline">>, <<"error">>]],
    ?assertMatch(#{accepted := 0}, rabbit_rig:stats()).

%% Confirms types, the order of precedence, and that the filter of the examples works.
metadata_joins_the_fields_and_overrides_them(Config) ->
    rig:start_host(#{mod_event_pusher => #{rabbit => opts(Config, #{})},
                     mod_event_pusher_filter => #{}}),
    bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"user_id">> := ?ALICE, <<"present">> := true, <<"session_count">> := 1,
                   <<"timestamp">> := Timestamp} when is_integer(Timestamp), json(message(Config))),
    Metadata = #{present => <<"overridden">>, flag => true, word => some_atom, ratio => 0.5,
                 big => 1 bsl 70, float => 1.0e25, 'zażółć' => 'ż'},
    {ok, _} = mod_event_pusher_rabbit:push_event(
                #{metadata => Metadata},
                #{event => {user_status_event, jid:from_binary(?ALICE), online}},
                #{host_type => ?HT}),
    ?assertEqual(#{<<"user_id">> => ?ALICE, <<"present">> => <<"overridden">>, <<"flag">> => true,
                   <<"word">> => <<"some_atom">>, <<"ratio">> => 0.5, <<"big">> => 1 bsl 70,
                   <<"float">> => 1.0e25, <<"zażółć"/utf8>> => <<"ż"/utf8>>},
                 json(message(Config))).

%% Confirms the one log line, and that the next event arrives.
metadata_of_a_wrong_type_costs_its_event_and_is_named(Config) ->
    start(Config, #{}),
    bind(Config, <<"presence">>, false),
    Push = fun(Metadata) ->
               mod_event_pusher_rabbit:push_event(
                   #{metadata => Metadata},
                   #{event => {user_status_event, jid:from_binary(?ALICE), online}},
                   #{host_type => ?HT})
           end,
    {ok, _} = Push(#{wrong => [1]}),
    ?assertMatch(#{reason := {bad_value, <<"wrong">>}}, log_capture:await(event_pusher_event_failed)),
    {ok, _} = Push(#{right => 1}),
    ?assertMatch(#{<<"right">> := 1}, json(message(Config))).

%% Confirms a clear fate in place of a crash, and that nothing else is lost by it.
text_that_is_not_utf8_is_rejected_and_the_next_event_arrives(Config) ->
    start(Config, #{}),
    bind(Config, <<"chat_msg">>, false),
    send(<<"chat">>, ?ALICE, <<"broken: ", 255, 254>>),
    ?assertMatch(#{accepted := 2, rejected := 2}, rabbit_rig:stats()),
    send(<<"chat">>, ?ALICE, <<"whole">>),
    ?assertMatch(#{<<"message">> := <<"whole">>}, json(message(Config))).

%% Configuration

%% Confirms a warning: a section that is missing shows nowhere else.
a_start_without_an_exchange_is_told(Config) ->
    start_opts(#{connection => rabbit_rig:connection(?config(info, Config))}),
    ?assertMatch(#{host_type := ?HT}, log_capture:await(event_pusher_rabbit_without_exchange)).

%% Confirms that field, what is allowed and what came are named.
a_host_that_is_a_url_is_one_clear_error_without_its_password(Config) ->
    Host = "amqp://guest:topsecretword@mq.example.com:5672/chat",
    Reason = try start_with_connection(Config, #{host => Host})
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
         _ = rabbit_rig:await_stats(fun is_up/1),
         ok = host:stop()
     end || Pools <- [#{outgoing_pools => [Pool(global, #{})]},
                      #{outgoing_pools => [Pool(host_type, #{})]},
                      #{outgoing_pools => [Pool(global, Nowhere)],
                        {outgoing_pools, ?HT} => [Pool(?HT, #{})]}]],
    %% And the section of the module comes before all of them.
    rig:start_host(#{mod_event_pusher => #{rabbit => opts(Config, #{})}},
                   #{outgoing_pools => [Pool(global, Nowhere)]}),
    _ = rabbit_rig:await_stats(fun is_up/1),
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
    start_with_connection(Config, #{confirms_enabled => false}),
    bind(Config, <<"chat_msg">>, false),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 500)],
    [send(<<"chat">>, ?ALICE, Text) || Text <- Texts],
    Messages = messages(1000, Config),
    [?assertEqual(Texts, texts(Key, Messages))
     || Key <- [<<"alice@localhost.chat_msg_sent">>, <<"bob@localhost.chat_msg_recv">>]],
    ?assertMatch(#{delivered := 1000}, delivered_all()).

%% Connections

%% Confirms that the start does not fail and that what was accepted meanwhile arrives.
the_broker_may_be_started_after_the_module(Config) ->
    Broker = ?config(broker, Config),
    bind(Config, <<"presence">>, false),
    ok = rabbit_service:down(Broker),
    start(Config, #{}),
    #{host := Host, port := Port} = ?config(info, Config),
    Receiver = iolist_to_binary(io_lib:format("~s:~w, virtual host \"/\"", [Host, Port])),
    ?assertMatch(#{pool_type := rabbit, receiver := Receiver},
                 log_capture:await(event_pusher_connection_down)),
    host:user_available(?ALICE),
    ?assertMatch(#{waiting := 1, queue_events := 1, in_flight := 0, connection := #{state := down}},
                 rabbit_rig:stats()),
    ok = rabbit_service:up(Broker),
    _ = log_capture:await(event_pusher_connection_up),
    #{delivered := 1} = delivered_all().

%% Confirms at-least-once and the order of first arrivals, with many senders and confirms.
a_restart_under_load_loses_nothing_and_keeps_the_order_of_each_key(Config) ->
    Broker = ?config(broker, Config),
    #{chat_msg_exchange := Chat} = Exchanges = rabbit_rig:exchanges(),
    start(Config, Exchanges#{chat_msg_exchange := Chat#{durable := true}}),
    bind(Config, <<"chat_msg">>, true),
    Senders = [<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>
               || N <- lists:seq(1, 10)],
    Self = self(),
    Loads = [spawn_link(fun() -> load(Sender, 0, Self) end) || Sender <- Senders],
    _ = rabbit_rig:await_stats(fun(#{delivered := Delivered}) -> Delivered > 1000 end),
    ok = rabbit_service:restart(Broker),
    #{delivered := Before} = rabbit_rig:await_stats(fun is_up/1),
    _ = rabbit_rig:await_stats(fun(#{delivered := Now}) -> Now > Before + 1000 end),
    [Load ! stop || Load <- Loads],
    Sent = maps:from_list([receive {sent, Sender, Count} -> {Sender, Count} end
                           || Sender <- Senders]),
    #{accepted := Accepted, delivered := Accepted} = delivered_all(),
    %% Twice per message, as it is sent and as it is received: each has its own key.
    ?assertEqual(2 * lists:sum(maps:values(Sent)), Accepted),
    Arrived = collect(#{}, maps:fold(fun(Sender, Count, Keys) -> Keys#{key(Sender) => Count} end,
                                     #{}, Sent), Config),
    [?assertEqual({Sender, lists:seq(1, Count)},
                  {Sender, distinct(maps:get(key(Sender), Arrived))})
     || {Sender, Count} <- maps:to_list(Sent)].

%% Confirms the log lines, and that what waits meanwhile is delivered.
a_closed_connection_is_opened_again_and_told_once(Config) ->
    Broker = ?config(broker, Config),
    #{username := Username} = ?config(info, Config),
    ok = rabbit_service:add_user(Broker, "other", "secret"),
    ok = rabbit_service:permissions(Broker, "other", "/", ".*", ".*", ".*"),
    start_with_connection(Config, #{username => <<"other">>, password => <<"secret">>}),
    bind(Config, <<"presence">>, false),
    _ = rabbit_rig:await_stats(fun is_up/1),
    ?assertNotEqual(<<"other">>, Username),
    ok = until_connections(Broker, "other", 1),
    ?assertEqual(1, rabbit_service:close_connections(Broker, "other")),
    _ = rabbit_rig:await_stats(fun(#{connection := #{opened := Opened}}) -> Opened =:= 2 end),
    host:user_available(?ALICE),
    _ = message(Config),
    ?assertMatch(#{delivered := 1, connection := #{lost := 1}}, delivered_all()),
    _ = log_capture:await(event_pusher_connection_up),
    ?assertEqual(1, host_metrics:total(event_pusher_connection, ?LABELS, lost)).

%% Confirms that the event which finds it missing is not lost.
an_exchange_deleted_meanwhile_is_declared_again(Config) ->
    Broker = ?config(broker, Config),
    start(Config, #{}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    ok = rabbit_service:delete(Broker, "presence"),
    host:user_available(?ALICE),
    #{delivered := 1, retried := 1} = delivered_all(),
    ?assertMatch(#{<<"presence">> := _}, rabbit_service:exchanges(Broker)),
    ?assertMatch(#{last_cause := <<"404 NOT_FOUND", _/binary>>,
                   receiver := <<"127.0.0.1:", _/binary>>},
                 log_capture:await(event_pusher_retries)).

%% Confirms that it comes back, although nobody waits for answers.
without_confirms_an_exchange_deleted_meanwhile_is_declared_again(Config) ->
    Broker = ?config(broker, Config),
    start_with_connection(Config, #{confirms_enabled => false}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    ok = rabbit_service:delete(Broker, "presence"),
    until_exchange(Broker, <<"presence">>, 100).

%% Whatever is published until then may be lost, as the mode has it.
until_exchange(Broker, Name, Left) when Left > 0 ->
    host:user_available(?ALICE),
    host:user_unavailable(?ALICE, <<>>),
    _ = delivered_all(),
    case rabbit_service:exchanges(Broker) of
        #{Name := _} -> ok;
        #{} -> until_exchange(Broker, Name, Left - 1)
    end.

%% Confirms error, exchange and type, that others go on, and that mending it is enough.
a_refused_declaration_is_told_once_and_costs_the_other_exchanges_nothing(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:declare(Broker, "presence", fanout, false),
    start(Config, #{}),
    bind(Config, <<"chat_msg">>, false),
    Refused = log_capture:await(event_pusher_connection_refused),
    #{reason := Reason} = Refused,
    ?assertMatch(<<"exchange \"presence\": 406 PRECONDITION_FAILED", _/binary>>, Reason),
    host:user_available(?ALICE),
    send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([_, _], messages(2, Config)),
    ?assertMatch(#{delivered := 2, queue_events := 1},
                 rabbit_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 1 end)),
    ok = rabbit_service:delete(Broker, "presence"),
    _ = log_capture:await(event_pusher_connection_accepted),
    #{delivered := 3} = delivered_all(),
    ?assertEqual([], log_capture:rest(event_pusher_connection_refused)).

%% Confirms that the user is named and the password is nowhere.
a_wrong_password_is_told_without_the_password_and_mended_later(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "forgetful", "the right one"),
    ok = rabbit_service:permissions(Broker, "forgetful", "/", ".*", ".*", ".*"),
    start_with_connection(Config, #{username => <<"forgetful">>, password => <<"a wrong one">>}),
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch(<<"user \"forgetful\", virtual host \"/\": 403 ACCESS_REFUSED", _/binary>>,
                 Reason),
    ?assertMatch(#{state := refused, cause := Reason, last_success_ms := none}, status()),
    host:user_available(?ALICE),
    ok = rabbit_service:password(Broker, "forgetful", "a wrong one"),
    #{delivered := 1} = delivered_all(),
    ?assertMatch(#{state := connected, cause := none, last_success_ms := Ms}
                   when is_integer(Ms), status()),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertEqual(nomatch, binary:match(Logged, <<"a wrong one">>)).

status() ->
    {ok, #{status := Status}} = event_pusher:stats({rabbit, ?HT}),
    Status.

%% Confirms it by default, for an exchange without a queue and for one that gets its queue later.
what_no_queue_takes_is_counted_and_named_and_costs_nothing_else(Config) ->
    rabbit_rig:start_host(opts(Config, #{})),
    bind(Config, <<"chat_msg">>, false),
    [host:user_available(<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>)
     || N <- lists:seq(1, 5)],
    [send(<<"chat">>, ?ALICE, <<"Hi">>) || _ <- lists:seq(1, 5)],
    Sent = messages(10, Config),
    ?assertEqual([<<"chat_msg">>], lists:usort([Exchange || #{exchange := Exchange} <- Sent])),
    ?assertMatch(#{unroutable := 5, delivered := 10, waiting := 0, retried := 0}, delivered_all()),
    ok = host_metrics:await(event_pusher_events, fun() -> total(unroutable) =:= 5 end),
    Lines = [log_capture:await(event_pusher_unroutable) | log_capture:rest(event_pusher_unroutable)],
    ?assertEqual(5, lists:sum([Count || #{exchange := <<"presence">>, count := Count} <- Lines])),
    ?assertMatch(#{state := connected, last_error := #{cause := <<"exchange \"presence\": no queue", _/binary>>}},
                 status()),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    ?assertMatch(#{unroutable := 5, delivered := 11}, delivered_all()).

what_tells_of_no_queue_needs_confirms(Config) ->
    Info = ?config(info, Config),
    Opts = opts(Config, #{connection => rabbit_rig:connection(Info, #{confirms_enabled => false})}),
    ok = rabbit_rig:start_host(Opts),
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_rabbit),
    ?assertError(#{what := event_pusher_pool_not_started,
                   reason := [<<"mandatory: must be false without confirms_enabled, got true">>]},
                 mongoose_modules:ensure_started(?HT, mod_event_pusher_rabbit,
                                                 Opts#{mandatory => true})).

%% Confirms that it is named.
a_missing_virtual_host_is_told_and_mended_later(Config) ->
    Broker = ?config(broker, Config),
    #{username := Username} = ?config(info, Config),
    start_with_connection(Config, #{virtual_host => <<"nowhere">>}),
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch({_, _}, binary:match(Reason, <<"virtual host \"nowhere\": 530 NOT_ALLOWED">>)),
    host:user_available(?ALICE),
    ok = rabbit_service:add_vhost(Broker, "nowhere"),
    ok = rabbit_service:permissions(Broker, Username, "nowhere", ".*", ".*", ".*"),
    #{delivered := 1} = delivered_all().

%% Confirms that the exchange is named, that its events wait, and that they are in nobody's way,
%% although there are more of them than workers.
a_user_who_may_not_write_is_told_and_mended_later(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "writer", "secret"),
    ok = rabbit_service:permissions(Broker, "writer", "/", ".*", "^chat_msg$", ".*"),
    start_with_connection(Config, #{username => <<"writer">>, password => <<"secret">>}),
    bind(Config, <<"chat_msg">>, false),
    [host:user_available(<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>)
     || N <- lists:seq(1, 50)],
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch(<<"exchange \"presence\": 403 ACCESS_REFUSED", _/binary>>, Reason),
    send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([_, _], messages(2, Config)),
    ok = rabbit_service:permissions(Broker, "writer", "/", ".*", ".*", ".*"),
    #{delivered := 52} = delivered_all().

%% Confirms that it is the exchange and not a message which is to blame.
an_internal_exchange_is_told_as_refused(Config) ->
    %% All of them, so that no other refusal is told first.
    [ok = rabbit_service:declare(?config(broker, Config), Name, topic, false, internal)
     || Name <- ["presence", "chat_msg", "groupchat_msg"]],
    start(Config, #{declare => passive, queue => #{drain_timeout_ms => 0}}),
    host:user_available(?ALICE),
    ?assertMatch(#{reason := <<"exchange \"presence\": 403 ACCESS_REFUSED - cannot publish to "
                               "internal exchange", _/binary>>},
                 log_capture:await(event_pusher_connection_refused)),
    ?assertMatch(#{waiting := 1, rejected := 0}, rabbit_rig:stats()).

%% Confirms that the broker's refusal of a topic is taken for what it is.
a_routing_key_that_is_refused_costs_its_events_alone(Config) ->
    refused_routing_keys(#{}, Config).

%% Confirms the same where nobody waits for answers to each message.
without_confirms_a_routing_key_that_is_refused_costs_its_events_alone(Config) ->
    refused_routing_keys(#{confirms_enabled => false}, Config).

refused_routing_keys(ConnOpts, Config) ->
    Broker = ?config(broker, Config),
    User = <<"topical", (integer_to_binary(map_size(ConnOpts)))/binary>>,
    ok = user(Broker, User),
    ok = rabbit_service:topic_permissions(Broker, User, "presence", "^good"),
    bind(Config, <<"presence">>, true),
    ok = rabbit_service:down(Broker),
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    Connection = rabbit_rig:connection(?config(info, Config),
                                       ConnOpts#{username => User, password => <<"secret">>}),
    start(Config, Exchanges#{presence_exchange := Presence#{durable := true},
                             connection => Connection}),
    %% The broker cuts the text of the second one, in the middle of a letter.
    Odd = <<(binary:copy(<<"b">>, 217))/binary, "éé"/utf8>>,
    Names = [<<"good", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 50)],
    {First, Rest} = lists:split(10, Names),
    [host:user_available(<<Name/binary, "@localhost/phone">>)
     || Name <- First ++ [<<"bad1">>, Odd, <<"bad2">>] ++ Rest],
    ok = rabbit_service:up(Broker),
    ?assertMatch(#{delivered := 50, rejected := 3}, delivered_all()),
    ?assertMatch(#{reason := rejected}, log_capture:await(event_pusher_drops)),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertEqual(nomatch, binary:match(Logged, [<<"bad1">>, <<"bbbb">>])),
    Ids = [User1 || #{<<"user_id">> := User1} <- [json(Message) || Message <- all(Config)]],
    ?assert(length(Ids) =< 100),
    ?assertEqual([], log_capture:rest(event_pusher_connection_refused)).

%% Confirms that what was written behind it is not lost with the channel.
without_confirms_a_message_that_is_too_large_costs_no_other(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:max_message_size(Broker, 100000),
    start_with_connection(Config, #{confirms_enabled => false}),
    bind(Config, <<"chat_msg">>, false),
    Large = binary:copy(<<"x">>, 200000),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 20)],
    [send(<<"chat">>, ?ALICE, Text) || Text <- lists:sublist(Texts, 10) ++ [Large]
                                           ++ lists:nthtail(10, Texts)],
    ?assertMatch(#{delivered := 40, rejected := 2}, delivered_all()),
    %% What the broker had read before it closed the channel may come twice.
    ?assertEqual(Texts, distinct(texts_until(<<"20">>, <<"alice@localhost.chat_msg_sent">>, Config))).

%% Channels

%% Confirms that nothing is lost, repeated or held up, although the broker ends the connection at
%% one channel too many.
a_user_with_few_channels_works_with_those_and_is_told_once(Config) ->
    Broker = ?config(broker, Config),
    ok = user(Broker, "narrow"),
    [few_channels(Config, #{username => <<"narrow">>, password => <<"secret">>},
                  fun() -> rabbit_service:max_channels(Broker, "narrow", Channels) end, Channels)
     || Channels <- [1, 2, 5]].

%% Confirms the same for what is agreed upon when the connection is made.
a_connection_with_few_channels_works_with_those(Config) ->
    Broker = ?config(broker, Config),
    [few_channels(Config, #{}, fun() -> rabbit_service:channel_max(Broker, Channels) end, Channels)
     || Channels <- [1, 4]].

few_channels(Config, ConnOpts, Limit, Channels) ->
    ok = Limit(),
    start_with_connection(Config, ConnOpts),
    ?assertMatch(#{reason := _}, log_capture:await(event_pusher_connection_limited)),
    bind_all(Config),
    [begin
         User = <<"user", (integer_to_binary(N))/binary, "@localhost/phone">>,
         host:user_available(User),
         send(<<"chat">>, User, <<"Hi">>),
         send(<<"groupchat">>, User, <<"Hi">>)
     end || N <- lists:seq(1, 500)],
    #{accepted := Accepted, retried := 0, connection := #{lost := 0, failed := 0}} =
        delivered_all(),
    Accepted = length(messages(Accepted, Config)),
    ok = rabbit_service:delete(?config(broker, Config), "presence"),
    host:user_available(?ALICE),
    %% The broker closes the channel on which the exchange is missing. If it was the only one, there is
    %% none to open in its place at once.
    #{connection := #{lost := Lost}} = delivered_all(),
    ?assert(Lost =:= 0 orelse Channels =:= 1),
    ?assertEqual([], log_capture:rest(event_pusher_connection_limited)),
    ok = host:stop(),
    ok = rabbit_service:reset(?config(broker, Config)),
    _ = rabbit_service:flush(?config(broker, Config)).

%% Declarations

%% Confirms that the permission to configure is not needed for either.
a_user_who_may_only_write_declares_passively_or_not_at_all(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "scribe", "secret"),
    ok = rabbit_service:permissions(Broker, "scribe", "/", "^$", ".*", "^$"),
    ConnOpts = #{username => <<"scribe">>, password => <<"secret">>},
    [declared_by_others(How, ConnOpts, fun() -> bind_all(Config) end, Config)
     || How <- [passive, none]].

%% Confirms the refusal by default, and that an operator's exchange can be used.
an_exchange_with_other_properties_is_refused_and_may_be_taken_as_it_is(Config) ->
    Broker = ?config(broker, Config),
    [begin
         ok = rabbit_service:declare(Broker, "presence", topic, false, What),
         start(Config, #{queue => #{drain_timeout_ms => 0}}),
         ?assertMatch(#{reason := <<"exchange \"presence\": 406 PRECONDITION_FAILED - inequivalent "
                                    "arg", _/binary>>},
                      log_capture:await(event_pusher_connection_refused)),
         ok = host:stop(),
         ok = rabbit_service:reset(Broker)
     end || What <- [alternate, auto_delete, internal]],
    Declare = fun() ->
        ok = rabbit_service:declare(Broker, "presence", topic, false, alternate),
        bind_all(Config)
    end,
    [declared_by_others(How, #{}, Declare, Config) || How <- [passive, none]].

declared_by_others(How, ConnOpts, Declare, Config) ->
    Declare(),
    Connection = rabbit_rig:connection(?config(info, Config), ConnOpts),
    start(Config, #{connection => Connection, declare => How}),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"present">> := true}, json(message(Config))),
    #{delivered := 1, retried := 0} = delivered_all(),
    ok = host:stop(),
    ok = rabbit_service:reset(?config(broker, Config)).

%% Confirms that its events wait for whoever makes it.
an_exchange_that_nobody_declares_is_told_and_made_later(Config) ->
    Broker = ?config(broker, Config),
    [begin
         start(Config, #{declare => How}),
         host:user_available(?ALICE),
         #{reason := Reason, receiver := Receiver} =
             log_capture:await(event_pusher_connection_refused),
         ?assertMatch({_, _}, binary:match(Reason, <<"exchange \"presence\": 404 NOT_FOUND">>)),
         ?assertMatch({_, _}, binary:match(Receiver, <<", virtual host \"/\"">>)),
         ?assertMatch(#{waiting := 1, connection := #{lost := 0}}, rabbit_rig:stats()),
         bind_all(Config),
         #{delivered := 1} = delivered_all(),
         _ = message(Config),
         ok = host:stop(),
         ok = rabbit_service:reset(Broker)
     end || How <- [passive, none]].

%% What the broker does not take

%% Confirms that what a full queue refuses is not lost.
a_nack_is_published_again(Config) ->
    Broker = ?config(broker, Config),
    start(Config, #{}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    Queue = rabbit_service:bind_full(Broker, "presence", "#", 1),
    [begin host:user_available(?ALICE), host:user_unavailable(?ALICE, <<>>) end
     || _ <- lists:seq(1, 2)],
    ?assertMatch(#{last_cause := <<"nack", _/binary>>}, log_capture:await(event_pusher_retries)),
    ?assertMatch(#{delivered := Delivered} when Delivered < 4, rabbit_rig:stats()),
    purge_until_delivered(Broker, Queue, 4).

%% Confirms it with more senders than workers.
a_queue_that_takes_nothing_costs_the_other_exchanges_nothing(Config) ->
    Broker = ?config(broker, Config),
    start(Config, #{queue => #{drain_timeout_ms => 0}}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    _ = rabbit_service:bind_full(Broker, "presence", "#", 0),
    bind(Config, <<"chat_msg">>, false),
    [host:user_available(<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>)
     || N <- lists:seq(1, 1000)],
    _ = log_capture:await(event_pusher_retries),
    send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([_, _], messages(2, Config)),
    ?assertMatch(#{delivered := 2, waiting := 1000},
                 rabbit_rig:await_stats(fun(#{delivered := Delivered}) -> Delivered > 0 end)).

%% Confirms that copies and attempts come to an end of their own name, and that the order is kept.
a_full_queue_multiplies_messages_in_the_others_within_a_bound(Config) ->
    Broker = ?config(broker, Config),
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    start(Config, Exchanges#{presence_exchange := Presence#{type := <<"fanout">>},
                             nack_retry_count => 2}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    Full = rabbit_service:bind_full(Broker, "presence", "#", 0),
    _ = rabbit_service:bind(Broker, "presence", fanout, false, "#"),
    [begin host:user_available(User), host:user_unavailable(User, <<>>) end
     || _ <- lists:seq(1, 5), User <- [?ALICE, ?BOB]],
    ?assertMatch(#{delivered := 0, nacked := 20, nacks := Nacks} when Nacks =< 60, delivered_all()),
    ?assertMatch(#{reason := nacked, last_cause := <<"nack from the broker">>},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual(20, total(nacked)),
    ok = rabbit_service:unbind(Broker, Full),
    Copies = all(Config),
    ?assert(length(Copies) =< 60),
    Ids = fun(User) ->
        [Id || #{properties := #{message_id := Id}} = Message <- Copies,
               maps:get(<<"user_id">>, json(Message)) =:= User]
    end,
    %% Whoever keeps the last one of each has them in order.
    [?assertMatch({10, true}, {length(distinct(Ids(User))), is_sorted(last_of_each(Ids(User)))})
     || User <- [?ALICE, ?BOB]],
    ok = host_metrics:await(event_pusher_connection, fun() ->
        host_metrics:total(event_pusher_connection, ?LABELS, nacks) >= 10
    end).

last_of_each(Ids) ->
    lists:reverse(distinct(lists:reverse(Ids))).

%% The end of an id is a number.
is_sorted(Ids) ->
    Numbers = [binary_to_integer(Number) || Id <- Ids, [_, Number] <- [binary:split(Id, <<"-">>)]],
    Numbers =:= lists:sort(Numbers).

%% Confirms that it is told as a refusal, although the broker closes the whole connection for it.
an_unknown_exchange_type_costs_the_other_exchanges_nothing(Config) ->
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    start(Config, Exchanges#{presence_exchange := Presence#{type := <<"no-such-type">>},
                             queue => #{drain_timeout_ms => 0}}),
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch(<<"exchange \"presence\": 503 COMMAND_INVALID", _/binary>>, Reason),
    bind(Config, <<"chat_msg">>, false),
    host:user_available(?ALICE),
    send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([<<"chat_msg">>, <<"chat_msg">>],
                 [Exchange || #{exchange := Exchange} <- messages(2, Config)]).

is_up(#{connection := Connection}) ->
    is_map(Connection) andalso maps:get(state, Connection) =:= up.

%% Room for one message at a time.
purge_until_delivered(Broker, Queue, Wanted) ->
    case rabbit_rig:stats() of
        #{delivered := Wanted, waiting := 0} ->
            ok;
        #{delivered := Before} ->
            _ = rabbit_service:purge(Broker, Queue),
            _ = rabbit_rig:await_stats(fun(#{delivered := Now}) -> Now > Before orelse Now =:= Wanted end),
            purge_until_delivered(Broker, Queue, Wanted)
    end.

%% Confirms that the broker's limit costs that message and not those beside it.
a_message_that_the_broker_cannot_take_is_rejected_alone(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:max_message_size(Broker, 100000),
    start(Config, #{}),
    bind(Config, <<"chat_msg">>, false),
    send(<<"chat">>, ?ALICE, <<"before">>),
    send(<<"chat">>, ?ALICE, binary:copy(<<"x">>, 200000)),
    send(<<"chat">>, ?ALICE, <<"after">>),
    ?assertMatch(#{delivered := 4, rejected := 2},
                 rabbit_rig:await_stats(fun(#{accepted := 6, waiting := Waiting}) -> Waiting =:= 0 end)),
    ?assertMatch(#{last_cause := <<"406 PRECONDITION_FAILED", _/binary>>},
                 log_capture:await(event_pusher_drops)),
    %% What the broker had not confirmed before it closed the channel may come twice.
    ?assertEqual([<<"before">>, <<"after">>],
                 distinct(texts_until(<<"after">>, <<"alice@localhost.chat_msg_sent">>, Config))).

%% Confirms that a JID of more than 255 bytes does no harm.
a_routing_key_that_amqp_cannot_carry_is_rejected(Config) ->
    start(Config, #{}),
    bind(Config, <<"presence">>, false),
    host:user_available(<<(binary:copy(<<"a">>, 250))/binary, "@localhost/phone">>),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"user_id">> := ?ALICE}, json(message(Config))),
    ?assertMatch(#{last_cause := <<"routing key is longer than 255 bytes">>},
                 log_capture:await(event_pusher_drops)).

%% Confirms that events wait, in the queue and visibly, without a storm of retries.
a_blocked_connection_holds_events_and_is_told_once(Config) ->
    Broker = ?config(broker, Config),
    start(Config, #{}),
    bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    _ = message(Config),
    ok = rabbit_service:block(Broker),
    host:user_unavailable(?ALICE, <<>>),
    ?assertMatch(#{last_cause := _}, log_capture:await(event_pusher_connection_blocked)),
    [begin host:user_available(?ALICE), host:user_unavailable(?ALICE, <<>>) end
     || _ <- lists:seq(1, 50)],
    ?assertMatch(#{connection := #{state := blocked}, delivered := 1, retried := 0, queue_events := 100},
                 rabbit_rig:stats()),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        host_metrics:gauge(event_pusher_connection, ?LABELS, blocked) =:= 1
    end),
    ok = rabbit_service:unblock(Broker),
    ?assertMatch(#{delivered := 102, retried := 0}, delivered_all()),
    ?assertEqual([], log_capture:rest(event_pusher_connection_blocked)).

%% Confirms the bound while the broker is away.
a_full_queue_drops_new_events_and_blocks_nobody(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:down(Broker),
    start(Config, #{queue => #{max_events => 10, drain_timeout_ms => 0}}),
    [begin host:user_available(?ALICE), host:user_unavailable(?ALICE, <<>>) end
     || _ <- lists:seq(1, 10)],
    ?assertMatch(#{accepted := 10, refused_full := 10, queue_events := 10}, rabbit_rig:stats()),
    ?assertMatch(#{reason := full, count := _}, log_capture:await(event_pusher_drops)),
    ok = rabbit_service:up(Broker),
    #{delivered := 10} = delivered_all().

%% TLS

%% Confirms that the certificate is needed and that ours is taken.
tls_with_a_client_certificate_works(Config) ->
    #{ca := Ca, client_cert := Cert, client_key := Key} = ?config(certs, Config),
    #{tls_port := Port} = ?config(info, Config),
    Tls = #{verify_mode => peer, cacertfile => Ca, disconnect_on_failure => true},
    start_with_connection(Config, #{port => Port, tls => Tls}),
    ?assertMatch(#{failed_attempts := _}, log_capture:await(event_pusher_connection_down)),
    ok = host:stop(),
    start_with_connection(Config, #{port => Port, tls => Tls#{certfile => Cert, keyfile => Key}}),
    bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"present">> := true}, json(message(Config))).

%% Confirms that nothing is sent to a stranger, and that the cause is told.
a_certificate_of_another_authority_is_not_trusted(Config) ->
    #{foreign_ca := Foreign} = ?config(certs, Config),
    #{tls_port := Port} = ?config(info, Config),
    start_with_connection(Config, #{port => Port, tls => #{cacertfile => Foreign}}),
    #{last_cause := Cause} = log_capture:await(event_pusher_connection_down),
    ?assertMatch({_, _}, binary:match(Cause, <<"which is not trusted">>)).

%% Start and stop

%% Confirms that all that was accepted arrives before the module has stopped.
stopping_under_load_drains(Config) ->
    start(Config, #{queue => #{drain_timeout_ms => ?WAIT}}),
    bind(Config, <<"chat_msg">>, false),
    [send(<<"chat">>, ?ALICE, <<"Hi">>) || _ <- lists:seq(1, 1000)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_rabbit),
    ?assertEqual(2000, length(messages(2000, Config))),
    ?assertEqual(2000, total(delivered)),
    ?assertEqual(0, total(closed)).

%% Confirms that the deadline holds and that nothing is lost silently.
stopping_while_the_broker_is_down_reports_what_it_dropped(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:down(Broker),
    start(Config, #{queue => #{drain_timeout_ms => 100}}),
    [send(<<"chat">>, ?ALICE, <<"Hi">>) || _ <- lists:seq(1, 5)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_rabbit),
    ?assertMatch(#{reason := closed, count := 10}, log_capture:await(event_pusher_drops)),
    ?assertEqual(10, total(closed)),
    ok = rabbit_service:up(Broker).

%% Confirms that nothing is left behind: neither connections nor threads.
the_module_starts_and_stops_any_number_of_times(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "counted", "secret"),
    ok = rabbit_service:permissions(Broker, "counted", "/", ".*", ".*", ".*"),
    User = #{username => <<"counted">>, password => <<"secret">>},
    Cycle = fun() ->
        start_with_connection(Config, User),
        _ = rabbit_rig:await_stats(fun is_up/1),
        ok = until_connections(Broker, "counted", 1),
        ok = host:stop()
    end,
    Cycle(),
    Threads = threads(),
    [Cycle() || _ <- lists:seq(1, 10)],
    ok = until_connections(Broker, "counted", 0),
    ?assert(threads() =< Threads + 2).

%% The broker takes a moment to list a connection, and to forget it.
until_connections(Broker, User, Wanted) ->
    until_connections(Broker, User, Wanted, 1000).

until_connections(Broker, User, Wanted, Left) when Left > 0 ->
    case rabbit_service:connections(Broker, User) of
        Wanted -> ok;
        _ -> until_connections(Broker, User, Wanted, Left - 1)
    end.

%% Confirms it for what is logged while a pool works, fails and is stopped.
secrets_and_content_reach_no_log(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "secretive", "topsecretword"),
    ok = rabbit_service:permissions(Broker, "secretive", "/", ".*", ".*", ".*"),
    start_with_connection(Config, #{username => <<"secretive">>, password => <<"topsecretword">>}),
    bind(Config, <<"chat_msg">>, false),
    [send(<<"chat">>, ?ALICE, <<"a private word">>) || _ <- lists:seq(1, 3)],
    _ = delivered_all(),
    ok = rabbit_service:delete(Broker, "chat_msg"),
    [send(<<"chat">>, ?ALICE, <<"a private word">>) || _ <- lists:seq(1, 3)],
    _ = delivered_all(),
    [Owner] = event_pusher_sup:owners([{rabbit, ?HT}]),
    Monitor = monitor(process, Owner),
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, _} -> ok end,
    ok = host:stop(),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertMatch({_, _}, binary:match(Logged, <<"event_pusher_retries">>)),
    ?assertEqual(nomatch, binary:match(Logged, [<<"topsecretword">>, <<"private">>, <<"alice">>])).

%% Helpers

%% One who may do everything.
user(Broker, Name) ->
    ok = rabbit_service:add_user(Broker, Name, "secret"),
    rabbit_service:permissions(Broker, Name, "/", ".*", ".*", ".*").

%% What has arrived: consumers have nothing more to tell when a message of ours has come through.
all(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:publish(Broker, "presence", "good.last", "last"),
    all(Config, []).

all(Config, Arrived) ->
    case message(Config) of
        #{body := <<"last">>} -> lists:reverse(Arrived);
        Message -> all(Config, [Message | Arrived])
    end.

opts(Config, More) ->
    Opts = maps:merge(rabbit_rig:exchanges(), More),
    maps:merge(#{connection => rabbit_rig:connection(?config(info, Config))}, Opts).

start(Config, #{presence_exchange := _} = Exchanges) ->
    start_opts(maps:merge(#{connection => rabbit_rig:connection(?config(info, Config))}, Exchanges));
start(Config, #{chat_msg_exchange := _} = Exchanges) ->
    start_opts(maps:merge(#{connection => rabbit_rig:connection(?config(info, Config))}, Exchanges));
start(Config, More) ->
    start_opts(opts(Config, More)).

start_with_connection(Config, More) ->
    start(Config, #{connection => rabbit_rig:connection(?config(info, Config), More)}).

%% Most cases publish to exchanges without queues.
start_opts(Opts) ->
    rabbit_rig:start_host(maps:merge(#{mandatory => false}, Opts)).

pool(Scope, ConnOpts) ->
    #{type => rabbit, scope => Scope, tag => event_pusher, conn_opts => ConnOpts,
      opts => #{workers => 5, strategy => best_worker, call_timeout => 5000}}.

send(Type, From, Body) ->
    host:send_message(From, ?BOB, rig:message(Type, Body)).

%% Sends until told to stop; the body is the number of the message.
load(Sender, Sent, Owner) ->
    receive
        stop -> Owner ! {sent, Sender, Sent}
    after 20 ->
        Number = Sent + 1,
        host:send_message(Sender, ?BOB, rig:message(<<"chat">>, integer_to_binary(Number))),
        load(Sender, Number, Owner)
    end.

%% All that arrives, newest first by routing key, until each key has as many different as wanted.
collect(Arrived, Wanted, Config) ->
    Complete = [Key || {Key, Count} <- maps:to_list(Wanted),
                       length(lists:usort(maps:get(Key, Arrived, []))) =:= Count],
    case length(Complete) =:= map_size(Wanted) of
        true ->
            maps:map(fun(_Key, Numbers) -> lists:reverse(Numbers) end, Arrived);
        false ->
            Messages = [message(Config) | rabbit_service:flush(?config(broker, Config))],
            collect(lists:foldl(fun(#{routing_key := Key} = Message, All) ->
                                    Number = binary_to_integer(maps:get(<<"message">>, json(Message))),
                                    All#{Key => [Number | maps:get(Key, All, [])]}
                                end, Arrived, Messages), Wanted, Config)
    end.

%% Without what came again.
distinct(List) ->
    {Distinct, _} = lists:foldl(fun(Item, {Kept, Seen}) when is_map_key(Item, Seen) -> {Kept, Seen};
                                   (Item, {Kept, Seen}) -> {[Item | Kept], Seen#{Item => true}}
                                end, {[], #{}}, List),
    lists:reverse(Distinct).

key(Sender) ->
    [User, _Resource] = binary:split(Sender, <<"/">>),
    <<User/binary, ".chat_msg_sent">>.

bind_all(Config) ->
    [bind(Config, Exchange, false)
     || Exchange <- [<<"presence">>, <<"chat_msg">>, <<"groupchat_msg">>]].

bind(Config, Exchange, Durable) ->
    rabbit_service:bind(?config(broker, Config), Exchange, topic, Durable, "#").

message(Config) ->
    {ok, Message} = rabbit_service:await_message(?config(broker, Config), ?WAIT),
    Message.

messages(Count, Config) ->
    Messages = rabbit_service:await_messages(?config(broker, Config), Count, ?WAIT),
    ?assertEqual(Count, length(Messages)),
    Messages.

arrived(Config) ->
    #{exchange := Exchange, routing_key := Key, body := Body} = message(Config),
    {Exchange, Key, Body}.

decoded({Exchange, Key, Body}) ->
    {Exchange, Key, json(#{body => Body})}.

json(#{body := Body}) ->
    jiffy:decode(Body, [return_maps]).

%% What arrived under one routing key, in order.
texts(Key, Messages) ->
    [maps:get(<<"message">>, json(Message)) || #{routing_key := K} = Message <- Messages, K =:= Key].

%% The same, up to the first one with this text.
texts_until(Text, Key, Config) ->
    case texts(Key, [message(Config)]) of
        [Text] -> [Text];
        Others -> Others ++ texts_until(Text, Key, Config)
    end.

delivered_all() ->
    rabbit_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end).

total(Metric) ->
    host_metrics:total(event_pusher_events, ?LABELS, Metric).

%% Threads of the whole node.
threads() ->
    {ok, Entries} = file:list_dir("/proc/self/task"),
    length(Entries).
