-module(host_iq_SUITE).
-moduledoc "Holds IQs to the behaviour of a server: their handlers, answers and routes.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([an_account_and_a_domain_answer_their_own_iqs/1,
         without_a_queue_the_caller_handles_an_iq/1,
         one_queue_is_one_process/1,
         in_parallel_each_iq_has_a_process/1,
         queues_are_as_many_processes_as_asked_for/1,
         queues_need_a_number/1,
         a_crash_of_a_handler_is_answered_with_an_error/1,
         an_iq_may_be_ignored/1,
         an_unknown_namespace_is_an_error/1,
         a_request_needs_one_child_with_a_namespace/1,
         a_handler_serves_all_domains_of_its_host_type/1,
         a_host_type_has_one_handler_of_a_namespace/1,
         a_missing_handler_cannot_be_removed/1,
         a_removed_handler_finishes_what_it_was_given/1,
         a_domain_can_have_a_handler_of_its_own/1,
         other_components_have_no_handlers/1,
         a_domain_lists_its_features/1,
         the_acc_of_an_iq_knows_the_session_of_its_sender/1,
         an_iq_to_a_client_that_is_not_there_is_an_error/1,
         iqs_pass_the_filter_both_ways/1,
         an_answer_has_no_answer/1,
         a_request_reaches_a_component/1,
         the_answer_runs_the_callback_where_it_is_routed/1,
         an_error_is_an_answer/1,
         a_request_to_an_unreachable_server_is_answered_with_an_error/1,
         no_answer_in_time_runs_the_callback/1,
         a_request_waits_for_half_a_minute/1,
         a_second_answer_is_dropped/1,
         an_answer_that_is_filtered_runs_no_callback/1,
         a_callback_that_crashes_is_logged/1,
         an_answer_is_sent_without_a_callback/1,
         stopping_the_host_removes_components_handlers_and_callbacks/1]).
