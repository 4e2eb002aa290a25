-module(event_pusher_rabbit_connection_SUITE).
-moduledoc "Connections and channels of the RabbitMQ backend, with a real broker that is stopped, closes them or allows few.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([the_broker_may_be_started_after_the_module/1,
         a_restart_under_load_loses_nothing_and_keeps_the_order_of_each_key/1,
         a_closed_connection_is_opened_again_and_told_once/1,
         an_exchange_deleted_meanwhile_is_declared_again/1,
         without_confirms_an_exchange_deleted_meanwhile_is_declared_again/1,
         a_user_with_few_channels_works_with_those_and_is_told_once/1,
         a_connection_with_few_channels_works_with_those/1]).

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

%% Confirms that the start does not fail and that what was accepted meanwhile arrives.
the_broker_may_be_started_after_the_module(Config) ->
    Broker = ?config(broker, Config),
    rabbit_rig:bind(Config, <<"presence">>, false),
    ok = rabbit_service:down(Broker),
    rabbit_rig:start(Config, #{}),
    #{host := Host, port := Port} = ?config(info, Config),
    Receiver = iolist_to_binary(io_lib:format("~s:~w, virtual host \"/\"", [Host, Port])),
    ?assertMatch(#{pool_type := rabbit, receiver := Receiver},
                 log_capture:await(event_pusher_connection_down)),
    host:user_available(?ALICE),
    ?assertMatch(#{waiting := 1, queue_events := 1, in_flight := 0, connection := #{state := down}},
                 rabbit_rig:stats()),
    ok = rabbit_service:up(Broker),
    _ = log_capture:await(event_pusher_connection_up),
    #{delivered := 1} = rabbit_rig:delivered_all().

%% Confirms at-least-once and the order of first arrivals, with many senders and confirms.
a_restart_under_load_loses_nothing_and_keeps_the_order_of_each_key(Config) ->
    Broker = ?config(broker, Config),
    #{chat_msg_exchange := Chat} = Exchanges = rabbit_rig:exchanges(),
    rabbit_rig:start(Config, Exchanges#{chat_msg_exchange := Chat#{durable := true}}),
    rabbit_rig:bind(Config, <<"chat_msg">>, true),
    Senders = [<<"user", (integer_to_binary(N))/binary, "@localhost/phone">>
               || N <- lists:seq(1, 10)],
    Self = self(),
    Loads = [spawn_link(fun() -> load(Sender, 0, Self) end) || Sender <- Senders],
    _ = rabbit_rig:await_stats(fun(#{delivered := Delivered}) -> Delivered > 1000 end),
    ok = rabbit_service:restart(Broker),
    #{delivered := Before} = rabbit_rig:await_stats(fun rabbit_rig:is_up/1),
    _ = rabbit_rig:await_stats(fun(#{delivered := Now}) -> Now > Before + 1000 end),
    [Load ! stop || Load <- Loads],
    Sent = maps:from_list([receive {sent, Sender, Count} -> {Sender, Count} end
                           || Sender <- Senders]),
    #{accepted := Accepted, delivered := Accepted} = rabbit_rig:delivered_all(),
    %% Twice per message, as it is sent and as it is received: each has its own key.
    ?assertEqual(2 * lists:sum(maps:values(Sent)), Accepted),
    Arrived = collect(#{}, maps:fold(fun(Sender, Count, Keys) -> Keys#{key(Sender) => Count} end,
                                     #{}, Sent), Config),
    [?assertEqual({Sender, lists:seq(1, Count)},
                  {Sender, rabbit_rig:distinct(maps:get(key(Sender), Arrived))})
     || {Sender, Count} <- maps:to_list(Sent)].

%% Confirms the log lines, and that what waits meanwhile is delivered.
a_closed_connection_is_opened_again_and_told_once(Config) ->
    Broker = ?config(broker, Config),
    #{username := Username} = ?config(info, Config),
    ok = rabbit_service:add_user(Broker, "other", "secret"),
    ok = rabbit_service:permissions(Broker, "other", "/", ".*", ".*", ".*"),
    rabbit_rig:start_with_connection(Config, #{username => <<"other">>, password => <<"secret">>}),
    rabbit_rig:bind(Config, <<"presence">>, false),
    _ = rabbit_rig:await_stats(fun rabbit_rig:is_up/1),
    ?assertNotEqual(<<"other">>, Username),
    ok = rabbit_rig:until_connections(Broker, "other", 1),
    ?assertEqual(1, rabbit_service:close_connections(Broker, "other")),
    _ = rabbit_rig:await_stats(fun(#{connection := #{opened := Opened}}) -> Opened =:= 2 end),
    host:user_available(?ALICE),
    _ = rabbit_rig:message(Config),
    ?assertMatch(#{delivered := 1, connection := #{lost := 1}}, rabbit_rig:delivered_all()),
    _ = log_capture:await(event_pusher_connection_up),
    ?assertEqual(1, host_metrics:total(event_pusher_connection, ?LABELS, lost)).

%% Confirms that the event which finds it missing is not lost.
an_exchange_deleted_meanwhile_is_declared_again(Config) ->
    Broker = ?config(broker, Config),
    rabbit_rig:start(Config, #{}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    ok = rabbit_service:delete(Broker, "presence"),
    host:user_available(?ALICE),
    #{delivered := 1, retried := 1} = rabbit_rig:delivered_all(),
    ?assertMatch(#{<<"presence">> := _}, rabbit_service:exchanges(Broker)),
    ?assertMatch(#{last_cause := <<"404 NOT_FOUND", _/binary>>,
                   receiver := <<"127.0.0.1:", _/binary>>},
                 log_capture:await(event_pusher_retries)).

%% Confirms that it comes back, although nobody waits for answers.
without_confirms_an_exchange_deleted_meanwhile_is_declared_again(Config) ->
    Broker = ?config(broker, Config),
    rabbit_rig:start_with_connection(Config, #{confirms_enabled => false}),
    ok = rabbit_service:await_exchange(Broker, "presence"),
    ok = rabbit_service:delete(Broker, "presence"),
    until_exchange(Broker, <<"presence">>, 100).

%% Whatever is published until then may be lost, as the mode has it.
until_exchange(Broker, Name, Left) when Left > 0 ->
    host:user_available(?ALICE),
    host:user_unavailable(?ALICE, <<>>),
    _ = rabbit_rig:delivered_all(),
    case rabbit_service:exchanges(Broker) of
        #{Name := _} -> ok;
        #{} -> until_exchange(Broker, Name, Left - 1)
    end.

%% Channels

%% Confirms that nothing is lost, repeated or held up, although the broker ends the connection at
%% one channel too many.
a_user_with_few_channels_works_with_those_and_is_told_once(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_rig:user(Broker, "narrow"),
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
    rabbit_rig:start_with_connection(Config, ConnOpts),
    ?assertMatch(#{reason := _}, log_capture:await(event_pusher_connection_limited)),
    rabbit_rig:bind_all(Config),
    [begin
         User = <<"user", (integer_to_binary(N))/binary, "@localhost/phone">>,
         host:user_available(User),
         rabbit_rig:send(<<"chat">>, User, <<"Hi">>),
         rabbit_rig:send(<<"groupchat">>, User, <<"Hi">>)
     end || N <- lists:seq(1, 500)],
    #{accepted := Accepted, retried := 0, connection := #{lost := 0, failed := 0}} =
        rabbit_rig:delivered_all(),
    Accepted = length(rabbit_rig:messages(Accepted, Config)),
    ok = rabbit_service:delete(?config(broker, Config), "presence"),
    host:user_available(?ALICE),
    %% The broker closes the channel on which the exchange is missing. If it was the only one, there is
    %% none to open in its place at once.
    #{connection := #{lost := Lost}} = rabbit_rig:delivered_all(),
    ?assert(Lost =:= 0 orelse Channels =:= 1),
    ?assertEqual([], log_capture:rest(event_pusher_connection_limited)),
    ok = host:stop(),
    ok = rabbit_service:reset(?config(broker, Config)),
    _ = rabbit_service:flush(?config(broker, Config)).

%% Helpers

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
            Messages = [rabbit_rig:message(Config) | rabbit_service:flush(?config(broker, Config))],
            collect(lists:foldl(fun(#{routing_key := Key} = Message, All) ->
                                    Number = binary_to_integer(maps:get(<<"message">>, rabbit_rig:json(Message))),
                                    All#{Key => [Number | maps:get(Key, All, [])]}
                                end, Arrived, Messages), Wanted, Config)
    end.

key(Sender) ->
    [User, _Resource] = binary:split(Sender, <<"/">>),
    <<User/binary, ".chat_msg_sent">>.
