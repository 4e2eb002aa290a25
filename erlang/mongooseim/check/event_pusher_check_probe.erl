-module(event_pusher_check_probe).
-moduledoc "Whether receivers would take events, as far as that shows without sending any.".

-export([receivers_answer/1]).

%% Whoever asks for it is in the network of the node: what does not answer has failed. If anything is
%% not as it should be, that is told alone. Options that cannot be used have a check of their own.
-spec receivers_answer(http | rabbit | sns) -> event_pusher_check:outcome().
receivers_answer(Backend) ->
    #{Backend := Module} = mod_event_pusher:backends(),
    Found = [{How, io_lib:format("~ts, ~ts: ~ts", [HostType, Receiver, Text])}
             || {HostType, Opts} <- event_pusher_check_config:with(Backend),
                {Receiver, Probed} <- probe(HostType, Module, Opts),
                {How, Text} <- findings(Probed)],
    case {lines([broken], Found), lines([unsure, broken], Found), lines([works], Found)} of
        {[], [], []} -> {ok, ["not configured"]};
        {[], [], Working} -> {ok, Working};
        {[], Unsure, _} -> {warning, Unsure};
        {_, Bad, _} -> {failed, Bad}
    end.

lines(Kinds, Found) ->
    %% A wrong key is wrong for each topic.
    lists:uniq([Line || {How, Line} <- Found, lists:member(How, Kinds)]).

probe(HostType, Module, Opts) ->
    try
        event_pusher_backend:probe(Module, HostType, Opts)
    catch
        error:#{what := event_pusher_http_pool_not_configured} -> [];
        error:#{what := event_pusher_rabbit_connection_not_configured} -> []
    end.

findings({ok, Findings}) -> Findings;
findings({error, _Complaints}) -> [{unsure, "not tried, as its options cannot be used"}].
