-module(event_pusher_retry_options).
-moduledoc "The section retry of backends with native pools: for how long an event is tried.".

-export([spec/0, settings/1]).

-include("mongoose_config_spec.hrl").

-spec spec() -> #section{}.
spec() ->
    #section{items = #{<<"max_age_ms">> => #option{type = integer, validate = positive}}}.

-spec settings(gen_mod:module_opts()) -> #{retry_max_age_ms => pos_integer()}.
settings(#{retry := #{max_age_ms := MaxAge}}) -> #{retry_max_age_ms => MaxAge};
settings(_Opts) -> #{}.
