-module(event_pusher_queue_options).
-moduledoc "The section queue of each backend: how much may wait, how long, and how long a stop takes.".

-export([spec/0, values/1, complaints/1]).
-export_type([values/0]).

-include("mongoose_config_spec.hrl").

-type values() :: #{max_events := pos_integer(), max_bytes := pos_integer(),
                    on_full := drop_new | drop_old, max_age_ms => pos_integer(), drain_timeout_ms := non_neg_integer()}.

-define(DAY_MS, 86400000).

-spec spec() -> #section{}.
spec() ->
    #section{items = #{<<"max_events">> => #option{type = integer, validate = positive},
                       <<"max_bytes">> => #option{type = integer, validate = positive},
                       <<"on_full">> => #option{type = atom,
                                                validate = {enum, [drop_new, drop_old]}},
                       <<"max_age_ms">> => #option{type = integer, validate = positive},
                       <<"drain_timeout_ms">> => #option{type = integer,
                                                         validate = non_negative}}}.

%% Not in the spec: existing configurations keep the very options that they have today. The server's
%% own callers give a change of modules 5 seconds, in which all four backends may have to stop.
-spec values(gen_mod:module_opts()) -> values().
values(Opts) ->
    Defaults = #{max_events => 100000, max_bytes => 64 * 1024 * 1024, on_full => drop_new,
                 drain_timeout_ms => 1000},
    maps:merge(Defaults, maps:get(queue, Opts, #{})).

%% Of push notifications: of the other backends, the native side checks all.
-spec complaints(gen_mod:module_opts()) -> [binary()].
complaints(Opts) ->
    case values(Opts) of
        #{drain_timeout_ms := Drain} when Drain =< ?DAY_MS ->
            [];
        #{drain_timeout_ms := Drain} ->
            [unicode:characters_to_binary(
                io_lib:format("queue.drain_timeout_ms: must be from 0 to ~b, got ~b",
                              [?DAY_MS, Drain]))]
    end.
