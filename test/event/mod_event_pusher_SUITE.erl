-module(mod_event_pusher_SUITE).
-moduledoc "From hooks of the server to events, and from events to backends.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2,
         end_per_testcase/2]).
-export([hooks_are_handled_with_their_priorities_until_the_module_stops/1,
         coming_online_and_going_offline_are_status_events/1,
         a_sent_message_is_an_event_with_direction_in/1,
         a_delivered_message_is_an_event_with_direction_out/1,
         the_type_in_the_accumulator_becomes_the_type_of_the_event/1,
         an_available_presence_that_is_routed_looks_like_a_normal_message/1,
         an_accumulator_without_a_stanza_gives_no_event/1,
         an_unacknowledged_message_is_an_event_of_its_own/1,
         a_routed_stanza_keeps_all_but_its_accumulator/1,
         what_a_backend_stores_reaches_the_delivered_message/1,
         other_changes_of_the_accumulator_are_discarded/1,
         an_event_begins_without_metadata/1,
         a_filter_drops_and_enriches_events/1,
         a_filter_runs_before_the_backends/1,
         a_crashing_backend_disturbs_nothing/1,
         each_configured_backend_becomes_a_module/1,
         other_options_are_not_taken_for_backends/1,
         backends_are_reported_as_metrics/1,
         all_modules_support_dynamic_domains/1,
         a_backend_that_could_not_start_can_start_later/1]).
