-module(mongooseim_exports_SUITE).
-moduledoc "Holds what this application calls and exports to what each version of MongooseIM has.".

%% mongooseim_exports.tsv lists, for modules of MongooseIM and its dependencies, the functions that the
%% released versions export. The stand-in cannot hide a function that a server does not have.

-behaviour(ct_suite).

-export([all/0]).
-export([what_is_called_exists_in_all_versions/1,
         only_one_module_looks_for_functions_at_run_time/1,
         what_differs_between_versions_exists_where_it_is_called/1,
         all_that_a_version_exports_is_exported/1]).

-include_lib("stdlib/include/assert.hrl").

-define(VERSIONS, ["6.5.0", "6.6.0", "6.7.0", "6.8.0"]).
%% Of dependencies of the server that are not in the list, with functions that they all have.
-define(LIBRARIES, [{crypto, hash, 2}, {crypto, strong_rand_bytes, 1}, {jiffy, encode, 1}, {jiffy, decode, 2}]).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

%% Confirms it with the table of imports of each module.
what_is_called_exists_in_all_versions(_Config) ->
    Listed = listed(),
    Calls = [{Caller, Call} || Caller <- own_modules(), {M, _, _} = Call <- imports(Caller),
                               not lists:member(M, own_modules()), not is_otp(M)],
    ?assert(length(Calls) > 50),
    ?assertEqual([], [{Caller, Call, missing_in, Missing}
                      || {Caller, Call} <- Calls, not lists:member(Call, ?LIBRARIES),
                         Missing <- [?VERSIONS -- maps:get(Call, Listed, [])], Missing =/= []]).

%% Confirms that no call is hidden from the table of imports.
only_one_module_looks_for_functions_at_run_time(_Config) ->
    Looking = [Module || Module <- own_modules(),
                         lists:member({erlang, function_exported, 3}, imports(Module))],
    %% One for the server's functions, the others for those of modules that options name.
    ?assertEqual([event_pusher_callbacks, event_pusher_compat, mod_event_pusher_push_plugin],
                 lists:sort(Looking)).

%% Confirms what event_pusher_compat relies on.
what_differs_between_versions_exists_where_it_is_called(_Config) ->
    Listed = listed(),
    Newer = maps:get({mongoose_hooks, inbox_unread_count, 2}, Listed),
    Older = maps:get({mongoose_hooks, inbox_unread_count, 3}, Listed),
    ?assertEqual(?VERSIONS, lists:sort(Older ++ Newer)).

%% Confirms it for the family that is replaced, module by module.
all_that_a_version_exports_is_exported(_Config) ->
    Family = [{M, F, A} || {M, F, A} <- maps:keys(listed()),
                           lists:prefix("mod_event_pusher", atom_to_list(M))],
    ?assert(length(Family) > 50),
    ?assertEqual([], [MFA || {M, F, A} = MFA <- lists:sort(Family),
                             not (lists:member(M, own_modules()) andalso
                                  lists:member({F, A}, M:module_info(exports)))]).

%% Helpers

listed() ->
    [_Header | Rows] = string:lexemes(read("mongooseim_exports.tsv"), "\n"),
    maps:from_list([begin
        [Module, Function, Versions] = string:split(Row, "\t", all),
        [Name, Arity] = string:split(Function, "/", trailing),
        {{list_to_atom(Module), list_to_atom(Name), list_to_integer(Arity)},
         string:lexemes(Versions, " ")}
    end || Row <- Rows]).

%% Beside the source of this suite.
read(File) ->
    Source = proplists:get_value(source, ?MODULE:module_info(compile)),
    {ok, Text} = file:read_file(filename:join(filename:dirname(Source), File)),
    binary_to_list(Text).

own_modules() ->
    _ = application:load(event_pusher),
    {ok, Modules} = application:get_key(event_pusher, modules),
    Modules.

imports(Module) ->
    {ok, {Module, [{imports, Imports}]}} = beam_lib:chunks(code:which(Module), [imports]),
    Imports.

is_otp(Module) ->
    case code:which(Module) of
        preloaded -> true;
        Beam -> lists:member(application_of(Beam), ["kernel", "stdlib", "mnesia"])
    end.

%% As in lib/stdlib-4.2/ebin/lists.beam.
application_of(Beam) ->
    Folder = filename:basename(filename:dirname(filename:dirname(Beam))),
    hd(string:split(Folder, "-")).
