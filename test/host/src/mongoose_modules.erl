-module(mongoose_modules).
-moduledoc "Starts and stops the modules of all host types, and changes them at run time.".

-export([start/0, stop/0, ensure_started/3, ensure_stopped/2, replace_modules/3]).

-type host_type() :: gen_mod:host_type().
-type opts() :: gen_mod:module_opts().

%% Hooks take effect later in the boot, with gen_hook:reload_hooks/0.
-spec start() -> ok.
start() ->
    lists:foreach(fun(HostType) ->
        [gen_mod:start_module(HostType, Module, Opts) || {Module, Opts} <- sorted(HostType)]
    end, host_types()).

-spec stop() -> ok.
stop() ->
    lists:foreach(fun(HostType) ->
        [stop_loaded(HostType, Module) || {Module, _Opts} <- lists:reverse(sorted(HostType))]
    end, host_types()).

%% Takes no care of dependencies.
-spec ensure_started(host_type(), module(), opts()) ->
          already_started | {started, term()} | {restarted, PrevOpts :: opts(), term()}.
ensure_started(HostType, Module, Opts) ->
    Result = do_ensure_started(HostType, Module, Opts),
    gen_hook:reload_hooks(),
    Result.

%% Takes no care of dependencies.
-spec ensure_stopped(host_type(), module()) -> already_stopped | {stopped, opts()}.
ensure_stopped(HostType, Module) ->
    Result = do_ensure_stopped(HostType, Module),
    gen_hook:reload_hooks(),
    Result.

%% Stops the given modules with their dependencies, unless the others need them; starts or restarts
%% those others with their dependencies.
-spec replace_modules(host_type(), ToStop :: [module()], ToEnsure :: gen_mod_deps:modules()) -> ok.
replace_modules(HostType, ToStop, ToEnsure) ->
    Running = maps:with(ToStop, gen_mod:loaded_modules_with_opts(HostType)),
    Old = gen_mod_deps:resolve_deps(HostType, Running),
    New = gen_mod_deps:resolve_deps(HostType, ToEnsure),
    Unneeded = gen_mod_deps:sort_deps(HostType, maps:without(maps:keys(New), Old)),
    lists:foreach(fun({Module, _Opts}) -> do_ensure_stopped(HostType, Module) end,
                  lists:reverse(Unneeded)),
    lists:foreach(fun({Module, Opts}) -> do_ensure_started(HostType, Module, Opts) end,
                  gen_mod_deps:sort_deps(HostType, New)),
    gen_hook:reload_hooks().

do_ensure_started(HostType, Module, Opts) ->
    _ = code:ensure_loaded(Module),
    case gen_mod:loaded_modules_with_opts(HostType) of
        #{Module := Opts} ->
            already_started;
        #{Module := PrevOpts} ->
            stop_loaded(HostType, Module),
            {restarted, PrevOpts, start_new(HostType, Module, Opts)};
        #{} ->
            {started, start_new(HostType, Module, Opts)}
    end.

do_ensure_stopped(HostType, Module) ->
    case gen_mod:loaded_modules_with_opts(HostType) of
        #{Module := Opts} ->
            stop_loaded(HostType, Module),
            {stopped, Opts};
        #{} ->
            already_stopped
    end.

%% A module that does not start is not loaded.
start_new(HostType, Module, Opts) ->
    Loaded = gen_mod:loaded_modules_with_opts(HostType),
    mongoose_config:set_opt({modules, HostType}, Loaded#{Module => Opts}),
    try
        {ok, Result} = gen_mod:start_module(HostType, Module, Opts),
        Result
    catch
        Class:Reason:Stacktrace ->
            mongoose_config:set_opt({modules, HostType}, Loaded),
            erlang:raise(Class, Reason, Stacktrace)
    end.

stop_loaded(HostType, Module) ->
    gen_mod:stop_module(HostType, Module),
    mongoose_config:unset_opt([{modules, HostType}, Module]).

sorted(HostType) ->
    gen_mod_deps:sort_deps(HostType, gen_mod:loaded_modules_with_opts(HostType)).

host_types() ->
    mongoose_config:get_opt(hosts) ++ mongoose_config:get_opt(host_types).
