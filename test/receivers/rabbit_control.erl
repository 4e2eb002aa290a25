%% Evaluates expressions inside of a broker's node: each line read from a file descriptor is one,
%% each line written to it is `ok' and the value, or `error' and the reason.
-module(rabbit_control).

-export([start/1]).

-spec start([Descriptor :: string()]) -> pid().
start([Descriptor]) ->
    spawn(fun() -> serve(list_to_integer(Descriptor)) end).

serve(Descriptor) ->
    loop(open_port({fd, Descriptor, Descriptor}, [{line, 65536}, binary])).

loop(Port) ->
    receive
        {Port, {data, {eol, Line}}} ->
            port_command(Port, [answer(binary_to_list(Line)), $\n]),
            loop(Port)
    end.

answer(Line) ->
    try value(Line) of
        Value -> io_lib:format("ok ~w", [Value])
    catch
        _:Reason -> unicode:characters_to_binary(io_lib:format("error ~0tp", [Reason]))
    end.

value(Line) ->
    {ok, Tokens, _} = erl_scan:string(Line ++ "."),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Expressions, []),
    Value.
