-module(event_pusher_check_SUITE).
-moduledoc "What the table of checks says, in a VM of its own as the script starts it.".

%% The stand-in has the place of the server, and a folder made here that of its own modules.

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_testcase/2]).
-export([what_fits_is_ok/1,
         what_is_not_installed_is_a_warning/1,
         a_module_of_another_folder_is_found/1,
         a_module_that_does_not_load_is_found/1,
         an_export_of_the_releases_own_module_must_be_there/1,
         a_module_that_is_not_replaced_is_a_warning/1,
         a_call_without_its_function_is_found/1,
         a_server_without_a_function_is_told_by_its_name/1,
         a_library_that_does_not_load_is_told_with_the_cause/1,
         a_refused_configuration_is_told_without_secrets/1,
         an_unreadable_configuration_is_told/1,
         a_mistake_in_a_rule_is_told_with_its_number/1,
         options_are_complained_about_as_at_a_start/1,
         settings_of_the_node_are_checked/1,
         the_folder_of_a_spool_is_looked_at/1,
         a_folder_that_cannot_be_written_is_a_warning/1,
         hosts_with_one_spool_need_the_same_options/1,
         a_folder_that_others_may_write_is_a_warning/1,
         a_disk_without_room_for_a_spool_is_a_warning/1,
         a_spool_that_another_process_has_is_a_warning/1,
         events_that_no_pool_has_are_a_warning/1,
         a_handler_needs_its_outgoing_pool/1,
         exchanges_need_a_connection/1,
         where_registrations_are_is_told/1,
         an_unknown_sns_host_is_a_warning/1,
         a_receiver_is_tried_over_tls/1,
         tls_options_that_cannot_be_used_are_not_tried/1,
         receivers_are_tried_if_that_is_wanted/1,
         a_check_that_crashes_has_failed/1]).

-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(NAMES, ["installation", "modules", "code path", "exports", "calls", "native library",
                "settings", "configuration", "options", "spool", "spool disk", "spool lock",
                "spool events", "HTTP pools", "RabbitMQ", "push storage", "SNS host", "TLS"]).
-define(GENERAL, "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n").
-define(SNS, "[modules.mod_event_pusher.sns]\nsns_host = \"http://127.0.0.1:4100\"\n"
             "region = \"eu-west-1\"\naccess_key_id = \"AKIAHIDDEN\"\n"
             "secret_access_key = \"hidden\"\naccount_id = \"123456789012\"\n").
-define(HTTP, "[[modules.mod_event_pusher.http.handlers]]\npool_name = \"hooks\"\n").
-define(RABBIT, "[modules.mod_event_pusher.rabbit.chat_msg_exchange]\n").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_testcase(Case, Config) ->
    Folder = filename:join(proplists:get_value(priv_dir, Config), Case),
    Server = filename:join([Folder, "mongooseim-6.8.0", "ebin"]),
    write(filename:join(Server, "mongooseim.app"),
          "{application, mongooseim, [{vsn, \"6.8.0\"}, {modules, []}]}."),
    compile(Server, mod_event_pusher, [{push_event, 2}]),
    [{folder, Folder}, {server, Server} | Config].

%% Code

%% Confirms each row, the summary and the status, with a backend of each kind.
what_fits_is_ok(Config) ->
    Toml = [?GENERAL, ?SNS, ?HTTP, ?RABBIT,
            "[modules.mod_event_pusher.rabbit.connection]\npassword = \"hidden\"\n"
            "[outgoing_pools.http.hooks.connection]\nhost = \"http://localhost:8080\"\n",
            spool("/kept")],
    {0, Rows, Output} = check(Toml, Config),
    ?assertEqual([{Name, "ok"} || Name <- ?NAMES], [{Name, Result} || {Name, Result, _} <- Rows]),
    ?assertMatch({_, _, ["event_pusher " ++ _]}, row("installation", Rows)),
    ?assertMatch({_, _, [_, "localhost: http, rabbit, sns"]}, row("configuration", Rows)),
    ?assertMatch({_, _, ["1 modules are replaced" ++ _]}, row("exports", Rows)),
    ?assertNotEqual(nomatch, string:find(Output, "ok: 18, warnings: 0, failed: 0")).

