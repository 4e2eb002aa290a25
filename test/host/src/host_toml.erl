-module(host_toml).
-moduledoc "Reads a TOML file; the reader is the one in Python's standard library, from 3.11 on.".

-export([read/1]).

-type value() :: binary() | integer() | float() | boolean() | [value()] | table().
-type table() :: #{binary() => value()}.

-export_type([value/0, table/0]).

%% A file that is no TOML raises a config_error, like every other fault of the configuration.
-spec read(file:filename_all()) -> table().
read(Path) ->
    Script = filename:join(code:priv_dir(host), "toml_to_term.py"),
    Port = open_port({spawn_executable, python()}, [{args, [Script, Path]}, binary, exit_status]),
    case output(Port, []) of
        {0, Term} ->
            binary_to_term(Term, [safe]);
        {_Status, Reason} ->
            Error = #{what => toml_parsing_failed, path => Path, text => Reason},
            error({config_error, "Could not read the TOML configuration file", [Error]})
    end.

python() ->
    case os:find_executable("python3") of
        false -> error(python3_not_found);
        Python -> Python
    end.

output(Port, Chunks) ->
    receive
        {Port, {data, Chunk}} -> output(Port, [Chunk | Chunks]);
        {Port, {exit_status, Status}} -> {Status, iolist_to_binary(lists:reverse(Chunks))}
    end.
