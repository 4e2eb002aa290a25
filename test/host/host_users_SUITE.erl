-module(host_users_SUITE).
-moduledoc "Holds users, their sessions and their removal to the behaviour of a server.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([users_of_local_domains_exist/1,
         a_forgotten_user_exists_again_when_added/1,
         a_broken_user_cannot_be_asked_for/1,
         a_connected_user_is_not_available/1,
         a_session_keeps_what_is_stored_in_it/1,
         what_is_stored_belongs_to_one_session/1,
         nothing_is_stored_in_a_session_that_is_gone/1,
         the_note_of_a_session_can_be_read_and_changed/1,
         a_removed_user_is_forgotten_and_told_to_modules/1,
         a_removed_domain_is_no_longer_served_and_told_to_modules/1,
         a_module_that_cannot_remove_a_domain_stops_the_hook/1,
         a_removal_gives_its_accumulator_back/1,
         unread_messages_are_counted_for_a_user/1,
         notifications_are_pushed_for_a_host_type/1,
         a_domain_has_a_host_type/1]).
-export([report/3, fail/3]).

-include_lib("stdlib/include/assert.hrl").
-include("jid.hrl").
-include("session.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other type">>).
-define(DOMAIN, <<"dynamic.example">>).
-define(ALICE, <<"alice@localhost">>).

