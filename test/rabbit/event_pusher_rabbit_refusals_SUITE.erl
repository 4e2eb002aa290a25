-module(event_pusher_rabbit_refusals_SUITE).
-moduledoc "What a real broker refuses, as users, exchanges, messages and queues, and what is told of it.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_refused_declaration_is_told_once_and_costs_the_other_exchanges_nothing/1,
         a_wrong_password_is_told_without_the_password_and_mended_later/1,
         what_no_queue_takes_is_counted_and_named_and_costs_nothing_else/1,
         what_tells_of_no_queue_needs_confirms/1,
         a_missing_virtual_host_is_told_and_mended_later/1,
         a_user_who_may_not_write_is_told_and_mended_later/1,
         an_internal_exchange_is_told_as_refused/1,
         a_routing_key_that_is_refused_costs_its_events_alone/1,
         without_confirms_a_routing_key_that_is_refused_costs_its_events_alone/1,
         without_confirms_a_message_that_is_too_large_costs_no_other/1,
         a_user_who_may_only_write_declares_passively_or_not_at_all/1,
         an_exchange_with_other_properties_is_refused_and_may_be_taken_as_it_is/1,
         an_exchange_that_nobody_declares_is_told_and_made_later/1,
         a_nack_is_published_again/1,
         a_queue_that_takes_nothing_costs_the_other_exchanges_nothing/1,
         a_full_queue_multiplies_messages_in_the_others_within_a_bound/1,
         an_unknown_exchange_type_costs_the_other_exchanges_nothing/1,
         a_message_that_the_broker_cannot_take_is_rejected_alone/1,
         a_routing_key_that_amqp_cannot_carry_is_rejected/1,
         a_blocked_connection_holds_events_and_is_told_once/1,
         a_full_queue_drops_new_events_and_blocks_nobody/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(LABELS, #{host_type => ?HT, pool_type => rabbit, pool_tag => event_pusher}).

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

%% Connections

%% Confirms error, exchange and type, that others go on, and that mending it is enough.
a_refused_declaration_is_told_once_and_costs_the_other_exchanges_nothing(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:declare(Broker, "presence", fanout, false),
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    Refused = log_capture:await(event_pusher_connection_refused),
    #{reason := Reason} = Refused,
    ?assertMatch(<<"exchange \"presence\": 406 PRECONDITION_FAILED", _/binary>>, Reason),
    host:user_available(?ALICE),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([_, _], rabbit_rig:messages(2, Config)),
    ?assertMatch(#{delivered := 2, queue_events := 1},
                 rabbit_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 1 end)),
    ok = rabbit_service:delete(Broker, "presence"),
    _ = log_capture:await(event_pusher_connection_accepted),
    #{delivered := 3} = rabbit_rig:delivered_all(),
    ?assertEqual([], log_capture:rest(event_pusher_connection_refused)).

%% Confirms that the user is named and the password is nowhere.
a_wrong_password_is_told_without_the_password_and_mended_later(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "forgetful", "the right one"),
    ok = rabbit_service:permissions(Broker, "forgetful", "/", ".*", ".*", ".*"),
    rabbit_rig:start_with_connection(Config, #{username => <<"forgetful">>, password => <<"a wrong one">>}),
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch(<<"user \"forgetful\", virtual host \"/\": 403 ACCESS_REFUSED", _/binary>>,
                 Reason),
    ?assertMatch(#{state := refused, cause := Reason, last_success_ms := none}, status()),
    host:user_available(?ALICE),
    ok = rabbit_service:password(Broker, "forgetful", "a wrong one"),
    #{delivered := 1} = rabbit_rig:delivered_all(),
    ?assertMatch(#{state := connected, cause := none, last_success_ms := Ms}
                   when is_integer(Ms), status()),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertEqual(nomatch, binary:match(Logged, <<"a wrong one">>)).

status() ->
    {ok, #{status := Status}} = event_pusher:stats({rabbit, ?HT}),
    Status.

%% Confirms it by default, for an exchange without a queue and for one that gets its queue later.
what_no_queue_takes_is_counted_and_named_and_costs_nothing_else(Config) ->
    rabbit_rig:start_host(rabbit_rig:opts(Config, #{})),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    [host:user_available(<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>)
     || N <- lists:seq(1, 5)],
    [rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>) || _ <- lists:seq(1, 5)],
    Sent = rabbit_rig:messages(10, Config),
    ?assertEqual([<<"chat_msg">>], lists:usort([Exchange || #{exchange := Exchange} <- Sent])),
    ?assertMatch(#{unroutable := 5, delivered := 10, waiting := 0, retried := 0}, rabbit_rig:delivered_all()),
    ok = host_metrics:await(event_pusher_events, fun() -> rabbit_rig:total(unroutable) =:= 5 end),
    Lines = [log_capture:await(event_pusher_unroutable) | log_capture:rest(event_pusher_unroutable)],
    ?assertEqual(5, lists:sum([Count || #{exchange := <<"presence">>, count := Count} <- Lines])),
    ?assertMatch(#{state := connected, last_error := #{cause := <<"exchange \"presence\": no queue", _/binary>>}},
                 status()),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    rabbit_rig:bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    ?assertMatch(#{unroutable := 5, delivered := 11}, rabbit_rig:delivered_all()).

what_tells_of_no_queue_needs_confirms(Config) ->
    Info = ?config(info, Config),
    Opts = rabbit_rig:opts(Config, #{connection => rabbit_rig:connection(Info, #{confirms_enabled => false})}),
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
    rabbit_rig:start_with_connection(Config, #{virtual_host => <<"nowhere">>}),
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch({_, _}, binary:match(Reason, <<"virtual host \"nowhere\": 530 NOT_ALLOWED">>)),
    host:user_available(?ALICE),
    ok = rabbit_service:add_vhost(Broker, "nowhere"),
    ok = rabbit_service:permissions(Broker, Username, "nowhere", ".*", ".*", ".*"),
    #{delivered := 1} = rabbit_rig:delivered_all().

%% Confirms that the exchange is named, that its events wait, and that they are in nobody's way,
%% although there are more of them than workers.
a_user_who_may_not_write_is_told_and_mended_later(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "writer", "secret"),
    ok = rabbit_service:permissions(Broker, "writer", "/", ".*", "^chat_msg$", ".*"),
    rabbit_rig:start_with_connection(Config, #{username => <<"writer">>, password => <<"secret">>}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    [host:user_available(<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>)
     || N <- lists:seq(1, 50)],
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch(<<"exchange \"presence\": 403 ACCESS_REFUSED", _/binary>>, Reason),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([_, _], rabbit_rig:messages(2, Config)),
    ok = rabbit_service:permissions(Broker, "writer", "/", ".*", ".*", ".*"),
    #{delivered := 52} = rabbit_rig:delivered_all().

%% Confirms that it is the exchange and not a message which is to blame.
an_internal_exchange_is_told_as_refused(Config) ->
    %% All of them, so that no other refusal is told first.
    [ok = rabbit_service:declare(?config(broker, Config), Name, topic, false, internal)
     || Name <- ["presence", "chat_msg", "groupchat_msg"]],
    rabbit_rig:start(Config, #{declare => passive, queue => #{drain_timeout_ms => 0}}),
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
    ok = rabbit_rig:user(Broker, User),
    ok = rabbit_service:topic_permissions(Broker, User, "presence", "^good"),
    rabbit_rig:bind(Config, <<"presence">>, true),
    ok = rabbit_service:down(Broker),
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    Connection = rabbit_rig:connection(?config(info, Config),
                                       ConnOpts#{username => User, password => <<"secret">>}),
    rabbit_rig:start(Config, Exchanges#{presence_exchange := Presence#{durable := true},
                             connection => Connection}),
    %% The broker cuts the text of the second one, in the middle of a letter.
    Odd = <<(binary:copy(<<"b">>, 217))/binary, "éé"/utf8>>,
    Names = [<<"good", (integer_to_binary(N))/binary>> || N <- lists:seq(1, 50)],
    {First, Rest} = lists:split(10, Names),
    [host:user_available(<<Name/binary, "@localhost/phone">>)
     || Name <- First ++ [<<"bad1">>, Odd, <<"bad2">>] ++ Rest],
    ok = rabbit_service:up(Broker),
    ?assertMatch(#{delivered := 50, rejected := 3}, rabbit_rig:delivered_all()),
    ?assertMatch(#{reason := rejected}, log_capture:await(event_pusher_drops)),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertEqual(nomatch, binary:match(Logged, [<<"bad1">>, <<"bbbb">>])),
    Ids = [User1 || #{<<"user_id">> := User1} <- [rabbit_rig:json(Message) || Message <- all_arrived(Config)]],
    ?assert(length(Ids) =< 100),
    ?assertEqual([], log_capture:rest(event_pusher_connection_refused)).

%% Confirms that what was written behind it is not lost with the channel.
without_confirms_a_message_that_is_too_large_costs_no_other(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:max_message_size(Broker, 100000),
    rabbit_rig:start_with_connection(Config, #{confirms_enabled => false}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    Large = binary:copy(<<"x">>, 200000),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 20)],
    [rabbit_rig:send(<<"chat">>, ?ALICE, Text) || Text <- lists:sublist(Texts, 10) ++ [Large]
                                           ++ lists:nthtail(10, Texts)],
    ?assertMatch(#{delivered := 40, rejected := 2}, rabbit_rig:delivered_all()),
    %% What the broker had read before it closed the channel may come twice.
    ?assertEqual(Texts, rabbit_rig:distinct(texts_until(<<"20">>, <<"alice@localhost.chat_msg_sent">>, Config))).

%% Declarations

%% Confirms that the permission to configure is not needed for either.
a_user_who_may_only_write_declares_passively_or_not_at_all(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:add_user(Broker, "scribe", "secret"),
    ok = rabbit_service:permissions(Broker, "scribe", "/", "^$", ".*", "^$"),
    ConnOpts = #{username => <<"scribe">>, password => <<"secret">>},
    [declared_by_others(How, ConnOpts, fun() -> rabbit_rig:bind_all(Config) end, Config)
     || How <- [passive, none]].

%% Confirms the refusal by default, and that an operator's exchange can be used.
an_exchange_with_other_properties_is_refused_and_may_be_taken_as_it_is(Config) ->
    Broker = ?config(broker, Config),
    [begin
         ok = rabbit_service:declare(Broker, "presence", topic, false, What),
         rabbit_rig:start(Config, #{queue => #{drain_timeout_ms => 0}}),
         ?assertMatch(#{reason := <<"exchange \"presence\": 406 PRECONDITION_FAILED - inequivalent "
                                    "arg", _/binary>>},
                      log_capture:await(event_pusher_connection_refused)),
         ok = host:stop(),
         ok = rabbit_service:reset(Broker)
     end || What <- [alternate, auto_delete, internal]],
    Declare = fun() ->
        ok = rabbit_service:declare(Broker, "presence", topic, false, alternate),
        rabbit_rig:bind_all(Config)
    end,
    [declared_by_others(How, #{}, Declare, Config) || How <- [passive, none]].

declared_by_others(How, ConnOpts, Declare, Config) ->
    Declare(),
    Connection = rabbit_rig:connection(?config(info, Config), ConnOpts),
    rabbit_rig:start(Config, #{connection => Connection, declare => How}),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"present">> := true}, rabbit_rig:json(rabbit_rig:message(Config))),
    #{delivered := 1, retried := 0} = rabbit_rig:delivered_all(),
    ok = host:stop(),
    ok = rabbit_service:reset(?config(broker, Config)).

%% Confirms that its events wait for whoever makes it.
an_exchange_that_nobody_declares_is_told_and_made_later(Config) ->
    Broker = ?config(broker, Config),
    [begin
         rabbit_rig:start(Config, #{declare => How}),
         host:user_available(?ALICE),
         #{reason := Reason, receiver := Receiver} =
             log_capture:await(event_pusher_connection_refused),
         ?assertMatch({_, _}, binary:match(Reason, <<"exchange \"presence\": 404 NOT_FOUND">>)),
         ?assertMatch({_, _}, binary:match(Receiver, <<", virtual host \"/\"">>)),
         ?assertMatch(#{waiting := 1, connection := #{lost := 0}}, rabbit_rig:stats()),
         rabbit_rig:bind_all(Config),
         #{delivered := 1} = rabbit_rig:delivered_all(),
         _ = rabbit_rig:message(Config),
         ok = host:stop(),
         ok = rabbit_service:reset(Broker)
     end || How <- [passive, none]].

%% What the broker does not take

%% Confirms that what a full queue refuses is not lost.
a_nack_is_published_again(Config) ->
    Broker = ?config(broker, Config),
    rabbit_rig:start(Config, #{}),
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
    rabbit_rig:start(Config, #{queue => #{drain_timeout_ms => 0}}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    _ = rabbit_service:bind_full(Broker, "presence", "#", 0),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    [host:user_available(<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>)
     || N <- lists:seq(1, 1000)],
    _ = log_capture:await(event_pusher_retries),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([_, _], rabbit_rig:messages(2, Config)),
    ?assertMatch(#{delivered := 2, waiting := 1000},
                 rabbit_rig:await_stats(fun(#{delivered := Delivered}) -> Delivered > 0 end)).

%% Confirms that copies and attempts come to an end of their own name, and that the order is kept.
a_full_queue_multiplies_messages_in_the_others_within_a_bound(Config) ->
    Broker = ?config(broker, Config),
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    rabbit_rig:start(Config, Exchanges#{presence_exchange := Presence#{type := <<"fanout">>},
                             nack_retry_count => 2}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    Full = rabbit_service:bind_full(Broker, "presence", "#", 0),
    _ = rabbit_service:bind(Broker, "presence", fanout, false, "#"),
    [begin host:user_available(User), host:user_unavailable(User, <<>>) end
     || _ <- lists:seq(1, 5), User <- [?ALICE, ?BOB]],
    ?assertMatch(#{delivered := 0, nacked := 20, nacks := Nacks} when Nacks =< 60, rabbit_rig:delivered_all()),
    ?assertMatch(#{reason := nacked, last_cause := <<"nack from the broker">>},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual(20, rabbit_rig:total(nacked)),
    ok = rabbit_service:unbind(Broker, Full),
    Copies = all_arrived(Config),
    ?assert(length(Copies) =< 60),
    Ids = fun(User) ->
        [Id || #{properties := #{message_id := Id}} = Message <- Copies,
               maps:get(<<"user_id">>, rabbit_rig:json(Message)) =:= User]
    end,
    %% Whoever keeps the last one of each has them in order.
    [?assertMatch({10, true}, {length(rabbit_rig:distinct(Ids(User))), is_sorted(last_of_each(Ids(User)))})
     || User <- [?ALICE, ?BOB]],
    ok = host_metrics:await(event_pusher_connection, fun() ->
        host_metrics:total(event_pusher_connection, ?LABELS, nacks) >= 10
    end).

last_of_each(Ids) ->
    lists:reverse(rabbit_rig:distinct(lists:reverse(Ids))).

%% The end of an id is a number.
is_sorted(Ids) ->
    Numbers = [binary_to_integer(Number) || Id <- Ids, [_, Number] <- [binary:split(Id, <<"-">>)]],
    Numbers =:= lists:sort(Numbers).

%% Confirms that it is told as a refusal, although the broker closes the whole connection for it.
an_unknown_exchange_type_costs_the_other_exchanges_nothing(Config) ->
    #{presence_exchange := Presence} = Exchanges = rabbit_rig:exchanges(),
    rabbit_rig:start(Config, Exchanges#{presence_exchange := Presence#{type := <<"no-such-type">>},
                             queue => #{drain_timeout_ms => 0}}),
    #{reason := Reason} = log_capture:await(event_pusher_connection_refused),
    ?assertMatch(<<"exchange \"presence\": 503 COMMAND_INVALID", _/binary>>, Reason),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    host:user_available(?ALICE),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"Hi">>),
    ?assertMatch([<<"chat_msg">>, <<"chat_msg">>],
                 [Exchange || #{exchange := Exchange} <- rabbit_rig:messages(2, Config)]).

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
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"chat_msg">>, false),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"before">>),
    rabbit_rig:send(<<"chat">>, ?ALICE, binary:copy(<<"x">>, 200000)),
    rabbit_rig:send(<<"chat">>, ?ALICE, <<"after">>),
    ?assertMatch(#{delivered := 4, rejected := 2},
                 rabbit_rig:await_stats(fun(#{accepted := 6, waiting := Waiting}) -> Waiting =:= 0 end)),
    ?assertMatch(#{last_cause := <<"406 PRECONDITION_FAILED", _/binary>>},
                 log_capture:await(event_pusher_drops)),
    %% What the broker had not confirmed before it closed the channel may come twice.
    ?assertEqual([<<"before">>, <<"after">>],
                 rabbit_rig:distinct(texts_until(<<"after">>, <<"alice@localhost.chat_msg_sent">>, Config))).

%% Confirms that a JID of more than 255 bytes does no harm.
a_routing_key_that_amqp_cannot_carry_is_rejected(Config) ->
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"presence">>, false),
    host:user_available(<<(binary:copy(<<"a">>, 250))/binary, "@localhost/phone">>),
    host:user_available(?ALICE),
    ?assertMatch(#{<<"user_id">> := ?ALICE}, rabbit_rig:json(rabbit_rig:message(Config))),
    ?assertMatch(#{last_cause := <<"routing key is longer than 255 bytes">>},
                 log_capture:await(event_pusher_drops)).

%% Confirms that events wait, in the queue and visibly, without a storm of retries.
a_blocked_connection_holds_events_and_is_told_once(Config) ->
    Broker = ?config(broker, Config),
    rabbit_rig:start(Config, #{}),
    rabbit_rig:bind(Config, <<"presence">>, false),
    host:user_available(?ALICE),
    _ = rabbit_rig:message(Config),
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
    ?assertMatch(#{delivered := 102, retried := 0}, rabbit_rig:delivered_all()),
    ?assertEqual([], log_capture:rest(event_pusher_connection_blocked)).

%% Confirms the bound while the broker is away.
a_full_queue_drops_new_events_and_blocks_nobody(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:down(Broker),
    rabbit_rig:start(Config, #{queue => #{max_events => 10, drain_timeout_ms => 0}}),
    [begin host:user_available(?ALICE), host:user_unavailable(?ALICE, <<>>) end
     || _ <- lists:seq(1, 10)],
    ?assertMatch(#{accepted := 10, refused_full := 10, queue_events := 10}, rabbit_rig:stats()),
    ?assertMatch(#{reason := full, count := _}, log_capture:await(event_pusher_drops)),
    ok = rabbit_service:up(Broker),
    #{delivered := 10} = rabbit_rig:delivered_all().

%% Helpers

%% What has arrived: consumers have nothing more to tell when a message of ours has come through.
all_arrived(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:publish(Broker, "presence", "good.last", "last"),
    all_arrived(Config, []).

all_arrived(Config, Arrived) ->
    case rabbit_rig:message(Config) of
        #{body := <<"last">>} -> lists:reverse(Arrived);
        Message -> all_arrived(Config, [Message | Arrived])
    end.

%% The same, up to the first one with this text.
texts_until(Text, Key, Config) ->
    case rabbit_rig:texts(Key, [rabbit_rig:message(Config)]) of
        [Text] -> [Text];
        Others -> Others ++ texts_until(Text, Key, Config)
    end.
