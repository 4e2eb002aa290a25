-module(mod_event_pusher_config_SUITE).
-moduledoc "What mongooseim.toml may say about the event pusher, and what it becomes.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([the_sns_example_of_the_manual_becomes_the_known_options/1,
         optional_keys_of_sns_are_kept_as_they_are/1,
         a_bound_of_age_is_for_all_backends_with_pools/1,
         each_bad_value_of_sns_is_named/1,
         each_missing_key_of_sns_is_named/1,
         the_empty_section_is_allowed/1,
         both_spellings_of_http_handlers_mean_the_same/1,
         two_equal_http_handlers_are_an_error/1,
         one_leading_slash_of_a_path_is_dropped/1,
         handlers_may_say_how_they_retry/1, handlers_may_choose_the_version_of_http/1,
         handlers_may_say_what_they_post/1, handlers_may_have_what_shows_who_posts/1,
         absent_exchanges_of_rabbit_stay_absent/1,
         rabbit_may_have_its_own_connection/1,
         texts_beyond_ascii_arrive_as_they_were_written/1,
         each_bad_value_of_http_and_rabbit_is_named/1,
         the_old_spelling_of_every_backend_is_accepted_with_a_warning/1,
         both_spellings_of_one_backend_are_a_clear_error/1,
         an_array_in_the_old_spelling_is_told_to_use_handlers/1,
         push_has_its_defaults/1,
         backends_have_their_own_options_as_modules/1,
         the_configuration_of_the_examples_is_valid/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

%% SNS

%% Confirms the very map that MongooseIM's own module gets.
the_sns_example_of_the_manual_becomes_the_known_options(Config) ->
    ?assertEqual(
       #{sns_host => "sns.eu-west-1.amazonaws.com", region => "eu-west-1",
         access_key_id => "A", secret_access_key => "S", account_id => "123456789012",
         presence_updates_topic => "p", plugin_module => mod_event_pusher_sns_defaults,
         pool_size => 100, publish_retry_count => 2, publish_retry_time_ms => 50},
       sns(["presence_updates_topic = \"p\""], Config)).

%% Confirms that no default creeps in.
optional_keys_of_sns_are_kept_as_they_are(Config) ->
    ?assertMatch(#{publish_batch := false, queue := #{max_events := 5}},
                 sns(["publish_batch = false", "queue.max_events = 5"], Config)),
    ?assertEqual(#{max_events => 1, max_bytes => 2, on_full => drop_old, max_age_ms => 3,
                   drain_timeout_ms => 0},
                 maps:get(queue, sns(["queue = {max_events = 1, max_bytes = 2, on_full = \"drop_old\", "
                                      "max_age_ms = 3, drain_timeout_ms = 0}"], Config))).

