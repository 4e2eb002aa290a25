-module(event_pusher_env).
-moduledoc "The settings of the node, the environment of the application: ranges and defaults.".

-export([get/1, check/0, check/1, unknown/0, unknown/1, known/0]).
-export_type([setting/0]).

-type setting() :: runtime_threads | report_interval_ms | reconnect_max_ms.

-type error() :: #{what := event_pusher_bad_settings, reason := [binary(), ...],
                   text := binary()}.

-define(DAY_MS, 86400000).

%% What is not set has its default; what is out of range never gets here, see check/0.
-spec get(setting()) -> non_neg_integer().
get(Setting) ->
    case application:get_env(event_pusher, Setting, undefined) of
        undefined -> default(Setting);
        Value when is_integer(Value) -> Value
    end.

%% The error has a line for each setting that is out of range: its name, what is allowed, what came.
-spec check() -> ok | {error, error()}.
check() ->
    check(application:get_all_env(event_pusher)).

%% The same of settings that are not set yet.
-spec check([{atom(), term()}]) -> ok | {error, error()}.
check(Settings) ->
    case complaints(Settings) of
        [] -> ok;
        Complaints -> {error, #{what => event_pusher_bad_settings, reason => Complaints,
                                text => <<"Settings of event_pusher are in app.config">>}}
    end.

%% What nobody reads, as a setting whose name is misspelt.
-spec unknown() -> [atom()].
unknown() ->
    unknown(application:get_all_env(event_pusher)).

-spec unknown([{atom(), term()}]) -> [atom()].
unknown(Settings) ->
    %% This one is the system's own.
    lists:usort([Key || {Key, _Value} <- Settings]) -- [included_applications | known()].

-spec known() -> [setting()].
known() ->
    [Setting || {Setting, _Least, _Most} <- ranges()].

-spec complaints([{atom(), term()}]) -> [binary()].
complaints(Settings) ->
    [complaint(Setting, Least, Most, Value)
     || {Setting, Least, Most} <- ranges(),
        Value <- [proplists:get_value(Setting, Settings)],
        Value =/= undefined, not (is_integer(Value) andalso Least =< Value andalso Value =< Most)].

-spec ranges() -> [{setting(), Least :: non_neg_integer(), Most :: pos_integer()}].
ranges() ->
    [{runtime_threads, 1, 1024}, {report_interval_ms, 1, ?DAY_MS}, {reconnect_max_ms, 0, ?DAY_MS}].

complaint(Setting, Least, Most, Value) ->
    Text = io_lib:format("~ts: must be an integer from ~b to ~b, got ~0tP",
                         [Setting, Least, Most, Value, 10]),
    unicode:characters_to_binary(Text).

%% A thread of the Rust runtime for each two schedulers leaves processor time for the server.
default(runtime_threads) -> max(2, erlang:system_info(schedulers_online) div 2);
%% How often a pool reports what became of its events.
default(report_interval_ms) -> 5000;
%% The longest wait between two attempts to connect to RabbitMQ, and the wait after it has refused
%% something.
default(reconnect_max_ms) -> 30000.