-export([answer/5, old_answer/4, crash/5, ignore/5, wait/5]).
-export([report/3, drop/3, drop_answers/3]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("iq.hrl").
-include("jid.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other type">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(COMPONENT, <<"pubsub.example">>).
-define(NS, <<"toy:ns">>).

all() ->
    Helpers = [module_info],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    ok = start_host(),
    ok = log_capture:start(),
    %% It tells of answers that nobody waits for at this level.
    ok = logger:set_module_level(ejabberd_local, info),
    true = register(?MODULE, self()),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = logger:unset_module_level(ejabberd_local),
    ok = log_capture:stop(),
    ok = host:stop().

start_host() ->
    ok = host:start(#{?HT => #{}, ?OTHER_HT => #{}}, #{host_types => [?OTHER_HT]}),
    [ok = host:add_domain(Domain, ?OTHER_HT) || Domain <- [<<"one.example">>, <<"two.example">>]],
    ok.

%% Handlers

%% Confirms who is asked and that an answer goes back, with its id, where the request came from.
an_account_and_a_domain_answer_their_own_iqs(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{mark => <<"account">>}, no_queue),
    handle(ejabberd_local, fun ?MODULE:answer/5, #{mark => <<"domain">>}, no_queue),
    Answer = fun(From, Mark) ->
                 #xmlel{name = <<"iq">>,
                        attrs = #{<<"id">> => <<"7">>, <<"type">> => <<"result">>,
                                  <<"from">> => From, <<"to">> => ?ALICE},
                        children = [#xmlel{name = Mark}]}
             end,
    ?assertEqual(Answer(<<"alice@localhost">>, <<"account">>),
                 host:send_iq(?ALICE, account, request(<<"7">>))),
    ?assertEqual(Answer(<<"localhost">>, <<"domain">>),
                 host:send_iq(?ALICE, <<"localhost">>, request(<<"7">>))),
    ?assertEqual(Answer(<<"bob@localhost">>, <<"account">>),
                 host:send_iq(?ALICE, <<"bob@localhost">>, request(<<"7">>))).

%% Confirms which process runs the handler.
without_a_queue_the_caller_handles_an_iq(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, no_queue),
    ?assertEqual([self()], handlers_of(3)).

%% Confirms that it is another process, and the same for all.
one_queue_is_one_process(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, one_queue),
    [Pid] = handlers_of(10),
    ?assertNotEqual(self(), Pid).

%% Confirms that no process handles two.
in_parallel_each_iq_has_a_process(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, parallel),
    Pids = handlers_of(10),
    ?assertEqual(10, length(Pids)),
    ?assertNot(lists:member(self(), Pids)).

%% Confirms that each of them gets its share in the end.
queues_are_as_many_processes_as_asked_for(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, {queues, 3}),
    Pids = handlers_of(200),
    ?assertEqual(3, length(Pids)),
    ?assertNot(lists:member(self(), Pids)).

%% Confirms that what the configuration may leave out is missed at the start of the handler.
queues_need_a_number(_Config) ->
    ?assertError(_, handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, queues)),
    ?assertEqual([], host:features(?HT)).

%% Confirms it for each way to run a handler, which goes on.
a_crash_of_a_handler_is_answered_with_an_error(_Config) ->
    [begin
         handle(ejabberd_sm, fun ?MODULE:crash/5, #{}, Type),
         [begin
              Answer = host:send_iq(?ALICE, account, request(<<"1">>)),
              ?assertMatch(#{class := error, reason := oops, iq := #iq{id = <<"1">>}},
                           log_capture:await(process_iq_error)),
              ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"error">>, <<"id">> := <<"1">>}},
                           Answer),
              ?assertEqual([element(), mongoose_xmpp_errors:internal_server_error()],
                           Answer#xmlel.children)
          end || _ <- [1, 2]],
         ok = gen_iq_handler:remove_iq_handler_for_domain(?HT, ?NS, ejabberd_sm)
     end || Type <- [no_queue, one_queue, parallel, {queues, 2}]].

%% Confirms that a client then has nothing to wait for.
an_iq_may_be_ignored(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:ignore/5, #{}, one_queue),
    ?assertEqual(no_reply, host:send_iq(?ALICE, account, request(<<"1">>))).

%% Confirms the two errors, in front of the request.
an_unknown_namespace_is_an_error(_Config) ->
    ?assertEqual([mongoose_xmpp_errors:service_unavailable(), element()],
                 (host:send_iq(?ALICE, account, request(<<"1">>)))#xmlel.children),
    ?assertEqual([mongoose_xmpp_errors:feature_not_implemented(), element()],
                 (host:send_iq(?ALICE, ?HT, request(<<"1">>)))#xmlel.children).

%% Confirms each fault, and that text between elements is none.
a_request_needs_one_child_with_a_namespace(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, no_queue),
    Request = request(<<"1">>),
    BadRequest = mongoose_xmpp_errors:bad_request(),
    [?assertMatch(#xmlel{children = [BadRequest | Children]},
                  host:send_iq(?ALICE, To, Request#xmlel{children = Children}))
     || Children <- [[], [element(), element()], [#xmlel{name = <<"query">>}]],
        To <- [account, ?HT]],
    Spaced = [#xmlcdata{content = <<"\n">>}, element()],
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}},
                 host:send_iq(?ALICE, account, Request#xmlel{children = Spaced})).

%% Registration

%% Confirms that each host type has its own, and that Extra tells which.
a_handler_serves_all_domains_of_its_host_type(_Config) ->
    ok = gen_iq_handler:add_iq_handler_for_domain(?OTHER_HT, ?NS, ejabberd_sm,
                                                  fun ?MODULE:answer/5, #{own => 1}, no_queue),
    [begin
         host:send_iq(<<"carol@", Domain/binary, "/r">>, account, request(<<"1">>)),
         ?assertMatch({_, ?OTHER_HT, #{own := 1, host_type := ?OTHER_HT}}, handled())
     end || Domain <- [<<"one.example">>, <<"two.example">>]],
    ok = host:add_domain(<<"late.example">>, ?OTHER_HT),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}},
                 host:send_iq(?ALICE, <<"carol@late.example">>, request(<<"1">>))),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"error">>}},
                 host:send_iq(?ALICE, account, request(<<"1">>))).

%% Confirms that the first one stays.
a_host_type_has_one_handler_of_a_namespace(_Config) ->
    ok = handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, no_queue),
    ?assertEqual({error, already_registered},
                 handle(ejabberd_sm, fun ?MODULE:crash/5, #{}, one_queue)),
    log_capture:await(iq_already_registered),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}},
                 host:send_iq(?ALICE, account, request(<<"1">>))),
    ?assertEqual(ok, gen_iq_handler:remove_iq_handler_for_domain(?HT, ?NS, ejabberd_sm)),
    ?assertEqual(ok, handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, no_queue)).

%% Confirms the error and the warning.
a_missing_handler_cannot_be_removed(_Config) ->
    ?assertEqual({error, not_registered},
                 gen_iq_handler:remove_iq_handler_for_domain(?HT, ?NS, ejabberd_local)),
    ?assertMatch(#{namespace := ?NS, component := ejabberd_local},
                 log_capture:await(iq_unregister_missing)).

%% Confirms that an IQ in the queue is still answered, and the next one is not.
a_removed_handler_finishes_what_it_was_given(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:wait/5, #{}, one_queue),
    First = ask_apart(?ALICE, account, request(<<"1">>)),
    {Handler, _, _} = handled(),
    ok = gen_iq_handler:remove_iq_handler_for_domain(?HT, ?NS, ejabberd_sm),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"error">>}},
                 host:send_iq(?ALICE, account, request(<<"2">>))),
    Monitor = monitor(process, Handler),
    Handler ! go_on,
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}}, answer_of(First)),
    receive {'DOWN', Monitor, process, Handler, normal} -> ok end.

