-module(event_pusher_rules_SUITE).
-moduledoc "Rules: which event goes to which backend, with what, and what is counted.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, end_per_testcase/2]).
-export([nothing_is_there_without_rules/1,
         the_first_rule_that_matches_decides/1,
         each_backend_is_decided_for_by_itself/1,
         all_conditions_of_a_rule_have_to_be_met/1,
         each_kind_of_event_has_a_name/1,
         conditions_about_messages_leave_presence_alone/1,
         an_unacknowledged_message_has_a_sender_and_a_packet/1,
         a_recipient_is_online_with_a_priority_of_at_least_0/1,
         sessions_are_looked_up_once_and_only_if_needed/1,
         hosts_are_domains_of_whom_the_event_is_about/1,
         what_no_backend_gets_ends_at_the_rules/1,
         metadata_of_the_later_rule_counts/1,
         metadata_may_be_for_some_backends_only/1,
         a_filter_that_forgets_the_verdict_changes_nothing/1,
         rules_decide_as_their_description_does/1,
         dropped_events_are_counted_for_configured_backends/1,
         a_verdict_counts_also_while_the_metric_is_gone/1,
         rules_that_cannot_be_used_leave_nothing_behind/1,
         rules_change_with_the_module/1]).
%% Handlers of push_event
-export([tell/3, forget/3, add/3]).

-include_lib("stdlib/include/assert.hrl").
-include("mod_event_pusher_events.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost">>).
-define(BOB, <<"bob@localhost">>).
-define(ALL, [sns, http, rabbit, push]).
-define(DROPPED, event_pusher_rules).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports),
             not lists:member(Case, [init_per_suite, end_per_suite, module_info])].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    rules_rig:start_suite(Config).

end_per_suite(Config) ->
    rules_rig:stop_suite(Config).

end_per_testcase(_Case, _Config) ->
    rules_rig:stop_host().

