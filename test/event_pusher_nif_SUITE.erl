-module(event_pusher_nif_SUITE).
-moduledoc "The native library as Erlang sees it: terms in, terms out, and never a crash.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([random_terms_never_crash_the_vm/1,
         nearly_valid_messages_never_crash_the_vm/1,
         nearly_valid_settings_never_crash_the_vm/1,
         json_is_built_from_every_kind_of_value/1,
         text_that_is_not_utf8_is_accepted_and_rejected/1,
         a_full_queue_and_a_closed_pool_refuse/1,
         settings_that_cannot_be_used_are_all_named/1,
         a_pool_ends_with_the_process_that_started_it/1,
         nothing_is_lost_or_counted_twice_under_concurrent_pushers/1,
         the_runtime_stops_and_starts_again/1,
         a_second_load_keeps_running_pools_alive/1,
         the_library_loads_again_after_it_was_purged/1,
         a_pool_whose_owner_is_killed_starts_again/1,
         a_report_that_crashes_does_not_cost_the_pool/1]).
%% Reports
-export([tell/3, crash/2]).

-include_lib("stdlib/include/assert.hrl").
-include_lib("proper/include/proper.hrl").

-define(NAME, {sns, <<"nif.test">>}).
-define(RUNS, 1000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_testcase(_Case, Config) ->
    ok = rig:start_application(),
    {ok, Listen} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}]),
    [{listen, Listen} | Config].

end_per_testcase(_Case, Config) ->
    _ = application:stop(event_pusher),
    gen_tcp:close(proplists:get_value(listen, Config)).

%% Any term

%% Confirms that each function answers as specified or raises badarg, and that a pool still works.
random_terms_never_crash_the_vm(Config) ->
    Pool = pool(Config),
    Calls = [fun(Term) -> event_pusher_nif:push(Pool, Term) end,
             fun(Term) -> event_pusher_nif:push(Term, message(<<"body">>)) end,
             fun event_pusher_nif:start_pool/1,
             fun event_pusher_nif:stats/1,
             fun event_pusher_nif:report/1,
             fun(Term) -> event_pusher_nif:stop_pool(Term, 0) end,
             fun(Term) -> event_pusher_nif:try_tls(<<"localhost">>, 1, Term, 1) end,
             fun(Term) -> event_pusher_nif:try_tls(Term, Term, tls(), Term) end,
             fun(Term) -> event_pusher_nif:stop_pool(Term, Term) end,
             fun(Term) -> is_integer(Term) orelse event_pusher_nif:start_runtime(Term) end],
    [quickcheck(?FORALL(Term, proper_types:any(), is_answer(Call, Term))) || Call <- Calls],
    ?assertEqual(ok, event_pusher_nif:push(Pool, message(<<"body">>))).

