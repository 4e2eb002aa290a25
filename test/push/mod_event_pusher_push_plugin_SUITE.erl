-module(mod_event_pusher_push_plugin_SUITE).
-moduledoc "What the plugins publish where, with custom ones.".

-behaviour(ct_suite).
-behaviour(mod_event_pusher_push_plugin).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2,
         end_per_testcase/2]).
%% The default plugin
-export([a_notification_has_count_sender_and_text_in_this_order/1,
         a_message_without_text_is_skipped/1,
         a_message_in_a_room_names_the_room_and_who_speaks/1,
         who_speaks_in_a_room_is_not_notified_of_it/1,
         an_unacknowledged_message_is_not_for_the_default_plugin/1,
         a_later_event_of_the_same_stanza_is_not_published_again/1,
         a_service_that_a_full_queue_refused_gets_a_later_event/1]).
%% The enhanced plugin
-export([an_unacknowledged_message_goes_to_the_registration_of_its_session/1,
         an_unacknowledged_message_that_was_published_is_not_published_again/1,
         a_session_without_a_registration_of_its_own_gets_nothing/1,
         an_unacknowledged_message_that_comes_again_goes_to_the_other_registrations/1,
         the_enhanced_plugin_notifies_users_who_are_offline/1,
         a_normal_message_names_its_bare_sender_and_an_error_is_skipped/1]).
%% The plugin for hints
-export([hints_decide_whether_there_is_a_notification/1,
         hints_decide_about_unacknowledged_messages_too/1]).
%% Custom plugins
-export([a_plugin_may_only_write_the_payload/1,
         the_example_tells_who_wrote_but_not_what/1,
         a_plugin_may_only_choose_the_services/1,
         a_plugin_may_only_publish/1,
         a_plugin_may_only_say_which_events_cannot_be_published/1,
         a_plugin_may_do_all_of_it/1,
         a_plugin_that_cannot_be_loaded_stops_the_start_and_leaves_nothing_behind/1,
         a_crashing_plugin_costs_only_its_event_and_logs_no_content/1,
         a_result_of_a_wrong_type_costs_only_its_event_and_logs_no_content/1]).
