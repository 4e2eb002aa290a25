-module(event_pusher_http_credentials_SUITE).
-moduledoc "What shows a receiver who posts: signatures, fixed headers, a login, a token in a file.".

-behaviour(ct_suite).
-behaviour(mod_event_pusher_http).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([a_library_of_receivers_verifies_a_request_with_each_secret/1,
         each_attempt_is_signed_anew_with_the_same_id/1,
         each_event_has_an_id_of_its_own_that_sorts_by_time/1,
         an_id_survives_a_restart_and_no_secret_is_on_disk/1,
         what_waits_on_disk_without_an_id_is_signed_as_well/1,
         a_callback_may_give_the_id_but_no_signature/1,
         fixed_headers_are_for_what_a_callback_leaves_out/1,
         a_login_is_sent_with_each_request/1,
         a_token_is_read_again_when_its_file_changes/1,
         a_token_that_is_gone_for_a_while_costs_no_event/1,
         without_these_options_nothing_is_added/1,
         callbacks_do_not_get_the_secrets/1,
         all_that_cannot_be_used_is_named_at_the_start/1]).
%% Callbacks
-export([should_make_req/6, prepare_headers/7, prepare_body/7]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

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
    {ok, Reader} = webhook_reader:start(),
    [{receiver, Receiver}, {reader, Reader} | Config].

end_per_suite(Config) ->
    webhook_reader:stop(?config(reader, Config)),
    http_service:stop(?config(receiver, Config)),
    application:stop(event_pusher).

init_per_testcase(Case, Config) ->
    ok = http_service:reset(?config(receiver, Config)),
    _ = http_service:flush(?config(receiver, Config)),
    true = register(?MODULE, self()),
    ok = log_capture:start(),
    Folder = filename:join(?config(priv_dir, Config), atom_to_list(Case)),
    ok = filelib:ensure_dir(filename:join(Folder, "any")),
    [{folder, Folder} | Config].

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    stop_host().

%% Signatures

%% Confirms it with both secrets of a change-over, and what is refused: another secret, another body.
a_library_of_receivers_verifies_a_request_with_each_secret(Config) ->
    [Old, New, Other] = [secret() || _ <- [1, 2, 3]],
    start([#{signing_secrets => [New, Old]}], Config),
    http_rig:send(<<"Zażółć"/utf8>>),
    Request = arrived(Config),
    ?assertEqual([ok, ok, {refused, <<"No matching signature found">>}],
                 [verify(Secret, Request, Config) || Secret <- [Old, New, Other]]),
    #{body := Body} = Request,
    ?assertMatch({refused, _}, verify(Old, Request#{body := <<Body/binary, "&more=1">>}, Config)),
    ?assertMatch({match, _}, re:run(http_rig:header(<<"webhook-signature">>, Request),
                                    "^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$")).

%% Confirms it of three attempts, over some seconds.
each_attempt_is_signed_anew_with_the_same_id(Config) ->
    Secret = secret(),
    ok = http_service:script(?config(receiver, Config), [503, 429]),
    start([#{signing_secrets => [Secret], retry_time_ms => 2000}], Config),
    http_rig:send(<<"Hi">>),
    Requests = http_service:await_messages(?config(receiver, Config), 3, ?WAIT),
    ?assertEqual([ok, ok, ok], [verify(Secret, Request, Config) || Request <- Requests]),
    ?assertMatch([_], lists:usort([id(Request) || Request <- Requests])),
    Times = [timestamp(Request) || Request <- Requests],
    ?assertEqual(Times, lists:usort(Times)),
    [?assert(abs(Time - At div 1000) =< 1)
     || {Time, #{received_at_ms := At}} <- lists:zip(Times, Requests)].

each_event_has_an_id_of_its_own_that_sorts_by_time(Config) ->
    start([#{signing_secrets => [secret()]}], Config),
    Ids = [begin
               http_rig:send(<<"Hi">>),
               Id = id(arrived(Config)),
               ?assertMatch({match, _}, re:run(Id, "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}"
                                                   "-[0-9a-f]{12}$")),
               Id
           end || _ <- lists:seq(1, 20)],
    ?assertEqual(20, length(lists:usort(Ids))),
    %% Within a millisecond, chance decides.
    Moments = [binary:part(Id, 0, 13) || Id <- Ids],
    ?assertEqual(lists:sort(Moments), Moments).

%% Confirms it of an event that failed before the restart and is delivered after it, with another secret;
%% and of all that was on disk meanwhile.
an_id_survives_a_restart_and_no_secret_is_on_disk(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:answer(Receiver, 503),
    [Old, New] = [secret(), secret()],
    Handler = #{retry_count => 1000, retry_time_ms => 100,
                headers => #{'x-api-key' => <<"pl4nted-key">>},
                basic_auth => #{username => <<"user">>, password => <<"pl4nted-password">>}},
    More = #{spool => spool(Config), queue => #{drain_timeout_ms => 0}},
    http_rig:start_host([Handler#{signing_secrets => [Old]}], Receiver, More),
    http_rig:send(<<"Hi from disk">>),
    First = arrived(Config),
    _ = rig:await_stats({http, <<"localhost">>, 1}, fun(#{spool := #{events := N}}) -> N =:= 1 end),
    ok = host:stop(),
    Files = [Bytes || Name <- filelib:wildcard(filename:join(?config(folder, Config), "*/*")),
                      {ok, Bytes} <- [file:read_file(Name)]],
    ?assertMatch({_, _}, binary:match(iolist_to_binary(Files), <<"disk">>)),
    <<"whsec_", Encoded/binary>> = Old,
    Planted = [<<"pl4nted">>, Encoded, base64:decode(Encoded),
               base64:encode(<<"user:pl4nted-password">>)],
    ?assertEqual(nomatch, binary:match(iolist_to_binary(Files), Planted)),
    ok = http_service:answer(Receiver, 200),
    http_rig:start_host([Handler#{signing_secrets => [New], headers := #{'x-run' => <<"2">>}}], Receiver, More),
    Second = arrived_in_run_2(Config),
    ?assertEqual(id(First), id(Second)),
    ?assertEqual([ok, ok], [verify(Old, First, Config), verify(New, Second, Config)]).

%% What was cut off at the stop may be told after it.
arrived_in_run_2(Config) ->
    Request = arrived(Config),
    case http_rig:headers(<<"x-run">>, Request) of
        [<<"2">>] -> Request;
        [] -> arrived_in_run_2(Config)
    end.

%% Confirms it of an event from before there were secrets.
what_waits_on_disk_without_an_id_is_signed_as_well(Config) ->
    Receiver = ?config(receiver, Config),
    ok = http_service:down(Receiver),
    Handler = #{retry_count => 1000, retry_time_ms => 100},
    More = #{spool => spool(Config), queue => #{drain_timeout_ms => 0}},
    http_rig:start_host([Handler], Receiver, More),
    http_rig:send(<<"Hi">>),
    _ = rig:await_stats({http, <<"localhost">>, 1}, fun(#{spool := #{events := N}}) -> N =:= 1 end),
    ok = host:stop(),
    ok = http_service:up(Receiver),
    ok = http_service:script(Receiver, [503]),
    Secret = secret(),
    http_rig:start_host([Handler#{signing_secrets => [Secret]}], Receiver, More),
    [One, Other] = http_service:await_messages(Receiver, 2, ?WAIT),
    ?assertEqual([ok, ok], [verify(Secret, Request, Config) || Request <- [One, Other]]),
    ?assertEqual(id(One), id(Other)).

%% Confirms it with a callback that says all three headers itself.
a_callback_may_give_the_id_but_no_signature(Config) ->
    Secret = secret(),
    start([#{callback_module => ?MODULE, signing_secrets => [Secret]}], Config),
    http_rig:send(<<"webhook-id: msg_1\nwebhook-signature: v1,forged\nwebhook-timestamp: 1">>),
    Request = arrived(Config),
    ?assertEqual(ok, verify(Secret, Request, Config)),
    ?assertEqual(<<"msg_1">>, id(Request)).

%% Headers and authorizations

%% Confirms that the callback's own are sent alone, and whatever the case of a name.
fixed_headers_are_for_what_a_callback_leaves_out(Config) ->
    start([#{callback_module => ?MODULE, basic_auth => #{username => <<"u">>, password => <<"p">>},
             headers => #{'X-Api-Key' => <<"key">>, 'X-Tag' => <<"fixed">>,
                          'User-Agent' => <<"ours">>}}], Config),
    http_rig:send(<<"x-tag: a\nX-TAG: b">>),
    Request = arrived(Config),
    ?assertEqual([[<<"key">>], [<<"a">>, <<"b">>], [<<"ours">>], [<<"Basic dTpw">>]],
                 [http_rig:headers(Name, Request)
                  || Name <- [<<"x-api-key">>, <<"x-tag">>, <<"user-agent">>, <<"authorization">>]]),
    http_rig:send(<<"Authorization: Own abc">>),
    Own = arrived(Config),
    ?assertEqual([[<<"fixed">>], [<<"Own abc">>]],
                 [http_rig:headers(Name, Own) || Name <- [<<"x-tag">>, <<"authorization">>]]).

a_login_is_sent_with_each_request(Config) ->
    start([#{basic_auth => #{username => <<"Aladdin">>, password => <<"open sesame">>}}], Config),
    [begin
         http_rig:send(<<"Hi">>),
         ?assertEqual(<<"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==">>,
                      http_rig:header(<<"authorization">>, arrived(Config)))
     end || _ <- [1, 2]].

%% Confirms it within a few seconds, with events all the time.
a_token_is_read_again_when_its_file_changes(Config) ->
    File = token_file(<<"one\n">>, Config),
    start([#{bearer_token_file => File}], Config),
    ?assertEqual(<<"Bearer one">>, sent_with(Config)),
    ok = file:write_file(File, <<"two\n">>),
    ok = await_token(<<"Bearer two">>, Config).

await_token(Token, Config) ->
    case sent_with(Config) of
        Token -> ok;
        _Former -> await_token(Token, Config)
    end.

sent_with(Config) ->
    http_rig:send(<<"Hi">>),
    http_rig:header(<<"authorization">>, arrived(Config)).

%% Confirms that nothing is sent without it, what the log says, and that all arrive when it is back.
a_token_that_is_gone_for_a_while_costs_no_event(Config) ->
    File = token_file(<<"one">>, Config),
    start([#{bearer_token_file => File, retry_count => 1000, retry_time_ms => 50}], Config),
    ok = file:delete(File),
    Sent = send_until_circuit_opens(1),
    Open = log_capture:await(event_pusher_circuit_open),
    ?assertMatch(#{last_cause := <<"no bearer_token_file: No such file", _/binary>>}, Open),
    _ = http_service:flush(?config(receiver, Config)),
    http_rig:send(<<"Hi">>),
    ?assertMatch(#{rejected := 0, exhausted := 0}, http_rig:stats()),
    ok = file:write_file(File, <<"back">>),
    _ = log_capture:await(event_pusher_circuit_closed),
    ?assertMatch(#{rejected := 0, exhausted := 0, accepted := Accepted, delivered := Accepted}
                   when Accepted =:= Sent + 1,
                 http_rig:await_waiting(0)),
    Tokens = [http_rig:header(<<"authorization">>, Request)
              || Request <- http_service:flush(?config(receiver, Config))],
    ?assertEqual([<<"Bearer back">>], lists:usort(Tokens)).

%% What was read a moment ago is good for a moment more.
send_until_circuit_opens(Count) ->
    http_rig:send(<<"Hi">>),
    Stats = rig:await_stats({http, <<"localhost">>, 1}, fun(#{delivered := Delivered, open_destinations := Open}) ->
        Delivered =:= Count orelse Open > 0
    end),
    case Stats of
        #{open_destinations := 0} -> send_until_circuit_opens(Count + 1);
        _ -> Count
    end.

%% Confirms it for the whole request.
without_these_options_nothing_is_added(Config) ->
    start([#{}], Config),
    http_rig:send(<<"Hi">>),
    #{headers := Headers} = arrived(Config),
    ?assertEqual([<<"accept">>, <<"content-length">>, <<"content-type">>, <<"host">>, <<"user-agent">>],
                 lists:sort([Name || {Name, _} <- Headers])).

%% Confirms it with all options.
callbacks_do_not_get_the_secrets(Config) ->
    start([#{callback_module => ?MODULE, signing_secrets => [secret()],
             headers => #{'x-api-key' => <<"key">>}, retry_count => 1,
             basic_auth => #{username => <<"u">>, password => <<"p">>}}], Config),
    http_rig:send(<<"x-any: 1">>),
    receive {asked, Opts} ->
        ?assertEqual(#{pool_name => http_pool, path => <<>>, callback_module => ?MODULE,
                       retry_count => 1, metadata => #{}}, Opts)
    after ?WAIT -> ct:fail(not_asked)
    end.

%% Configuration

%% Confirms that all complaints come at once, and that they show no value.
all_that_cannot_be_used_is_named_at_the_start(Config) ->
    Missing = filename:join(?config(folder, Config), "missing"),
    Handler = #{signing_secrets => [secret(), <<"pl4nted">>],
                headers => #{'x key' => <<"pl4nted">>, 'x-b' => <<"pl4nted\n">>},
                basic_auth => #{username => <<"pl4nted:">>, password => <<"pl4nted">>},
                bearer_token_file => unicode:characters_to_binary(Missing)},
    try start([Handler], Config) of
        Started -> ct:fail({started, Started})
    catch
        error:#{what := event_pusher_pool_not_started, pool_type := http, reason := Reason} ->
            ?assertMatch([<<"headers: must be names of headers, got \"x key\"">>,
                          <<"headers.x-b: must be text without control characters, got other", _/binary>>,
                          <<"bearer_token_file: must be left out with basic_auth, got both">>,
                          <<"basic_auth.username: must be text without a colon", _/binary>>,
                          <<"bearer_token_file: must be a readable file with a token, got \"/", _/binary>>,
                          <<"signing_secrets: must be 1 to 10 different texts, each of \"whsec_\" and 24 to "
                            "64 bytes in Base64, got something else at place 2">>], Reason),
            ?assertEqual(nomatch, binary:match(iolist_to_binary(Reason), <<"pl4nted">>))
    end.

%% The callbacks of some cases: a text is headers.

should_make_req(_Acc, Dir, _Packet, _From, _To, Opts) ->
    ?MODULE ! {asked, Opts},
    Dir =:= in.

prepare_headers(_Acc, _Dir, _Domain, Message, _Sender, _Receiver, _Opts) ->
    [list_to_tuple(binary:split(Line, <<": ">>)) || Line <- binary:split(Message, <<"\n">>, [global])].

prepare_body(_Acc, _Dir, _Domain, Message, _Sender, _Receiver, _Opts) ->
    Message.

%% Helpers

start(Handlers, Config) ->
    http_rig:start_host(Handlers, ?config(receiver, Config)).

stop_host() ->
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    ok.

spool(Config) ->
    #{dir => unicode:characters_to_binary(?config(folder, Config)), max_bytes => 64 * 1024 * 1024,
      sync => 1}.

arrived(Config) ->
    {ok, Request} = http_service:await_message(?config(receiver, Config), ?WAIT),
    Request.

secret() ->
    <<"whsec_", (base64:encode(crypto:strong_rand_bytes(24)))/binary>>.

verify(Secret, Request, Config) ->
    webhook_reader:verify(?config(reader, Config), Secret, Request).

id(Request) ->
    http_rig:header(<<"webhook-id">>, Request).

timestamp(Request) ->
    binary_to_integer(http_rig:header(<<"webhook-timestamp">>, Request)).

token_file(Token, Config) ->
    File = filename:join(?config(folder, Config), "token"),
    ok = file:write_file(File, Token),
    unicode:characters_to_binary(File).
