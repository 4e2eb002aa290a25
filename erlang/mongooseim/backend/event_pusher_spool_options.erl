-module(event_pusher_spool_options).
-moduledoc "The section spool: where events are kept on disk that have not ended.".

-export([spec/0, settings/2, complaints/1, is_configured/1]).

-include("mongoose_config_spec.hrl").

-spec spec() -> #section{}.
spec() ->
    #section{items = #{<<"dir">> => #option{type = binary, validate = non_empty},
                       <<"max_bytes">> => #option{type = integer, validate = positive},
                       <<"sync">> => #option{type = int_or_atom},
                       <<"max_age_ms">> => #option{type = integer, validate = positive}},
             required = [<<"dir">>],
             defaults = #{<<"max_bytes">> => 1024 * 1024 * 1024, <<"sync">> => 500}}.

%% For a pool that keeps its events under this name.
-spec settings(gen_mod:module_opts(), Log :: binary()) -> #{spool => event_pusher:spool()}.
settings(#{spool := #{sync := Sync} = Spool}, Log) ->
    Options = maps:merge(#{max_age_ms => none}, Spool#{sync := sync(Sync)}),
    #{spool => #{log => Log, options => Options}};
settings(_Opts, _Log) ->
    #{}.

sync(Ms) when is_integer(Ms) -> {ms, max(0, Ms)};
sync(_Word) -> always.

%% About what the native side does not see.
-spec complaints(gen_mod:module_opts()) -> [binary()].
complaints(#{spool := #{sync := Sync}}) when is_atom(Sync), Sync =/= always ->
    Text = io_lib:format("spool.sync: must be \"always\" or an integer, milliseconds, got \"~ts\"",
                         [Sync]),
    [unicode:characters_to_binary(Text)];
complaints(_Opts) ->
    [].

-spec is_configured(mongooseim:host_type()) -> boolean().
is_configured(HostType) ->
    gen_mod:get_module_opt(HostType, mod_event_pusher, spool, none) =/= none.
