-module(mod_event_pusher_push_SUITE).
-moduledoc "Push notifications end to end: clients register, and a service gets what is published.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_message_to_an_offline_user_is_published_as_the_standard_says/1,
         what_the_client_registered_with_comes_back_as_publish_options/1,
         a_user_who_is_online_costs_no_question_to_the_storage/1,
         a_room_costs_no_question_to_the_storage/1,
         a_user_with_a_negative_priority_counts_as_offline/1,
         a_message_in_a_room_is_published_with_who_speaks/1,
         messages_of_other_kinds_are_not_published/1,
         a_user_who_does_not_exist_gets_no_notification/1,
         a_user_database_that_is_away_stops_no_notification/1,
         a_storage_that_fails_costs_only_the_notification/1,
         each_device_gets_its_notification/1,
         a_disabled_node_gets_nothing_and_the_other_does/1,
         disabling_a_service_disables_all_its_nodes/1,
         enabling_a_node_again_replaces_its_form/1,
         an_error_of_type_cancel_disables_the_node/1,
         conditions_decide_whether_the_node_is_disabled/1,
         a_condition_is_found_behind_a_text/1,
         a_service_that_was_away_for_a_moment_keeps_its_nodes/1,
         other_errors_keep_the_node/1,
         an_answer_without_an_error_element_keeps_the_node/1,
         the_inbox_tells_the_count/1,
         the_inbox_of_older_servers_tells_the_count/1,
         metrics_have_the_labels_that_exometer_knows/1,
         a_module_that_cannot_start_leaves_nothing_behind/1,
         the_module_starts_and_stops_any_number_of_times/1,
         the_backend_is_reported_as_a_metric/1]).