%% Confirms that it does not fail for that.
what_is_not_installed_is_a_warning(Config) ->
    {0, Rows, _} = check(?GENERAL, [{how, "package"} | Config]),
    ?assertMatch({_, "WARNING", ["not installed" ++ _]}, row("installation", Rows)),
    ?assertMatch({_, "ok", ["not configured"]}, row("SNS host", Rows)).

%% Confirms that the other file is named, and that the application says it, too.
a_module_of_another_folder_is_found(Config) ->
    Other = in_front("other", Config),
    compile(Other, mod_event_pusher_http_defaults, []),
    {3, Rows, _} = check(?GENERAL, [{front, Other} | Config]),
    ?assertEqual({"code path", "FAILED",
                  ["mod_event_pusher_http_defaults comes from "
                   ++ filename:join(Other, "mod_event_pusher_http_defaults.beam")]},
                 row("code path", Rows)),
    ?assertMatch({_, "FAILED", ["the application does not start" ++ _]},
                 row("native library", Rows)).

%% Confirms that module and reason are named.
a_module_that_does_not_load_is_found(Config) ->
    Other = in_front("broken", Config),
    write(filename:join(Other, "event_pusher_sup.beam"), "no beam"),
    {3, Rows, _} = check(?GENERAL, [{front, Other} | Config]),
    ?assertEqual({"modules", "FAILED", ["event_pusher_sup: badfile"]}, row("modules", Rows)).

%% Confirms that each missing function is named, and that nothing of the module is run.
an_export_of_the_releases_own_module_must_be_there(Config) ->
    compile(proplists:get_value(server, Config), mod_event_pusher_rabbit,
            [{start, 2}, {lost, 0}, {lost, 1}]),
    {3, Rows, _} = check(?GENERAL, Config),
    ?assertEqual({"exports", "FAILED", ["mod_event_pusher_rabbit:lost/0 is missing",
                                        "mod_event_pusher_rabbit:lost/1 is missing"]},
                 row("exports", Rows)).

%% Confirms that a filter of the operator's, which bears such a name, does no harm.
a_module_that_is_not_replaced_is_a_warning(Config) ->
    compile(proplists:get_value(server, Config), mod_event_pusher_filter, [{push_event, 3}]),
    {0, Rows, _} = check(?GENERAL, Config),
    ?assertMatch({_, "WARNING", [_, "mod_event_pusher_filter stays the release's own"]},
                 row("exports", Rows)).

%% Confirms that function and caller are named.
a_call_without_its_function_is_found(Config) ->
    Other = in_front("old", Config),
    compile(Other, exml_query, [{subelements, 2}]),
    {3, Rows, _} = check(?GENERAL, [{front, Other} | Config]),
    {_, "FAILED", Reasons} = row("calls", Rows),
    ?assert(lists:member("exml_query:cdata/1, which event_pusher_packet calls, is not there",
                         Reasons)),
    ?assertEqual([], [Reason || Reason <- Reasons, string:find(Reason, "subelements") =/= nomatch]).

%% Confirms it for what reads the configuration, and for what any other check asks.
a_server_without_a_function_is_told_by_its_name(Config) ->
    Other = in_front("newer", Config),
    compile(Other, mongoose_config_parser, []),
    {3, Rows, _} = check(?GENERAL, [{front, Other} | Config]),
    Told = fun(Function) ->
        Function ++ " is not there: this server is of a version that event_pusher does not know "
        "(it knows MongooseIM 6.5.0 to 6.8), or a module is missing in the code path"
    end,
    ?assertEqual({"configuration", "FAILED", [Told("mongoose_config_parser:get_opts/1")]},
                 row("configuration", Rows)),
    ok = file:delete(filename:join(Other, "mongoose_config_parser.beam")),
    compile(Other, event_pusher_check_names, []),
    {3, Others, _} = check(?GENERAL, [{front, Other} | Config]),
    ?assertEqual({"SNS host", "FAILED", [Told("event_pusher_check_names:resolve/1")]}, row("SNS host", Others)).

