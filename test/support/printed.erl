-module(printed).
-moduledoc "All that is logged, of every level and by every process, as a log file would have it.".

-export([start/0, stop/0, await_end_of/1, lines/0]).
%% Logger handler
-export([log/2]).

-type line() :: {logger:level(), What :: atom(), Text :: string()}.

%% From now on, lines go to the calling process.
-spec start() -> ok.
start() ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, all),
    logger:add_handler(?MODULE, ?MODULE, #{config => #{owner => self(), level => Level}}).

-spec stop() -> ok.
stop() ->
    case logger:get_handler_config(?MODULE) of
        {ok, #{config := #{level := Level}}} ->
            ok = logger:remove_handler(?MODULE),
            logger:set_primary_config(level, Level);
        {error, _NotStarted} ->
            ok
    end.

%% Processes that run this module log their crash before they end.
-spec await_end_of(module()) -> ok.
await_end_of(Module) ->
    Monitors = [monitor(process, Pid) || Pid <- processes(), runs(Pid, Module)],
    lists:foreach(fun(Monitor) -> receive {'DOWN', Monitor, _, _, _} -> ok end end, Monitors).

runs(Pid, Module) ->
    case proc_lib:initial_call(Pid) of
        {Module, _, _} -> true;
        _ -> false
    end.

%% What there is, oldest first.
-spec lines() -> [line()].
lines() ->
    receive {?MODULE, Line} -> [Line | lines()] after 0 -> [] end.

log(#{level := Level, msg := Message} = Event, #{config := #{owner := Owner}}) ->
    Text = unicode:characters_to_list(logger_formatter:format(Event, #{})),
    Owner ! {?MODULE, {Level, what(Message), Text}},
    ok.

what({report, #{what := What}}) -> What;
what(_Message) -> other.
