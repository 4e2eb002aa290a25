-module(crash_plan).
-moduledoc "Draws the kills of a run from a seed: the same seed, the same plan.".

-export([draw/2, moments/0]).
-export_type([moment/0, kill/0, round_/0]).

-type moment() :: calm | burst | outage | recovery | slow | stop | owner | start | disk_full.

%% When the node is killed: at a moment of that kind, after so many milliseconds more. With a burst,
%% memory has no room for all.
-type kill() :: #{moment := moment(), wait_ms := non_neg_integer(), burst := boolean(),
                  sync := always | pos_integer(), disk := large | small}.
%% Kills after which nothing is compared until the last.
-type round_() :: [kill(), ...].

-define(SYNCS, [500, always, 100]).

%% What the kinds are, and how long the node lives there at most.
-spec moments() -> [{moment(), LongestMs :: pos_integer()}].
moments() ->
    [{calm, 3000},       % receivers keep up
     {burst, 1500},      % they keep up, and more comes than memory has room for
     {outage, 3000},     % all refuse what comes
     {recovery, 1500},   % all take it again
     {slow, 2500},       % all take it, but slowly
     {stop, 1500},       % the modules stop, in an outage
     {owner, 500},       % owners of pools have been killed
     {start, 1500},      % the modules start, with what the kill before has left on disk
     {disk_full, 4000}]. % in an outage, the disk is full

%% Each kind comes once before one comes again.
-spec draw(Seed :: integer(), Kills :: pos_integer()) -> [round_()].
draw(Seed, Kills) ->
    draw(Kills, [], rand:seed_s(exsss, Seed)).

draw(Left, _Deck, _Random) when Left =< 0 ->
    [];
draw(Left, [], Random0) ->
    {Keyed, Random} = lists:mapfoldl(fun(It, State0) ->
        {Key, State} = rand:uniform_s(State0),
        {{Key, It}, State}
    end, Random0, moments()),
    draw(Left, [It || {_, It} <- lists:keysort(1, Keyed)], Random);
draw(Left, [{start, _} = Start | Deck], Random0) ->
    {Outage, Random1} = kill(lists:keyfind(outage, 1, moments()), Random0),
    {Kill, Random} = kill(Start, Random1),
    Round = lists:sublist([Outage, Kill#{sync := maps:get(sync, Outage)}], Left),
    [Round | draw(Left - 2, Deck, Random)];
draw(Left, [Moment | Deck], Random0) ->
    {Kill, Random} = kill(Moment, Random0),
    [[Kill] | draw(Left - 1, Deck, Random)].

kill({Moment, Longest}, Random0) ->
    {Wait, Random1} = rand:uniform_s(Longest, Random0),
    {Sync, Random2} = rand:uniform_s(length(?SYNCS), Random1),
    {Burst, Random} = rand:uniform_s(2, Random2),
    {#{moment => Moment, wait_ms => Wait, sync => lists:nth(Sync, ?SYNCS),
       burst => Burst =:= 1 orelse Moment =:= burst,
       disk => case Moment of disk_full -> small; _ -> large end}, Random}.
