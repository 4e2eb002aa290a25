-module(event_pusher_command).
-moduledoc "What operators ask of a running node, and do to its pools, from the shell of the system.".

%% Called by the script event-pusher, in a VM of the release beside the node
-export([main/0]).

%% What the script is told apart from a VM that could not run the command, which ends with 1.
-define(REFUSED, 3).
-define(PATIENCE_MS, 10000).
%% Longer than the time limits of a connection and a few requests to a receiver.
-define(PROBE_MS, 60000).

%% The arguments are the folder of vm.args, the command, and what the command takes.
-spec main() -> no_return().
main() ->
    ok = io:setopts([{encoding, unicode}]),
    %% An end in good order would let the distribution go first.
    ok = os:set_signal(sigterm, default),
    [Etc, Command | Args] = init:get_plain_arguments(),
    Result = case event_pusher_command_node:connect(Etc) of
        {ok, Node} -> run(Command, Args, Node);
        {error, Reason} -> {error, Reason}
    end,
    halt(status(Result)).

status(ok) ->
    0;
status({ok, Text}) ->
    io:put_chars(Text),
    0;
status({failed, Text}) ->
    io:put_chars(Text),
    ?REFUSED;
status({error, Reason}) ->
    io:put_chars(standard_error, ["event-pusher: ", Reason, $\n]),
    ?REFUSED.

%% The commands

run("status", ["once", Form], Node) ->
    case event_pusher_command_node:call(Node, pools, [], ?PATIENCE_MS) of
        {ok, Pools} -> {ok, look(Form, Node, Pools)};
        {error, Reason} -> {error, Reason}
    end;
run("status", ["watch", Seconds, Form, Screen], Node) ->
    Options = #{every_s => list_to_integer(Seconds), screen => screen(Screen), patience_ms => ?PATIENCE_MS},
    Show = case Form of
        "json" -> fun(Pools) -> look(Form, Node, Pools) end;
        "table" -> table
    end,
    event_pusher_command_watch:run(Node, Show, Options);
run(Command, [Pool | Args], Node) ->
    case find(Pool, Node) of
        {ok, Name} -> handle(Command, Name, Args, Pool, Node);
        {error, Reason} -> {error, Reason}
    end.

look("table", _Node, Pools) -> event_pusher_status:table(Pools);
look("json", Node, Pools) -> [event_pusher_command_json:pools(Node, Pools), $\n].

%% As the script found it: that there is no terminal, or how many lines and columns it has, and whether with
%% colours.
screen("none") ->
    none;
screen(Found) ->
    [Lines, Columns, Colours] = string:lexemes(Found, ","),
    #{lines => list_to_integer(Lines), columns => list_to_integer(Columns), colours => Colours =:= "colours"}.

handle("probe", Name, [], _Pool, Node) ->
    case event_pusher_command_node:call(Node, probe, [Name], ?PROBE_MS) of
        {ok, {ok, Findings}} -> {result(Findings), [found(Finding) || Finding <- Findings]};
        {ok, Answer} -> answer(Answer);
        {error, Reason} -> {error, Reason}
    end;
handle("pause", Name, [], Pool, Node) ->
    did(ask(Node, pause, [Name]), [Pool, " is paused: events are accepted and wait"]);
handle("resume", Name, [], Pool, Node) ->
    did(ask(Node, resume, [Name]), [Pool, " goes on"]);
handle("retry-now", Name, [], Pool, Node) ->
    did(ask(Node, retry_now, [Name]), [Pool, " makes its next attempts now"]);
handle("drain", Name, [Seconds], Pool, Node) ->
    Timeout = list_to_integer(Seconds) * 1000,
    case event_pusher_command_node:call(Node, drain, [Name, Timeout], Timeout + ?PATIENCE_MS) of
        {ok, {error, {waiting, Events}}} ->
            {error, io_lib:format("~ts: ~b events of those that waited have not ended within ~ts s",
                                  [Pool, Events, Seconds])};
        {ok, Answer} ->
            did(answer(Answer), [Pool, " is drained: all that waited has ended"]);
        {error, Reason} ->
            {error, Reason}
    end;
handle("drop", Name, [Age], Pool, Node) ->
    Which = case Age of
        "all" -> all;
        Seconds -> {older_than_ms, list_to_integer(Seconds) * 1000}
    end,
    case ask(Node, drop, [Name, Which]) of
        {ok, Events} -> {ok, io_lib:format("~ts: ~b events dropped~n", [Pool, Events])};
        {error, Reason} -> did({error, Reason}, Pool)
    end.

%% As event-pusher check says it.
found({How, Text}) ->
    Word = case How of works -> "ok"; unsure -> "WARNING"; broken -> "FAILED" end,
    [string:pad(Word, 10), Text, $\n].

result(Findings) ->
    case lists:keymember(broken, 1, Findings) of
        true -> failed;
        false -> ok
    end.

ask(Node, Function, Args) ->
    case event_pusher_command_node:call(Node, Function, Args, ?PATIENCE_MS) of
        {ok, Answer} -> answer(Answer);
        {error, Reason} -> {error, Reason}
    end.

%% A pool may have gone since it was found.
answer({error, unknown}) -> {error, "the pool has just gone"};
answer({error, closed}) -> {error, "the pool is just stopping"};
answer(Answer) -> Answer.

did(ok, Text) -> {ok, [Text, $\n]};
did({error, Reason}, _Text) -> {error, Reason}.

%% By what event_pusher_status calls it.
find(Wanted, Node) ->
    case event_pusher_command_node:call(Node, pools, [], ?PATIENCE_MS) of
        {ok, Pools} ->
            Names = [{unicode:characters_to_list(event_pusher_status:name(Name)), Name}
                     || #{name := Name} <- Pools],
            case lists:keyfind(Wanted, 1, Names) of
                {Wanted, Name} -> {ok, Name};
                false -> {error, [unknown(Wanted, Node), "; ", there_are([Text || {Text, _} <- Names])]}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

unknown(Wanted, Node) ->
    io_lib:format("~ts has no pool ~ts", [Node, Wanted]).

there_are([]) -> "it has none";
there_are(Names) -> ["there are: ", lists:join(", ", Names)].
