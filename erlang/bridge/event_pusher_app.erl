-module(event_pusher_app).
-moduledoc "Starts the Rust runtime, then the supervisor of the pools; stops them in reverse.".

%% The server has modules of the same names. If some of them were found before ours, two different
%% things would work together until they do not, so this refuses to start.

-behaviour(application).

-export([start/2, stop/1]).

-include_lib("kernel/include/logger.hrl").

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case not_ours() of
        [] -> start_checked(event_pusher_env:check());
        Others -> {error, #{what => event_pusher_modules_of_others, modules => Others,
                            text => <<"The folder of event_pusher has to be the first in the code "
                                      "path that has these modules: start the server with -pa">>}}
    end.

start_checked(ok) -> ok = tell_unknown(event_pusher_env:unknown()), start_runtime();
start_checked({error, Reason}) -> {error, Reason}.

%% It is no reason not to start: another version may know them.
tell_unknown([]) ->
    ok;
tell_unknown(Settings) ->
    ?LOG_WARNING(#{what => event_pusher_unknown_settings, settings => Settings,
                   known => event_pusher_env:known(),
                   text => <<"app.config has settings of event_pusher that do not exist; they have no effect">>}).

-spec start_runtime() -> {ok, pid()} | {error, term()}.
start_runtime() ->
    case event_pusher_nif:start_runtime(event_pusher_env:get(runtime_threads)) of
        ok -> event_pusher_sup:start_link();
        {error, Reason} -> {error, {runtime, Reason}}
    end.

%% Modules of this application that the node has from another folder than this one.
-spec not_ours() -> [{module(), Found :: file:filename() | atom()}].
not_ours() ->
    Folder = folder(code:which(?MODULE)),
    {ok, Modules} = application:get_key(event_pusher, modules),
    [{Module, Found} || Module <- Modules, Found <- [code:which(Module)],
                        is_atom(Found) orelse folder(Found) =/= Folder].

%% The code path may have folders that are relative to the server's.
folder(Beam) ->
    filename:dirname(filename:absname(Beam)).

-spec stop(term()) -> ok.
stop(_State) ->
    event_pusher_nif:stop_runtime().
