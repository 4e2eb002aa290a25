-module(log_capture).
-moduledoc "Sends what is logged to the process of a test case, which can wait for a line.".

-export([start/0, stop/0, await/1, already/1, rest/1, all/0]).
%% Logger handler
-export([log/2]).

-define(WAIT, 30000).

%% From now on, reports go to the calling process.
-spec start() -> ok.
start() ->
    logger:add_handler(?MODULE, ?MODULE, #{config => #{owner => self()}}).

-spec stop() -> ok.
stop() ->
    _ = logger:remove_handler(?MODULE),
    ok.

-spec await(What :: atom()) -> map().
await(What) ->
    receive {logged, #{what := What} = Report} -> Report
    after ?WAIT -> ct:fail({not_logged, What})
    end.

%% A line that is there, without waiting for one.
-spec already(What :: atom()) -> map() | none.
already(What) ->
    receive {logged, #{what := What} = Report} -> Report after 0 -> none end.

%% All such lines that are there.
-spec rest(What :: atom()) -> [map()].
rest(What) ->
    case already(What) of
        none -> [];
        Report -> [Report | rest(What)]
    end.

%% All lines that are there.
-spec all() -> [map()].
all() ->
    receive {logged, Report} -> [Report | all()] after 0 -> [] end.

log(#{msg := {report, Report}}, #{config := #{owner := Owner}}) when is_map(Report) ->
    Owner ! {logged, Report},
    ok;
log(#{msg := Message}, #{config := #{owner := Owner}}) ->
    Owner ! {logged, #{what => Message}},
    ok.
