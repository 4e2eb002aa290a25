-module(event_pusher_check_error).
-moduledoc "What may be shown of an error of the server's parser, or of any crash.".

-export([line/1, kind/1, missing/1]).

-include("mongoose_config_spec.hrl").

%% Of an error: told in their own way, or not at all.
-define(KNOWN, [what, class, stacktrace, text, toml_path, toml_value, reason, items]).

%% What the server would log of it, but for its stack trace and for what may be secret.
-spec line(term()) -> iodata().
line(#{} = Error) ->
    [[[Path, ": "] || #{toml_path := Path} <- [Error]],
     %% A text may have the value in it.
     [[text(Text), ": "] || #{text := Text} <- [Error], not is_secret(Text, Error)],
     reason(maps:get(reason, Error, maps:get(what, Error, unknown))),
     [[", got ", shown(Value, Error)] || #{toml_value := Value} <- [Error], is_plain(Value)],
     [io_lib:format(", ~ts ~ts", [Key, shown(without_details(Value), Error)])
      || {Key, Value} <- lists:sort(maps:to_list(maps:without(?KNOWN, Error))),
         is_plain(without_details(Value))]];
line(Reason) ->
    reason(Reason).

%% What the reader of TOML says is a term, most often with a line.
text(Text) when is_binary(Text); is_list(Text) -> Text;
text({Step, Line}) when is_atom(Step), is_integer(Line) -> io_lib:format("line ~b", [Line]);
text(Other) -> io_lib:format("~0tp", [Other]).

%% What stands in the place of a section or of an array is told by the spec that did not fit.
reason({case_clause, #section{items = Items}}) ->
    Keys = [if is_atom(Key) -> atom_to_binary(Key); true -> Key end
            || Key <- lists:sort(maps:keys(Items)), Key =/= default],
    ["expected a section, with some of: ", lists:join(", ", Keys)];
reason({case_clause, #list{}}) ->
    "expected an array";
reason({case_clause, #option{}}) ->
    "expected a single value";
reason(Reason) ->
    atom_to_binary(kind(Reason)).

shown(Value, Error) ->
    case is_secret(Value, Error) of
        true -> "***";
        false -> io_lib:format("~0tp", [Value])
    end.

%% By the name of the option, as a header of a handler, or by what a URL can have before its host.
-spec is_secret(term(), map()) -> boolean().
is_secret(Value, Error) ->
    Path = text(maps:get(toml_path, Error, "")),
    matches(lists:last(["" | string:lexemes(Path, ".")]), "pass|secret|key|token|cookie|credential")
        orelse matches(Path, "\\.http\\.(handlers\\.)?headers")
        orelse (is_binary(Value) andalso matches(Value, "://.*@")).

matches(Text, Pattern) ->
    re:run(Text, Pattern, [caseless]) =/= nomatch.

%% Lists of faults are maps; names in them are atoms.
without_details(Faults) when is_list(Faults) ->
    [without_details(Fault) || Fault <- Faults];
without_details(#{} = Fault) ->
    maps:to_list(maps:filter(fun(_Key, Value) -> is_atom(Value) end, Fault));
without_details(Value) ->
    Value.

%% Whole sections and what else may be anything are not shown.
is_plain(Values) when is_list(Values) -> lists:all(fun is_plain/1, Values);
is_plain(Values) when is_tuple(Values) -> is_plain(tuple_to_list(Values));
is_plain(Value) -> is_atom(Value) orelse is_number(Value) orelse is_binary(Value).

%% The function whose call failed with undef.
-spec missing(Stacktrace :: [tuple()]) -> iodata().
missing([{Module, Function, ArityOrArgs, _Location} | _]) ->
    Arity = if is_list(ArityOrArgs) -> length(ArityOrArgs); true -> ArityOrArgs end,
    io_lib:format("~ts:~ts/~b is not there: this server is of a version that event_pusher does not know "
                  "(it knows MongooseIM 6.5.0 to 6.8), or a module is missing in the code path",
                  [Module, Function, Arity]).

%% The name of a reason, without what it is about.
-spec kind(term()) -> atom().
kind(Reason) when is_atom(Reason) -> Reason;
kind(#{what := What}) when is_atom(What) -> What;
kind(Reason) when is_tuple(Reason), is_atom(element(1, Reason)) -> element(1, Reason);
kind(_Reason) -> other.