%% Handlers of push_event
-export([tell/3, store/3, change/3, stop_here/3, crash/3]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("mod_event_pusher_events.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports),
             not lists:member(Case, [init_per_suite, end_per_suite, module_info])].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    ok.

init_per_testcase(_Case, Config) ->
    register(?MODULE, self()),
    ok = host:start(#{?HT => #{mod_event_pusher => #{}}}),
    handle(tell, 50),
    Config.

end_per_testcase(_Case, _Config) ->
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

%% Hooks and events

%% Confirms all five, before and after a stop.
hooks_are_handled_with_their_priorities_until_the_module_stops(_Config) ->
    Hooks = [{filter_local_packet, filter_local_packet, 80}, {unset_presence, user_not_present, 90},
             {user_available, user_present, 90}, {user_send_message, user_send_message, 90},
             {unacknowledged_message, unacknowledged_message, 90}],
    Handlers = [{Hook, ?HT, fun mod_event_pusher_hook_translator:Name/3, #{}, Priority}
                || {Hook, Name, Priority} <- Hooks],
    %% Adding what is there already changes nothing; deleting it leaves nothing.
    ok = gen_hook:delete_handlers(Handlers),
    gen_hook:reload_hooks(),
    act_in_every_way(),
    ?assertEqual([], events()),
    ok = gen_hook:add_handlers(Handlers),
    gen_hook:reload_hooks(),
    act_in_every_way(),
    ?assertEqual(5, length(events())),
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher),
    act_in_every_way(),
    ?assertEqual([], events()),
    {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher, #{}),
    act_in_every_way(),
    ?assertEqual(5, length(events())).

%% Confirms the full JID and both states.
coming_online_and_going_offline_are_status_events(_Config) ->
    Alice = jid:from_binary(?ALICE),
    host:user_available(?ALICE),
    ?assertEqual([#user_status_event{jid = Alice, status = online}], events()),
    host:user_unavailable(?ALICE, <<"bye">>),
    ?assertEqual([#user_status_event{jid = Alice, status = offline}], events()).

%% Confirms all fields.
a_sent_message_is_an_event_with_direction_in(_Config) ->
    Packet = message(<<"chat">>),
    host:send_message(?ALICE, <<"bob@elsewhere">>, Packet),
    ?assertEqual([#chat_event{type = chat, direction = in, from = jid:from_binary(?ALICE),
                              to = jid:from_binary(<<"bob@elsewhere">>), packet = Packet}],
                 events()).

%% Confirms all fields.
a_delivered_message_is_an_event_with_direction_out(_Config) ->
    Packet = message(<<"chat">>),
    host:route(<<"carol@elsewhere/r">>, ?BOB, Packet),
    ?assertEqual([#chat_event{type = chat, direction = out, packet = Packet,
                              from = jid:from_binary(<<"carol@elsewhere/r">>),
                              to = jid:from_binary(?BOB)}], events()).

%% Confirms the whole table, for both directions.
the_type_in_the_accumulator_becomes_the_type_of_the_event(_Config) ->
    Table = [{<<"chat">>, chat}, {<<"groupchat">>, groupchat}, {<<"headline">>, headline},
             {<<"normal">>, normal}, {none, normal}],
    [begin
         host:send_message(?ALICE, ?BOB, message(Type)),
         ?assertEqual([{in, Wanted}, {out, Wanted}],
                      [{Dir, Got} || #chat_event{direction = Dir, type = Got} <- events()])
     end || {Type, Wanted} <- Table],
    [begin
         host:send_message(?ALICE, ?BOB, message(Type)),
         ?assertEqual([], events())
     end || Type <- [<<"error">>, <<"get">>, <<"set">>, <<"result">>, <<"unavailable">>,
                     <<"subscribe">>, <<"anything">>]].

%% Confirms that the name of the stanza is not looked at, as callback modules know it.
an_available_presence_that_is_routed_looks_like_a_normal_message(_Config) ->
    Presence = #xmlel{name = <<"presence">>},
    host:route(?ALICE, ?BOB, Presence),
    ?assertMatch([#chat_event{type = normal, direction = out, packet = Presence}], events()),
    host:route(?ALICE, ?BOB, Presence#xmlel{attrs = #{<<"type">> => <<"unavailable">>}}),
    ?assertEqual([], events()).

%% Confirms that there is nothing to crash on.
an_accumulator_without_a_stanza_gives_no_event(_Config) ->
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT}),
    ?assertEqual({ok, Acc}, mod_event_pusher_hook_translator:user_send_message(Acc, #{}, #{})),
    ?assertEqual([], events()).

%% Confirms the full JID of the session.
an_unacknowledged_message_is_an_event_of_its_own(_Config) ->
    host:unacknowledged_message(?BOB, ?ALICE, message(<<"chat">>)),
    ?assertEqual([#unack_msg_event{to = jid:from_binary(?BOB)}], events()).

%% Confirms the result of the handler itself.
a_routed_stanza_keeps_all_but_its_accumulator(_Config) ->
    handle(store, 50),
    {From, To, Packet} = {jid:from_binary(?ALICE), jid:from_binary(?BOB), message(<<"chat">>)},
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT,
                             element => Packet, from_jid => From, to_jid => To}),
    {ok, {From, To, NewAcc, Packet}} =
        mod_event_pusher_hook_translator:filter_local_packet({From, To, Acc, Packet}, #{}, #{}),
    ?assertEqual([in_store], [Value || {stored, Value} <- mongoose_acc:get(event_pusher, NewAcc)]).

%% Accumulators

%% Confirms that the namespace event_pusher becomes permanent.
what_a_backend_stores_reaches_the_delivered_message(_Config) ->
    handle(store, 50),
    #{sent := Sent, received := Received} = host:send_message(?ALICE, ?BOB, message(<<"chat">>)),
    ?assertEqual([{stored, in_store}], mongoose_acc:get(event_pusher, Sent)),
    ?assert(lists:member({event_pusher, stored}, mongoose_acc:get_permanent_keys(Sent))),
    ?assertEqual([{stored, in_store}], mongoose_acc:get(event_pusher, Received)).

%% Confirms it for another namespace and for a field.
other_changes_of_the_accumulator_are_discarded(_Config) ->
    handle(change, 50),
    #{sent := Sent} = host:send_message(?ALICE, ?BOB, message(<<"chat">>)),
    ?assertEqual([], mongoose_acc:get(other, Sent)),
    ?assertEqual(?HT, mongoose_acc:lserver(Sent)).

%% The hook push_event

%% Confirms what the first handler gets.
an_event_begins_without_metadata(_Config) ->
    host:user_available(?ALICE),
    receive {event, #{metadata := Metadata}, _, Extra} ->
        ?assertEqual(#{}, Metadata),
        ?assertMatch(#{host_type := ?HT, hook_name := push_event}, Extra)
    after 0 -> ct:fail(no_event)
    end.

%% Confirms it with the filter of the examples.
a_filter_drops_and_enriches_events(_Config) ->
    {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher_filter, #{}),
    host:user_available(?ALICE),
    receive {event, #{metadata := #{session_count := 1, timestamp := Time}}, _, _} ->
        ?assert(is_integer(Time))
    after 0 -> ct:fail(no_event)
    end,
    Hint = #xmlel{name = <<"no-store">>, attrs = #{<<"xmlns">> => <<"urn:xmpp:hints">>}},
    #xmlel{children = Children} = Packet = message(<<"chat">>),
    host:send_message(?ALICE, ?BOB, Packet#xmlel{children = [Hint | Children]}),
    ?assertEqual([], events()),
    host:send_message(?ALICE, ?BOB, Packet),
    ?assertMatch([_, _], events()).

%% Confirms the order by a filter that stops everything.
a_filter_runs_before_the_backends(_Config) ->
    handle(stop_here, 49),
    host:user_available(?ALICE),
    ?assertEqual([], events()),
    handle(tell, 48),
    host:user_available(?BOB),
    ?assertMatch([#user_status_event{}], events()).

%% Confirms that neither the message nor the next handler suffers.
a_crashing_backend_disturbs_nothing(_Config) ->
    handle(crash, 49),
    #{received := Received} = host:send_message(?ALICE, ?BOB, message(<<"chat">>)),
    ?assertNotEqual(drop, Received),
    ?assertMatch([_, _], events()).

%% Modules

%% Confirms the dependencies of all four.
each_configured_backend_becomes_a_module(_Config) ->
    Opts = #{http => #{a => 1}, push => #{b => 2}, rabbit => #{}, sns => #{c => 3}},
    ?assertEqual([{mod_event_pusher_http, #{a => 1}, hard},
                  {mod_event_pusher_push, #{b => 2}, hard},
                  {mod_event_pusher_rabbit, #{}, hard},
                  {mod_event_pusher_sns, #{c => 3}, hard}],
                 lists:sort(mod_event_pusher:deps(?HT, Opts))),
    ?assertEqual([], mod_event_pusher:deps(?HT, #{})).

%% Confirms that options of the module itself are possible.
other_options_are_not_taken_for_backends(_Config) ->
    ?assertEqual([{mod_event_pusher_sns, #{}, hard}],
                 mod_event_pusher:deps(?HT, #{sns => #{}, option => 1})).

%% Confirms the callback of the system metrics.
backends_are_reported_as_metrics(_Config) ->
    ?assertEqual([{none, none}], mod_event_pusher:config_metrics(?HT)),
    mongoose_config:set_opt([{modules, ?HT}, mod_event_pusher],
                            #{rabbit => #{}, sns => #{}, option => 1}),
    ?assertEqual([{backend, rabbit}, {backend, sns}], mod_event_pusher:config_metrics(?HT)).

%% Confirms it for the whole family.
all_modules_support_dynamic_domains(_Config) ->
    [?assertEqual([dynamic_domains], Module:supported_features())
     || Module <- [mod_event_pusher, mod_event_pusher_http, mod_event_pusher_push,
                   mod_event_pusher_rabbit, mod_event_pusher_sns]].

%% Confirms it for each that has a pool of its own; nobody listens.
a_backend_that_could_not_start_can_start_later(_Config) ->
    Sns = sns_rig:opts(#{endpoint => <<"http://127.0.0.1:1">>, region => <<"eu-west-1">>,
                         account_id => <<"123456789012">>, access_key_id => <<"A">>,
                         secret_access_key => <<"S">>}),
    Handler = #{pool_name => http_pool, path => <<>>,
                callback_module => mod_event_pusher_http_defaults},
    Connection = #{host => "127.0.0.1", port => 1, username => <<"u">>, password => <<"p">>,
                   virtual_host => <<"/">>, confirms_enabled => true,
                   reconnect => #{attempts => 0, delay => 10}},
    Exchange = #{name => <<"presence">>, type => <<"topic">>, durable => false},
    mongoose_config:set_opt(outgoing_pools,
                            [#{type => http, scope => global, tag => http_pool,
                               opts => #{workers => 1},
                               conn_opts => #{host => "http://127.0.0.1:1",
                                              path_prefix => <<"/">>, request_timeout => 100}}]),
    Table = [{mod_event_pusher_sns, Sns#{sns_host := "ftp://x"}, Sns},
             {mod_event_pusher_http, #{handlers => [Handler, Handler#{pool_name := absent}]},
              #{handlers => [Handler]}},
             {mod_event_pusher_rabbit, #{presence_exchange => Exchange},
              #{presence_exchange => Exchange, connection => Connection}}],
    [begin
         ?assertError(#{what := _}, mongoose_modules:ensure_started(?HT, Module, Bad)),
         ?assertEqual({started, ok}, mongoose_modules:ensure_started(?HT, Module, Good)),
         ?assertEqual({stopped, Good}, mongoose_modules:ensure_stopped(?HT, Module))
     end || {Module, Bad, Good} <- Table].

%% Handlers of push_event

tell(HookAcc, #{event := Event}, Extra) ->
    ?MODULE ! {event, HookAcc, Event, Extra},
    {ok, HookAcc}.

store(#{acc := Acc} = HookAcc, #{event := #chat_event{direction = in}}, _Extra) ->
    {ok, HookAcc#{acc := mongoose_acc:set(event_pusher, stored, in_store, Acc)}};
store(#{acc := Acc} = HookAcc, #{event := #chat_event{direction = out}}, _Extra) ->
    %% What was stored with the sent message is seen here; a message without it gets it now.
    {ok, HookAcc#{acc := case mongoose_acc:get(event_pusher, Acc) of
                             [] -> mongoose_acc:set(event_pusher, stored, in_store, Acc);
                             [{stored, in_store}] -> Acc
                         end}}.

change(#{acc := Acc} = HookAcc, _Params, _Extra) ->
    {ok, HookAcc#{acc := mongoose_acc:set(other, key, value, Acc#{lserver := <<"changed">>})}}.

stop_here(HookAcc, _Params, _Extra) ->
    {stop, HookAcc}.

crash(_HookAcc, _Params, _Extra) ->
    error(as_the_test_wants).

%% Helpers

handle(Name, Priority) ->
    ok = gen_hook:add_handler(push_event, ?HT, fun ?MODULE:Name/3, #{}, Priority),
    ok = gen_hook:reload_hooks().

%% Handlers run in this process, so their messages are here already.
events() ->
    receive {event, _HookAcc, Event, _Extra} -> [Event | events()] after 0 -> [] end.

act_in_every_way() ->
    host:user_available(?ALICE),
    host:user_unavailable(?ALICE, <<>>),
    host:send_message(?ALICE, ?BOB, message(<<"chat">>)),
    host:unacknowledged_message(?BOB, ?ALICE, message(<<"chat">>)).

message(none) ->
    #xmlel{attrs = Attrs} = Packet = message(<<"chat">>),
    Packet#xmlel{attrs = maps:remove(<<"type">>, Attrs)};
message(Type) ->
    rig:message(Type, <<"Hi">>).
