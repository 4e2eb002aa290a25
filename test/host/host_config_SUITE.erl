-module(host_config_SUITE).
-moduledoc "Holds the reader of mongooseim.toml to the documented meaning of config specs.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([options_become_the_terms_of_their_types/1,
         each_option_of_a_wrong_type_is_named/1,
         each_value_that_fails_its_check_is_named/1,
         a_check_that_a_type_does_not_have_crashes/1,
         absent_keys_get_defaults_that_are_only_wrapped/1,
         an_absent_section_to_include_always_brings_its_own_defaults/1,
         a_missing_required_key_is_named/1,
         an_unknown_key_is_named/1,
         every_fault_of_a_document_is_told/1,
         the_first_failing_step_ends_a_node/1,
         keys_of_a_section_come_in_order/1,
         wraps_shape_what_a_node_leaves/1,
         a_key_that_appears_twice_after_wrapping_is_refused/1,
         process_functions_run_one_after_the_other/1,
         a_process_function_may_give_errors/1,
         list_checks_see_processed_items/1,
         inline_tables_and_array_tables_mean_the_same/1,
         text_survives_the_way_from_the_file/1,
         numbers_and_nesting_survive_the_way_from_the_file/1,
         a_file_that_is_no_toml_is_a_config_error/1,
         a_servers_file_becomes_run_time_options/1,
         a_host_types_own_modules_replace_the_global_ones/1,
         a_host_that_is_not_defined_cannot_be_configured/1,
         a_module_that_cannot_be_loaded_is_an_error/1,
         a_module_out_of_the_list_takes_no_options/1,
         a_static_module_is_refused_for_a_dynamic_host_type/1,
         a_module_needs_the_internal_database_of_its_backend/1,
         pools_become_maps_with_their_scope/1,
         a_queue_limit_needs_the_strategy_best_worker/1,
         an_iq_discipline_is_an_atom_or_a_number_of_queues/1,
         a_certificate_needs_its_key/1,
         a_subdomain_template_is_a_domain_or_a_prefix/1]).
-export([double/1, name_of/2]).

-include_lib("stdlib/include/assert.hrl").
-include("mongoose_config_spec.hrl").

all() ->
    Helpers = [module_info, double],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    Config.

end_per_testcase(_Case, _Config) ->
    _ = meck:unload(),
    ok.

%% Options