all() ->
    Helpers = [module_info],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    ok = host:start(#{?HT => #{}, ?OTHER_HT => #{}}, #{host_types => [?OTHER_HT]}),
    ok = host:add_domain(?DOMAIN, ?OTHER_HT),
    ok = log_capture:start(),
    true = register(?MODULE, self()),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    ok = host:stop().

%% Users

%% Confirms that the host type has to be that of the domain.
users_of_local_domains_exist(_Config) ->
    Alice = jid:from_binary(?ALICE),
    ?assert(host:user_exists(?ALICE)),
    ?assert(ejabberd_auth:does_user_exist(?HT, Alice, stored)),
    ?assert(ejabberd_auth:does_user_exist(?HT, Alice, with_anonymous)),
    ?assertNot(ejabberd_auth:does_user_exist(?OTHER_HT, Alice, stored)),
    ?assert(host:user_exists(<<"bob@dynamic.example/r">>)),
    ?assertNot(host:user_exists(<<"bob@far.example">>)).

%% Confirms it with and without a resource.
a_forgotten_user_exists_again_when_added(_Config) ->
    ok = host:forget_user(<<"alice@localhost/r">>),
    ?assertNot(host:user_exists(?ALICE)),
    ?assert(host:user_exists(<<"bob@localhost">>)),
    ok = host:add_user(?ALICE),
    ?assert(host:user_exists(<<"alice@localhost/r">>)).

%% Confirms that no other user is affected.
a_broken_user_cannot_be_asked_for(_Config) ->
    ok = host:break_user(?ALICE, database_down),
    ?assertError(database_down, host:user_exists(?ALICE)),
    ?assert(host:user_exists(<<"bob@localhost">>)).

%% Sessions

%% Confirms that the session is there without a priority, and stays the same when it gets one.
a_connected_user_is_not_available(_Config) ->
    Jid = jid:from_binary(<<"alice@localhost/r">>),
    ok = host:user_connected(Jid),
    [Session] = ejabberd_sm:get_raw_sessions(Jid),
    ?assertEqual({undefined, #{}}, {Session#session.priority, Session#session.info}),
    ?assert(ejabberd_sm:is_offline(Jid)),
    ?assertEqual([], ejabberd_sm:get_user_present_resources(Jid)),
    host:user_available(Jid),
    ?assertEqual([Session#session{priority = 0}], ejabberd_sm:get_raw_sessions(Jid)),
    ?assertNot(ejabberd_sm:is_offline(Jid)).

%% Confirms a value that is changed and one that is removed.
a_session_keeps_what_is_stored_in_it(_Config) ->
    {Jid, Sid} = session(<<"phone">>),
    ?assertEqual({error, not_set}, ejabberd_sm:get_info(Jid, key)),
    ok = ejabberd_sm:store_info(Jid, Sid, key, 1),
    ok = ejabberd_sm:store_info(Jid, Sid, key, 2),
    ?assertEqual({ok, 2}, ejabberd_sm:get_info(Jid, key)),
    ok = ejabberd_sm:remove_info(Jid, Sid, key),
    ?assertEqual({error, not_set}, ejabberd_sm:get_info(Jid, key)),
    ok = ejabberd_sm:remove_info(Jid, Sid, key).

%% Confirms it for two sessions of a user.
what_is_stored_belongs_to_one_session(_Config) ->
    {Phone, Sid} = session(<<"phone">>),
    {Tablet, _} = session(<<"tablet">>),
    ok = ejabberd_sm:store_info(Phone, Sid, key, value),
    ?assertEqual({error, not_set}, ejabberd_sm:get_info(Tablet, key)),
    ?assertEqual([{<<"phone">>, {key, value}}, {<<"tablet">>, none}],
                 lists:sort([{mongoose_session:get_resource(Session),
                              mongoose_session:get_info(Session, key, none)}
                             || Session <- ejabberd_sm:get_raw_sessions(Phone)])).

%% Confirms that this is no failure, unless there never was a session.
nothing_is_stored_in_a_session_that_is_gone(_Config) ->
    {Jid, Sid} = session(<<"phone">>),
    host:user_unavailable(Jid, <<>>),
    ?assertEqual({error, offline}, ejabberd_sm:get_info(Jid, key)),
    ok = ejabberd_sm:store_info(Jid, Sid, key, 1),
    session(<<"phone">>),
    ok = ejabberd_sm:store_info(Jid, Sid, key, 1),
    ?assertEqual({error, not_set}, ejabberd_sm:get_info(Jid, key)),
    ?assertError(_, ejabberd_sm:store_info(Jid, undefined, key, 1)).

%% Confirms that the table is not touched.
the_note_of_a_session_can_be_read_and_changed(_Config) ->
    {Jid, _} = session(<<"phone">>),
    [Session] = ejabberd_sm:get_raw_sessions(Jid),
    Changed = mongoose_session:set_info(Session, key, undefined),
    ?assertEqual(#{key => undefined}, mongoose_session:get_info(Changed)),
    ?assertEqual({key, undefined}, mongoose_session:get_info(Changed, key, none)),
    ?assertEqual([Session], ejabberd_sm:get_raw_sessions(Jid)).

%% Removal

%% Confirms params and acc.
a_removed_user_is_forgotten_and_told_to_modules(_Config) ->
    handle(remove_user, ?HT, fun ?MODULE:report/3),
    Acc = host:remove_user(<<"alice@localhost/r">>),
    ?assertEqual({Acc, #{jid => jid:from_binary(?ALICE)}}, reported()),
    ?assertEqual({?HT, ?HT, undefined}, {mongoose_acc:host_type(Acc), mongoose_acc:lserver(Acc),
                                         mongoose_acc:element(Acc)}),
    ?assertNot(host:user_exists(?ALICE)).

%% Confirms params and acc.
a_removed_domain_is_no_longer_served_and_told_to_modules(_Config) ->
    handle(remove_domain, ?OTHER_HT, fun ?MODULE:report/3),
    ?assertEqual(#{failed => []}, host:remove_domain(?DOMAIN)),
    ?assertEqual({#{failed => []}, #{domain => ?DOMAIN}}, reported()),
    ?assertNot(host:user_exists(<<"bob@dynamic.example">>)).

%% Confirms the result, the log, and that later handlers do not run.
a_module_that_cannot_remove_a_domain_stops_the_hook(_Config) ->
    handle(remove_domain, ?OTHER_HT, fun ?MODULE:fail/3),
    handle(remove_domain, ?OTHER_HT, fun ?MODULE:report/3),
    ?assertEqual(#{failed => [?MODULE]}, host:remove_domain(?DOMAIN)),
    ?assertMatch(#{module := ?MODULE, class := exit, reason := oops},
                 log_capture:await(hook_failed)),
    ?assertEqual(none, reported_already()).

%% Confirms both results, and that another value is the mistake of the module.
a_removal_gives_its_accumulator_back(_Config) ->
    Acc = #{failed => [earlier]},
    ?assertEqual({ok, Acc},
                 mongoose_domain_api:remove_domain_wrapper(Acc, fun() -> Acc end, toy)),
    ?assertEqual({stop, #{failed => [toy, earlier]}},
                 mongoose_domain_api:remove_domain_wrapper(Acc, fun() -> error(oops) end, toy)),
    ?assertError({try_clause, ok},
                 mongoose_domain_api:remove_domain_wrapper(Acc, fun() -> ok end, toy)).

%% Other hooks

%% Confirms params.
unread_messages_are_counted_for_a_user(_Config) ->
    handle(inbox_unread_count, ?HT, fun ?MODULE:report/3),
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT}),
    Jid = jid:from_binary(?ALICE),
    ?assertEqual(Acc, mongoose_hooks:inbox_unread_count(Acc, Jid)),
    ?assertEqual({Acc, #{user => Jid}}, reported()).

%% Confirms params, whatever the host type of the acc.
notifications_are_pushed_for_a_host_type(_Config) ->
    handle(push_notifications, ?OTHER_HT, fun ?MODULE:report/3),
    Acc = mongoose_acc:new(#{location => #{}, lserver => ?HT, host_type => ?HT}),
    ?assertEqual(Acc, mongoose_hooks:push_notifications(?OTHER_HT, Acc, [#{<<"a">> => <<"1">>}],
                                                        #{<<"b">> => <<"2">>})),
    ?assertEqual({Acc, #{notification_forms => [#{<<"a">> => <<"1">>}],
                         options => #{<<"b">> => <<"2">>}}}, reported()).

%% Confirms it for a static, a dynamic and an unknown domain.
a_domain_has_a_host_type(_Config) ->
    ?assertEqual([{ok, ?HT}, {ok, ?OTHER_HT}, {error, not_found}],
                 [mongoose_domain_api:get_host_type(Domain)
                  || Domain <- [<<"localhost">>, ?DOMAIN, <<"far.example">>]]).

%% Handlers

report(Acc, Params, _Extra) ->
    ?MODULE ! {reported, {Acc, Params}},
    {ok, Acc}.

fail(Acc, _Params, _Extra) ->
    mongoose_domain_api:remove_domain_wrapper(Acc, fun() -> exit(oops) end, ?MODULE).

%% Helpers

handle(HookName, HostType, Function) ->
    gen_hook:add_handler(HookName, HostType, Function, #{}, 50),
    gen_hook:reload_hooks().

%% Handlers run in this process, so their reports are here already.
reported_already() ->
    receive {reported, Report} -> Report after 0 -> none end.

reported() ->
    Report = reported_already(),
    ?assertNotEqual(none, Report),
    Report.

session(Resource) ->
    Jid = jid:replace_resource(jid:from_binary(?ALICE), Resource),
    host:user_available(Jid),
    [#session{sid = Sid}] = [Session || Session <- ejabberd_sm:get_raw_sessions(Jid),
                                        mongoose_session:get_resource(Session) =:= Resource],
    {Jid, Sid}.
