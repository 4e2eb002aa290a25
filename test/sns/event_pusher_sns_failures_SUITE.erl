-module(event_pusher_sns_failures_SUITE).
-moduledoc "The SNS backend against a real SNS service: what it refuses, what does not answer, starts, stops and metrics.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_wrong_secret_is_rejected_and_logged_once/1,
         a_topic_that_is_not_there_is_named_in_the_log/1,
         a_clock_that_is_wrong_is_told/1,
         a_service_without_batches_is_told/1,
         an_unreachable_service_is_retried_then_exhausted/1,
         a_retry_time_of_zero_is_legal/1,
         a_full_queue_drops_new_events_and_blocks_nobody/1,
         a_full_queue_may_drop_the_oldest_events/1,
         what_waits_for_too_long_expires/1,
         two_host_types_use_their_own_credentials/1,
         the_module_starts_and_stops_any_number_of_times/1,
         stopping_drains_what_was_accepted/1,
         stopping_reports_what_it_dropped_at_the_deadline/1,
         unusable_options_stop_the_module_and_are_named/1,
         what_a_killed_owner_had_not_delivered_is_reported/1,
         what_is_delivered_is_measured/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(WAIT, 20000).
-define(LABELS, #{host_type => ?HT, pool_type => sns, pool_tag => pusher_sns}).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Names of cases are sentences: at least two blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    sns_rig:start_suite(Config).

end_per_suite(Config) ->
    sns_rig:stop_suite(Config).

init_per_testcase(_Case, Config) ->
    sns_rig:start_case(Config).

end_per_testcase(_Case, Config) ->
    sns_rig:stop_case(Config).

%% Failures

%% Confirms that it is classified as permanent: no retry, and one line for many events.
a_wrong_secret_is_rejected_and_logged_once(Config) ->
    sns_rig:start(Config, #{secret_access_key => "wrong"}),
    [sns_rig:send(<<"chat">>, <<"a private word">>) || _ <- lists:seq(1, 10)],
    ?assertMatch(#{rejected := 10, retried := 0, delivered := 0},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)),
    ok = host_metrics:await(event_pusher_events, fun() -> sns_rig:total(rejected) =:= 10 end),
    Lines = [log_capture:await(event_pusher_drops) | log_capture:rest(event_pusher_drops)],
    ?assertEqual(10, lists:sum([Count || #{count := Count} <- Lines])),
    ?assertMatch([#{reason := rejected,
                    last_cause := <<"403 SignatureDoesNotMatch: secret_access_key ", _/binary>>} | _],
                 Lines),
    ?assert(length(Lines) < 10),
    ?assertEqual([0, 0, 0, 1], pools_by_state()),
    {ok, #{status := Status}} = event_pusher:stats({sns, ?HT}),
    ?assertMatch(#{state := refused, last_success_ms := none,
                   cause := <<"403 SignatureDoesNotMatch", _/binary>>,
                   last_error := #{cause := <<"403 SignatureDoesNotMatch", _/binary>>}}, Status).

%% Confirms that a wrong name, account or region can be seen.
a_topic_that_is_not_there_is_named_in_the_log(Config) ->
    sns_rig:start(Config, #{pm_messages_topic => "nowhere"}),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    #{last_cause := Cause} = log_capture:await(event_pusher_drops),
    ?assertMatch({_, _}, binary:match(Cause, <<"arn:aws:sns:eu-west-1:123456789012:nowhere">>)).

%% Confirms the line, and that the event arrives all the same.
a_clock_that_is_wrong_is_told(Config) ->
    ok = sns_service:clock(?config(service, Config), -1200),
    sns_rig:start(Config, #{}),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    _ = sns_rig:arrived(Config),
    #{receiver_ahead_s := Ahead, text := Text} = log_capture:await(event_pusher_clock),
    ?assertMatch(<<"The clock", _/binary>>, Text),
    ?assert(abs(Ahead + 1200) < 60),
    ?assertEqual([], log_capture:rest(event_pusher_clock)).

%% Confirms the line, and that no event is lost.
a_service_without_batches_is_told(Config) ->
    ok = sns_service:unknown(?config(service, Config), ["PublishBatch"]),
    sns_rig:start(Config, #{pool_size => 1}),
    [sns_rig:send(<<"chat">>, integer_to_binary(N)) || N <- lists:seq(1, 50)],
    ?assertEqual(50, length(sns_service:await_messages(?config(service, Config), 50, ?WAIT))),
    ?assertMatch(#{text := <<"The endpoint has no PublishBatch", _/binary>>},
                 log_capture:await(event_pusher_batching_off)),
    ?assertEqual([], log_capture:rest(event_pusher_batching_off)).

%% Confirms the number of attempts against a port where nobody listens.
an_unreachable_service_is_retried_then_exhausted(Config) ->
    sns_rig:start(Config, #{sns_host => "http://127.0.0.1:" ++ integer_to_list(rig:free_port()),
                    publish_retry_count => 3, publish_retry_time_ms => 1}),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{exhausted := 1, retried := 3},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)),
    #{last_cause := Cause} = log_capture:await(event_pusher_drops),
    ?assertMatch({_, _}, binary:match(Cause, <<"refused">>)).

%% Confirms that it crashes nothing.
a_retry_time_of_zero_is_legal(Config) ->
    sns_rig:start(Config, #{sns_host => "http://127.0.0.1:" ++ integer_to_list(rig:free_port()),
                    publish_retry_time_ms => 0}),
    sns_rig:send(<<"chat">>, <<"Hi">>),
    ?assertMatch(#{exhausted := 1, retried := 2},
                 sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end)).

%% Confirms that the chat goes on behind a service that never answers, and that all is counted: if
%% one event waited for the service, this case would never end.
a_full_queue_drops_new_events_and_blocks_nobody(Config) ->
    {Listen, Host} = rig:silent_server(),
    sns_rig:start(Config, #{sns_host => Host, pool_size => 1,
                    queue => #{max_events => 5, drain_timeout_ms => 0}}),
    sns_rig:send(<<"chat">>, <<"in flight">>),
    sns_rig:await_stats(fun(#{queue_events := Events}) -> Events =:= 0 end),
    [sns_rig:send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 100)],
    ?assertMatch(#{accepted := 6, refused_full := 95, queue_events := 5, in_flight := 1},
                 sns_rig:stats()),
    ok = host_metrics:await(event_pusher_events, fun() -> sns_rig:total(full) =:= 95 end),
    ?assertMatch(#{reason := full}, log_capture:await(event_pusher_drops)),
    gen_tcp:close(Listen).

%% Confirms the number of them and the metric, which is the sum of both kinds.
a_full_queue_may_drop_the_oldest_events(Config) ->
    {Listen, Host} = rig:silent_server(),
    sns_rig:start(Config, #{sns_host => Host, pool_size => 1,
                    queue => #{max_events => 5, on_full => drop_old, drain_timeout_ms => 0}}),
    sns_rig:send(<<"chat">>, <<"in flight">>),
    sns_rig:await_stats(fun(#{queue_events := Events}) -> Events =:= 0 end),
    [sns_rig:send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 100)],
    #{accepted := Accepted, full := Dropped, refused_full := Refused} = Stats = sns_rig:stats(),
    ?assertMatch(#{queue_events := 5, in_flight := 1}, Stats),
    %% Whoever reads the levels at the same time can make a new one be refused.
    ?assertEqual({101, 95}, {Accepted + Refused, Dropped + Refused}),
    ?assert(Dropped > 0),
    ok = host_metrics:await(event_pusher_events, fun() -> sns_rig:total(full) =:= 95 end),
    ?assertMatch(#{reason := full, last_cause := <<"queue is full">>},
                 log_capture:await(event_pusher_drops)),
    gen_tcp:close(Listen).

%% Confirms the count, the metric and the line in the log.
what_waits_for_too_long_expires(Config) ->
    {Listen, Host} = rig:silent_server(),
    sns_rig:start(Config, #{sns_host => Host, pool_size => 1,
                    queue => #{max_age_ms => 100, drain_timeout_ms => 0}}),
    sns_rig:send(<<"chat">>, <<"in flight">>),
    sns_rig:await_stats(fun(#{queue_events := Events}) -> Events =:= 0 end),
    [sns_rig:send(<<"chat">>, <<"Hi">>) || _ <- [1, 2]],
    ok = host_metrics:await(event_pusher_events, fun() -> sns_rig:total(expired) =:= 2 end),
    ?assertMatch(#{reason := expired, last_cause := <<"waited longer than queue.max_age_ms">>},
                 log_capture:await(event_pusher_drops)),
    ?assertMatch(#{accepted := 3, expired := 2, in_flight := 1, queue_events := 0},
                 sns_rig:stats()),
    gen_tcp:close(Listen).

%% Start and stop

%% Confirms that each host type signs with its own key.
two_host_types_use_their_own_credentials(Config) ->
    Service = ?config(service, Config),
    #{access_key_id := KeyId, secret_access_key := Secret} = sns_service:user(Service, "second"),
    Opts = sns_rig:opts_of(Config),
    Second = Opts#{access_key_id => binary_to_list(KeyId),
                   secret_access_key => binary_to_list(Secret)},
    Third = Opts#{access_key_id => binary_to_list(KeyId)},
    {module, _} = code:ensure_loaded(mod_event_pusher_sns),
    host:start(maps:from_list([{HostType, #{mod_event_pusher => #{sns => SnsOpts}}}
                               || {HostType, SnsOpts} <- [{<<"one">>, Opts}, {<<"two">>, Second},
                                                          {<<"mixed">>, Third}]])),
    [host:user_available(<<"alice@", HostType/binary, "/phone">>)
     || HostType <- [<<"one">>, <<"two">>, <<"mixed">>]],
    Messages = sns_service:await_messages(Service, 2, ?WAIT),
    ?assertEqual([<<"alice@one">>, <<"alice@two">>],
                 lists:sort([maps:get(<<"user_id">>, sns_rig:json(Message)) || Message <- Messages])),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        maps:get(rejected, rig:stats({sns, <<"mixed">>})) =:= 1
    end).

%% Confirms that nothing is left behind by a stop.
the_module_starts_and_stops_any_number_of_times(Config) ->
    sns_rig:start(Config, #{}),
    Opts = sns_rig:opts_of(Config),
    [begin
         {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
         ?assertEqual({error, closed}, event_pusher:stats({sns, ?HT})),
         {started, ok} = mongoose_modules:ensure_started(?HT, mod_event_pusher_sns, Opts)
     end || _ <- lists:seq(1, 10)],
    sns_rig:send(<<"chat">>, <<"still here">>),
    ?assertMatch(#{<<"message">> := <<"still here">>}, sns_rig:json(sns_rig:arrived(Config))).

%% Confirms that stop/1 waits for what was accepted.
stopping_drains_what_was_accepted(Config) ->
    sns_rig:start(Config, #{pool_size => 2, queue => #{drain_timeout_ms => ?WAIT}}),
    [sns_rig:send(<<"chat">>, integer_to_binary(N)) || N <- lists:seq(1, 50)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    ?assertEqual(50, sns_rig:total(delivered)),
    ?assertEqual(50, length(sns_service:await_messages(?config(service, Config), 50, ?WAIT))).

%% Confirms the deadline, the metric and the log line.
stopping_reports_what_it_dropped_at_the_deadline(Config) ->
    {Listen, Host} = rig:silent_server(),
    sns_rig:start(Config, #{sns_host => Host, pool_size => 1, queue => #{drain_timeout_ms => 50}}),
    [sns_rig:send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 7)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    ?assertEqual(7, sns_rig:total(closed)),
    ?assertMatch(#{reason := closed, count := 7}, log_capture:await(event_pusher_drops)),
    gen_tcp:close(Listen).

%% Confirms that all complaints come at once and that the secret is not among them.
unusable_options_stop_the_module_and_are_named(Config) ->
    sns_rig:start(Config, #{}),
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_sns),
    Bad = (sns_rig:opts_of(Config))#{sns_host => "https://user:a b@x", region => "", account_id => "12 34",
                          pm_messages_topic => "arn:aws:sns:eu-west-1:123456789012:pm",
                          secret_access_key => "a b"},
    try mongoose_modules:ensure_started(?HT, mod_event_pusher_sns, Bad) of
        Started -> ct:fail({started, Started})
    catch
        error:#{what := event_pusher_pool_not_started, reason := Complaints} ->
            ?assertMatch([<<"sns_host: ", _/binary>>, <<"region: ", _/binary>>,
                          <<"account_id: ", _/binary>>, <<"pm_messages_topic: ", _/binary>>,
                          <<"secret_access_key: ", _/binary>>], Complaints),
            ?assertEqual(nomatch, binary:match(iolist_to_binary(Complaints), <<"a b">>))
    end.

%% Confirms that no event is lost silently with its owner, and that the next owner goes on.
what_a_killed_owner_had_not_delivered_is_reported(Config) ->
    {Listen, Host} = rig:silent_server(),
    sns_rig:start(Config, #{sns_host => Host, pool_size => 1, queue => #{drain_timeout_ms => 0}}),
    [sns_rig:send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 5)],
    [Owner] = event_pusher_sup:owners([{sns, ?HT}]),
    exit(Owner, kill),
    ?assertMatch(#{reason := closed, count := 5}, log_capture:await(event_pusher_drops)),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        maps:get(accepted, sns_rig:stats()) =:= 0
    end),
    ?assertEqual(5, sns_rig:total(closed)),
    gen_tcp:close(Listen).

%% Metrics and logs

%% Confirms counters, times and levels.
what_is_delivered_is_measured(Config) ->
    sns_rig:start(Config, #{}),
    [sns_rig:send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 3)],
    ok = host_metrics:await(event_pusher_events, fun() -> sns_rig:total(delivered) =:= 3 end),
    Times = host_metrics:values(event_pusher_events, ?LABELS, time),
    ?assertEqual(3, length(Times)),
    ?assert(lists:all(fun(Time) -> Time > 0 end, Times)),
    ?assertEqual(3, length(host_metrics:values(event_pusher_events, ?LABELS, attempt_time))),
    [?assertEqual(0, host_metrics:gauge(event_pusher_queue, ?LABELS, Level))
     || Level <- [events, bytes, in_flight, oldest_ms]],
    ?assertEqual([0, 1, 0, 0], pools_by_state()).

pools_by_state() ->
    [host_metrics:gauge(event_pusher_status, ?LABELS, State)
     || State <- [connecting, connected, degraded, refused]].
