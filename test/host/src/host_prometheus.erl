-module(host_prometheus).
-moduledoc "What was measured, in the text that the server's handler for Prometheus gives a scraper.".

-export([text/0]).

%% Upper bounds of a histogram: powers of two, as the server has them.
-define(BOUNDS, [1 bsl Power || Power <- lists:seq(0, 30)]).

-type labels() :: [{atom() | string(), term()}].

%% A gauge and a histogram are there once they have a value, all others from the start, as zero.
-spec text() -> iodata().
text() ->
    [[type(Name, Type), [samples(Type, Name, Key) || {_, _, Key} <- Series]]
     || {{Name, Type}, Series} <- by_name()].

by_name() ->
    Series = [{name(Event, Metric), exposed(Type), {Event, Labels, Metric}}
              || {Event, Labels, #{metrics := Metrics}} <- mongoose_instrument:registered(),
                 {Metric, Type} <- maps:to_list(Metrics)],
    Names = lists:usort([of_name(It) || It <- Series]),
    [{Of, lists:sort([It || It <- Series, of_name(It) =:= Of])} || Of <- Names].

of_name({Name, Type, _Key}) -> {Name, Type}.

name(Event, Metric) -> [atom_to_list(Event), $_, atom_to_list(Metric)].

%% A counter may fall in the server, so to Prometheus it is a gauge.
exposed(spiral) -> counter;
exposed(counter) -> gauge_from_zero;
exposed(Type) -> Type.

type(Name, gauge_from_zero) -> type(Name, gauge);
type(Name, Type) -> ["# TYPE ", Name, $\s, atom_to_list(Type), $\n].

samples(histogram, Name, {Event, Labels, Metric}) ->
    case host_metrics:values(Event, Labels, Metric) of
        [] -> [];
        Values -> histogram(Name, maps:to_list(Labels), Values)
    end;
samples(gauge, Name, {Event, Labels, Metric}) ->
    case host_metrics:gauge(Event, Labels, Metric) of
        undefined -> [];
        Value -> sample(Name, maps:to_list(Labels), Value)
    end;
samples(_CounterOrFromZero, Name, {Event, Labels, Metric}) ->
    sample(Name, maps:to_list(Labels), host_metrics:total(Event, Labels, Metric)).

histogram(Name, Labels, Values) ->
    UpTo = fun(Bound) -> length([Value || Value <- Values, Value =< Bound]) end,
    Count = length(Values),
    [[sample([Name, "_bucket"], Labels ++ [{le, Bound}], UpTo(Bound)) || Bound <- ?BOUNDS],
     sample([Name, "_bucket"], Labels ++ [{le, '+Inf'}], Count),
     sample([Name, "_count"], Labels, Count),
     sample([Name, "_sum"], Labels, lists:sum(Values))].

-spec sample(iodata(), labels(), integer()) -> iodata().
sample(Name, Labels, Value) ->
    [Name, ${, lists:join($,, [label(Label) || Label <- Labels]), $}, $\s,
     integer_to_list(Value), $\n].

label({Name, Value}) ->
    Text = unicode:characters_to_binary(io_lib:format("~ts", [shown(Value)])),
    [atom_to_list(Name), "=\"", [escaped(Byte) || <<Byte>> <= Text], $"].

shown(Value) when is_integer(Value) -> integer_to_list(Value);
shown(Value) -> Value.

escaped($\\) -> "\\\\";
escaped($") -> "\\\"";
escaped($\n) -> "\\n";
escaped(Byte) -> Byte.
