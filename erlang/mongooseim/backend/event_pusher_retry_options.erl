-module(event_pusher_retry_options).
-moduledoc "The section retry of backends with native pools: for how long an event is tried.".

-export([spec/0, settings/2]).

-include("mongoose_config_spec.hrl").

%% A day.
-define(WITH_SPOOL_MS, 86400000).

-spec spec() -> #section{}.
spec() ->
    #section{items = #{<<"max_age_ms">> => #option{type = integer, validate = positive}}}.

%% Who keeps events on disk wants them to outlive an outage, so a spool alone implies an age. Not with
%% RabbitMQ: an outage of the broker costs no attempts there, and nacks are better counted, because each
%% may give the other queues one more copy.
-spec settings(event_pusher_backend:pool_type(), gen_mod:module_opts()) ->
    #{retry_max_age_ms => pos_integer()}.
settings(_PoolType, #{retry := #{max_age_ms := MaxAge}}) -> #{retry_max_age_ms => MaxAge};
settings(rabbit, _Opts) -> #{};
settings(_PoolType, #{spool := _}) -> #{retry_max_age_ms => ?WITH_SPOOL_MS};
settings(_PoolType, _Opts) -> #{}.
