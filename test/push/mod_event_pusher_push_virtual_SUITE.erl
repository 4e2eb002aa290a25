-module(mod_event_pusher_push_virtual_SUITE).
-moduledoc "Virtual PubSub hosts: notifications that run a hook of the server.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2,
         end_per_testcase/2]).
-export([a_virtual_host_gets_the_payload_through_the_hook_in_a_worker/1,
         a_virtual_host_and_a_service_get_the_same_message/1,
         a_device_that_is_not_registered_is_disabled/1,
         a_device_is_kept_whatever_else_the_hook_returns/1,
         a_crashing_hook_handler_costs_nothing_else/1,
         a_hanging_hook_handler_blocks_no_sender/1,
         a_domain_that_only_looks_like_a_virtual_host_is_a_service/1,
         a_virtual_host_with_a_prefix_is_only_for_users_of_its_domain/1]).
%% Hook handler
-export([push_notifications/3]).

-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(BOB_BARE, <<"bob@localhost">>).
-define(BOBS_PHONE, <<"bob@localhost/phone">>).
-define(SERVICE, <<"push.example">>).
-define(VIRTUAL, <<"virtual.example">>).
-define(WAIT, 10000).

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

%% Confirms who runs the handler and what it gets.
a_virtual_host_gets_the_payload_through_the_hook_in_a_worker(_Config) ->
    start_virtual([{fqdn, ?VIRTUAL}], ok),
    push_rig:enable(?BOB, <<"device@virtual.example/ignored">>, <<"node">>,
                    [{<<"device_id">>, <<"token">>}, {<<"service">>, <<"apns">>}]),
    send(<<"Hi, Bob!">>),
    {Worker, Acc, Params} = notified(),
    ?assert(lists:member(Worker, push_rig:workers())),
    ?assertNotEqual(self(), Worker),
    ?assertEqual(#{notification_forms => [#{<<"message-count">> => <<"1">>,
                                            <<"last-message-sender">> => <<"alice@localhost">>,
                                            <<"last-message-body">> => <<"Hi, Bob!">>}],
                   options => #{<<"device_id">> => <<"token">>, <<"service">> => <<"apns">>}},
                 Params),
    ?assertEqual(jid:from_binary(<<"device@virtual.example">>),
                 mongoose_acc:get(push_notifications, pubsub_jid, Acc)),
    ?assertEqual(jid:from_binary(?BOB), mongoose_acc:to_jid(Acc)),
    push_rig:await_stats(#{delivered => 1, waiting => 0}).

%% Confirms that each gets it once, and that both are remembered.
a_virtual_host_and_a_service_get_the_same_message(_Config) ->
    start_virtual([{fqdn, ?VIRTUAL}], ok),
    push_rig:enable(?BOB, ?VIRTUAL),
    push_rig:enable(?BOB, ?SERVICE),
    Acc = send(<<"Hi">>),
    _ = notified(),
    ?assertMatch({<<"node">>, _}, push_rig:published()),
    _ = push_rig:route_again(Acc),
    push_rig:await_stats(#{accepted => 2, delivered => 2, waiting => 0}),
    not_notified().

%% Confirms that the user's other registrations stay, in storage and in the session.
a_device_that_is_not_registered_is_disabled(_Config) ->
    start_virtual([{fqdn, ?VIRTUAL}], {error, device_not_registered}),
    host:user_connected(?BOB),
    push_rig:enable(?BOB, ?VIRTUAL, <<"gone">>),
    push_rig:enable(?BOBS_PHONE, ?SERVICE, <<"kept">>),
    send(<<"Hi">>),
    _ = notified(),
    ?assertMatch({<<"kept">>, _}, push_rig:published()),
    push_rig:await_stats(#{rejected => 1, delivered => 1, waiting => 0}),
    ?assertMatch(#{reason := rejected, last_cause := <<"device_not_registered">>},
                 log_capture:await(event_pusher_drops)),
    ?assertMatch([{_, <<"kept">>, _}], push_rig:registrations(?BOB_BARE)),
    ?assertEqual({error, not_set},
                 ejabberd_sm:get_info(jid:from_binary(?BOB), publish_service)).

%% Confirms it for other errors and other terms.
a_device_is_kept_whatever_else_the_hook_returns(_Config) ->
    [begin
         start_virtual([{fqdn, ?VIRTUAL}], Result),
         push_rig:enable(?BOB, ?VIRTUAL),
         send(<<"Hi">>),
         _ = notified(),
         Delivered = maps:get(delivered, push_rig:await_stats(#{accepted => 1, waiting => 0})),
         ?assertMatch([_], push_rig:registrations(?BOB_BARE)),
         ok = push_rig:stop_host(),
         Causes = [Cause || #{last_cause := Cause} <- log_capture:rest(event_pusher_drops)],
         ?assertEqual(Counted, {Delivered, Causes})
     end || {Result, Counted} <- [{ok, {1, []}}, {error, {1, []}},
                                  {device_not_registered, {1, []}},
                                  {{error, timeout}, {0, [<<"timeout">>]}},
                                  {{error, {secret, 1}}, {0, [<<"error">>]}}]].

%% Confirms each kind. The server itself logs it, and goes on.
a_crashing_hook_handler_costs_nothing_else(_Config) ->
    [begin
         start_virtual([{fqdn, ?VIRTUAL}], fun() -> erlang:Class(oops) end),
         [push_rig:enable(?BOB, Service) || Service <- [?VIRTUAL, ?SERVICE]],
         ?assertMatch(#{mongoose_acc := true}, send(<<"Hi">>)),
         _ = notified(),
         ?assertMatch({<<"node">>, _}, push_rig:published()),
         ?assertMatch(#{class := Class}, log_capture:await(hook_failed)),
         push_rig:await_stats(#{accepted => 2, delivered => 2, waiting => 0}),
         ?assertMatch([_, _], push_rig:registrations(?BOB_BARE)),
         ok = push_rig:stop_host()
     end || Class <- [error, exit, throw]].

%% Confirms it with all workers at work: if a sender waited, this case would never end.
a_hanging_hook_handler_blocks_no_sender(_Config) ->
    start_virtual([{fqdn, ?VIRTUAL}], fun() -> receive go_on -> ok end end,
                  #{wpool => #{workers => 2, strategy => available_worker, call_timeout => 5000}}),
    push_rig:enable(?BOB, ?VIRTUAL),
    [?assertMatch(#{mongoose_acc := true}, send(integer_to_binary(N))) || N <- lists:seq(1, 10)],
    Hanging = [Worker || {Worker, _, _} <- [notified(), notified()]],
    ?assertMatch(#{accepted := 10, delivered := 0, in_flight := 2}, push_rig:stats()),
    [Worker ! go_on || Worker <- Hanging],
    [begin {Worker, _, _} = notified(), Worker ! go_on end || _ <- lists:seq(1, 8)],
    push_rig:await_stats(#{delivered => 10, waiting => 0}).

%% Confirms it for longer and shorter names and for a subdomain.
a_domain_that_only_looks_like_a_virtual_host_is_a_service(_Config) ->
    start_virtual([{fqdn, ?VIRTUAL}, {prefix, <<"virtual.">>}], ok),
    Domains = [<<"avirtual.example">>, <<"virtual.example.org">>, <<"a.virtual.example">>,
               <<"virtual.exampl">>, <<"avirtual.localhost">>, <<"virtuallocalhost">>],
    [begin
         host:add_component(Domain),
         push_rig:enable(?BOB, Domain, Domain)
     end || Domain <- Domains],
    send(<<"Hi">>),
    ?assertEqual(lists:sort(Domains), push_rig:nodes_published(length(Domains))),
    not_notified().

%% Confirms it for two domains of one host type, with the pattern as the configuration makes it.
a_virtual_host_with_a_prefix_is_only_for_users_of_its_domain(_Config) ->
    start_virtual([mongoose_subdomain_utils:make_subdomain_pattern("virtual.@HOST@")], ok),
    host:add_domain(<<"example.org">>, ?HT),
    Carol = <<"carol@example.org/desk">>,
    host:add_component(<<"virtual.example.org">>),
    [push_rig:enable(User, <<"virtual.example.org">>) || User <- [?BOB, Carol]],
    host:send_message(?ALICE, Carol, rig:message(<<"chat">>, <<"to the hook">>)),
    ?assertMatch({_, _, #{notification_forms := [#{<<"last-message-body">> := <<"to the hook">>}]}},
                 notified()),
    push_rig:await_stats(#{delivered => 1, waiting => 0}),
    send(<<"to the service">>),
    ?assertMatch({_, [_, _, {<<"last-message-body">>, <<"to the service">>}]}, push_rig:published()),
    not_notified().

%% The handler of the hook

start_virtual(Patterns, Result) ->
    start_virtual(Patterns, Result, #{}).

%% The result, or a function that is called in the worker.
start_virtual(Patterns, Result, Different) ->
    ok = push_rig:start_host(Different#{virtual_pubsub_hosts => Patterns}),
    ok = host:add_component(?SERVICE),
    ok = gen_hook:add_handler(push_notifications, ?HT, fun ?MODULE:push_notifications/3,
                              #{test => self(), result => Result}, 50),
    ok = gen_hook:reload_hooks().

push_notifications(Acc, Params, #{test := Test, result := Result}) ->
    Test ! {notified, self(), Acc, Params},
    {ok, case Result of
             Fun when is_function(Fun) -> Fun();
             Term -> Term
         end}.

notified() ->
    receive {notified, Worker, Acc, Params} -> {Worker, Acc, Params}
    after ?WAIT -> ct:fail(hook_did_not_run)
    end.

not_notified() ->
    receive {notified, _, _, Params} -> ct:fail({notified, Params}) after 0 -> ok end.

%% Helpers

%% Gives what the accumulator is after the delivery.
send(Body) ->
    #{received := Acc} = host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, Body)),
    Acc.
