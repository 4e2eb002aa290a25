-module(mod_event_pusher_sns_SUITE).
-moduledoc "The SNS backend against a real SNS service that verifies signatures.".

-behaviour(ct_suite).
-behaviour(mod_event_pusher_sns).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([presence_is_published_as_user_id_and_present/1,
         presence_without_a_topic_is_not_pushed/1,
         a_chat_message_is_published_to_the_pm_topic/1,
         a_groupchat_message_is_published_to_the_muc_topic/1,
         the_type_attribute_of_the_packet_decides_the_topic/1,
         a_received_message_is_not_published_again/1,
         a_message_without_body_is_skipped_and_one_with_an_empty_body_is_not/1,
         a_message_without_its_topic_is_skipped/1,
         unicode_emoji_and_xml_entities_arrive_unchanged/1,
         a_body_of_100_kib_arrives/1,
         text_that_is_not_utf8_is_rejected_and_the_next_event_arrives/1,
         a_message_above_256_kib_is_rejected/1,
         a_plugin_gives_guids_and_typed_attributes/1,
         code_of_others_publishes_what_it_wants/1,
         the_partition_of_a_topic_follows_its_region/1,
         a_plugin_is_not_asked_where_there_is_nothing_to_send/1,
         a_crashing_plugin_costs_only_its_event_and_logs_no_content/1,
         a_plugin_result_of_a_wrong_type_costs_only_its_event/1,
         metadata_travels_as_message_attributes/1,
         metadata_fills_up_to_ten_attributes_in_key_order/1,
         names_and_values_that_sns_refuses_are_left_out_and_counted/1,
         numbers_travel_as_decimal_digits/1,
         metadata_of_a_wrong_type_costs_its_event_and_is_named/1,
         a_fifo_topic_gets_the_sender_as_group_and_keeps_its_order/1,
         waiting_events_of_one_topic_travel_together/1,
         a_wrong_secret_is_rejected_and_logged_once/1,
         a_topic_that_is_not_there_is_named_in_the_log/1,
         a_clock_that_is_wrong_is_told/1,
         a_service_without_batches_is_told/1,
         an_unreachable_service_is_retried_then_exhausted/1,
         a_retry_time_of_zero_is_legal/1,
         a_full_queue_drops_new_events_and_blocks_nobody/1,
         a_full_queue_may_drop_the_oldest_events/1,
         what_waits_for_too_long_expires/1,
         two_host_types_use_their_own_credentials/1,
         the_module_starts_and_stops_any_number_of_times/1,
         stopping_drains_what_was_accepted/1,
         stopping_reports_what_it_dropped_at_the_deadline/1,
         unusable_options_stop_the_module_and_are_named/1,
         what_a_killed_owner_had_not_delivered_is_reported/1,
         what_is_delivered_is_measured/1,
         secrets_and_content_reach_no_log/1]).
