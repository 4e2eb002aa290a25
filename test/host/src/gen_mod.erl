-module(gen_mod).
-moduledoc "What a module of the server is, how it starts and stops, and how its options are read.".

-export([start_module/3, stop_module/2]).
-export([get_opt/2, get_opt/3, get_module_opt/3, get_module_opt/4, lookup_module_opt/3]).
-export([get_module_opts/2, get_loaded_module_opts/2, is_loaded/2, loaded_modules_with_opts/1]).
-export([get_module_proc/2, get_deps/3, does_module_support/2, backend_opts/1]).

-include_lib("kernel/include/logger.hrl").

-type host_type() :: host_domains:host_type().
-type module_opts() :: map().
-type key_path() :: atom() | [atom(), ...].
-type hardness() :: hard | soft | optional.
-type dep() :: {module(), module_opts(), hardness()} | {service, module()}.

-export_type([host_type/0, module_opts/0, key_path/0, dep/0]).

-callback start(host_type(), module_opts()) -> term().
-callback stop(host_type()) -> term().
-callback hooks(host_type()) -> gen_hook:hook_list().
-callback config_spec() -> tuple().
-callback supported_features() -> [atom()].
-callback instrumentation(host_type()) -> [mongoose_instrument:spec()].
-callback deps(host_type(), module_opts()) -> [dep()].
-callback reported_module_options(host_type(), module_opts()) -> [{atom(), term()}].
-callback backend_opts() -> [atom()].

-optional_callbacks([hooks/1, config_spec/0, supported_features/0, instrumentation/1, deps/2,
                     reported_module_options/2, backend_opts/0]).

-define(STOP_PATIENCE_MS, 5000).

%% Starting. Where a booting server would log, wait and halt, this only logs and raises.

-spec start_module(host_type(), module(), module_opts()) -> {ok, term()}.
start_module(HostType, Module, Opts) ->
    LinksBefore = links(),
    try
        Result = do_start(HostType, Module, Opts),
        warn_of_links(HostType, Module, links() -- LinksBefore, LinksBefore -- links()),
        Result
    catch
        Class:Reason:Stacktrace ->
            ?LOG_CRITICAL(#{what => module_start_failed, host_type => HostType, module => Module,
                            class => Class, reason => Reason, stacktrace => Stacktrace}),
            erlang:raise(Class, Reason, Stacktrace)
    end.

do_start(HostType, Module, Opts) ->
    is_loaded(HostType, Module)
        orelse error(#{what => module_not_loaded, module => Module, host_type => HostType}),
    check_services(HostType, Module, Opts),
    check_dynamic_domains(HostType, Module),
    mongoose_instrument:set_up(call_optional(Module, instrumentation, [HostType], [])),
    Result = Module:start(HostType, Opts),
    gen_hook:add_handlers(call_optional(Module, hooks, [HostType], [])),
    normal_result(Result).

normal_result({ok, Result}) -> {ok, Result};
normal_result(Result) -> {ok, Result}.

check_services(HostType, Module, Opts) ->
    Loaded = mongoose_config:get_opt(services, #{}),
    [error(#{what => service_not_loaded, module => Module, service => Service})
     || {service, Service} <- get_deps(HostType, Module, Opts), not is_map_key(Service, Loaded)],
    ok.

check_dynamic_domains(HostType, Module) ->
    IsStatic = lists:member(HostType, mongoose_config:get_opt(hosts)),
    IsStatic orelse does_module_support(Module, dynamic_domains)
        orelse error({Module, HostType, dynamic_domains_feature_is_not_supported}),
    ok.

links() ->
    {links, Links} = process_info(self(), links),
    Links.

warn_of_links(_HostType, _Module, [], []) ->
    ok;
warn_of_links(HostType, Module, Added, Removed) ->
    ?LOG_ERROR(#{what => unexpected_links,
                 text => <<"A module must not link to the process that starts it">>,
                 host_type => HostType, module => Module, added => Added, removed => Removed}).

%% Stopping

-spec stop_module(host_type(), module()) -> ok.
stop_module(HostType, Module) ->
    try
        gen_hook:delete_handlers(call_optional(Module, hooks, [HostType], [])),
        await_stop(Module:stop(HostType)),
        mongoose_instrument:tear_down(call_optional(Module, instrumentation, [HostType], []))
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => module_stopping_failed, host_type => HostType, module => Module,
                         class => Class, reason => Reason, stacktrace => Stacktrace}),
            erlang:raise(Class, Reason, Stacktrace)
    end.

