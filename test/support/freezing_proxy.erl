-module(freezing_proxy).
-moduledoc "Stands between a client and a server on loopback, until it passes nothing on any more.".

-export([start/1, start/2, port/1, freeze/1]).
-export_type([proxy/0]).

-opaque proxy() :: {pid(), inet:port_number()}.

-define(OPTIONS, [binary, {ip, {127, 0, 0, 1}}, {active, false}]).

%% Ends with the calling process.
-spec start(Server :: inet:port_number()) -> proxy().
start(Server) ->
    start(Server, 0).

%% Listens there.
-spec start(Server :: inet:port_number(), inet:port_number()) -> proxy().
start(Server, Own) ->
    Caller = self(),
    Proxy = spawn_link(fun() ->
        {ok, Listen} = gen_tcp:listen(Own, ?OPTIONS),
        {ok, Port} = inet:port(Listen),
        Caller ! {self(), Port},
        Self = self(),
        spawn_link(fun() -> accept(Listen, Server, Self) end),
        pass_on(#{})
    end),
    receive {Proxy, Port} -> {Proxy, Port} end.

-spec port(proxy()) -> inet:port_number().
port({_Proxy, Port}) ->
    Port.

%% Connections stay open, and the system takes what comes.
-spec freeze(proxy()) -> ok.
freeze({Proxy, _Port}) ->
    Proxy ! {freeze, self()},
    receive {frozen, Proxy} -> ok end.

accept(Listen, Server, Proxy) ->
    {ok, Client} = gen_tcp:accept(Listen),
    {ok, Upstream} = gen_tcp:connect({127, 0, 0, 1}, Server, [binary, {active, false}]),
    [ok = gen_tcp:controlling_process(Socket, Proxy) || Socket <- [Client, Upstream]],
    Proxy ! {pair, Client, Upstream},
    accept(Listen, Server, Proxy).

pass_on(Pairs) ->
    receive
        {pair, A, B} ->
            [ok = inet:setopts(Socket, [{active, once}]) || Socket <- [A, B]],
            pass_on(Pairs#{A => B, B => A});
        {tcp, Socket, Bytes} ->
            _ = gen_tcp:send(maps:get(Socket, Pairs), Bytes),
            _ = inet:setopts(Socket, [{active, once}]),
            pass_on(Pairs);
        {tcp_closed, Socket} ->
            _ = gen_tcp:close(maps:get(Socket, Pairs)),
            pass_on(Pairs);
        {freeze, Caller} ->
            Caller ! {frozen, self()},
            receive after infinity -> ok end
    end.