%% Confirms it for the three, and that push notifications have none.
a_bound_of_age_is_for_all_backends_with_pools(Config) ->
    ?assertMatch(#{retry := #{max_age_ms := 5}, publish_retry_count := 2},
                 sns(["retry.max_age_ms = 5"], Config)),
    [begin
         Toml = ["[modules.mod_event_pusher.", Backend, ".retry]\nmax_age_ms = 5"],
         ?assertMatch(#{retry := #{max_age_ms := 5}}, module_opts(Module, Toml, Config))
     end || {Backend, Module} <- [{"http", mod_event_pusher_http},
                                  {"rabbit", mod_event_pusher_rabbit}]],
    ?assertMatch([_], errors(["[modules.mod_event_pusher.push.retry]\nmax_age_ms = 5"], Config)).

%% Confirms types, ranges, unknown keys and modules that do not exist.
each_bad_value_of_sns_is_named(Config) ->
    Bad = [{"pool_size", "0"}, {"pool_size", "\"many\""}, {"pool_size", "1.5"},
           {"publish_retry_count", "-1"}, {"publish_retry_time_ms", "-1"},
           {"publish_retry_time_ms", "true"}, {"presence_updates_topic", "5"},
           {"pm_messages_topic", "true"}, {"muc_messages_topic", "[]"},
           {"plugin_module", "\"no_such_module\""}, {"publish_batch", "\"yes\""},
           {"circuit_breaker_failures", "-1"},
           {"queue.max_events", "0"}, {"queue.max_bytes", "0"}, {"queue.max_age_ms", "0"},
           {"queue.on_full", "\"drop_all\""}, {"retry.max_age_ms", "0"},
           {"retry.max_age_ms", "\"long\""},
           {"queue.drain_timeout_ms", "-1"}],
    [begin
         [#{toml_path := Path}] = errors(sns_toml([Key ++ " = " ++ Value]), Config),
         Wanted = iolist_to_binary(["modules.mod_event_pusher.sns.", Key]),
         ?assertEqual(Wanted, binary:part(Path, byte_size(Path), -byte_size(Wanted)))
     end || {Key, Value} <- Bad],
    [?assertMatch([#{what := unexpected_key, unexpected_key := Key}],
                  errors(sns_toml([binary_to_list(Key) ++ " = 1"]), Config))
     || Key <- [<<"publish_retries">>, <<"Region">>]].

%% Confirms it for all five at once and for each alone.
each_missing_key_of_sns_is_named(Config) ->
    Keys = ["sns_host", "region", "access_key_id", "secret_access_key", "account_id"],
    [begin
         Toml = re:replace(sns_toml([]), "(?m)^" ++ Key ++ " = .*$", ""),
         [#{what := missing_mandatory_keys} = Error] = errors(Toml, Config),
         ?assertMatch({_, _}, binary:match(iolist_to_binary(io_lib:format("~p", [Error])),
                                           list_to_binary(Key)))
     end || Key <- Keys].

%% The other backends

%% Confirms that nothing is required.
the_empty_section_is_allowed(Config) ->
    ?assertEqual(#{}, module_opts(mod_event_pusher, "[modules.mod_event_pusher]", Config)).

%% Confirms the parsed map, defaults included, and that the order is kept.
both_spellings_of_http_handlers_mean_the_same(Config) ->
    Inline = "[modules.mod_event_pusher.http]\n"
             "handlers = [{path = \"/notifications\"}, {pool_name = \"other\", path = \"a/b\"}]",
    Tables = "[[modules.mod_event_pusher.http.handlers]]\npath = \"/notifications\"\n"
             "[[modules.mod_event_pusher.http.handlers]]\npool_name = \"other\"\npath = \"a/b\"",
    Handler = #{pool_name => http_pool, path => <<"notifications">>,
                callback_module => mod_event_pusher_http_defaults},
    Wanted = #{handlers => [Handler, Handler#{pool_name := other, path := <<"a/b">>}]},
    [?assertEqual(Wanted, module_opts(mod_event_pusher_http, Toml, Config))
     || Toml <- [Inline, Tables]],
    ?assertEqual(#{handlers => []}, module_opts(mod_event_pusher_http,
                                                "[modules.mod_event_pusher.http]", Config)).

%% Confirms names and ranges, and that nothing is there by default.
handlers_may_say_how_they_retry(Config) ->
    Toml = "[[modules.mod_event_pusher.http.handlers]]\nretry_count = 0\nretry_time_ms = 0\n"
           "circuit_breaker_failures = 0\n"
           "[modules.mod_event_pusher.http.queue]\nmax_events = 10",
    ?assertMatch(#{handlers := [#{retry_count := 0, retry_time_ms := 0,
                                  circuit_breaker_failures := 0}],
                   queue := #{max_events := 10}},
                 module_opts(mod_event_pusher_http, Toml, Config)).

%% Confirms both values, and that nothing is there by default.
handlers_may_choose_the_version_of_http(Config) ->
    [?assertMatch(#{handlers := [#{http_version := Version}]},
                  module_opts(mod_event_pusher_http,
                              ["[[modules.mod_event_pusher.http.handlers]]\nhttp_version = \"",
                               Text, "\""], Config))
     || {Text, Version} <- [{"auto", auto}, {"1.1", '1.1'}]].

%% Confirms all values.
handlers_may_say_what_they_post(Config) ->
    [?assertMatch(#{handlers := [#{ordered := Ordered}]},
                  module_opts(mod_event_pusher_http,
                              ["[modules.mod_event_pusher.http]\nhandlers = [{ordered = ",
                               atom_to_list(Ordered), "}]"], Config))
     || Ordered <- [true, false]],
    [?assertMatch(#{handlers := [#{format := Format, mode := Mode}]},
                  module_opts(mod_event_pusher_http,
                              ["[modules.mod_event_pusher.http]\nhandlers = [{format = \"",
                               atom_to_list(Format), "\", mode = \"", atom_to_list(Mode), "\"}]"], Config))
     || Format <- [form, json, cloudevents], Mode <- [structured, binary]].

%% Confirms it in all spellings, with headers of any names, and that secrets of the wrong shape are not
%% shown.
handlers_may_have_what_shows_who_posts(Config) ->
    Tables = ["[[modules.mod_event_pusher.http.handlers]]\n"
              "signing_secrets = [\"whsec_b25l\", \"whsec_dHdv\"]\nbearer_token_file = \"/run/token\"\n"
              "[modules.mod_event_pusher.http.handlers.headers]\nX-Api-Key = \"a key\"\n\"", <<"ü.b"/utf8>>,
              "\" = \"\"\n[modules.mod_event_pusher.http.handlers.basic_auth]\n"
              "username = \"u\"\npassword = \"p\""],
    Lines = ["signing_secrets = [\"whsec_b25l\", \"whsec_dHdv\"]", "bearer_token_file = \"/run/token\"",
             ["headers = {X-Api-Key = \"a key\", \"", <<"ü.b"/utf8>>, "\" = \"\"}"],
             "basic_auth = {username = \"u\", password = \"p\"}"],
    Inline = ["[modules.mod_event_pusher.http]\nhandlers = [{", lists:join(", ", Lines), "}]"],
    Old = ["[modules.mod_event_pusher.backend.http]\n", lists:join("\n", Lines)],
    [?assertMatch(#{handlers := [#{signing_secrets := [<<"whsec_b25l">>, <<"whsec_dHdv">>],
                                   headers := #{'X-Api-Key' := <<"a key">>, 'ü.b' := <<>>},
                                   basic_auth := #{username := <<"u">>, password := <<"p">>},
                                   bearer_token_file := <<"/run/token">>}]},
                  module_opts(mod_event_pusher_http, Toml, Config)) || Toml <- [Tables, Inline, Old]],
    [#{toml_path := <<"modules.mod_event_pusher.http.handlers.basic_auth">>} = Error] =
        errors("[modules.mod_event_pusher.http]\nhandlers = [{basic_auth = {password = \"pl4nted\"}}]",
               Config),
    ?assertEqual(nomatch, binary:match(iolist_to_binary(io_lib:format("~p", [Error])), <<"pl4nted">>)).

%% Confirms that handlers are compared after processing.
two_equal_http_handlers_are_an_error(Config) ->
    Toml = "[modules.mod_event_pusher.http]\nhandlers = [{path = \"/a\"}, {path = \"a\"}]",
    ?assertMatch([#{toml_path := <<_/binary>>}], errors(Toml, Config)).

%% Confirms the exported processor.
one_leading_slash_of_a_path_is_dropped(_Config) ->
    [?assertEqual(Fixed, mod_event_pusher_http:fix_path(Path))
     || {Path, Fixed} <- [{<<"/a">>, <<"a">>}, {<<"//a">>, <<"/a">>}, {<<"a/">>, <<"a/">>},
                          {<<>>, <<>>}]].

%% Confirms the parsed maps, defaults included.
absent_exchanges_of_rabbit_stay_absent(Config) ->
    Parse = fun(Sections) -> module_opts(mod_event_pusher_rabbit, Sections, Config) end,
    Section = "[modules.mod_event_pusher.rabbit",
    ?assertEqual(#{}, Parse(Section ++ "]")),
    ?assertEqual(#{presence_exchange => #{name => <<"presence">>, type => <<"topic">>,
                                          durable => false},
                   chat_msg_exchange => #{name => <<"chat_msg">>, type => <<"topic">>,
                                          durable => false, sent_topic => <<"chat_msg_sent">>,
                                          recv_topic => <<"chat_msg_recv">>}},
                 Parse([Section, ".presence_exchange]\n", Section, ".chat_msg_exchange]"])),
    ?assertEqual(#{groupchat_msg_exchange =>
                       #{name => <<"groupchat_msg">>, type => <<"fanout">>, durable => true,
                         sent_topic => <<"groupchat_msg_sent">>,
                         recv_topic => <<"groupchat_msg_recv">>}},
                 Parse([Section, ".groupchat_msg_exchange]\ntype = \"fanout\"\ndurable = true"])).