%% Confirms that the text of the system's loader is shown.
a_library_that_does_not_load_is_told_with_the_cause(Config) ->
    Ebin = in_front("event_pusher-9/ebin", Config),
    {ok, Files} = file:list_dir(own_ebin()),
    [{ok, _} = file:copy(filename:join(own_ebin(), File), filename:join(Ebin, File))
     || File <- Files],
    Library = filename:join([filename:dirname(Ebin), "priv", "libevent_pusher_nif.so"]),
    write(Library, lists:duplicate(1000, "no library ")),
    {3, Rows, _} = check(?GENERAL, [{front, Ebin} | Config]),
    {_, "FAILED", [Reason]} = row("native library", Rows),
    ?assertNotEqual(nomatch, string:find(Reason, "invalid ELF header")),
    ?assertMatch({_, "ok", _}, row("modules", Rows)).

%% Configuration

%% Confirms that each error has its path, that values are shown but for secret ones, and that the
%% checks which need the configuration are left out.
a_refused_configuration_is_told_without_secrets(Config) ->
    Toml = [?GENERAL, string:replace(?SNS, "secret_access_key = \"hidden\"",
                                     "secret_access_key = 8008\npool_size = -5"),
            ?RABBIT, "name = 7\n[modules.mod_event_pusher.rabbit.connection]\n"
            "password = [\"hidden\"]\nhots = \"h\"\n", ?HTTP, "signing_secrets = [\"hidden\", 8008]\n"
            "headers = {Authorization = 8008}\nbasic_auth = {username = \"hidden\"}\n"
            "[outgoing_pools.http.hooks.connection]\nhost = \"\"\n"],
    {3, Rows, Output} = check(Toml, Config),
    {_, "FAILED", [_File | Errors]} = row("configuration", Rows),
    [?assertMatch([_ | _], [Error || Error <- Errors, string:find(Error, Path) =/= nomatch,
                                     string:find(Error, Text) =/= nomatch])
     || {Path, Text} <- [{"modules.mod_event_pusher.sns.pool_size", "got -5"},
                         {"modules.mod_event_pusher.sns.secret_access_key", "got ***"},
                         {"modules.mod_event_pusher.rabbit.chat_msg_exchange.name", "got 7"},
                         {"modules.mod_event_pusher.rabbit.connection", "hots"},
                         {"modules.mod_event_pusher.http.handlers.signing_secrets", "got ***"},
                         {"modules.mod_event_pusher.http.handlers.headers.Authorization", "got ***"},
                         {"modules.mod_event_pusher.http.handlers.basic_auth", "missing: password"},
                         {"outgoing_pools.http.hooks.connection.host", "got []"}]],
    [?assertEqual(nomatch, string:find(Output, Secret)) || Secret <- ["8008", "hidden", "AKIA"]],
    [?assertMatch({_, "WARNING", ["not looked at" ++ _]}, row(Name, Rows))
     || Name <- ["options", "spool", "HTTP pools", "RabbitMQ", "SNS host"]].

%% Confirms it for a text that is no TOML.
an_unreadable_configuration_is_told(Config) ->
    {3, Rows, _} = check("[general\npassword = \"hidden\"", Config),
    ?assertMatch({_, "FAILED", [_ | _]}, row("configuration", Rows)).

%% Confirms it for one that we find, and one that the server finds.
a_mistake_in_a_rule_is_told_with_its_number(Config) ->
    {3, Rows, _} = check([?GENERAL, "[[modules.mod_event_pusher.rules]]\naction = \"keep\"\n"
                          "[[modules.mod_event_pusher.rules]]\nhints = [\"nostore\"]\n"], Config),
    {_, "FAILED", [_File, Line]} = row("configuration", Rows),
    ?assertEqual("modules.mod_event_pusher.rules: rule 2: hints: must be \"no-store\" or \"no-copy\" or "
                 "\"no-permanent-store\" or \"store\", got \"nostore\": event_pusher_bad_rule", Line),
    {3, Others, _} = check([?GENERAL, "[[modules.mod_event_pusher.rules]]\nhas_body = 1\n"], Config),
    {_, "FAILED", [_, Other]} = row("configuration", Others),
    ?assertMatch("modules.mod_event_pusher.rules.has_body: " ++ _, Other).

