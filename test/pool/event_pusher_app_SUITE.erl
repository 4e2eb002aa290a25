-module(event_pusher_app_SUITE).
-moduledoc "The application starts only with its own modules.".

-behaviour(ct_suite).

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([it_starts_and_stops/1,
         a_setting_that_does_not_exist_is_told/1,
         a_module_of_another_folder_in_front_stops_the_start/1,
         a_module_of_another_folder_behind_does_no_harm/1,
         a_code_path_may_be_relative/1,
         a_library_in_use_outlives_a_load_but_not_a_delete/1,
         a_backend_tells_why_the_application_does_not_start/1]).

-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(OTHER, mod_event_pusher_http_defaults).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

init_per_testcase(_Case, Config) ->
    Folder = filename:join(proplists:get_value(priv_dir, Config), "other"),
    ok = filelib:ensure_path(Folder),
    Forms = [{attribute, 1, module, ?OTHER}, {eof, 1}],
    {ok, ?OTHER, Beam} = compile:forms(Forms),
    ok = file:write_file(filename:join(Folder, atom_to_list(?OTHER) ++ ".beam"), Beam),
    [{folder, Folder} | Config].

end_per_testcase(_Case, Config) ->
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    _ = application:stop(event_pusher),
    _ = code:del_path(proplists:get_value(folder, Config)),
    unload().

%% Confirms it a few times in one node.
it_starts_and_stops(_Config) ->
    [begin
         ?assertMatch({ok, _}, application:ensure_all_started(event_pusher)),
         ?assertEqual(ok, application:stop(event_pusher))
     end || _ <- lists:seq(1, 3)].

%% Confirms that it starts nevertheless, that those there are get named, and that it is silent without one.
a_setting_that_does_not_exist_is_told(_Config) ->
    _ = application:load(event_pusher),
    ok = application:set_env(event_pusher, runtime_thread, 4),
    ok = application:set_env(event_pusher, report_interval_ms, 5000),
    ok = log_capture:start(),
    ?assertMatch({ok, _}, application:ensure_all_started(event_pusher)),
    ?assertMatch(#{settings := [runtime_thread],
                   known := [runtime_threads, report_interval_ms, reconnect_max_ms]},
                 log_capture:await(event_pusher_unknown_settings)),
    ok = application:stop(event_pusher),
    ok = application:unset_env(event_pusher, runtime_thread),
    ?assertMatch({ok, _}, application:ensure_all_started(event_pusher)),
    ?assertEqual(none, log_capture:already(event_pusher_unknown_settings)),
    ok = application:unset_env(event_pusher, report_interval_ms),
    ok = log_capture:stop().

%% Confirms that the module and its file are named, and that it starts when that is mended.
a_module_of_another_folder_in_front_stops_the_start(Config) ->
    Folder = proplists:get_value(folder, Config),
    unload(),
    true = code:add_patha(Folder),
    {error, {event_pusher, {Reason, _}}} = application:ensure_all_started(event_pusher),
    ?assertEqual(#{what => event_pusher_modules_of_others,
                   modules => [{?OTHER, filename:join(Folder, atom_to_list(?OTHER) ++ ".beam")}],
                   text => <<"The folder of event_pusher has to be the first in the code path that "
                             "has these modules: start the server with -pa">>}, Reason),
    true = code:del_path(Folder),
    unload(),
    ?assertMatch({ok, _}, application:ensure_all_started(event_pusher)).

%% Confirms what an installation looks like: the server's own modules are still there.
a_module_of_another_folder_behind_does_no_harm(Config) ->
    unload(),
    true = code:add_pathz(proplists:get_value(folder, Config)),
    ?assertMatch({ok, _}, application:ensure_all_started(event_pusher)).

%% Confirms it in a node of its own, as a server is started: from its folder.
a_code_path_may_be_relative(_Config) ->
    Ebin = filename:dirname(code:which(event_pusher)),
    ?assertEqual(<<"{ok,[event_pusher]}">>,
                 evaluated("application:ensure_all_started(event_pusher)", "ebin",
                           filename:dirname(Ebin))).

%% Confirms what the manual says of modules that are loaded in a running node.
a_library_in_use_outlives_a_load_but_not_a_delete(_Config) ->
    Tried = "begin"
            " logger:set_primary_config(level, none),"
            " {ok, _} = application:ensure_all_started(event_pusher),"
            " Load = fun() -> code:load_file(event_pusher_nif) end,"
            " Call = fun() -> try event_pusher_nif:start_runtime(1)"
            "                 catch error:Reason -> Reason"
            "                 end"
            "        end,"
            " {[Load(), Call()], code:delete(event_pusher_nif), [Call(), Load(), Call()]}"
            " end",
    Refused = "{error,on_load_failure}",
    ?assertEqual(iolist_to_binary(["{[", Refused, ",{error,already_running}],true,"
                                   "[undef,", Refused, ",undef]}"]),
                 evaluated(Tried, filename:dirname(code:which(event_pusher)), ".")).

%% What the expression is in a node of its own, with this in front of its code path.
evaluated(Expression, CodePath, Folder) ->
    Print = "io:format(\"~0p\", [" ++ Expression ++ "]), halt().",
    Port = open_port({spawn_executable, os:find_executable("erl")},
                     [{args, ["-noinput", "-pa", CodePath, "-eval", Print]},
                      {cd, Folder}, exit_status, binary]),
    output(Port, <<>>).

output(Port, Seen) ->
    receive
        {Port, {data, More}} -> output(Port, <<Seen/binary, More/binary>>);
        {Port, {exit_status, 0}} -> Seen
    after 30000 -> ct:fail({still_running, Seen})
    end.

%% Confirms that the reason is in the error that ends the start of a module.
a_backend_tells_why_the_application_does_not_start(Config) ->
    unload(),
    true = code:add_patha(proplists:get_value(folder, Config)),
    ?assertError(#{what := event_pusher_not_started,
                   reason := #{what := event_pusher_modules_of_others}},
                 rig:start_host(#{mod_event_pusher_rabbit => #{}})).

%% It is looked for again.
unload() ->
    _ = code:purge(?OTHER),
    _ = code:delete(?OTHER),
    ok.
