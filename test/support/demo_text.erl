-module(demo_text).
-moduledoc "What the demo prints: lines of text, log lines, errors.".

-export([say/1, say/2, logged/1, problem/1]).

-define(LONGEST, 1000).

-spec say(io:format()) -> ok.
say(Text) -> say(Text, []).

-spec say(io:format(), [term()]) -> ok.
say(Format, Args) -> io:format(standard_io, Format ++ "~n", Args).

%% A report as the server writes it: what first, then the other fields.
-spec logged(map()) -> unicode:chardata().
logged(Report) ->
    {What, Others} = maps:take(what, maps:merge(#{what => unknown}, Report)),
    lists:join(" ", [["what=", value(What)]
                     | [[value(Key), "=", value(Value)]
                        || {Key, Value} <- lists:sort(maps:to_list(Others))]]).

value(Value) when is_atom(Value) -> atom_to_list(Value);
value(Value) when is_integer(Value) -> integer_to_list(Value);
value(Value) ->
    case text(Value) of
        {ok, Text} -> quoted(Text);
        none -> quoted(cut(io_lib:format("~0tp", [Value])))
    end.

quoted(Text) ->
    case string:find(Text, " ") of
        nomatch -> Text;
        _ -> [$", Text, $"]
    end.

%% What the start of a server, or of a receiver, was refused with: a line for each complaint.
-spec problem(term()) -> unicode:chardata().
problem({config_error, Text, Errors}) ->
    lists:join("\n  ", [Text | [logged(Error) || Error <- Errors]]);
problem(#{what := _, reason := Reasons} = Error) when is_list(Reasons) ->
    Complaints = [problem(Reason) || Reason <- Reasons],
    lists:join("\n  ", [logged(maps:remove(reason, Error)) | Complaints]);
problem(#{what := _} = Error) ->
    logged(Error);
problem(Reason) ->
    case text(Reason) of
        {ok, Text} -> Text;
        none -> cut(io_lib:format("~0tp", [Reason]))
    end.

text(Value) when is_binary(Value); is_list(Value) ->
    try unicode:characters_to_list(Value) of
        [_ | _] = Text -> case io_lib:printable_unicode_list(Text) of
                              true -> {ok, Text};
                              false -> none
                          end;
        _ -> none
    catch
        error:badarg -> none
    end;
text(_) ->
    none.

cut(Text) -> string:slice(Text, 0, ?LONGEST).