%% Plugin callbacks
-export([user_guid/1, message_attributes/3, message_attributes/5]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(WAIT, 20000).
-define(LABELS, #{host_type => ?HT, pool_type => sns, pool_tag => pusher_sns}).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Names of cases are sentences: at least two blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    ok = rig:start_application(),
    {ok, Service} = sns_service:start(),
    [sns_service:topic(Service, Topic) || Topic <- ["presence", "pm", "muc", "pm.fifo"]],
    [{service, Service}, {info, sns_service:info(Service)} | Config].

end_per_suite(Config) ->
    sns_service:stop(?config(service, Config)),
    application:stop(event_pusher).

init_per_testcase(_Case, Config) ->
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, Config) ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    _ = sns_service:flush(?config(service, Config)),
    ok = sns_service:clock(?config(service, Config), 0),
    ok = sns_service:unknown(?config(service, Config), []).

%% Notifications

%% Confirms the JSON of presence, with the bare JID and a boolean.
presence_is_published_as_user_id_and_present(Config) ->
    start(Config, #{}),
    host:user_available(?ALICE),
    ?assertMatch(#{topic := <<"presence">>, attributes := #{},
                   body := <<"{\"user_id\":\"alice@localhost\",\"present\":true}">>},
                 arrived(Config)),
    host:user_unavailable(?ALICE, <<>>),
    ?assertMatch(#{body := <<"{\"user_id\":\"alice@localhost\",\"present\":false}">>},
                 arrived(Config)).

%% Confirms that an absent topic switches presence off, and nothing else.
presence_without_a_topic_is_not_pushed(Config) ->
    start(maps:remove(presence_updates_topic, opts(Config))),
    host:user_available(?ALICE),
    host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch(#{topic := <<"pm">>}, arrived(Config)),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms the JSON of a private message.
a_chat_message_is_published_to_the_pm_topic(Config) ->
    start(Config, #{}),
    send(<<"chat">>, <<"Hi, Bob!">>),
    #{topic := Topic, body := Body} = arrived(Config),
    ?assertEqual(<<"pm">>, Topic),
    ?assertEqual(<<"{\"from_user_id\":\"alice@localhost\",\"to_user_id\":\"bob@localhost\","
                   "\"message\":\"Hi, Bob!\"}">>, Body).

%% Confirms the topic of messages to a room.
a_groupchat_message_is_published_to_the_muc_topic(Config) ->
    start(Config, #{}),
    Packet = rig:message(<<"groupchat">>, <<"Hi, all!">>),
    host:send_message(?ALICE, <<"room@muc.localhost">>, Packet),
    #{topic := Topic, body := Body} = arrived(Config),
    ?assertEqual(<<"muc">>, Topic),
    ?assertMatch(#{<<"to_user_id">> := <<"room@muc.localhost">>}, json(Body)).

%% Confirms that headlines, normal messages and errors are skipped.
the_type_attribute_of_the_packet_decides_the_topic(Config) ->
    start(Config, #{}),
    [send(Type, <<"skipped">>) || Type <- [<<"normal">>, <<"headline">>, <<"error">>]],
    send(<<"chat">>, <<"not skipped">>),
    ?assertMatch(#{<<"message">> := <<"not skipped">>}, json(arrived(Config))),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms that only direction `in' is published: the message is seen twice by the server.
a_received_message_is_not_published_again(Config) ->
    start(Config, #{}),
    host:route(?ALICE, ?BOB, rig:message(<<"chat">>, <<"on its way">>)),
    send(<<"chat">>, <<"sent">>),
    ?assertMatch(#{<<"message">> := <<"sent">>}, json(arrived(Config))),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms the difference between no body and an empty one.
a_message_without_body_is_skipped_and_one_with_an_empty_body_is_not(Config) ->
    start(Config, #{}),
    send(<<"chat">>, none),
    send(<<"chat">>, <<>>),
    ?assertMatch(#{<<"message">> := <<>>}, json(arrived(Config))),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms it for both kinds of messages.
a_message_without_its_topic_is_skipped(Config) ->
    start(maps:without([pm_messages_topic, muc_messages_topic], opts(Config))),
    [send(Type, <<"skipped">>) || Type <- [<<"chat">>, <<"groupchat">>]],
    ?assertMatch(#{accepted := 0}, sns_rig:stats()).

%% Confirms that what a user types is what arrives.
unicode_emoji_and_xml_entities_arrive_unchanged(Config) ->
    start(Config, #{}),
    Text = <<"<b>&amp; \"ЖЁ\" 日本 \x{1F600}\x{1F468}\x{200D}\x{1F469} \\ / \n\t\r ~+%26 =&"/utf8>>,
    send(<<"chat">>, Text),
    ?assertMatch(#{<<"message">> := Text}, json(arrived(Config))).

%% Confirms that a body far bigger than usual gets through.
a_body_of_100_kib_arrives(Config) ->
    start(Config, #{}),
    Text = binary:copy(<<"0123456789abcde\n">>, 6400),
    send(<<"chat">>, Text),
    ?assertMatch(#{<<"message">> := Text}, json(arrived(Config))).

%% Confirms a clear fate in place of a crash, and that nothing else is lost by it.
text_that_is_not_utf8_is_rejected_and_the_next_event_arrives(Config) ->
    start(Config, #{}),
    send(<<"chat">>, <<"broken: ", 255, 254>>),
    ?assertMatch(#{accepted := 1, rejected := 1, waiting := 0}, sns_rig:stats()),
    send(<<"chat">>, <<"whole">>),
    ?assertMatch(#{<<"message">> := <<"whole">>}, json(arrived(Config))),
    ?assertMatch(#{last_cause := <<"text is not UTF-8">>}, log_capture:await(event_pusher_drops)).

%% Confirms that the limit of SNS is kept before anything is sent.
a_message_above_256_kib_is_rejected(Config) ->
    start(Config, #{}),
    send(<<"chat">>, binary:copy(<<"x">>, 256 * 1024)),
    send(<<"chat">>, <<"small">>),
    ?assertMatch(#{<<"message">> := <<"small">>}, json(arrived(Config))),
    ?assertMatch(#{rejected := 1, delivered := 1},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)),
    #{endpoint := Endpoint} = ?config(info, Config),
    ?assertMatch(#{last_cause := <<"message is larger than 256 KiB">>, receiver := Endpoint},
                 log_capture:await(event_pusher_drops)).

%% Plugins

%% Confirms the arguments of all callbacks, and the type of each kind of value.
a_plugin_gives_guids_and_typed_attributes(Config) ->
    start(Config, #{plugin_module => ?MODULE}),
    host:user_available(?ALICE),
    ?assertEqual(#{<<"online">> => {<<"String">>, <<"true">>},
                   <<"arn">> => {<<"String">>,
                                 <<"arn:aws:sns:eu-west-1:123456789012:presence">>}},
                 maps:get(attributes, arrived(Config))),
    send(<<"chat">>, <<"Hi">>),
    #{body := Body, attributes := Attributes} = arrived(Config),
    ?assertMatch(#{<<"from_user_id">> := <<"guid-alice">>, <<"to_user_id">> := <<"guid-bob">>},
                 json(Body)),
    ?assertEqual(#{<<"kind">> => {<<"String">>, <<"pm ЖЁ"/utf8>>},
                   <<"raw">> => {<<"Binary">>, <<0, 255, 1>>},
                   <<"int">> => {<<"Number">>, <<"-42">>},
                   <<"float">> => {<<"Number">>, <<"0.1">>}}, Attributes).

%% Confirms the function of the server's own module, and what it says when there is no pool.
code_of_others_publishes_what_it_wants(Config) ->
    start(Config, #{}),
    Arn = "arn:aws:sns:eu-west-1:123456789012:pm",
    Publish = fun() -> mod_event_pusher_sns:try_publish(?HT, Arn, #{user_id => <<"bob">>},
                                                        #{"kind" => "own"}, 2) end,
    ?assertEqual(scheduled, Publish()),
    #{topic := Topic, body := Body, attributes := Attributes} = arrived(Config),
    ?assertEqual({<<"pm">>, #{<<"user_id">> => <<"bob">>}, #{<<"kind">> => {<<"String">>, <<"own">>}}},
                 {Topic, json(Body), Attributes}),
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    ?assertEqual(dropped, Publish()).

%% Confirms the ARN that a plugin gets, and that the option goes before the table; what the service
%% makes of it does not matter here.
the_partition_of_a_topic_follows_its_region(Config) ->
    register(?MODULE, self()),
    Table = [{"eu-west-1", "aws"}, {"us-east-1", "aws"}, {"cn-north-1", "aws-cn"},
             {"us-gov-west-1", "aws-us-gov"}, {"us-iso-east-1", "aws-iso"},
             {"us-isob-east-1", "aws-iso-b"}, {"eu-isoe-west-1", "aws-iso-e"},
             {"us-isof-south-1", "aws-iso-f"}, {"eusc-de-east-1", "aws-eusc"}],
    Opts = [{#{region => Region}, Region, Partition} || {Region, Partition} <- Table]
        ++ [{#{region => "mars-east-1", partition => "aws-mars"}, "mars-east-1", "aws-mars"}],
    [begin
         start(Config, More#{plugin_module => ?MODULE}),
         host:user_available(<<"tell@localhost/phone">>),
         receive {arn, Arn} ->
             ?assertEqual("arn:" ++ Partition ++ ":sns:" ++ Region ++ ":123456789012:presence", Arn)
         after 0 -> ct:fail(no_arn)
         end,
         ok = host:stop()
     end || {More, Region, Partition} <- Opts].

%% Confirms that a plugin which would crash is not called for skipped events.
a_plugin_is_not_asked_where_there_is_nothing_to_send(Config) ->
    start(maps:without([presence_updates_topic],
                       (opts(Config))#{plugin_module => ?MODULE})),
    host:user_available(<<"crash@localhost/phone">>),
    host:send_message(<<"crash@localhost/phone">>, ?BOB, rig:message(<<"chat">>, none)),
    send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{topic := <<"pm">>}, arrived(Config)),
    ?assertEqual(none, log_capture:already(event_pusher_event_failed)).

%% Confirms the one log line, and what it does not hold.
a_crashing_plugin_costs_only_its_event_and_logs_no_content(Config) ->
    start(Config, #{plugin_module => ?MODULE}),
    Packet = rig:message(<<"chat">>, <<"a private word">>),
    #{sent := Acc} = host:send_message(<<"crash@localhost/phone">>, ?BOB, Packet),
    ?assertEqual([], mongoose_acc:get(event_pusher, Acc)),
    Line = log_capture:await(event_pusher_event_failed),
    ?assertMatch(#{pool_type := sns, host_type := ?HT, class := error, reason := badmatch}, Line),
    Shown = iolist_to_binary(io_lib:format("~0p", [Line])),
    ?assertEqual(nomatch, binary:match(Shown, [<<"private">>, <<"crash@">>])),
    send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{topic := <<"pm">>}, arrived(Config)).

%% Confirms it for each callback.
a_plugin_result_of_a_wrong_type_costs_only_its_event(Config) ->
    start(Config, #{plugin_module => ?MODULE}),
    host:send_message(<<"noguid@localhost/phone">>, ?BOB, rig:message(<<"chat">>, <<"1">>)),
    ?assertMatch(#{reason := {bad_plugin_result, user_guid}}, log_capture:await(event_pusher_event_failed)),
    [begin
         host:send_message(<<User/binary, "@localhost/phone">>, ?BOB,
                           rig:message(<<"chat">>, <<"2">>)),
         ?assertMatch(#{reason := {bad_plugin_result, message_attributes}},
                      log_capture:await(event_pusher_event_failed))
     end || User <- [<<"nomap">>, <<"badkey">>, <<"badvalue">>, <<"badstring">>]],
    ?assertMatch(#{accepted := 0}, sns_rig:stats()).

%% Metadata

%% Confirms it with the filter of the examples, and that it drops events, too.
metadata_travels_as_message_attributes(Config) ->
    rig:start_host(#{mod_event_pusher => #{sns => opts(Config)},
                         mod_event_pusher_filter => #{}}),
    Before = erlang:system_time(microsecond),
    host:user_available(?ALICE),
    #{attributes := #{<<"session_count">> := Count, <<"timestamp">> := {<<"Number">>, Timestamp}}}
        = arrived(Config),
    ?assertEqual({<<"Number">>, <<"1">>}, Count),
    ?assert(binary_to_integer(Timestamp) >= Before),
    Hint = {xmlel, <<"no-store">>, #{<<"xmlns">> => <<"urn:xmpp:hints">>}, []},
    host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"quiet">>, [Hint])),
    send(<<"chat">>, <<"loud">>),
    ?assertMatch(#{<<"message">> := <<"loud">>}, json(arrived(Config))).

%% Confirms which attributes stay when there are too many, and that the rest is counted.
metadata_fills_up_to_ten_attributes_in_key_order(Config) ->
    start(Config, #{plugin_module => ?MODULE}),
    Keys = [list_to_atom("meta_" ++ [C]) || C <- lists:seq($a, $h)],
    Metadata = maps:from_list([{Key, Key} || Key <- Keys]),
    push(#{metadata => Metadata#{empty => <<>>, kind => <<"of the plugin">>, flag => true, text => <<"ä"/utf8>>, number => 1.5}}),
    #{attributes := Attributes} = arrived(Config),
    Own = [<<"float">>, <<"int">>, <<"kind">>, <<"raw">>],
    ?assertEqual(lists:sort(Own ++ [<<"flag">> | [<<"meta_", C>> || C <- lists:seq($a, $e)]]),
                 lists:sort(maps:keys(Attributes))),
    ?assertMatch(#{<<"flag">> := {<<"String">>, <<"true">>},
                   <<"meta_a">> := {<<"String">>, <<"meta_a">>}}, Attributes),
    %% The empty one, the plugin's kind, three that begin with meta_, number and text.
    ?assertEqual(7, left_out()).

%% Confirms each rule, for a plugin and for metadata, and that the event arrives with the rest.
names_and_values_that_sns_refuses_are_left_out_and_counted(Config) ->
    start(Config, #{plugin_module => ?MODULE}),
    Long = list_to_atom(lists:duplicate(255, $n)),
    Names = ['trace:id', 'aws.request', 'AWS.x', 'Amazon.x', '.dot', 'dot.', 'a..b', 'zażółć', '',
             'a b'],
    Values = [<<>>, '', <<"tab\t">>, <<"line\n">>, <<0>>, <<127>>, <<"\x{1F600}"/utf8>>,
              <<16#EF, 16#BF, 16#BE>>, <<255>>, 1 bsl 127, 1.0e126, 1.0e-129],
    Metadata = maps:from_list([{Name, <<"v">>} || Name <- Names]
                              ++ [{list_to_atom("value_" ++ [$a + N]), Value}
                                  || {N, Value} <- lists:enumerate(Values)]),
    Kept = #{Long => <<"v">>, 'a.b-c_9' => 'zażółć', awsome => <<"~ \x{A0}\x{FFFD}"/utf8>>},
    push(#{metadata => maps:merge(Metadata, Kept)}),
    #{attributes := Attributes} = arrived(Config),
    ?assertEqual(#{atom_to_binary(Long) => {<<"String">>, <<"v">>},
                   <<"a.b-c_9">> => {<<"String">>, <<"zażółć"/utf8>>},
                   <<"awsome">> => {<<"String">>, <<"~ \x{A0}\x{FFFD}"/utf8>>}},
                 maps:without([<<"kind">>, <<"raw">>, <<"int">>, <<"float">>], Attributes)),
    ?assertEqual(length(Names) + length(Values), left_out()),
    host:send_message(<<"refused@localhost/phone">>, ?BOB, rig:message(<<"chat">>, <<"Hi">>)),
    #{attributes := Own} = arrived(Config),
    ?assertEqual(#{<<"good">> => {<<"String">>, <<"v">>}}, Own),
    ?assertEqual(length(Names) + length(Values) + 7, left_out()).

%% Confirms it for numbers that Erlang would write with an exponent, and the longest that SNS takes.
numbers_travel_as_decimal_digits(Config) ->
    start(Config, #{}),
    Longest = binary:copy(<<"9">>, 38),
    push(#{metadata => #{a => 1000.0, b => 1.0e-7, c => binary_to_integer(Longest), d => 1.0e25}}),
    ?assertEqual(#{<<"a">> => {<<"Number">>, <<"1000.0">>},
                   <<"b">> => {<<"Number">>, <<"0.0000001">>},
                   <<"c">> => {<<"Number">>, Longest},
                   <<"d">> => {<<"Number">>, <<"10000000000000000000000000.0">>}},
                 maps:get(attributes, arrived(Config))).

%% Confirms the one log line, without the value, and that the next event arrives.
metadata_of_a_wrong_type_costs_its_event_and_is_named(Config) ->
    start(Config, #{}),
    push(#{metadata => #{wrong => ["a private word"]}}),
    Line = log_capture:await(event_pusher_event_failed),
    ?assertMatch(#{reason := {bad_value, <<"wrong">>}}, Line),
    ?assertEqual(nomatch, string:find(io_lib:format("~0p", [Line]), "private")),
    push(#{metadata => #{}}),
    ?assertMatch(#{topic := <<"pm">>}, arrived(Config)).

%% FIFO topics and batches

%% Confirms group, distinct deduplication ids and the order of one sender's events.
a_fifo_topic_gets_the_sender_as_group_and_keeps_its_order(Config) ->
    start(Config, #{pm_messages_topic => "pm.fifo"}),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 20)],
    [send(<<"chat">>, Text) || Text <- Texts],
    Messages = sns_service:await_messages(?config(service, Config), 20, ?WAIT),
    ?assertEqual(Texts, [maps:get(<<"message">>, json(Message)) || Message <- Messages]),
    ?assertEqual([<<"alice@localhost">>], lists:usort([Group || #{group := Group} <- Messages])),
    ?assertEqual(20, length(lists:usort([Id || #{deduplication := Id} <- Messages]))).

%% Confirms that all arrive when they had to wait behind one worker.
waiting_events_of_one_topic_travel_together(Config) ->
    start(Config, #{pool_size => 1}),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 100)],
    [send(<<"chat">>, Text) || Text <- Texts],
    Messages = sns_service:await_messages(?config(service, Config), 100, ?WAIT),
    ?assertEqual(Texts, [maps:get(<<"message">>, json(Message)) || Message <- Messages]),
    ?assertMatch(#{delivered := 100, batch_limit := 10},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)).

%% Failures

%% Confirms that it is classified as permanent: no retry, and one line for many events.
a_wrong_secret_is_rejected_and_logged_once(Config) ->
    start(Config, #{secret_access_key => "wrong"}),
    [send(<<"chat">>, <<"a private word">>) || _ <- lists:seq(1, 10)],
    ?assertMatch(#{rejected := 10, retried := 0, delivered := 0},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)),
    ok = host_metrics:await(event_pusher_events, fun() -> total(rejected) =:= 10 end),
    Lines = [log_capture:await(event_pusher_drops) | log_capture:rest(event_pusher_drops)],
    ?assertEqual(10, lists:sum([Count || #{count := Count} <- Lines])),
    ?assertMatch([#{reason := rejected,
                    last_cause := <<"403 SignatureDoesNotMatch: secret_access_key ", _/binary>>} | _],
                 Lines),
    ?assert(length(Lines) < 10),
    ?assertEqual([0, 0, 0, 1], pools_by_state()),
    {ok, #{status := Status}} = event_pusher:stats({sns, ?HT}),
    ?assertMatch(#{state := refused, last_success_ms := none,
                   cause := <<"403 SignatureDoesNotMatch", _/binary>>,
                   last_error := #{cause := <<"403 SignatureDoesNotMatch", _/binary>>}}, Status).

%% Confirms that a wrong name, account or region can be seen.
a_topic_that_is_not_there_is_named_in_the_log(Config) ->
    start(Config, #{pm_messages_topic => "nowhere"}),
    send(<<"chat">>, <<"Hi">>),
    #{last_cause := Cause} = log_capture:await(event_pusher_drops),
    ?assertMatch({_, _}, binary:match(Cause, <<"arn:aws:sns:eu-west-1:123456789012:nowhere">>)).

%% Confirms the line, and that the event arrives all the same.
a_clock_that_is_wrong_is_told(Config) ->
    ok = sns_service:clock(?config(service, Config), -1200),
    start(Config, #{}),
    send(<<"chat">>, <<"Hi">>),
    _ = arrived(Config),
    #{receiver_ahead_s := Ahead, text := Text} = log_capture:await(event_pusher_clock),
    ?assertMatch(<<"The clock", _/binary>>, Text),
    ?assert(abs(Ahead + 1200) < 60),
    ?assertEqual([], log_capture:rest(event_pusher_clock)).

%% Confirms the line, and that no event is lost.
a_service_without_batches_is_told(Config) ->
    ok = sns_service:unknown(?config(service, Config), ["PublishBatch"]),
    start(Config, #{pool_size => 1}),
    [send(<<"chat">>, integer_to_binary(N)) || N <- lists:seq(1, 50)],
    ?assertEqual(50, length(sns_service:await_messages(?config(service, Config), 50, ?WAIT))),
    ?assertMatch(#{text := <<"The endpoint has no PublishBatch", _/binary>>},
                 log_capture:await(event_pusher_batching_off)),
    ?assertEqual([], log_capture:rest(event_pusher_batching_off)).

%% Confirms the number of attempts against a port where nobody listens.
an_unreachable_service_is_retried_then_exhausted(Config) ->
    start(Config, #{sns_host => "http://127.0.0.1:" ++ integer_to_list(rig:free_port()),
                    publish_retry_count => 3, publish_retry_time_ms => 1}),
    send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{exhausted := 1, retried := 3},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)),
    #{last_cause := Cause} = log_capture:await(event_pusher_drops),
    ?assertMatch({_, _}, binary:match(Cause, <<"refused">>)).

%% Confirms that it crashes nothing.
a_retry_time_of_zero_is_legal(Config) ->
    start(Config, #{sns_host => "http://127.0.0.1:" ++ integer_to_list(rig:free_port()),
                    publish_retry_time_ms => 0}),
    send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{exhausted := 1, retried := 2},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)).

%% Confirms that the chat goes on behind a service that never answers, and that all is counted: if
%% one event waited for the service, this case would never end.
a_full_queue_drops_new_events_and_blocks_nobody(Config) ->
    {Listen, Host} = rig:silent_server(),
    start(Config, #{sns_host => Host, pool_size => 1,
                    queue => #{max_events => 5, drain_timeout_ms => 0}}),
    send(<<"chat">>, <<"in flight">>),
    sns_rig:await_stats(fun(#{queue_events := Events}) -> Events =:= 0 end),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 100)],
    ?assertMatch(#{accepted := 6, refused_full := 95, queue_events := 5, in_flight := 1},
                 sns_rig:stats()),
    ok = host_metrics:await(event_pusher_events, fun() -> total(full) =:= 95 end),
    ?assertMatch(#{reason := full}, log_capture:await(event_pusher_drops)),
    gen_tcp:close(Listen).

%% Confirms the number of them and the metric, which is the sum of both kinds.
a_full_queue_may_drop_the_oldest_events(Config) ->
    {Listen, Host} = rig:silent_server(),
    start(Config, #{sns_host => Host, pool_size => 1,
                    queue => #{max_events => 5, on_full => drop_old, drain_timeout_ms => 0}}),
    send(<<"chat">>, <<"in flight">>),
    sns_rig:await_stats(fun(#{queue_events := Events}) -> Events =:= 0 end),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 100)],
    #{accepted := Accepted, full := Dropped, refused_full := Refused} = Stats = sns_rig:stats(),
    ?assertMatch(#{queue_events := 5, in_flight := 1}, Stats),
    %% Whoever reads the levels at the same time can make a new one be refused.
    ?assertEqual({101, 95}, {Accepted + Refused, Dropped + Refused}),
    ?assert(Dropped > 0),
    ok = host_metrics:await(event_pusher_events, fun() -> total(full) =:= 95 end),
    ?assertMatch(#{reason := full, last_cause := <<"queue is full">>},
                 log_capture:await(event_pusher_drops)),
    gen_tcp:close(Listen).

%% Confirms the count, the metric and the line in the log.
what_waits_for_too_long_expires(Config) ->
    {Listen, Host} = rig:silent_server(),
    start(Config, #{sns_host => Host, pool_size => 1,
                    queue => #{max_age_ms => 100, drain_timeout_ms => 0}}),
    send(<<"chat">>, <<"in flight">>),
    sns_rig:await_stats(fun(#{queue_events := Events}) -> Events =:= 0 end),
    [send(<<"chat">>, <<"Hi">>) || _ <- [1, 2]],
    ok = host_metrics:await(event_pusher_events, fun() -> total(expired) =:= 2 end),
    ?assertMatch(#{reason := expired, last_cause := <<"waited longer than queue.max_age_ms">>},
                 log_capture:await(event_pusher_drops)),
    ?assertMatch(#{accepted := 3, expired := 2, in_flight := 1, queue_events := 0},
                 sns_rig:stats()),
    gen_tcp:close(Listen).

%% Start and stop

%% Confirms that each host type signs with its own key.
two_host_types_use_their_own_credentials(Config) ->
    Service = ?config(service, Config),
    #{access_key_id := KeyId, secret_access_key := Secret} = sns_service:user(Service, "second"),
    Opts = opts(Config),
    Second = Opts#{access_key_id => binary_to_list(KeyId),
                   secret_access_key => binary_to_list(Secret)},
    Third = Opts#{access_key_id => binary_to_list(KeyId)},
    {module, _} = code:ensure_loaded(mod_event_pusher_sns),
    host:start(maps:from_list([{HostType, #{mod_event_pusher => #{sns => SnsOpts}}}
                               || {HostType, SnsOpts} <- [{<<"one">>, Opts}, {<<"two">>, Second},
                                                          {<<"mixed">>, Third}]])),
    [host:user_available(<<"alice@", HostType/binary, "/phone">>)
     || HostType <- [<<"one">>, <<"two">>, <<"mixed">>]],
    Messages = sns_service:await_messages(Service, 2, ?WAIT),
    ?assertEqual([<<"alice@one">>, <<"alice@two">>],
                 lists:sort([maps:get(<<"user_id">>, json(Message)) || Message <- Messages])),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        maps:get(rejected, rig:stats({sns, <<"mixed">>})) =:= 1
    end).

%% Confirms that nothing is left behind by a stop.
the_module_starts_and_stops_any_number_of_times(Config) ->
    start(Config, #{}),
    Opts = opts(Config),
    [begin
         {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
         ?assertEqual({error, closed}, event_pusher:stats({sns, ?HT})),
         {started, ok} = mongoose_modules:ensure_started(?HT, mod_event_pusher_sns, Opts)
     end || _ <- lists:seq(1, 10)],
    send(<<"chat">>, <<"still here">>),
    ?assertMatch(#{<<"message">> := <<"still here">>}, json(arrived(Config))).

%% Confirms that stop/1 waits for what was accepted.
stopping_drains_what_was_accepted(Config) ->
    start(Config, #{pool_size => 2, queue => #{drain_timeout_ms => ?WAIT}}),
    [send(<<"chat">>, integer_to_binary(N)) || N <- lists:seq(1, 50)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    ?assertEqual(50, total(delivered)),
    ?assertEqual(50, length(sns_service:await_messages(?config(service, Config), 50, ?WAIT))).

%% Confirms the deadline, the metric and the log line.
stopping_reports_what_it_dropped_at_the_deadline(Config) ->
    {Listen, Host} = rig:silent_server(),
    start(Config, #{sns_host => Host, pool_size => 1, queue => #{drain_timeout_ms => 50}}),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 7)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    ?assertEqual(7, total(closed)),
    ?assertMatch(#{reason := closed, count := 7}, log_capture:await(event_pusher_drops)),
    gen_tcp:close(Listen).

%% Confirms that all complaints come at once and that the secret is not among them.
unusable_options_stop_the_module_and_are_named(Config) ->
    start(Config, #{}),
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    Bad = (opts(Config))#{sns_host => "https://user:a b@x", region => "", account_id => "12 34",
                          pm_messages_topic => "arn:aws:sns:eu-west-1:123456789012:pm",
                          secret_access_key => "a b"},
    try mongoose_modules:ensure_started(?HT, mod_event_pusher_sns, Bad) of
        Started -> ct:fail({started, Started})
    catch
        error:#{what := event_pusher_pool_not_started, reason := Complaints} ->
            ?assertMatch([<<"sns_host: ", _/binary>>, <<"region: ", _/binary>>,
                          <<"account_id: ", _/binary>>, <<"pm_messages_topic: ", _/binary>>,
                          <<"secret_access_key: ", _/binary>>], Complaints),
            ?assertEqual(nomatch, binary:match(iolist_to_binary(Complaints), <<"a b">>))
    end.

%% Confirms that no event is lost silently with its owner, and that the next owner goes on.
what_a_killed_owner_had_not_delivered_is_reported(Config) ->
    {Listen, Host} = rig:silent_server(),
    start(Config, #{sns_host => Host, pool_size => 1, queue => #{drain_timeout_ms => 0}}),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 5)],
    [Owner] = event_pusher_sup:owners([{sns, ?HT}]),
    exit(Owner, kill),
    ?assertMatch(#{reason := closed, count := 5}, log_capture:await(event_pusher_drops)),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        maps:get(accepted, sns_rig:stats()) =:= 0
    end),
    ?assertEqual(5, total(closed)),
    gen_tcp:close(Listen).

%% Metrics and logs

%% Confirms counters, times and levels.
what_is_delivered_is_measured(Config) ->
    start(Config, #{}),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 3)],
    ok = host_metrics:await(event_pusher_events, fun() -> total(delivered) =:= 3 end),
    Times = host_metrics:values(event_pusher_events, ?LABELS, time),
    ?assertEqual(3, length(Times)),
    ?assert(lists:all(fun(Time) -> Time > 0 end, Times)),
    ?assertEqual(3, length(host_metrics:values(event_pusher_events, ?LABELS, attempt_time))),
    [?assertEqual(0, host_metrics:gauge(event_pusher_queue, ?LABELS, Level))
     || Level <- [events, bytes, in_flight, oldest_ms]],
    ?assertEqual([0, 1, 0, 0], pools_by_state()).

pools_by_state() ->
    [host_metrics:gauge(event_pusher_status, ?LABELS, State)
     || State <- [connecting, connected, degraded, refused]].

%% Confirms it for everything that is logged while a pool works, fails, crashes and is stopped.
secrets_and_content_reach_no_log(Config) ->
    start(Config, #{secret_access_key => "topsecretkey", plugin_module => ?MODULE}),
    [send(<<"chat">>, <<"a private word">>) || _ <- lists:seq(1, 3)],
    ok = host_metrics:await(event_pusher_events, fun() -> total(rejected) =:= 3 end),
    [Owner] = event_pusher_sup:owners([{sns, ?HT}]),
    Monitor = monitor(process, Owner),
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, _} -> ok end,
    ok = host:stop(),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertMatch({_, _}, binary:match(Logged, <<"event_pusher_drops">>)),
    ?assertEqual(nomatch, binary:match(Logged, [<<"topsecretkey">>, <<"private">>])).

%% The plugin of some cases

user_guid({jid, <<"crash">>, _, _} = Jid) ->
    {private_matter, _} = Jid;
user_guid({jid, <<"noguid">>, _, _}) ->
    "a list";
user_guid({jid, User, _, _}) ->
    <<"guid-", User/binary>>.

message_attributes(TopicArn, {jid, <<"tell">>, _, _}, _IsOnline) ->
    ?MODULE ! {arn, TopicArn},
    #{};
message_attributes(TopicArn, {jid, _, _, _}, IsOnline) ->
    #{"online" => atom_to_list(IsOnline), "arn" => TopicArn}.

message_attributes(_Arn, {jid, <<"refused">>, _, _}, _To, _Kind, _Packet) ->
    #{"good" => "v", "trace:id" => "v", "empty" => "", "raw" => <<>>, "emoji" => [16#1F600],
      "tab" => "\t", "long" => 1 bsl 127, lists:duplicate(257, $n) => "v"};
message_attributes(_Arn, {jid, <<"nomap">>, _, _}, _To, _Kind, _Packet) -> [];
message_attributes(_Arn, {jid, <<"badkey">>, _, _}, _To, _Kind, _Packet) -> #{atom => "a"};
message_attributes(_Arn, {jid, <<"badvalue">>, _, _}, _To, _Kind, _Packet) -> #{"a" => atom};
message_attributes(_Arn, {jid, <<"badstring">>, _, _}, _To, _Kind, _Packet) -> #{"a" => [foo]};
message_attributes("arn:aws:sns:" ++ _, {jid, _, _, _}, {jid, _, _, _}, Kind, Packet) ->
    <<"message">> = element(2, Packet),
    #{"kind" => atom_to_list(Kind) ++ " ЖЁ", "raw" => <<0, 255, 1>>, "int" => -42, "float" => 0.1}.

%% Helpers

opts(Config) ->
    sns_rig:opts(?config(info, Config)).

start(Config, More) ->
    start(maps:merge(opts(Config), More)).

start(Opts) ->
    sns_rig:start_host(Opts).

send(Type, Body) ->
    host:send_message(?ALICE, ?BOB, rig:message(Type, Body)).

%% Hands an event with metadata to the handler, as the hook does after a filter.
push(HookAcc) ->
    Event = {chat_event, chat, in, jid:from_binary(?ALICE), jid:from_binary(?BOB),
             rig:message(<<"chat">>, <<"Hi">>)},
    {ok, HookAcc} = mod_event_pusher_sns:push_event(HookAcc, #{event => Event},
                                                    #{host_type => ?HT}).

arrived(Config) ->
    {ok, Message} = sns_service:await_message(?config(service, Config), ?WAIT),
    Message.

json(#{body := Body}) -> json(Body);
json(Body) -> jiffy:decode(Body, [return_maps]).

left_out() ->
    host_metrics:total(event_pusher_sns_dropped_attributes, #{host_type => ?HT}, count).

total(Metric) ->
    host_metrics:total(event_pusher_events, ?LABELS, Metric).
