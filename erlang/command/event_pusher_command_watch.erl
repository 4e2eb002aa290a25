-module(event_pusher_command_watch).
-moduledoc "A live view of the pools of a node, with what happened between two looks.".

-export([run/3, frame/3]).
-export_type([look/0, options/0]).

-type options() :: #{every_s := pos_integer(), screen := event_pusher_command_screen:screen(),
                     patience_ms := pos_integer()}.

%% When the pools were as they are here, by a clock that only runs forward.
-type look() :: {Ms :: integer(), [event_pusher_status:pool()]}.

-define(WIDTH, 79).
%% How often it is looked whether the terminal has another size.
-define(RESIZE_MS, 250).

%% Until the VM ends, with Ctrl-C; or until nobody reads any more.
-spec run(node(), table | fun(([event_pusher_status:pool()]) -> iodata()), options()) -> ok | {error, Reason :: iodata()}.
run(Node, Show, Options) ->
    run(Node, Show, Options, none, erlang:monotonic_time(millisecond)).

run(Node, Show, #{every_s := Every, patience_ms := Patience} = Options, Before, Due) ->
    Asked = event_pusher_command_node:call(Node, pools, [], Patience),
    Now = erlang:monotonic_time(millisecond),
    Next = max(Now, Due + Every * 1000),
    case shown(Node, Show, Options, Before, Asked, Now) of
        {ok, Shown} ->
            case show(Shown, Options, Next) of
                ok -> run(Node, Show, Options, looked(Asked, Now), Next);
                {error, _NobodyReads} -> ok
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% Until it is time for the next look. It is drawn again when the terminal has got another size: no signal
%% tells of that in every version of Erlang.
show(Shown, #{screen := Screen}, Until) ->
    Measured = event_pusher_command_screen:measured(Screen),
    case put_chars(drawn(Shown, Measured)) of
        ok -> wait(Shown, Measured, Until);
        {error, Reason} -> {error, Reason}
    end.

wait(Shown, Screen, Until) ->
    case Until - erlang:monotonic_time(millisecond) of
        Left when Left =< 0 ->
            ok;
        Left ->
            receive after min(Left, pause(Screen, Left)) -> ok end,
            case event_pusher_command_screen:measured(Screen) of
                Screen -> wait(Shown, Screen, Until);
                _Another -> show(Shown, #{screen => Screen}, Until)
            end
    end.

pause(none, Left) -> Left;
pause(_Screen, _Left) -> ?RESIZE_MS.

drawn({lines, Lines}, Screen) -> event_pusher_command_screen:on(Screen, Lines);
drawn({text, Text}, _Screen) -> Text.

looked({ok, Pools}, Now) -> {Now, Pools};
looked({error, _Reason}, _Now) -> gone.

%% A node that has gone may come back, but one that was not there at the start is an error; so it is to
%% programs at any time.
shown(_Node, Show, _Options, _Before, {ok, Pools}, _Now) when is_function(Show) ->
    {ok, {text, Show(Pools)}};
shown(_Node, Show, _Options, Before, {error, Reason}, _Now) when is_function(Show); Before =:= none ->
    {error, Reason};
shown(Node, table, #{every_s := Every}, _Before, {error, Reason}, _Now) ->
    {ok, {lines, [title(Node, Every), [], [{bad, ["  ", event_pusher_status:cut(Reason, ?WIDTH - 2)]}],
                  "  tried again at each look"]}};
shown(Node, table, #{every_s := Every}, Before, {ok, Pools}, Now) ->
    {ok, {lines, frame(title(Node, Every), Before, {Now, Pools})}}.

put_chars(Text) ->
    try io:put_chars(Text) catch error:Reason -> {error, Reason} end.

title(Node, Every) ->
    {{Year, Month, Day}, {Hour, Minute, Second}} = calendar:local_time(),
    Time = io_lib:format("~4..0b-~2..0b-~2..0b ~2..0b:~2..0b:~2..0b", [Year, Month, Day, Hour, Minute, Second]),
    Left = io_lib:format("~ts, every ~b s", [Node, Every]),
    Room = ?WIDTH - 19 - 1,
    [string:pad(event_pusher_status:cut(Left, Room), Room), $\s, Time].

%% What is shown of a look, and of what has changed since the one before.
-spec frame(Title :: iodata(), none | gone | look(), look()) -> [event_pusher_command_screen:line()].
frame(Title, Before, {Now, Pools}) ->
    [Title, summary(Pools), [], header()
     | lists:append([pool(Pool, since(Pool, Before, Now)) || Pool <- Pools])].

summary([]) ->
    "no pools: no module with a backend runs there";
summary(Pools) ->
    States = [State || #{status := #{state := State}} <- Pools],
    Counted = [io_lib:format("~b ~ts", [length(Of), State])
               || State <- [connected, connecting, degraded, refused, stopped],
                  Of <- [[S || S <- States, S =:= State]], Of =/= []],
    Waiting = lists:sum([Waiting || #{levels := #{waiting := Waiting}} <- Pools]),
    [count(length(Pools), "pool"), ": ", lists:join(", ", Counted), "; ",
     event_pusher_status:number(Waiting), case Waiting of 1 -> " event"; _ -> " events" end, " waiting"].

count(1, Thing) -> ["1 ", Thing];
count(Number, Thing) -> [integer_to_list(Number), $\s, Thing, $s].

%% The counts of the same pool in the look before, and the milliseconds since; not of one that has
%% started again.
since(#{name := Name, counts := #{accepted := Accepted}}, {Then, Pools}, Now) ->
    case [Counts || #{name := Same, counts := Counts} <- Pools, Same =:= Name] of
        [#{accepted := Earlier} = Counts] when Earlier =< Accepted, Now > Then -> {Counts, Now - Then};
        _ -> unknown
    end;
since(_Pool, _NoLook, _Now) ->
    unknown.

%% Lines

header() ->
    row("pool", "status", ["waiting", "oldest", "sent/s", "drop/s", "retry/s", "p50", "p99"], none).

pool(#{name := Name, status := Status, counts := Counts, levels := Levels, times := Times}, Since) ->
    #{state := State} = Status,
    #{waiting := Waiting, oldest_ms := Oldest} = Levels,
    Rates = [rate(Of, Counts, Since)
             || Of <- [fun(C) -> maps:get(delivered, C) end, fun event_pusher_status:drops/1,
                       fun(C) -> maps:get(retried, C, 0) end]],
    [row(event_pusher_status:name(Name), atom_to_list(State),
         [event_pusher_status:number(Waiting), event_pusher_status:oldest(Oldest) | Rates]
         ++ event_pusher_status:spread(Times), style(State))]
    ++ why(Status) ++ dropped(Counts, Since).

row(Pool, State, Cells, Style) ->
    Name = event_pusher_status:cut(Pool, 18),
    [string:pad(Name, 18), $\s, {Style, string:pad(State, 10)},
     [string:pad(Cell, Width, leading) || {Cell, Width} <- lists:zip(Cells, [8, 7, 8, 7, 8, 6, 6])]].

style(connected) -> good;
style(refused) -> bad;
style(stopped) -> bad;
style(_OnTheWay) -> odd.

rate(_Of, _Counts, unknown) ->
    "-";
rate(Of, Counts, {Before, Ms}) ->
    case (Of(Counts) - Of(Before)) * 1000 / Ms of
        Rate when Rate == 0 -> "0";
        Rate when Rate < 10 -> io_lib:format("~.1f", [Rate]);
        Rate when Rate < 100000 -> integer_to_list(round(Rate));
        Rate -> [integer_to_list(round(Rate / 1000)), $k]
    end.

%% The cause of the status; without one, the last error, as old as it may be.
why(#{cause := Cause}) when Cause =/= none ->
    [indented(Cause)];
why(#{last_error := #{ago_ms := Ago, cause := Cause}}) ->
    [indented(["last error ", event_pusher_status:age(Ago), " ago: ", Cause])];
why(#{last_error := none}) ->
    [].

%% Since the start of the pool, and since the look before.
dropped(Counts, Since) ->
    case event_pusher_status:dropped(Counts) of
        [] ->
            [];
        Drops ->
            Each = [[atom_to_list(Reason), $\s, event_pusher_status:number(Total), more(Reason, Total, Since)]
                    || {Reason, Total} <- Drops],
            [indented(["dropped: ", lists:join(", ", Each)])]
    end.

more(_Reason, _Total, unknown) ->
    [];
more(Reason, Total, {Before, _Ms}) ->
    case Total - maps:get(Reason, Before, 0) of
        More when More > 0 -> [" (+", event_pusher_status:number(More), $)];
        _ -> []
    end.

indented(Text) ->
    ["  ", event_pusher_status:cut(Text, ?WIDTH - 2)].
