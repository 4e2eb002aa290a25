-module(event_pusher_command_json).
-moduledoc "Pools as JSON, for programs of operators.".

%% OTP has a writer of its own only since 27, and compilers of 25 and 26 do not find it.

-export([pools/2, value/1]).

%% An object in one line.
-spec pools(node(), [event_pusher_status:pool()]) -> iodata().
pools(Node, Pools) ->
    Time = calendar:system_time_to_rfc3339(erlang:system_time(second), [{offset, "Z"}]),
    value(#{node => Node, time => list_to_binary(Time), pools => [named(Pool) || Pool <- Pools]}).

named(#{name := Name} = Pool) ->
    Pool#{name => event_pusher_status:name(Name)}.

%% Of maps with atoms as keys, lists, numbers, texts and atoms; none is null.
-spec value(term()) -> iodata().
value(#{} = Map) ->
    [${, lists:join($,, [[text(atom_to_binary(Key)), $:, value(Value)]
                         || {Key, Value} <- lists:sort(maps:to_list(Map))]), $}];
value(List) when is_list(List) -> [$[, lists:join($,, [value(Value) || Value <- List]), $]];
value(none) -> <<"null">>;
value(true) -> <<"true">>;
value(false) -> <<"false">>;
value(Atom) when is_atom(Atom) -> text(atom_to_binary(Atom));
value(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
value(Text) when is_binary(Text) -> text(Text).

text(Text) ->
    [$", [char(Char) || Char <- unicode:characters_to_list(Text)], $"].

char($") -> "\\\"";
char($\\) -> "\\\\";
char(Char) when Char < $\s; Char =:= 127 -> io_lib:format("\\u~4.16.0b", [Char]);
char(Char) -> Char.
