-module(event_pusher_start).
-moduledoc "Starts the module of a backend, or leaves nothing behind.".

-export([run/4, refuse/2]).

%% A start that fails leaves nothing behind: neither what the module has started, nor its metrics,
%% which the server has registered before and would not register again. While it is only checked
%% whether it may start, there is nothing to stop.
-spec run(module(), mongooseim:host_type(), Check :: fun(() -> ok), Start :: fun(() -> ok)) -> ok.
run(Module, HostType, Check, Start) ->
    try
        ok = start_application(),
        ok = Check(),
        start_or_stop(Module, HostType, Start)
    catch
        Class:Reason:Stacktrace ->
            mongoose_instrument:tear_down(Module:instrumentation(HostType)),
            %% The server logs both.
            erlang:raise(Class, event_pusher_crash:outline(Reason),
                         event_pusher_crash:places(Stacktrace))
    end.

start_or_stop(Module, HostType, Start) ->
    try
        Start()
    catch
        Class:Reason:Stacktrace ->
            Module:stop(HostType),
            erlang:raise(Class, Reason, Stacktrace)
    end.

%% What is read when a module starts may have been changed since the application did.
start_application() ->
    case application:ensure_all_started(event_pusher) of
        {ok, _} -> settings_are_good(event_pusher_env:check());
        {error, Reason} -> error(#{what => event_pusher_not_started, reason => cause(Reason)})
    end.

settings_are_good(ok) -> ok;
settings_are_good({error, Error}) -> error(Error).

%% Without what the application controller adds to it.
cause({event_pusher, {Cause, {event_pusher_app, start, _Args}}}) -> Cause;
cause(Reason) -> Reason.

%% Ends the start of a module, with a line for each option that cannot be used.
-spec refuse(event_pusher_backend:labels(), Reason :: atom() | [binary(), ...]) -> no_return().
refuse(Labels, Reason) ->
    error(Labels#{what => event_pusher_pool_not_started, reason => Reason}).