%% Confirms it for each backend, with all complaints at once and without secrets. The options in their
%% full number are for the suite of the start.
options_are_complained_about_as_at_a_start(Config) ->
    Sns = string:replace(?SNS, "region = \"eu-west-1\"",
                         "region = \"eu west\"\npool_size = 20000\nplugin_module = \"lists\"\n"
                         "pm_messages_topic = \"pm\""),
    Toml = [?GENERAL, Sns, ?HTTP, "callback_module = \"lists\"\nsigning_secrets = [\"hidden\"]\n"
            "headers = {\"X-Key\" = \"hidden\\n\"}\n", ?RABBIT,
            "[modules.mod_event_pusher.rabbit.connection]\npassword = \"hidden\"\n"
            "tls.versions = [\"tlsv1\"]\n"
            "[modules.mod_event_pusher.push]\nplugin_module = \"lists\"\niqdisc.type = \"queues\"\n"
            "backend = \"rdbms\"\n"
            "[outgoing_pools.http.hooks.connection]\nhost = \"ftp://user:hidden@localhost\"\n"],
    {3, Rows, Output} = check(Toml, Config),
    {_, "FAILED", Lines} = row("options", Rows),
    ?assertMatch(["localhost, http: callback_module: must be a module with should_make_req/6, "
                  "prepare_headers/7, prepare_body/7, got lists, which lacks" ++ _,
                  "localhost, http: host: must be an http or https URL" ++ _,
                  "localhost, http: headers.x-key: must be text without control characters, got other characters",
                  "localhost, http: signing_secrets: must be 1 to 10 different texts" ++ _,
                  "localhost, push: backend: must be another one without [outgoing_pools.rdbms.default], "
                  "got \"rdbms\"",
                  "localhost, push: iqdisc.workers: must be given with iqdisc.type \"queues\"" ++ _,
                  "localhost, push: plugin_module: must be a module with one of may_publish/2" ++ _,
                  "localhost, rabbit: tls.versions: must be " ++ _,
                  "localhost, sns: plugin_module: must be a module with user_guid/1, "
                  "message_attributes/5, got lists, which lacks" ++ _,
                  "localhost, sns: pool_size: must be from 1 to 10000, got 20000",
                  "localhost, sns: region: must be " ++ _], Lines),
    [?assertEqual(nomatch, string:find(Output, Secret)) || Secret <- ["hidden", "AKIA"]].

%% Confirms that the file is read as it is in a release, and that one may do without.
settings_of_the_node_are_checked(Config) ->
    File = filename:join(proplists:get_value(folder, Config), "app.config"),
    [begin
         write(File, Text),
         {Status, Rows, _} = check(?GENERAL, Config),
         ?assertEqual({Text, Status, {"settings", Result, [File ++ Line]}},
                      {Text, Status, row("settings", Rows)})
     end || {Text, Result, Line} <-
                [{"[{kernel, [{x, 1}]}, {event_pusher, [{runtime_threads, 0}]}].", "FAILED",
                  ": runtime_threads: must be an integer from 1 to 1024, got 0"},
                 {"{event_pusher, []}.", "FAILED", ": must be one list with a dot at its end"}]],
    [begin
         write(File, Text),
         {0, Rows, _} = check(?GENERAL, Config),
         ?assertMatch({_, "ok", [Reason]} when is_list(Reason), row("settings", Rows))
     end || Text <- ["[{event_pusher, [{runtime_threads, 1}]}, \"other.config\"].", "[]."]],
    write(File, "[{event_pusher, [{runtime_thread, 1}, {reconnect_max_ms, 1}]}]."),
    {0, Rows, _} = check(?GENERAL, Config),
    ?assertEqual({"settings", "WARNING",
                  [File ++ ": runtime_thread is no setting of event_pusher and has no effect; there are "
                   "runtime_threads, report_interval_ms, reconnect_max_ms"]}, row("settings", Rows)).