%% Confirms the conversion of each option type.
options_become_the_terms_of_their_types(_Config) ->
    Expected = [{boolean, true, true},
                {binary, <<"zażółć"/utf8>>, <<"zażółć"/utf8>>},
                {string, <<"text">>, "text"},
                {atom, <<"name">>, name},
                {integer, -5, -5},
                {float, 1.5, 1.5},
                {int_or_infinity, 3, 3},
                {int_or_infinity, <<"infinity">>, infinity},
                {int_or_atom, 3, 3},
                {int_or_atom, <<"name">>, name}],
    [?assertEqual({Type, Term}, {Type, host_config_parser:process(#option{type = Type}, Value)})
     || {Type, Value, Term} <- Expected].

%% Confirms that no type takes a value of another one, and that the error says where it stands.
each_option_of_a_wrong_type_is_named(_Config) ->
    Wrong = [{boolean, <<"true">>}, {binary, 1}, {string, [<<"text">>]}, {atom, true},
             {integer, 1.0}, {integer, <<"1">>}, {float, 1}, {int_or_infinity, <<"forever">>},
             {int_or_atom, 1.0}],
    [begin
         [Error] = errors(section(#{<<"key">> => #option{type = Type}}), #{<<"key">> => Value}),
         ?assertMatch(#{what := invalid_type, toml_path := <<"key">>, toml_value := Value}, Error)
     end || {Type, Value} <- Wrong].

%% Confirms each check with a value just outside of it and one just inside.
each_value_that_fails_its_check_is_named(_Config) ->
    Checks = [{#option{type = binary, validate = non_empty}, <<>>, <<"x">>, empty_value},
              {#option{type = string, validate = non_empty}, <<>>, <<"x">>, empty_value},
              {#option{type = string, validate = url}, <<>>, <<"x">>, empty_value},
              {#option{type = atom, validate = pool_name}, <<>>, <<"x">>, empty_value},
              {#option{type = integer, validate = positive}, 0, 1, value_out_of_range},
              {#option{type = integer, validate = non_negative}, -1, 0, value_out_of_range},
              {#option{type = integer, validate = port}, 65536, 65535, value_out_of_range},
              {#option{type = int_or_infinity, validate = positive}, 0, <<"infinity">>,
               value_out_of_range},
              {#option{type = atom, validate = {enum, [a, b]}}, <<"c">>, <<"b">>,
               value_not_allowed},
              {#option{type = atom, validate = module}, <<"no_such_module">>, <<"lists">>,
               module_not_found},
              {#option{type = atom, validate = {module, gen}}, <<"nothing">>, <<"server">>,
               module_not_found},
              {#option{type = string, validate = filename}, <<"/no/such/file">>,
               list_to_binary(code:which(?MODULE)), file_not_found},
              {#list{items = #option{type = integer}, validate = non_empty}, [], [1], empty_list},
              {#list{items = #option{type = integer}, validate = unique}, [1, 1], [1, 2],
               duplicates_in_list},
              {#list{items = #option{type = integer}, validate = unique_non_empty}, [], [1],
               empty_list},
              {#section{items = #{<<"a">> => #option{type = integer}}, validate = non_empty}, #{},
               #{<<"a">> => 1}, empty_section}],
    [begin
         Spec = section(#{<<"key">> => Node}),
         ?assertMatch(#{key := _}, host_config_parser:process(Spec, #{<<"key">> => Good})),
         ?assertMatch([#{what := What, toml_path := <<"key">>, toml_value := _, text := _}],
                      errors(Spec, #{<<"key">> => Bad}))
     end || {Node, Bad, Good, What} <- Checks].

%% Confirms that a spec with a pair that is not in the table fails loudly.
a_check_that_a_type_does_not_have_crashes(_Config) ->
    Spec = #option{type = boolean, validate = positive},
    ?assertMatch([#{what := toml_processing_failed, class := error, reason := function_clause}],
                 errors(Spec, true)).

%% Sections

%% Confirms that a default is taken as it stands: not converted, checked or processed.
absent_keys_get_defaults_that_are_only_wrapped(_Config) ->
    Node = #option{type = integer, validate = positive, process = fun ?MODULE:double/1},
    Spec = #section{items = #{<<"given">> => Node, <<"absent">> => Node},
                    defaults = #{<<"given">> => -1, <<"absent">> => -7}},
    ?assertEqual(#{given => 4, absent => -7},
                 host_config_parser:process(Spec, #{<<"given">> => 2})),
    Spliced = Spec#section{items = #{<<"absent">> => #list{items = Node, wrap = none}},
                           defaults = #{<<"absent">> => [{a, 1}, {b, 2}]}},
    ?assertEqual(#{a => 1, b => 2}, host_config_parser:process(Spliced, #{})).

%% Confirms the two kinds of include.
an_absent_section_to_include_always_brings_its_own_defaults(_Config) ->
    Inner = #section{items = #{<<"n">> => #option{type = integer}}, defaults = #{<<"n">> => 1}},
    Spec = section(#{<<"always">> => Inner#section{include = always}, <<"when_present">> => Inner}),
    ?assertEqual(#{always => #{n => 1}}, host_config_parser:process(Spec, #{})),
    ?assertEqual(#{always => #{n => 2}, when_present => #{n => 1}},
                 host_config_parser:process(Spec, #{<<"always">> => #{<<"n">> => 2},
                                                    <<"when_present">> => #{}})).

%% Confirms that required keys are asked for by name, or all of them.
a_missing_required_key_is_named(_Config) ->
    Items = #{<<"a">> => #option{type = integer}, <<"b">> => #option{type = integer}},
    Some = section(#{<<"inner">> => #section{items = Items, required = [<<"b">>]}}),
    ?assertMatch([#{what := missing_mandatory_keys, missing_keys := [<<"b">>],
                    toml_path := <<"inner">>}],
                 errors(Some, #{<<"inner">> => #{<<"a">> => 1}})),
    ?assertMatch([#{missing_keys := [<<"a">>, <<"b">>], toml_path := <<>>}],
                 errors(#section{items = Items, required = all}, #{})).

%% Confirms that a key is unknown unless the section has a default item.
an_unknown_key_is_named(_Config) ->
    Spec = section(#{<<"inner">> => section(#{<<"known">> => #option{type = integer}})}),
    ?assertMatch([#{what := unexpected_key, unexpected_key := <<"unknown">>,
                    toml_path := <<"inner.unknown">>}],
                 errors(Spec, #{<<"inner">> => #{<<"unknown">> => 1}})),
    Open = section(#{default => #option{type = integer}}),
    ?assertEqual(#{unknown => 1}, host_config_parser:process(Open, #{<<"unknown">> => 1})).

%% Confirms that the faults of different nodes come together.
every_fault_of_a_document_is_told(_Config) ->
    Number = #option{type = integer, validate = positive},
    Spec = section(#{<<"a">> => Number, <<"b">> => section(#{<<"c">> => Number}),
                     <<"d">> => #list{items = Number}}),
    Document = #{<<"a">> => 0, <<"b">> => #{<<"c">> => <<"x">>, <<"e">> => 1}, <<"d">> => [1, 0]},
    ?assertEqual([<<"a">>, <<"b.c">>, <<"b.e">>, <<"d">>],
                 [Path || #{toml_path := Path} <- errors(Spec, Document)]).

%% Confirms that what fails its check is not processed.
the_first_failing_step_ends_a_node(_Config) ->
    Spec = #option{type = integer, validate = positive, process = fun(_) -> error(processed) end},
    ?assertMatch([#{what := value_out_of_range}], errors(Spec, 0)),
    ?assertMatch([#{what := toml_processing_failed, reason := processed}], errors(Spec, 1)).

%% Confirms the order by binary key, of given and default values alike.
keys_of_a_section_come_in_order(_Config) ->
    Spec = #section{items = #{default => #option{type = integer}}, defaults = #{<<"b">> => 0},
                    format_items = list},
    ?assertEqual([{a, 1}, {b, 0}, {c, 2}],
                 host_config_parser:process(Spec, #{<<"c">> => 2, <<"a">> => 1})).

%% Confirms each kind of wrap, inside and outside of host_config.
wraps_shape_what_a_node_leaves(_Config) ->
    Number = #option{type = integer},
    Items = #{<<"default">> => Number,
              <<"item">> => Number#option{wrap = item},
              <<"remove">> => Number#option{wrap = remove},
              <<"none">> => #list{items = Number, wrap = none},
              <<"host_config">> => Number#option{wrap = host_config},
              <<"global_config">> => Number#option{wrap = global_config}},
    Spec = #section{items = Items, format_items = list},
    Document = #{<<"default">> => 1, <<"item">> => 2, <<"remove">> => 3, <<"none">> => [4, 5],
                 <<"host_config">> => 6, <<"global_config">> => 7},
    ?assertEqual([{default, 1}, {global_config, 7}, {{host_config, global}, 6}, 2, 4, 5],
                 host_config_parser:process(Spec, Document)),
    Value = #option{type = integer, wrap = host_config},
    Host = #section{items = #{<<"host">> => #option{type = binary, wrap = remove},
                              <<"n">> => Value, <<"g">> => Value#option{wrap = global_config}},
                    format_items = list, wrap = none},
    HostConfig = #section{items = #{<<"host_config">> => #list{items = Host, wrap = none}}},
    ?assertEqual(#{{n, <<"h">>} => 1},
                 host_config_parser:process(
                   HostConfig, #{<<"host_config">> => [#{<<"host">> => <<"h">>, <<"n">> => 1}]})),
    ?assertMatch([#{what := not_allowed_in_host_config, toml_path := <<"host_config.g">>}],
                 errors(HostConfig, #{<<"host_config">> => [#{<<"host">> => <<"h">>,
                                                              <<"g">> => 1}]})).

%% Confirms that nothing is overwritten silently when a section becomes a map.
a_key_that_appears_twice_after_wrapping_is_refused(_Config) ->
    Number = #option{type = integer},
    Inner = #section{items = #{<<"a">> => Number}, format_items = list, wrap = none},
    Spec = section(#{<<"a">> => Number, <<"b">> => Inner}),
    ?assertMatch([#{what := duplicate_keys, duplicates := [a]}],
                 errors(Spec, #{<<"a">> => 1, <<"b">> => #{<<"a">> => 2}})).

%% Confirms functions of the value, of path and value, and lists of both.
process_functions_run_one_after_the_other(_Config) ->
    Process = [fun ?MODULE:double/1, fun ?MODULE:name_of/2],
    Spec = section(#{<<"n">> => #option{type = integer, process = Process}}),
    ?assertEqual(#{n => {<<"n">>, 8}}, host_config_parser:process(Spec, #{<<"n">> => 4})).

%% Confirms that errors which a process function gives in the place of a value come as they are, and
%% that nothing around them becomes a value.
a_process_function_may_give_errors(_Config) ->
    Error = #{what => no_good, class => error, text => "without the value"},
    Spec = section(#{<<"n">> => #option{type = integer, process = fun(_) -> [Error] end}}),
    ?assertEqual([Error], errors(section(#{<<"s">> => Spec}), #{<<"s">> => #{<<"n">> => 4}})).

%% Confirms that items which become equal count as duplicates.
list_checks_see_processed_items(_Config) ->
    Item = #option{type = integer, process = fun(N) -> N rem 2 end},
    Spec = #list{items = Item, validate = unique},
    ?assertEqual([1, 0], host_config_parser:process(Spec, [1, 2])),
    ?assertMatch([#{what := duplicates_in_list}], errors(Spec, [1, 3])).

%% Files

%% Confirms both spellings of a list of sections.
inline_tables_and_array_tables_mean_the_same(Config) ->
    Inline = read(Config, "[a]\nlist = [{n = 1}, {n = 2}]\n"),
    Tables = read(Config, "[[a.list]]\nn = 1\n[[a.list]]\nn = 2\n"),
    ?assertEqual(#{<<"a">> => #{<<"list">> => [#{<<"n">> => 1}, #{<<"n">> => 2}]}}, Inline),
    ?assertEqual(Inline, Tables).

%% Confirms escapes, quotes, all planes of Unicode, and a text that is longer than one read.
text_survives_the_way_from_the_file(Config) ->
    Long = lists:duplicate(300000, $x),
    Toml = ["a = \"q\\\" b\\\\ \\u00e9 \\U0001F600 \\t\\n\\u0000\"\n",
            "b = 'C:\\path \"x\"'\n",
            "c = \"żółw 😀\"\n",
            "\"klucz ś\" = '''\nline\n'''\n",
            "long = \"", Long, "\"\n"],
    ?assertEqual(#{<<"a">> => <<"q\" b\\ é 😀 \t\n"/utf8, 0>>,
                   <<"b">> => <<"C:\\path \"x\"">>,
                   <<"c">> => <<"żółw 😀"/utf8>>,
                   <<"klucz ś"/utf8>> => <<"line\n">>,
                   <<"long">> => list_to_binary(Long)}, read(Config, Toml)).

%% Confirms small, negative and big integers, floats, booleans, empty lists and tables.
numbers_and_nesting_survive_the_way_from_the_file(Config) ->
    Toml = "i = [0, 255, -1, 2147483647, -2147483648, 2147483648, -9223372036854775808]\n"
           "f = [1.5, -0.25, 1e300]\nb = [true, false]\nl = [[], [[1]]]\n[t.u]\n",
    ?assertEqual(#{<<"i">> => [0, 255, -1, 2147483647, -2147483648, 2147483648,
                               -9223372036854775808],
                   <<"f">> => [1.5, -0.25, 1.0e300],
                   <<"b">> => [true, false],
                   <<"l">> => [[], [[1]]],
                   <<"t">> => #{<<"u">> => #{}}}, read(Config, Toml)).

%% Confirms the error for broken syntax, for a value no option has, and for an absent file.
a_file_that_is_no_toml_is_a_config_error(Config) ->
    Faults = [file(Config, "a = \n"), file(Config, "a = 2024-01-01\n"), "/no/such/file.toml"],
    [?assertMatch([#{what := toml_parsing_failed, text := <<_, _/binary>>}],
                  config_errors(fun() -> host_toml:read(Path) end)) || Path <- Faults].

%% A whole configuration

%% Confirms that a file with all the sections of a server can be read, and what becomes of it.
a_servers_file_becomes_run_time_options(Config) ->
    toy_module(toy_global, #{}),
    Toml = [general("[\"Localhost\", \"other\"]"),
            "loglevel = \"warning\"\n[internal_databases.mnesia]\n[[listen.c2s]]\nport = 5222\n"
            "[auth]\nmethods = [\"internal\"]\n[shaper.normal]\nmax_rate = 1000\n[acl]\n"
            "local = [{}]\n[access]\nc2s = [{acl = \"all\", value = \"allow\"}]\n[s2s]\n"
            "default_policy = \"deny\"\n[instrumentation.prometheus]\n"
            "[outgoing_pools.rdbms.default]\nworkers = 5\nconnection.driver = \"pgsql\"\n"
            "[modules.toy_global]\n"],
    ?assertEqual(#{hosts => [<<"localhost">>, <<"other">>],
                   host_types => [],
                   default_server_domain => <<"localhost">>,
                   outgoing_pools => [],
                   {modules, <<"localhost">>} => #{toy_global => #{}},
                   {modules, <<"other">>} => #{toy_global => #{}}}, load(Config, Toml)).

%% Confirms that host_config replaces the modules section and merges nothing.
a_host_types_own_modules_replace_the_global_ones(Config) ->
    toy_module(toy_global, #{}),
    toy_module(toy_own, #{}),
    Toml = [general("[\"a\", \"b\", \"c\"]"), "[modules.toy_global]\n",
            "[[host_config]]\nhost = \"b\"\n[host_config.modules.toy_own]\n",
            "[[host_config]]\nhost = \"c\"\n[host_config.modules]\n"],
    Opts = load(Config, Toml),
    ?assertEqual([#{toy_global => #{}}, #{toy_own => #{}}, #{}],
                 [maps:get({modules, HostType}, Opts) || HostType <- [<<"a">>, <<"b">>, <<"c">>]]).

%% Confirms that a misspelt host is not ignored.
a_host_that_is_not_defined_cannot_be_configured(Config) ->
    Toml = [general("[\"a\"]"), "[[host_config]]\nhost = \"typo\"\n[host_config.modules]\n"],
    ?assertMatch([#{what := unknown_host_in_host_config, host_type := <<"typo">>}],
                 load_errors(Config, Toml)).

%% Confirms the clear error for a module that this machine does not have.
a_module_that_cannot_be_loaded_is_an_error(Config) ->
    ?assertMatch([#{what := module_not_found, toml_path := <<"modules.mod_unheard_of">>}],
                 load_errors(Config, [general("[\"a\"]"), "[modules.mod_unheard_of]\n"])).

%% Confirms that only an empty section configures a module that is not in the list.
a_module_out_of_the_list_takes_no_options(Config) ->
    toy_module(toy_global, #{}),
    ?assertMatch([#{what := unexpected_key, toml_path := <<"modules.toy_global.key">>}],
                 load_errors(Config, [general("[\"a\"]"), "[modules.toy_global]\nkey = 1\n"])).

%% Confirms that a module has to support dynamic domains where there are host types.
a_static_module_is_refused_for_a_dynamic_host_type(Config) ->
    toy_module(toy_static, #{}),
    toy_module(toy_dynamic, #{supported_features => fun() -> [dynamic_domains] end}),
    Toml = "[general]\nhosts = []\nhost_types = [\"t\"]\ndefault_server_domain = \"a\"\n"
           "[modules.toy_static]\n[modules.toy_dynamic]\n",
    ?assertMatch([#{what := modules_without_dynamic_domains, module := toy_static,
                    toml_path := <<"modules.toy_static">>}], load_errors(Config, Toml)).

%% Confirms the check after deps are resolved: mnesia is there unless the section names others.
a_module_needs_the_internal_database_of_its_backend(Config) ->
    toy_module(toy_stored, #{}),
    Deps = fun(_HostType, _Opts) -> [{toy_stored, #{backend => mnesia}, hard}] end,
    toy_module(toy_global, #{deps => Deps}),
    Toml = [general("[\"a\"]"), "[modules.toy_global]\n"],
    ?assertMatch(#{{modules, <<"a">>} := #{toy_global := #{}, toy_stored := #{backend := mnesia}}},
                 load(Config, Toml)),
    ?assertMatch([#{what := internal_database_not_configured, module := toy_stored,
                    option := backend, database := mnesia}],
                 load_errors(Config, [Toml, "[internal_databases.cets]\n"])).

%% Confirms the pool maps of both lists, with all defaults.
pools_become_maps_with_their_scope(Config) ->
    Toml = [general("[\"a\"]"),
            "[outgoing_pools.http.http_pool]\nscope = \"host\"\nworkers = 50\n"
            "[outgoing_pools.http.http_pool.connection]\nhost = \"https://h:8443\"\n"
            "tls.verify_mode = \"none\"\n[outgoing_pools.rabbit.event_pusher]\n"
            "[[host_config]]\nhost = \"a\"\n[host_config.outgoing_pools.rabbit.event_pusher]\n"
            "max_worker_queue_len = 5\nconnection.port = 5673\n"],
    Opts = #{outgoing_pools := [Http, Rabbit]} = load(Config, Toml),
    Sni = #{enabled => true, protocol => default},
    ?assertEqual(#{type => http, tag => http_pool, scope => host_type,
                   opts => #{workers => 50, strategy => best_worker, call_timeout => 5000},
                   conn_opts => #{host => "https://h:8443", path_prefix => <<"/">>,
                                  request_timeout => 2000,
                                  tls => #{verify_mode => none, disconnect_on_failure => true,
                                           crl_files => [], server_name_indication => Sni}}}, Http),
    Connection = #{host => "localhost", port => 5672, username => <<"guest">>,
                   password => <<"guest">>, virtual_host => <<"/">>, confirms_enabled => false,
                   reconnect => #{attempts => 0, delay => 2000}},
    Workers = #{workers => 10, strategy => best_worker, call_timeout => 5000},
    ?assertEqual(#{type => rabbit, tag => event_pusher, scope => global, opts => Workers,
                   conn_opts => Connection}, Rabbit),
    ?assertEqual([Rabbit#{scope := <<"a">>, opts := Workers#{max_worker_queue_len => 5},
                          conn_opts := Connection#{port := 5673}}],
                 maps:get({outgoing_pools, <<"a">>}, Opts)).

%% Confirms the one rule between two pool options.
a_queue_limit_needs_the_strategy_best_worker(Config) ->
    Toml = [general("[\"a\"]"), "[outgoing_pools.rabbit.event_pusher]\nmax_worker_queue_len = 5\n"],
    ?assertMatch(#{outgoing_pools := [_]}, load(Config, Toml)),
    ?assertMatch([#{what := invalid_worker_pool_strategy_option,
                    toml_path := <<"outgoing_pools.rabbit.event_pusher">>}],
                 load_errors(Config, [Toml, "strategy = \"next_worker\"\n"])).

%% Parts that specs share

%% Confirms all four shapes of iqdisc.
an_iq_discipline_is_an_atom_or_a_number_of_queues(_Config) ->
    Spec = mongoose_config_spec:iqdisc(),
    Disc = fun(Table) -> host_config_parser:process(Spec, Table) end,
    ?assertEqual(one_queue, Disc(#{<<"type">> => <<"one_queue">>})),
    ?assertEqual(queues, Disc(#{<<"type">> => <<"queues">>})),
    ?assertEqual({queues, 3}, Disc(#{<<"type">> => <<"queues">>, <<"workers">> => 3})),
    ?assertMatch([#{what := unexpected_workers_option}],
                 errors(Spec, #{<<"type">> => <<"parallel">>, <<"workers">> => 3})),
    ?assertMatch([#{what := missing_mandatory_keys}], errors(Spec, #{})).

%% Confirms the rule for certificates of clients.
a_certificate_needs_its_key(_Config) ->
    Spec = mongoose_config_spec:tls([client]),
    File = list_to_binary(code:which(?MODULE)),
    Certificate = #{<<"certfile">> => File},
    ?assertMatch([#{what := tls_certfile_without_keyfile}], errors(Spec, Certificate)),
    ?assertMatch(#{certfile := _, keyfile := _},
                 host_config_parser:process(Spec, Certificate#{<<"keyfile">> => File})).

%% Confirms the check of a template and the pattern it becomes.
a_subdomain_template_is_a_domain_or_a_prefix(_Config) ->
    Spec = #option{type = string, validate = subdomain_template,
                   process = fun mongoose_subdomain_utils:make_subdomain_pattern/1},
    ?assertEqual({fqdn, <<"host1">>}, host_config_parser:process(Spec, <<"host1">>)),
    ?assertEqual({prefix, <<"pubsub.">>}, host_config_parser:process(Spec, <<"pubsub.@HOST@">>)),
    [?assertMatch([#{what := invalid_subdomain_template}], errors(Spec, Bad))
     || Bad <- [<<>>, <<"a b">>, <<"-.@HOST@">>, <<"x@HOST@">>]].

%% Helpers

section(Items) ->
    #section{items = Items}.

double(N) ->
    2 * N.

name_of([Key | _], Value) ->
    {Key, Value}.

errors(Spec, Document) ->
    config_errors(fun() -> host_config_parser:process(Spec, Document) end).

config_errors(Fun) ->
    try Fun() of
        Result -> error({no_config_error, Result})
    catch
        error:{config_error, [_ | _], Errors} -> Errors
    end.

general(Hosts) ->
    ["[general]\nhosts = ", Hosts, "\ndefault_server_domain = \"localhost\"\n"].

load(Config, Toml) ->
    host_config:load(file(Config, Toml)).

load_errors(Config, Toml) ->
    config_errors(fun() -> load(Config, Toml) end).

read(Config, Toml) ->
    host_toml:read(file(Config, Toml)).

file(Config, Toml) ->
    Name = integer_to_list(erlang:unique_integer([positive])) ++ ".toml",
    Path = filename:join(proplists:get_value(priv_dir, Config), Name),
    ok = file:write_file(Path, unicode:characters_to_binary(Toml)),
    Path.

toy_module(Name, Functions) ->
    ok = meck:new(Name, [non_strict, no_link]),
    ok = meck:expect(Name, start, fun(_HostType, _Opts) -> ok end),
    maps:foreach(fun(Function, Fun) -> ok = meck:expect(Name, Function, Fun) end, Functions).
