-module(mongoose_config_parser_toml).
-moduledoc "Reads a configuration file; all its faults are in one error.".

-export([parse_file/1]).

-spec parse_file(file:filename()) -> mongoose_config_parser:state().
parse_file(File) ->
    {state, host_config:load(File)}.
