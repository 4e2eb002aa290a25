-module(event_pusher_latest).
-moduledoc "What the owners of pools reported last: pools with the same labels are told together.".

-export([new/0, of_report/1, keep/2, kept/1, forget/1]).

%% The table belongs to the calling process.
-spec new() -> ok.
new() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

-spec of_report(event_pusher:report()) -> event_pusher:latest().
of_report(#{levels := Levels, status := Status, recent := #{times_us := Times}}) ->
    #{levels => Levels, status => Status, times_us => Times}.

%% Owners report also after the process with the table was killed.
-spec keep(event_pusher:name(), event_pusher:latest()) -> ok.
keep(Name, Latest0) ->
    Latest = with_times(Latest0, kept(Name)),
    _ = try ets:insert(?MODULE, {Name, Latest}) catch error:badarg -> false end,
    ok.

%% What delivered nothing has none of its own.
with_times(#{times_us := []} = Latest, [#{times_us := Times}]) -> Latest#{times_us := Times};
with_times(Latest, _Kept) -> Latest.

-spec kept(event_pusher:name()) -> [event_pusher:latest()].
kept(Name) ->
    try ets:lookup(?MODULE, Name) of
        Kept -> [Latest || {_Name, Latest} <- Kept]
    catch
        error:badarg -> []
    end.

-spec forget(event_pusher:name()) -> ok.
forget(Name) ->
    _ = try ets:delete(?MODULE, Name) catch error:badarg -> false end,
    ok.