%% Plugin callbacks
-export([may_publish/2, prepare_notification/2, should_publish/3, publish_notification/4]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("mod_event_pusher_events.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(BOB_BARE, <<"bob@localhost">>).
-define(BOBS_PHONE, <<"bob@localhost/phone">>).
-define(ROOM, <<"garden@muc.localhost/Alice">>).
-define(SERVICE, <<"push.example">>).
-define(HINTS, <<"urn:xmpp:hints">>).
-define(CALLS, <<"urn:xmpp:jingle-message:0">>).

all() ->
    push_rig:cases(?MODULE).

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    push_rig:start_suite(Config).

end_per_suite(Config) ->
    push_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    push_rig:stop_host().

%% The default plugin

%% Confirms names, values and order; the count is one where the server has no inbox.
a_notification_has_count_sender_and_text_in_this_order(_Config) ->
    start(#{}),
    push_rig:enable(?BOB, ?SERVICE),
    send(<<"Hi, Bob!">>),
    ?assertEqual({<<"node">>, [{<<"message-count">>, <<"1">>},
                               {<<"last-message-sender">>, <<"alice@localhost">>},
                               {<<"last-message-body">>, <<"Hi, Bob!">>}]}, push_rig:published()).

%% Confirms it for no body and an empty one, and that the storage is not asked.
a_message_without_text_is_skipped(_Config) ->
    start(#{}),
    push_rig:enable(?BOB, ?SERVICE),
    [send(<<"chat">>, Body, []) || Body <- [none, <<>>]],
    ?assertEqual(0, push_rig:storage_calls(get_publish_services)),
    push_rig:no_notification(),
    ?assertMatch(#{accepted := 0}, push_rig:stats()).

%% Confirms it through the hooks that a message of a room runs.
a_message_in_a_room_names_the_room_and_who_speaks(_Config) ->
    start(#{}),
    push_rig:enable(?BOB, ?SERVICE),
    host:route(?ROOM, ?BOB, rig:message(<<"groupchat">>, <<"Hi, all!">>)),
    {_Node, Fields} = push_rig:published(),
    ?assertEqual({<<"last-message-sender">>, ?ROOM}, lists:nth(2, Fields)).

%% Confirms it for a room that sends to all members, and that others are.
who_speaks_in_a_room_is_not_notified_of_it(_Config) ->
    start(#{}),
    push_rig:enable(?BOB, ?SERVICE),
    Message = rig:message(<<"groupchat">>, <<"I said it">>),
    host:route(<<"garden@muclight.localhost/bob@localhost">>, ?BOB, Message),
    push_rig:no_notification(),
    ?assertEqual(0, push_rig:storage_calls(get_publish_services)),
    Bobby = <<"garden@muclight.localhost/bobby@localhost">>,
    host:route(Bobby, ?BOB, Message),
    {_Node, Fields} = push_rig:published(),
    ?assertEqual({<<"last-message-sender">>, Bobby}, lists:nth(2, Fields)).

%% Confirms it for a session with a registration, and that the storage is not asked.
an_unacknowledged_message_is_not_for_the_default_plugin(_Config) ->
    start(#{}),
    host:user_connected(?BOB),
    push_rig:enable(?BOB, ?SERVICE),
    host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertEqual(0, push_rig:storage_calls(get_publish_services)),
    push_rig:no_notification().

%% Confirms it for two services, and that a new stanza with the same text is published.
a_later_event_of_the_same_stanza_is_not_published_again(_Config) ->
    start(#{}),
    push_rig:enable(?BOB, ?SERVICE, <<"a">>),
    push_rig:enable(?BOB, ?SERVICE, <<"b">>),
    Acc = send(<<"Hi">>),
    ?assertEqual([<<"a">>, <<"b">>], push_rig:nodes_published(2)),
    ?assertEqual(push_rig:registrations(?BOB_BARE),
                 lists:sort(mongoose_acc:get(event_pusher, published_services, Acc))),
    _ = push_rig:route_again(Acc),
    push_rig:no_notification(),
    send(<<"Hi">>),
    ?assertEqual([<<"a">>, <<"b">>], push_rig:nodes_published(2)).

%% Confirms it for a queue that has room for one of two, and then for the other.
a_service_that_a_full_queue_refused_gets_a_later_event(_Config) ->
    start(#{queue => #{max_events => 2}}),
    push_rig:enable(?BOB, ?SERVICE, <<"a">>),
    push_rig:enable(?BOB, ?SERVICE, <<"b">>),
    Busy = push_rig:occupy(),
    Acc = send(<<"Hi">>),
    [First] = push_rig:nodes_published(1),
    ?assertMatch(#{refused_full := 1}, push_rig:stats()),
    push_rig:release(Busy, delivered),
    push_rig:await_stats(#{waiting => 0}),
    Later = push_rig:route_again(Acc),
    ?assertEqual([<<"a">>, <<"b">>] -- [First], push_rig:nodes_published(1)),
    _ = push_rig:route_again(Later),
    push_rig:no_notification().

%% The enhanced plugin

%% Confirms it for two sessions of a user who is online, each with a registration of its own.
an_unacknowledged_message_goes_to_the_registration_of_its_session(_Config) ->
    start_enhanced(),
    two_devices(),
    host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch({<<"laptop">>, [_, _, {<<"last-message-body">>, <<"Hi">>}]}, push_rig:published()),
    host:unacknowledged_message(?BOBS_PHONE, ?ALICE, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch({<<"phone">>, _}, push_rig:published()),
    push_rig:no_notification().

%% Confirms it for a user without presence, to whom it was published when it came.
an_unacknowledged_message_that_was_published_is_not_published_again(_Config) ->
    start_enhanced(),
    host:user_connected(?BOB),
    push_rig:enable(?BOB, ?SERVICE),
    Acc = send(<<"Hi">>),
    ?assertMatch({<<"node">>, _}, push_rig:published()),
    host:unacknowledged_message(?BOB, Acc),
    push_rig:no_notification().

%% Confirms it for one that never registered, one whose registration ended and one that is gone.
a_session_without_a_registration_of_its_own_gets_nothing(_Config) ->
    start_enhanced(),
    two_devices(),
    Tablet = <<"bob@localhost/tablet">>,
    host:user_available(Tablet),
    push_rig:disable(?BOB, ?SERVICE, <<"laptop">>),
    host:user_unavailable(?BOBS_PHONE, <<>>),
    [host:unacknowledged_message(Session, ?ALICE, rig:message(<<"chat">>, <<"Hi">>))
     || Session <- [Tablet, ?BOB, ?BOBS_PHONE]],
    push_rig:no_notification(),
    ?assertMatch(#{accepted := 0}, push_rig:stats()).

%% Confirms the way of a message whose session is lost: it is not acknowledged, then routed again.
an_unacknowledged_message_that_comes_again_goes_to_the_other_registrations(_Config) ->
    start_enhanced(),
    two_devices(),
    Delivered = send(<<"Hi">>),
    push_rig:no_notification(),
    Unacknowledged = host:unacknowledged_message(?BOB, Delivered),
    ?assertMatch({<<"laptop">>, _}, push_rig:published()),
    [host:user_unavailable(Session, <<>>) || Session <- [?BOB, ?BOBS_PHONE]],
    Again = push_rig:route_again(Unacknowledged),
    ?assertMatch({<<"phone">>, _}, push_rig:published()),
    _ = push_rig:route_again(Again),
    push_rig:no_notification().

%% Confirms that it does what the default plugin does, and leaves those in peace who are online.
the_enhanced_plugin_notifies_users_who_are_offline(_Config) ->
    start_enhanced(),
    two_devices(),
    send(<<"online">>),
    push_rig:no_notification(),
    [host:user_unavailable(Session, <<>>) || Session <- [?BOB, ?BOBS_PHONE]],
    send(<<"offline">>),
    ?assertEqual([<<"laptop">>, <<"phone">>], push_rig:nodes_published(2)).

%% Confirms it for messages without a type, too. They come as unacknowledged ones only.
a_normal_message_names_its_bare_sender_and_an_error_is_skipped(_Config) ->
    start_enhanced(),
    two_devices(),
    Untyped = (rig:message(<<"normal">>, <<"untyped">>))#xmlel{attrs = #{}},
    [begin
         host:unacknowledged_message(?BOB, ?ALICE, Packet),
         ?assertMatch({_, [_, {<<"last-message-sender">>, <<"alice@localhost">>}, _]}, push_rig:published())
     end || Packet <- [rig:message(<<"normal">>, <<"Hi">>), Untyped]],
    host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"error">>, <<"Hi">>)),
    push_rig:no_notification(),
    ?assertEqual(none, log_capture:already(event_pusher_event_failed)).

%% The plugin for hints

%% Confirms each combination of body, hints and call.
hints_decide_whether_there_is_a_notification(_Config) ->
    start(#{plugin_module => mod_event_pusher_push_plugin_hints}),
    push_rig:enable(?BOB, ?SERVICE),
    [begin
         send(<<"chat">>, Body, Children),
         ?assertEqual({Name, Expected}, {Name, kind_of_notification()})
     end || {Name, Body, Children, Expected} <- hints()].

hints() ->
    Store = xml(<<"store">>, ?HINTS),
    NoStore = xml(<<"no-store">>, ?HINTS),
    Call = (xml(<<"propose">>, ?CALLS))#xmlel{attrs = #{<<"xmlns">> => ?CALLS,
                                                            <<"id">> => <<"call-1">>}},
    CallWithoutId = xml(<<"propose">>, ?CALLS),
    [{"a body", <<"Hi">>, [], text},
     {"a body to keep", <<"Hi">>, [Store], text},
     {"a body with a call to keep", <<"Hi">>, [Store, Call], text},
     {"a body not to keep", <<"Hi">>, [NoStore], none},
     {"a call to keep", none, [Store, Call], call},
     {"a call to keep, in the other order", none, [Call, Store], call},
     {"a call to keep with an empty body", <<>>, [Store, Call], call},
     {"a call to keep without an id", none, [Store, CallWithoutId], none},
     {"a call that nobody wants to be kept", none, [Call], none},
     {"a call both to keep and not to keep", none, [Store, NoStore, Call], none},
     {"no call to keep", none, [Store], none},
     {"nothing", none, [], none},
     {"words that are no hints", none, [xml(<<"store">>, <<"urn:other">>), Call], none},
     {"a body with words that are no hints", <<"Hi">>, [xml(<<"no-store">>, <<"urn:other">>)],
      text}].

xml(Name, Ns) ->
    #xmlel{name = Name, attrs = #{<<"xmlns">> => Ns}}.

kind_of_notification() ->
    case push_rig:stats() of
        #{waiting := 0} -> none;
        #{waiting := 1} -> kind_of_fields(push_rig:published())
    end.

kind_of_fields({<<"node">>, [{<<"message-count">>, <<"1">>},
                             {<<"last-message-sender">>, <<"alice@localhost">>},
                             {<<"last-message-body">>, <<"Hi">>}]}) -> text;
kind_of_fields({<<"node">>, [{<<"message-sender">>, <<"alice@localhost">>},
                             {<<"jingle-message">>, <<"propose">>},
                             {<<"jingle-session-id">>, <<"call-1">>}]}) -> call.

%% Confirms that they go to the session's own registration, if they go at all.
hints_decide_about_unacknowledged_messages_too(_Config) ->
    start(#{plugin_module => mod_event_pusher_push_plugin_hints}),
    two_devices(),
    [begin
         host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"chat">>, Body, Children)),
         Expected =:= none orelse ?assertMatch({Name, {<<"laptop">>, _}}, {Name, push_rig:published()}),
         push_rig:no_notification()
     end || {Name, Body, Children, Expected} <- hints()].

%% Custom plugins

%% Confirms that the rest is done as by default: nothing for a user who is online, nothing twice.
a_plugin_may_only_write_the_payload(_Config) ->
    start_custom([{prepare_notification, 2}]),
    plays(prepare_notification, fun(_Acc, #chat_event{type = chat}) ->
        [{<<"greeting">>, <<"Hello">>}, {<<"again">>, <<"Hello">>}]
    end),
    push_rig:enable(?BOB, ?SERVICE),
    Acc = send(<<"Hi">>),
    ?assertEqual({<<"node">>, [{<<"greeting">>, <<"Hello">>}, {<<"again">>, <<"Hello">>}]},
                 push_rig:published()),
    ?assertEqual([prepare_notification], asked()),
    _ = push_rig:route_again(Acc),
    push_rig:no_notification(),
    ?assertEqual([prepare_notification], asked()),
    Before = push_rig:storage_calls(get_publish_services),
    plays(prepare_notification, fun(_Acc, _Event) -> skip end),
    send(<<"Hi">>),
    ?assertEqual([prepare_notification], asked()),
    host:user_available(?BOB),
    send(<<"Hi">>),
    ?assertEqual([], asked()),
    push_rig:no_notification(),
    ?assertEqual(Before, push_rig:storage_calls(get_publish_services)).

%% Confirms it with the plugin of the examples.
the_example_tells_who_wrote_but_not_what(_Config) ->
    start(#{plugin_module => push_without_text}),
    push_rig:enable(?BOB, ?SERVICE),
    send(<<"a secret">>),
    ?assertEqual({<<"node">>, [{<<"message-count">>, <<"1">>},
                               {<<"last-message-sender">>, <<"alice@localhost">>},
                               {<<"last-message-body">>, <<"New message">>}]}, push_rig:published()),
    send(<<>>),
    push_rig:no_notification().

%% Confirms that it is asked about all events, also for users who are online, with all that the user
%% has registered.
a_plugin_may_only_choose_the_services(_Config) ->
    start_custom([{should_publish, 3}]),
    plays(should_publish, fun(_Acc, _Event, Services) ->
        [Service || {_, <<"b">>, _} = Service <- Services]
    end),
    [push_rig:enable(?BOB, ?SERVICE, Node) || Node <- [<<"a">>, <<"b">>]],
    host:user_available(?BOB),
    send(<<"Hi">>),
    ?assertMatch({<<"b">>, [{<<"message-count">>, _}, _, _]}, push_rig:published()),
    host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch({<<"b">>, _}, push_rig:published()),
    Services = push_rig:registrations(?BOB_BARE),
    ?assertEqual([{chat_event, Services}, {unack_msg_event, Services}],
                 [{element(1, Event), lists:sort(Given)}
                  || {should_publish, [_Acc, Event, Given]} <- asked_with_args()]),
    plays(should_publish, fun(_Acc, _Event, _Services) -> [] end),
    send(<<"Hi">>),
    push_rig:no_notification().

%% Confirms what it gets, that its part of the accumulator travels on, and that it is not called
%% without a registration or for a user who is online.
a_plugin_may_only_publish(_Config) ->
    start_custom([{publish_notification, 4}]),
    plays(publish_notification, fun(Acc, _Event, Payload, Services) ->
        [{<<"message-count">>, <<"1">>}, {<<"last-message-sender">>, _},
         {<<"last-message-body">>, <<"Hi">>}] = Payload,
        mongoose_acc:set(event_pusher, published_by_me, Services, Acc)
    end),
    send(<<"Hi">>),
    ?assertEqual([], asked()),
    push_rig:enable(?BOB, ?SERVICE),
    Acc = send(<<"Hi">>),
    ?assertEqual([publish_notification], asked()),
    ?assertEqual([{published_by_me, push_rig:registrations(?BOB_BARE)}],
                 mongoose_acc:get(event_pusher, Acc)),
    host:user_available(?BOB),
    send(<<"Hi">>),
    ?assertEqual([], asked()),
    ?assertMatch(#{accepted := 0}, push_rig:stats()).

%% Confirms that a no ends it before anything is read, and a yes leaves the rest to the default.
a_plugin_may_only_say_which_events_cannot_be_published(_Config) ->
    start_custom([{may_publish, 2}]),
    push_rig:enable(?BOB, ?SERVICE),
    plays(may_publish, fun(_Acc, _Event) -> false end),
    send(<<"Hi">>),
    ?assertEqual({[may_publish], 0}, {asked(), push_rig:storage_calls(get_publish_services)}),
    plays(may_publish, fun(_Acc, _Event) -> true end),
    send(<<"Hi">>),
    ?assertMatch({<<"node">>, _}, push_rig:published()),
    host:user_available(?BOB),
    send(<<"Hi">>),
    push_rig:no_notification(),
    ?assertEqual({[may_publish, may_publish], 2},
                 {asked(), push_rig:storage_calls(get_publish_services)}).

%% Confirms the order, and that all are called by the process that sends.
a_plugin_may_do_all_of_it(_Config) ->
    start(#{plugin_module => ?MODULE}),
    plays_well(),
    push_rig:enable(?BOB, ?SERVICE),
    send(<<"Hi">>),
    ?assertEqual({<<"node">>, [{<<"name">>, <<"value">>}]}, push_rig:published()),
    ?assertEqual([may_publish, prepare_notification, should_publish, publish_notification],
                 asked()).

%% Confirms that the error names it, and that there is no pool, no handler and no feature.
a_plugin_that_cannot_be_loaded_stops_the_start_and_leaves_nothing_behind(_Config) ->
    ok = rig:start_host(#{mod_event_pusher => #{}}),
    Opts = push_rig:opts(#{plugin_module => no_such_plugin}),
    ?assertError(#{what := event_pusher_pool_not_started, host_type := ?HT, pool_type := push,
                   reason := [<<"plugin_module: must be the name of a module that can be loaded, "
                                "got no_such_plugin: nofile">>]},
                 mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Opts)),
    ?assertEqual(undefined, push_rig:owner()),
    ?assertEqual(undefined, whereis(mongoose_wpool:make_pool_name(generic, ?HT, pusher_push))),
    ?assertEqual({error, closed}, mod_event_pusher_push:cast(?HT, fun erlang:self/0, [])),
    ?assertEqual([], host:features(?HT)),
    Enable = push_rig:request(<<"enable">>, {#{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>}, []}),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"error">>}},
                 host:send_iq(?BOB, account, push_rig:iq(<<"set">>, Enable))),
    _ = log_capture:all(),
    send(<<"Hi">>),
    ?assertEqual([], log_capture:all()).

%% Confirms it for each callback and each kind of exception.
a_crashing_plugin_costs_only_its_event_and_logs_no_content(_Config) ->
    start(#{plugin_module => ?MODULE}),
    push_rig:enable(?BOB, ?SERVICE),
    [begin
         plays_well(),
         plays(Callback, fun(Acc) -> erlang:Class({crash, Acc}) end),
         costs_one_event({Callback, Class}, #{class => Class, reason => crash})
     end || Callback <- callbacks(), Class <- [error, exit, throw]].

%% Confirms it for each callback. What is not its own result is named by the callback.
a_result_of_a_wrong_type_costs_only_its_event_and_logs_no_content(_Config) ->
    start(#{plugin_module => ?MODULE}),
    push_rig:enable(?BOB, ?SERVICE),
    [begin
         plays_well(),
         plays(Callback, fun(_Acc) -> Wrong end),
         costs_one_event({Callback, Wrong}, #{class => error,
                                              reason => {bad_plugin_result, Callback}})
     end || {Callback, Wrongs} <- wrong_results(), Wrong <- Wrongs],
    [begin
         plays_well(),
         plays(should_publish, fun(_Acc) -> Wrong end),
         costs_one_event(Wrong, #{class => error})
     end || Wrong <- [[not_a_service], [<<"a private word">> | improper]]].

wrong_results() ->
    Private = <<"a private word">>,
    [{may_publish, [ok, undefined, [], Private]},
     {prepare_notification, [ok, false, Private, #{Private => Private}, [Private],
                             [{Private, 1}], [{name, Private}], [{Private, Private, Private}]]},
     {should_publish, [ok, none, Private, {Private, [], #{}}]},
     {publish_notification, [ok, [], Private, #{Private => true}]}].

%% The message arrives, there is one line without content, and the next event goes its way.
costs_one_event(Name, Expected) ->
    ?assertMatch({Name, #{mongoose_acc := true}}, {Name, send(<<"a private word">>)}),
    push_rig:no_notification(),
    Line = log_capture:await(event_pusher_event_failed),
    ?assertMatch(#{host_type := ?HT, pool_type := push, stacktrace := [_ | _]}, Line),
    ?assertEqual({Name, Expected}, {Name, maps:with(maps:keys(Expected), Line)}),
    Shown = iolist_to_binary(io_lib:format("~0p", [[Line | log_capture:all()]])),
    ?assertEqual({Name, nomatch}, {Name, binary:match(Shown, [<<"private">>, <<"alice">>])}),
    plays_well(),
    send(<<"a private word">>),
    ?assertMatch({Name, {<<"node">>, _}}, {Name, push_rig:published()}).

%% The plugin of these cases: what it does is noted in the process that sends. A note with one
%% argument stands for whatever the callback gets.

may_publish(Acc, Event) -> play(may_publish, [Acc, Event]).
prepare_notification(Acc, Event) -> play(prepare_notification, [Acc, Event]).
should_publish(Acc, Event, Services) -> play(should_publish, [Acc, Event, Services]).
publish_notification(Acc, Event, Payload, Services) ->
    play(publish_notification, [Acc, Event, Payload, Services]).

play(Callback, [Acc | _] = Args) ->
    self() ! {asked, Callback, Args},
    case get(Callback) of
        Fun when is_function(Fun, 1) -> Fun(Acc);
        Fun -> apply(Fun, Args)
    end.

plays(Callback, Fun) ->
    put(Callback, Fun).

plays_well() ->
    plays(may_publish, fun(_Acc, _Event) -> true end),
    plays(prepare_notification, fun(_Acc, _Event) -> [{<<"name">>, <<"value">>}] end),
    plays(should_publish, fun(_Acc, _Event, Services) -> Services end),
    plays(publish_notification, fun mod_event_pusher_push_plugin_defaults:publish_notification/4).

callbacks() ->
    [may_publish, prepare_notification, should_publish, publish_notification].

asked() ->
    [Callback || {Callback, _Args} <- asked_with_args()].

asked_with_args() ->
    receive {asked, Callback, Args} -> [{Callback, Args} | asked_with_args()] after 0 -> [] end.

%% Starts with a plugin that has these callbacks alone; they do what those of this module do.
start_custom(Callbacks) ->
    Plugin = push_plugin_of_this_case,
    Exports = [{attribute, 1, module, Plugin}, {attribute, 1, export, Callbacks}],
    {ok, Plugin, Code} = compile:forms(Exports ++ [forwarding(Name, Arity)
                                                   || {Name, Arity} <- Callbacks]),
    {module, Plugin} = code:load_binary(Plugin, atom_to_list(Plugin), Code),
    start(#{plugin_module => Plugin}).

forwarding(Name, Arity) ->
    Args = [{var, 1, list_to_atom("Arg" ++ integer_to_list(N))} || N <- lists:seq(1, Arity)],
    Call = {call, 1, {remote, 1, {atom, 1, ?MODULE}, {atom, 1, Name}}, Args},
    {function, 1, Name, Arity, [{clause, 1, Args, [], [Call]}]}.

%% Helpers

start(Different) ->
    push_rig:start_host(Different),
    host:add_component(?SERVICE).

start_enhanced() ->
    start(#{plugin_module => mod_event_pusher_push_plugin_enhanced}).

%% Both are online, and each has registered a node with its name.
two_devices() ->
    [begin
         host:user_available(Session),
         push_rig:enable(Session, ?SERVICE, Node)
     end || {Session, Node} <- [{?BOB, <<"laptop">>}, {?BOBS_PHONE, <<"phone">>}]].

send(Body) ->
    send(<<"chat">>, Body, []).

%% Gives what the accumulator is after the delivery.
send(Type, Body, Children) ->
    #{received := Acc} = host:send_message(?ALICE, ?BOB, rig:message(Type, Body, Children)),
    Acc.
