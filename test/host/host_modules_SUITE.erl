-module(host_modules_SUITE).
-moduledoc "Holds the start, stop, options and dependencies of modules to a server's rules.".

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([a_module_starts_in_order/1,
         a_module_stops_in_order/1,
         a_module_starts_without_optional_callbacks/1,
         a_result_of_start_is_made_an_ok/1,
         a_module_out_of_the_configuration_does_not_start/1,
         a_static_module_does_not_start_for_a_dynamic_host_type/1,
         a_missing_service_keeps_a_module_from_starting/1,
         a_crash_of_start_is_logged_and_raised/1,
         a_crash_of_stop_is_logged_and_raised/1,
         a_link_to_the_starting_process_is_logged/1,
         stop_waits_for_the_processes_it_is_told_of/1,
         options_are_read_by_key_or_path/1,
         a_module_that_is_not_there_has_no_options/1,
         a_process_name_has_the_host_type_in_it/1,
         metrics_report_options_or_none/1,
         dependencies_become_modules_with_their_options/1,
         later_options_override_earlier_ones/1,
         an_optional_dependency_only_adds_options/1,
         dependencies_start_before_and_stop_after/1,
         a_hard_cycle_is_an_error_and_a_soft_one_is_broken/1,
         all_host_types_start_and_stop/1,
         a_failed_boot_leaves_nothing_running/1,
         hooks_of_modules_run_after_the_boot/1,
         a_module_is_started_or_restarted_only_if_its_options_differ/1,
         a_module_is_stopped_only_if_it_runs/1,
         a_module_that_fails_to_start_is_not_loaded/1,
         options_are_there_while_a_module_starts_and_stops/1,
         replaced_modules_take_their_dependencies_with_them/1]).
-export([handler/3, log/2]).

-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).

all() ->
    Helpers = [module_info],
    [Case || {Case, 1} <- ?MODULE:module_info(exports), not lists:member(Case, Helpers)].

init_per_testcase(_Case, Config) ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{pid => self()}}),
    Config.

end_per_testcase(_Case, _Config) ->
    _ = application:stop(host),
    meck:unload(),
    ok = logger:remove_handler(?MODULE).

%% Starting and stopping one module

