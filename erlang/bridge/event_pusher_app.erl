-module(event_pusher_app).
-moduledoc "Starts the Rust runtime, then the supervisor of the pools; stops them in reverse.".

-behaviour(application).

-export([start/2, stop/1]).
-export([runtime_threads/0]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case event_pusher_nif:start_runtime(runtime_threads()) of
        ok -> event_pusher_sup:start_link();
        {error, Reason} -> {error, {runtime, Reason}}
    end.

-spec stop(term()) -> ok.
stop(_State) ->
    event_pusher_nif:stop_runtime().

-spec runtime_threads() -> pos_integer().
runtime_threads() ->
    case application:get_env(event_pusher, runtime_threads, undefined) of
        undefined -> max(2, erlang:system_info(schedulers_online) div 2);
        Threads when is_integer(Threads), Threads > 0 -> Threads
    end.
