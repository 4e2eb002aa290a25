-module(event_pusher_sns_attributes).
-moduledoc "Message attributes of SNS: what a plugin and filters give, without what SNS refuses.".

-export([select/2]).

%% Receivers with raw delivery lose a message that has more. The rules for names and texts:
%% https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
-define(MAX_ATTRIBUTES, 10).
-define(MAX_NAME_BYTES, 256).
%% https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
-define(MAX_DIGITS, 38).
-define(MIN_NUMBER, 1.0e-128).
-define(MAX_NUMBER, 1.0e126).

%% All of the plugin, then metadata in the order of its keys, as much as fits in and under names
%% that are free. Also tells how many were left out.
-spec select(mod_event_pusher_sns:attributes(), mod_event_pusher:metadata()) ->
    {[event_pusher:attribute()], LeftOut :: non_neg_integer()}.
select(Plugins, Metadata) when is_map(Plugins) ->
    Own = accepted([{text(Name), plugin_value(Value)} || {Name, Value} <- maps:to_list(Plugins)]),
    Others = accepted([{Key, metadata_value(Value)}
                       || {Key, Value} <- event_pusher_fields:metadata(Metadata)]),
    New = [Attribute || {Name, _} = Attribute <- Others, not lists:keymember(Name, 1, Own)],
    Attributes = Own ++ lists:sublist(New, max(0, ?MAX_ATTRIBUTES - length(Own))),
    {Attributes, map_size(Plugins) + map_size(Metadata) - length(Attributes)};
select(_Other, _Metadata) ->
    error({bad_plugin_result, message_attributes}).

%% Values

plugin_value(Value) when is_list(Value) -> {string, text(Value)};
plugin_value(Value) when is_binary(Value) -> {binary, Value};
plugin_value(Value) when is_number(Value) -> number(Value);
plugin_value(_Other) -> error({bad_plugin_result, message_attributes}).

text(String) when is_list(String) ->
    try unicode:characters_to_binary(String) of
        Text when is_binary(Text) -> Text;
        _ -> error({bad_plugin_result, message_attributes})
    catch
        error:badarg -> error({bad_plugin_result, message_attributes})
    end;
text(_Other) ->
    error({bad_plugin_result, message_attributes}).

metadata_value(Value) when is_number(Value) -> number(Value);
metadata_value(Value) -> {string, event_pusher_fields:text(Value)}.

%% Zeros at either end are no digits that count.
number(Number) when is_integer(Number) ->
    Digits = string:trim(integer_to_binary(abs(Number)), trailing, "0"),
    number(Number, byte_size(Digits) =< ?MAX_DIGITS andalso abs(Number) < ?MAX_NUMBER);
number(Number) ->
    number(Number, Number == 0 orelse abs(Number) >= ?MIN_NUMBER andalso abs(Number) < ?MAX_NUMBER).

number(Number, true) -> {number, event_pusher_fields:number_text(Number)};
number(_Number, false) -> refused.

%% What SNS takes

accepted(Attributes) ->
    [Attribute || {Name, Value} = Attribute <- Attributes, is_name(Name), is_value(Value)].

is_name(Name) when byte_size(Name) > ?MAX_NAME_BYTES ->
    false;
is_name(Name) ->
    lists:all(fun is_part/1, binary:split(Name, <<".">>, [global]))
        andalso not is_reserved(string:lowercase(Name)).

is_part(<<>>) -> false;
is_part(Part) -> lists:all(fun is_plain/1, binary_to_list(Part)).

is_plain(Char) ->
    Char >= $a andalso Char =< $z orelse Char >= $A andalso Char =< $Z
        orelse Char >= $0 andalso Char =< $9 orelse Char =:= $_ orelse Char =:= $-.

is_reserved(<<"aws.", _/binary>>) -> true;
is_reserved(<<"amazon.", _/binary>>) -> true;
is_reserved(_Name) -> false.

is_value(refused) -> false;
is_value({_Type, <<>>}) -> false;
is_value({string, Text}) -> is_text(Text);
is_value({_Type, _Value}) -> true.

%% No control characters, with which SNS accepts a message and may not deliver it, and nothing
%% beyond the Basic Multilingual Plane, as emoji, which it refuses. Also nothing that is not UTF-8.
is_text(<<Char/utf8, Rest/binary>>) when Char >= 16#20, Char < 16#7F;
                                         Char >= 16#A0, Char < 16#FFFE ->
    is_text(Rest);
is_text(Rest) ->
    Rest =:= <<>>.
