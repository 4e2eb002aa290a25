-module(event_pusher_check_tls).
-moduledoc "Whether receivers can be reached over TLS with the options that the configuration has.".

-export([connections_work/1]).

-export_type([connection/0]).

%% Where it is configured, and how it is made.
-type connection() :: #{section := iodata(), host := string(), port := inet:port_number(),
                        tls := event_pusher:tls()}.

%% For each step of a connection.
-define(PATIENCE_MS, 3000).

%% A connection that fails is only a warning: the node may be meant for another network. Options that
%% cannot be used are told by a check of their own.
-spec connections_work([connection()]) -> event_pusher_check:outcome().
connections_work([]) ->
    {ok, ["not configured"]};
connections_work(Connections) ->
    Results = [{Section, result(Connection)} || #{section := Section} = Connection <- Connections],
    case [[Section, ": ", cause(Reason)] || {Section, {error, Reason}} <- Results] of
        [] -> {ok, [io_lib:format("all receivers can be reached (~b)", [length(Results)])]};
        Failed -> {warning, Failed}
    end.

cause({connection, Cause}) -> Cause;
cause({options, _Complaints}) -> "not tried, as its options cannot be used".

result(#{host := Host, port := Port, tls := Tls}) ->
    event_pusher:try_tls(event_pusher_config:text(Host), Port, Tls, ?PATIENCE_MS).
