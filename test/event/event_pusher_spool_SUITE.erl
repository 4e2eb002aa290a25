-module(event_pusher_spool_SUITE).
-moduledoc "What events on disk survive, and what operators hear of them.".

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([what_an_outage_and_a_restart_leave_is_delivered_after_them/1,
         what_memory_has_no_room_for_goes_to_disk/1,
         without_the_section_nothing_touches_a_disk/1,
         a_directory_of_another_node_is_refused/1,
         options_that_cannot_be_used_are_named/1,
         a_handler_that_moves_keeps_its_events/1,
         what_a_handler_with_another_url_leaves_is_told_and_waits/1,
         a_backend_that_is_gone_leaves_a_warning/1,
         an_owner_that_is_killed_loses_no_event/1,
         a_damaged_record_is_told_and_costs_itself/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(SNS, {sns, ?HT}).
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
    ok = rig:start_application(),
    {ok, Service} = sns_service:start(),
    [sns_service:topic(Service, Topic) || Topic <- ["presence", "pm", "muc"]],
    [{service, Service}, {info, sns_service:info(Service)} | Config].

end_per_suite(Config) ->
    sns_service:stop(?config(service, Config)),
    application:stop(event_pusher).

init_per_testcase(Case, Config) ->
    ok = log_capture:start(),
    Dir = filename:join(?config(priv_dir, Config), atom_to_list(Case)),
    [{dir, unicode:characters_to_binary(Dir)} | Config].

end_per_testcase(_Case, Config) ->
    ok = log_capture:stop(),
    stop_host(),
    _ = sns_service:flush(?config(service, Config)),
    ok.

%% Confirms it of one pool that has nobody to deliver to, and of the next one that has.
what_an_outage_and_a_restart_leave_is_delivered_after_them(Config) ->
    start_away(Config),
    Texts = send(1, 50),
    ok = host:stop(),
    ?assertMatch(#{count := 50, pool_type := sns}, log_capture:await(event_pusher_kept)),
    ?assertEqual([], log_capture:rest(event_pusher_drops)),
    start(Config),
    ?assertMatch(#{count := 50, pool_type := sns}, log_capture:await(event_pusher_restored)),
    ?assertEqual(Texts, received(50, Config)),
    sns_rig:await_stats(fun(#{waiting := Waiting, spool := #{events := Events}}) ->
                            {Waiting, Events} =:= {0, 0}
                        end),
    ?assertEqual(50, host_metrics:total(event_pusher_spool, ?LABELS, restored)).

%% Confirms that it does not count as full, and comes back.
what_memory_has_no_room_for_goes_to_disk(Config) ->
    start_away(Config, #{queue => #{max_events => 5, drain_timeout_ms => 0}},
               #{max_bytes => 1024 * 1024}),
    Texts = send(1, 200),
    ?assertMatch(#{refused_full := 0, full := 0, waiting := 200}, sns_rig:stats()),
    ok = host_metrics:await(event_pusher_spool,
                            fun() -> gauge(ahead) >= 100 andalso gauge(used_percent) >= 1 end),
    ?assertMatch(Percent when Percent =< 100, gauge(used_percent)),
    ok = host:stop(),
    start(Config),
    ?assertEqual(Texts, received(200, Config)).

without_the_section_nothing_touches_a_disk(Config) ->
    Opts = sns_rig:opts(?config(info, Config)),
    ok = sns_rig:start_host(Opts),
    _ = send(1, 3),
    _ = received(3, Config),
    ?assertMatch(#{spool := none}, sns_rig:stats()),
    ?assertNot(lists:keymember(event_pusher_spool, 1,
                               [{Event, Labels} || {Event, Labels, _} <-
                                    event_pusher_metrics:instrumentation(?LABELS)])),
    ?assertNot(filelib:is_file(?config(dir, Config))).

%% Confirms it with the lock of the system, which another program holds.
a_directory_of_another_node_is_refused(Config) ->
    Dir = ?config(dir, Config),
    start(Config),
    ok = host:stop(),
    Flock = os:find_executable("flock"),
    Locker = open_port({spawn_executable, Flock},
                       [{args, ["-x", filename:join(Dir, ".lock"), "-c", "echo locked; read line"]},
                        {line, 80}, exit_status, use_stdio]),
    receive {Locker, {data, {eol, "locked"}}} -> ok after ?WAIT -> ct:fail(no_lock) end,
    ?assertError(#{what := event_pusher_pool_not_started,
                   reason := [<<"spool.dir: ", _/binary>>]}, start(Config)),
    true = port_command(Locker, "done\n"),
    receive {Locker, {exit_status, 0}} -> ok after ?WAIT -> ct:fail(still_locked) end,
    stop_host(),
    start(Config).

%% Confirms the complaints of both sides, in the words of the configuration.
options_that_cannot_be_used_are_named(Config) ->
    Opts = sns_rig:opts(?config(info, Config)),
    Complaints = fun(Spool) ->
                     mod_event_pusher_sns:complaints(?HT, Opts#{spool => spool(Config, Spool)})
                 end,
    ?assertEqual([], Complaints(#{})),
    ?assertEqual([], Complaints(#{sync => always, max_age_ms => 1000})),
    ?assertEqual([<<"spool.sync: must be \"always\" or an integer, milliseconds, got \"now\"">>],
                 Complaints(#{sync => now})),
    ?assertMatch([<<"spool.dir: must be an absolute path, got \"here\"">>,
                  <<"spool.max_bytes: must be from 1048576", _/binary>>,
                  <<"spool.sync: must be \"always\" or from 1 ", _/binary>>],
                 Complaints(#{dir => <<"here">>, max_bytes => 1, sync => 0})).

%% Confirms that events find their handler by its receiver, not by its number.
a_handler_that_moves_keeps_its_events(Config) ->
    {ok, Receiver} = http_service:start(),
    #{url := Url} = http_service:info(Receiver),
    Handler = fun(Path) -> #{pool_name => http_pool, path => Path,
                             callback_module => mod_event_pusher_http_defaults,
                             retry_count => 1000, retry_time_ms => 1000} end,
    Start = fun(Handlers) ->
                Http = #{handlers => Handlers, queue => #{drain_timeout_ms => 0}},
                Pool = #{type => http, scope => global, tag => http_pool,
                         opts => #{workers => 2, strategy => available_worker},
                         conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>,
                                        request_timeout => 2000}},
                rig:start_host(#{mod_event_pusher => #{http => Http, spool => spool(Config, #{})}},
                               #{outgoing_pools => [Pool]})
            end,
    ok = http_service:down(Receiver),
    Start([Handler(<<"a">>)]),
    _ = send(1, 3),
    ok = host:stop(),
    ok = http_service:up(Receiver),
    Start([Handler(<<"new">>), Handler(<<"a">>)]),
    Paths = [begin
                 {ok, #{path := Path}} = http_service:await_message(Receiver, ?WAIT),
                 Path
             end || _ <- lists:seq(1, 3)],
    ?assertEqual([<<"/a">>], lists:usort(Paths)),
    ok = host:stop(),
    http_service:stop(Receiver).

%% Confirms what is told of it once, that it counts in levels and metrics, and that the old URL has it
%% again.
what_a_handler_with_another_url_leaves_is_told_and_waits(Config) ->
    {ok, Receiver} = http_service:start(),
    ok = http_service:down(Receiver),
    start_http(Receiver, <<"old">>, Config),
    _ = send(1, 3),
    ok = host:stop(),
    ?assertEqual([], log_capture:rest(event_pusher_spool_orphaned)),
    ok = http_service:up(Receiver),
    start_http(Receiver, <<"new">>, Config),
    #{folder := Folder, events := 3, bytes := Bytes, host_type := ?HT, text := Text} =
        log_capture:await(event_pusher_spool_orphaned),
    ?assertEqual(?config(dir, Config), filename:dirname(Folder)),
    ?assertMatch({match, _}, re:run(Text, "With an HTTP handler of host type localhost that has")),
    ?assertEqual(filelib:fold_files(Folder, "", true,
                                    fun(File, Sum) -> filelib:file_size(File) + Sum end, 0), Bytes),
    ?assertMatch(#{spool := #{orphaned_events := 3, orphaned_bytes := Bytes, events := 0}},
                 rig:stats({http, ?HT, 1})),
    Labels = #{host_type => ?HT, pool_type => http, pool_tag => http_pool},
    ok = host_metrics:await(event_pusher_spool, fun() ->
        host_metrics:gauge(event_pusher_spool, Labels, orphaned_events) =:= 3
    end),
    ok = host:stop(),
    ?assertEqual([], log_capture:rest(event_pusher_spool_orphaned)),
    start_http(Receiver, <<"old">>, Config),
    ?assertEqual([<<"/old">> || _ <- lists:seq(1, 3)],
                 [Path || #{path := Path} <- http_service:await_messages(Receiver, 3, ?WAIT)]),
    ?assertEqual([], log_capture:rest(event_pusher_spool_orphaned)),
    ?assertMatch(#{spool := #{orphaned_events := 0, orphaned_bytes := 0}},
                 rig:stats({http, ?HT, 1})),
    ok = host:stop(),
    http_service:stop(Receiver).

start_http(Receiver, Path, Config) ->
    #{url := Url} = http_service:info(Receiver),
    Handler = #{pool_name => http_pool, path => Path, retry_count => 1000,
                callback_module => mod_event_pusher_http_defaults},
    Pool = #{type => http, scope => global, tag => http_pool,
             opts => #{workers => 1, strategy => available_worker},
             conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>,
                            request_timeout => 2000}},
    Http = #{handlers => [Handler], queue => #{drain_timeout_ms => 0}},
    rig:start_host(#{mod_event_pusher => #{http => Http, spool => spool(Config, #{})}},
                   #{outgoing_pools => [Pool]}).

%% Confirms it where no pool is left that would use the folder, and for one of two host types.
a_backend_that_is_gone_leaves_a_warning(Config) ->
    start_away(Config),
    _ = send(1, 2),
    ok = host:stop(),
    Modules = #{mod_event_pusher => #{spool => spool(Config, #{})}},
    ok = host:start(#{?HT => Modules, <<"other">> => Modules}, #{}),
    #{folder := Folder, text := Text} = log_capture:await(event_pusher_spool_orphaned),
    ?assertEqual(<<"sns%20localhost">>, filename:basename(Folder)),
    ?assertMatch({match, _}, re:run(Text, "With \\[modules.mod_event_pusher.sns\\] for host type "
                                          "localhost, they are delivered")),
    ?assertEqual([], log_capture:rest(event_pusher_spool_orphaned)).

%% Confirms that the next owner delivers what the former one had.
an_owner_that_is_killed_loses_no_event(Config) ->
    start_away(Config),
    _ = send(1, 20),
    sns_rig:await_stats(fun(#{spool := #{events := Events}}) -> Events =:= 20 end),
    [Owner] = event_pusher_sup:owners([?SNS]),
    exit(Owner, kill),
    ?assertMatch(#{count := 20}, log_capture:await(event_pusher_kept)),
    ?assertMatch(#{count := 20}, log_capture:await(event_pusher_restored)),
    ?assertMatch(#{waiting := 20, restored := 20, closed := 0}, sns_rig:stats()).

%% Confirms the line, the metric, and that all others arrive.
a_damaged_record_is_told_and_costs_itself(Config) ->
    start_away(Config),
    _ = send(1, 10),
    ok = host:stop(),
    [Segment] = filelib:wildcard(binary_to_list(filename:join(?config(dir, Config), "*/*.log"))),
    {ok, Bytes} = file:read_file(Segment),
    Half = byte_size(Bytes) div 2,
    <<Before:Half/binary, Byte, After/binary>> = Bytes,
    ok = file:write_file(Segment, [Before, Byte bxor 1, After]),
    start(Config),
    _ = received(9, Config),
    ?assertMatch(#{reason := unreadable, count := 1}, log_capture:await(event_pusher_drops)),
    #{reason := Told} = log_capture:await(event_pusher_spool_failed),
    ?assertMatch({_, _}, binary:match(Told, <<"set aside">>)).

%% Helpers

start(Config) ->
    start(Config, #{}, sns_rig:opts(?config(info, Config))).

start_away(Config) ->
    start_away(Config, #{queue => #{drain_timeout_ms => 0}}).

start_away(Config, More) ->
    start_away(Config, More, #{}).

%% Nobody answers.
start_away(Config, More, Spool) ->
    {_Listen, Host} = rig:silent_server(),
    start(Config, Spool, (sns_rig:opts(?config(info, Config), More))#{sns_host => Host}).

start(Config, Spool, SnsOpts) ->
    ok = rig:start_host(#{mod_event_pusher => #{sns => SnsOpts#{pool_size := 1},
                                                spool => spool(Config, Spool)}}).

spool(Config, Spool) ->
    maps:merge(#{dir => ?config(dir, Config), max_bytes => 64 * 1024 * 1024, sync => 1}, Spool).

stop_host() ->
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

send(From, To) ->
    [begin
         Text = <<"event ", (integer_to_binary(N))/binary>>,
         host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, Text)),
         Text
     end || N <- lists:seq(From, To)].

received(Count, Config) ->
    Messages = sns_service:await_messages(?config(service, Config), Count, ?WAIT),
    lists:sort(fun(One, Other) -> byte_size(One) < byte_size(Other)
                                      orelse byte_size(One) =:= byte_size(Other)
                                             andalso One =< Other end,
               [text(Body) || #{body := Body} <- Messages]).

text(Body) ->
    {match, [Text]} = re:run(Body, "event [0-9]+", [{capture, first, binary}]),
    Text.

%% 0 before the first report: no number is greater than `undefined'.
gauge(Metric) ->
    case host_metrics:gauge(event_pusher_spool, ?LABELS, Metric) of
        undefined -> 0;
        Value -> Value
    end.
