-module(mod_event_pusher_http_SUITE).
-moduledoc "The HTTP backend from the hook to a receiver on loopback.".

-behaviour(ct_suite).
-behaviour(mod_event_pusher_http).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_chat_message_is_posted_as_a_form/1,
         each_character_is_encoded_as_receivers_know_it/1,
         by_default_only_sent_chat_messages_with_a_text_are_posted/1,
         callbacks_get_their_arguments_for_all_types_and_directions/1,
         a_callback_decides_with_exactly_true/1,
         headers_of_a_callback_arrive_in_their_order/1,
         a_header_that_http_cannot_carry_is_rejected/1,
         metadata_follows_the_message_and_is_in_the_options/1,
         prefix_and_path_are_joined_with_one_slash_and_a_query_is_kept/1,
         a_missing_pool_is_one_clear_error_that_names_handler_and_pool/1,
         a_start_that_fails_leaves_no_pool_behind/1,
         the_pool_of_the_host_type_comes_first/1,
         host_types_and_pool_tags_may_have_any_characters/1,
         a_crashing_handler_costs_the_others_nothing/1,
         a_wrong_result_of_a_callback_costs_only_its_event/1,
         a_receiver_that_hangs_holds_up_neither_sender_nor_other_handlers/1,
         handlers_of_one_pool_share_its_workers/1,
         host_types_share_the_workers_of_a_global_pool/1,
         each_handler_has_its_own_retries/1,
         a_refusal_that_would_repeat_itself_is_rejected_at_once/1,
         the_metric_of_the_server_counts_notifications/1,
         a_receiver_that_comes_back_gets_what_waited/1,
         a_receiver_that_is_away_for_long_costs_no_event/1,
         https_needs_a_certificate_of_a_known_authority/1,
         plain_http_needs_no_authorities/1,
         a_full_queue_drops_new_events_and_blocks_nobody/1,
         stopping_drains_all_handlers_at_the_same_time/1,
         unusable_options_stop_the_module_and_are_named/1,
         the_module_starts_and_stops_any_number_of_times/1,
         secrets_and_content_reach_no_log/1]).