%% Confirms the keys of a pool's connection and their defaults.
rabbit_may_have_its_own_connection(Config) ->
    Parse = fun(Lines) ->
        Toml = ["[modules.mod_event_pusher.rabbit.connection]\n" | lists:join("\n", Lines)],
        maps:get(connection, module_opts(mod_event_pusher_rabbit, Toml, Config))
    end,
    ?assertEqual(#{host => "localhost", port => 5672, username => <<"guest">>,
                   password => <<"guest">>, virtual_host => <<"/">>, confirms_enabled => false},
                 Parse([])),
    ?assertMatch(#{host := "mq", port := 5671, username := <<"u">>, password := <<"p">>,
                   virtual_host := <<"v">>, confirms_enabled := true,
                   reconnect := #{attempts := 3, delay := 500},
                   tls := #{verify_mode := none}},
                 Parse(["host = \"mq\"", "port = 5671", "username = \"u\"", "password = \"p\"",
                        "virtual_host = \"v\"", "confirms_enabled = true",
                        "reconnect = {attempts = 3, delay = 500}",
                        "tls.verify_mode = \"none\""])).

%% Confirms it for options of type string, whose characters are bytes of the file.
texts_beyond_ascii_arrive_as_they_were_written(Config) ->
    Text = <<"schlüssel für 東京"/utf8>>,
    Toml = ["[modules.mod_event_pusher.rabbit.connection.tls]\npassword = \"", Text,
            "\"\nserver_name_indication.host = \"", <<"bücher.example"/utf8>>, "\""],
    #{connection := Connection} = module_opts(mod_event_pusher_rabbit, Toml, Config),
    ?assertMatch(#{password := Text, server_name := {name, <<"bücher.example"/utf8>>}},
                 event_pusher_tls:options(true, Connection)),
    ?assertEqual(<<"für"/utf8>>, event_pusher_config:text("für")).