%% Confirms that metrics are registered before start/2, and hooks only after it.
a_module_starts_in_order(_Config) ->
    Test = self(),
    toy(toy, #{instrumentation => fun(HT) -> [{toy_event, #{host_type => HT}, #{}}] end,
               start => fun(HT, Opts) ->
                            mongoose_instrument:execute(toy_event, #{host_type => HT}, #{}),
                            gen_hook:reload_hooks(),
                            Test ! {started, Opts, gen_hook:run_fold(toy_hook, HT, [], #{})}
                        end,
               hooks => fun hooks/1}),
    host:start(#{?HT => #{toy => #{key => 1}}}),
    ?assertEqual({started, #{key => 1}, {ok, []}}, next()),
    ?assertEqual({ok, [handled]}, gen_hook:run_fold(toy_hook, ?HT, [], #{})).

%% Confirms that hooks go before stop/1 runs, and metrics after it.
a_module_stops_in_order(_Config) ->
    Test = self(),
    toy(toy, #{instrumentation => fun(HT) -> [{toy_event, #{host_type => HT}, #{}}] end,
               stop => fun(HT) ->
                           mongoose_instrument:execute(toy_event, #{host_type => HT}, #{}),
                           gen_hook:reload_hooks(),
                           Test ! {stopped, gen_hook:run_fold(toy_hook, HT, [], #{})}
                       end,
               hooks => fun hooks/1}),
    host:start(#{?HT => #{toy => #{}}}),
    gen_mod:stop_module(?HT, toy),
    ?assertEqual({stopped, {ok, []}}, next()),
    ?assertError(#{what := event_not_registered},
                 mongoose_instrument:execute(toy_event, #{host_type => ?HT}, #{})).

%% Confirms that start/2 and stop/1 are enough.
a_module_starts_without_optional_callbacks(_Config) ->
    toy(toy, #{}),
    host:start(#{?HT => #{toy => #{}}}),
    ?assert(gen_mod:is_loaded(?HT, toy)),
    ?assertNot(gen_mod:is_loaded(?HT, other)),
    ?assertEqual(ok, gen_mod:stop_module(?HT, toy)).

%% Confirms what becomes of a plain result and of an ok tuple.
a_result_of_start_is_made_an_ok(_Config) ->
    toy(toy, #{start => fun(_HT, #{result := Result}) -> Result end}),
    host:start(#{?HT => #{toy => #{result => x}}}),
    ?assertEqual({ok, x}, gen_mod:start_module(?HT, toy, #{result => x})),
    ?assertEqual({ok, x}, gen_mod:start_module(?HT, toy, #{result => {ok, x}})).

%% Confirms the first check of a start.
a_module_out_of_the_configuration_does_not_start(_Config) ->
    toy(toy, #{}),
    host:start(#{?HT => #{}}),
    ?assertError(#{what := module_not_loaded}, gen_mod:start_module(?HT, toy, #{})).

%% Confirms that host types which are not static hosts need a feature of the module.
a_static_module_does_not_start_for_a_dynamic_host_type(_Config) ->
    toy(toy_dynamic, #{supported_features => fun() -> [dynamic_domains] end}),
    toy(toy_static, #{supported_features => fun() -> [] end}),
    Dynamic = #{host_types => [<<"type">>]},
    ?assertEqual(ok, host:start(#{<<"type">> => #{toy_dynamic => #{}}}, Dynamic)),
    host:stop(),
    ?assertError({toy_static, <<"type">>, dynamic_domains_feature_is_not_supported},
                 host:start(#{<<"type">> => #{toy_static => #{}}}, Dynamic)).

%% Confirms that a service has to be configured before the module that depends on it.
a_missing_service_keeps_a_module_from_starting(_Config) ->
    toy(toy, #{deps => fun(_HT, _Opts) -> [{service, toy_service}] end}),
    Modules = #{?HT => #{toy => #{}}},
    ?assertError(#{what := service_not_loaded, service := toy_service}, host:start(Modules)),
    ?assertEqual(ok, host:start(Modules, #{services => #{toy_service => #{}}})).

%% Confirms the log entry and that the caller gets the exception.
a_crash_of_start_is_logged_and_raised(_Config) ->
    toy(toy, #{start => fun(_HT, _Opts) -> exit(oops) end}),
    ?assertExit(oops, host:start(#{?HT => #{toy => #{}}})),
    ?assertMatch(#{module := toy, host_type := ?HT, class := exit, reason := oops},
                 logged(module_start_failed)).

%% Confirms the log entry and that the caller gets the exception.
a_crash_of_stop_is_logged_and_raised(_Config) ->
    toy(toy, #{stop => fun(_HT) -> error(oops) end}),
    host:start(#{?HT => #{toy => #{}}}),
    ?assertError(oops, gen_mod:stop_module(?HT, toy)),
    ?assertMatch(#{module := toy, class := error}, logged(module_stopping_failed)).

%% Confirms that a module cannot hide a process behind the one that boots the server.
a_link_to_the_starting_process_is_logged(_Config) ->
    toy(toy, #{start => fun(_HT, _Opts) -> spawn_link(fun idle/0) end}),
    host:start(#{?HT => #{toy => #{}}}),
    #{added := [Pid], removed := []} = logged(unexpected_links),
    unlink(Pid),
    exit(Pid, kill).

%% Confirms that stop_module/2 returns only when such a process has ended.
stop_waits_for_the_processes_it_is_told_of(_Config) ->
    Start = fun(_HT, _Opts) -> register(toy_process, spawn(fun idle/0)) end,
    Stop = fun(_HT) ->
               toy_process ! stop,
               {wait, [toy_process]}
           end,
    toy(toy, #{start => Start, stop => Stop}),
    host:start(#{?HT => #{toy => #{}}}),
    ?assert(is_pid(whereis(toy_process))),
    gen_mod:stop_module(?HT, toy),
    ?assertEqual(undefined, whereis(toy_process)).

%% Options

%% Confirms each function for a key, a path, and what is missing.
options_are_read_by_key_or_path(_Config) ->
    toy(toy, #{}),
    Opts = #{a => 1, b => #{c => 2}},
    host:start(#{?HT => #{toy => Opts}}),
    ?assertEqual({1, 2}, {gen_mod:get_opt(a, Opts), gen_mod:get_opt([b, c], Opts)}),
    ?assertError({badkey, x}, gen_mod:get_opt(x, Opts)),
    ?assertEqual([2, none], [gen_mod:get_opt(Path, Opts, none) || Path <- [[b, c], [x, c]]]),
    ?assertEqual([1, 2], [gen_mod:get_module_opt(?HT, toy, Path) || Path <- [a, [b, c]]]),
    ?assertError({badkey, x}, gen_mod:get_module_opt(?HT, toy, [b, x])),
    ?assertEqual(none, gen_mod:get_module_opt(?HT, toy, x, none)),
    ?assertEqual({ok, 2}, gen_mod:lookup_module_opt(?HT, toy, [b, c])),
    ?assertEqual({error, not_found}, gen_mod:lookup_module_opt(?HT, toy, x)),
    ?assertEqual(Opts, gen_mod:get_module_opts(?HT, toy)),
    ?assertEqual(Opts, gen_mod:get_loaded_module_opts(?HT, toy)),
    ?assertEqual(#{toy => Opts}, gen_mod:loaded_modules_with_opts(?HT)).

%% Confirms the difference between the readers, and that a module has to exist to be asked for.
a_module_that_is_not_there_has_no_options(_Config) ->
    host:start(#{?HT => #{}}),
    ?assertEqual(#{}, gen_mod:get_module_opts(?HT, lists)),
    ?assertEqual(none, gen_mod:get_module_opt(?HT, lists, key, none)),
    ?assertError({badkey, lists}, gen_mod:get_loaded_module_opts(?HT, lists)),
    ?assertError({badkey, lists}, gen_mod:get_module_opt(?HT, lists, key)),
    ?assertEqual({error, not_found}, gen_mod:lookup_module_opt(?HT, lists, key)),
    ?assertError(#{what := module_not_found}, gen_mod:get_module_opts(?HT, no_such_module)),
    ?assertError(#{what := module_not_found},
                 gen_mod:get_module_opt(?HT, no_such_module, key, none)).

%% Confirms the form of the name.
a_process_name_has_the_host_type_in_it(_Config) ->
    ?assertEqual(toy_localhost, gen_mod:get_module_proc(?HT, toy)).

%% Confirms that a missing option hides them all.
metrics_report_options_or_none(_Config) ->
    toy(toy, #{}),
    host:start(#{?HT => #{toy => #{a => 1, b => 2}}}),
    ?assertEqual([{b, 2}, {a, 1}], mongoose_module_metrics:opts_for_module(?HT, toy, [b, a])),
    ?assertEqual([{none, none}], mongoose_module_metrics:opts_for_module(?HT, toy, [a, x])).

%% Dependencies

%% Confirms the path from an option map of a module to modules of their own, over two steps.
dependencies_become_modules_with_their_options(_Config) ->
    toy(toy_leaf, #{}),
    toy(toy_middle, #{deps => fun(_HT, _Opts) -> [{toy_leaf, #{c => 3}, soft}] end}),
    toy(toy_top, #{deps => fun(_HT, #{middle := Opts}) -> [{toy_middle, Opts, hard}] end}),
    Top = #{middle => #{b => 2}},
    host:start(#{?HT => #{toy_top => Top}}),
    ?assertEqual(#{toy_top => Top, toy_middle => #{b => 2}, toy_leaf => #{c => 3}},
                 gen_mod:loaded_modules_with_opts(?HT)).

%% Confirms the merge, its warning, and that changed options are passed on.
later_options_override_earlier_ones(_Config) ->
    toy(toy_leaf, #{}),
    toy(toy_middle, #{deps => fun(_HT, Opts) -> [{toy_leaf, Opts, hard}] end}),
    toy(toy_top, #{deps => fun(_HT, _Opts) -> [{toy_middle, #{a => 2, c => 3}, hard}] end}),
    Modules = #{toy_middle => #{a => 1, b => 1}, toy_top => #{}},
    Merged = #{a => 2, b => 1, c => 3},
    ?assertEqual(#{toy_top => #{}, toy_middle => Merged, toy_leaf => Merged},
                 gen_mod_deps:resolve_deps(?HT, Modules)),
    ?assertMatch(#{module := toy_middle, options := [a]}, logged(overriding_options)).

%% Confirms it with and without the module, and if only another dependency brings it in.
an_optional_dependency_only_adds_options(_Config) ->
    toy(toy_leaf, #{}),
    toy(toy_bringer, #{deps => fun(_HT, _Opts) -> [{toy_leaf, #{b => 2}, hard}] end}),
    toy(toy_top, #{deps => fun(_HT, _Opts) -> [{toy_leaf, #{a => 1}, optional}] end}),
    Resolve = fun(Modules) -> gen_mod_deps:resolve_deps(?HT, Modules) end,
    ?assertEqual(#{toy_top => #{}}, Resolve(#{toy_top => #{}})),
    ?assertMatch(#{toy_leaf := #{a := 1, c := 3}},
                 Resolve(#{toy_top => #{}, toy_leaf => #{c => 3}})),
    ?assertMatch(#{toy_leaf := #{a := 1, b := 2}},
                 Resolve(#{toy_top => #{}, toy_bringer => #{}})).

%% Confirms the order of a boot and its reverse; the names would sort the other way round.
dependencies_start_before_and_stop_after(_Config) ->
    reporting_toy(toy_z, []),
    reporting_toy(toy_m, [{toy_z, #{}, hard}]),
    reporting_toy(toy_a, [{toy_m, #{}, soft}]),
    host:start(#{?HT => #{toy_a => #{}}}),
    ?assertEqual([{start, toy_z}, {start, toy_m}, {start, toy_a}], [next(), next(), next()]),
    host:stop(),
    ?assertEqual([{stop, toy_a}, {stop, toy_m}, {stop, toy_z}], [next(), next(), next()]).

%% Confirms that only hardness on all edges makes a cycle an error.
a_hard_cycle_is_an_error_and_a_soft_one_is_broken(_Config) ->
    toy(toy_a, #{deps => fun(_HT, _Opts) -> [{toy_b, #{}, hard}] end}),
    toy(toy_b, #{deps => fun(_HT, _Opts) -> [{toy_a, #{}, soft}] end}),
    Modules = #{toy_a => #{}, toy_b => #{}},
    ?assertEqual([{toy_b, #{}}, {toy_a, #{}}], gen_mod_deps:sort_deps(?HT, Modules)),
    meck:expect(toy_b, deps, fun(_HT, _Opts) -> [{toy_a, #{}, hard}] end),
    ?assertError({dependency_cycle, [_, _ | _]}, gen_mod_deps:sort_deps(?HT, Modules)).

%% All modules

%% Confirms that each host type has its own instances.
all_host_types_start_and_stop(_Config) ->
    Test = self(),
    toy(toy, #{start => fun(HT, Opts) -> Test ! {start, HT, Opts} end,
               stop => fun(HT) -> Test ! {stop, HT} end,
               supported_features => fun() -> [dynamic_domains] end}),
    host:start(#{<<"a">> => #{toy => #{n => 1}}, <<"b">> => #{toy => #{n => 2}}, <<"c">> => #{}},
               #{host_types => [<<"b">>]}),
    ?assertEqual([{start, <<"a">>, #{n => 1}}, {start, <<"b">>, #{n => 2}}], [next(), next()]),
    host:stop(),
    ?assertEqual([{stop, <<"a">>}, {stop, <<"b">>}], [next(), next()]).

%% Confirms that the next start finds a clean place.
a_failed_boot_leaves_nothing_running(_Config) ->
    toy(toy, #{start => fun(_HT, #{fail := Fail}) -> false = Fail end, hooks => fun hooks/1}),
    ?assertError({badmatch, true}, host:start(#{?HT => #{toy => #{fail => true}}})),
    ?assertEqual({error, not_found}, mongoose_config:lookup_opt(hosts)),
    ?assertEqual(ok, host:start(#{?HT => #{toy => #{fail => false}}})),
    ?assertEqual({ok, [handled]}, gen_hook:run_fold(toy_hook, ?HT, [], #{})).

%% Confirms that the boot ends with a reload, and the stop leaves no handler behind.
hooks_of_modules_run_after_the_boot(_Config) ->
    toy(toy, #{hooks => fun hooks/1}),
    host:start(#{?HT => #{toy => #{}}}),
    ?assertEqual({ok, [handled]}, gen_hook:run_fold(toy_hook, ?HT, [], #{})),
    host:stop(),
    ?assertEqual({ok, []}, gen_hook:run_fold(toy_hook, ?HT, [], #{})).

%% Confirms the three results, that a restart stops first, and that hooks are reloaded.
a_module_is_started_or_restarted_only_if_its_options_differ(_Config) ->
    reporting_toy(toy, []),
    meck:expect(toy, hooks, fun hooks/1),
    host:start(#{?HT => #{}}),
    ?assertEqual({started, toy}, mongoose_modules:ensure_started(?HT, toy, #{n => 1})),
    ?assertEqual({ok, [handled]}, gen_hook:run_fold(toy_hook, ?HT, [], #{})),
    ?assertEqual(already_started, mongoose_modules:ensure_started(?HT, toy, #{n => 1})),
    ?assertEqual({restarted, #{n => 1}, toy}, mongoose_modules:ensure_started(?HT, toy, #{n => 2})),
    ?assertEqual([{start, toy}, {stop, toy}, {start, toy}], [next(), next(), next()]),
    ?assertEqual(#{n => 2}, gen_mod:get_loaded_module_opts(?HT, toy)).

%% Confirms the two results and that hooks are reloaded.
a_module_is_stopped_only_if_it_runs(_Config) ->
    toy(toy, #{hooks => fun hooks/1}),
    host:start(#{?HT => #{toy => #{n => 1}}}),
    ?assertEqual({stopped, #{n => 1}}, mongoose_modules:ensure_stopped(?HT, toy)),
    ?assertEqual({ok, []}, gen_hook:run_fold(toy_hook, ?HT, [], #{})),
    ?assertEqual(already_stopped, mongoose_modules:ensure_stopped(?HT, toy)),
    ?assertNot(gen_mod:is_loaded(?HT, toy)).

%% Confirms that a second try is a start again.
a_module_that_fails_to_start_is_not_loaded(_Config) ->
    toy(toy, #{start => fun(_HT, _Opts) -> error(oops) end}),
    host:start(#{?HT => #{}}),
    ?assertError(oops, mongoose_modules:ensure_started(?HT, toy, #{})),
    ?assertNot(gen_mod:is_loaded(?HT, toy)).

%% Confirms that callbacks can read the options of their own module.
options_are_there_while_a_module_starts_and_stops(_Config) ->
    Test = self(),
    Tell = fun(What, HT) -> Test ! {What, gen_mod:get_module_opt(HT, toy, n)} end,
    toy(toy, #{start => fun(HT, _Opts) -> Tell(start, HT) end,
               stop => fun(HT) -> Tell(stop, HT) end}),
    host:start(#{?HT => #{}}),
    mongoose_modules:ensure_started(?HT, toy, #{n => 1}),
    mongoose_modules:ensure_started(?HT, toy, #{n => 2}),
    mongoose_modules:ensure_stopped(?HT, toy),
    ?assertEqual([{start, 1}, {stop, 1}, {start, 2}, {stop, 2}], [next(), next(), next(), next()]).

%% Confirms that what is still needed goes on, what is not stops, and what changed restarts.
replaced_modules_take_their_dependencies_with_them(_Config) ->
    Deps = fun(_HT, Opts) -> [{Module, #{}, hard} || Module <- maps:get(deps, Opts, [])] end,
    [begin
         reporting_toy(Toy, []),
         meck:expect(Toy, deps, Deps)
     end || Toy <- [toy_kept, toy_gone, toy_new, toy_top, toy_bystander]],
    host:start(#{?HT => #{toy_top => #{deps => [toy_kept, toy_gone]}, toy_bystander => #{}}}),
    _ = [next() || _ <- [toy_kept, toy_gone, toy_top, toy_bystander]],
    New = #{toy_top => #{deps => [toy_kept, toy_new]}},
    ok = mongoose_modules:replace_modules(?HT, [toy_top], New),
    ?assertEqual([{stop, toy_gone}, {start, toy_new}, {stop, toy_top}, {start, toy_top}],
                 [next(), next(), next(), next()]),
    ?assertEqual([toy_bystander, toy_kept, toy_new, toy_top],
                 lists:sort(maps:keys(gen_mod:loaded_modules_with_opts(?HT)))).

%% Helpers

toy(Name, Functions) ->
    Defaults = #{start => fun(_HT, _Opts) -> ok end, stop => fun(_HT) -> ok end},
    ok = meck:new(Name, [non_strict, no_link]),
    maps:foreach(fun(Function, Fun) -> ok = meck:expect(Name, Function, Fun) end,
                 maps:merge(Defaults, Functions)).

reporting_toy(Name, Deps) ->
    Test = self(),
    Report = fun(What) ->
                 Test ! {What, Name},
                 Name
             end,
    toy(Name, #{start => fun(_HT, _Opts) -> Report(start) end,
                stop => fun(_HT) -> Report(stop) end,
                deps => fun(_HT, _Opts) -> Deps end}).

hooks(HostType) ->
    [{toy_hook, HostType, fun ?MODULE:handler/3, #{}, 50}].

handler(Acc, _Params, _Extra) ->
    {ok, [handled | Acc]}.

idle() ->
    receive stop -> ok end.

%% The next message of a toy; logged reports wait for those who ask for them.
next() ->
    receive
        Message when element(1, Message) =/= logged -> Message
    after 5000 -> error(nothing_came)
    end.

logged(What) ->
    receive
        {logged, Report = #{what := What}} -> Report
    after 5000 -> error({not_logged, What})
    end.

log(#{msg := {report, Report}}, #{config := #{pid := Pid}}) ->
    Pid ! {logged, Report};
log(_Event, _Config) ->
    ok.
