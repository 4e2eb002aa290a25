-module(event_pusher_command_screen).
-moduledoc "Lines on a terminal of any size, or as plain text.".

-export([measured/1, on/2]).
-export_type([screen/0, line/0]).

%% How many lines and columns a terminal has, and whether with colours; without one, plain blocks, whole.
-type screen() :: none | #{lines := pos_integer(), columns := pos_integer(), colours := boolean()}.

%% Text, of which parts may have a style.
-type line() :: unicode:chardata() | [unicode:chardata() | {style(), unicode:chardata()}].
-type style() :: none | good | odd | bad.

%% As large as the terminal is now; one that cannot tell is as large as it was.
-spec measured(screen()) -> screen().
measured(none) ->
    none;
measured(Screen) ->
    case {io:rows(), io:columns()} of
        {{ok, Lines}, {ok, Columns}} when Lines > 0, Columns > 0 ->
            Screen#{lines := Lines, columns := Columns};
        _NotTold ->
            Screen
    end.

%% Each line is drawn over the one that was there, so that nothing flickers. What a terminal has no
%% line for is counted in its last one; what is wider than it would take a second one, so it is cut.
-spec on(screen(), [line()]) -> iodata().
on(none, Lines) ->
    [[plain(Line), $\n] || Line <- Lines] ++ [$\n];
on(#{lines := Room, columns := Width, colours := Colours}, Lines) ->
    Shown = case length(Lines) >= Room of
        true ->
            {Some, More} = lists:split(max(0, Room - 2), Lines),
            Some ++ [io_lib:format("  and ~b lines more", [length(More)])];
        false ->
            Lines
    end,
    ["\e[H", [[fitting(Line, Width, Colours), "\e[K\n"] || Line <- Shown], "\e[J"].

%% The last column stays free: some terminals have moved on when it is taken.
fitting(Line, Width, Colours) ->
    {Fitting, _Left} = lists:mapfoldl(fun({Style, Text}, Left) ->
        Cut = string:slice(Text, 0, Left),
        {styled(Style, Cut, Colours), Left - string:length(Cut)}
    end, Width - 1, parts(Line)),
    Fitting.

-spec parts(line()) -> [{style(), unicode:chardata()}].
parts({Style, Text}) -> [{Style, Text}];
parts(Line) when is_list(Line) -> lists:append([parts(Part) || Part <- Line]);
parts(Text) when is_binary(Text) -> [{none, Text}];
parts(Character) when is_integer(Character) -> [{none, [Character]}].

plain(Line) ->
    [Text || {_Style, Text} <- parts(Line)].

styled(none, Text, _Colours) -> Text;
styled(Style, Text, true) -> [colour(Style), Text, "\e[m"];
styled(_Style, Text, false) -> Text.

colour(good) -> "\e[32m";
colour(odd) -> "\e[33m";
colour(bad) -> "\e[1;31m".