%% Confirms the older registration, with its order of arguments, and that it can be replaced.
a_domain_can_have_a_handler_of_its_own(_Config) ->
    gen_iq_handler:add_iq_handler(ejabberd_sm, ?HT, ?NS, ?MODULE, no_such_function, no_queue),
    gen_iq_handler:add_iq_handler(ejabberd_sm, ?HT, ?NS, ?MODULE, old_answer, one_queue),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}},
                 host:send_iq(?ALICE, account, request(<<"1">>))),
    {_, {From, To, Iq}, none} = handled(),
    ?assertEqual({?ALICE, <<"alice@localhost">>}, {jid:to_binary(From), jid:to_binary(To)}),
    ?assertEqual(#iq{id = <<"1">>, type = set, xmlns = ?NS, sub_el = element()}, Iq),
    ok = gen_iq_handler:remove_iq_handler(ejabberd_sm, ?HT, ?NS),
    ok = gen_iq_handler:remove_iq_handler(ejabberd_sm, ?HT, ?NS),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"error">>}},
                 host:send_iq(?ALICE, account, request(<<"1">>))).

%% Confirms that a mistake is noticed when the handler is added.
other_components_have_no_handlers(_Config) ->
    ?assertError(function_clause, handle(mod_muc, fun ?MODULE:answer/5, #{}, no_queue)).

%% Confirms that handlers of accounts are no features of their domain.
a_domain_lists_its_features(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, no_queue),
    ?assertEqual([], host:features(?HT)),
    handle(ejabberd_local, fun ?MODULE:answer/5, #{}, no_queue),
    gen_iq_handler:add_iq_handler(ejabberd_local, ?HT, <<"a:ns">>, ?MODULE, old_answer, no_queue),
    ?assertEqual([<<"a:ns">>, ?NS], host:features(?HT)),
    ?assertEqual([], host:features(<<"one.example">>)),
    ok = gen_iq_handler:remove_iq_handler_for_domain(?HT, ?NS, ejabberd_local),
    ?assertEqual([<<"a:ns">>], host:features(?HT)).

%% What clients send

%% Confirms that the note reaches the handler, and is missing without a session.
the_acc_of_an_iq_knows_the_session_of_its_sender(_Config) ->
    ok = gen_iq_handler:add_iq_handler_for_domain(
           ?HT, ?NS, ejabberd_sm,
           fun(Acc, _From, _To, _Iq, _Extra) ->
               ?MODULE ! {sid, mongoose_acc:get(c2s, origin_sid, undefined, Acc)},
               {Acc, ignore}
           end, #{}, no_queue),
    host:send_iq(?ALICE, account, request(<<"1">>)),
    receive {sid, NoSid} -> ?assertEqual(undefined, NoSid) end,
    host:user_available(?ALICE),
    [Session] = ejabberd_sm:get_raw_sessions(jid:from_binary(?ALICE)),
    host:send_iq(?ALICE, account, request(<<"1">>)),
    receive {sid, Sid} -> ?assertEqual(element(2, Session), Sid) end.

%% Confirms it for the client of a user, and for a resource of the server.
an_iq_to_a_client_that_is_not_there_is_an_error(_Config) ->
    ?assertEqual([mongoose_xmpp_errors:service_unavailable(), element()],
                 (host:send_iq(?ALICE, <<"bob@localhost/r">>, request(<<"1">>)))#xmlel.children),
    ?assertEqual([mongoose_xmpp_errors:item_not_found(), element()],
                 (host:send_iq(?ALICE, <<"localhost/r">>, request(<<"1">>)))#xmlel.children).

%% Confirms that the filter sees request and answer, and may drop the request.
iqs_pass_the_filter_both_ways(_Config) ->
    handle(ejabberd_sm, fun ?MODULE:answer/5, #{}, no_queue),
    filter(fun ?MODULE:report/3),
    host:send_iq(?ALICE, account, request(<<"1">>)),
    ?assertMatch({?ALICE, <<"alice@localhost">>, <<"set">>}, filtered()),
    ?assertMatch({<<"alice@localhost">>, ?ALICE, <<"result">>}, filtered()),
    filter(fun ?MODULE:drop/3),
    ?assertEqual(no_reply, host:send_iq(?ALICE, account, request(<<"1">>))).

%% Confirms it for results and errors, to an account and to a domain.
an_answer_has_no_answer(_Config) ->
    [?assertEqual(no_reply, host:send_iq(?ALICE, To, answer_to(<<"1">>, Type)))
     || Type <- [<<"result">>, <<"error">>], To <- [account, ?HT, <<"far.example">>]].

%% Requests of the server

%% Confirms what a component sees: no address in the element, and an acc without a host type.
a_request_reaches_a_component(_Config) ->
    Acc = ask(),
    {From, To, Packet, ComponentAcc} = routed(),
    ?assertEqual({<<"localhost">>, <<"pubsub.example/r">>}, {From, To}),
    #xmlel{attrs = #{<<"id">> := Id}} = Packet,
    ?assertEqual(#xmlel{name = <<"iq">>, attrs = #{<<"type">> => <<"set">>, <<"id">> => Id},
                        children = [element()]}, Packet),
    ?assertNotEqual(<<>>, Id),
    ?assertEqual({undefined, ?COMPONENT}, {mongoose_acc:host_type(ComponentAcc),
                                           mongoose_acc:lserver(ComponentAcc)}),
    ?assertEqual({?HT, ?HT}, {mongoose_acc:host_type(Acc), mongoose_acc:lserver(Acc)}),
    ?assertEqual(Packet, mongoose_acc:element(Acc)).

%% Confirms its arguments, and that the hook comes first.
the_answer_runs_the_callback_where_it_is_routed(_Config) ->
    ask(),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    filter(fun ?MODULE:report/3),
    host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>)),
    ?assertEqual({?COMPONENT, ?HT, <<"result">>}, filtered()),
    {Pid, From, To, Acc, Iq} = called_back(),
    ?assertEqual(self(), Pid),
    ?assertEqual({?COMPONENT, ?HT}, {jid:to_binary(From), jid:to_binary(To)}),
    ?assertEqual(?HT, mongoose_acc:host_type(Acc)),
    ?assertEqual(#iq{id = Id, type = result, xmlns = ?NS, sub_el = [element()]}, Iq).

%% Confirms that the record has all children, of which the error does not tell the namespace.
an_error_is_an_answer(_Config) ->
    ask(),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    Answer = answer_to(Id, <<"error">>),
    Error = mongoose_xmpp_errors:item_not_found(),
    host:route(?COMPONENT, ?HT, Answer#xmlel{children = [Error, element()]}),
    {_, _, _, _, Iq} = called_back(),
    ?assertEqual(#iq{id = Id, type = error, xmlns = ?NS, sub_el = [Error, element()]}, Iq).

%% Confirms that the callback has run before route_iq returns.
a_request_to_an_unreachable_server_is_answered_with_an_error(_Config) ->
    ask_at(<<"far.example">>, undefined),
    {Pid, From, _To, _Acc, Iq} = called_back(),
    ?assertEqual({self(), <<"far.example">>}, {Pid, jid:to_binary(From)}),
    ?assertMatch(#iq{type = error, sub_el = [#xmlel{name = <<"error">>,
                                                    attrs = #{<<"type">> := <<"cancel">>}} | _]},
                 Iq).

%% Confirms its arguments, and that an answer after that is dropped.
no_answer_in_time_runs_the_callback(_Config) ->
    host:add_component(?COMPONENT),
    ask_at(?COMPONENT, 1),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    {Pid, undefined, undefined, undefined, timeout} = called_back(),
    ?assertNotEqual(self(), Pid),
    host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>)),
    ?assertEqual(none, called_back_already()).

%% Confirms the time that goes by before the callback runs by default.
a_request_waits_for_half_a_minute(_Config) ->
    ask(),
    [{_Id, _Callback, Timer}] = ets:tab2list(ejabberd_local),
    Left = erlang:read_timer(Timer),
    ?assert(Left > 20000 andalso Left =< 32000).

%% Confirms that the first one counts, and that an unknown id is logged.
a_second_answer_is_dropped(_Config) ->
    ask(),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>)),
    called_back(),
    host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>)),
    log_capture:await(dropped_iq_reply),
    ?assertEqual(none, called_back_already()).

%% Confirms that the request then waits on.
an_answer_that_is_filtered_runs_no_callback(_Config) ->
    ask(),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    filter(fun ?MODULE:drop_answers/3),
    ?assertEqual(drop, host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>))),
    ?assertEqual(none, called_back_already()),
    ?assertMatch([{Id, _, _}], ets:tab2list(ejabberd_local)).

