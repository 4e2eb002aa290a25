-module(event_pusher_nif).
-moduledoc "The functions of the native library. Only event_pusher and its processes call them.".

-export([start_runtime/1, stop_runtime/0]).
-export([check_pool/1, start_pool/1, close_pool/1, stop_pool/2, push/2, stats/1, report/1]).
-export([try_tls/4]).
-export_type([pool/0]).

-on_load(load/0).

-opaque pool() :: reference().

%% Dirty: starts the runtime with that many threads.
-spec start_runtime(pos_integer()) -> ok | {error, already_running | binary()}.
start_runtime(_Threads) ->
    erlang:nif_error(not_loaded).

%% Dirty: ends the runtime and all that runs on it.
-spec stop_runtime() -> ok.
stop_runtime() ->
    erlang:nif_error(not_loaded).

%% Dirty: reads files that settings name, and starts nothing.
-spec check_pool(event_pusher:settings()) -> ok | {error, [binary()]}.
check_pool(_Settings) ->
    erlang:nif_error(not_loaded).

%% Dirty: starts a pool that the calling process owns; it ends when that process does.
-spec start_pool(event_pusher:settings()) -> {ok, pool()} | {error, not_running | [binary()]}.
start_pool(_Settings) ->
    erlang:nif_error(not_loaded).

%% Refuses new messages from now on; the time to drain begins.
-spec close_pool(pool()) -> ok.
close_pool(_Pool) ->
    erlang:nif_error(not_loaded).

%% Dirty: drains the pool for up to that many milliseconds since it was closed.
-spec stop_pool(pool(), non_neg_integer()) -> event_pusher:report().
stop_pool(_Pool, _DrainMs) ->
    erlang:nif_error(not_loaded).

-spec push(pool(), event_pusher:message()) -> ok | {error, full | closed}.
push(_Pool, _Message) ->
    erlang:nif_error(not_loaded).

-spec stats(pool()) -> event_pusher:stats().
stats(_Pool) ->
    erlang:nif_error(not_loaded).

-spec report(pool()) -> event_pusher:report().
report(_Pool) ->
    erlang:nif_error(not_loaded).

%% Dirty: makes a TLS connection and ends it.
-spec try_tls(Host :: binary(), inet:port_number(), event_pusher:tls(), pos_integer()) ->
    ok | {error, {options, [binary()]} | {connection, binary()}}.
try_tls(_Host, _Port, _Tls, _PatienceMs) ->
    erlang:nif_error(not_loaded).

-spec load() -> ok | {error, {atom(), string()}}.
load() ->
    erlang:load_nif(filename:join(priv_dir(), "libevent_pusher_nif"), 0).

%% The library lies beside the beams also where the application is not in the code path by name.
-spec priv_dir() -> file:filename().
priv_dir() ->
    case code:priv_dir(event_pusher) of
        {error, bad_name} ->
            filename:join(filename:dirname(filename:dirname(code:which(?MODULE))), "priv");
        Dir ->
            Dir
    end.