%% Confirms it where only one field is wrong.
nearly_valid_messages_never_crash_the_vm(Config) ->
    Pool = pool(Config),
    Value = oneof([binary(), utf8(), integer(), float(), atom(), largeint(), proper_types:any()]),
    Fields = [{destination, oneof([utf8(), Value])},
              {body, oneof([binary(), {json, Value},
                            {json, list({oneof([utf8(), atom()]),
                                         oneof([Value, {number, Value}])})}])},
              {attributes, list({Value, {oneof([string, number, binary, atom()]), Value}})},
              {group, Value}],
    Message = message(<<"body">>),
    quickcheck(?FORALL({Key, Field}, oneof([{Key, Type} || {Key, Type} <- Fields]),
                       is_answer(fun(Term) -> event_pusher_nif:push(Pool, Term) end,
                                 Message#{Key => Field}))),
    ?assertEqual(ok, event_pusher_nif:push(Pool, Message)).

%% Confirms it for both levels of the settings, and for each target.
nearly_valid_settings_never_crash_the_vm(Config) ->
    Settings = settings(Config),
    Value = oneof([binary(), integer(), largeint(), atom(), proper_types:any()]),
    quickcheck(?FORALL({Key, Field}, {oneof(maps:keys(Settings)), Value},
                       is_answer(fun event_pusher_nif:start_pool/1,
                                 bounded(Settings#{Key => Field})))),
    [begin
         {ok, Pool} = event_pusher_nif:start_pool(Settings#{target := Target}),
         _ = event_pusher_nif:stop_pool(Pool, 0),
         quickcheck(?FORALL({Key, Field}, {oneof(maps:keys(Target)), Value},
                            is_answer(fun event_pusher_nif:start_pool/1,
                                      Settings#{target := Target#{Key => Field}}))),
         quickcheck(?FORALL({Key, Field}, {oneof(maps:keys(tls())), Value},
                            is_answer(fun event_pusher_nif:start_pool/1,
                                      Settings#{target := Target#{tls => (tls())#{Key => Field}}})))
     end || Target <- [maps:get(target, Settings), http_target(), rabbit_target()]].

http_target() ->
    #{target => http, host => <<"https://127.0.0.1:1">>, path_prefix => <<"/">>, path => <<"x">>,
      tls => tls(), http2 => true, connect_timeout_ms => 5000, request_timeout_ms => 1000}.

rabbit_target() ->
    #{target => rabbit, host => <<"127.0.0.1">>, port => 1, username => <<"u">>,
      password => <<"p">>, virtual_host => <<"/">>, connection_name => <<"tests">>,
      confirms => true, declare => active, tls => none, reconnect_delay_ms => 100,
      reconnect_max_ms => 100, nack_retry_count => 1, nack_retry_time_ms => 1,
      nack_retry_max_ms => 1,
      exchanges => [{<<"presence_exchange">>, <<"presence">>, <<"topic">>, false}]}.

tls() ->
    #{verify_mode => none, disconnect_on_failure => true, versions => [<<"tlsv1.3">>],
      ciphers => <<"TLS_AES_256_GCM_SHA384">>, server_name => default}.

%% A queue for millions of events is legal, but not a thousand times over.
bounded(#{max_events := Events} = Settings) when is_integer(Events), Events > 1000 ->
    Settings#{max_events := 10000000 + Events};
bounded(Settings) ->
    Settings.

is_answer(Call, Term) ->
    try Call(Term) of
        ok -> true;
        true -> true;
        {ok, Pool} -> _ = event_pusher_nif:stop_pool(Pool, 0), true;
        {error, {options, Texts}} -> is_list(Texts);
        {error, {connection, Text}} -> is_binary(Text);
        {error, Reason} -> is_atom(Reason) orelse is_list(Reason);
        Answer -> is_map(Answer)
    catch
        error:badarg -> true
    end.

quickcheck(Property) ->
    ?assertEqual(true, proper:quickcheck(Property, [{numtests, ?RUNS}, quiet])).

%% Messages

%% Confirms the text that is sent, read by a server of our own.
json_is_built_from_every_kind_of_value(Config) ->
    Pool = pool(Config),
    Pairs = [{<<"text">>, <<"ä \"\\\n\x{1F600}"/utf8>>},
             {<<"b">>, {number, <<"-36893488147419103232">>}}, {<<"t">>, true},
             {<<"f">>, false}, {<<"n">>, null}, {<<"i">>, -42}, {<<"u">>, 18446744073709551615},
             {<<"d">>, 1.5}],
    Sent = received_message(Pool, message({json, Pairs}), Config),
    ?assertEqual(<<"{\"text\":\"ä \\\"\\\\\\n\x{1F600}\",\"b\":-36893488147419103232,\"t\":true,"
                   "\"f\":false,\"n\":null,\"i\":-42,\"u\":18446744073709551615,\"d\":1.5}"/utf8>>,
                 Sent).

%% Confirms it for every text of a message.
text_that_is_not_utf8_is_accepted_and_rejected(Config) ->
    Pool = pool(Config),
    Broken = <<"a", 255>>,
    Message = message(<<"body">>),
    Messages = [message({json, [{<<"a">>, Broken}]}), message({json, [{Broken, <<"a">>}]}),
                Message#{destination := Broken}, Message#{group => Broken},
                Message#{attributes => [{Broken, {string, <<"a">>}}]},
                Message#{attributes => [{<<"a">>, {string, Broken}}]}],
    [?assertEqual(ok, event_pusher_nif:push(Pool, Each)) || Each <- Messages],
    ?assertMatch(#{accepted := 6, rejected := 6, waiting := 0}, event_pusher_nif:stats(Pool)).

%% Confirms both refusals, and that they are counted.
a_full_queue_and_a_closed_pool_refuse(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool((settings(Config))#{max_events := 2}),
    Answers = [event_pusher_nif:push(Pool, message(<<"body">>)) || _ <- lists:seq(1, 20)],
    Accepted = length([ok || ok <- Answers]),
    ?assert(Accepted >= 2 andalso Accepted =< 3),
    ?assertEqual([{error, full}], lists:usort(Answers) -- [ok]),
    ?assertMatch(#{accepted := Accepted, closed := Accepted, waiting := 0},
                 event_pusher_nif:stop_pool(Pool, 0)),
    ?assertEqual({error, closed}, event_pusher_nif:push(Pool, message(<<"body">>))),
    ?assertMatch(#{refused_closed := 1}, event_pusher_nif:stats(Pool)).

%% Confirms that settings of the pool and of the target are complained about together.
settings_that_cannot_be_used_are_all_named(Config) ->
    #{target := Target} = Settings = settings(Config),
    Bad = Settings#{pool_size := 0, target := Target#{sns_host := <<"a b">>, region := <<>>}},
    {error, Complaints} = event_pusher_nif:start_pool(Bad),
    ?assertMatch([<<"pool_size: ", _/binary>>, <<"sns_host: ", _/binary>>,
                  <<"region: ", _/binary>>], Complaints).

%% Owners

%% Confirms that the pool of a dead process refuses and keeps nothing.
a_pool_ends_with_the_process_that_started_it(Config) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        {ok, Pool} = event_pusher_nif:start_pool(settings(Config)),
        [ok = event_pusher_nif:push(Pool, message(<<"body">>)) || _ <- lists:seq(1, 10)],
        Self ! {pool, Pool},
        receive stop -> ok end
    end),
    Pool = receive {pool, Started} -> Started end,
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, killed} -> ok end,
    %% A second stop waits for the one that the death of the owner began.
    ?assertMatch(#{accepted := 10, closed := 10, waiting := 0, queue_events := 0},
                 event_pusher_nif:stop_pool(Pool, 0)),
    ?assertEqual({error, closed}, event_pusher_nif:push(Pool, message(<<"body">>))).

%% Confirms accepted = delivered + dropped + waiting while and after many processes push.
nothing_is_lost_or_counted_twice_under_concurrent_pushers(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool((settings(Config))#{max_events := 500,
                                                                 retry_count := 0}),
    Push = fun() ->
        exit({accepted, length([ok || _ <- lists:seq(1, 1000), balanced(Pool),
                                      event_pusher_nif:push(Pool, message(<<"body">>)) =:= ok])})
    end,
    Pushers = [spawn_monitor(Push) || _ <- lists:seq(1, 10)],
    gen_tcp:close(proplists:get_value(listen, Config)),
    Accepted = lists:sum([receive {'DOWN', Monitor, process, Pid, {accepted, N}} -> N end
                          || {Pid, Monitor} <- Pushers]),
    Last = event_pusher_nif:stop_pool(Pool, 1000),
    ?assertMatch(#{accepted := Accepted, waiting := 0, queue_events := 0, queue_bytes := 0}, Last),
    ?assertEqual(10000 - Accepted, maps:get(refused_full, Last)),
    ?assert(balanced(Pool)).

balanced(Pool) ->
    #{accepted := Accepted, delivered := Delivered, rejected := Rejected, exhausted := Exhausted,
      closed := Closed, waiting := Waiting} = event_pusher_nif:stats(Pool),
    Accepted =:= Delivered + Rejected + Exhausted + Closed + Waiting.

%% The life of the runtime and of the library

%% Confirms both, and that there is only one runtime.
the_runtime_stops_and_starts_again(Config) ->
    ?assertEqual({error, already_running}, event_pusher_nif:start_runtime(1)),
    ok = application:stop(event_pusher),
    ?assertEqual({error, not_running}, event_pusher_nif:start_pool(settings(Config))),
    ok = event_pusher_nif:stop_runtime(),
    ok = application:start(event_pusher),
    ?assertMatch({ok, _}, event_pusher_nif:start_pool(settings(Config))).

%% Confirms it whatever the load itself answers.
a_second_load_keeps_running_pools_alive(Config) ->
    Pool = pool(Config),
    _ = code:load_file(event_pusher_nif),
    ?assertEqual(<<"after the load">>,
                 received_message(Pool, message(<<"after the load">>), Config)).

%% Confirms that nothing of the first load is in the way.
the_library_loads_again_after_it_was_purged(Config) ->
    ok = application:stop(event_pusher),
    true = code:delete(event_pusher_nif),
    _ = code:purge(event_pusher_nif),
    {module, event_pusher_nif} = code:load_file(event_pusher_nif),
    ok = application:start(event_pusher),
    Pool = pool(Config),
    ?assertEqual(<<"again">>, received_message(Pool, message(<<"again">>), Config)).

%% The owner of the pools

%% Confirms that the name leads to a working pool again.
a_pool_whose_owner_is_killed_starts_again(Config) ->
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]}),
    ?assertEqual({error, already_started},
                 event_pusher:start_pool(?NAME, settings(Config), {?MODULE, tell, [self()]})),
    ok = event_pusher:push(?NAME, message(<<"body">>)),
    [{?NAME, Owner, worker, _}] = supervisor:which_children(event_pusher_sup),
    exit(Owner, kill),
    await_report(fun(#{accepted := Accepted, closed := Closed}) -> {Accepted, Closed} =:= {1, 1} end),
    await_report(fun(#{accepted := Accepted}) -> Accepted =:= 0 end),
    ?assertEqual(ok, event_pusher:push(?NAME, message(<<"body">>))),
    ?assertEqual(ok, event_pusher:stop_pools([?NAME])),
    ?assertEqual({error, closed}, event_pusher:push(?NAME, message(<<"body">>))),
    ?assertEqual(ok, event_pusher:stop_pools([?NAME])).

%% Confirms that it is tried again.
a_report_that_crashes_does_not_cost_the_pool(Config) ->
    register(?MODULE, self()),
    ok = event_pusher:start_pool(?NAME, settings(Config), {?MODULE, crash, []}),
    [receive crashed -> ok end || _ <- [1, 2]],
    ?assertEqual(ok, event_pusher:push(?NAME, message(<<"body">>))),
    ok = event_pusher:stop_pools([?NAME]).

tell(_Previous, Report, Pid) ->
    Pid ! {report, Report}.

crash(_Previous, _Report) ->
    ?MODULE ! crashed,
    error(as_the_test_wants).

await_report(Wanted) ->
    receive
        {report, Report} -> Wanted(Report) orelse await_report(Wanted)
    end.

%% Helpers

pool(Config) ->
    {ok, Pool} = event_pusher_nif:start_pool(settings(Config)),
    Pool.

settings(Config) ->
    {ok, Port} = inet:port(proplists:get_value(listen, Config)),
    #{pool_size => 1, max_events => 1000, max_bytes => 1 bsl 30, retry_count => 2,
      retry_time_ms => 1, retry_max_ms => 1000, drain_timeout_ms => 0,
      target => #{target => sns,
                  sns_host => iolist_to_binary(["http://127.0.0.1:", integer_to_list(Port)]),
                  region => <<"eu-west-1">>, access_key_id => <<"A">>,
                  partition => <<"aws">>, account_id => <<"123456789012">>,
                  topics => [{<<"pm_messages_topic">>, <<"pm">>}],
                  secret_access_key => <<"S">>, publish_batch => false,
                  connect_timeout_ms => 5000, request_timeout_ms => 60000}}.

message(Body) ->
    #{destination => <<"arn:aws:sns:eu-west-1:123456789012:topic">>, body => Body}.

%% The parameter Message of the request that delivers the message; it is left without an answer.
received_message(Pool, Pushed, Config) ->
    ok = event_pusher_nif:push(Pool, Pushed),
    {ok, Socket} = gen_tcp:accept(proplists:get_value(listen, Config), 10000),
    Message = read_message(Socket, <<>>),
    gen_tcp:close(Socket),
    %% A pool lives no longer than the last reference to it: this is one.
    #{accepted := 1} = event_pusher_nif:stop_pool(Pool, 0),
    Message.

read_message(Socket, Read) ->
    case binary:split(Read, <<"\r\n\r\n">>) of
        [Head, Form] ->
            {match, [Length]} = re:run(Head, "content-length: (\\d+)",
                                       [caseless, {capture, all_but_first, binary}]),
            read_message(Socket, Read, binary_to_integer(Length), Form);
        [_] ->
            read_more(Socket, Read)
    end.

read_message(_Socket, _Read, Length, Form) when byte_size(Form) =:= Length ->
    proplists:get_value(<<"Message">>, uri_string:dissect_query(Form));
read_message(Socket, Read, _Length, _Form) ->
    read_more(Socket, Read).

read_more(Socket, Read) ->
    {ok, More} = gen_tcp:recv(Socket, 0, 10000),
    read_message(Socket, <<Read/binary, More/binary>>).