%% Confirms that it is not made, that it is told where that would be, and that a file in its way, or
%% in that of a folder above, is told.
the_folder_of_a_spool_is_looked_at(Config) ->
    Folder = proplists:get_value(folder, Config),
    File = filename:join(Folder, "file"),
    write(File, ""),
    Looked = fun(Dir) ->
        {Status, Rows, _} = check([?GENERAL, spool(Dir)], Config),
        {_, Result, [Line]} = row("spool", Rows),
        {Status, Result, Line}
    end,
    New = filename:join([Folder, "a", "b"]),
    {0, "ok", Made} = Looked(New),
    ?assertMatch([_, _],
                 string:split(Made, New ++ " will be made in " ++ Folder ++ ", of the user")),
    ?assertNot(filelib:is_file(filename:dirname(New))),
    {0, "ok", There} = Looked(Folder),
    ?assertMatch([_, _], string:split(There, Folder ++ " is there, of the user with the id ")),
    ?assertEqual({3, "FAILED", File ++ ": " ++ File ++ " is not a folder"}, Looked(File)),
    Below = filename:join([File, "a", "b"]),
    ?assertEqual({3, "FAILED", Below ++ ": " ++ File ++ " is not a folder"}, Looked(Below)),
    ?assertMatch({_, "WARNING", "kept: not looked at" ++ _}, Looked("kept")).

