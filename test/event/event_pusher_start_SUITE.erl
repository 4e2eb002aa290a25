-module(event_pusher_start_SUITE).
-moduledoc "What a start that fails says: one line, which names what to mend and shows no secret.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([no_error_of_the_configuration_shows_a_secret/1,
         a_refused_start_is_one_line_and_shows_no_secret/1,
         options_of_another_shape_are_not_shown/1,
         an_owner_that_is_killed_shows_no_secret/1,
         each_setting_of_the_node_is_checked/1,
         settings_of_the_node_are_checked_again_for_each_module/1]).

-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
%% A part of each value that may be a secret.
-define(SECRET, "Planted").
-define(PARENT, "[modules.mod_event_pusher.").
-define(HANDLER, "{pool_name = \"hooks\", path = \"hook?token=Planted\"}").
-define(HOOKS, "[outgoing_pools.http.hooks.connection]\n").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_testcase(_Case, Config) ->
    _ = application:stop(event_pusher),
    Config.

end_per_testcase(_Case, _Config) ->
    ok = printed:stop(),
    _ = application:stop(event_pusher),
    [ok = application:unset_env(event_pusher, Setting)
     || Setting <- [runtime_threads, report_interval_ms, reconnect_max_ms]],
    ok.

%% Secrets

%% Confirms it for what is about several options of a section.
no_error_of_the_configuration_shows_a_secret(Config) ->
    [begin
         {{error, {config_error, _, [Error]} = Raised, _}, Lines} = failing_start(Toml, Config),
         ?assertMatch({_, #{toml_path := _, text := _}}, {Name, Error}),
         ?assertEqual({Name, []}, {Name, secrets(Raised, Lines)})
     end || {Name, Toml} <- refused_by_the_parser()].

%% Confirms that nothing comes before the server's line, that this one names the option, and that no
%% secret is in anything that is printed, or in the error itself.
a_refused_start_is_one_line_and_shows_no_secret(Config) ->
    [begin
         {{error, Reason, _} = Raised, Lines} = failing_start(Toml, Config),
         ?assertMatch({_, [{critical, module_start_failed, _}]},
                      {Named, [Line || {Level, _, _} = Line <- Lines,
                                       logger:compare_levels(Level, notice) =:= gt]}),
         ?assertEqual({Named, []}, {Named, secrets(Raised, Lines)}),
         ?assertMatch({true, _}, {contains(complaint(Reason), Named), Reason})
     end || {Named, Toml} <- refused_at_the_start()].

complaint(#{what := event_pusher_pool_not_started, reason := [Complaint]}) -> Complaint;
complaint(#{text := Text}) -> Text.

%% Confirms it where an option is not there or is no option at all, as when somebody starts a module
%% by hand: there the reason, and arguments in the stack trace, would be the options.
options_of_another_shape_are_not_shown(_Config) ->
    Secrets = #{secret_access_key => "PlantedSecret", access_key_id => "PlantedKey",
                sns_host => "http://127.0.0.1", region => "eu-west-1",
                account_id => "123456789012",
                pool_size => 1, publish_retry_count => 0, publish_retry_time_ms => 0,
                plugin_module => mod_event_pusher_sns_defaults},
    Login = #{password => <<"PlantedPassword">>},
    Handler = #{pool_name => hooks, path => <<"PlantedPath">>},
    Cases = [{mod_event_pusher_sns, maps:remove(Key, Secrets)} || Key <- maps:keys(Secrets)]
        ++ [{mod_event_pusher_sns, Secrets#{Key := {Key}}} || Key <- maps:keys(Secrets)]
        ++ [{mod_event_pusher_sns, Secrets#{queue => <<"PlantedQueue">>}},
            {mod_event_pusher_http, Handler},
            {mod_event_pusher_http, #{handlers => [maps:remove(pool_name, Handler)]}},
            {mod_event_pusher_rabbit, #{presence_exchange => #{name => <<"p">>},
                                        connection => Login}},
            {mod_event_pusher_rabbit, #{presence_exchange => <<"Planted">>, connection => Login}},
            {mod_event_pusher_rabbit, #{presence_exchange =>
                                            #{name => <<"p">>, type => <<"topic">>,
                                              durable => false},
                                        connection => Login#{port => <<"PlantedPort">>}}},
            {mod_event_pusher_push, #{wpool => <<"PlantedPool">>}}],
    [begin
         {Raised, Lines} = failing(fun() -> rig:start_host(#{Module => Opts}) end),
         ?assertEqual({Module, Opts, []}, {Module, Opts, secrets(Raised, Lines)})
     end || {Module, Opts} <- Cases].

%% Confirms it for the supervisor's reports about the owner, and for those about its successor.
an_owner_that_is_killed_shows_no_secret(Config) ->
    ok = printed:start(),
    ok = host:start(file_with(sns(["pm_messages_topic = \"pm\""]), Config)),
    [Owner] = event_pusher_sup:owners([{sns, ?HT}]),
    exit(Owner, kill),
    ok = host:stop(),
    ok = application:stop(event_pusher),
    Lines = printed:lines(),
    ?assertMatch([_ | _], [Text || {error, _, Text} <- Lines, contains(Text, "killed")]),
    ?assertEqual([], secrets(none, Lines)).

%% Settings of the node

%% Confirms that the application names each setting that is out of range, what is allowed and what
%% came, and that a module says the same in its one line.
each_setting_of_the_node_is_checked(Config) ->
    Bad = [{runtime_threads, [0, -1, 1025, 1.5, "4", two]},
           {report_interval_ms, [0, -1, 86400001, infinity]},
           {reconnect_max_ms, [-1, 86400001, <<"1 s">>]}],
    [begin
         ok = application:set_env(event_pusher, Setting, Value),
         Text = iolist_to_binary(io_lib:format(", got ~0tp", [Value])),
         Error = refused_application(),
         #{what := event_pusher_bad_settings, reason := [Complaint]} = Error,
         ?assertEqual({0, byte_size(atom_to_binary(Setting))},
                      binary:match(Complaint, atom_to_binary(Setting))),
         ?assertMatch({_, _}, binary:match(Complaint, <<": must be an integer from ">>)),
         ?assertEqual(Text, binary:part(Complaint, byte_size(Complaint), -byte_size(Text))),
         ok = application:unset_env(event_pusher, Setting)
     end || {Setting, Values} <- Bad, Value <- Values],
    ok = application:set_env(event_pusher, runtime_threads, 0),
    {{error, Reason, _}, _} = failing_start(sns([]), Config),
    ?assertEqual(#{what => event_pusher_not_started, reason => refused_application()}, Reason).

refused_application() ->
    {error, {event_pusher, {Reason, _Start}}} = application:ensure_all_started(event_pusher),
    Reason.

%% Confirms it for a setting that was changed while the application ran.
settings_of_the_node_are_checked_again_for_each_module(Config) ->
    {ok, _} = application:ensure_all_started(event_pusher),
    ok = application:set_env(event_pusher, report_interval_ms, never),
    {{error, Reason, _}, _} = failing(fun() -> host:start(file_with(sns([]), Config)) end),
    ?assertMatch(#{what := event_pusher_bad_settings,
                   reason := [<<"report_interval_ms: must be ", _/binary>>]}, Reason).

%% Configurations with secrets in all options that may have one

%% The server shows the value of an option that has the wrong type, whoever's it is.
refused_by_the_parser() ->
    [{both_spellings, [sns([]), "\n", string:replace(sns([]), "pusher.sns", "pusher.backend.sns")]},
     {equal_handlers, [?PARENT, "http]\nhandlers = [", ?HANDLER, ", ", ?HANDLER, "]"]}
     | [{Key, re:replace(sns([]), "(?m)^" ++ Key ++ " = .*$", "")}
        || Key <- ["sns_host", "region", "access_key_id", "secret_access_key", "account_id"]]].

%% With what the complaint has to name.
refused_at_the_start() ->
    Https = pool("https://PlantedUser:PlantedWord@localhost"),
    OldTls = "tls.password = \"PlantedWord\"\ntls.versions = [\"tlsv1\"]\n",
    [{"pool_size: ", sns(["pool_size = 20000"])},
     {"region: ", sns_with("region", "eu west")},
     {"sns_host: ", sns_with("sns_host", "https://PlantedUser:PlantedPassword@localhost")},
     {"account_id: ", sns_with("account_id", "12 34")},
     {"access_key_id: ", sns_with("access_key_id", "Planted key")},
     {"secret_access_key: ", sns_with("secret_access_key", "Planted secret")},
     {"plugin_module: ", sns(["plugin_module = \"lists\"", "muc_messages_topic = \"muc\""])},
     {"callback_module: ", [string:replace(http(), "path", "callback_module = \"lists\", path"),
                            Https]},
     {"path: ", [string:replace(http(), "hook?", "../hook?"), pool("http://localhost")]},
     {"plugin_module: ", [?PARENT, "push]\nplugin_module = \"lists\""]},
     {"iqdisc.workers: ", [?PARENT, "push]\niqdisc.type = \"queues\""]},
     {"queue.drain_timeout_ms: ", [?PARENT, "push]\nqueue.drain_timeout_ms = 86400001"]},
     {"queue.drain_timeout_ms: ", rabbit(["[modules.mod_event_pusher.rabbit.queue]\n"
                                          "drain_timeout_ms = 86400001"])},
     {"queue.max_events: ", sns(["queue.max_events = 20000000"])},
     {"[outgoing_pools.http.hooks]", http()},
     {"host: ", [http(), pool("ftp://PlantedUser:PlantedWord@localhost")]},
     {"host: ", [http(), pool("PlantedUser:PlantedWord@localhost")]},
     {"request_timeout: ", [http(), Https, "request_timeout = 0\n"]},
     {"workers: ", [http(), "[outgoing_pools.http.hooks]\nworkers = 20000\n", Https]},
     {"tls.versions: ", [http(), Https, OldTls]},
     {"[modules.mod_event_pusher.rabbit.connection]", [?PARENT, "rabbit.presence_exchange]\n"]},
     {"virtual_host: ", rabbit(["virtual_host = \"", lists:duplicate(300, $v), "\""])},
     {"tls.versions: ", rabbit([OldTls])},
     {"chat_msg_exchange: ", [rabbit([]), "\n", ?PARENT, "rabbit.chat_msg_exchange]\n"
                                                    "name = \"presence\"\ntype = \"fanout\"\n"]}].

sns(Lines) ->
    lists:flatten(lists:join("\n", [?PARENT ++ "sns]", "sns_host = \"sns.localhost\"",
                                    "region = \"eu-west-1\"", "access_key_id = \"PlantedKey\"",
                                    "secret_access_key = \"PlantedSecret\"",
                                    "account_id = \"123456789012\"" | Lines])).

sns_with(Key, Value) ->
    re:replace(sns([]), "(?m)^" ++ Key ++ " = .*$", Key ++ " = \"" ++ Value ++ "\"").

http() ->
    [?PARENT, "http]\nhandlers = [", ?HANDLER, "]\n"].

pool(Host) ->
    [?HOOKS, "host = \"", Host, "\"\n"].

rabbit(Lines) ->
    [?PARENT, "rabbit.presence_exchange]\n", ?PARENT, "rabbit.connection]\n"
     "username = \"PlantedUser\"\npassword = \"PlantedWord\"\n" | Lines].

%% Helpers

failing_start(Toml, Config) ->
    {{_Class, _Reason, _Stacktrace}, _Lines} =
        failing(fun() -> host:start(file_with(Toml, Config)) end).

%% What is raised, and all that was printed until the last process had ended.
failing(Start) ->
    ok = printed:start(),
    Raised = try Start() of
                 ok -> host:stop()
             catch
                 Class:Reason:Stacktrace -> {Class, Reason, Stacktrace}
             end,
    ok = printed:await_end_of(event_pusher_pool),
    Lines = printed:lines(),
    ok = printed:stop(),
    {Raised, Lines}.

secrets(Raised, Lines) ->
    Texts = [io_lib:format("~tp", [Raised]) | [Text || {_, _, Text} <- Lines]],
    [lists:flatten(Text) || Text <- Texts, contains(Text, ?SECRET)].

contains(Text, Part) ->
    string:find(Text, Part) =/= nomatch.

file_with(Toml, Config) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), "mongooseim.toml"),
    General = "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n",
    ok = file:write_file(Path, [General, Toml, "\n"]),
    Path.
