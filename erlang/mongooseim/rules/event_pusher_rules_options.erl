-module(event_pusher_rules_options).
-moduledoc "The rules in the configuration: what they may say, and what it means to an event.".

-export([spec/0, check/2, read/1, backends/0]).
-export_type([rule/0, backend/0, backends/0]).

-include("mongoose_config_spec.hrl").

-type backend() :: sns | http | rabbit | push.
%% A set of backends: a bit for each.
-type backends() :: non_neg_integer().
%% The cheapest condition comes first. Without an action, the next rule is asked as well.
-type rule() :: {backends(), event_pusher_rules_event:kinds(),
                 [event_pusher_rules_event:condition()], keep | drop | none,
                 mod_event_pusher:metadata()}.

-define(KEYS, [events, hosts, from, to, recipient, has_body, hints, backends, action, metadata,
               metadata_booleans, metadata_floats]).
-define(HINTS, [<<"no-store">>, <<"no-copy">>, <<"no-permanent-store">>, <<"store">>]).

-spec backends() -> [{backend(), backends()}].
backends() ->
    [{sns, 1}, {http, 2}, {rabbit, 4}, {push, 8}].

%% What can be wrong with a text is said by check/2: it can tell the number of the rule.
-spec spec() -> #list{}.
spec() ->
    Text = #option{type = binary},
    Texts = #list{items = Text},
    Items = #{<<"events">> => Texts, <<"hosts">> => Texts, <<"from">> => Texts, <<"to">> => Texts,
              <<"recipient">> => Text, <<"has_body">> => #option{type = boolean},
              <<"hints">> => Texts, <<"backends">> => Texts, <<"action">> => Text,
              %% No type takes all kinds of values, and this is the one that takes two.
              <<"metadata">> => table(int_or_atom),
              <<"metadata_booleans">> => table(boolean),
              <<"metadata_floats">> => table(float)},
    #list{items = #section{items = Items, validate_keys = {enum, ?KEYS}},
          process = fun ?MODULE:check/2}.

table(Type) ->
    #section{items = #{default => #option{type = Type}}}.

%% The rules as they were given, if they can be used.
-spec check(event_pusher_config:path(), [map()]) -> [map()] | event_pusher_config:errors().
check(Path, Rules) ->
    case read(Rules) of
        {ok, _} ->
            Rules;
        {error, Complaints} ->
            lists:append([event_pusher_config:refuse(Path, event_pusher_bad_rule, Complaint)
                          || Complaint <- Complaints])
    end.

-spec read([map()]) -> {ok, [rule()]} | {error, Complaints :: [binary(), ...]}.
read(Rules) ->
    Numbered = lists:enumerate(Rules),
    case [complaint(Number, Fault) || {Number, Rule} <- Numbered, Fault <- faults(Rule)] of
        [] -> {ok, [rule(Rule) || Rule <- Rules]};
        Complaints -> {error, Complaints}
    end.

complaint(Number, Fault) ->
    unicode:characters_to_binary(io_lib:format("rule ~b: ~ts", [Number, Fault])).

%% Faults

faults(Rule) when map_size(Rule) =:= 0 ->
    ["must have an option at least, got none"];
faults(Rule) ->
    lists:append([faults(Key, maps:get(Key, Rule)) || Key <- ?KEYS, is_map_key(Key, Rule)])
        ++ metadata_faults(Rule).

faults(Key, []) when Key =/= has_body ->
    [io_lib:format("~ts: must not be empty", [Key])];
faults(events, Names) ->
    unknown(events, Names, [Name || {Name, _Kind} <- event_pusher_rules_event:kinds()]);
faults(backends, Names) ->
    unknown(backends, Names, [atom_to_binary(Name) || {Name, _} <- backends()]);
faults(hints, Hints) ->
    unknown(hints, Hints, ?HINTS);
