-module(mongoose_config_parser).
-moduledoc "Gives the options that the reader of a configuration file has made of it.".

-export([get_opts/1]).

-export_type([state/0]).

-type state() :: {state, mongoose_config:opts()}.

-spec get_opts(state()) -> [{mongoose_config:key(), term()}].
get_opts({state, Opts}) ->
    maps:to_list(Opts).
