-module(event_pusher_nif).
-moduledoc "The functions of the native library. Only event_pusher and its processes call them.".

-export([start_runtime/1, stop_runtime/0]).
-export([check_pool/1, start_pool/1, close_pool/1, stop_pool/2, push/2]).
-export([pause_pool/1, resume_pool/1, retry_now/1, purge_pool/2]).
-export([stats/1, report/1, told/1]).
-export([try_tls/4, probe/1, spool_orphans/2, spool_room/1]).
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
-spec stop_pool(pool(), non_neg_integer()) -> ok.
stop_pool(_Pool, _DrainMs) ->
    erlang:nif_error(not_loaded).

-spec push(pool(), event_pusher:message()) -> ok | {error, full | closed}.
push(_Pool, _Message) ->
    erlang:nif_error(not_loaded).

%% Nothing is attempted until the pool is resumed, or closed.
-spec pause_pool(pool()) -> ok.
pause_pool(_Pool) ->
    erlang:nif_error(not_loaded).

-spec resume_pool(pool()) -> ok.
resume_pool(_Pool) ->
    erlang:nif_error(not_loaded).

%% Makes attempts now that wait for their time.
-spec retry_now(pool()) -> ok.
retry_now(_Pool) ->
    erlang:nif_error(not_loaded).

%% Dirty: drops what waits and is that old; tells how many messages.
-spec purge_pool(pool(), AgeMs :: non_neg_integer()) -> non_neg_integer().
purge_pool(_Pool, _AgeMs) ->
    erlang:nif_error(not_loaded).

-spec stats(pool()) -> event_pusher:stats().
stats(_Pool) ->
    erlang:nif_error(not_loaded).

-spec report(pool()) -> event_pusher:report().
report(_Pool) ->
    erlang:nif_error(not_loaded).

%% The latest report was told. Until then, the next one says the same again, and more.
-spec told(pool()) -> ok.
told(_Pool) ->
    erlang:nif_error(not_loaded).

%% Dirty: makes a TLS connection and ends it.
-spec try_tls(Host :: binary(), inet:port_number(), event_pusher:tls(), pos_integer()) ->
    ok | {error, {options, [binary()]} | {connection, binary()}}.
try_tls(_Host, _Port, _Tls, _PatienceMs) ->
    erlang:nif_error(not_loaded).

%% Dirty: tries the receiver, and starts nothing.
-spec probe(event_pusher:settings()) -> {ok, [event_pusher:finding()]} | {error, [binary()]}.
probe(_Settings) ->
    erlang:nif_error(not_loaded).

%% Dirty: counts what is in the directory of a spool in logs with other names.
-spec spool_orphans(Dir :: binary(), Logs :: [binary()]) ->
    {ok, [{Folder :: binary(), Events :: non_neg_integer(), Bytes :: pos_integer()}]}
    | {error, binary()}.
spool_orphans(_Dir, _Logs) ->
    erlang:nif_error(not_loaded).

%% Dirty: looks at the directory of a spool, which has to be there.
-spec spool_room(Dir :: binary()) -> {ok, event_pusher:spool_room()} | {error, binary()}.
spool_room(_Dir) ->
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