faults(recipient, Word) ->
    unknown(recipient, [Word], [<<"offline">>, <<"online">>]);
faults(action, Word) ->
    unknown(action, [Word], [<<"keep">>, <<"drop">>]);
faults(hosts, Patterns) ->
    pattern_faults(hosts, "a domain", event_pusher_rules_pattern:domains(Patterns));
faults(Key, Patterns) when Key =:= from; Key =:= to ->
    pattern_faults(Key, "a domain or a bare JID", event_pusher_rules_pattern:users(Patterns));
faults(_Key, _Value) ->
    [].

unknown(Key, Words, Known) ->
    [io_lib:format("~ts: must be ~ts, got \"~ts\"", [Key, listed(Known), Word])
     || Word <- Words, not lists:member(Word, Known)].

listed(Words) ->
    lists:join(" or ", [[$", Word, $"] || Word <- Words]).

pattern_faults(_Key, _Wanted, {ok, _Patterns}) ->
    [];
pattern_faults(Key, Wanted, {error, Faults}) ->
    [io_lib:format("~ts: must be ~ts, also with *, got \"~ts\": ~ts", [Key, Wanted, Pattern, Why])
     || {Pattern, Why} <- Faults].

%% What a dropped event would have had is nothing to say.
metadata_faults(Rule) ->
    Keys = lists:append([maps:keys(Table) || Table <- tables(Rule)]),
    [io_lib:format("~ts: must be in one of the tables of metadata, got in several", [Key])
     || Key <- lists:usort(Keys -- lists:usort(Keys))]
        ++ ["metadata: must not be beside action \"drop\""
            || Keys =/= [], maps:get(action, Rule, none) =:= <<"drop">>].

tables(Rule) ->
    [maps:map(fun(_Key, Value) -> value(Type, Value) end, Table)
     || {Type, Key} <- [{text_or_integer, metadata}, {boolean, metadata_booleans},
                        {float, metadata_floats}],
        #{Key := Table} <- [Rule]].

%% A text was read as an atom.
value(text_or_integer, Text) when is_atom(Text) -> atom_to_binary(Text);
value(_Type, Value) -> Value.

%% What it means

-spec rule(map()) -> rule().
rule(Rule) ->
    Metadata = lists:foldl(fun(Table, Others) -> maps:merge(Others, Table) end, #{}, tables(Rule)),
    Backends = bits(backends, Rule, [{atom_to_binary(Name), Bit} || {Name, Bit} <- backends()]),
    Kinds = bits(events, Rule, event_pusher_rules_event:kinds()),
    {Backends, Kinds, conditions(Rule), action(Rule, Metadata), Metadata}.

bits(Key, Rule, Known) ->
    Wanted = maps:get(Key, Rule, [Name || {Name, _Bit} <- Known]),
    lists:foldl(fun({Name, Bit}, Bits) ->
                    case lists:member(Name, Wanted) of
                        true -> Bits bor Bit;
                        false -> Bits
                    end
                end, 0, Known).

conditions(Rule) ->
    [condition(Key, maps:get(Key, Rule))
     || Key <- [hosts, from, to, hints, has_body, recipient], is_map_key(Key, Rule)].

condition(hosts, Texts) ->
    {ok, Patterns} = event_pusher_rules_pattern:domains(Texts),
    {hosts, Patterns};
condition(Key, Texts) when Key =:= from; Key =:= to ->
    {ok, Patterns} = event_pusher_rules_pattern:users(Texts),
    {Key, Patterns};
condition(recipient, <<"online">>) -> {recipient, online};
condition(recipient, <<"offline">>) -> {recipient, offline};
condition(Key, Value) -> {Key, Value}.

action(#{action := <<"keep">>}, _Metadata) -> keep;
action(#{action := <<"drop">>}, _Metadata) -> drop;
action(_Rule, Metadata) when map_size(Metadata) =:= 0 -> keep;
action(_Rule, _Metadata) -> none.