%% Confirms types and ranges of the keys that are ours.
each_bad_value_of_http_and_rabbit_is_named(Config) ->
    Bad = [{"http", "handlers = [{retry_count = -1}]"},
           {"http", "handlers = [{retry_time_ms = \"soon\"}]"},
           {"http", "handlers = [{http_version = \"2\"}]"},
           {"http", "handlers = [{http_version = 1.1}]"},
           {"http", "handlers = [{callback_module = \"no_such_module\"}]"},
           {"http", "handlers = [{format = \"xml\"}]"},
           {"http", "handlers = [{format = 1}]"},
           {"http", "handlers = [{mode = \"batched\"}]"},
           {"http", "handlers = [{ordered = \"yes\"}]"},
           {"http", "handlers = [{signing_secrets = \"whsec_b25l\"}]"},
           {"http", "handlers = [{headers = {a = 1}}]"},
           {"http", "handlers = [{headers = [\"a\"]}]"},
           {"http", "handlers = [{basic_auth = {username = \"u\", password = \"p\", realm = \"r\"}}]"},
           {"http", "handlers = [{bearer_token_file = true}]"},
           {"http", "queue.max_bytes = 0"},
           {"rabbit", "connection.port = 70000"},
           {"rabbit", "connection.host = \"\""},
           {"rabbit", "connection.reconnect.delay = -1"},
           {"rabbit", "connection.confirms_enabled = 1"},
           {"rabbit", "chat_msg_exchange.name = \"\""},
           {"rabbit", "presence_exchange.sent_topic = \"x\""}],
    [?assertMatch([_], errors(["[modules.mod_event_pusher.", Backend, "]\n", Line], Config))
     || {Backend, Line} <- Bad].

