-module(chaos_record).
-moduledoc "What arrived in a run of chaos, held against the ledgers of what was pushed.".

%% The judge's own, so it survives the node under test, as the ledgers do.

-export([new/0, arrived/2, check/5, forget_problems/1, pushed/2, duplicates/3, totals/1]).
-export([times/2, late/2, unsent/3, id/2]).
-export_type([record/0, range/0, problem/0, pushes/0]).

-opaque record() :: #{events := ets:table(), lanes := ets:table(), problems := ets:table()}.

-type lane() :: binary().
-type range() :: #{lane() => chaos_ledger:part()}.
-type problem() :: {Text :: string(), chaos_node:pool(), [{Id :: binary(), AtMs :: integer()}]}.
-type pushes() :: #{accepted | full | closed := non_neg_integer()}.

-spec new() -> record().
new() ->
    #{events => ets:new(events, [set]), lanes => ets:new(lanes, [set]),
      problems => ets:new(problems, [duplicate_bag])}.

%% Records messages as the receivers tell them.
-spec arrived(record(), [map()]) -> ok.
arrived(Record, Messages) ->
    lists:foreach(fun(Message) -> arrives(Record, Message) end, Messages).

%% From the broker; what it delivers again by itself, as after a restart, is no copy.
arrives(Record, #{routing_key := Key, body := Body, redelivered := Again, received_at_ms := At}) ->
    case parse(Body) of
        {ok, Key, Number, Pushed} ->
            note(Record, {Key, Number}, {Pushed, At}, case Again of true -> 0; false -> 1 end);
        _ -> problem(Record, "arrived as it was not sent", rabbit, Body, At)
    end;
%% From moto.
arrives(Record, #{message_id := _, topic := Topic, body := Body, received_at_ms := At}) ->
    arrives(Record, #{target => moto, topic => Topic, body => Body, at_ms => At, taken => true});
arrives(Record, #{target := impostor, body := Body, at_ms := At}) ->
    problem(Record, "came to somebody with a wrong certificate", none, Body, At);
arrives(Record, #{target := Target, topic := Topic, body := Body, at_ms := At, taken := Taken}) ->
    case parse(Body) of
        {ok, Lane, Number, Pushed} ->
            case is_place(Target, Topic, Lane) of
                %% What a receiver has seen, but refused or not answered, is no arrival.
                true -> _ = Taken andalso note(Record, {Lane, Number}, {Pushed, At}, 1), ok;
                false -> problem(Record, "came to another place", Target, Body, At)
            end;
        error ->
            problem(Record, "arrived as it was not sent", Target, Body, At)
    end.

is_place(sns, <<"presence">>, <<"sns", _/binary>>) -> true;
is_place(sns, <<"presence.fifo">>, <<"fifo", _/binary>>) -> true;
is_place(moto, <<"presence">>, <<"moto", Number>>) -> lists:member(Number, "1234");
is_place(moto, <<"presence.fifo">>, <<"moto_fifo", _/binary>>) -> true;
is_place(push, Lane, <<"push", _/binary>> = Lane) -> true;
is_place(virtual, Lane, <<"virtual", _/binary>> = Lane) -> true;
is_place(http2, <<"/h2">>, <<"http2", _/binary>>) -> true;
is_place(http1, <<"/h1">>, <<"http1", _/binary>>) -> true;
is_place(_, _, _) -> false.

%% The first arrival counts in any case.
note(#{events := Events, lanes := Lanes} = Record, {Lane, Number} = Key, {Pushed, At}, Copies) ->
    case ets:lookup(Events, Key) of
        [] ->
            true = ets:insert(Events, {Key, Pushed, [At]}),
            in_order(Lanes, Lane, Number);
        [{Key, Pushed, Times}] when Copies > 0 ->
            true = ets:insert(Events, {Key, Pushed, [At | Times]}),
            ok;
        [{Key, Pushed, _Times}] ->
            ok;
        [{Key, _Another, _Times}] ->
            problem(Record, "arrived as it was not sent", none, id(Lane, Number), At)
    end.

%% Remembers the latest of each lane, and what came after it although it was pushed before.
in_order(Lanes, Lane, Number) ->
    {Latest, Late} = lane(Lanes, Lane),
    true = ets:insert(Lanes, case Number > Latest of
                                 true -> {Lane, Number, Late};
                                 false -> {Lane, Latest, [Number | Late]}
                             end),
    ok.

lane(Lanes, Lane) ->
    case ets:lookup(Lanes, Lane) of
        [{Lane, Latest, Late}] -> {Latest, Late};
        [] -> {0, []}
    end.

problem(#{problems := Problems}, Text, Pool, Body, At) ->
    true = ets:insert(Problems, {Text, Pool, id(Body), At}),
    ok.

-spec id(lane(), Number :: pos_integer()) -> binary().
id(Lane, Number) ->
    iolist_to_binary([Lane, $., integer_to_list(Number)]).

id(Body) ->
    binary:part(Body, 0, min(60, byte_size(Body))).

%% Whether the text is one of ours, to the last byte.
parse(Body) ->
    try
        [Id, At, Padding] = binary:split(Body, <<" ">>, [global]),
        [Lane, Digits] = binary:split(Id, <<".">>),
        Number = binary_to_integer(Digits),
        true = chaos_lane:is_padding(Padding, Number),
        {ok, Lane, Number, binary_to_integer(At)}
    catch
        error:_ -> error
    end.

%% What was pushed in the range, by what the pool said.
-spec pushed(file:filename(), range()) -> pushes().
pushed(Folder, Range) ->
    Of = fun({Lane, Part}) -> outcomes(Folder, Lane, Part) end,
    All = lists:append([Of(It) || It <- maps:to_list(Range)]),
    Count = fun(Wanted) -> length([ok || {_, Said, _} <- All, Said =:= Wanted]) end,
    #{accepted => Count(accepted), full => Count(full), closed => Count(closed)}.

outcomes(Folder, Lane, Part) ->
    chaos_ledger:read(filename:join(Folder, Lane), Part).

%% Of the events of one pool in the range: how many were accepted and have not arrived, and what is
%% wrong with those that have, when so many accepted ones were dropped. A receiver may have lost
%% what was pushed until then.
-spec check(record(), file:filename(), {chaos_node:pool(), range()}, Dropped :: integer(),
            LostUntilMs :: integer()) ->
    {#{missing | lost := non_neg_integer()}, [problem()]}.
check(#{events := Events} = Record, Folder, {Pool, Range}, Dropped, LostUntil) ->
    All = [{Lane, Number, Said, At} || {Lane, Part} <- maps:to_list(Range),
                                       {Number, Said, At} <- outcomes(Folder, Lane, Part)],
    {Lost, Gone} = lists:partition(fun({_, _, At}) -> At =< LostUntil end,
                                   [{Lane, N, At} || {Lane, N, accepted, At} <- All,
                                                     not ets:member(Events, {Lane, N})]),
    Missing = [{Lane, N} || {Lane, N, _At} <- Gone],
    Refused = [{Lane, N} || {Lane, N, Said, _} <- All, Said =/= accepted,
                            ets:member(Events, {Lane, N})],
    Late = late(Record, Range),
    Problems = [told("counted as delivered, or not at all, and not there", Pool, Missing)
                || length(Missing) > Dropped]
        ++ [told("refused, and arrived nevertheless", Pool, Refused) || Refused =/= []]
        ++ [told("arrived after later ones of its group", Pool, Late)
            || length(Late) > max(0, Dropped - length(Missing))],
    {#{missing => length(Missing), lost => length(Lost)},
     Problems ++ unsent(Record, Pool, Range)}.

%% What came after later ones of its group; only where there is an order.
-spec late(record(), range()) -> [{lane(), Number :: pos_integer()}].
late(#{lanes := Lanes}, Range) ->
    [{Lane, N} || {Lane, {After, UpTo}} <- maps:to_list(Range), is_ordered(Lane),
                  N <- element(2, lane(Lanes, Lane)), N > After, N =< UpTo].

is_ordered(<<"fifo", _/binary>>) -> true;
is_ordered(<<"moto_fifo", _/binary>>) -> true;
is_ordered(<<"rabbit", _/binary>>) -> true;
is_ordered(<<"loose", _/binary>>) -> true;
is_ordered(_) -> false.

%% What nobody has sent: a number that the ledger does not have yet, or another text.
-spec unsent(record(), chaos_node:pool(), range()) -> [problem()].
unsent(#{lanes := Lanes, problems := Problems}, Pool, Range) ->
    Beyond = [{Lane, Latest} || {Lane, {_, UpTo}} <- maps:to_list(Range),
                                {Latest, _} <- [lane(Lanes, Lane)], Latest > UpTo],
    Strange = [{Text, Of, [{Id, At}]} || {Text, Of, Id, At} <- ets:tab2list(Problems),
                                         Of =:= Pool orelse Of =:= none],
    [told("arrived, and was not sent", Pool, Beyond) || Beyond =/= []] ++ Strange.

%% What nobody has sent is told in each check until now.
-spec forget_problems(record()) -> ok.
forget_problems(#{problems := Problems}) ->
    true = ets:delete_all_objects(Problems),
    ok.

told(Text, Pool, Events) ->
    {Text, Pool, [{id(Lane, N), 0} || {Lane, N} <- Events]}.

%% Those that arrived more than once, without leave: it is asked with the time of the push and those of
%% the arrivals, the latest first.
-spec duplicates(record(), range(),
                 fun((PushedMs :: integer(), AtMs :: [integer(), ...]) -> boolean())) ->
    {Copies :: non_neg_integer(), Unallowed :: [{Id :: binary(), AtMs :: integer()}]}.
duplicates(#{events := Events}, Range, IsAllowed) ->
    Twice = [{Lane, N, Pushed, Times} || {Lane, {After, UpTo}} <- maps:to_list(Range),
                                         N <- lists:seq(After + 1, UpTo),
                                         {_, Pushed, [_, _ | _] = Times} <-
                                             ets:lookup(Events, {Lane, N})],
    {lists:sum([length(Times) - 1 || {_, _, _, Times} <- Twice]),
     [{id(Lane, N), hd(Times)} || {Lane, N, Pushed, Times} <- Twice,
                                  not IsAllowed(Pushed, Times)]}.

%% When an event was pushed, by its own words, and when it arrived, the latest first.
-spec times(record(), {lane(), Number :: pos_integer()}) ->
    {PushedMs :: integer(), AtMs :: [integer(), ...]} | none.
times(#{events := Events}, Key) ->
    case ets:lookup(Events, Key) of
        [{Key, Pushed, Times}] -> {Pushed, Times};
        [] -> none
    end.

-spec totals(record()) -> #{arrived := non_neg_integer(), copies := non_neg_integer()}.
totals(#{events := Events}) ->
    Copies = ets:foldl(fun({_, _, Times}, Sum) -> Sum + length(Times) - 1 end, 0, Events),
    #{arrived => ets:info(Events, size), copies => Copies}.