%% Hook handler
-export([count/3]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("jid.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(BOB_BARE, <<"bob@localhost">>).
-define(ROOM, <<"garden@muc.localhost/Alice">>).
-define(SERVICE, <<"push.example">>).
-define(NS, <<"urn:xmpp:push:0">>).

all() ->
    push_rig:cases(?MODULE).

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    push_rig:start_suite(Config).

end_per_suite(Config) ->
    push_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    ok = push_rig:start_host(),
    ok = host:add_component(?SERVICE),
    Config.

end_per_testcase(_Case, _Config) ->
    push_rig:stop_host().

%% Notifications

%% Confirms the whole stanza, element by element.
a_message_to_an_offline_user_is_published_as_the_standard_says(_Config) ->
    enable(?BOB, <<"node-1">>),
    send(<<"Hi <Bob> & \"all\" ☕ 🍪"/utf8>>),
    #{from := From, to := To, packet := Packet} = Routed = push_rig:routed(),
    ?assertEqual({#jid{lserver = ?HT}, #jid{lserver = ?SERVICE}}, {From, To}),
    #xmlel{name = <<"iq">>, attrs = #{<<"id">> := Id} = Attrs, children = Children} = Packet,
    ?assertEqual(#{<<"id">> => Id, <<"type">> => <<"set">>}, Attrs),
    Summary = form(<<"urn:xmpp:push:summary">>,
                   [{<<"message-count">>, <<"1">>},
                    {<<"last-message-sender">>, <<"alice@localhost">>},
                    {<<"last-message-body">>, <<"Hi <Bob> & \"all\" ☕ 🍪"/utf8>>}]),
    Notification = #xmlel{name = <<"notification">>, attrs = #{<<"xmlns">> => ?NS},
                          children = [Summary]},
    Publish = #xmlel{name = <<"publish">>, attrs = #{<<"node">> => <<"node-1">>},
                     children = [#xmlel{name = <<"item">>, children = [Notification]}]},
    ?assertEqual([#xmlel{name = <<"pubsub">>,
                         attrs = #{<<"xmlns">> => <<"http://jabber.org/protocol/pubsub">>},
                         children = [Publish]}], Children),
    push_rig:answer(Routed, result),
    push_rig:await_stats(#{accepted => 1, delivered => 1, waiting => 0}).

%% Confirms the second child of the publication.
what_the_client_registered_with_comes_back_as_publish_options(_Config) ->
    Options = [{<<"secret">>, <<"s&cret \"ü\""/utf8>>}, {<<"device">>, <<>>}],
    enable(?BOB, <<"node-1">>, Options),
    send(<<"Hi">>),
    #{packet := Packet} = push_rig:routed(),
    PublishOptions = exml_query:path(Packet, [{element, <<"pubsub">>},
                                              {element, <<"publish-options">>}]),
    ?assertEqual(#xmlel{name = <<"publish-options">>,
                        children = [form(<<"http://jabber.org/protocol/pubsub#publish-options">>,
                                         lists:sort(Options))]},
                 PublishOptions).

%% Confirms by the server's metric of the storage.
a_user_who_is_online_costs_no_question_to_the_storage(_Config) ->
    enable(?BOB, <<"node-1">>),
    host:user_available(?BOB),
    send(<<"Hi">>),
    push_rig:no_notification(),
    ?assertEqual(0, push_rig:storage_calls(get_publish_services)),
    host:user_unavailable(?BOB, <<>>),
    send(<<"Hi">>),
    _ = push_rig:routed(),
    ?assertEqual(1, push_rig:storage_calls(get_publish_services)).

%% Confirms it for the way of a message into the room, on a subdomain of the host.
a_room_costs_no_question_to_the_storage(_Config) ->
    Packet = rig:message(<<"groupchat">>, <<"Hi all">>),
    {From, To} = {jid:from_binary(?ALICE), jid:from_binary(<<"garden@muc.localhost">>)},
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT, element => Packet,
                             from_jid => From, to_jid => To}),
    {From, To, Acc, Packet} = mongoose_hooks:filter_local_packet({From, To, Acc, Packet}),
    push_rig:no_notification(),
    ?assertEqual(0, push_rig:storage_calls(get_publish_services)).

%% Confirms it with a session that has no presence at all, which is the same to the server.
a_user_with_a_negative_priority_counts_as_offline(_Config) ->
    host:user_connected(?BOB),
    enable(?BOB, <<"node-1">>),
    send(<<"Hi">>),
    ?assertEqual(<<"node-1">>, node_of(push_rig:routed())).

%% Confirms the resource of the sender, which is a nickname.
a_message_in_a_room_is_published_with_who_speaks(_Config) ->
    enable(?BOB, <<"node-1">>),
    host:route(?ROOM, ?BOB_BARE, rig:message(<<"groupchat">>, <<"Hi all">>)),
    ?assertEqual([{<<"message-count">>, <<"1">>}, {<<"last-message-sender">>, ?ROOM},
                  {<<"last-message-body">>, <<"Hi all">>}], summary(push_rig:routed())).

%% Confirms types, the other direction, and stanzas without text.
messages_of_other_kinds_are_not_published(_Config) ->
    enable(?BOB, <<"node-1">>),
    [host:send_message(?ALICE, ?BOB_BARE, rig:message(Type, <<"Hi">>))
     || Type <- [<<"normal">>, <<"headline">>, <<"error">>]],
    host:send_message(?ALICE, ?BOB_BARE, rig:message(<<"chat">>, none)),
    host:send_message(?ALICE, ?BOB_BARE, rig:message(<<"chat">>, <<>>)),
    host:send_message(?BOB, <<"alice@elsewhere">>, rig:message(<<"chat">>, <<"Hi">>)),
    host:route(?ALICE, ?BOB_BARE, #xmlel{name = <<"presence">>}),
    host:unacknowledged_message(?BOB, ?ALICE, rig:message(<<"chat">>, <<"Hi">>)),
    push_rig:no_notification(),
    ?assertMatch(#{accepted := 0}, push_rig:stats()).

%% Confirms it for registrations that have outlived their user.
a_user_who_does_not_exist_gets_no_notification(_Config) ->
    enable(?BOB, <<"node-1">>),
    host:forget_user(?BOB_BARE),
    send(<<"Hi">>),
    push_rig:no_notification().

%% Confirms that it is rather sent than not.
a_user_database_that_is_away_stops_no_notification(_Config) ->
    enable(?BOB, <<"node-1">>),
    host:break_user(?BOB_BARE, database_away),
    send(<<"Hi">>),
    ?assertEqual(<<"node-1">>, node_of(push_rig:routed())).

%% Confirms that the message is delivered, and that the log tells nothing of it.
a_storage_that_fails_costs_only_the_notification(Config) ->
    enable(?BOB, <<"node-1">>),
    ok = log_capture:start(),
    ok = host_mnesia:stop(),
    #{received := Received} = send(<<"a secret">>),
    ok = push_rig:start_mnesia(Config),
    ?assertMatch(#{mongoose_acc := true}, Received),
    #{class := error} = Line = log_capture:await(event_pusher_event_failed),
    ?assertMatch(#{host_type := ?HT, pool_type := push, pool_tag := pusher_push}, Line),
    ?assertEqual(nomatch, string:find(io_lib:format("~tp", [Line]), "secret")),
    log_capture:stop(),
    send(<<"Hi">>),
    ?assertEqual(<<"node-1">>, node_of(push_rig:routed())).

%% Devices

%% Confirms it for two nodes of one service and a node of another.
each_device_gets_its_notification(_Config) ->
    ok = host:add_component(<<"other.example">>),
    enable(?BOB, <<"phone">>),
    enable(<<"bob@localhost/desk">>, <<"desk">>),
    ok = push_rig:enable(?BOB, <<"news@other.example/ignored">>, <<"phone">>),
    send(<<"Hi">>),
    Routed = [push_rig:routed(), push_rig:routed(), push_rig:routed()],
    ?assertEqual([{<<"news@other.example">>, <<"phone">>}, {?SERVICE, <<"desk">>},
                  {?SERVICE, <<"phone">>}],
                 lists:sort([{jid:to_binary(To), node_of(Each)} || #{to := To} = Each <- Routed])),
    [push_rig:answer(Each, result) || Each <- Routed],
    push_rig:await_stats(#{delivered => 3, waiting => 0}),
    push_rig:no_notification().

%% Confirms the difference by the next message.
a_disabled_node_gets_nothing_and_the_other_does(_Config) ->
    enable(?BOB, <<"phone">>),
    enable(?BOB, <<"desk">>),
    ok = push_rig:disable(?BOB, ?SERVICE, <<"desk">>),
    ok = push_rig:disable(?BOB, ?SERVICE, <<"never seen">>),
    ok = push_rig:disable(?BOB, <<"other.example">>),
    send(<<"Hi">>),
    Routed = push_rig:routed(),
    ?assertEqual(<<"phone">>, node_of(Routed)),
    push_rig:answer(Routed, result),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    push_rig:no_notification().

%% Confirms that another service and another user keep theirs.
disabling_a_service_disables_all_its_nodes(_Config) ->
    [enable(?BOB, Node) || Node <- [<<"phone">>, <<"desk">>]],
    ok = push_rig:enable(?BOB, <<"other.example">>, <<"phone">>),
    enable(?ALICE, <<"phone">>),
    ok = push_rig:disable(?BOB, <<(?SERVICE)/binary, "/resource">>),
    ?assertEqual([{jid:from_binary(<<"other.example">>), <<"phone">>, #{}}],
                 push_rig:registrations(?BOB)),
    ?assertEqual([{jid:from_binary(?SERVICE), <<"phone">>, #{}}], push_rig:registrations(?ALICE)).

%% Confirms that there is one registration with the later form.
enabling_a_node_again_replaces_its_form(_Config) ->
    enable(?BOB, <<"phone">>, [{<<"secret">>, <<"old">>}]),
    enable(?BOB, <<"phone">>, [{<<"secret">>, <<"new">>}]),
    ?assertEqual([{jid:from_binary(?SERVICE), <<"phone">>, #{<<"secret">> => <<"new">>}}],
                 push_rig:registrations(?BOB)).

%% Answers of the service

%% Confirms that the other node stays, and what is told of it.
an_error_of_type_cancel_disables_the_node(_Config) ->
    ok = log_capture:start(),
    [enable(?BOB, Node) || Node <- [<<"phone">>, <<"desk">>]],
    send(<<"Hi">>),
    [case node_of(Routed) of
         <<"phone">> -> push_rig:answer(Routed, {error, <<"cancel">>, <<"item-not-found">>});
         <<"desk">> -> push_rig:answer(Routed, result)
     end || Routed <- [push_rig:routed(), push_rig:routed()]],
    push_rig:await_stats(#{delivered => 1, rejected => 1, waiting => 0}),
    ?assertEqual([{jid:from_binary(?SERVICE), <<"desk">>, #{}}], push_rig:registrations(?BOB)),
    ?assertMatch(#{reason := rejected, count := 1, last_cause := <<"cancel item-not-found">>},
                 log_capture:await(event_pusher_drops)),
    log_capture:stop().

%% Confirms both ends of a long list, and as what each is counted.
conditions_decide_whether_the_node_is_disabled(_Config) ->
    Passing = [{<<"cancel">>, Condition, exhausted, 1}
               || Condition <- [<<"service-unavailable">>, <<"remote-server-not-found">>,
                                <<"remote-server-timeout">>, <<"recipient-unavailable">>,
                                <<"internal-server-error">>, <<"resource-constraint">>]],
    Final = [{<<"cancel">>, <<"gone">>, rejected, 0}, {<<"modify">>, <<"gone">>, rejected, 0},
             {<<"auth">>, <<"forbidden">>, rejected, 0}, {<<"wait">>, <<"forbidden">>, exhausted, 1},
             {<<"modify">>, <<"item-not-found">>, rejected, 0},
             {<<"wait">>, <<"item-not-found">>, exhausted, 1},
             {<<"cancel">>, <<"feature-not-implemented">>, rejected, 0},
             {<<"cancel">>, <<"not-a-condition">>, rejected, 0},
             {<<"auth">>, <<"not-authorized">>, rejected, 1},
             {<<"modify">>, <<"bad-request">>, rejected, 1}],
    [begin
         enable(?BOB, <<"phone">>),
         Before = push_rig:stats(),
         send(<<"Hi">>),
         push_rig:answer(push_rig:routed(), {error, Type, Condition}),
         push_rig:await_stats(#{Fate => 1 + maps:get(Fate, Before), waiting => 0}),
         ?assertEqual({Type, Condition, Left},
                      {Type, Condition, length(push_rig:registrations(?BOB))})
     end || {Type, Condition, Fate, Left} <- Passing ++ Final].

%% Confirms it for a text and an element of the service's own.
a_condition_is_found_behind_a_text(_Config) ->
    ok = log_capture:start(),
    enable(?BOB, <<"phone">>),
    send(<<"Hi">>),
    Ns = <<"urn:ietf:params:xml:ns:xmpp-stanzas">>,
    #{from := From, to := To, packet := #xmlel{attrs = Attrs} = Iq} = push_rig:routed(),
    Error = #xmlel{name = <<"error">>, attrs = #{<<"type">> => <<"cancel">>}, children = [
        #xmlcdata{content = <<" ">>},
        #xmlel{name = <<"text">>, attrs = #{<<"xmlns">> => Ns},
               children = [#xmlcdata{content = <<"a private word">>}]},
        #xmlel{name = <<"too-busy">>, attrs = #{<<"xmlns">> => <<"urn:example:service">>}},
        #xmlel{name = <<"service-unavailable">>, attrs = #{<<"xmlns">> => Ns}}]},
    host:route(To, From, Iq#xmlel{attrs = Attrs#{<<"type">> := <<"error">>}, children = [Error]}),
    push_rig:await_stats(#{exhausted => 1, waiting => 0}),
    ?assertMatch([_], push_rig:registrations(?BOB)),
    ?assertMatch(#{reason := exhausted, last_cause := <<"cancel service-unavailable">>},
                 log_capture:await(event_pusher_drops)),
    push_rig:no_log_of(<<"private">>),
    log_capture:stop().

%% Confirms it with the error that the server makes: the component is not there yet.
a_service_that_was_away_for_a_moment_keeps_its_nodes(_Config) ->
    Late = <<"late.localhost">>,
    ok = push_rig:enable(?BOB, Late, <<"phone">>),
    send(<<"Nobody is there">>),
    push_rig:await_stats(#{exhausted => 1, waiting => 0}),
    ok = host:add_component(Late),
    send(<<"Hi">>),
    ?assertMatch({<<"phone">>, _}, push_rig:published()),
    push_rig:await_stats(#{delivered => 1, exhausted => 1, waiting => 0}).

%% Confirms each type, and as what it is counted.
other_errors_keep_the_node(_Config) ->
    Table = [{<<"wait">>, exhausted}, {<<"modify">>, rejected}, {<<"auth">>, rejected},
             {<<"continue">>, rejected}],
    enable(?BOB, <<"phone">>),
    [begin
         Before = push_rig:stats(),
         send(<<"Hi">>),
         push_rig:answer(push_rig:routed(), {error, Type, <<"resource-constraint">>}),
         push_rig:await_stats(#{Fate => 1 + maps:get(Fate, Before), waiting => 0}),
         ?assertMatch([{_, <<"phone">>, _}], push_rig:registrations(?BOB))
     end || {Type, Fate} <- Table].

%% Confirms it for an answer that breaks the rules.
an_answer_without_an_error_element_keeps_the_node(_Config) ->
    enable(?BOB, <<"phone">>),
    send(<<"Hi">>),
    #{from := From, to := To, packet := #xmlel{attrs = Attrs} = Iq} = push_rig:routed(),
    host:route(To, From, Iq#xmlel{attrs = Attrs#{<<"type">> := <<"error">>}, children = []}),
    push_rig:await_stats(#{rejected => 1, waiting => 0}),
    ?assertMatch([_], push_rig:registrations(?BOB)).

%% The inbox

%% Confirms the number that a handler of its hook gives.
the_inbox_tells_the_count(_Config) ->
    with_inbox(),
    enable(?BOB, <<"n">>),
    send(<<"Hi">>),
    ?assertEqual({<<"message-count">>, <<"7">>}, hd(summary(push_rig:routed()))).

%% Confirms the function with three arguments of servers up to 6.6.
the_inbox_of_older_servers_tells_the_count(_Config) ->
    with_inbox(),
    ok = host:add_domain(<<"example.org">>, ?HT),
    enable(<<"bob@example.org/r">>, <<"n">>),
    load_older_hooks(),
    try
        host:send_message(?ALICE, <<"bob@example.org">>, rig:message(<<"chat">>, <<"Hi">>)),
        ?assertEqual({<<"message-count">>, <<"7">>}, hd(summary(push_rig:routed())))
    after
        {module, mongoose_hooks} = reload(mongoose_hooks)
    end.

%% Confirms it for servers up to 6.6, which know pool_tag alone, and for later ones.
metrics_have_the_labels_that_exometer_knows(_Config) ->
    Keys = fun() -> lists:usort([maps:keys(Labels) || {_Event, Labels, _Metrics}
                                     <- mod_event_pusher_push:instrumentation(?HT)]) end,
    {stopped, Opts} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
    load_older_hooks(),
    try
        ?assertEqual([[host_type, pool_tag, pool_type]], Keys()),
        ok = mongoose_config:set_opt(instrumentation, #{exometer => #{}}),
        ?assertEqual([[host_type, pool_tag]], Keys()),
        {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Opts),
        enable(?BOB, <<"n">>),
        send(<<"Hi">>),
        {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
        Labels = maps:remove(pool_type, event_pusher_push_pool:labels(?HT)),
        ?assertEqual(1, host_metrics:total(event_pusher_events, Labels, unanswered))
    after
        {module, mongoose_hooks} = reload(mongoose_hooks)
    end,
    ?assertEqual([[host_type, pool_tag, pool_type]], Keys()),
    {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Opts),
    ok = mongoose_config:unset_opt(instrumentation).

with_inbox() ->
    ok = gen_hook:add_handler(inbox_unread_count, ?HT, fun ?MODULE:count/3, #{}, 50),
    ok = gen_hook:reload_hooks().

count(Acc, #{user := #jid{luser = <<"bob">>}}, _Extra) ->
    {ok, mongoose_acc:set(inbox, unread_count, 7, Acc)}.

%% The stand-in's module, whose function has the host type in front.
load_older_hooks() ->
    {ok, {_, [{abstract_code, {_, Forms}}]}} =
        beam_lib:chunks(code:which(mongoose_hooks), [abstract_code]),
    Older = [older(Form) || Form <- Forms, not is_spec(Form)],
    {ok, mongoose_hooks, Beam} = compile:forms(Older, []),
    true = code:soft_purge(mongoose_hooks),
    {module, mongoose_hooks} = code:load_binary(mongoose_hooks, "older", Beam),
    false = erlang:function_exported(mongoose_hooks, inbox_unread_count, 2).

older({function, Line, inbox_unread_count, 2, Clauses}) ->
    {function, Line, inbox_unread_count, 3,
     [{clause, At, [{bin, At, [{bin_element, At, {string, At, "localhost"}, default, default}]}
                    | Args], Guards, Body} || {clause, At, Args, Guards, Body} <- Clauses]};
older({attribute, Line, export, Functions}) ->
    {attribute, Line, export,
     [case Function of {inbox_unread_count, 2} -> {inbox_unread_count, 3}; _ -> Function end
      || Function <- Functions]};
older(Form) ->
    Form.

is_spec({attribute, _, spec, {{inbox_unread_count, 2}, _}}) -> true;
is_spec(_Form) -> false.

reload(Module) ->
    true = code:soft_purge(Module),
    code:load_file(Module).

%% The module

%% Confirms that it can start afterwards, in the same node.
a_module_that_cannot_start_leaves_nothing_behind(_Config) ->
    {stopped, Opts} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
    [begin
         ?assertError(_, mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Broken)),
         ?assertEqual([], host:features(?HT)),
         ?assertEqual({error, closed}, event_pusher_push_pool:stats({push, ?HT})),
         ?assertMatch({error, {pool_not_started, _}},
                      mongoose_wpool:get_worker(generic, ?HT, pusher_push))
     end || Broken <- [Opts#{iqdisc := queues}, Opts#{plugin_module := no_such_plugin},
                       Opts#{backend := no_such_backend}]],
    {started, ok} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Opts),
    enable(?BOB, <<"n">>),
    send(<<"Hi">>),
    _ = push_rig:routed(),
    ok.

%% Confirms that registrations stay and are published to.
the_module_starts_and_stops_any_number_of_times(_Config) ->
    enable(?BOB, <<"n">>),
    [begin
         {stopped, Opts} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
         {started, ok} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Opts),
         send(<<"Hi">>),
         push_rig:answer(push_rig:routed(), result),
         push_rig:await_stats(#{accepted => 1, delivered => 1, waiting => 0})
     end || _ <- lists:seq(1, 5)].

%% Confirms the callback of the system metrics.
the_backend_is_reported_as_a_metric(_Config) ->
    ?assertEqual([{backend, mnesia}], mod_event_pusher_push:config_metrics(?HT)).

%% Helpers

enable(User, Node) ->
    enable(User, Node, []).

enable(User, Node, Fields) ->
    ok = push_rig:enable(User, ?SERVICE, Node, Fields).

send(Body) ->
    host:send_message(?ALICE, ?BOB_BARE, rig:message(<<"chat">>, Body)).

form(FormType, Fields) ->
    push_rig:form(FormType, Fields).

node_of(Routed) ->
    push_rig:node_of(Routed).

summary(Routed) ->
    push_rig:summary(Routed).
