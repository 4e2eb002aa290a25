-module(event_pusher_directory).
-moduledoc "Which pools there are, of whatever kind, for those who look at them or handle them.".

-export([enter/2, leave/1, all/0, find/1]).
-export_type([about/0]).

-doc "What is known of a pool: the module that handles it, and what metrics and log lines call it.".
-type about() :: #{module := module(), host_type := binary(), pool_type := atom(), pool_tag := atom(),
                   receiver => binary()}.

-callback stats(event_pusher:name()) -> {ok, event_pusher:stats()} | {error, closed}.
-doc "What is found at what it delivers to, without delivering anything.".
-callback probe(event_pusher:name()) -> {ok, [event_pusher:finding()]} | {error, closed}.
-doc "Nothing is attempted from now on; what comes is accepted as before.".
-callback pause(event_pusher:name()) -> ok | {error, closed}.
-callback resume(event_pusher:name()) -> ok | {error, closed}.
-doc "What waits for its next attempt has it now.".
-callback retry_now(event_pusher:name()) -> ok | {error, closed}.
-doc "Drops what waits and was accepted so long ago, or before; how many events.".
-callback purge(event_pusher:name(), AgeMs :: non_neg_integer()) ->
    {ok, Events :: non_neg_integer()} | {error, closed}.

-define(KEY(Name), {?MODULE, Name}).

-spec enter(event_pusher:name(), about()) -> ok.
enter(Name, About) ->
    persistent_term:put(?KEY(Name), About).

-spec leave(event_pusher:name()) -> ok.
leave(Name) ->
    _ = persistent_term:erase(?KEY(Name)),
    ok.

%% By name.
-spec all() -> [{event_pusher:name(), about()}].
all() ->
    lists:sort([{Name, About} || {?KEY(Name), About} <- persistent_term:get()]).

-spec find(event_pusher:name()) -> {ok, about()} | {error, unknown}.
find(Name) ->
    case persistent_term:get(?KEY(Name), unknown) of
        unknown -> {error, unknown};
        About -> {ok, About}
    end.
