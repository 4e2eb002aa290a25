-module(receivers_SUITE).
-moduledoc "The receivers of HTTP and AMQP and the databases that other suites rely on.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, end_per_testcase/2]).
-export([an_http_request_arrives_with_method_path_headers_and_body/1,
         an_http_request_gets_the_answer_that_was_scripted/1,
         a_held_http_request_arrives_before_it_is_answered/1,
         an_http_receiver_comes_back_at_the_same_port/1,
         a_client_can_tell_the_https_receiver_from_a_stranger/1,
         an_amqp_message_arrives_with_its_properties/1,
         a_virtual_host_has_exchanges_of_its_own/1,
         a_broker_comes_back_with_what_is_durable/1,
         an_exchange_that_is_not_durable_is_bound_again_when_it_comes_back/1,
         a_queue_that_is_full_refuses_messages_until_it_is_purged/1,
         the_tls_port_takes_clients_with_a_certificate_only/1,
         a_database_answers_with_terms/1,
         a_database_comes_back_with_what_is_stored/1,
         words_with_blanks_and_quotes_reach_a_receiver_unchanged/1,
         a_failing_command_is_an_error_of_its_caller/1,
         no_process_and_no_file_outlives_a_receiver_that_is_killed/1,
         no_process_and_no_file_outlives_a_database_that_is_killed/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(WAIT, 20000).
-define(AMQP, <<"AMQP", 0, 0, 9, 1>>).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, Inets} = application:ensure_all_started(inets),
    {ok, Ssl} = application:ensure_all_started(ssl),
    Certs = #{ca := Ca, cert := Cert, key := Key} = test_certs:make(?config(priv_dir, Config)),
    {ok, Http} = http_service:start(),
    {ok, Rabbit} = rabbit_service:start(#{cert => Cert, key => Key, cacert => Ca}),
    [{started, Inets ++ Ssl}, {certs, Certs}, {http, Http}, {rabbit, Rabbit} | Config].

end_per_suite(Config) ->
    ok = http_service:stop(?config(http, Config)),
    ok = rabbit_service:stop(?config(rabbit, Config)),
    [application:stop(Application) || Application <- lists:reverse(?config(started, Config))].

end_per_testcase(_Case, Config) ->
    ok = http_service:reset(?config(http, Config)),
    ok = rabbit_service:reset(?config(rabbit, Config)),
    _ = http_service:flush(?config(http, Config)),
    _ = rabbit_service:flush(?config(rabbit, Config)),
    ok.

%% HTTP

%% Confirms what the receiver tells of a request.
an_http_request_arrives_with_method_path_headers_and_body(Config) ->
    Http = ?config(http, Config),
    {ok, 200} = post(url(Http, "/a/b?c=d%20e"), [{"X-One", "1"}], <<0, "body", 255>>),
    {ok, #{headers := Headers} = Message} = http_service:await_message(Http, ?WAIT),
    ?assertMatch(#{method := <<"POST">>, path := <<"/a/b?c=d%20e">>, body := <<0, "body", 255>>},
                 Message),
    ?assertEqual({<<"x-one">>, <<"1">>}, lists:keyfind(<<"x-one">>, 1, Headers)).

%% Confirms the order of the three kinds of answers, and Retry-After.
an_http_request_gets_the_answer_that_was_scripted(Config) ->
    Http = ?config(http, Config),
    %% Not 503, after which this client tries again by itself.
    ok = http_service:answer(Http, 429, 7),
    ok = http_service:script(Http, [500]),
    ok = http_service:answer_path(Http, "/gone", 404),
    ?assertEqual({ok, 404}, post(url(Http, "/gone/for/good"))),
    ?assertEqual({ok, 500}, post(url(Http, "/"))),
    {ok, {{_, 429, _}, Headers, _}} = httpc:request(url(Http, "/")),
    ?assertEqual({"retry-after", "7"}, lists:keyfind("retry-after", 1, Headers)),
    ?assertEqual(3, http_service:count(Http)).

%% Confirms that requests can be observed while they are without an answer.
a_held_http_request_arrives_before_it_is_answered(Config) ->
    Http = ?config(http, Config),
    ok = http_service:hold(Http, "/slow"),
    #{port := Port} = uri_string:parse(url(Http, "/")),
    Connect = fun() -> gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]) end,
    [{ok, _}, {ok, _}] = Connected = [Connect(), Connect()],
    Sockets = [Socket || {ok, Socket} <- Connected],
    [ok = gen_tcp:send(Socket, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
     || Socket <- Sockets],
    ?assertMatch([#{path := <<"/slow">>}, #{}], http_service:await_messages(Http, 2, ?WAIT)),
    ?assertEqual(2, http_service:max_in_flight(Http)),
    ?assertEqual([{error, timeout}, {error, timeout}],
                 [gen_tcp:recv(Socket, 1, 0) || Socket <- Sockets]),
    ok = http_service:release(Http),
    [?assertEqual({ok, <<"HTTP/1.1 200">>}, gen_tcp:recv(Socket, 12, ?WAIT)) || Socket <- Sockets],
    [ok = gen_tcp:close(Socket) || Socket <- Sockets].

%% Confirms that down and up are seen by clients.
an_http_receiver_comes_back_at_the_same_port(Config) ->
    Http = ?config(http, Config),
    {ok, 200} = post(url(Http, "/")),
    ok = http_service:down(Http),
    ?assertMatch({error, _}, post(url(Http, "/"))),
    ok = http_service:up(Http),
    ?assertEqual({ok, 200}, post(url(Http, "/"))).

%% Confirms that the certificates are good for what they are made for, and nothing else.
a_client_can_tell_the_https_receiver_from_a_stranger(Config) ->
    #{cert := Cert, key := Key, ca := Ca, foreign_ca := ForeignCa} = ?config(certs, Config),
    {ok, Https} = http_service:start(#{cert => Cert, key => Key}),
    #{port := Port} = uri_string:parse(maps:get(url, http_service:info(Https))),
    Connect = fun(Host, CaFile) ->
        Options = [{verify, verify_peer}, {cacertfile, CaFile}, {log_level, none}],
        ssl:connect(Host, Port, Options, ?WAIT)
    end,
    ?assertMatch({error, {tls_alert, _}}, Connect("localhost", ForeignCa)),
    ?assertMatch({ok, _}, Connect({127, 0, 0, 1}, Ca)),
    {ok, Socket} = Connect("localhost", Ca),
    ok = ssl:send(Socket, "GET /over/tls HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ?assertMatch({ok, #{path := <<"/over/tls">>}}, http_service:await_message(Https, ?WAIT)),
    ok = http_service:stop(Https).

%% RabbitMQ

%% Confirms what the receiver tells of a delivery.
an_amqp_message_arrives_with_its_properties(Config) ->
    Rabbit = ?config(rabbit, Config),
    _ = rabbit_service:bind(Rabbit, "chat", topic, true, "alice.#"),
    ok = rabbit_service:publish(Rabbit, "chat", "bob", "not for the queue"),
    ok = rabbit_service:publish(Rabbit, "chat", "alice.phone", <<"Zażółć"/utf8>>),
    {ok, Message} = rabbit_service:await_message(Rabbit, ?WAIT),
    ?assertMatch(#{exchange := <<"chat">>, routing_key := <<"alice.phone">>,
                   body := <<"Zażółć"/utf8>>, redelivered := false,
                   properties := #{content_type := undefined, message_id := undefined,
                                   timestamp := undefined, delivery_mode := 2}}, Message),
    ?assertEqual(#{<<"chat">> => #{type => topic, durable => true}},
                 rabbit_service:exchanges(Rabbit)).

%% Confirms that exchanges of equal names are told apart.
a_virtual_host_has_exchanges_of_its_own(Config) ->
    Rabbit = ?config(rabbit, Config),
    ok = rabbit_service:add_vhost(Rabbit, "other"),
    Queue = rabbit_service:bind(Rabbit, {"other", "chat"}, fanout, false, ""),
    ok = rabbit_service:declare(Rabbit, "chat", topic, true),
    ?assertEqual(#{<<"chat">> => #{type => fanout, durable => false}},
                 rabbit_service:exchanges(Rabbit, "other")),
    ok = rabbit_service:publish(Rabbit, {"other", "chat"}, "", "hello"),
    {ok, #{body := <<"hello">>}} = rabbit_service:await_message(Rabbit, ?WAIT),
    ok = rabbit_service:unbind(Rabbit, Queue),
    ok = rabbit_service:delete(Rabbit, {"other", "chat"}).

%% Confirms that clients see the broker go and come, and that a consumer finds back by itself.
a_broker_comes_back_with_what_is_durable(Config) ->
    Rabbit = ?config(rabbit, Config),
    _ = rabbit_service:bind(Rabbit, "chat", topic, true, "#"),
    ok = rabbit_service:down(Rabbit),
    ?assertEqual({error, econnrefused}, greet(Rabbit)),
    ok = rabbit_service:up(Rabbit),
    ?assertMatch({ok, <<1, 0, 0>>}, greet(Rabbit)),
    ok = rabbit_service:publish(Rabbit, "chat", "key", "after"),
    ?assertMatch({ok, #{body := <<"after">>}}, rabbit_service:await_message(Rabbit, ?WAIT)).

%% Confirms that the receiver waits for others to declare an exchange.
an_exchange_that_is_not_durable_is_bound_again_when_it_comes_back(Config) ->
    Rabbit = ?config(rabbit, Config),
    _ = rabbit_service:bind(Rabbit, "chat", topic, false, "#"),
    ok = rabbit_service:restart(Rabbit),
    ?assertEqual(#{}, rabbit_service:exchanges(Rabbit)),
    ok = rabbit_service:declare(Rabbit, "chat", topic, false),
    ok = rabbit_service:await_exchange(Rabbit, "chat"),
    ok = rabbit_service:await_consumers(Rabbit),
    ok = rabbit_service:publish(Rabbit, "chat", "key", "hello"),
    ?assertMatch({ok, #{body := <<"hello">>}}, rabbit_service:await_message(Rabbit, ?WAIT)).

%% Confirms that a negative confirmation can be provoked.
a_queue_that_is_full_refuses_messages_until_it_is_purged(Config) ->
    Rabbit = ?config(rabbit, Config),
    ok = rabbit_service:declare(Rabbit, "chat", topic, true),
    Queue = rabbit_service:bind_full(Rabbit, "chat", "#", 1),
    Publish = fun() -> rabbit_service:publish(Rabbit, "chat", "key", "hello") end,
    ?assertEqual([ok, refused], [Publish(), Publish()]),
    ?assertEqual(1, rabbit_service:purge(Rabbit, Queue)),
    ?assertEqual(ok, Publish()).

%% Confirms both directions of the check of certificates.
the_tls_port_takes_clients_with_a_certificate_only(Config) ->
    #{tls_port := Port} = rabbit_service:info(?config(rabbit, Config)),
    #{ca := Ca, client_cert := Cert, client_key := Key,
      foreign_cert := ForeignCert, foreign_key := ForeignKey} = ?config(certs, Config),
    Greet = fun(Own) ->
        %% With this version a client knows of a refusal when the handshake ends.
        Options = [{verify, verify_peer}, {cacertfile, Ca}, {versions, ['tlsv1.2']},
                   {log_level, none}, {active, false}, binary | Own],
        ssl:connect("localhost", Port, Options, ?WAIT)
    end,
    {ok, Socket} = Greet([{certfile, Cert}, {keyfile, Key}]),
    ok = ssl:send(Socket, ?AMQP),
    ?assertMatch({ok, <<1, 0, 0>>}, ssl:recv(Socket, 3, ?WAIT)),
    ok = ssl:close(Socket),
    ?assertMatch({error, {tls_alert, _}}, Greet([])),
    ?assertMatch({error, {tls_alert, _}}, Greet([{certfile, ForeignCert}, {keyfile, ForeignKey}])).

%% Databases

%% Confirms both engines, the types of columns, and text beyond ASCII in both directions.
a_database_answers_with_terms(_Config) ->
    Table = "event_pusher_push_subscription",
    Insert = <<"INSERT INTO event_pusher_push_subscription VALUES "
               "('zoë@h', '😀''s \"node\"', 'p', '{\"a\": 1}', 1764100000123456)"/utf8>>,
    [begin
         {ok, Database} = database_service:start(Engine),
         ?assertMatch(#{engine := Engine}, database_service:info(Database)),
         ?assertEqual(1, database_service:sql(Database, Insert)),
         ?assertEqual([{<<"zoë@h"/utf8>>, <<"😀's \"node\""/utf8>>, <<"p">>, <<"{\"a\": 1}">>,
                        1764100000123456}],
                      database_service:sql(Database, ["SELECT * FROM ", Table])),
         ?assertEqual([{undefined}], database_service:sql(Database, "SELECT NULL")),
         ?assertError({receiver, _}, database_service:sql(Database, "SELECT FROM")),
         ok = database_service:stop(Database)
     end || Engine <- [pgsql, mysql]].

%% Confirms that clients are refused meanwhile.
a_database_comes_back_with_what_is_stored(_Config) ->
    Count = "SELECT COUNT(*) FROM event_pusher_push_subscription",
    [begin
         {ok, Database} = database_service:start(Engine),
         #{port := Port} = database_service:info(Database),
         Connect = fun() -> gen_tcp:connect({127, 0, 0, 1}, Port, [{active, false}]) end,
         1 = database_service:sql(Database, "INSERT INTO event_pusher_push_subscription "
                                            "VALUES ('a@h', 'n', 'p', '{}', 1)"),
         ok = database_service:down(Database),
         ?assertEqual({error, econnrefused}, Connect()),
         ?assertError({receiver, _}, database_service:sql(Database, Count)),
         ok = database_service:up(Database),
         ?assertMatch({ok, _}, Connect()),
         ok = database_service:restart(Database),
         ?assertEqual([{1}], database_service:sql(Database, Count)),
         ok = database_service:reset(Database),
         ?assertEqual([{0}], database_service:sql(Database, Count)),
         ok = database_service:stop(Database)
     end || Engine <- [pgsql, mysql]].

%% Commands

%% Confirms that no shell syntax is in the way.
words_with_blanks_and_quotes_reach_a_receiver_unchanged(Config) ->
    Rabbit = ?config(rabbit, Config),
    Name = <<"it's \"a\" \\name\\ é"/utf8>>,
    ok = rabbit_service:declare(Rabbit, Name, topic, true),
    ?assertMatch(#{Name := #{}}, rabbit_service:exchanges(Rabbit)).

%% Confirms that a mistake in a test is seen there.
a_failing_command_is_an_error_of_its_caller(Config) ->
    ?assertError({receiver, _}, rabbit_service:delete(?config(rabbit, Config), {"no vhost", "x"})),
    ?assertError({receiver, _}, http_service:script(?config(http, Config), ["no status"])).

%% Confirms the end of broker and port mapper without a word from us.
no_process_and_no_file_outlives_a_receiver_that_is_killed(_Config) ->
    {ok, Rabbit} = rabbit_service:start(),
    #{folder := Folder} = rabbit_service:info(Rabbit),
    ?assertMatch([_, _ | _], processes_in(Folder)),
    exit(Rabbit, kill),
    await(fun() -> processes_in(Folder) =:= [] andalso not filelib:is_dir(Folder) end).

%% Confirms the same of both engines.
no_process_and_no_file_outlives_a_database_that_is_killed(_Config) ->
    [begin
         {ok, Database} = database_service:start(Engine),
         #{folder := Folder} = database_service:info(Database),
         ?assertMatch([_ | _], processes_in(Folder)),
         exit(Database, kill),
         await(fun() -> processes_in(Folder) =:= [] andalso not filelib:is_dir(Folder) end)
     end || Engine <- [pgsql, mysql]].

%% Helpers

post(Url) ->
    post(Url, [], <<>>).

post(Url, Headers, Body) ->
    case httpc:request(post, {Url, Headers, "text/plain", Body}, [], []) of
        {ok, {{_, Status, _}, _, _}} -> {ok, Status};
        {error, Reason} -> {error, Reason}
    end.

url(Http, Path) ->
    #{url := Url} = http_service:info(Http),
    binary_to_list(Url) ++ Path.

%% The beginning of a broker's answer to the header of the protocol.
greet(Rabbit) ->
    #{port := Port} = rabbit_service:info(Rabbit),
    case gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]) of
        {ok, Socket} ->
            ok = gen_tcp:send(Socket, ?AMQP),
            Answer = gen_tcp:recv(Socket, 3, ?WAIT),
            ok = gen_tcp:close(Socket),
            Answer;
        {error, Reason} ->
            {error, Reason}
    end.

%% A receiver's programs work in its folder, which may be gone already.
processes_in(Folder) ->
    Size = byte_size(Folder),
    [Process || Process <- filelib:wildcard("/proc/[0-9]*/cwd"),
                {ok, Path} <- [file:read_link(Process)],
                <<Start:Size/binary, _/binary>> <- [unicode:characters_to_binary(Path)],
                Start =:= Folder].

%% The system tells nobody but a parent of the end of a process.
await(Condition) ->
    case Condition() of
        true -> ok;
        false -> receive after 50 -> await(Condition) end
    end.