%% Confirms it for an existing folder and one above, also for root, who is without his special rights.
a_folder_that_cannot_be_written_is_a_warning(Config) ->
    Folder = filename:join(proplists:get_value(folder, Config), "others"),
    ok = filelib:ensure_path(Folder),
    ok = file:change_mode(Folder, 8#555),
    Ordinary = case file:read_file_info(Folder) of
        {ok, #file_info{access = read}} -> [];
        {ok, #file_info{access = read_write}} -> ["setpriv", "--bounding-set", "-all"]
    end,
    [begin
         {0, Rows, _} = check([?GENERAL, spool(Dir)], [{through, Ordinary} | Config]),
         ?assertEqual({"spool", "WARNING",
                       [Dir ++ ": who runs this check cannot write into " ++ Folder]},
                      row("spool", Rows))
     end || Dir <- [Folder, filename:join(Folder, "kept")]].

%% Confirms that both are named, and that they may share one.
hosts_with_one_spool_need_the_same_options(Config) ->
    Hosts = string:replace(?GENERAL, "[\"localhost\"]", "[\"localhost\", \"b\"]"),
    Folder = proplists:get_value(folder, Config),
    Of = fun(Host, More) ->
        ["[[host_config]]\nhost = \"", Host, "\"\n", spool("host_config.", Folder), More]
    end,
    {0, Same, _} = check([Hosts, Of("localhost", ""), Of("b", "")], Config),
    ?assertMatch({_, "ok", [_]}, row("spool", Same)),
    {3, Rows, _} = check([Hosts, Of("localhost", ""), Of("b", "sync = 5\n")], Config),
    ?assertEqual({"spool", "FAILED",
                  [Folder ++ ": b and localhost have it with different options"]},
                 row("spool", Rows)).

%% Confirms that the mode is shown in either case.
a_folder_that_others_may_write_is_a_warning(Config) ->
    Dir = spool_dir(Config),
    ok = file:make_dir(Dir),
    [begin
         ok = file:change_mode(Dir, Mode),
         {0, Rows, _} = check([?GENERAL, spool(Dir)], Config),
         {_, Result, [Line]} = row("spool", Rows),
         ?assertNotEqual(nomatch, string:find(Line, Text))
     end || {Mode, Result, Text} <- [{8#700, "ok", ", mode 0700"},
                                     {8#770, "WARNING", ", mode 0770: others may write there"}]].

a_disk_without_room_for_a_spool_is_a_warning(Config) ->
    {0, Rows, _} = check([?GENERAL, spool(spool_dir(Config)), "max_bytes = 9000000000000000000\n"], Config),
    {_, "WARNING", [Text]} = row("spool disk", Rows),
    ?assertNotEqual(nomatch, string:find(Text, "when that is full, events are in memory only")).

%% Confirms it with the lock of the system.
a_spool_that_another_process_has_is_a_warning(Config) ->
    Dir = spool_dir(Config),
    ok = file:make_dir(Dir),
    Locker = open_port({spawn_executable, os:find_executable("flock")},
                       [{args, ["-x", filename:join(Dir, ".lock"), "-c", "echo locked; read line"]},
                        {line, 80}, exit_status, use_stdio]),
    receive {Locker, {data, {eol, "locked"}}} -> ok end,
    {0, Rows, _} = check([?GENERAL, ?SNS, spool(Dir)], Config),
    ?assertMatch({_, "WARNING", [_]}, row("spool lock", Rows)),
    true = port_command(Locker, "done\n"),
    receive {Locker, {exit_status, 0}} -> ok end,
    {0, Free, _} = check([?GENERAL, ?SNS, spool(Dir)], Config),
    ?assertMatch({_, "ok", [_]}, row("spool lock", Free)).

%% Confirms it with what pools of this node have left.
events_that_no_pool_has_are_a_warning(Config) ->
    Dir = spool_dir(Config),
    ok = rig:start_application(),
    Spool = #{dir => list_to_binary(Dir), max_bytes => 1 bsl 30, sync => {ms, 1}, max_age_ms => none},
    [leave_event(Log, Spool) || Log <- [<<"sns localhost">>, <<"sns gone">>]],
    ok = application:stop(event_pusher),
    {0, Rows, _} = check([?GENERAL, ?SNS, spool(Dir)], Config),
    {_, "WARNING", [Text]} = row("spool events", Rows),
    ?assertMatch({match, _}, re:run(Text, "sns%20gone: 1 events, 0.0 MiB. .*With "
                                          "\\[modules.mod_event_pusher.sns\\] for host type gone, "
                                          "they are delivered")).

leave_event(Log, Spool) ->
    Backend = #{host => <<"http://127.0.0.1:1">>, path_prefix => <<"/">>, path => <<"x">>, tls => none,
                http2 => false, connect_timeout_ms => 1000, request_timeout_ms => 1000},
    Settings = #{pool_size => 1, max_events => 10, max_bytes => 10000, on_full => drop_new,
                 retry_count => infinity, retry_time_ms => 1000, retry_max_ms => 1000,
                 drain_timeout_ms => 0, spool => #{log => Log, options => Spool},
                 backend => {http, Backend}},
    Name = {http, Log},
    ok = event_pusher:start_pool(Name, Settings, {erlang, is_map, []}),
    ok = event_pusher:push(Name, #{destination => <<"x">>, body => <<"x">>, attributes => []}),
    ok = event_pusher:stop_pools([Name]).

spool_dir(Config) ->
    filename:join(proplists:get_value(folder, Config), "spool").

%% Confirms it for each host type that has the handler.
a_handler_needs_its_outgoing_pool(Config) ->
    Hosts = string:replace(?GENERAL, "[\"localhost\"]", "[\"localhost\", \"b\"]"),
    {3, Rows, _} = check([Hosts, ?HTTP], Config),
    ?assertEqual({"HTTP pools", "FAILED", ["b: there is no [outgoing_pools.http.hooks]",
                                           "localhost: there is no [outgoing_pools.http.hooks]"]},
                 row("HTTP pools", Rows)).

%% Confirms that either place is enough, and that without exchanges none is needed.
exchanges_need_a_connection(Config) ->
    {3, Rows, _} = check([?GENERAL, ?RABBIT], Config),
    ?assertMatch({_, "FAILED", ["localhost: there is neither " ++ _]}, row("RabbitMQ", Rows)),
    [?assertMatch({0, _, _}, check([?GENERAL, Toml], Config))
     || Toml <- [[?RABBIT, "[outgoing_pools.rabbit.event_pusher.connection]\n"],
                 "[modules.mod_event_pusher.rabbit]\n"]].

%% Confirms that it is said which command reads them.
where_registrations_are_is_told(Config) ->
    {0, Rows, _} = check([?GENERAL, "[modules.mod_event_pusher.push]\n"], Config),
    ?assertEqual({"push storage", "ok", ["mnesia: read by the running node only; to try it there: "
                                         "event-pusher probe push:localhost"]}, row("push storage", Rows)),
    {0, Without, _} = check(?GENERAL, Config),
    ?assertEqual({"push storage", "ok", ["not configured"]}, row("push storage", Without)).

%% Confirms that scheme and port do not disturb.
an_unknown_sns_host_is_a_warning(Config) ->
    Toml = [?GENERAL, string:replace(?SNS, "127.0.0.1", "sns.invalid")],
    {0, Rows, _} = check(Toml, Config),
    ?assertEqual({"SNS host", "WARNING", ["sns.invalid does not resolve"]}, row("SNS host", Rows)).

%% Confirms that both connections are tried, and that what is wrong with them is told.
a_receiver_is_tried_over_tls(Config) ->
    #{ca := Ca, foreign_ca := Foreign, cert := Cert, key := Key} =
        test_certs:make(filename:join(proplists:get_value(folder, Config), "certs")),
    {ok, Receiver} = http_service:start(#{cert => Cert, key => Key}),
    #{url := Url} = http_service:info(Receiver),
    {ok, Plain} = gen_tcp:listen(0, [{active, true}]),
    {ok, Port} = inet:port(Plain),
    spawn_link(fun() -> answer_without_tls(Plain) end),
    Toml = fun(Trusted) ->
        [?GENERAL, ?HTTP, ?RABBIT,
         "[modules.mod_event_pusher.rabbit.connection]\npassword = \"hidden\"\n"
         "host = \"127.0.0.1\"\nport = ", integer_to_list(Port), "\n"
         "tls.verify_mode = \"none\"\n"
         "[outgoing_pools.http.hooks.connection]\nhost = \"", Url, "\"\n"
         "tls.cacertfile = \"", Trusted, "\"\n"]
    end,
    {0, Rows, _} = check(Toml(Ca), Config),
    {_, "WARNING", [Rabbit]} = row("TLS", Rows),
    ?assertMatch("[modules.mod_event_pusher.rabbit.connection]: the receiver does not speak TLS on "
                 "this port: " ++ _, Rabbit),
    {0, Others, _} = check(Toml(Foreign), Config),
    {_, "WARNING", Lines} = row("TLS", Others),
    ?assertMatch(["[outgoing_pools.http.hooks]: the receiver's certificate " ++ _],
                 lists:delete(Rabbit, Lines)),
    http_service:stop(Receiver).

%% Confirms that nothing is tried, and that the complaint stands where those about options do.
tls_options_that_cannot_be_used_are_not_tried(Config) ->
    File = filename:absname(filename:join(proplists:get_value(folder, Config), "ca.pem")),
    write(File, "no PEM"),
    Toml = [?GENERAL, ?HTTP, "[outgoing_pools.http.hooks.connection]\n"
            "host = \"https://127.0.0.1:1\"\ntls.cacertfile = \"", File, "\"\n"],
    {3, Rows, _} = check(Toml, Config),
    ?assertEqual({"TLS", "WARNING", ["[outgoing_pools.http.hooks]: not tried, as its options cannot "
                                     "be used"]}, row("TLS", Rows)),
    {_, "FAILED", Complaints} = row("options", Rows),
    ?assertNotEqual(nomatch, string:find(lists:append(Complaints), "tls.cacertfile: must be")).

answer_without_tls(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    receive {tcp, Socket, _Hello} -> ok = gen_tcp:send(Socket, "AMQP\0\0\9\1") end,
    answer_without_tls(Listener).

%% Confirms that it is a failure only for who asks for it, and that each backend has a row.
receivers_are_tried_if_that_is_wanted(Config) ->
    {0, Before, _} = check([?GENERAL, ?SNS, "pm_messages_topic = \"pm\"\n"], Config),
    ?assertEqual(false, row("connect SNS", Before)),
    {3, Rows, Output} = check([?GENERAL, string:replace(?SNS, ":4100", ":1"), "pm_messages_topic = \"pm\"\n"],
                              [{more, ["connect"]} | Config]),
    ?assertMatch({_, "FAILED", ["localhost, http://127.0.0.1:1: " ++ _]}, row("connect SNS", Rows)),
    [?assertMatch({_, "ok", ["not configured"]}, row(Name, Rows)) || Name <- ["connect HTTP", "connect RabbitMQ"]],
    [?assertEqual(nomatch, string:find(Output, Secret)) || Secret <- ["hidden", "AKIA"]].

%% Confirms that the others are made nevertheless.
a_check_that_crashes_has_failed(Config) ->
    Empty = in_front("not_a_server/ebin", Config),
    {3, Rows, _} = check(?GENERAL, [{server, Empty} | Config]),
    {_, "FAILED", [Reason]} = row("exports", Rows),
    ?assertMatch("the check crashed with error mongooseim_not_in_code_path in "
                 "event_pusher_check_code:stock_folder" ++ _, Reason),
    ?assertEqual(length(?NAMES), length(Rows)).

%% Helpers

spool(Dir) ->
    spool("", Dir).

spool(Above, Dir) ->
    ["[", Above, "modules.mod_event_pusher.spool]\ndir = \"", Dir, "\"\n"].

%% Runs it as the script does; gives the status, the rows and the whole output.
check(Toml, Config) ->
    Folder = proplists:get_value(folder, Config),
    File = filename:join(Folder, "mongooseim.toml"),
    write(File, Toml),
    %% What is named last comes first.
    Server = [proplists:get_value(server, Config), filename:dirname(code:which(host))],
    Paths = Server ++ [own_ebin() | [Front || {front, Front} <- Config]],
    More = proplists:get_value(more, Config, []),
    Args = ["-noinput", "-kernel", "logger_level", "none"]
        ++ lists:append([["-pa", Path] || Path <- Paths])
        ++ ["-s", "event_pusher_check", "main", "-extra",
            proplists:get_value(how, Config, "installed"), File,
            filename:join(Folder, "app.config") | More],
    [Program | First] = proplists:get_value(through, Config, []) ++ ["erl"],
    Port = open_port({spawn_executable, os:find_executable(Program)},
                     [{args, First ++ Args}, {cd, Folder}, exit_status, binary]),
    {Status, Output} = output(Port, <<>>),
    ct:pal("~ts", [Output]),
    {Status, rows(Output), Output}.

output(Port, Seen) ->
    receive
        {Port, {data, More}} -> output(Port, <<Seen/binary, More/binary>>);
        {Port, {exit_status, Status}} -> {Status, unicode:characters_to_list(Seen)}
    after 30000 -> ct:fail({still_running, Seen})
    end.

rows(Output) ->
    [Table | _Summary] = string:split(Output, "\n\n"),
    [_Header | Lines] = string:split(Table, "\n", all),
    lists:reverse(lists:foldl(fun add_line/2, [], Lines)).

add_line(Line, Rows) ->
    {Name, Rest} = lists:split(17, Line),
    {Result, Reason} = lists:split(10, Rest),
    case {string:trim(Name), Rows} of
        {"", [{Last, Word, Reasons} | Others]} -> [{Last, Word, Reasons ++ [Reason]} | Others];
        {New, _} -> [{New, string:trim(Result), [Reason]} | Rows]
    end.

row(Name, Rows) ->
    lists:keyfind(Name, 1, Rows).

own_ebin() ->
    filename:dirname(code:which(event_pusher)).

in_front(Name, Config) ->
    Folder = filename:join(proplists:get_value(folder, Config), Name),
    ok = filelib:ensure_path(Folder),
    Folder.

write(File, Text) ->
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Text).

%% A module whose functions end the VM, should anybody call them.
compile(Folder, Module, Exports) ->
    Functions = [{function, 1, Name, Arity,
                  [{clause, 1, lists:duplicate(Arity, {var, 1, '_'}), [],
                    [{call, 1, {atom, 1, halt}, [{integer, 1, 99}]}]}]}
                 || {Name, Arity} <- Exports],
    {ok, Module, Beam} = compile:forms([{attribute, 1, module, Module},
                                        {attribute, 1, export, Exports} | Functions]),
    write(filename:join(Folder, atom_to_list(Module) ++ ".beam"), Beam).