await_stop({wait, Procs}) when is_list(Procs) -> lists:foreach(fun await_process/1, Procs);
await_stop({wait, Proc}) -> await_process(Proc);
await_stop(_Other) -> ok.

await_process(Proc) ->
    Monitor = monitor(process, Proc),
    receive
        {'DOWN', Monitor, process, _, _} -> ok
    after ?STOP_PATIENCE_MS ->
        demonitor(Monitor, [flush]),
        kill(whereis(Proc))
    end.

kill(undefined) ->
    ok;
kill(Pid) ->
    true = exit(Pid, kill),
    ok.

%% Options

-spec get_opt(key_path(), module_opts()) -> term().
get_opt(Path, Opts) when is_list(Path) -> lists:foldl(fun maps:get/2, Opts, Path);
get_opt(Key, Opts) -> maps:get(Key, Opts).

-spec get_opt(key_path(), module_opts(), Default :: term()) -> term().
get_opt(Path, Opts, Default) ->
    try
        get_opt(Path, Opts)
    catch
        error:{badkey, _} -> Default
    end.

-spec get_module_opt(host_type(), module(), key_path()) -> term().
get_module_opt(HostType, Module, Path) ->
    mongoose_config:get_opt(config_path(HostType, Module, Path)).

-spec get_module_opt(host_type(), module(), key_path(), Default :: term()) -> term().
get_module_opt(HostType, Module, Path, Default) ->
    check_exists(Module),
    mongoose_config:get_opt(config_path(HostType, Module, Path), Default).

-spec lookup_module_opt(host_type(), module(), key_path()) -> {ok, term()} | {error, not_found}.
lookup_module_opt(HostType, Module, Path) ->
    mongoose_config:lookup_opt(config_path(HostType, Module, Path)).

-spec get_module_opts(host_type(), module()) -> module_opts().
get_module_opts(HostType, Module) ->
    check_exists(Module),
    mongoose_config:get_opt(config_path(HostType, Module, []), #{}).

-spec get_loaded_module_opts(host_type(), module()) -> module_opts().
get_loaded_module_opts(HostType, Module) ->
    mongoose_config:get_opt(config_path(HostType, Module, [])).

-spec is_loaded(host_type(), module()) -> boolean().
is_loaded(HostType, Module) ->
    is_map_key(Module, loaded_modules_with_opts(HostType)).

-spec loaded_modules_with_opts(host_type()) -> #{module() => module_opts()}.
loaded_modules_with_opts(HostType) ->
    mongoose_config:get_opt({modules, HostType}, #{}).

-spec get_module_proc(host_type(), module()) -> atom().
get_module_proc(HostType, Base) ->
    list_to_atom(atom_to_list(Base) ++ "_" ++ binary_to_list(HostType)).

config_path(HostType, Module, Path) when is_list(Path) -> [{modules, HostType}, Module | Path];
config_path(HostType, Module, Key) -> config_path(HostType, Module, [Key]).

check_exists(Module) ->
    code:ensure_loaded(Module) =:= {module, Module}
        orelse error(#{what => module_not_found, module => Module}).

%% Optional callbacks; the module has to be loaded for them to be seen.

-spec get_deps(host_type(), module(), module_opts()) -> [dep()].
get_deps(HostType, Module, Opts) ->
    call_optional(Module, deps, [HostType, Opts], []).

-spec does_module_support(module(), Feature :: atom()) -> boolean().
does_module_support(Module, Feature) ->
    lists:member(Feature, call_optional(Module, supported_features, [], [])).

-spec backend_opts(module()) -> [atom()].
backend_opts(Module) ->
    call_optional(Module, backend_opts, [], [backend]).

call_optional(Module, Function, Args, Default) ->
    case erlang:function_exported(Module, Function, length(Args)) of
        true -> apply(Module, Function, Args);
        false -> Default
    end.
