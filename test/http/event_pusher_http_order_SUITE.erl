-module(event_pusher_http_order_SUITE).
-moduledoc "Events of one user in their order, those of others beside them.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([one_event_of_each_user_is_under_way/1,
         devices_and_kinds_of_events_of_a_user_are_in_one_order/1,
         an_event_that_fails_keeps_its_place/1,
         an_event_that_is_retried_by_age_keeps_its_place/1,
         an_event_that_is_refused_lets_the_next_one_go/1,
         an_outage_and_a_restart_keep_the_order/1,
         without_the_option_events_of_one_user_go_side_by_side/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
%% Nobody of this host, so that each message is one event.
-define(ROOM, <<"garden@muc.example.com">>).
-define(WAIT, 30000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    ok = rig:start_application(),
    {ok, Receiver} = http_service:start(),
    [{receiver, Receiver} | Config].

end_per_suite(Config) ->
    http_service:stop(?config(receiver, Config)),
    application:stop(event_pusher).

init_per_testcase(Case, Config) ->
    ok = http_service:reset(?config(receiver, Config)),
    _ = http_service:flush(?config(receiver, Config)),
    Dir = filename:join(?config(priv_dir, Config), atom_to_list(Case)),
    [{dir, unicode:characters_to_binary(Dir)} | Config].

end_per_testcase(_Case, Config) ->
    ok = http_service:release(?config(receiver, Config)),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

%% Confirms it while nobody answers, and the order afterwards.
one_event_of_each_user_is_under_way(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:hold(Receiver, "/"),
    start(#{format => json}, Config),
    [send(User, N) || N <- lists:seq(1, 10), User <- [?ALICE, ?BOB]],
    First = http_service:await_messages(Receiver, 2, ?WAIT),
    ?assertMatch(#{in_flight := 2, queue_events := 18, waiting := 20}, http_rig:stats()),
    ok = http_service:release(Receiver),
    Texts = [text(Request) || Request <- First ++ http_service:await_messages(Receiver, 18, ?WAIT)],
    [?assertEqual(numbered(User, lists:seq(1, 10)), of_user(User, Texts)) || User <- [?ALICE, ?BOB]],
    ?assertEqual(2, http_service:max_in_flight(Receiver)).

%% Confirms it with workers enough for all, also of forms.
devices_and_kinds_of_events_of_a_user_are_in_one_order(Config) ->
    start(#{format => json}, Config),
    _ = host:user_available(?ALICE),
    [send(<<"alice@localhost/", Device/binary>>, N)
     || {N, Device} <- lists:enumerate(lists:append(lists:duplicate(20, [<<"phone">>, <<"tablet">>])))],
    _ = host:user_unavailable(?ALICE, <<"bye">>),
    Bodies = [Body || #{body := Body} <- http_service:await_messages(?config(receiver, Config), 42, ?WAIT)],
    ?assertEqual([<<"presence.online">>] ++ lists:duplicate(40, <<"message.sent">>) ++ [<<"presence.offline">>],
                 [event(Body) || Body <- Bodies]),
    ?assertEqual(1, http_service:max_in_flight(?config(receiver, Config))),
    ok = host:stop(),
    start(#{}, Config),
    [send(?ALICE, N) || N <- lists:seq(1, 20)],
    ?assertEqual(numbered(?ALICE, lists:seq(1, 20)), arrived(20, Config)).

%% Confirms it with failures among successes: what arrives again arrives at once, before all that follows.
an_event_that_fails_keeps_its_place(Config) ->
    Statuses = [200, 503, 500, 200, 429, 200, 503, 503, 503],
    ok = http_service:script(?config(receiver, Config), Statuses),
    start(#{format => json, retry_count => 5, retry_time_ms => 10}, Config),
    [send(?ALICE, N) || N <- lists:seq(1, 6)],
    ?assertEqual(numbered(?ALICE, [1, 2, 2, 2, 3, 3, 4, 4, 4, 4, 5, 6]), arrived(12, Config)),
    ?assertMatch(#{delivered := 6, retried := 6}, http_rig:await_waiting(0)).

%% Confirms it where what has failed rests in the queue, and leaves its worker to others.
an_event_that_is_retried_by_age_keeps_its_place(Config) ->
    ok = http_service:script(?config(receiver, Config), [503, 503, 200, 503, 200]),
    http_rig:start_host([#{format => json, ordered => true, retry_time_ms => 10}], ?config(receiver, Config),
                        #{retry => #{max_age_ms => 60000}}),
    [send(?ALICE, N) || N <- lists:seq(1, 4)],
    ?assertEqual(numbered(?ALICE, [1, 1, 1, 2, 2, 3, 4]), arrived(7, Config)).

an_event_that_is_refused_lets_the_next_one_go(Config) ->
    ok = http_service:script(?config(receiver, Config), [200, 422, 200]),
    start(#{format => json}, Config),
    [send(?ALICE, N) || N <- lists:seq(1, 4)],
    ?assertEqual(numbered(?ALICE, lists:seq(1, 4)), arrived(4, Config)),
    ?assertMatch(#{delivered := 3, rejected := 1}, http_rig:await_waiting(0)).

%% Confirms it of first arrivals, with what was on disk.
an_outage_and_a_restart_keep_the_order(Config) ->
    Receiver = ?config(receiver, Config),
    Handler = #{format => json, ordered => true, retry_count => 1000, retry_time_ms => 10},
    Start = fun() ->
        http_rig:start_host([Handler], Receiver,
                            #{spool => #{dir => ?config(dir, Config), max_bytes => 64 * 1024 * 1024, sync => 1},
                              queue => #{max_events => 5, drain_timeout_ms => 0}})
    end,
    ok = http_service:down(Receiver),
    Start(),
    [send(User, N) || N <- lists:seq(1, 30), User <- [?ALICE, ?BOB]],
    _ = rig:await_stats({http, ?HT, 1}, fun(#{spool := #{events := Events}}) -> Events =:= 60 end),
    ok = host:stop(),
    ok = http_service:up(Receiver),
    Start(),
    Texts = arrived(60, Config),
    [?assertEqual(numbered(User, lists:seq(1, 30)), of_user(User, Texts)) || User <- [?ALICE, ?BOB]].

%% Confirms that the cases above are about the option.
without_the_option_events_of_one_user_go_side_by_side(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:hold(Receiver, "/"),
    http_rig:start_host([#{format => json}], Receiver),
    [send(?ALICE, N) || N <- lists:seq(1, 10)],
    ?assertEqual(10, length(http_service:await_messages(Receiver, 10, ?WAIT))).

%% Helpers

start(Handler, Config) ->
    http_rig:start_host([Handler#{ordered => true}], ?config(receiver, Config)).

send(User, Number) ->
    [Text] = numbered(User, [Number]),
    _ = host:send_message(User, ?ROOM, rig:message(<<"chat">>, Text)),
    ok.

numbered(User, Numbers) ->
    [Name, _] = binary:split(User, <<"@">>),
    [<<Name/binary, "-", (integer_to_binary(N))/binary>> || N <- Numbers].

of_user(User, Texts) ->
    [Name, _] = binary:split(User, <<"@">>),
    [Text || Text <- Texts, binary:longest_common_prefix([Text, Name]) =:= byte_size(Name)].

arrived(Count, Config) ->
    [text(Request) || Request <- http_service:await_messages(?config(receiver, Config), Count, ?WAIT)].

text(#{body := Body}) ->
    {match, [Text]} = re:run(Body, "(?:alice|bob)-[0-9]+", [{capture, first, binary}]),
    Text.

event(Body) ->
    {match, [Event]} = re:run(Body, "\"event\":\"([a-z.]+)\"", [{capture, all_but_first, binary}]),
    Event.
