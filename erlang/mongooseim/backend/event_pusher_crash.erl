-module(event_pusher_crash).
-moduledoc "What of a crash may be shown: where it was and what kind it is, but no value.".

%% Reasons and arguments may hold packets, or options and with them secrets.

-export([kind/1, outline/1, places/1]).

%% The name of a reason, without what it is about.
-spec kind(term()) -> term().
kind(Reason) when is_atom(Reason) -> Reason;
kind({bad_plugin_result, Callback}) -> {bad_plugin_result, Callback};
kind({bad_value, Key}) -> {bad_value, Key};
kind(Reason) when is_tuple(Reason), is_atom(element(1, Reason)) -> element(1, Reason);
kind(#{what := What}) when is_atom(What) -> What;
kind(_Reason) -> other.

%% The reason with its shape, names and numbers, but without texts. Errors of our own are made for
%% being read, and have nothing in them that may not be shown.
-spec outline(term()) -> term().
outline(#{what := What} = Error) when is_atom(What) ->
    case atom_to_list(What) of
        "event_pusher_" ++ _ -> Error;
        _ -> without_texts(Error)
    end;
outline(Reason) ->
    without_texts(Reason).

without_texts(Map) when is_map(Map) ->
    maps:from_list(without_texts(maps:to_list(Map)));
without_texts(Tuple) when is_tuple(Tuple) ->
    list_to_tuple([without_texts(Element) || Element <- tuple_to_list(Tuple)]);
%% A text is a list of numbers, and a list of numbers may be one.
without_texts([Character | _]) when is_integer(Character) ->
    '...';
without_texts([Head | Tail]) ->
    [without_texts(Head) | without_texts(Tail)];
without_texts(Text) when is_bitstring(Text) ->
    '...';
without_texts(Other) ->
    Other.

%% The stack trace with arities in the place of arguments. Calls of funs have no name to show.
-spec places(Stacktrace) -> Stacktrace when Stacktrace :: [tuple()].
places(Stacktrace) ->
    [{Module, Function, arity(ArityOrArgs), file_and_line(Location)}
     || {Module, Function, ArityOrArgs, Location} <- Stacktrace].

arity(Args) when is_list(Args) -> length(Args);
arity(Arity) -> Arity.

file_and_line(Location) ->
    [Item || {Key, _} = Item <- Location, Key =:= file orelse Key =:= line].
