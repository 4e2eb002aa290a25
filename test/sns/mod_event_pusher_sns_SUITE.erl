-module(mod_event_pusher_sns_SUITE).
-moduledoc "The SNS backend against a real SNS service that verifies signatures: what is published, and what it looks like.".

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
         secrets_and_content_reach_no_log/1]).
%% Plugin callbacks
-export([user_guid/1, message_attributes/3, message_attributes/5]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(WAIT, 20000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Names of cases are sentences: at least two blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    sns_rig:start_suite(Config).

end_per_suite(Config) ->
    sns_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    sns_rig:start_case(Config).

end_per_testcase(_Case, Config) ->
    sns_rig:stop_case(Config).

%% Notifications

%% Confirms the JSON of presence, with the bare JID and a boolean.
presence_is_published_as_user_id_and_present(Config) ->
    sns_rig:start(Config, #{}),
    host:user_available(?ALICE),
    ?assertMatch(#{topic := <<"presence">>, attributes := #{},
                   body := <<"{\"user_id\":\"alice@localhost\",\"present\":true}">>},
                 sns_rig:arrived(Config)),
    host:user_unavailable(?ALICE, <<>>),
    ?assertMatch(#{body := <<"{\"user_id\":\"alice@localhost\",\"present\":false}">>},
                 sns_rig:arrived(Config)).

%% Confirms that an absent topic switches presence off, and nothing else.
presence_without_a_topic_is_not_pushed(Config) ->
    sns_rig:start(maps:remove(presence_updates_topic, sns_rig:opts_of(Config))),
    host:user_available(?ALICE),
    host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch(#{topic := <<"pm">>}, sns_rig:arrived(Config)),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms the JSON of a private message.
a_chat_message_is_published_to_the_pm_topic(Config) ->
    sns_rig:start(Config, #{}),
    sns_rig:send(<<"chat">>, <<"Hi, Bob!">>),
    #{topic := Topic, body := Body} = sns_rig:arrived(Config),
    ?assertEqual(<<"pm">>, Topic),
    ?assertEqual(<<"{\"from_user_id\":\"alice@localhost\",\"to_user_id\":\"bob@localhost\","
                   "\"message\":\"Hi, Bob!\"}">>, Body).

%% Confirms the topic of messages to a room.
a_groupchat_message_is_published_to_the_muc_topic(Config) ->
    sns_rig:start(Config, #{}),
    Packet = rig:message(<<"groupchat">>, <<"Hi, all!">>),
    host:send_message(?ALICE, <<"room@muc.localhost">>, Packet),
    #{topic := Topic, body := Body} = sns_rig:arrived(Config),
    ?assertEqual(<<"muc">>, Topic),
    ?assertMatch(#{<<"to_user_id">> := <<"room@muc.localhost">>}, sns_rig:json(Body)).

%% Confirms that headlines, normal messages and errors are skipped.
the_type_attribute_of_the_packet_decides_the_topic(Config) ->
    sns_rig:start(Config, #{}),
    [sns_rig:send(Type, <<"skipped">>) || Type <- [<<"normal">>, <<"headline">>, <<"error">>]],
    sns_rig:send(<<"chat">>, <<"not skipped">>),
    ?assertMatch(#{<<"message">> := <<"not skipped">>}, sns_rig:json(sns_rig:arrived(Config))),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms that only direction `in' is published: the message is seen twice by the server.
a_received_message_is_not_published_again(Config) ->
    sns_rig:start(Config, #{}),
    host:route(?ALICE, ?BOB, rig:message(<<"chat">>, <<"on its way">>)),
    sns_rig:send(<<"chat">>, <<"sent">>),
    ?assertMatch(#{<<"message">> := <<"sent">>}, sns_rig:json(sns_rig:arrived(Config))),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms the difference between no body and an empty one.
a_message_without_body_is_skipped_and_one_with_an_empty_body_is_not(Config) ->
    sns_rig:start(Config, #{}),
    sns_rig:send(<<"chat">>, none),
    sns_rig:send(<<"chat">>, <<>>),
    ?assertMatch(#{<<"message">> := <<>>}, sns_rig:json(sns_rig:arrived(Config))),
    ?assertMatch(#{accepted := 1}, sns_rig:stats()).

%% Confirms it for both kinds of messages.
a_message_without_its_topic_is_skipped(Config) ->
    sns_rig:start(maps:without([pm_messages_topic, muc_messages_topic], sns_rig:opts_of(Config))),
    [sns_rig:send(Type, <<"skipped">>) || Type <- [<<"chat">>, <<"groupchat">>]],
    ?assertMatch(#{accepted := 0}, sns_rig:stats()).

%% Confirms that what a user types is what arrives.
unicode_emoji_and_xml_entities_arrive_unchanged(Config) ->
    sns_rig:start(Config, #{}),
    Text = <<"<b>&amp; \"ЖЁ\" 日本 \x{1F600}\x{1F468}\x{200D}\x{1F469} \\ / \n\t\r ~+%26 =&"/utf8>>,
    sns_rig:send(<<"chat">>, Text),
    ?assertMatch(#{<<"message">> := Text}, sns_rig:json(sns_rig:arrived(Config))).

%% Confirms that a body far bigger than usual gets through.
a_body_of_100_kib_arrives(Config) ->
    sns_rig:start(Config, #{}),
    Text = binary:copy(<<"0123456789abcde\n">>, 6400),
    sns_rig:send(<<"chat">>, Text),
    ?assertMatch(#{<<"message">> := Text}, sns_rig:json(sns_rig:arrived(Config))).

%% Confirms a clear fate in place of a crash, and that nothing else is lost by it.
text_that_is_not_utf8_is_rejected_and_the_next_event_arrives(Config) ->
    sns_rig:start(Config, #{}),
    sns_rig:send(<<"chat">>, <<"broken: ", 255, 254>>),
    ?assertMatch(#{accepted := 1, rejected := 1, waiting := 0}, sns_rig:stats()),
    sns_rig:send(<<"chat">>, <<"whole">>),
    ?assertMatch(#{<<"message">> := <<"whole">>}, sns_rig:json(sns_rig:arrived(Config))),
    ?assertMatch(#{last_cause := <<"text is not UTF-8">>}, log_capture:await(event_pusher_drops)).

%% Confirms that the limit of SNS is kept before anything is sent.
a_message_above_256_kib_is_rejected(Config) ->
    sns_rig:start(Config, #{}),
    sns_rig:send(<<"chat">>, binary:copy(<<"x">>, 256 * 1024)),
    sns_rig:send(<<"chat">>, <<"small">>),
    ?assertMatch(#{<<"message">> := <<"small">>}, sns_rig:json(sns_rig:arrived(Config))),
    ?assertMatch(#{rejected := 1, delivered := 1},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)),
    #{endpoint := Endpoint} = ?config(info, Config),
    ?assertMatch(#{last_cause := <<"message is larger than 256 KiB">>, receiver := Endpoint},
                 log_capture:await(event_pusher_drops)).

%% Plugins

%% Confirms the arguments of all callbacks, and the type of each kind of value.
a_plugin_gives_guids_and_typed_attributes(Config) ->
    sns_rig:start(Config, #{plugin_module => ?MODULE}),
    host:user_available(?ALICE),
    ?assertEqual(#{<<"online">> => {<<"String">>, <<"true">>},
                   <<"arn">> => {<<"String">>,
                                 <<"arn:aws:sns:eu-west-1:123456789012:presence">>}},
                 maps:get(attributes, sns_rig:arrived(Config))),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    #{body := Body, attributes := Attributes} = sns_rig:arrived(Config),
    ?assertMatch(#{<<"from_user_id">> := <<"guid-alice">>, <<"to_user_id">> := <<"guid-bob">>},
                 sns_rig:json(Body)),
    ?assertEqual(#{<<"kind">> => {<<"String">>, <<"pm ЖЁ"/utf8>>},
                   <<"raw">> => {<<"Binary">>, <<0, 255, 1>>},
                   <<"int">> => {<<"Number">>, <<"-42">>},
                   <<"float">> => {<<"Number">>, <<"0.1">>}}, Attributes).

%% Confirms the function of the server's own module, and what it says when there is no pool.
code_of_others_publishes_what_it_wants(Config) ->
    sns_rig:start(Config, #{}),
    Arn = "arn:aws:sns:eu-west-1:123456789012:pm",
    Publish = fun() -> mod_event_pusher_sns:try_publish(?HT, Arn, #{user_id => <<"bob">>},
                                                        #{"kind" => "own"}, 2) end,
    ?assertEqual(scheduled, Publish()),
    #{topic := Topic, body := Body, attributes := Attributes} = sns_rig:arrived(Config),
    ?assertEqual({<<"pm">>, #{<<"user_id">> => <<"bob">>}, #{<<"kind">> => {<<"String">>, <<"own">>}}},
                 {Topic, sns_rig:json(Body), Attributes}),
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
         sns_rig:start(Config, More#{plugin_module => ?MODULE}),
         host:user_available(<<"tell@localhost/phone">>),
         receive {arn, Arn} ->
             ?assertEqual("arn:" ++ Partition ++ ":sns:" ++ Region ++ ":123456789012:presence", Arn)
         after 0 -> ct:fail(no_arn)
         end,
         ok = host:stop()
     end || {More, Region, Partition} <- Opts].

%% Confirms that a plugin which would crash is not called for skipped events.
a_plugin_is_not_asked_where_there_is_nothing_to_send(Config) ->
    sns_rig:start(maps:without([presence_updates_topic],
                       (sns_rig:opts_of(Config))#{plugin_module => ?MODULE})),
    host:user_available(<<"crash@localhost/phone">>),
    host:send_message(<<"crash@localhost/phone">>, ?BOB, rig:message(<<"chat">>, none)),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{topic := <<"pm">>}, sns_rig:arrived(Config)),
    ?assertEqual(none, log_capture:already(event_pusher_event_failed)).

%% Confirms the one log line, and what it does not hold.
a_crashing_plugin_costs_only_its_event_and_logs_no_content(Config) ->
    sns_rig:start(Config, #{plugin_module => ?MODULE}),
    Packet = rig:message(<<"chat">>, <<"a private word">>),
    #{sent := Acc} = host:send_message(<<"crash@localhost/phone">>, ?BOB, Packet),
    ?assertEqual([], mongoose_acc:get(event_pusher, Acc)),
    Line = log_capture:await(event_pusher_event_failed),
    ?assertMatch(#{pool_type := sns, host_type := ?HT, class := error, reason := badmatch}, Line),
    Shown = iolist_to_binary(io_lib:format("~0p", [Line])),
    ?assertEqual(nomatch, binary:match(Shown, [<<"private">>, <<"crash@">>])),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{topic := <<"pm">>}, sns_rig:arrived(Config)).

%% Confirms it for each callback.
a_plugin_result_of_a_wrong_type_costs_only_its_event(Config) ->
    sns_rig:start(Config, #{plugin_module => ?MODULE}),
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
    rig:start_host(#{mod_event_pusher => #{sns => sns_rig:opts_of(Config)},
                         mod_event_pusher_filter => #{}}),
    Before = erlang:system_time(microsecond),
    host:user_available(?ALICE),
    #{attributes := #{<<"session_count">> := Count, <<"timestamp">> := {<<"Number">>, Timestamp}}}
        = sns_rig:arrived(Config),
    ?assertEqual({<<"Number">>, <<"1">>}, Count),
    ?assert(binary_to_integer(Timestamp) >= Before),
    Hint = {xmlel, <<"no-store">>, #{<<"xmlns">> => <<"urn:xmpp:hints">>}, []},
    host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"quiet">>, [Hint])),
    sns_rig:send(<<"chat">>, <<"loud">>),
    ?assertMatch(#{<<"message">> := <<"loud">>}, sns_rig:json(sns_rig:arrived(Config))).

%% Confirms which attributes stay when there are too many, and that the rest is counted.
metadata_fills_up_to_ten_attributes_in_key_order(Config) ->
    sns_rig:start(Config, #{plugin_module => ?MODULE}),
    Keys = [list_to_atom("meta_" ++ [C]) || C <- lists:seq($a, $h)],
    Metadata = maps:from_list([{Key, Key} || Key <- Keys]),
    push(#{metadata => Metadata#{empty => <<>>, kind => <<"of the plugin">>, flag => true, text => <<"ä"/utf8>>, number => 1.5}}),
    #{attributes := Attributes} = sns_rig:arrived(Config),
    Own = [<<"float">>, <<"int">>, <<"kind">>, <<"raw">>],
    ?assertEqual(lists:sort(Own ++ [<<"flag">> | [<<"meta_", C>> || C <- lists:seq($a, $e)]]),
                 lists:sort(maps:keys(Attributes))),
    ?assertMatch(#{<<"flag">> := {<<"String">>, <<"true">>},
                   <<"meta_a">> := {<<"String">>, <<"meta_a">>}}, Attributes),
    %% The empty one, the plugin's kind, three that begin with meta_, number and text.
    ?assertEqual(7, left_out()).

%% Confirms each rule, for a plugin and for metadata, and that the event arrives with the rest.
names_and_values_that_sns_refuses_are_left_out_and_counted(Config) ->
    sns_rig:start(Config, #{plugin_module => ?MODULE}),
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
    #{attributes := Attributes} = sns_rig:arrived(Config),
    ?assertEqual(#{atom_to_binary(Long) => {<<"String">>, <<"v">>},
                   <<"a.b-c_9">> => {<<"String">>, <<"zażółć"/utf8>>},
                   <<"awsome">> => {<<"String">>, <<"~ \x{A0}\x{FFFD}"/utf8>>}},
                 maps:without([<<"kind">>, <<"raw">>, <<"int">>, <<"float">>], Attributes)),
    ?assertEqual(length(Names) + length(Values), left_out()),
    host:send_message(<<"refused@localhost/phone">>, ?BOB, rig:message(<<"chat">>, <<"Hi">>)),
    #{attributes := Own} = sns_rig:arrived(Config),
    ?assertEqual(#{<<"good">> => {<<"String">>, <<"v">>}}, Own),
    ?assertEqual(length(Names) + length(Values) + 7, left_out()).

%% Confirms it for numbers that Erlang would write with an exponent, and the longest that SNS takes.
numbers_travel_as_decimal_digits(Config) ->
    sns_rig:start(Config, #{}),
    Longest = binary:copy(<<"9">>, 38),
    push(#{metadata => #{a => 1000.0, b => 1.0e-7, c => binary_to_integer(Longest), d => 1.0e25}}),
    ?assertEqual(#{<<"a">> => {<<"Number">>, <<"1000.0">>},
                   <<"b">> => {<<"Number">>, <<"0.0000001">>},
                   <<"c">> => {<<"Number">>, Longest},
                   <<"d">> => {<<"Number">>, <<"10000000000000000000000000.0">>}},
                 maps:get(attributes, sns_rig:arrived(Config))).

%% Confirms the one log line, without the value, and that the next event arrives.
metadata_of_a_wrong_type_costs_its_event_and_is_named(Config) ->
    sns_rig:start(Config, #{}),
    push(#{metadata => #{wrong => ["a private word"]}}),
    Line = log_capture:await(event_pusher_event_failed),
    ?assertMatch(#{reason := {bad_value, <<"wrong">>}}, Line),
    ?assertEqual(nomatch, string:find(io_lib:format("~0p", [Line]), "private")),
    push(#{metadata => #{}}),
    ?assertMatch(#{topic := <<"pm">>}, sns_rig:arrived(Config)).

%% FIFO topics and batches

%% Confirms group, distinct deduplication ids and the order of one sender's events.
a_fifo_topic_gets_the_sender_as_group_and_keeps_its_order(Config) ->
    sns_rig:start(Config, #{pm_messages_topic => "pm.fifo"}),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 20)],
    [sns_rig:send(<<"chat">>, Text) || Text <- Texts],
    Messages = sns_service:await_messages(?config(service, Config), 20, ?WAIT),
    ?assertEqual(Texts, [maps:get(<<"message">>, sns_rig:json(Message)) || Message <- Messages]),
    ?assertEqual([<<"alice@localhost">>], lists:usort([Group || #{group := Group} <- Messages])),
    ?assertEqual(20, length(lists:usort([Id || #{deduplication := Id} <- Messages]))).

%% Confirms that all arrive when they had to wait behind one worker.
waiting_events_of_one_topic_travel_together(Config) ->
    sns_rig:start(Config, #{pool_size => 1}),
    Texts = [integer_to_binary(N) || N <- lists:seq(1, 100)],
    [sns_rig:send(<<"chat">>, Text) || Text <- Texts],
    Messages = sns_service:await_messages(?config(service, Config), 100, ?WAIT),
    ?assertEqual(Texts, [maps:get(<<"message">>, sns_rig:json(Message)) || Message <- Messages]),
    ?assertMatch(#{delivered := 100, batch_limit := 10},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)).

%% Logs

%% Confirms it for everything that is logged while a pool works, fails, crashes and is stopped.
secrets_and_content_reach_no_log(Config) ->
    sns_rig:start(Config, #{secret_access_key => "topsecretkey", plugin_module => ?MODULE}),
    [sns_rig:send(<<"chat">>, <<"a private word">>) || _ <- lists:seq(1, 3)],
    ok = host_metrics:await(event_pusher_events, fun() -> sns_rig:total(rejected) =:= 3 end),
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

%% Hands an event with metadata to the handler, as the hook does after a filter.
push(HookAcc) ->
    Event = {chat_event, chat, in, jid:from_binary(?ALICE), jid:from_binary(?BOB),
             rig:message(<<"chat">>, <<"Hi">>)},
    {ok, HookAcc} = mod_event_pusher_sns:push_event(HookAcc, #{event => Event},
                                                    #{host_type => ?HT}).

left_out() ->
    host_metrics:total(event_pusher_sns_dropped_attributes, #{host_type => ?HT}, count).
