-module(host_hooks_SUITE).
-moduledoc "Holds hooks, and the users whose acts run them, to the behaviour of a server.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([handlers_run_by_priority_and_then_in_order_of_registration/1,
         a_handler_counts_from_the_next_reload_on/1,
         a_crash_keeps_the_previous_acc_and_the_next_handler_runs/1,
         another_return_value_crashes_the_caller/1,
         stop_ends_the_chain/1,
         a_hook_without_handlers_gives_the_acc_back/1,
         extra_tells_the_hook_and_registered_keys_win/1,
         only_exported_functions_of_modules_can_be_handlers/1,
         a_handler_is_not_added_twice/1,
         deleting_a_missing_handler_changes_nothing/1,
         runs_of_a_hook_are_counted/1,
         handlers_run_in_the_calling_process/1,
         push_event_starts_without_metadata/1,
         a_hook_without_a_host_type_is_not_run/1,
         a_user_becomes_available_only_once/1,
         a_user_becomes_unavailable_only_once/1,
         an_unacknowledged_message_belongs_to_its_recipient/1,
         a_message_is_sent_and_then_delivered/1,
         only_permanent_keys_reach_the_recipient/1,
         a_stopped_message_is_not_delivered/1,
         a_dropped_message_is_told_from_a_delivered_one/1,
         a_message_to_another_server_is_not_delivered_here/1,
         delivery_runs_for_the_host_type_of_the_recipient/1,
         any_stanza_can_be_routed/1]).
-export([add_name/3, crash/3, stop_here/3, wrong_return/3, report/3, mark/3, drop/3, log/2]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other type">>).

all() ->
    Helpers = [module_info],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    ok = host:start(#{?HT => #{}, ?OTHER_HT => #{}}, #{host_types => [?OTHER_HT]}),
    ok = host:add_domain(<<"dynamic.example">>, ?OTHER_HT),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{pid => self()}}),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = logger:remove_handler(?MODULE),
    host:stop().

%% Running hooks