%% Confirms that the component which answers is not hurt.
a_callback_that_crashes_is_logged(_Config) ->
    host:add_component(?COMPONENT),
    ejabberd_local:route_iq(jid:from_binary(?HT), jid:from_binary(?COMPONENT), acc(),
                            #iq{type = set, sub_el = element()},
                            fun(_, _, _, _) -> error(oops) end),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    ?assertMatch(#{mongoose_acc := true},
                 host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>))),
    ?assertMatch(#{class := error, reason := oops}, log_capture:await(routing_error)).

%% Confirms that it keeps its id.
an_answer_is_sent_without_a_callback(_Config) ->
    host:add_component(?COMPONENT),
    ejabberd_local:route_iq(jid:from_binary(?HT), jid:from_binary(?COMPONENT), acc(),
                            #iq{id = <<"theirs">>, type = result, sub_el = []}, fun called_back/4),
    ?assertMatch({_, _, #xmlel{attrs = #{<<"id">> := <<"theirs">>}, children = []}, _}, routed()),
    ?assertEqual([], ets:tab2list(ejabberd_local)).

%% Confirms that a new host starts without them.
stopping_the_host_removes_components_handlers_and_callbacks(_Config) ->
    ask(),
    {_, _, #xmlel{attrs = #{<<"id">> := Id}}, _} = routed(),
    handle(ejabberd_local, fun ?MODULE:answer/5, #{}, one_queue),
    ok = host:stop(),
    ok = start_host(),
    ?assertEqual([], host:features(?HT)),
    ?assertEqual(not_local, host:route(?HT, ?COMPONENT, answer_to(Id, <<"result">>))),
    host:route(?COMPONENT, ?HT, answer_to(Id, <<"result">>)),
    ?assertEqual(none, called_back_already()).

%% Handlers of IQs

answer(Acc, _From, _To, Iq, Extra) ->
    ?MODULE ! {handled, {self(), mongoose_acc:host_type(Acc), Extra}},
    Mark = maps:get(mark, Extra, <<"handled">>),
    {Acc, Iq#iq{type = result, sub_el = [#xmlel{name = Mark}]}}.

old_answer(From, To, Acc, Iq) ->
    ?MODULE ! {handled, {self(), {From, To, Iq}, none}},
    {Acc, Iq#iq{type = result, sub_el = []}}.

crash(_Acc, _From, _To, _Iq, _Extra) ->
    error(oops).

ignore(Acc, _From, _To, _Iq, _Extra) ->
    {Acc, ignore}.

wait(Acc, From, To, Iq, Extra) ->
    Result = answer(Acc, From, To, Iq, Extra),
    receive go_on -> Result end.

%% Handlers of filter_local_packet

report(FilterAcc = {From, To, _Acc, #xmlel{attrs = Attrs}}, _Params, _Extra) ->
    ?MODULE ! {filtered, {jid:to_binary(From), jid:to_binary(To), maps:get(<<"type">>, Attrs)}},
    {ok, FilterAcc}.

drop(_FilterAcc, _Params, _Extra) ->
    {stop, drop}.

drop_answers({_From, _To, _Acc, #xmlel{attrs = #{<<"type">> := <<"result">>}}}, _, _) ->
    {stop, drop};
drop_answers(FilterAcc, _, _) ->
    {ok, FilterAcc}.

%% Helpers

handle(Component, Function, Extra, ExecutionType) ->
    gen_iq_handler:add_iq_handler_for_domain(?HT, ?NS, Component, Function, Extra, ExecutionType).

handlers_of(Count) ->
    lists:usort([begin
                     host:send_iq(?ALICE, account, request(integer_to_binary(N))),
                     {Pid, _, _} = handled(),
                     Pid
                 end || N <- lists:seq(1, Count)]).

filter(Function) ->
    gen_hook:add_handler(filter_local_packet, ?HT, Function, #{}, 50),
    gen_hook:reload_hooks().

element() ->
    #xmlel{name = <<"query">>, attrs = #{<<"xmlns">> => ?NS}}.

request(Id) ->
    #xmlel{name = <<"iq">>, attrs = #{<<"id">> => Id, <<"type">> => <<"set">>},
           children = [element()]}.

answer_to(Id, Type) ->
    #xmlel{name = <<"iq">>, attrs = #{<<"id">> => Id, <<"type">> => Type},
           children = [element()]}.

ask_apart(From, To, Iq) ->
    Case = self(),
    spawn_link(fun() -> Case ! {answer, self(), host:send_iq(From, To, Iq)} end).

answer_of(Client) ->
    receive {answer, Client, Answer} -> Answer
    after 10000 -> ct:fail(no_answer)
    end.

ask() ->
    host:add_component(?COMPONENT),
    ask_at(<<?COMPONENT/binary, "/r">>, undefined).

ask_at(To, Timeout) ->
    ejabberd_local:route_iq(jid:from_binary(?HT), jid:from_binary(To), acc(),
                            #iq{type = set, sub_el = element()}, fun called_back/4, Timeout).

called_back(From, To, Acc, Iq) ->
    ?MODULE ! {called_back, {self(), From, To, Acc, Iq}},
    Acc.

acc() ->
    mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT}).

handled() -> await(handled).
filtered() -> await(filtered).
called_back() -> await(called_back).

routed() ->
    #{from := From, to := To, packet := Packet, acc := Acc} = await(routed),
    {jid:to_binary(From), jid:to_binary(To), Packet, Acc}.

await(Tag) ->
    receive {Tag, Message} -> Message
    after 10000 -> ct:fail({no_message, Tag})
    end.

called_back_already() ->
    receive {called_back, _} = Message -> Message after 0 -> none end.
