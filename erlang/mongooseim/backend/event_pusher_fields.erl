-module(event_pusher_fields).
-moduledoc "Names and values that filters and others give, checked, in forms that receivers take.".

-export([metadata/1, json/1, text/1, number_text/1]).

-export_type([value/0]).

%% Atoms that JSON has for itself stay atoms.
-type value() :: binary() | number() | true | false | null.

%% The metadata of filters, in the order of the keys. A key or value of another type costs the
%% event; the error names its key.
-spec metadata(mod_event_pusher:metadata()) -> [{binary(), value()}].
metadata(Metadata) ->
    [field(Key, Value) || {Key, Value} <- lists:sort(maps:to_list(Metadata))].

%% Fields as the JSON object of a message, in their order.
-spec json([{atom() | binary(), term()}]) -> event_pusher:json().
json(Fields) ->
    {json, [json_field(field(Key, Value)) || {Key, Value} <- Fields]}.

-spec field(atom() | binary(), term()) -> {binary(), value()}.
field(Key, Value) when is_atom(Key) -> field(atom_to_binary(Key), Value);
field(Key, Value) when is_binary(Key), (is_binary(Value) orelse is_number(Value)) -> {Key, Value};
field(Key, Value) when is_binary(Key), (is_boolean(Value) orelse Value =:= null) -> {Key, Value};
field(Key, Value) when is_binary(Key), is_atom(Value) -> {Key, atom_to_binary(Value)};
field(Key, _Other) when is_binary(Key) -> error({bad_value, Key});
field(_Other, _Value) -> error(bad_key).

%% The native library takes integers of up to 64 bits, and others as text.
json_field({Key, Value}) when is_integer(Value), Value < -(1 bsl 63);
                              is_integer(Value), Value >= 1 bsl 64 ->
    {Key, {number, number_text(Value)}};
json_field(Field) ->
    Field.

%% A value where everything is text.
-spec text(value()) -> binary().
text(Value) when is_binary(Value) -> Value;
text(Value) when is_atom(Value) -> atom_to_binary(Value);
text(Value) when is_number(Value) -> number_text(Value).

%% Decimal digits without an exponent: of a float as few as can be read back.
-spec number_text(number()) -> binary().
number_text(Number) when is_integer(Number) -> integer_to_binary(Number);
number_text(Number) when Number < 0 -> <<$-, (number_text(-Number))/binary>>;
number_text(Number) ->
    case binary:split(float_to_binary(Number, [short]), <<"e">>) of
        [Plain] -> Plain;
        [Mantissa, Exponent] -> without_exponent(Mantissa, binary_to_integer(Exponent))
    end.

%% The mantissa has one digit before its point.
without_exponent(<<Digit, $., Rest/binary>>, Exponent) when Exponent < 0 ->
    <<"0.", (zeros(-Exponent - 1))/binary, Digit, (fraction(Rest))/binary>>;
without_exponent(<<Digit, $., Rest/binary>>, Exponent) ->
    Digits = fraction(Rest),
    case byte_size(Digits) - Exponent of
        More when More > 0 ->
            <<Whole:Exponent/binary, Fraction/binary>> = Digits,
            <<Digit, Whole/binary, $., Fraction/binary>>;
        Missing ->
            <<Digit, Digits/binary, (zeros(-Missing))/binary, ".0">>
    end.

%% 1.0e3 has no fraction.
fraction(<<"0">>) -> <<>>;
fraction(Digits) -> Digits.

zeros(Count) ->
    binary:copy(<<"0">>, Count).