%% Confirms it for handlers, metrics and what handlers pass on.
nothing_is_there_without_rules(Config) ->
    start([], Config),
    ?assertEqual([], [Spec || {?DROPPED, _, _} = Spec <- mongoose_instrument:registered()]),
    handle(tell, 49),
    ok = send(),
    ?assertMatch([#{acc := _, metadata := #{}} = HookAcc] when map_size(HookAcc) =:= 2, told()).

%% Confirms it for both actions, and that what matches nothing is kept.
the_first_rule_that_matches_decides(Config) ->
    From = fun(User, Action) -> #{from => [User], action => Action} end,
    start([From(?ALICE, <<"keep">>), From(<<"*@localhost">>, <<"drop">>), From(?BOB, <<"keep">>)], Config),
    ?assertEqual([sns, http, rabbit], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    ?assertEqual([], pushed(<<"chat_sent">>, ?BOB, ?ALICE)),
    ?assertEqual([rabbit, push], pushed(<<"chat_received">>, <<"carol@elsewhere">>, ?BOB)).

%% Confirms that a later rule is asked for the others, and none for those that are decided for.
each_backend_is_decided_for_by_itself(Config) ->
    start([#{backends => [<<"sns">>], action => <<"keep">>},
           #{backends => [<<"sns">>, <<"http">>], action => <<"drop">>},
           #{backends => [<<"push">>], action => <<"drop">>}], Config),
    ?assertEqual([sns, rabbit], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    ?assertEqual([rabbit], pushed(<<"chat_received">>, ?ALICE, ?BOB)).

%% Confirms it for each condition: a rule that drops does so only if the last one is met as well.
all_conditions_of_a_rule_have_to_be_met(Config) ->
    Met = #{events => [<<"unacknowledged">>, <<"chat_sent">>], hosts => [<<"*">>], from => [?ALICE], to => [?BOB],
            recipient => <<"offline">>, has_body => true, hints => [<<"store">>, <<"no-copy">>]},
    Unmet = #{events => [<<"chat_received">>], hosts => [<<"example.com">>], from => [?BOB], to => [?ALICE],
              recipient => <<"online">>, has_body => false, hints => [<<"no-store">>]},
    Message = rules_rig:message(#{hints => [<<"no-copy">>]}),
    Pushed = fun(Rule) ->
        start([Rule#{action => <<"drop">>}], Config),
        Seen = rules_rig:pushed([?HT], fun() -> rules_rig:act(<<"chat_sent">>, ?ALICE, ?BOB, Message) end),
        rules_rig:stop_host(),
        Seen
    end,
    ?assertEqual([], Pushed(Met)),
    [?assertEqual({Key, [sns, http, rabbit]}, {Key, Pushed(Met#{Key := Value})})
     || {Key, Value} <- maps:to_list(Unmet)],
    [?assertEqual({Key, []}, {Key, Pushed(maps:with([Key], Met))}) || Key <- maps:keys(Met)].

%% Confirms all names with events that are pushed without rules, by a rule that is about the one kind.
each_kind_of_event_has_a_name(Config) ->
    Kinds = [Name || {Name, _} <- event_pusher_rules_event:kinds()],
    ?assertEqual(11, length(lists:usort(Kinds))),
    start([#{events => [Kind], metadata => #{kind => binary_to_atom(Kind)}} || Kind <- Kinds], Config),
    handle(tell, 49),
    [begin
         Type = hd(binary:split(Kind, <<"_">>)),
         ok = rules_rig:act(Kind, ?ALICE, ?BOB, rules_rig:message(#{type => Type})),
         ?assertMatch([#{metadata := #{kind := Kind}}], told())
     end || Kind <- Kinds].

%% Confirms it for each of them, in both values.
conditions_about_messages_leave_presence_alone(Config) ->
    start([#{Key => Value, action => <<"drop">>}
           || {Key, Value} <- [{has_body, true}, {has_body, false}, {hints, [<<"store">>]}, {to, [<<"*">>]},
                               {recipient, <<"online">>}, {recipient, <<"offline">>}]], Config),
    ?assertEqual([sns, rabbit], pushed(<<"presence_online">>, ?ALICE, none)),
    ?assertEqual([sns, rabbit], pushed(<<"presence_offline">>, ?ALICE, none)).

%% Confirms that they are those of the accumulator, and that one without a stanza meets neither.
an_unacknowledged_message_has_a_sender_and_a_packet(Config) ->
    start([#{from => [?ALICE], has_body => true, to => [?BOB], hosts => [?HT], metadata => #{x => 1}}], Config),
    handle(tell, 49),
    ok = rules_rig:act(<<"unacknowledged">>, ?ALICE, ?BOB, rules_rig:message(#{})),
    ?assertMatch([#{metadata := #{x := 1}}], told()),
    ok = rules_rig:act(<<"unacknowledged">>, ?ALICE, ?BOB, rules_rig:message(#{body => none})),
    ?assertMatch([#{metadata := Empty}] when map_size(Empty) =:= 0, told()),
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT}),
    _ = mod_event_pusher:push_event(Acc, #unack_msg_event{to = jid:from_binary(?BOB)}),
    ?assertMatch([#{metadata := Empty}] when map_size(Empty) =:= 0, told()).

%% Confirms it for sessions with and without a presence, for others than users, and for several resources.
a_recipient_is_online_with_a_priority_of_at_least_0(Config) ->
    start([#{recipient => Word, metadata => #{recipient => binary_to_atom(Word)}}
           || Word <- [<<"online">>, <<"offline">>]], Config),
    handle(tell, 49),
    Seen = fun(To) ->
        ok = rules_rig:act(<<"chat_sent">>, ?ALICE, To, rules_rig:message(#{})),
        [#{metadata := Metadata}] = told(),
        maps:get(recipient, Metadata, neither)
    end,
    ?assertEqual(<<"offline">>, Seen(?BOB)),
    ok = host:user_connected(<<?BOB/binary, "/phone">>),
    ?assertEqual(<<"offline">>, Seen(?BOB)),
    _ = host:user_available(<<?BOB/binary, "/laptop">>),
    [#{metadata := #{}}] = told(),
    ?assertEqual(<<"online">>, Seen(?BOB)),
    ?assertEqual(<<"online">>, Seen(<<?BOB/binary, "/phone">>)),
    ?assertEqual([neither, neither], [Seen(To) || To <- [<<"garden@muc.localhost">>, <<"bob@elsewhere">>]]),
    true = ets:delete(ejabberd_sm),
    ?assertEqual(neither, Seen(?BOB)).

%% Confirms it by the calls that are made.
sessions_are_looked_up_once_and_only_if_needed(Config) ->
    Asking = #{from => [?ALICE], recipient => <<"online">>, action => <<"drop">>},
    start([#{events => [<<"chat_received">>], recipient => <<"offline">>}, Asking, Asking], Config),
    1 = erlang:trace_pattern({ejabberd_sm, is_offline, 1}, true, []),
    ?assertEqual(1, look_ups(fun() -> pushed(<<"chat_sent">>, ?ALICE, ?BOB) end)),
    ?assertEqual(0, look_ups(fun() -> pushed(<<"chat_sent">>, ?BOB, ?ALICE) end)).

look_ups(Act) ->
    {Pid, Monitor} = spawn_monitor(fun() -> receive go -> Act() end end),
    1 = erlang:trace(Pid, true, [call]),
    Pid ! go,
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> ok end,
    length(traced(Pid)).

traced(Pid) ->
    receive {trace, Pid, call, Call} -> [Call | traced(Pid)] after 0 -> [] end.

%% Confirms the sender's, the recipient's and that of presence, on a host type with several domains.
hosts_are_domains_of_whom_the_event_is_about(Config) ->
    start([#{hosts => [<<"acme.*">>], metadata => #{tenant => acme}}], Config),
    ok = host:add_domain(<<"acme.example">>, ?HT),
    handle(tell, 49),
    [begin
         ok = rules_rig:act(Kind, From, To, rules_rig:message(#{})),
         [#{metadata := Metadata}] = told(),
         ?assertEqual({Kind, From, To, Wanted}, {Kind, From, To, Metadata})
     end || {Kind, From, To, Wanted} <-
                [{<<"chat_sent">>, <<"a@acme.example">>, ?BOB, #{tenant => <<"acme">>}},
                 {<<"chat_sent">>, ?BOB, <<"a@acme.example">>, #{}},
                 {<<"chat_received">>, ?BOB, <<"a@acme.example">>, #{tenant => <<"acme">>}},
                 {<<"chat_received">>, <<"a@acme.example">>, ?BOB, #{}},
                 {<<"unacknowledged">>, ?BOB, <<"a@acme.example">>, #{tenant => <<"acme">>}},
                 {<<"presence_online">>, <<"a@acme.example">>, none, #{tenant => <<"acme">>}}]].

%% Confirms that filters with a larger number and handlers behind the backends do not see it, unless a backend gets it.
what_no_backend_gets_ends_at_the_rules(Config) ->
    start([#{from => [?ALICE], action => <<"drop">>},
           #{backends => [<<"sns">>, <<"http">>, <<"rabbit">>], action => <<"drop">>}], Config),
    [handle(tell, Priority) || Priority <- [19, 21, 51]],
    ?assertEqual([], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    ?assertEqual([[acc, metadata]], [maps:keys(HookAcc) || HookAcc <- told()]),
    ?assertEqual([], pushed(<<"chat_sent">>, ?BOB, ?ALICE)),
    ?assertMatch([_, _, _], told()).

%% Confirms it for kinds of values, and beside what filters add before and after.
metadata_of_the_later_rule_counts(Config) ->
    start([#{metadata => #{a => one, b => 1, c => 1}, metadata_booleans => #{yes => true},
             metadata_floats => #{half => 0.5}},
           #{has_body => false, metadata => #{d => 3}},
           #{metadata => #{b => 2, true => true}},
           #{action => <<"keep">>, metadata => #{e => 1}},
           #{metadata => #{f => 1}}], Config),
    [handle(add, Priority) || Priority <- [10, 30]],
    handle(tell, 49),
    ?assertEqual([sns, http, rabbit], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    Wanted = #{a => <<"one">>, b => 2, c => 30, e => 1, yes => true, half => 0.5, true => <<"true">>, filter => 30},
    [#{metadata := Metadata}] = told(),
    ?assertEqual(Wanted, Metadata),
    ?assertEqual([{<<"a">>, <<"one">>}, {<<"b">>, <<"2">>}, {<<"c">>, <<"30">>}, {<<"e">>, <<"1">>},
                  {<<"filter">>, <<"30">>}, {<<"half">>, <<"0.5">>}, {<<"true">>, <<"true">>},
                  {<<"yes">>, <<"true">>}], rules_rig:metadata(Config)).

%% Confirms that the others do not see it, that filters do not, and that it comes last.
metadata_may_be_for_some_backends_only(Config) ->
    start([#{backends => [<<"http">>], metadata => #{c => 1, who => http}},
           #{backends => [<<"sns">>, <<"rabbit">>], metadata => #{who => others}},
           #{metadata => #{who_not => push}}], Config),
    handle(add, 30),
    handle(tell, 49),
    ok = send(),
    [#{metadata := Metadata} = HookAcc] = told(),
    ?assertEqual(#{c => 30, filter => 30}, Metadata),
    ?assertEqual([{<<"c">>, <<"1">>}, {<<"filter">>, <<"30">>}, {<<"who">>, <<"http">>}, {<<"who_not">>, <<"push">>}],
                 rules_rig:metadata(Config)),
    [?assertEqual(#{c => 30, filter => 30, who => <<"others">>, who_not => <<"push">>},
                  maps:get(metadata, event_pusher_rules:apply_to(Backend, HookAcc, event, ?HT)))
     || Backend <- [sns, rabbit]].

%% Confirms it for each backend, and for one that makes an accumulator of its own.
a_filter_that_forgets_the_verdict_changes_nothing(Config) ->
    [begin
         start([#{backends => [atom_to_binary(Backend)], action => <<"drop">>}], Config),
         handle(forget, 30),
         ?assertEqual([sns, http, rabbit] -- [Backend], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
         ?assertEqual([rabbit, push] -- [Backend], pushed(<<"chat_received">>, ?ALICE, ?BOB)),
         rules_rig:stop_host()
     end || Backend <- ?ALL].

%% Confirms it for each backend by itself, with rules and events at random: a rule that matches ends the search unless
%% it only adds metadata.
rules_decide_as_their_description_does(Config) ->
    _ = rand:seed(exsss, {4, 5, 6}),
    Verdicts = [begin
                    Rules = [random_rule() || _ <- lists:seq(1, rand:uniform(6))],
                    start(Rules, Config),
                    handle(tell, 49),
                    Seen = [verdicts(Rules, random_message()) || _ <- lists:seq(1, 20)],
                    rules_rig:stop_host(),
                    Seen
                end || _ <- lists:seq(1, 40)],
    Counts = maps:map(fun(_Key, All) -> length(All) end,
                      maps:groups_from_list(fun is_dropped/1, lists:append(lists:append(Verdicts)))),
    ?assertMatch(#{true := Dropped, false := Kept} when Dropped > 500 andalso Kept > 500, Counts).

is_dropped(Verdict) -> Verdict =:= dropped.

verdicts(Rules, {Kind, From, To, How}) ->
    ok = rules_rig:act(Kind, From, To, rules_rig:message(How)),
    Wanted = [wanted(Rules, Backend, {Kind, From, How}, #{}) || Backend <- ?ALL],
    Seen = case told() of
               [] -> [dropped || _ <- ?ALL];
               [HookAcc] -> [seen(Backend, HookAcc) || Backend <- ?ALL]
           end,
    ?assertEqual({Rules, Wanted}, {Rules, Seen}),
    Wanted.

seen(Backend, HookAcc) ->
    case event_pusher_rules:apply_to(Backend, HookAcc, event, ?HT) of
        dropped -> dropped;
        #{metadata := _} when Backend =:= push -> #{};
        #{metadata := Metadata} -> Metadata
    end.

wanted([], Backend, _Event, Metadata) ->
    kept(Backend, Metadata);
wanted([Rule | Others], Backend, {Kind, From, How} = Event, Metadata) ->
    Matches = lists:member(atom_to_binary(Backend), maps:get(backends, Rule, [atom_to_binary(Backend)]))
        andalso lists:member(Kind, maps:get(events, Rule, [Kind]))
        andalso lists:member(From, maps:get(from, Rule, [From]))
        andalso maps:get(has_body, Rule, has_body(How)) =:= has_body(How),
    More = maps:merge(Metadata, maps:get(metadata, Rule, #{})),
    case {Matches, Rule} of
        {false, _} -> wanted(Others, Backend, Event, Metadata);
        {true, #{action := <<"drop">>}} -> dropped;
        {true, #{action := <<"keep">>}} -> kept(Backend, More);
        {true, #{metadata := _}} -> wanted(Others, Backend, Event, More);
        {true, _} -> kept(Backend, More)
    end.

kept(push, _Metadata) -> #{};
kept(_Backend, Metadata) -> Metadata.

random_rule() ->
    Some = fun(Values) -> [Value || Value <- Values, rand:uniform(2) =:= 1] end,
    Options = [{events, Some([<<"chat_sent">>, <<"chat_received">>])}, {from, Some([?ALICE, ?BOB])},
               {backends, Some([atom_to_binary(Backend) || Backend <- ?ALL])}, {has_body, rand:uniform(2) =:= 1}],
    Conditions = maps:from_list([Option || {_, Value} = Option <- Options, Value =/= [], rand:uniform(2) =:= 1]),
    Metadata = #{metadata => #{one(x, y) => rand:uniform(100)}},
    maps:merge(Conditions, one(one(#{action => <<"drop">>}, #{action => <<"keep">>}),
                               one(Metadata, Metadata#{action => <<"keep">>}))).

random_message() ->
    {one(<<"chat_sent">>, <<"chat_received">>), one(?ALICE, ?BOB), one(?ALICE, ?BOB),
     one(#{body => <<"Hi">>}, #{body => none})}.

has_body(#{body := Body}) -> Body =/= none.

one(This, That) ->
    case rand:uniform(2) of 1 -> This; 2 -> That end.

%% Confirms that each drop counts once, for others than push also what they would not have pushed.
dropped_events_are_counted_for_configured_backends(Config) ->
    start([#{from => [?ALICE], action => <<"drop">>}, #{backends => [<<"sns">>], action => <<"drop">>}], Config),
    [[] = pushed(<<"chat_received">>, ?ALICE, ?BOB) || _ <- lists:seq(1, 3)],
    [http, rabbit] = pushed(<<"chat_sent">>, ?BOB, ?ALICE),
    ?assertEqual([4, 3, 3, 3], [dropped(Backend) || Backend <- ?ALL]),
    %% A module that starts with fewer backends.
    {restarted, _, ok} = restart(#{http => #{}, rules => [#{action => <<"drop">>}]}),
    ok = send(),
    ?assertEqual([{?DROPPED, #{host_type => ?HT}, #{metrics => #{dropped_http => spiral}}}],
                 [Spec || {?DROPPED, _, _} = Spec <- mongoose_instrument:registered()]),
    ?assertEqual([4, 4, 3, 3], [dropped(Backend) || Backend <- ?ALL]).

dropped(Backend) ->
    host_metrics:total(?DROPPED, #{host_type => ?HT}, list_to_atom("dropped_" ++ atom_to_list(Backend))).

%% Confirms it for the time between a stop and the end of the handlers, which are the server's.
a_verdict_counts_also_while_the_metric_is_gone(Config) ->
    start([#{action => <<"drop">>}], Config),
    mongoose_instrument:tear_down(?DROPPED, #{host_type => ?HT}),
    ?assertEqual([], pushed(<<"chat_sent">>, ?ALICE, ?BOB)).

%% Confirms that the reasons are those of the configuration, and that the module starts with others.
rules_that_cannot_be_used_leave_nothing_behind(Config) ->
    start([], Config),
    ?assertError(#{what := event_pusher_bad_rules, host_type := ?HT,
                   reason := [<<"rule 1: action: must be \"keep\" or \"drop\", got \"dorp\"">>,
                              <<"rule 2: must have an option at least, got none">>]},
                 restart(#{http => #{}, rules => [#{action => <<"dorp">>}, #{}]})),
    ?assertEqual([], [Spec || {?DROPPED, _, _} = Spec <- mongoose_instrument:registered()]),
    {started, ok} = mongoose_modules:ensure_started(?HT, mod_event_pusher, #{http => #{}, rules => [#{action => <<"drop">>}]}),
    ?assertEqual([], pushed(<<"chat_sent">>, ?ALICE, ?BOB)).

%% Confirms it for others, for none, and that nothing is left after the stop.
rules_change_with_the_module(Config) ->
    start([#{action => <<"drop">>}], Config),
    ?assertEqual([], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    {restarted, _, ok} = restart(#{http => #{}, rules => [#{backends => [<<"sns">>], action => <<"drop">>}]}),
    ?assertEqual([http, rabbit], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    {restarted, _, ok} = restart(#{http => #{}}),
    ?assertEqual([sns, http, rabbit], pushed(<<"chat_sent">>, ?ALICE, ?BOB)),
    ?assertEqual([], [Key || {{event_pusher_rules, ?HT} = Key, _} <- persistent_term:get()]).

restart(Opts) ->
    mongoose_modules:ensure_started(?HT, mod_event_pusher, Opts).

%% Handlers of push_event

tell(HookAcc, _Params, _Extra) ->
    ?MODULE ! {told, HookAcc},
    {ok, HookAcc}.

forget(HookAcc, _Params, _Extra) ->
    {ok, maps:with([acc, metadata], HookAcc)}.

add(#{metadata := Metadata} = HookAcc, _Params, #{priority := Priority}) ->
    {ok, HookAcc#{metadata := Metadata#{filter => Priority, c => Priority}}}.

%% Helpers

start(Rules, Config) ->
    ok = rules_rig:start_host([?HT], Rules, Config),
    ok = host:add_component(<<"push.example">>),
    ok = push_rig:enable(<<?BOB/binary, "/phone">>, <<"push.example">>).

handle(Name, Priority) ->
    _ = whereis(?MODULE) =:= self() orelse register(?MODULE, self()),
    ok = gen_hook:add_handler(push_event, ?HT, fun ?MODULE:Name/3, #{priority => Priority}, Priority),
    ok = gen_hook:reload_hooks().

%% What handlers have got; they run in this process.
told() ->
    receive {told, HookAcc} -> [HookAcc | told()] after 0 -> [] end.

send() ->
    rules_rig:act(<<"chat_sent">>, ?ALICE, ?BOB, rules_rig:message(#{})).

pushed(Kind, From, To) ->
    rules_rig:pushed([?HT], fun() -> rules_rig:act(Kind, From, To, rules_rig:message(#{})) end).
