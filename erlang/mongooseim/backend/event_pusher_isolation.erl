-module(event_pusher_isolation).
-moduledoc "Runs what handles one event: a crash, as in a plugin, costs that event only.".

-export([run/3]).

-include_lib("kernel/include/logger.hrl").

%% The result is the last argument after a crash.
-spec run(event_pusher_backend:labels(), fun(() -> Result), Result) -> Result.
run(Labels, Handle, Otherwise) ->
    try
        Handle()
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(Labels#{what => event_pusher_event_failed, class => Class,
                               reason => event_pusher_crash:kind(Reason),
                               stacktrace => event_pusher_crash:places(Stacktrace)}),
            Otherwise
    end.