%% On another node
-export([post_without_authorities/1]).
%% Callbacks
-export([should_make_req/6, prepare_headers/7, prepare_body/7]).
%% Hook handler
-export([add_metadata/3]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(WAIT, 30000).
-define(LABELS, #{host_type => ?HT, pool_type => http, pool_tag => http_pool}).

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
    #{url := Url} = http_service:info(Receiver),
    [{receiver, Receiver}, {url, binary_to_list(Url)} | Config].

end_per_suite(Config) ->
    http_service:stop(?config(receiver, Config)),
    application:stop(event_pusher).

init_per_testcase(_Case, Config) ->
    ok = http_service:reset(?config(receiver, Config)),
    _ = http_service:flush(?config(receiver, Config)),
    true = register(?MODULE, self()),
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, Config) ->
    ok = log_capture:stop(),
    ok = http_service:release(?config(receiver, Config)),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

%% Notifications

%% Confirms method, path, content type and the exact body.
a_chat_message_is_posted_as_a_form(Config) ->
    start([#{path => <<"notifications">>}], Config),
    send(<<"chat">>, <<"Hi, Bob!">>),
    #{headers := Headers} = Request = arrived(Config),
    ?assertMatch(#{method := <<"POST">>, path := <<"/notifications">>,
                   body := <<"author=alice&server=localhost&receiver=bob&message=Hi%2C+Bob%21">>},
                 Request),
    ?assertEqual(<<"application/x-www-form-urlencoded">>, header(<<"content-type">>, Headers)),
    ?assertEqual(undefined, header(<<"accept-encoding">>, Headers)).

%% Confirms it for all of ASCII and for what is beyond.
each_character_is_encoded_as_receivers_know_it(_Config) ->
    Ascii = list_to_binary(lists:seq(0, 127)),
    Body = fun(Text) ->
        Form = mod_event_pusher_http_defaults:prepare_body(acc, in, <<"d">>, Text, <<"s">>,
                                                           <<"r">>, #{}),
        [_, Encoded] = binary:split(Form, <<"message=">>),
        Encoded
    end,
    Controls = << <<$%, (integer_to_binary(N bsr 4))/binary,
                    (lists:nth(N rem 16 + 1, "0123456789ABCDEF"))>> || N <- lists:seq(0, 31) >>,
    ?assertEqual(<<Controls/binary,
                   "+%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40"
                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz"
                   "%7B%7C%7D%7E%7F">>, Body(Ascii)),
    ?assertEqual(<<"%C3%A4%F0%9F%8D%AA">>, Body(<<"ä🍪"/utf8>>)),
    ?assertEqual(<<"%FF">>, Body(<<255>>)).

%% Confirms it by what is not posted before what is.
by_default_only_sent_chat_messages_with_a_text_are_posted(Config) ->
    start([#{}], Config),
    [send(Type, <<"skipped">>) || Type <- [<<"normal">>, <<"headline">>, <<"groupchat">>]],
    [send(<<"chat">>, Empty) || Empty <- [none, <<>>]],
    host:route(?ALICE, ?BOB, rig:message(<<"chat">>, <<"skipped">>)),
    host:user_available(?ALICE),
    send(<<"chat">>, <<"posted">>),
    ?assertMatch(#{<<"message">> := <<"posted">>}, form(arrived(Config))),
    ?assertMatch(#{accepted := 1}, stats(1)).

%% Callbacks

%% Confirms every argument; both directions of each message are offered.
callbacks_get_their_arguments_for_all_types_and_directions(Config) ->
    Handler = #{pool_name => http_pool, path => <<"x">>, callback_module => ?MODULE, retry_count => 1},
    start([Handler], Config),
    Opts = Handler#{metadata => #{}},
    From = jid:from_binary(?ALICE),
    To = jid:from_binary(?BOB),
    [begin
         Packet = rig:message(Type, <<"Hi">>),
         host:send_message(?ALICE, ?BOB, Packet),
         [begin
              receive {asked, Acc, Dir, Packet, From, To, Opts} -> mongoose_acc:lserver(Acc)
              after 0 -> ct:fail({not_asked, Type, Dir})
              end,
              receive {body, Dir, <<"localhost">>, <<"Hi">>, <<"alice">>, <<"bob">>, Opts} -> ok
              after 0 -> ct:fail({no_body, Type, Dir})
              end,
              receive {headers, Dir, <<"localhost">>, <<"Hi">>, <<"alice">>, <<"bob">>, Opts} -> ok
              after 0 -> ct:fail({no_headers, Type, Dir})
              end
          end || Dir <- [in, out]]
     end || Type <- [<<"chat">>, <<"groupchat">>, <<"normal">>, <<"headline">>]],
    ?assertMatch(#{accepted := 8}, stats(1)).

%% Confirms that a value which only looks true posts nothing.
a_callback_decides_with_exactly_true(Config) ->
    start([#{callback_module => ?MODULE}], Config),
    [send(<<"chat">>, Word) || Word <- [<<"say false">>, <<"say yes">>, <<"say undefined">>]],
    ?assertMatch(#{accepted := 0}, stats(1)).

%% Confirms order and repetition.
headers_of_a_callback_arrive_in_their_order(Config) ->
    start([#{callback_module => ?MODULE}], Config),
    send(<<"chat">>, <<"Hi">>),
    #{headers := Headers} = arrived(Config),
    ?assertEqual([{<<"x-first">>, <<"1">>}, {<<"x-tag">>, <<"a">>}, {<<"x-tag">>, <<"b">>},
                  {<<"x-last">>, <<"2">>}],
                 [Header || {<<"x-", _/binary>>, _} = Header <- Headers]).

%% Confirms a clear fate, and that the next event arrives.
a_header_that_http_cannot_carry_is_rejected(Config) ->
    start([#{callback_module => ?MODULE}], Config),
    send(<<"chat">>, <<"bad header">>),
    ?assertMatch(#{reason := rejected, last_cause := <<"a header has an invalid value">>},
                 log_capture:await(event_pusher_drops)),
    ?assertMatch(#{body := <<"out: bad header">>}, arrived(Config)).

%% Confirms order and types with the filter of the examples.
metadata_follows_the_message_and_is_in_the_options(Config) ->
    start([#{}, #{callback_module => ?MODULE, path => <<"other">>}], Config),
    Extra = #{add => #{b => <<"ä &"/utf8>>, a => 1, c => some_atom, d => 0.5, e => 1000.0,
                       f => 1 bsl 70, 'ż' => 'zażółć'}},
    ok = gen_hook:add_handler(push_event, ?HT, fun ?MODULE:add_metadata/3, Extra, 10),
    ok = gen_hook:reload_hooks(),
    send(<<"chat">>, <<"Hi">>),
    receive {asked, _, in, _, _, _, #{metadata := Metadata}} ->
        ?assertEqual(maps:get(add, Extra), Metadata)
    after 0 -> ct:fail(not_asked)
    end,
    Bodies = [Body || #{path := <<"/">>, body := Body} <- [arrived(Config), arrived(Config),
                                                           arrived(Config)]],
    ?assertEqual([<<"author=alice&server=localhost&receiver=bob&message=Hi"
                    "&a=1&b=%C3%A4+%26&c=some_atom&d=0.5&e=1000.0&f=1180591620717411303424"
                    "&%C5%BC=za%C5%BC%C3%B3%C5%82%C4%87">>], Bodies).

%% Configuration

%% Confirms what the manual shows, on the wire.
prefix_and_path_are_joined_with_one_slash_and_a_query_is_kept(Config) ->
    [begin
         start([#{path => Path}], #{path_prefix => Prefix}, Config),
         send(<<"chat">>, <<"Hi">>),
         ?assertMatch(#{path := Joined}, arrived(Config)),
         ok = host:stop()
     end || {Prefix, Path, Joined} <-
                [{<<"/">>, <<>>, <<"/">>},
                 {<<"/webservice">>, <<"notifications">>, <<"/webservice/notifications">>},
                 {<<"/webservice/">>, <<"notifications">>, <<"/webservice/notifications">>},
                 {<<"/hook">>, <<"a?b=c&d=%20">>, <<"/hook/a?b=c&d=%20">>}]].

%% Confirms that a handler is not started without its pool.
a_missing_pool_is_one_clear_error_that_names_handler_and_pool(Config) ->
    Handler = handler(#{pool_name => absent, path => <<"x">>}),
    ?assertError(#{what := event_pusher_http_pool_not_configured, pool_name := absent,
                   handler := 2, host_type := ?HT,
                   text := <<"The handler needs a section [outgoing_pools.http.absent]">>},
                 start([#{}, Handler], Config)).

%% Confirms that the first handler's pool is not left running when the second cannot start.
a_start_that_fails_leaves_no_pool_behind(Config) ->
    Bad = (pool(other, Config))#{conn_opts => #{host => "ftp://localhost", path_prefix => <<"/">>,
                                                request_timeout => 1000}},
    ?assertError(#{what := event_pusher_pool_not_started, pool_tag := other,
                   reason := [<<"host: must be an http or https URL", _/binary>>]},
                 start_with([#{}, #{pool_name => other}],
                            #{outgoing_pools => [pool(http_pool, Config), Bad]})),
    ?assertEqual([], supervisor:which_children(event_pusher_sup)).

%% Confirms scopes and their order.
the_pool_of_the_host_type_comes_first(Config) ->
    Pool = pool(http_pool, Config),
    Nowhere = Pool#{conn_opts => #{host => "http://localhost:1", path_prefix => <<"/">>,
                                   request_timeout => 1000}},
    [begin
         start_with([#{}], Pools),
         send(<<"chat">>, <<"Hi">>),
         _ = arrived(Config),
         ok = host:stop()
     end || Pools <- [#{outgoing_pools => [Pool]},
                      #{outgoing_pools => [Pool#{scope := host_type}]},
                      #{outgoing_pools => [Nowhere], {outgoing_pools, ?HT} => [Pool#{scope := ?HT}]}]].

%% Confirms it for a pool of the host type's own, whose name is made of both.
host_types_and_pool_tags_may_have_any_characters(Config) ->
    _ = [code:ensure_loaded(Module) || Module <- [mod_event_pusher, mod_event_pusher_http]],
    [begin
         Opts = #{handlers => [handler(#{pool_name => Tag})]},
         Pool = pool(Tag, Config),
         ok = host:start(#{HostType => #{mod_event_pusher => #{http => Opts}}},
                         #{outgoing_pools => [Pool#{scope := host_type}]}),
         host:send_message(<<"alice@", HostType/binary, "/phone">>, <<"bob@", HostType/binary>>,
                           rig:message(<<"chat">>, <<"Hi">>)),
         ?assertMatch(#{<<"server">> := HostType}, form(arrived(Config))),
         ok = host:stop()
     end || {HostType, Tag} <- [{<<"müller.de"/utf8>>, http_pool},
                                {<<"żółw.pl"/utf8>>, 'größe'},
                                {?HT, 'пул'}]].

%% Independence

%% Confirms it for each callback, and what is logged.
a_crashing_handler_costs_the_others_nothing(Config) ->
    start([#{callback_module => ?MODULE, path => <<"crashing">>}, #{path => <<"other">>}], Config),
    [begin
         send(<<"chat">>, <<"crash in ", Callback/binary>>),
         ?assertMatch(#{path := <<"/other">>}, arrived(Config)),
         Line = log_capture:await(event_pusher_event_failed),
         ?assertMatch(#{pool_type := http, pool_tag := http_pool, class := error}, Line),
         Shown = iolist_to_binary(io_lib:format("~0p", [Line])),
         ?assertEqual(nomatch, binary:match(Shown, [<<"crash in">>, <<"alice">>]))
     end || Callback <- [<<"should_make_req">>, <<"prepare_headers">>, <<"prepare_body">>]].

%% Confirms it for both results.
a_wrong_result_of_a_callback_costs_only_its_event(Config) ->
    start([#{callback_module => ?MODULE}], Config),
    [begin
         send(<<"chat">>, Word),
         %% As it is sent and as it is received.
         [?assertMatch(#{reason := {bad_plugin_result, Callback}},
                       log_capture:await(event_pusher_event_failed)) || _ <- [in, out]]
     end || {Word, Callback} <- [{<<"wrong body">>, prepare_body},
                                 {<<"wrong headers">>, prepare_headers},
                                 {<<"wrong header">>, prepare_headers}]].

%% Confirms that hooks return and that another handler delivers, while answers do not come.
a_receiver_that_hangs_holds_up_neither_sender_nor_other_handlers(Config) ->
    {Silent, SilentUrl} = rig:silent_server(),
    Hanging = (pool(hanging, Config))#{conn_opts => #{host => SilentUrl, path_prefix => <<"/">>,
                                                      request_timeout => 60000}},
    start_with([#{pool_name => hanging}, #{}],
               #{outgoing_pools => [Hanging, pool(http_pool, Config)]},
               #{queue => #{drain_timeout_ms => 0}}),
    [send(<<"chat">>, integer_to_binary(N)) || N <- lists:seq(1, 100)],
    ?assertEqual(100, length(http_service:await_messages(?config(receiver, Config), 100, ?WAIT))),
    ?assertMatch(#{delivered := 0, waiting := 100}, stats(1)),
    ok = host:stop(),
    gen_tcp:close(Silent).

%% Confirms the bound of the outgoing pool for two handlers together.
handlers_of_one_pool_share_its_workers(Config) ->
    Receiver = ?config(receiver, Config),
    start([#{path => <<"one">>}, #{path => <<"two">>}], Config),
    ok = http_service:hold(Receiver, "/"),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 50)],
    _ = http_service:await_messages(Receiver, 10, ?WAIT),
    ?assertEqual(10, http_service:max_in_flight(Receiver)),
    ok = http_service:release(Receiver),
    _ = await_waiting(0, 1),
    _ = await_waiting(0, 2),
    ?assertEqual(10, http_service:max_in_flight(Receiver)).

%% Confirms it for a global pool; one of a host type is its own.
host_types_share_the_workers_of_a_global_pool(Config) ->
    Receiver = ?config(receiver, Config),
    Modules = #{mod_event_pusher => #{http => #{handlers => [handler(#{})]}}},
    Second = <<"second.localhost">>,
    [{module, _} = code:ensure_loaded(Module) || Module <- [mod_event_pusher, mod_event_pusher_http]],
    ok = host:start(#{?HT => Modules, Second => Modules},
                    #{outgoing_pools => [pool(http_pool, Config)]}),
    ok = http_service:hold(Receiver, "/"),
    [begin
         send(<<"chat">>, <<"Hi">>),
         host:send_message(<<"carol@second.localhost/pda">>, ?BOB, rig:message(<<"chat">>, <<"Hi">>))
     end || _ <- lists:seq(1, 50)],
    _ = http_service:await_messages(Receiver, 10, ?WAIT),
    ?assertEqual(10, http_service:max_in_flight(Receiver)),
    ok = http_service:release(Receiver),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        #{waiting := Waiting} = rig:stats({http, Second, 1}),
        Waiting =:= 0
    end),
    _ = await_waiting(0, 1),
    ?assertEqual(10, http_service:max_in_flight(Receiver)).

%% Fates

%% Confirms retry_count, retry_time_ms and their defaults.
each_handler_has_its_own_retries(Config) ->
    ok = http_service:answer(?config(receiver, Config), 503),
    start([#{path => <<"default">>}, #{path => <<"none">>, retry_count => 0},
           #{path => <<"five">>, retry_count => 5, retry_time_ms => 0}], Config),
    send(<<"chat">>, <<"Hi">>),
    [?assertMatch(#{exhausted := 1, retried := Retries}, await_waiting(0, N))
     || {N, Retries} <- [{1, 2}, {2, 0}, {3, 5}]],
    Paths = [Path || #{path := Path} <- http_service:flush(?config(receiver, Config))],
    ?assertEqual([{<<"/default">>, 3}, {<<"/five">>, 6}, {<<"/none">>, 1}],
                 [{Path, length([P || P <- Paths, P =:= Path])} || Path <- lists:usort(Paths)]),
    ?assertMatch(#{reason := exhausted, last_cause := <<"503">>},
                 log_capture:await(event_pusher_drops)).

%% Confirms that one request is all it takes, and that the line says where to look, without what may
%% be secret.
a_refusal_that_would_repeat_itself_is_rejected_at_once(Config) ->
    "http://" ++ Address = Url = ?config(url, Config),
    start([#{path => <<"hook?token=secret">>}],
          #{host => "http://user:secret@" ++ Address, path_prefix => <<"/v1/">>}, Config),
    Statuses = [302, 400, 401, 403, 404, 410, 501],
    [begin
         ok = http_service:answer(?config(receiver, Config), Status),
         send(<<"chat">>, <<"Hi">>),
         _ = await_waiting(0, 1)
     end || Status <- Statuses],
    Count = length(Statuses),
    ?assertMatch(#{rejected := Count, retried := 0}, stats(1)),
    #{receiver := Receiver} = log_capture:await(event_pusher_drops),
    ?assertEqual(iolist_to_binary([Url, "/v1/hook"]), Receiver),
    ?assertEqual(Count, length(http_service:flush(?config(receiver, Config)))).

%% Confirms the documented meaning: successes, failures, and times of successes only.
the_metric_of_the_server_counts_notifications(Config) ->
    Receiver = ?config(receiver, Config),
    start([#{retry_time_ms => 0}], Config),
    Sent = fun(Metric) ->
        host_metrics:total(mod_event_pusher_http_sent, #{host_type => ?HT}, Metric)
    end,
    ok = http_service:script(Receiver, [200, 500, 204, 404, 500, 500, 500]),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 1)],
    _ = await_waiting(0, 1),
    %% The second is delivered at the second attempt, the third refused, the fourth given up.
    [begin send(<<"chat">>, <<"Hi">>), _ = await_waiting(0, 1) end || _ <- lists:seq(1, 3)],
    ok = host_metrics:await(mod_event_pusher_http_sent,
                            fun() -> Sent(count) =:= 2 andalso Sent(failure_count) =:= 2 end),
    Times = host_metrics:values(mod_event_pusher_http_sent, #{host_type => ?HT}, response_time),
    ?assertEqual(2, length(Times)),
    ?assert(lists:all(fun(Time) -> is_integer(Time) andalso Time > 0 end, Times)),
    [?assertEqual(0, host_metrics:gauge(event_pusher_queue, ?LABELS, Level))
     || Level <- [events, bytes, in_flight, oldest_ms]].

%% Confirms that nothing which was accepted is lost within the bounds of the retries.
a_receiver_that_comes_back_gets_what_waited(Config) ->
    Receiver = ?config(receiver, Config),
    start([#{retry_count => 50, retry_time_ms => 20}], Config),
    ok = http_service:down(Receiver),
    [send(<<"chat">>, integer_to_binary(N)) || N <- lists:seq(1, 100)],
    _ = log_capture:await(event_pusher_retries),
    ok = http_service:up(Receiver),
    ?assertMatch(#{accepted := 100, delivered := 100}, await_waiting(0, 1)),
    Texts = [maps:get(<<"message">>, form(Message)) || Message <- http_service:flush(Receiver)],
    ?assertEqual(lists:sort([integer_to_binary(N) || N <- lists:seq(1, 100)]), lists:usort(Texts)).

%% Confirms right and wrong authorities, and that without options those of the system count.
https_needs_a_certificate_of_a_known_authority(Config) ->
    #{ca := Ca, foreign_ca := Foreign, cert := Cert, key := Key} =
        test_certs:make(?config(priv_dir, Config)),
    {ok, Receiver} = http_service:start(#{cert => Cert, key => Key}),
    #{url := Url} = http_service:info(Receiver),
    Tls = #{verify_mode => peer, disconnect_on_failure => true, crl_files => [],
            server_name_indication => #{enabled => true, protocol => default}},
    Start = fun(More) ->
        start([#{retry_count => 0}], maps:merge(#{host => binary_to_list(Url)}, More), Config),
        send(<<"chat">>, <<"Hi">>),
        Stats = await_waiting(0, 1),
        _ = host_metrics:await(event_pusher_receiver, fun() ->
            is_integer(host_metrics:gauge(event_pusher_receiver, ?LABELS, certificate_days))
        end),
        ok = host:stop(),
        Stats
    end,
    ?assertMatch(#{delivered := 1, certificate_days := Days} when Days >= 0,
                 Start(#{tls => Tls#{cacertfile => Ca}})),
    ?assertEqual(none, log_capture:already(event_pusher_tls_unverified)),
    ?assertMatch(#{delivered := 1}, Start(#{tls => Tls#{verify_mode => none}})),
    ?assertMatch(#{checks_off := [<<"certificates are not verified">>]},
                 log_capture:await(event_pusher_tls_unverified)),
    [?assertMatch(#{exhausted := 1}, Start(More))
     || More <- [#{}, #{tls => Tls}, #{tls => Tls#{cacertfile => Foreign}}]],
    ?assertEqual(2, length(http_service:flush(Receiver))),
    #{last_cause := Cause} = log_capture:await(event_pusher_drops),
    ?assertMatch({_, _}, binary:match(Cause, <<"which is not trusted">>)),
    http_service:stop(Receiver).

%% Confirms what an operator sees of it, once when it begins and once when it ends.
a_receiver_that_is_away_for_long_costs_no_event(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:answer(Receiver, 503),
    start([#{path => <<"hook?token=secret">>, retry_count => 1000, retry_time_ms => 10}], Config),
    send(<<"chat">>, <<"Hi">>),
    Open = log_capture:await(event_pusher_circuit_open),
    {ok, #{status := Status}} = event_pusher:stats({http, ?HT, 1}),
    ?assertMatch(#{state := degraded, cause := <<"503">>, last_success_ms := none}, Status),
    ?assertMatch(#{last_cause := <<"503">>, destination := <<"hook">>, pool_type := http,
                   receiver := <<"http://", _/binary>>}, Open),
    ok = host_metrics:await(event_pusher_queue, fun() -> open_destinations() =:= 1 end),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 50)],
    ok = http_service:answer(Receiver, 200),
    ?assertMatch(#{delivered := 51, exhausted := 0}, await_waiting(0, 1)),
    ?assertMatch(#{destination := <<"hook">>, last_cause := <<"503">>},
                 log_capture:await(event_pusher_circuit_closed)),
    ok = host_metrics:await(event_pusher_queue, fun() -> open_destinations() =:= 0 end),
    ?assertEqual(none, log_capture:already(event_pusher_circuit_open)).

open_destinations() ->
    host_metrics:gauge(event_pusher_queue, ?LABELS, open_destinations).

%% Confirms it on a node whose system has none, and that options of TLS are not looked at.
plain_http_needs_no_authorities(Config) ->
    Node = child_node:start(["-env", "SSL_CERT_FILE", "/no/such/file.pem",
                             "-env", "SSL_CERT_DIR", "/no/such/folder"]),
    ok = child_node:call(Node, ?MODULE, post_without_authorities, [?config(url, Config)]),
    ok = child_node:stop(Node),
    _ = arrived(Config),
    ok.

post_without_authorities(Url) ->
    ok = rig:start_application(),
    ok = log_capture:start(),
    Config = [{url, Url}],
    ?assertError(#{what := event_pusher_pool_not_started, reason := [<<"tls.cacertfile: ", _/binary>>]},
                 start([#{}], #{host => "https://localhost"}, Config)),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok = start([#{}], #{tls => #{verify_mode => none, cacertfile => "/no/such/file.pem"}}, Config),
    send(<<"chat">>, <<"Hi">>),
    #{delivered := 1} = await_waiting(0, 1),
    ?assertEqual(none, log_capture:already(event_pusher_tls_unverified)),
    host:stop().

%% Confirms the bound and who is told.
a_full_queue_drops_new_events_and_blocks_nobody(Config) ->
    Receiver = ?config(receiver, Config),
    start_with([#{}], #{outgoing_pools => [pool(http_pool, Config)]},
               #{queue => #{max_events => 5}}),
    ok = http_service:hold(Receiver, "/"),
    [begin send(<<"chat">>, <<"Hi">>), arrived(Config) end || _ <- lists:seq(1, 10)],
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 10)],
    ?assertMatch(#{accepted := 15, refused_full := 5, queue_events := 5}, stats(1)),
    ?assertMatch(#{reason := full, count := 5}, log_capture:await(event_pusher_drops)),
    ok = http_service:release(Receiver),
    ?assertMatch(#{delivered := 15}, await_waiting(0, 1)).

%% Start and stop

%% Confirms that what was accepted by both is delivered, or told to be dropped.
stopping_drains_all_handlers_at_the_same_time(Config) ->
    {Silent, SilentUrl} = rig:silent_server(),
    Hanging = (pool(hanging, Config))#{conn_opts => #{host => SilentUrl, path_prefix => <<"/">>,
                                                      request_timeout => 60000}},
    start_with([#{}, #{pool_name => hanging}],
               #{outgoing_pools => [Hanging, pool(http_pool, Config)]},
               #{queue => #{drain_timeout_ms => 3000}}),
    [send(<<"chat">>, <<"Hi">>) || _ <- lists:seq(1, 100)],
    {stopped, _} = mongoose_modules:ensure_stopped(?HT, mod_event_pusher_http),
    ?assertEqual(100, length(http_service:flush(?config(receiver, Config)))),
    ?assertMatch(#{reason := closed, count := 100, pool_tag := hanging},
                 log_capture:await(event_pusher_drops)),
    ?assertEqual(100, host_metrics:total(event_pusher_events, ?LABELS, delivered)),
    ?assertEqual({error, closed}, event_pusher:stats({http, ?HT, 1})),
    gen_tcp:close(Silent).

%% Confirms that all complaints come at once.
unusable_options_stop_the_module_and_are_named(Config) ->
    Missing = "/no/such/file.pem",
    Bad = (pool(http_pool, Config))#{conn_opts => #{host => "https://", path_prefix => <<"/">>,
                                                    request_timeout => 0,
                                                    tls => #{cacertfile => Missing}}},
    try start_with([#{}], #{outgoing_pools => [Bad]}) of
        Started -> ct:fail({started, Started})
    catch
        error:#{what := event_pusher_pool_not_started, pool_type := http, reason := Complaints} ->
            ?assertMatch([<<"host: ", _/binary>>, <<"request_timeout: ", _/binary>>,
                          <<"tls.cacertfile: ", _/binary>>], lists:sort(Complaints))
    end.

%% Confirms that nothing is left behind and each start is as good as the first.
the_module_starts_and_stops_any_number_of_times(Config) ->
    [begin
         start([#{}, #{path => <<"b">>}], Config),
         send(<<"chat">>, <<"Hi">>),
         [_, _] = http_service:await_messages(?config(receiver, Config), 2, ?WAIT),
         ok = host:stop(),
         ?assertEqual([], supervisor:which_children(event_pusher_sup))
     end || _ <- lists:seq(1, 20)].

%% Confirms it for what is logged while pools work, fail, crash and are stopped.
secrets_and_content_reach_no_log(Config) ->
    ok = http_service:answer(?config(receiver, Config), 503),
    start([#{callback_module => ?MODULE}], Config),
    send(<<"chat">>, <<"a private word">>),
    send(<<"chat">>, <<"crash in prepare_body">>),
    send(<<"chat">>, <<"bad header">>),
    _ = await_waiting(0, 1),
    _ = log_capture:await(event_pusher_event_failed),
    ok = host:stop(),
    Logged = iolist_to_binary(io_lib:format("~p", [log_capture:all()])),
    ?assertMatch({_, _}, binary:match(Logged, <<"event_pusher_drops">>)),
    ?assertEqual(nomatch, binary:match(Logged, [<<"private">>, <<"crash in">>, <<"alice">>,
                                                <<"bad\\r">>])).

%% The callbacks of some cases

should_make_req(Acc, Dir, Packet, From, To, Opts) ->
    case exml_query:path(Packet, [{element, <<"body">>}, cdata]) of
        <<"crash in should_make_req">> -> {private_matter, _} = Packet;
        <<"say ", Word/binary>> -> binary_to_atom(Word);
        _ -> ?MODULE ! {asked, Acc, Dir, Packet, From, To, Opts}, true
    end.

prepare_headers(_Acc, _Dir, _Domain, <<"crash in prepare_headers">>, Sender, _Receiver, _Opts) ->
    {private_matter, _} = Sender;
prepare_headers(_Acc, _Dir, _Domain, <<"wrong headers">>, _Sender, _Receiver, _Opts) ->
    none;
prepare_headers(_Acc, _Dir, _Domain, <<"wrong header">>, _Sender, _Receiver, _Opts) ->
    [{"a", "list"}];
prepare_headers(_Acc, in, _Domain, <<"bad header">>, _Sender, _Receiver, _Opts) ->
    [{<<"x-bad">>, <<"bad\r\nvalue">>}];
prepare_headers(_Acc, Dir, Domain, Message, Sender, Receiver, Opts) ->
    ?MODULE ! {headers, Dir, Domain, Message, Sender, Receiver, Opts},
    [{<<"X-First">>, <<"1">>}, {<<"X-Tag">>, <<"a">>}, {<<"x-tag">>, <<"b">>}, {<<"x-last">>, <<"2">>}].

prepare_body(_Acc, _Dir, _Domain, <<"crash in prepare_body">>, Sender, _Receiver, _Opts) ->
    {private_matter, _} = Sender;
prepare_body(_Acc, _Dir, _Domain, <<"wrong body">>, _Sender, _Receiver, _Opts) ->
    "a list";
prepare_body(_Acc, Dir, Domain, Message, Sender, Receiver, Opts) ->
    ?MODULE ! {body, Dir, Domain, Message, Sender, Receiver, Opts},
    <<(atom_to_binary(Dir))/binary, ": ", Message/binary>>.

%% Helpers

add_metadata(#{metadata := Metadata} = HookAcc, _Params, #{add := More}) ->
    {ok, HookAcc#{metadata := maps:merge(Metadata, More)}}.

handler(More) ->
    maps:merge(#{pool_name => http_pool, path => <<>>,
                 callback_module => mod_event_pusher_http_defaults}, More).

pool(Tag, Config) ->
    #{type => http, scope => global, tag => Tag,
      opts => #{workers => 10, strategy => best_worker, call_timeout => 5000},
      conn_opts => #{host => ?config(url, Config), path_prefix => <<"/">>,
                     request_timeout => 10000}}.

start(Handlers, Config) ->
    start(Handlers, #{}, Config).

start(Handlers, ConnOpts, Config) ->
    #{conn_opts := Usual} = Pool = pool(http_pool, Config),
    start_with(Handlers, #{outgoing_pools => [Pool#{conn_opts := maps:merge(Usual, ConnOpts)}]}).

start_with(Handlers, Pools) ->
    start_with(Handlers, Pools, #{}).

start_with(Handlers, Pools, More) ->
    Opts = More#{handlers => [handler(Handler) || Handler <- Handlers]},
    rig:start_host(#{mod_event_pusher => #{http => Opts}}, Pools).

send(Type, Body) ->
    host:send_message(?ALICE, ?BOB, rig:message(Type, Body)).

arrived(Config) ->
    {ok, Message} = http_service:await_message(?config(receiver, Config), ?WAIT),
    Message.

form(#{body := Body}) ->
    maps:from_list(uri_string:dissect_query(Body)).

header(Name, Headers) ->
    proplists:get_value(Name, Headers).

stats(Number) ->
    rig:stats({http, ?HT, Number}).

await_waiting(Wanted, Number) ->
    rig:await_stats({http, ?HT, Number}, fun(#{waiting := Waiting}) -> Waiting =:= Wanted end).