%% Confirms that each becomes what today's spelling becomes, and the one line that is logged.
the_old_spelling_of_every_backend_is_accepted_with_a_warning(Config) ->
    ok = log_capture:start(),
    Old = re:replace(sns_toml([]), "mod_event_pusher.sns", "mod_event_pusher.backend.sns"),
    Toml = [Old, "\n[modules.mod_event_pusher.backend.http]\npool_name = \"other\"\npath = \"/a\"\n"
                 "[modules.mod_event_pusher.backend.rabbit.presence_exchange]\n"
                 "name = \"p\"\n"],
    #{http := Http, sns := Sns, rabbit := Rabbit} = Opts =
        module_opts(mod_event_pusher, Toml, Config),
    ok = log_capture:stop(),
    ?assertNot(is_map_key(backend, Opts)),
    ?assertEqual(#{handlers => [#{pool_name => other, path => <<"a">>,
                                  callback_module => mod_event_pusher_http_defaults}]}, Http),
    ?assertEqual(sns([], Config), Sns),
    ?assertMatch(#{presence_exchange := #{name := <<"p">>}}, Rabbit),
    ?assertEqual(Http, module_opts(mod_event_pusher_http, Toml, Config)),
    [#{backends := [http, rabbit, sns], text := Text}] =
        log_capture:rest(event_pusher_old_option),
    [?assertMatch({_, _}, binary:match(Text, <<"[modules.mod_event_pusher.", Backend/binary, "] in "
                                               "place of [modules.mod_event_pusher.backend.",
                                               Backend/binary, "]">>))
     || Backend <- [<<"http">>, <<"rabbit">>, <<"sns">>]].

%% Confirms that one backend in each spelling is fine.
both_spellings_of_one_backend_are_a_clear_error(Config) ->
    Toml = "[modules.mod_event_pusher.http]\nhandlers = []\n"
           "[modules.mod_event_pusher.backend.http]\n",
    ?assertMatch([#{what := backend_configured_twice,
                    toml_path := <<"modules.mod_event_pusher">>,
                    text := <<"http: a backend may be in [modules.mod_event_pusher]", _/binary>>}],
                 errors(Toml, Config)),
    Mixed = [sns_toml([]), "\n[modules.mod_event_pusher.backend.http]\n"],
    ?assertMatch(#{sns := _, http := _}, module_opts(mod_event_pusher, Mixed, Config)).

%% Confirms what the server tells who tries.
an_array_in_the_old_spelling_is_told_to_use_handlers(Config) ->
    Toml = "[[modules.mod_event_pusher.backend.http]]\npath = \"/a\"\n"
           "[[modules.mod_event_pusher.backend.http]]\npath = \"/b\"\n",
    [#{reason := Reason} = Error] = errors(Toml, Config),
    ?assertMatch(#{toml_path := <<"modules.mod_event_pusher.backend.http">>}, Error),
    ?assertMatch({match, _}, re:run(io_lib:format("~p", [Reason]),
                                    "several handlers go to modules.mod_event_pusher.http.handlers")).

%% Confirms the defaults and the patterns of virtual hosts. The default storage is the server's own
%% module as long as there is none of ours, and is not looked for here.
push_has_its_defaults(_Config) ->
    Spec = mod_event_pusher_push:config_spec(),
    ?assertEqual(#{iqdisc => one_queue, backend => mnesia,
                   wpool => #{workers => 10, strategy => available_worker, call_timeout => 5000},
                   plugin_module => mod_event_pusher_push_plugin_defaults,
                   virtual_pubsub_hosts => []},
                 host_config_parser:process(Spec, #{})),
    #{virtual_pubsub_hosts := Patterns} =
        host_config_parser:process(Spec, #{<<"virtual_pubsub_hosts">> =>
                                               [<<"host1">>, <<"pubsub.@HOST@">>]}),
    ?assertEqual([{fqdn, <<"host1">>}, {prefix, <<"pubsub.">>}], Patterns).

%% Whole files

%% Confirms that options are there twice: under the parent and under the backend's module.
backends_have_their_own_options_as_modules(Config) ->
    Opts = sns([], Config),
    ?assertEqual(#{sns => Opts}, module_opts(mod_event_pusher, sns_toml([]), Config)).

%% Confirms that the file which the demo runs with may be copied.
the_configuration_of_the_examples_is_valid(_Config) ->
    Examples = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "examples"]),
    #{{modules, ?HT} := Modules} = load(filename:join(Examples, "mongooseim.toml")),
    ?assertEqual([mod_event_pusher, mod_event_pusher_filter, mod_event_pusher_http,
                  mod_event_pusher_push, mod_event_pusher_rabbit, mod_event_pusher_sns],
                 lists:sort(maps:keys(Modules))).

%% Helpers

sns(Lines, Config) ->
    module_opts(mod_event_pusher_sns, sns_toml(Lines), Config).

sns_toml(Lines) ->
    lists:join("\n", ["[modules.mod_event_pusher.sns]",
                      "sns_host = \"sns.eu-west-1.amazonaws.com\"",
                      "region = \"eu-west-1\"",
                      "access_key_id = \"A\"",
                      "secret_access_key = \"S\"",
                      "account_id = \"123456789012\"" | Lines]).

module_opts(Module, Toml, Config) ->
    #{{modules, ?HT} := #{Module := Opts}} = load(file_with(Toml, Config)),
    Opts.

errors(Toml, Config) ->
    try load(file_with(Toml, Config)) of
        Opts -> ct:fail({no_error, Opts})
    catch
        error:{config_error, _Text, Errors} -> Errors
    end.

load(Path) ->
    host_config:load(Path).

file_with(Toml, Config) ->
    Path = filename:join(?config(priv_dir, Config), "mongooseim.toml"),
    General = "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n",
    ok = file:write_file(Path, [General, Toml, "\n"]),
    Path.
