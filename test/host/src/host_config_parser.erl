-module(host_config_parser).
-moduledoc "Applies a config spec to a TOML document, and tells all faults at once.".

-export([process/2]).

-include("mongoose_config_spec.hrl").

-type config_node() :: #section{} | #list{} | #option{}.
-type step() :: binary() | item | {host, binary()}.
-type path() :: [step()].
-type result(Type) :: {ok, Type} | {errors, [map(), ...]}.

-export_type([config_node/0, path/0]).

%% Gives the value of the outermost node; its own wrap is left out.
-spec process(config_node(), host_toml:value()) -> term().
process(Node, Value) ->
    case content([], Value, Node) of
        {ok, Content} -> Content;
        {errors, Errors} -> error({config_error, "Could not use the configuration file", Errors})
    end.

%% A node becomes a list, as its wrap may leave nothing of it, or several things.
-spec handle(path(), host_toml:value(), config_node()) -> result([term()]).
handle(Path, Value, Node) ->
    case content(Path, Value, Node) of
        {ok, Content} -> guarded(Path, Value, fun() -> wrap(Path, Content, wrap_kind(Node)) end);
        Errors -> Errors
    end.

content(Path, Value, Node = #option{}) ->
    run([fun parse/3, fun validate/3, fun post_process/3], Path, Value, Node);
content(Path, Value, Node) ->
    Steps = [fun parse/3, fun validate/3, fun format_items/3, fun post_process/3],
    run(Steps, Path, Value, Node).

%% The first step that fails ends the node.
run([], _Path, Value, _Node) ->
    {ok, Value};
run([Step | Rest], Path, Value, Node) ->
    case guarded(Path, Value, fun() -> Step(Path, Value, Node) end) of
        {ok, {errors, Errors}} -> {errors, Errors};
        {ok, {ok, NewValue}} -> run(Rest, Path, NewValue, Node);
        {errors, Errors} -> {errors, Errors}
    end.

guarded(Path, Value, Fun) ->
    try
        {ok, Fun()}
    catch
        error:Reason:Stacktrace -> {errors, [error_map(Path, Value, Reason, Stacktrace)]}
    end.

error_map(Path, Value, Reason = #{what := _}, _Stacktrace) ->
    Reason#{toml_path => toml_path(Path), toml_value => Value};
error_map(Path, Value, Reason, Stacktrace) ->
    Crash = #{what => toml_processing_failed, text => text("cannot be processed: ~0tp", [Value]),
              class => error, reason => Reason, stacktrace => Stacktrace},
    error_map(Path, Value, Crash, Stacktrace).

toml_path(Path) ->
    iolist_to_binary(lists:join($., [Key || Key <- lists:reverse(Path), is_binary(Key)])).

text(Format, Args) ->
    unicode:characters_to_binary(io_lib:format(Format, Args)).

%% Step 1: parse

parse(Path, Table, Section = #section{}) when is_map(Table) ->
    check_required(Table, Section),
    collect([parse_key([Key | Path], Table, Section) || Key <- all_keys(Table, Section)]);
parse(Path, Items, #list{items = Node}) when is_list(Items) ->
    collect([parse_item(Path, Item, Node) || Item <- Items]);
parse(_Path, Value, #option{type = Type}) ->
    {ok, convert(Value, Type)};
parse(_Path, Value, Node) ->
    %% The server tells its reader the spec.
    error(#{what => invalid_type, reason => {case_clause, Node},
            text => text("expected a ~ts, got ~0tp", [element(1, Node), Value])}).

check_required(Table, #section{items = Items, required = all}) ->
    check_required(Table, #section{required = [Key || Key <- maps:keys(Items), is_binary(Key)]});
check_required(Table, #section{required = Required}) ->
    case Required -- maps:keys(Table) of
        [] ->
            ok;
        Missing ->
            missing_keys(Missing)
    end.

missing_keys(Keys) ->
    error(#{what => missing_mandatory_keys, missing_keys => Keys,
            text => text("required but missing: ~ts", [lists:join(", ", Keys)])}).

all_keys(Table, #section{items = Items, defaults = Defaults}) ->
    Always = [Key || {Key, #section{include = always}} <- maps:to_list(Items), is_binary(Key)],
    lists:usort(maps:keys(Table) ++ maps:keys(Defaults) ++ Always).

parse_key(Path = [Key | _], Table, Section) when is_map_key(Key, Table) ->
    Value = maps:get(Key, Table),
    case guarded(Path, Value, fun() -> checked_node(Key, Section) end) of
        {ok, Node} -> handle(Path, Value, Node);
        Errors -> Errors
    end;
parse_key(Path = [Key | _], _Table, Section = #section{defaults = Defaults})
  when is_map_key(Key, Defaults) ->
    Default = maps:get(Key, Defaults),
    guarded(Path, Default, fun() -> wrap(Path, Default, wrap_kind(node_of(Key, Section))) end);
parse_key(Path = [Key | _], _Table, Section) ->
    handle(Path, #{}, node_of(Key, Section)).

checked_node(Key, Section = #section{validate_keys = Check}) ->
    mongoose_config_validator:validate(binary_to_atom(Key), atom, Check),
    node_of(Key, Section).

node_of(Key, #section{items = Items}) ->
    case Items of
        #{Key := Node} -> Node;
        #{default := Node} -> Node;
        #{} -> error(#{what => unexpected_key, unexpected_key => Key,
                       text => text("expected one of: ~ts; got ~ts",
                                    [lists:join(", ", maps:keys(Items)), Key])})
    end.

parse_item(Path = [<<"host_config">>], Item, Node) ->
    case guarded(Path, Item, fun() -> host_step(Item) end) of
        {ok, Step} -> handle([Step | Path], Item, Node);
        Errors -> Errors
    end;
parse_item(Path, Item, Node) ->
    handle([item | Path], Item, Node).

host_step(#{<<"host">> := Host}) when is_binary(Host) -> {host, Host};
host_step(#{<<"host_type">> := HostType}) when is_binary(HostType) -> {host, HostType};
host_step(_) -> missing_keys([<<"host">>]).

collect(Results) ->
    case lists:append([Errors || {errors, Errors} <- Results]) of
        [] -> {ok, lists:append([Items || {ok, Items} <- Results])};
        Errors -> {errors, Errors}
    end.

convert(Value, boolean) when is_boolean(Value) -> Value;
convert(Value, binary) when is_binary(Value) -> Value;
convert(Value, string) when is_binary(Value) -> binary_to_list(Value);
convert(Value, atom) when is_binary(Value) -> binary_to_atom(Value);
convert(Value, integer) when is_integer(Value) -> Value;
convert(Value, float) when is_float(Value) -> Value;
convert(<<"infinity">>, int_or_infinity) -> infinity;
convert(Value, int_or_infinity) when is_integer(Value) -> Value;
convert(Value, int_or_atom) when is_integer(Value) -> Value;
convert(Value, int_or_atom) when is_binary(Value) -> binary_to_atom(Value);
convert(Value, Type) ->
    error(#{what => invalid_type,
            text => text("expected ~ts, got ~0tp", [type_name(Type), Value])}).

type_name(boolean) -> "true or false";
type_name(Text) when Text =:= binary; Text =:= string; Text =:= atom -> "a text";
type_name(integer) -> "an integer";
type_name(float) -> "a number with a fraction";
type_name(int_or_infinity) -> "an integer or \"infinity\"";
type_name(int_or_atom) -> "an integer or a text".

%% Steps 2 to 4: validate, format items, process

validate(_Path, Items, #section{validate = Check}) ->
    mongoose_config_validator:validate_section(Items, Check),
    {ok, Items};
validate(_Path, Items, #list{validate = Check}) ->
    mongoose_config_validator:validate_list(Items, Check),
    {ok, Items};
validate(_Path, Value, #option{type = Type, validate = Check}) ->
    mongoose_config_validator:validate(Value, Type, Check),
    {ok, Value}.

format_items(_Path, Items, #section{format_items = Format}) -> {ok, format(Items, Format)};
format_items(_Path, Items, #list{format_items = Format}) -> {ok, format(Items, Format)}.

format(Items, list) ->
    Items;
format(Items, map) ->
    Keys = [Key || {Key, _Value} <- Items],
    case Keys -- lists:usort(Keys) of
        [] -> maps:from_list(Items);
        Duplicates ->
            error(#{what => duplicate_keys, duplicates => Duplicates,
                    text => text("expected each key once, got again: ~0tp", [Duplicates])})
    end.

post_process(Path, Value, #section{process = Process}) -> processed(Process, Path, Value);
post_process(Path, Value, #list{process = Process}) -> processed(Process, Path, Value);
post_process(Path, Value, #option{process = Process}) -> processed(Process, Path, Value).

%% A process function may give errors in the place of a value. They stay as they are.
processed(Process, Path, Value) ->
    case apply_all(Process, Path, Value) of
        [#{what := _, class := error} | _] = Errors -> {errors, Errors};
        Processed -> {ok, Processed}
    end.

apply_all(Functions, Path, Value) when is_list(Functions) ->
    lists:foldl(fun(Function, V) -> apply_all(Function, Path, V) end, Value, Functions);
apply_all(Function, _Path, Value) when is_function(Function, 1) -> Function(Value);
apply_all(Function, Path, Value) when is_function(Function, 2) -> Function(Path, Value).

%% Step 5: wrap

wrap_kind(#section{wrap = Wrap}) -> Wrap;
wrap_kind(#list{wrap = Wrap}) -> Wrap;
wrap_kind(#option{wrap = Wrap}) -> Wrap.

wrap([Key | _], Value, default) when is_binary(Key) -> [{binary_to_atom(Key), Value}];
wrap(_Path, Value, default) -> [Value];
wrap(_Path, Value, item) -> [Value];
wrap(_Path, _Value, remove) -> [];
wrap(_Path, Values, none) when is_list(Values) -> Values;
wrap([Key | Path], Value, host_config) -> [{{binary_to_atom(Key), host_type(Path)}, Value}];
wrap([Key | Path], Value, global_config) ->
    host_type(Path) =:= global
        orelse error(#{what => not_allowed_in_host_config,
                       text => text("~ts is allowed outside of host_config only", [Key])}),
    [{binary_to_atom(Key), Value}].

host_type(Path) ->
    case [HostType || {host, HostType} <- Path] of
        [HostType] -> HostType;
        [] -> global
    end.