%% Confirms the order in which handlers see the acc.
handlers_run_by_priority_and_then_in_order_of_registration(_Config) ->
    Order = [{late, 90}, {first, 10}, {middle_a, 50}, {middle_b, 50}, {early, 20}],
    [add(fun ?MODULE:add_name/3, #{name => Name}, Priority) || {Name, Priority} <- Order],
    gen_hook:reload_hooks(),
    ?assertEqual({ok, [first, early, middle_a, middle_b, late]}, run([])).

%% Confirms that both adding and deleting wait for reload_hooks/0.
a_handler_counts_from_the_next_reload_on(_Config) ->
    add(fun ?MODULE:add_name/3, #{name => a}, 50),
    ?assertEqual({ok, []}, run([])),
    gen_hook:reload_hooks(),
    ?assertEqual({ok, [a]}, run([])),
    gen_hook:delete_handler(toy_hook, ?HT, fun ?MODULE:add_name/3, #{name => a}, 50),
    ?assertEqual({ok, [a]}, run([])),
    gen_hook:reload_hooks(),
    ?assertEqual({ok, []}, run([])).

%% Confirms that a crash of any class costs its own handler's result only, and is logged.
a_crash_keeps_the_previous_acc_and_the_next_handler_runs(_Config) ->
    add(fun ?MODULE:add_name/3, #{name => before}, 1),
    [add(fun ?MODULE:crash/3, #{class => Class}, 2) || Class <- [error, throw, exit]],
    add(fun ?MODULE:add_name/3, #{name => 'after'}, 3),
    gen_hook:reload_hooks(),
    ?assertEqual({ok, [before, 'after']}, run([])),
    [?assertMatch(#{class := Class, reason := oops, stacktrace := _, acc := [before],
                    key := {toy_hook, ?HT}, params := #{p := 1}, handler := _}, logged(hook_failed))
     || Class <- [error, throw, exit]].

%% Confirms that nothing protects the caller from a handler that breaks its contract.
another_return_value_crashes_the_caller(_Config) ->
    add(fun ?MODULE:wrong_return/3, #{}, 50),
    gen_hook:reload_hooks(),
    ?assertError({case_clause, wrong}, run([])).

%% Confirms that a handler after a stop does not run.
stop_ends_the_chain(_Config) ->
    add(fun ?MODULE:add_name/3, #{name => before}, 1),
    add(fun ?MODULE:stop_here/3, #{}, 2),
    add(fun ?MODULE:add_name/3, #{name => 'after'}, 3),
    gen_hook:reload_hooks(),
    ?assertEqual({stop, [before, stopped]}, run([])).

%% Confirms it for an unknown hook and for an unknown tag.
a_hook_without_handlers_gives_the_acc_back(_Config) ->
    add(fun ?MODULE:add_name/3, #{name => a}, 50),
    gen_hook:reload_hooks(),
    ?assertEqual({ok, []}, gen_hook:run_fold(no_such_hook, ?HT, [], #{})),
    ?assertEqual({ok, []}, gen_hook:run_fold(toy_hook, <<"elsewhere">>, [], #{})),
    ?assertEqual({ok, []}, gen_hook:run_fold(toy_hook, global, [], #{})).

%% Confirms the third argument of handlers, for host type and global hooks.
extra_tells_the_hook_and_registered_keys_win(_Config) ->
    Report = fun ?MODULE:report/3,
    gen_hook:add_handlers([{toy_hook, ?HT, Report, #{own => 1, hook_tag => mine}, 50},
                           {global_hook, global, Report, #{}, 50}]),
    gen_hook:reload_hooks(),
    run(acc),
    ?assertEqual({self(), acc, #{p => 1}, #{own => 1, hook_name => toy_hook, hook_tag => mine,
                                            host_type => ?HT}}, reported()),
    gen_hook:run_fold(global_hook, global, acc, #{}),
    ?assertEqual({self(), acc, #{}, #{hook_name => global_hook, hook_tag => global}}, reported()).

%% Confirms the checks when a handler is added.
only_exported_functions_of_modules_can_be_handlers(_Config) ->
    ?assertError(#{what := only_external_function_references_allowed},
                 add(fun(Acc, _, _) -> {ok, Acc} end, #{}, 50)),
    ?assertError(#{what := module_is_not_loaded}, add(fun no_such_module:f/3, #{}, 50)),
    ?assertError(#{what := function_is_not_exported}, add(fun ?MODULE:no_such_function/3, #{}, 50)),
    ?assertError(function_clause, add(fun ?MODULE:log/2, #{}, 50)),
    ?assertError(function_clause, add(fun ?MODULE:report/3, #{}, 0)),
    ?assertError(function_clause, add(fun ?MODULE:report/3, [], 50)),
    ?assertError(function_clause,
                 gen_hook:add_handler(toy_hook, other_tag, fun ?MODULE:report/3, #{}, 50)).

%% Confirms what makes two handlers equal: priority, extra and function.
a_handler_is_not_added_twice(_Config) ->
    add(fun ?MODULE:add_name/3, #{name => a}, 50),
    add(fun ?MODULE:add_name/3, #{name => a}, 50),
    ?assertMatch(#{key := {toy_hook, ?HT}}, logged(duplicated_handler)),
    add(fun ?MODULE:add_name/3, #{name => a}, 51),
    add(fun ?MODULE:add_name/3, #{name => b}, 50),
    gen_hook:reload_hooks(),
    ?assertEqual({ok, [a, b, a]}, run([])).

%% Confirms it next to a handler that differs in priority only.
deleting_a_missing_handler_changes_nothing(_Config) ->
    add(fun ?MODULE:add_name/3, #{name => a}, 50),
    ok = gen_hook:delete_handler(toy_hook, ?HT, fun ?MODULE:add_name/3, #{name => a}, 51),
    ok = gen_hook:delete_handler(no_such_hook, ?HT, fun ?MODULE:add_name/3, #{}, 50),
    gen_hook:reload_hooks(),
    ?assertEqual({ok, [a]}, run([])).

%% Confirms the metric of a hook from its first handler to its last.
runs_of_a_hook_are_counted(_Config) ->
    Handler = {toy_hook, ?HT, fun ?MODULE:add_name/3, #{name => a}, 50},
    Labels = #{host_type => ?HT},
    Count = fun() -> host_metrics:total(hook_toy_hook, Labels, count) end,
    gen_hook:add_handlers([Handler]),
    run([]),
    ?assertEqual(0, Count()),
    gen_hook:reload_hooks(),
    run([]),
    run([]),
    ?assertEqual(2, Count()),
    gen_hook:delete_handlers([Handler]),
    ?assertEqual({ok, [a]}, run([])),
    ?assertError(#{what := event_not_registered},
                 mongoose_instrument:execute(hook_toy_hook, Labels, #{count => 1})).

%% Confirms that a hook has no process of its own.
handlers_run_in_the_calling_process(_Config) ->
    subscribe(),
    add(fun ?MODULE:report/3, #{}, 50),
    gen_hook:reload_hooks(),
    Caller = spawn_link(fun() -> run(acc) end),
    ?assertMatch({Caller, acc, _, _}, reported(Caller)).

%% Confirms the accumulator and params of push_event, and that a stop gives its result, too.
push_event_starts_without_metadata(_Config) ->
    Acc = acc(#{host_type => ?HT}),
    ?assertEqual(#{acc => Acc, metadata => #{}}, mongoose_hooks:push_event(Acc, {event})),
    subscribe(),
    gen_hook:add_handler(push_event, ?HT, fun ?MODULE:report/3, #{}, 50),
    gen_hook:reload_hooks(),
    ?assertEqual(#{acc => Acc, metadata => #{}}, mongoose_hooks:push_event(Acc, {event})),
    ?assertMatch({_, #{acc := Acc, metadata := #{}}, #{event := {event}}, #{host_type := ?HT}},
                 reported()).

%% Confirms that a hook needs a host type, and that its absence is logged.
a_hook_without_a_host_type_is_not_run(_Config) ->
    Acc = acc(#{}),
    ?assertEqual(Acc, mongoose_hooks:user_available(Acc, jid:from_binary(<<"a@localhost/r">>))),
    ?assertMatch(#{hook_name := user_available}, logged(undefined_host_type)).

%% Users

%% Confirms params, session table and that a second presence runs no hook.
a_user_becomes_available_only_once(_Config) ->
    handle(user_available, ?HT),
    Jid = jid:from_binary(<<"alice@localhost/r">>),
    ?assert(ejabberd_sm:is_offline(Jid)),
    Acc = host:user_available(<<"Alice@localhost/r">>),
    ?assertEqual({?HT, <<"localhost">>, Jid}, place(Acc)),
    ?assertMatch({_, _, #{jid := Jid}, _}, reported()),
    host:user_available(Jid),
    ?assertEqual(none, reported_already()),
    ?assertEqual([{0, <<"r">>}], ejabberd_sm:get_user_present_resources(Jid)),
    ?assertNot(ejabberd_sm:is_offline(Jid)),
    ?assertMatch([_], ejabberd_sm:get_raw_sessions(jid:to_bare(Jid))).

%% Confirms params, session table and that a user who is not there runs no hook.
a_user_becomes_unavailable_only_once(_Config) ->
    handle(unset_presence, ?HT),
    Jid = jid:from_binary(<<"alice@localhost/r">>),
    host:user_unavailable(Jid, <<"bye">>),
    ?assertEqual(none, reported_already()),
    host:user_available(Jid),
    Acc = host:user_unavailable(Jid, <<"bye">>),
    ?assertEqual(<<"unavailable">>, mongoose_acc:stanza_type(Acc)),
    ?assertMatch({_, _, #{jid := Jid, status := <<"bye">>}, _}, reported()),
    ?assert(ejabberd_sm:is_offline(Jid)).

%% Confirms the acc of a buffered message, new or taken over from its delivery.
an_unacknowledged_message_belongs_to_its_recipient(_Config) ->
    handle(unacknowledged_message, ?HT),
    Bob = <<"bob@localhost/r">>,
    Acc = host:unacknowledged_message(Bob, <<"alice@dynamic.example/r">>, message()),
    ?assertMatch({?HT, <<"localhost">>, _}, place(Acc)),
    BobJid = jid:from_binary(Bob),
    ?assertMatch({_, Acc, #{jid := BobJid}, _}, reported()),
    #{received := Received} = host:send_message(<<"alice@localhost/r">>, Bob, message()),
    ?assertEqual(Received, host:unacknowledged_message(Bob, Received)).

%% Messages

%% Confirms both hooks with their accumulators, and their order.
a_message_is_sent_and_then_delivered(_Config) ->
    handle(user_send_message, ?HT),
    handle(filter_local_packet, ?HT),
    Packet = message(),
    From = jid:from_binary(<<"alice@localhost/r">>),
    To = jid:from_binary(<<"bob@localhost">>),
    #{sent := Sent, received := Received} = host:send_message(From, To, Packet),
    {_, Sent, Params, _} = reported(),
    ?assertEqual([c2s_data, c2s_state, event_content, event_type, reason],
                 lists:sort(maps:keys(Params))),
    {_, {From, To, FilterAcc, Packet}, NoParams, _} = reported(),
    ?assertEqual(#{}, NoParams),
    ?assertEqual({From, To, Packet}, mongoose_acc:packet(Sent)),
    ?assertEqual({From, To, Packet}, mongoose_acc:packet(FilterAcc)),
    ?assertEqual({From, To, Packet}, mongoose_acc:packet(Received)).

%% Confirms the strip between sending and delivery.
only_permanent_keys_reach_the_recipient(_Config) ->
    gen_hook:add_handler(user_send_message, ?HT, fun ?MODULE:mark/3, #{}, 90),
    gen_hook:reload_hooks(),
    #{sent := Sent, received := Received} =
        host:send_message(<<"alice@localhost/r">>, <<"bob@localhost">>, message()),
    ?assertEqual([{lasting, 1}, {passing, 2}], lists:sort(mongoose_acc:get(toy, Sent))),
    ?assertEqual([{lasting, 1}], mongoose_acc:get(toy, Received)).

%% Confirms that a handler of the sender's server can hold a message back.
a_stopped_message_is_not_delivered(_Config) ->
    handle(filter_local_packet, ?HT),
    gen_hook:add_handler(user_send_message, ?HT, fun ?MODULE:drop/3, #{}, 50),
    gen_hook:reload_hooks(),
    Result = host:send_message(<<"alice@localhost/r">>, <<"bob@localhost">>, message()),
    ?assertEqual(#{sent => drop}, Result),
    ?assertEqual(none, reported_already()).

%% Confirms the drop by a filter, which handlers of lower priority then do not see.
a_dropped_message_is_told_from_a_delivered_one(_Config) ->
    handle(filter_local_packet, ?HT),
    gen_hook:add_handler(filter_local_packet, ?HT, fun ?MODULE:drop/3, #{}, 79),
    gen_hook:reload_hooks(),
    ?assertMatch(#{received := drop},
                 host:send_message(<<"alice@localhost/r">>, <<"bob@localhost">>, message())),
    ?assertEqual(none, reported_already()).

%% Confirms that a domain without a host type is left to others.
a_message_to_another_server_is_not_delivered_here(_Config) ->
    ?assertMatch(#{received := not_local},
                 host:send_message(<<"alice@localhost/r">>, <<"bob@far.example">>, message())).

%% Confirms that the acc is the recipient's while it is delivered and the sender's afterwards.
delivery_runs_for_the_host_type_of_the_recipient(_Config) ->
    handle(filter_local_packet, ?OTHER_HT),
    #{received := Received} =
        host:send_message(<<"alice@localhost/r">>, <<"bob@dynamic.example">>, message()),
    {_, {_, _, FilterAcc, _}, _, #{host_type := ?OTHER_HT}} = reported(),
    ?assertMatch({?OTHER_HT, <<"dynamic.example">>, _}, place(FilterAcc)),
    ?assertMatch({?HT, <<"localhost">>, _}, place(Received)).

%% Confirms that the filter sees a presence as well.
any_stanza_can_be_routed(_Config) ->
    handle(filter_local_packet, ?HT),
    Presence = #xmlel{name = <<"presence">>},
    Acc = host:route(<<"alice@localhost/r">>, <<"bob@localhost">>, Presence),
    ?assertMatch({_, {_, _, _, Presence}, _, _}, reported()),
    ?assertEqual({<<"presence">>, undefined},
                 {mongoose_acc:stanza_name(Acc), mongoose_acc:stanza_type(Acc)}).

%% Handlers

add_name(Names, _Params, #{name := Name}) ->
    {ok, Names ++ [Name]}.

crash(_Acc, _Params, #{class := Class}) ->
    erlang:raise(Class, oops, []).

stop_here(Names, _Params, _Extra) ->
    {stop, Names ++ [stopped]}.

wrong_return(_Acc, _Params, _Extra) ->
    wrong.

report(Acc, Params, Extra) ->
    ?MODULE ! {reported, self(), Acc, Params, Extra},
    {ok, Acc}.

mark(Acc, _Params, _Extra) ->
    {ok, mongoose_acc:set_permanent(toy, lasting, 1, mongoose_acc:set(toy, passing, 2, Acc))}.

drop(_Acc, _Params, _Extra) ->
    {stop, drop}.

%% The logger calls this.
log(#{msg := {report, Report}}, #{config := #{pid := Pid}}) ->
    Pid ! {logged, Report};
log(_Event, _Config) ->
    ok.

%% Helpers

add(Function, Extra, Priority) ->
    gen_hook:add_handler(toy_hook, ?HT, Function, Extra, Priority).

run(Acc) ->
    subscribe(),
    gen_hook:run_fold(toy_hook, ?HT, Acc, #{p => 1}).

handle(HookName, HostType) ->
    subscribe(),
    gen_hook:add_handler(HookName, HostType, fun ?MODULE:report/3, #{}, 80),
    gen_hook:reload_hooks().

%% Handlers report to the process of the case.
subscribe() ->
    whereis(?MODULE) =:= undefined andalso register(?MODULE, self()),
    ok.

reported() ->
    reported(self()).

reported(Caller) ->
    receive
        {reported, Caller, Acc, Params, Extra} -> {Caller, Acc, Params, Extra}
    after 5000 -> error(nothing_reported)
    end.

%% For handlers that ran in this process, so that their reports are here already.
reported_already() ->
    receive
        {reported, _, _, _, _} = Report -> Report
    after 0 -> none
    end.

logged(What) ->
    receive
        {logged, Report = #{what := What}} -> Report
    after 5000 -> error({not_logged, What})
    end.

acc(Params) ->
    mongoose_acc:new(maps:merge(#{location => #{}, lserver => <<"localhost">>}, Params)).

place(Acc) ->
    {mongoose_acc:host_type(Acc), mongoose_acc:lserver(Acc), mongoose_acc:from_jid(Acc)}.

message() ->
    #xmlel{name = <<"message">>, attrs = #{<<"type">> => <<"chat">>},
           children = [#xmlel{name = <<"body">>, children = [#xmlcdata{content = <<"Hi">>}]}]}.
