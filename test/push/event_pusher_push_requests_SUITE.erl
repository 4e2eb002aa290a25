-module(event_pusher_push_requests_SUITE).
-moduledoc "What clients ask for, and when their registrations end: requests, sessions, users and domains.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([requests_that_are_wrong_are_refused_with_the_right_error/1,
         wrong_forms_are_refused/1,
         odd_but_correct_forms_are_accepted/1,
         a_request_to_the_server_is_as_good_as_one_to_the_account/1,
         a_request_without_a_session_is_answered/1,
         users_of_other_servers_cannot_register/1,
         the_older_handler_gives_the_same_answers/1,
         the_feature_is_announced_while_the_module_runs/1,
         a_session_remembers_its_registration_until_it_is_disabled/1,
         a_removed_user_leaves_no_registration/1,
         a_removed_domain_leaves_no_registration/1,
         a_domain_that_cannot_be_removed_is_told/1,
         a_domain_of_a_host_type_works_like_a_host/1]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").
-include("iq.hrl").
-include("jid.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(BOB_BARE, <<"bob@localhost">>).
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

%% Requests

%% Confirms the whole answer, and that nothing was stored.
requests_that_are_wrong_are_refused_with_the_right_error(_Config) ->
    Jid = #{<<"jid">> => ?SERVICE},
    Bad = [request(<<"enable">>, Jid), request(<<"enable">>, Jid#{<<"node">> => <<>>}),
           request(<<"enable">>, #{<<"node">> => <<"n">>}), request(<<"disable">>, #{}),
           request(<<"disable">>, Jid#{<<"node">> => <<>>}), request(<<"other">>, Jid)
           | [request(Name, #{<<"jid">> => Wrong, <<"node">> => <<"n">>})
              || Name <- [<<"enable">>, <<"disable">>],
                 Wrong <- [<<>>, <<"@example">>, <<"user@">>, <<"user@/r">>, <<"a b@example">>]]],
    [?assertEqual(refusal(Request, <<"400">>, <<"modify">>, <<"bad-request">>),
                  send_iq(?BOB, <<"set">>, Request)) || Request <- Bad],
    Get = request(<<"enable">>, Jid#{<<"node">> => <<"n">>}),
    ?assertEqual(refusal(Get, <<"405">>, <<"cancel">>, <<"not-allowed">>),
                 send_iq(?BOB, <<"get">>, Get)),
    ?assertEqual([], push_rig:registrations(?BOB)).

%% Confirms each rule.
wrong_forms_are_refused(_Config) ->
    #xmlel{attrs = Attrs, children = [Type | Fields]} = Good =
        push_rig:submitted([{<<"a">>, <<"1">>}, {<<"b">>, <<"2">>}]),
    [#xmlel{children = [Value]} = Field | _] = Fields,
    #xmlel{children = [Of]} = Type,
    Wrong = [Good#xmlel{attrs = maps:remove(<<"type">>, Attrs)},
             Good#xmlel{attrs = Attrs#{<<"type">> := <<"form">>}},
             Good#xmlel{attrs = Attrs#{<<"type">> := <<"cancel">>}},
             Good#xmlel{children = Fields},
             Good#xmlel{children = [Type#xmlel{children = [Of, Of]} | Fields]}],
    Other = push_rig:form(<<"http://jabber.org/protocol/pubsub#subscribe_options">>, []),
    Counts = [Good#xmlel{children = [Type, Field#xmlel{children = Values}]}
              || Values <- [[], [Value, Value]]],
    [begin
         Request = push_rig:request(<<"enable">>, {#{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>},
                                                   [Form]}),
         ?assertEqual(refusal(Request, <<"400">>, <<"modify">>, <<"bad-request">>),
                      send_iq(?BOB, <<"set">>, Request))
     end || Form <- [Other | Wrong ++ Counts]],
    ?assertEqual([], push_rig:registrations(?BOB)).

%% Confirms what is ignored, that the last of several counts, and that only the first form does.
odd_but_correct_forms_are_accepted(_Config) ->
    #xmlel{children = [Type, A1, A2]} = Good =
        push_rig:submitted([{<<"a">>, <<"1">>}, {<<"a">>, <<>>}]),
    Odd = Good#xmlel{children = [#xmlcdata{content = <<"\n">>}, A1,
                                 #xmlel{name = <<"title">>}, A2, Type,
                                 #xmlel{name = <<"field">>, children = []}]},
    Text = #xmlcdata{content = <<"x">>},
    Elsewhere = #xmlel{name = <<"x">>, attrs = #{<<"xmlns">> => <<"jabber:x:oob">>}},
    Second = #xmlel{name = <<"x">>, attrs = #{<<"xmlns">> => <<"jabber:x:data">>}},
    Request = push_rig:request(<<"enable">>, {#{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>},
                                              [Text, Elsewhere, Odd, Second]}),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}},
                 send_iq(?BOB, <<"set">>, Request)),
    ?assertEqual([{jid:from_binary(?SERVICE), <<"n">>, #{<<"a">> => <<>>}}],
                 push_rig:registrations(?BOB)).

%% Confirms both components.
a_request_to_the_server_is_as_good_as_one_to_the_account(_Config) ->
    Request = request(<<"enable">>, #{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>}),
    #xmlel{attrs = Attrs, children = Children} =
        host:send_iq(?BOB, ?HT, push_rig:iq(<<"set">>, Request)),
    ?assertMatch({#{<<"type">> := <<"result">>, <<"from">> := ?HT, <<"to">> := ?BOB}, []},
                 {Attrs, Children}),
    ?assertMatch([_], push_rig:registrations(?BOB)),
    ok = push_rig:disable(?BOB, ?SERVICE),
    ?assertEqual([], push_rig:registrations(?BOB)).

%% Confirms it for an accumulator as the server's API makes it.
a_request_without_a_session_is_answered(_Config) ->
    Request = request(<<"enable">>, #{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>}),
    From = jid:from_binary(?BOB_BARE),
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT,
                             element => push_rig:iq(<<"set">>, Request),
                             from_jid => From, to_jid => From}),
    Iq = #iq{id = <<"1">>, type = set, xmlns = ?NS, sub_el = Request},
    ?assertEqual({Acc, Iq#iq{type = result, sub_el = []}},
                 mod_event_pusher_push:iq_handler(Acc, From, From, Iq, #{})),
    ?assertMatch([{_, <<"n">>, _}], push_rig:registrations(?BOB)).

%% Confirms it for a user of a domain that this server does not have.
users_of_other_servers_cannot_register(_Config) ->
    ok = host:add_component(<<"elsewhere">>),
    Request = request(<<"enable">>, #{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>}),
    Carol = <<"carol@elsewhere/r">>,
    [begin
         host:route(Carol, To, push_rig:iq(<<"set">>, Request)),
         #{packet := Answer} = push_rig:routed(),
         ?assertEqual(refusal(Request, <<"405">>, <<"cancel">>, <<"not-allowed">>),
                      without_addresses(Answer))
     end || To <- [?HT, ?BOB_BARE]],
    ?assertEqual([], push_rig:registrations(Carol)).

%% Confirms it by registering the handler as servers up to 6.5 do.
the_older_handler_gives_the_same_answers(_Config) ->
    ok = gen_iq_handler:remove_iq_handler_for_domain(?HT, ?NS, ejabberd_local),
    gen_iq_handler:add_iq_handler(ejabberd_local, ?HT, ?NS, mod_event_pusher_push, iq_handler,
                                  one_queue),
    Send = fun(Type, Request) -> host:send_iq(?BOB, ?HT, push_rig:iq(Type, Request)) end,
    Enable = request(<<"enable">>, #{<<"jid">> => ?SERVICE, <<"node">> => <<"n">>}),
    ?assertMatch(#xmlel{attrs = #{<<"type">> := <<"result">>}}, Send(<<"set">>, Enable)),
    ?assertMatch([_], push_rig:registrations(?BOB)),
    ?assertEqual(refusal(Enable, <<"405">>, <<"cancel">>, <<"not-allowed">>),
                 without_addresses(Send(<<"get">>, Enable))),
    gen_iq_handler:remove_iq_handler(ejabberd_local, ?HT, ?NS).

%% Confirms what service discovery shows.
the_feature_is_announced_while_the_module_runs(_Config) ->
    ?assertEqual([?NS], host:features(?HT)),
    {stopped, Opts} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_push),
    ?assertEqual([], host:features(?HT)),
    {started, _} = mongoose_modules:ensure_started(?HT, mod_event_pusher_push, Opts),
    ?assertEqual([?NS], host:features(?HT)).

%% Sessions

%% Confirms it for the node, for all nodes, and that other sessions keep theirs.
a_session_remembers_its_registration_until_it_is_disabled(_Config) ->
    Desk = <<"bob@localhost/desk">>,
    [host:user_available(User) || User <- [?BOB, Desk]],
    Info = fun(User) -> ejabberd_sm:get_info(jid:from_binary(User), publish_service) end,
    ?assertEqual({error, not_set}, Info(?BOB)),
    push_rig:enable(?BOB, ?SERVICE, <<"phone">>, [{<<"a">>, <<"1">>}]),
    push_rig:enable(Desk, ?SERVICE, <<"desk">>),
    Service = jid:from_binary(?SERVICE),
    ?assertEqual({ok, {Service, <<"phone">>, #{<<"a">> => <<"1">>}}}, Info(?BOB)),
    ?assertEqual({ok, {Service, <<"desk">>, #{}}}, Info(Desk)),
    %% By another of the user's clients.
    ok = push_rig:disable(Desk, ?SERVICE, <<"phone">>),
    ?assertEqual({error, not_set}, Info(?BOB)),
    ?assertEqual({ok, {Service, <<"desk">>, #{}}}, Info(Desk)),
    push_rig:enable(?BOB, ?SERVICE, <<"phone">>),
    ok = push_rig:disable(?BOB, <<"other.example">>),
    ?assertMatch({{ok, _}, {ok, _}}, {Info(?BOB), Info(Desk)}),
    ok = push_rig:disable(?BOB, ?SERVICE),
    ?assertEqual({{error, not_set}, {error, not_set}}, {Info(?BOB), Info(Desk)}).

%% Users and domains

%% Confirms that others keep theirs.
a_removed_user_leaves_no_registration(_Config) ->
    [push_rig:enable(User, ?SERVICE, <<"n">>) || User <- [?BOB, <<"bobby@localhost/r">>]],
    host:remove_user(?BOB_BARE),
    ?assertEqual([], push_rig:registrations(?BOB)),
    ?assertMatch([_], push_rig:registrations(<<"bobby@localhost">>)).

%% Confirms it beside a domain that ends alike.
a_removed_domain_leaves_no_registration(_Config) ->
    Domains = [<<"example.org">>, <<"an.example.org">>, <<"anexample.org">>],
    [ok = host:add_domain(Domain, ?HT) || Domain <- Domains],
    User = fun(Domain) -> <<"bob@", Domain/binary>> end,
    [push_rig:enable(<<(User(Domain))/binary, "/r">>, ?SERVICE, <<"n">>) || Domain <- Domains],
    ?assertEqual(#{failed => []}, host:remove_domain(<<"example.org">>)),
    ?assertMatch([[], [_], [_]], [push_rig:registrations(User(Domain)) || Domain <- Domains]).

%% Confirms that the module is named.
a_domain_that_cannot_be_removed_is_told(Config) ->
    ok = host:add_domain(<<"example.org">>, ?HT),
    ok = host_mnesia:stop(),
    ?assertMatch(#{failed := [mod_event_pusher_push]}, host:remove_domain(<<"example.org">>)),
    ok = push_rig:start_mnesia(Config).

%% Confirms registration and notification.
a_domain_of_a_host_type_works_like_a_host(_Config) ->
    ok = host:add_domain(<<"example.org">>, ?HT),
    push_rig:enable(<<"bob@example.org/r">>, ?SERVICE, <<"n">>),
    host:send_message(?ALICE, <<"bob@example.org">>, rig:message(<<"chat">>, <<"Hi">>)),
    ?assertMatch(#{from := #jid{lserver = <<"example.org">>}}, push_rig:routed()).

%% Helpers

request(Name, Attrs) ->
    push_rig:request(Name, {Attrs, []}).

send_iq(User, Type, Request) ->
    without_addresses(host:send_iq(User, account, push_rig:iq(Type, Request))).

%% Those are the server's.
without_addresses(#xmlel{attrs = Attrs} = Iq) ->
    Iq#xmlel{attrs = maps:with([<<"type">>], Attrs)}.

refusal(Request, Code, Type, Condition) ->
    Ns = <<"urn:ietf:params:xml:ns:xmpp-stanzas">>,
    Error = #xmlel{name = <<"error">>, attrs = #{<<"code">> => Code, <<"type">> => Type},
                   children = [#xmlel{name = Condition, attrs = #{<<"xmlns">> => Ns}}]},
    #xmlel{name = <<"iq">>, attrs = #{<<"type">> => <<"error">>}, children = [Request, Error]}.
