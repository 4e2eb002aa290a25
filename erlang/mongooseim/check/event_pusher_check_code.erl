-module(event_pusher_check_code).
-moduledoc "Whether the modules and the native library of the application fit the release's own.".

-export([modules_load/0, modules_are_first/0, exports_are_kept/0, calls_exist/0, library_works/0]).

%% It asks at run time which functions there are.
-define(KNOWS_VERSIONS, [event_pusher_compat]).

%% The checks

-spec modules_load() -> event_pusher_check:outcome().
modules_load() ->
    %% The library has a check of its own.
    Modules = modules() -- [event_pusher_nif],
    Failed = [io_lib:format("~ts: ~tp", [Module, Reason])
              || Module <- Modules, {error, Reason} <- [code:ensure_loaded(Module)]],
    outcome(Failed, "~b modules load", [length(Modules)]).

%% The first file of that name in the code path is the one that is loaded.
-spec modules_are_first() -> event_pusher_check:outcome().
modules_are_first() ->
    Modules = modules(),
    Others = [io_lib:format("~ts comes from ~ts", [Module, Found])
              || Module <- Modules, Found <- [first(Module)], Found =/= file(Module)],
    outcome(Others, "~b modules come from ~ts", [length(Modules), folder()]).

%% Whatever calls the release's own module has to find the same functions in ours.
-spec exports_are_kept() -> event_pusher_check:outcome().
exports_are_kept() ->
    Own = stock_modules(),
    Replaced = [Module || Module <- Own, lists:member(Module, modules())],
    Missing = [io_lib:format("~ts:~ts/~b is missing", [Module, Function, Arity])
               || Module <- Replaced,
                  {Function, Arity} <- exports(stock_file(Module)) -- exports(file(Module))],
    Left = [io_lib:format("~ts stays the release's own", [Module])
            || Module <- Own -- Replaced, is_event_pusher(Module)],
    case outcome(Missing, "~b modules are replaced, with all they export", [length(Replaced)]) of
        {ok, Lines} when Left =/= [] -> {warning, Lines ++ Left};
        Outcome -> Outcome
    end.

%% Calls to modules that the release does not have are found like those to functions.
-spec calls_exist() -> event_pusher_check:outcome().
calls_exist() ->
    Ours = modules(),
    Calls = [{Module, Call} || Module <- Ours -- ?KNOWS_VERSIONS,
                               {M, _, _} = Call <- imports(file(Module)),
                               not lists:member(M, Ours)],
    Called = lists:usort([M || {_Module, {M, _, _}} <- Calls]),
    Exports = maps:from_list([{M, exports_of(M)} || M <- Called]),
    Missing = [io_lib:format("~ts:~ts/~b, which ~ts calls, is not there", [M, F, A, Module])
               || {Module, {M, F, A}} <- Calls,
                  not lists:member({F, A}, maps:get(M, Exports)),
                  not erlang:is_builtin(M, F, A)],
    outcome(Missing, "~b calls to ~b modules of the release find their function",
            [length(Calls), length(Called)]).

-spec library_works() -> event_pusher_check:outcome().
library_works() ->
    case code:ensure_loaded(event_pusher_nif) of
        {module, _} -> application_runs(application:ensure_all_started(event_pusher));
        {error, Reason} -> {failed, [io_lib:format("not loaded: ~ts", [why(Reason)])]}
    end.

application_runs({ok, _Started}) ->
    ok = application:stop(event_pusher),
    {ok, ["loads; the application starts and stops"]};
application_runs({error, Reason}) ->
    {failed, [io_lib:format("the application does not start: ~0tP", [Reason, 40])]}.

%% The loader keeps the cause to itself. A file that could be loaded, but not by this module, is the
%% case in which there is nothing to add.
why(on_load_failure) ->
    case erlang:load_nif(filename:rootname(library(), ".so"), 0) of
        {error, {load_failed, Text}} -> Text;
        _ -> "on_load_failure"
    end;
why(Reason) ->
    io_lib:format("~tp", [Reason]).

outcome([], Format, Args) -> {ok, [io_lib:format(Format, Args)]};
outcome(Failures, _Format, _Args) -> {failed, Failures}.

%% Ours

-spec modules() -> [module()].
modules() ->
    _ = application:load(event_pusher),
    {ok, Modules} = application:get_key(event_pusher, modules),
    Modules.

-spec folder() -> file:filename().
folder() ->
    case code:where_is_file("event_pusher.app") of
        non_existing -> error(application_not_in_code_path);
        File -> filename:dirname(File)
    end.

file(Module) ->
    filename:join(folder(), atom_to_list(Module) ++ ".beam").

library() ->
    filename:join([filename:dirname(folder()), "priv", "libevent_pusher_nif.so"]).

is_event_pusher(Module) ->
    lists:prefix("mod_event_pusher", atom_to_list(Module)).

%% The release's

first(Module) ->
    code:where_is_file(atom_to_list(Module) ++ ".beam").

%% Read from its folder, where they are whatever the code path says.
-spec stock_modules() -> [module()].
stock_modules() ->
    Files = filelib:wildcard("*.beam", stock_folder()),
    [list_to_atom(filename:rootname(File)) || File <- Files].

stock_file(Module) ->
    filename:join(stock_folder(), atom_to_list(Module) ++ ".beam").

stock_folder() ->
    case code:lib_dir(mongooseim) of
        {error, bad_name} -> error(mongooseim_not_in_code_path);
        Dir -> filename:join(Dir, "ebin")
    end.

%% Functions, from files as far as there are any: nothing of the server is loaded for it.
-spec exports_of(module()) -> [{atom(), arity()}].
exports_of(Module) ->
    case first(Module) of
        non_existing -> exports_of_loaded(Module);
        File -> exports(File)
    end.

%% Modules of the runtime itself have no file in the code path.
exports_of_loaded(Module) ->
    case erlang:module_loaded(Module) of
        true -> Module:module_info(exports);
        false -> []
    end.

exports(File) ->
    {ok, {_Module, [{exports, Exports}]}} = beam_lib:chunks(File, [exports]),
    Exports.

imports(File) ->
    {ok, {_Module, [{imports, Imports}]}} = beam_lib:chunks(File, [imports]),
    Imports.
