-module(docs_troubleshooting_SUITE).
-moduledoc "Each trouble of docs/troubleshooting.md is made, and says what the page says, word by word.".

%% The first cell of a row is the name of a case here. In a text of the page, ... is for any characters.

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([the_page_and_these_cases_are_about_the_same_troubles/1]).
%% SNS
-export([wrong_region/1, wrong_secret/1, unknown_key/1, clock_off_by_an_hour/1, topic_that_does_not_exist/1,
         missing_permission/1, endpoint_without_an_address/1, endpoint_with_an_unknown_certificate/1,
         endpoint_with_the_certificate_of_another_name/1]).
%% HTTP
-export([answer_302/1, answer_401/1, answer_413/1, answer_415/1, answer_429/1, answer_503/1,
         nobody_listens/1, no_answer_in_time/1]).
%% TLS
-export([authority_missing/1, certificate_of_another_name/1, certificate_that_has_expired/1,
         chain_without_intermediates/1, port_without_tls/1]).
%% RabbitMQ
-export([broker_down/1, virtual_host_missing/1, exchange_of_another_type/1, exchange_missing/1,
         no_queue_bound/1, wrong_password/1, port_of_tls/1]).
%% The queue and the disk
-export([full_queue/1, disk_of_the_spool_full/1, folder_of_the_spool_taken/1]).
-export([fill/1, seen_by_another_node/2]).
%% The configuration
-export([outgoing_pool_missing/1, broker_missing/1, option_that_does_not_exist/1, option_out_of_range/1,
         module_that_cannot_be_loaded/1, plugin_without_its_functions/1, file_of_authorities_without_any/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(WAIT, 30000).
-define(SNS, {sns, ?HT}).
-define(HTTP, {http, ?HT, 1}).
-define(RABBIT, {rabbit, ?HT}).

%% What an operator sees: a line of the log and the pool, if there is one.
-type seen() :: {Report :: map(), event_pusher_status:pool() | none}.

all() ->
    [the_page_and_these_cases_are_about_the_same_troubles | troubles()].

troubles() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports),
             not lists:member(Case, [module_info, init_per_suite, end_per_suite, fill,
                                     the_page_and_these_cases_are_about_the_same_troubles])].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    ok = rig:start_application(),
    ok = application:set_env(event_pusher, reconnect_max_ms, 500),
    {ok, Sns} = sns_service:start(),
    [sns_service:topic(Sns, Topic) || Topic <- ["presence", "pm", "muc"]],
    {ok, Http} = http_service:start(),
    Certs = test_certs:make(?config(priv_dir, Config)),
    #{cert := Cert, key := Key} = Certs,
    {ok, Broker} = rabbit_service:start(#{cert => Cert, key => Key}),
    [{sns, Sns}, {http, Http}, {broker, Broker}, {certs, Certs},
     {unusable, test_certs:make_unusable(?config(priv_dir, Config))} | Config].

end_per_suite(Config) ->
    rabbit_service:stop(?config(broker, Config)),
    http_service:stop(?config(http, Config)),
    sns_service:stop(?config(sns, Config)),
    application:unset_env(event_pusher, reconnect_max_ms),
    application:stop(event_pusher).

init_per_testcase(_Case, Config) ->
    ok = rabbit_service:reset(?config(broker, Config)),
    ok = http_service:reset(?config(http, Config)),
    ok = sns_service:clock(?config(sns, Config), 0),
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = log_capture:stop(),
    _ = is_up() andalso host:stop(),
    ok.

is_up() ->
    lists:keymember(host, 1, application:which_applications()).

the_page_and_these_cases_are_about_the_same_troubles(_Config) ->
    ?assertEqual(lists:sort([key(Case) || Case <- troubles()]), lists:sort([Key || {Key, _, _} <- rows()])).

%% SNS

wrong_region(Config) ->
    as_told(?FUNCTION_NAME, sns(#{region => "us-east-1"}, event_pusher_drops, Config)).

wrong_secret(Config) ->
    as_told(?FUNCTION_NAME, sns(#{secret_access_key => "wrong"}, event_pusher_drops, Config)).

unknown_key(Config) ->
    as_told(?FUNCTION_NAME, sns(#{access_key_id => "AKIAUNKNOWN"}, event_pusher_drops, Config)).

%% Confirms that the event arrives all the same.
clock_off_by_an_hour(Config) ->
    ok = sns_service:clock(?config(sns, Config), 3600),
    Seen = sns(#{}, event_pusher_clock, Config),
    {ok, _} = sns_service:await_message(?config(sns, Config), ?WAIT),
    as_told(?FUNCTION_NAME, Seen).

topic_that_does_not_exist(Config) ->
    as_told(?FUNCTION_NAME, sns(#{pm_messages_topic => "nowhere"}, event_pusher_drops, Config)).

missing_permission(Config) ->
    #{access_key_id := Id, secret_access_key := Secret} =
        sns_service:stranger(?config(sns, Config), "nobody"),
    Stranger = #{access_key_id => binary_to_list(Id), secret_access_key => binary_to_list(Secret)},
    as_told(?FUNCTION_NAME, sns(Stranger, event_pusher_drops, Config)).

%% A label of more than 63 characters is in no name server, and none is asked.
endpoint_without_an_address(Config) ->
    Host = "https://" ++ lists:duplicate(64, $v) ++ ".vpce.amazonaws.com",
    as_told(?FUNCTION_NAME, sns(#{sns_host => Host}, event_pusher_drops, Config)).

endpoint_with_an_unknown_certificate(Config) ->
    #{cert := Cert, key := Key} = ?config(certs, Config),
    {ok, Service} = http_service:start(#{cert => Cert, key => Key}),
    #{url := Url} = http_service:info(Service),
    Seen = sns(#{sns_host => binary_to_list(Url)}, event_pusher_drops, Config),
    http_service:stop(Service),
    as_told(?FUNCTION_NAME, Seen).

%% On a node whose system trusts the authority.
endpoint_with_the_certificate_of_another_name(Config) ->
    #{ca := Ca, elsewhere := {Cert, Key}} = ?config(unusable, Config),
    {ok, Service} = http_service:start(#{cert => Cert, key => Key}),
    #{url := Url} = http_service:info(Service),
    {ok, _} = file:copy(Ca, Readable = "/tmp/event_pusher_ca_" ++ os:getpid() ++ ".pem"),
    Node = child_node:start(["-env", "SSL_CERT_FILE", Readable]),
    Opts = sns_opts(#{sns_host => binary_to_list(Url)}, Config),
    Seen = child_node:call(Node, ?MODULE, seen_by_another_node, [Opts, event_pusher_drops]),
    child_node:stop(Node),
    ok = file:delete(Readable),
    http_service:stop(Service),
    as_told(?FUNCTION_NAME, Seen).

%% HTTP

answer_302(Config) -> as_told(?FUNCTION_NAME, answered(302, event_pusher_drops, Config)).
answer_401(Config) -> as_told(?FUNCTION_NAME, answered(401, event_pusher_drops, Config)).
answer_413(Config) -> as_told(?FUNCTION_NAME, answered(413, event_pusher_drops, Config)).
answer_415(Config) -> as_told(?FUNCTION_NAME, answered(415, event_pusher_drops, Config)).
answer_429(Config) -> as_told(?FUNCTION_NAME, answered(429, event_pusher_retries, Config)).
answer_503(Config) -> as_told(?FUNCTION_NAME, answered(503, event_pusher_circuit_open, Config)).

answered(Status, What, Config) ->
    ok = http_service:answer(?config(http, Config), Status),
    http(#{}, #{retry_count => 1000}, What, Config).

nobody_listens(Config) ->
    Host = "http://127.0.0.1:" ++ integer_to_list(rig:free_port()),
    as_told(?FUNCTION_NAME, http(#{host => Host}, #{}, event_pusher_drops, Config)).

no_answer_in_time(Config) ->
    ok = http_service:hold(?config(http, Config), "/"),
    Seen = http(#{request_timeout => 100}, #{}, event_pusher_drops, Config),
    ok = http_service:release(?config(http, Config)),
    as_told(?FUNCTION_NAME, Seen).

%% TLS

authority_missing(Config) ->
    #{cert := Cert, key := Key, foreign_ca := Ca} = ?config(certs, Config),
    as_told(?FUNCTION_NAME, https({Cert, Key}, Ca, Config)).

certificate_of_another_name(Config) ->
    #{ca := Ca, elsewhere := Server} = ?config(unusable, Config),
    as_told(?FUNCTION_NAME, https(Server, Ca, Config)).

certificate_that_has_expired(Config) ->
    #{ca := Ca, expired := Server} = ?config(unusable, Config),
    as_told(?FUNCTION_NAME, https(Server, Ca, Config)).

chain_without_intermediates(Config) ->
    #{ca := Ca, without_intermediates := Server} = ?config(unusable, Config),
    as_told(?FUNCTION_NAME, https(Server, Ca, Config)).

port_without_tls(Config) ->
    #{ca := Ca} = ?config(certs, Config),
    #{url := <<"http", Rest/binary>>} = http_service:info(?config(http, Config)),
    Host = "https" ++ binary_to_list(Rest),
    as_told(?FUNCTION_NAME, http(#{host => Host, tls => tls(Ca)}, #{}, event_pusher_drops, Config)).

https({Cert, Key}, Ca, Config) ->
    {ok, Receiver} = http_service:start(#{cert => Cert, key => Key}),
    #{url := Url} = http_service:info(Receiver),
    Seen = http(#{host => binary_to_list(Url), tls => tls(Ca)}, #{}, event_pusher_drops, Config),
    http_service:stop(Receiver),
    Seen.

tls(Ca) ->
    #{verify_mode => peer, disconnect_on_failure => true, crl_files => [], cacertfile => Ca,
      server_name_indication => #{enabled => true, protocol => default}}.

%% RabbitMQ

broker_down(Config) ->
    Port = rig:free_port(),
    as_told(?FUNCTION_NAME, rabbit(#{port => Port}, #{}, event_pusher_connection_down, Config)).

virtual_host_missing(Config) ->
    Connection = #{virtual_host => <<"nobody's">>},
    as_told(?FUNCTION_NAME, rabbit(Connection, #{}, event_pusher_connection_refused, Config)).

exchange_of_another_type(Config) ->
    ok = rabbit_service:declare(?config(broker, Config), "presence", fanout, false),
    as_told(?FUNCTION_NAME, rabbit(#{}, #{}, event_pusher_connection_refused, Config)).

exchange_missing(Config) ->
    [ok = rabbit_service:declare(?config(broker, Config), Exchange, topic, false)
     || Exchange <- ["chat_msg", "groupchat_msg"]],
    as_told(?FUNCTION_NAME,
            rabbit(#{}, #{declare => passive}, event_pusher_connection_refused, Config)).

no_queue_bound(Config) ->
    as_told(?FUNCTION_NAME, rabbit(#{}, #{}, event_pusher_unroutable, Config)).

wrong_password(Config) ->
    as_told(?FUNCTION_NAME,
            rabbit(#{password => <<"wrong">>}, #{}, event_pusher_connection_refused, Config)).

port_of_tls(Config) ->
    #{tls_port := Port} = rabbit_service:info(?config(broker, Config)),
    as_told(?FUNCTION_NAME, rabbit(#{port => Port}, #{}, event_pusher_connection_down, Config)).

%% The queue and the disk

full_queue(Config) ->
    {Listen, Host} = rig:silent_server(),
    Opts = sns_opts(#{sns_host => Host, pool_size => 1,
                      queue => #{max_events => 1, drain_timeout_ms => 0}}, Config),
    ok = sns_rig:start_host(Opts),
    _ = [send() || _ <- lists:seq(1, 5)],
    Seen = seen(event_pusher_drops, ?SNS),
    gen_tcp:close(Listen),
    as_told(?FUNCTION_NAME, Seen).

disk_of_the_spool_full(Config) ->
    Disk = #{dir := Dir} = crash_disk:make(filename:join(?config(priv_dir, Config), "disk")),
    try
        as_told(?FUNCTION_NAME, full_disk(Disk, Dir))
    after
        _ = is_up() andalso host:stop(),
        crash_disk:remove(Disk)
    end.

full_disk(#{how := tmpfs}, Dir) ->
    fill(Dir);
%% Where nothing can be mounted, the system has another word for a file that may not grow.
full_disk(#{how := limit}, Dir) ->
    Node = child_node:start(),
    ok = child_node:limit(Node, "fsize", 256 * 1024),
    {#{reason := Reason} = Report, Pool} = child_node:call(Node, ?MODULE, fill, [Dir]),
    child_node:stop(Node),
    {Report#{reason := iolist_to_binary(string:replace(Reason, "File too large (os error 27)",
                                                       "No space left on device (os error 28)"))}, Pool}.

%% Messages for nobody, until the disk takes no more.
-spec fill(file:filename()) -> seen().
fill(Dir) ->
    _ = application:ensure_all_started(event_pusher),
    ok = application:set_env(event_pusher, report_interval_ms, 20),
    _ = log_capture:start(),
    {_Listen, Host} = rig:silent_server(),
    Opts = (sns_rig:opts(nowhere(), #{queue => #{drain_timeout_ms => 0}}))#{sns_host => Host},
    Spool = #{dir => iolist_to_binary(filename:join(Dir, "spool")), max_bytes => 64 * 1024 * 1024, sync => 1},
    ok = rig:start_host(#{mod_event_pusher => #{sns => Opts, spool => Spool}}),
    Text = binary:copy(<<"x">>, 100000),
    _ = [host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, Text)) || _ <- lists:seq(1, 50)],
    Seen = seen(event_pusher_spool_failed, ?SNS),
    ok = host:stop(),
    Seen.

nowhere() ->
    #{endpoint => <<"http://127.0.0.1:1">>, region => <<"eu-west-1">>, account_id => <<"123456789012">>,
      access_key_id => <<"A">>, secret_access_key => <<"S">>}.

folder_of_the_spool_taken(Config) ->
    Dir = filename:join(?config(priv_dir, Config), "taken"),
    ok = filelib:ensure_dir(filename:join(Dir, "any")),
    Locker = open_port({spawn_executable, os:find_executable("flock")},
                       [{args, ["-x", filename:join(Dir, ".lock"), "-c", "echo locked; read line"]},
                        {line, 80}, exit_status]),
    receive {Locker, {data, {eol, "locked"}}} -> ok after ?WAIT -> ct:fail(no_lock) end,
    Seen = not_started([sns_toml(), "[modules.mod_event_pusher.spool]\ndir = \"", Dir, "\"\n"], Config),
    true = port_command(Locker, "done\n"),
    receive {Locker, {exit_status, 0}} -> ok after ?WAIT -> ct:fail(still_locked) end,
    as_told(?FUNCTION_NAME, Seen).

%% The configuration

outgoing_pool_missing(Config) ->
    as_told(?FUNCTION_NAME, not_started("[modules.mod_event_pusher.http]\n"
                                        "handlers = [{pool_name = \"hooks\"}]\n", Config)).

broker_missing(Config) ->
    as_told(?FUNCTION_NAME, not_started("[modules.mod_event_pusher.rabbit.presence_exchange]\n", Config)).

option_that_does_not_exist(Config) ->
    as_told(?FUNCTION_NAME, not_parsed([sns_toml(), "publish_retries = 3\n"], Config)).

option_out_of_range(Config) ->
    as_told(?FUNCTION_NAME, not_started([sns_toml(), "pool_size = 20000\n"], Config)).

module_that_cannot_be_loaded(Config) ->
    as_told(?FUNCTION_NAME, not_parsed([sns_toml(), "plugin_module = \"sns_plugin\"\n"], Config)).

plugin_without_its_functions(Config) ->
    as_told(?FUNCTION_NAME, not_started([sns_toml(), "presence_updates_topic = \"p\"\n",
                                         "plugin_module = \"lists\"\n"], Config)).

file_of_authorities_without_any(Config) ->
    File = filename:join(?config(priv_dir, Config), "empty.pem"),
    ok = file:write_file(File, "no certificate\n"),
    as_told(?FUNCTION_NAME,
            not_started(["[modules.mod_event_pusher.http]\nhandlers = [{pool_name = \"hooks\"}]\n"
                         "[outgoing_pools.http.hooks.connection]\nhost = \"https://localhost\"\n"
                         "tls.cacertfile = \"", File, "\"\n"], Config)).

sns_toml() ->
    "[modules.mod_event_pusher.sns]\nsns_host = \"http://127.0.0.1:1\"\nregion = \"eu-west-1\"\n"
    "account_id = \"123456789012\"\naccess_key_id = \"A\"\nsecret_access_key = \"S\"\n".

%% What the server says of a module that does not start is one line.
not_started(Toml, Config) ->
    try host:start(file_with(Toml, Config)) of
        ok -> ct:fail(started)
    catch
        _:_ -> {log_capture:await(module_start_failed), none}
    end.

%% What it says of a file that it does not take.
not_parsed(Toml, Config) ->
    try host_config:load(file_with(Toml, Config)) of
        _ -> ct:fail(parsed)
    catch
        error:{config_error, _Text, [Error]} -> {Error, none}
    end.

file_with(Toml, Config) ->
    Path = filename:join(?config(priv_dir, Config), "mongooseim.toml"),
    General = "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n",
    ok = file:write_file(Path, [General, Toml]),
    Path.

%% How troubles are made

%% With options, one message and the line that is waited for.
sns(More, What, Config) ->
    sns_seen(sns_opts(More, Config), What).

sns_opts(More, Config) ->
    Opts = sns_rig:opts(sns_service:info(?config(sns, Config)), More),
    maps:merge(Opts#{publish_retry_count := 0}, More).

sns_seen(Opts, What) ->
    ok = sns_rig:start_host(Opts),
    send(),
    seen(What, ?SNS).

-spec seen_by_another_node(map(), atom()) -> seen().
seen_by_another_node(Opts, What) ->
    ok = rig:start_application(),
    ok = log_capture:start(),
    sns_seen(Opts, What).

http(ConnOpts, Handler, What, Config) ->
    #{url := Url} = http_service:info(?config(http, Config)),
    Pool = #{type => http, scope => global, tag => http_pool,
             opts => #{workers => 10, strategy => best_worker, call_timeout => 5000},
             conn_opts => maps:merge(#{host => binary_to_list(Url), path_prefix => <<"/">>,
                                       request_timeout => 10000}, ConnOpts)},
    Handlers = [maps:merge(#{pool_name => http_pool, path => <<>>, retry_count => 0,
                             callback_module => mod_event_pusher_http_defaults}, Handler)],
    ok = rig:start_host(#{mod_event_pusher => #{http => #{handlers => Handlers}}},
                        #{outgoing_pools => [Pool]}),
    send(),
    seen(What, ?HTTP).

rabbit(ConnOpts, More, What, Config) ->
    Connection = rabbit_rig:connection(rabbit_service:info(?config(broker, Config)), ConnOpts),
    Opts = maps:merge(rabbit_rig:exchanges(), More#{connection => Connection}),
    ok = rabbit_rig:start_host(Opts),
    host:user_available(?ALICE),
    seen(What, ?RABBIT).

send() ->
    host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<"Hi">>)).

-spec seen(atom(), event_pusher:name()) -> seen().
seen(What, Name) ->
    Report = log_capture:await(What),
    [Pool] = [Pool || #{name := Of} = Pool <- event_pusher:pools(), Of =:= Name],
    {Report, Pool}.

%% What the page says

-spec as_told(atom(), seen()) -> ok.
as_told(Case, {Report, Pool}) ->
    [{Log, Status}] = [{Log, Status} || {Key, Log, Status} <- rows(), Key =:= key(Case)],
    {Words, Text} = shown(Report),
    ?assertMatch({_, true, _}, {Text, fits(Text, lists:last(Log)), lists:last(Log)}),
    ?assertEqual(lists:droplast(Log), Words),
    same_status(Status, status(Pool), Text).

%% The status has the cause of the line, unless all is well or the page says nothing of it.
same_status([], _Status, _Text) -> ok;
same_status([<<"connected">>], Status, _Text) -> ?assertEqual({<<"connected">>, none}, Status);
same_status([State], Status, Text) -> ?assertEqual({State, Text}, Status).

status(none) -> none;
status(#{status := #{state := State, cause := Cause}}) -> {atom_to_binary(State), Cause}.

key(Case) ->
    binary:replace(atom_to_binary(Case), <<"_">>, <<" ">>, [global]).

%% The words that a line has beside its text: what it is, and a reason that is one.
shown(#{what := module_start_failed, reason := #{what := What} = Reason}) ->
    {[<<"module_start_failed">>, atom_to_binary(What)], text(Reason)};
shown(#{what := What, reason := Reason} = Report) when is_atom(Reason) ->
    {[atom_to_binary(What), atom_to_binary(Reason)], text(maps:remove(reason, Report))};
shown(#{what := What} = Report) ->
    {[atom_to_binary(What)], text(Report)}.

%% Of what the server's parser says, the words are its own; only what they name is looked at.
text(#{what := unexpected_key, unexpected_key := Key}) -> Key;
text(#{last_cause := Cause}) -> Cause;
text(#{reason := [Complaint]}) -> Complaint;
text(#{reason := Reason}) when is_binary(Reason) -> Reason;
text(#{text := Text}) -> Text.

fits(Text, Pattern) ->
    Parts = binary:split(Pattern, <<"...">>, [global]),
    Expression = ["^", lists:join(".*", [["\\Q", Part, "\\E"] || Part <- Parts]), "$"],
    re:run(Text, Expression, [{capture, none}, unicode, dotall]) =:= match.

%% Rows of four cells: trouble, log, status, what to do.
rows() ->
    Docs = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "docs"]),
    {ok, Page} = file:read_file(filename:join(Docs, "troubleshooting.md")),
    case re:run(Page, "^\\| ([^|`]+) \\| (`[^|]+`) \\|([^|]*)\\| [^|]+ \\|$",
                [global, multiline, {capture, all_but_first, binary}]) of
        {match, Rows} -> [{Key, quoted(Log), quoted(Status)} || [Key, Log, Status] <- Rows];
        nomatch -> []
    end.

quoted(Text) ->
    case re:run(Text, "`([^`]+)`", [global, {capture, all_but_first, binary}]) of
        {match, Words} -> lists:append(Words);
        nomatch -> []
    end.
