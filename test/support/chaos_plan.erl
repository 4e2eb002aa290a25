-module(chaos_plan).
-moduledoc "Draws the faults of a run from a seed: the same seed, the same plan.".

-export([draw/3]).
-export_type([fault/0, act/0]).

%% A fault of one pool, within an act of the run.
-type fault() :: #{name := atom(), pool := chaos_node:pool(), slot := atom(),
                   cuts := boolean(), sort := chaos_fault:sort(),
                   at_ms := non_neg_integer(), for_ms := pos_integer()}.
-type act() :: [fault()].

-define(SHORTEST_MS, 1500).
-define(LONGEST_MS, 5000).
-define(TRIES, 20).

%% So many acts of that length, with so many faults each. They come from a deck with one card for
%% each kind and pool, which is shuffled again when it is used up. Each kind comes
%% once before others do with further pools.
-spec draw(Seed :: integer(), Acts :: pos_integer(),
           #{act_ms := pos_integer(), faults := pos_integer(), spool := boolean()}) -> [act()].
draw(Seed, Acts, Size) ->
    Random = rand:seed_s(exsss, Seed),
    {Plan, _} = lists:mapfoldl(fun(_, State) -> act(Size, State) end, {Random, []},
                               lists:seq(1, Acts)),
    Plan.

act(#{faults := Faults} = Size, State) ->
    act(Faults, Size, [], State).

act(0, _Size, Act, State) ->
    {[Fault || {_, Fault} <- lists:keysort(1, [{At, It} || #{at_ms := At} = It <- Act])], State};
act(Left, #{spool := Spool} = Size, Act, {Random, []}) ->
    act(Left, Size, Act, deck(Spool, Random));
act(Left, Size, Act, {Random0, [Card | Deck]}) ->
    {Placed, Random} = place(?TRIES, Card, Size, Act, Random0),
    act(Left - 1, Size, Placed ++ Act, {Random, Deck ++ [Card || Placed =:= []]}).

deck(Spool, Random0) ->
    Kinds = chaos_fault:kinds(Spool),
    Numbers = lists:seq(1, length(chaos_node:pools())),
    {Rounds, Random} = lists:mapfoldl(fun(Round, State) -> round_of(Round, Kinds, State) end,
                                      Random0, Numbers),
    {Random, lists:append(Rounds)}.

%% Of each kind one, with another pool each round, and not all with the same.
round_of(Round, Kinds, Random) ->
    shuffled([card(Kind, lists:nth(1 + (Round + Number) rem length(Pools), Pools))
              || {Number, #{pools := Pools} = Kind} <- lists:enumerate(Kinds),
                 Round =< length(Pools)], Random).

card(#{cuts := Cuts} = Kind, Pool) ->
    (maps:remove(pools, Kind))#{pool => Pool, cuts := lists:member(Pool, Cuts)}.

shuffled(List, Random0) ->
    {Keyed, Random} = lists:mapfoldl(fun(It, State0) ->
        {Key, State} = rand:uniform_s(State0),
        {{Key, It}, State}
    end, Random0, List),
    {[It || {_, It} <- lists:keysort(1, Keyed)], Random}.

%% At a random time, where its slot is free.
place(0, _Card, _Size, _Act, Random) ->
    {[], Random};
place(Tries, Card, #{act_ms := Length} = Size, Act, Random0) ->
    {For0, Random1} = rand:uniform_s(?LONGEST_MS - ?SHORTEST_MS, Random0),
    For = min(?SHORTEST_MS + For0, Length),
    {At0, Random} = rand:uniform_s(Length - For + 1, Random1),
    Fault = Card#{at_ms => At0 - 1, for_ms => For},
    case lists:any(fun(Other) -> in_the_way(Other, Fault) end, Act) of
        true -> place(Tries - 1, Card, Size, Act, Random);
        false -> {[Fault], Random}
    end.

in_the_way(#{pool := Pool, slot := Slot, at_ms := At1, for_ms := For1},
           #{pool := Pool, slot := Slot, at_ms := At2, for_ms := For2}) ->
    At1 =< At2 + For2 andalso At2 =< At1 + For1;
in_the_way(_, _) ->
    false.
