-module(mod_event_pusher_push_storage_SUITE).
-moduledoc "Where registrations are kept: the same in Mnesia, PostgreSQL and MariaDB.".

-behaviour(ct_suite).

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
%% All
-export([a_registration_is_found_by_its_user_alone/1,
         enabling_a_node_again_replaces_its_form/1,
         a_disabled_node_takes_no_other_with_it/1,
         a_disabled_service_takes_all_its_nodes_and_no_others/1,
         a_user_who_disables_all_has_nothing_left/1,
         disabling_what_is_not_there_is_no_error/1,
         any_form_comes_back_as_it_was/1,
         any_name_is_kept_to_the_letter/1,
         users_who_look_alike_have_nothing_in_common/1,
         names_that_look_alike_are_not_disabled/1,
         a_removed_domain_takes_its_registrations_and_no_others/1,
         a_node_enabled_by_many_at_once_is_registered_once/1,
         devices_that_register_at_once_are_all_kept/1,
         what_one_host_type_stores_another_finds_and_removes/1]).
%% Mnesia and PostgreSQL
-export([users_who_look_alike_may_have_the_same_node/1]).
%% MariaDB
-export([a_node_of_who_looks_alike_goes_to_the_later/1,
         names_of_a_user_that_look_alike_replace_each_other/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(OTHER_HT, <<"other.localhost">>).
-define(BACKEND, mod_event_pusher_push_backend).
-define(PUSH, mod_event_pusher_push).
-define(BOB, <<"bob@localhost">>).
-define(SERVICE, <<"push.localhost">>).
-define(NOT_MARIADB, [users_who_look_alike_may_have_the_same_node]).
-define(MARIADB, [a_node_of_who_looks_alike_goes_to_the_later,
                  names_of_a_user_that_look_alike_replace_each_other]).

all() ->
    [{group, mnesia}, {group, pgsql}, {group, mysql}].

groups() ->
    Cases = push_rig:cases(?MODULE),
    [{mnesia, Cases -- ?MARIADB}, {pgsql, Cases -- ?MARIADB}, {mysql, Cases -- ?NOT_MARIADB}].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    ok = rig:start_application(),
    Config.

end_per_suite(_Config) ->
    application:stop(event_pusher).

init_per_group(Store, Config) ->
    push_store:start(Store, Config).

end_per_group(_Store, Config) ->
    push_store:stop(Config).

init_per_testcase(_Case, Config) ->
    ok = push_store:start_host(Config),
    Config.

end_per_testcase(_Case, _Config) ->
    push_rig:stop_host().

%% Registrations

%% Confirms that nobody else has it, not even who has a name in another domain.
a_registration_is_found_by_its_user_alone(_Config) ->
    ?assertEqual([], push_store:registrations(?BOB)),
    ok = push_store:enable(?BOB, ?SERVICE, <<"node">>, #{<<"secret">> => <<"s">>}),
    ?assertEqual([{?SERVICE, <<"node">>, #{<<"secret">> => <<"s">>}}], push_store:registrations(?BOB)),
    [?assertEqual([], push_store:registrations(Other))
     || Other <- [<<"alice@localhost">>, <<"bob@example.org">>, <<"localhost">>]].

%% Confirms that the other node keeps its form.
enabling_a_node_again_replaces_its_form(_Config) ->
    [ok = push_store:enable(?BOB, ?SERVICE, Node, #{<<"a">> => <<"1">>}) || Node <- [<<"n1">>, <<"n2">>]],
    [begin
         ok = push_store:enable(?BOB, ?SERVICE, <<"n1">>, Form),
         ?assertEqual([{?SERVICE, <<"n1">>, Form}, {?SERVICE, <<"n2">>, #{<<"a">> => <<"1">>}}],
                      push_store:registrations(?BOB))
     end || Form <- [#{<<"b">> => <<"2">>}, #{}, #{}, #{<<"a">> => <<"1">>}]].

%% Confirms it for a node with the same name at another service.
a_disabled_node_takes_no_other_with_it(_Config) ->
    enable_everywhere(),
    ok = push_store:disable(?BOB, ?SERVICE, <<"n1">>),
    ?assertEqual([{?SERVICE, <<"n2">>}, {<<"u@push.example">>, <<"n1">>},
                  {<<"u@push.example">>, <<"n2">>}], push_store:places(?BOB)),
    ?assertEqual(4, length(push_store:registrations(<<"alice@localhost">>))).

%% Confirms that the other service and the other user keep theirs.
a_disabled_service_takes_all_its_nodes_and_no_others(_Config) ->
    enable_everywhere(),
    ok = push_store:disable(?BOB, <<"u@push.example">>, undefined),
    ?assertEqual([{?SERVICE, <<"n1">>}, {?SERVICE, <<"n2">>}], push_store:places(?BOB)),
    ?assertEqual(4, length(push_store:registrations(<<"alice@localhost">>))).

%% Confirms that the other user keeps all.
a_user_who_disables_all_has_nothing_left(_Config) ->
    enable_everywhere(),
    ok = push_store:disable(?BOB),
    ?assertEqual([], push_store:registrations(?BOB)),
    ?assertEqual(4, length(push_store:registrations(<<"alice@localhost">>))).

enable_everywhere() ->
    [ok = push_store:enable(User, Service, Node, #{})
     || User <- [?BOB, <<"alice@localhost">>], Service <- [?SERVICE, <<"u@push.example">>],
        Node <- [<<"n1">>, <<"n2">>]].

%% Confirms it without any registration, and with one that is another.
disabling_what_is_not_there_is_no_error(_Config) ->
    Disable = fun() ->
        ok = push_store:disable(<<"alice@localhost">>),
        ok = push_store:disable(?BOB, <<"push.example">>, undefined),
        ok = push_store:disable(?BOB, ?SERVICE, <<"other">>),
        ok = ?BACKEND:remove_domain(?HT, <<"example.org">>)
    end,
    Disable(),
    ok = push_store:enable(?BOB, ?SERVICE, <<"node">>, #{}),
    Disable(),
    ?assertEqual([{?SERVICE, <<"node">>}], push_store:places(?BOB)).

%% Names and values

%% Confirms that no character of a key or a value has a meaning on its way.
any_form_comes_back_as_it_was(_Config) ->
    Texts = [<<"a">>, <<"'">>, <<"\"">>, <<"\\">>, <<"\\u0041\\'; --">>, <<"`?$1%_:x">>,
             <<" \r\n\t\e\d ">>, <<"Zażółć gęślą jaźń"/utf8>>, <<"推送"/utf8>>, <<"👩‍👩‍👧😀"/utf8>>,
             <<16#2028/utf8, 16#FFFF/utf8, 16#10FFFF/utf8>>, <<"null">>, <<"{\"a\":[]}">>],
    Forms = [#{}, #{<<>> => <<>>}, maps:from_keys(Texts, <<>>),
             maps:from_list([{Text, Text} || Text <- Texts]),
             maps:from_keys([integer_to_binary(N) || N <- lists:seq(1, 200)], <<"value">>),
             #{<<"long">> => binary:copy(<<"😀\\"/utf8>>, 20000)}],
    [begin
         ok = push_store:enable(?BOB, ?SERVICE, <<"node">>, Form),
         ?assertEqual([{?SERVICE, <<"node">>, Form}], push_store:registrations(?BOB))
     end || Form <- Forms].

%% Confirms that each is found, and that disabling one leaves all others.
any_name_is_kept_to_the_letter(_Config) ->
    Users = [<<"łódź@localhost"/utf8>>, <<"o\\dd$%_`|~@localhost">>, <<"𝄞@localhost"/utf8>>,
             <<(binary:copy(<<"ż"/utf8>>, 200))/binary, "@localhost">>],
    Services = [<<"push.localhost">>, <<"user@push.localhost">>, <<"push.éxample"/utf8>>,
                <<"o\\dd$%_@pu\"sh'.exa_mple%">>,
                <<(binary:copy(<<"s">>, 200))/binary, "@push.localhost">>],
    Nodes = [<<"'">>, <<"\"">>, <<"' OR ''='">>, <<"\\">>, <<"%">>, <<"_">>, <<"$">>, <<"$1 ?">>,
             <<"a@b/c">>, <<" a\r\n\tb">>, <<"węzeł"/utf8>>, <<"👩‍👩‍👧😀"/utf8>>,
             binary:copy(<<"😀"/utf8>>, 200)],
    ?assertEqual(Users, [jid:to_binary(jid:from_binary(User)) || User <- Users]),
    [ok = push_store:enable(User, Service, Node, #{<<"node">> => Node})
     || User <- Users, Service <- Services, Node <- Nodes],
    All = lists:sort([{Service, Node, #{<<"node">> => Node}}
                      || Service <- Services, Node <- Nodes]),
    [?assertEqual(All, push_store:registrations(User)) || User <- Users],
    lists:foldl(fun({Service, Node, _Form} = One, Before) ->
        ok = push_store:disable(hd(Users), Service, Node),
        ?assertEqual(Before -- [One], push_store:registrations(hd(Users))),
        Before -- [One]
    end, All, All),
    lists:foldl(fun(Service, Before) ->
        ok = push_store:disable(lists:nth(2, Users), Service, undefined),
        Left = [Other || {At, _, _} = Other <- Before, At =/= Service],
        ?assertEqual(Left, push_store:registrations(lists:nth(2, Users))),
        Left
    end, All, Services),
    [?assertEqual(All, push_store:registrations(User)) || User <- lists:nthtail(2, Users)].

%% Confirms that neither sees, replaces, disables or removes what is the other's. The nodes are the
%% users' own.
users_who_look_alike_have_nothing_in_common(_Config) ->
    [begin
         ok = push_store:enable(One, ?SERVICE, <<"one">>, #{<<"of">> => <<"one">>}),
         ok = push_store:enable(Other, ?SERVICE, <<"other">>, #{}),
         ?assertEqual([{?SERVICE, <<"other">>, #{}}], push_store:registrations(Other)),
         Kept = fun() ->
             ?assertEqual([{?SERVICE, <<"one">>, #{<<"of">> => <<"one">>}}], push_store:registrations(One))
         end,
         Kept(),
         ok = push_store:disable(Other, ?SERVICE, <<"one">>),
         Kept(),
         ok = push_store:disable(Other, ?SERVICE, undefined),
         ?assertEqual([], push_store:registrations(Other)),
         Kept(),
         ok = push_store:disable(Other),
         Kept(),
         ok = push_store:disable(One)
     end || Pair <- look_alikes(), {One, Other} <- both_ways(Pair)].

%% Where one is a pattern or a beginning of the other, and where MariaDB takes them for the same.
%% Some would be refused, or written differently, by stringprep.
look_alikes() ->
    different() ++ equal_in_mariadb().

different() ->
    [{<<"a_b@localhost">>, <<"axb@localhost">>}, {<<"a%b@localhost">>, <<"a_b@localhost">>},
     {<<"%@localhost">>, <<"bob@localhost">>}, {<<"a$_b@localhost">>, <<"a_b@localhost">>},
     {<<"a\\b@localhost">>, <<"ab@localhost">>}, {<<"bob@localhost">>, <<"bobby@localhost">>},
     {<<"bob@localhost">>, <<"bob@localhost.org">>}, {<<"bob@localhost">>, <<"localhost">>}].

equal_in_mariadb() ->
    [{<<"josé@localhost"/utf8>>, <<"jose@localhost">>},
     {<<"jose@éxample.org"/utf8>>, <<"jose@example.org">>},
     {<<"ı@localhost"/utf8>>, <<"i@localhost">>}, {<<"KATE@localhost">>, <<"kate@localhost">>},
     {<<"𝄞@localhost"/utf8>>, <<"𝄢@localhost"/utf8>>},
     {<<"😀@localhost"/utf8>>, <<"👻@localhost"/utf8>>}].

both_ways({One, Other}) ->
    [{One, Other}, {Other, One}].

%% Confirms it for nodes and services that MariaDB takes for the same.
names_that_look_alike_are_not_disabled(_Config) ->
    Service = <<"kate@push.éxample"/utf8>>,
    ok = push_store:enable(?BOB, Service, <<"tokén"/utf8>>, #{}),
    [ok = push_store:disable(?BOB, Service, Node) || Node <- [<<"token">>, <<"TOKÉN"/utf8>>, <<"to%">>]],
    [ok = push_store:disable(?BOB, Other, Node)
     || Other <- [<<"kate@push.example">>, <<"kåte@push.éxample"/utf8>>, <<"push.éxample"/utf8>>,
                  <<"%">>],
        Node <- [undefined, <<"tokén"/utf8>>]],
    ?assertEqual([{Service, <<"tokén"/utf8>>}], push_store:places(?BOB)).

%% Confirms that each is told apart by the user.
users_who_look_alike_may_have_the_same_node(_Config) ->
    [begin
         Forms = [{User, #{<<"of">> => User}} || User <- [One, Other]],
         [ok = push_store:enable(User, ?SERVICE, <<"node">>, Form) || {User, Form} <- Forms],
         [?assertEqual([{?SERVICE, <<"node">>, Form}], push_store:registrations(User))
          || {User, Form} <- Forms],
         ok = push_store:disable(One, ?SERVICE, <<"node">>),
         ?assertEqual({[], 1}, {push_store:registrations(One), length(push_store:registrations(Other))}),
         ok = push_store:disable(Other)
     end || {One, Other} <- look_alikes()].

%% Domains

%% Confirms it for ten thousand registrations, and for domains that a pattern or a collation could
%% take for one another.
a_removed_domain_takes_its_registrations_and_no_others(Config) ->
    Registrations = [registration(N) || N <- lists:seq(1, 10000)],
    [] = [Result || Result <- push_store:in_parallel(8, fun push_store:enable/1, Registrations), Result =/= ok],
    Before = push_store:count_by_domain(Config),
    ?assertEqual({length(domains()), 10000}, {map_size(Before), lists:sum(maps:values(Before))}),
    lists:foldl(fun(Domain, Counts) ->
        {Us, ok} = timer:tc(?BACKEND, remove_domain, [?OTHER_HT, Domain]),
        ct:log("~tp: ~ts removed in ~b ms", [?config(store, Config), Domain, Us div 1000]),
        Left = push_store:count_by_domain(Config),
        ?assertEqual({Domain, maps:remove(Domain, Counts)}, {Domain, Left}),
        Left
    end, Before, [<<"missing.org">>, <<"org">>, <<"%">> | domains()]),
    [?assertEqual([], push_store:registrations(User)) || {User, _, _, _} <- lists:sublist(Registrations, 100)].

domains() ->
    [<<"ex_mple.org">>, <<"exampl%.org">>, <<"%.org">>, <<"x$y.org">>, <<"éxample.org"/utf8>>,
     <<"EXAMPLE.org">>, <<"example\\.org">>, <<"example.org">>, <<"sub.example.org">>,
     <<"anexample.org">>, <<"example.org.uk">>, <<"xy.org">>, <<"x$$y.org">>].

%% Most users have three; some owners are the domain itself.
registration(N) ->
    Domain = lists:nth(1 + N rem length(domains()), domains()),
    User = case N div length(domains()) div 3 of
               Nameless when Nameless rem 50 =:= 0 -> Domain;
               Number -> <<"user", (integer_to_binary(Number))/binary, "@", Domain/binary>>
           end,
    {User, ?SERVICE, <<"node-", (integer_to_binary(N))/binary>>, #{<<"n">> => <<"1">>}}.

%% Many at once

%% Confirms it where a database refuses one of two insertions at the same time, and that the node
%% can be enabled as ever afterwards.
a_node_enabled_by_many_at_once_is_registered_once(Config) ->
    Forms = [#{<<"n">> => integer_to_binary(N)} || N <- lists:seq(1, 200)],
    Results = push_store:in_parallel(20, fun(Form) -> push_store:enable(?BOB, ?SERVICE, <<"node">>, Form) end, Forms),
    ?assertEqual([], [Result || Result <- Results,
                                not may_happen(?config(store, Config), Result)]),
    ?assertMatch([{?SERVICE, <<"node">>, _}], push_store:registrations(?BOB)),
    ok = push_store:enable(?BOB, ?SERVICE, <<"node">>, #{}),
    ?assertEqual([{?SERVICE, <<"node">>, #{}}], push_store:registrations(?BOB)).

may_happen(_Store, ok) -> true;
may_happen(mnesia, _Failure) -> false;
may_happen(_Engine, {error, #{reason := {error, duplicate_key}}}) -> true;
%% As its manual says of several insertions of one key.
may_happen(mysql, {error, #{reason := {error, "Deadlock found" ++ _}}}) -> true;
may_happen(_Engine, _Failure) -> false.

%% Confirms it for one user and for many.
devices_that_register_at_once_are_all_kept(_Config) ->
    Nodes = [<<"node-", (integer_to_binary(N))/binary>> || N <- lists:seq(1000, 1199)],
    Users = [<<"user", (integer_to_binary(N))/binary, "@localhost">> || N <- lists:seq(1, 200)],
    Results = push_store:in_parallel(20, fun push_store:enable/1,
                          [{?BOB, ?SERVICE, Node, #{}} || Node <- Nodes]
                          ++ [{User, ?SERVICE, <<"node">>, #{}} || User <- Users]),
    ?assertEqual([ok], lists:usort(Results)),
    ?assertEqual([{?SERVICE, Node} || Node <- Nodes], push_store:places(?BOB)),
    [?assertEqual([{?SERVICE, <<"node">>}], push_store:places(User)) || User <- Users].

%% Host types

%% Confirms that a registration is the user's and not the host type's, also when one of them ends.
what_one_host_type_stores_another_finds_and_removes(_Config) ->
    ok = ?BACKEND:enable(?HT, push_store:jid(?BOB), push_store:jid(?SERVICE), <<"n1">>, #{}),
    ok = ?BACKEND:enable(?OTHER_HT, push_store:jid(?BOB), push_store:jid(?SERVICE), <<"n2">>, #{}),
    ok = ?BACKEND:enable(?OTHER_HT, push_store:jid(?BOB), push_store:jid(?SERVICE), <<"n1">>, #{<<"a">> => <<"1">>}),
    Both = [{?SERVICE, <<"n1">>, #{<<"a">> => <<"1">>}}, {?SERVICE, <<"n2">>, #{}}],
    ?assertEqual(Both, push_store:registrations(?BOB)),
    {stopped, Opts} = mongoose_modules:ensure_stopped(?HT, ?PUSH),
    ?assertEqual(Both, push_store:registrations(?BOB)),
    {started, _} = mongoose_modules:ensure_started(?HT, ?PUSH, Opts),
    ?assertEqual(Both, push_store:registrations(?BOB)),
    ok = ?BACKEND:disable(?HT, push_store:jid(?BOB), push_store:jid(?SERVICE), <<"n2">>),
    ?assertEqual([hd(Both)], push_store:registrations(?BOB)),
    ok = ?BACKEND:remove_domain(?OTHER_HT, ?HT),
    ?assertEqual([], push_store:registrations(?BOB)).

%% MariaDB, whose table has a primary key in which letters that differ by an accent are equal

%% Confirms that there is one of them at a time; the table cannot hold both.
a_node_of_who_looks_alike_goes_to_the_later(_Config) ->
    [begin
         ok = push_store:enable(One, ?SERVICE, <<"node">>, #{<<"of">> => <<"one">>}),
         ok = push_store:enable(Other, ?SERVICE, <<"node">>, #{<<"of">> => <<"other">>}),
         ?assertEqual([], push_store:registrations(One)),
         ?assertEqual([{?SERVICE, <<"node">>, #{<<"of">> => <<"other">>}}], push_store:registrations(Other)),
         ok = push_store:disable(Other)
     end || Pair <- equal_in_mariadb(), {One, Other} <- both_ways(Pair)].

%% Confirms it for nodes and services, and that the registration has the later name.
names_of_a_user_that_look_alike_replace_each_other(_Config) ->
    Names = [{?SERVICE, <<"tokén"/utf8>>}, {?SERVICE, <<"TOKEN">>}, {?SERVICE, <<"token ">>},
             {<<"push.locálhost"/utf8>>, <<"token">>}],
    [begin
         ok = push_store:enable(?BOB, Service, Node, #{}),
         ?assertEqual([{Service, Node}], push_store:places(?BOB))
     end || {Service, Node} <- Names].
