-module(event_pusher_check_options).
-moduledoc "Whether backends can use their options, and find the connections that these name.".

-export([are_good/0, http_pools_exist/0, rabbit_has_a_connection/0, push_storage/0]).

%% All that would end the start of a module, but for what the other checks are about.
-spec are_good() -> event_pusher_check:outcome().
are_good() ->
    Used = [{HostType, Backend, Module, Opts}
            || {Backend, Module} <- maps:to_list(mod_event_pusher:backends()),
               {HostType, Opts} <- event_pusher_check_config:with(Backend)],
    Complaints = [io_lib:format("~ts, ~ts: ~ts", [HostType, Backend, Complaint])
                  || {HostType, Backend, Module, Opts} <- Used,
                     Complaint <- complaints(Module, HostType, Opts)],
    outcome(Complaints, "the options of all backends can be used (~b)", length(Used)).

complaints(Module, HostType, Opts) ->
    try
        Module:complaints(HostType, Opts)
    catch
        error:#{what := event_pusher_http_pool_not_configured} -> [];
        error:#{what := event_pusher_rabbit_connection_not_configured} -> []
    end.

-spec http_pools_exist() -> event_pusher_check:outcome().
http_pools_exist() ->
    Handlers = [{HostType, Tag} || {HostType, #{handlers := Handlers}}
                                       <- event_pusher_check_config:with(http),
                                   #{pool_name := Tag} <- Handlers],
    Missing = [io_lib:format("~ts: there is no [outgoing_pools.http.~ts]", [HostType, Tag])
               || {HostType, Tag} <- lists:usort(Handlers), not has_pool(http, HostType, Tag)],
    outcome(Missing, "all handlers have their outgoing pool (~b)", length(Handlers)).

-spec rabbit_has_a_connection() -> event_pusher_check:outcome().
rabbit_has_a_connection() ->
    Users = event_pusher_check_config:with_exchanges(),
    Missing = [io_lib:format("~ts: there is neither [modules.mod_event_pusher.rabbit.connection] "
                             "nor [outgoing_pools.rabbit.event_pusher]", [HostType])
               || {HostType, Opts} <- Users, not is_map_key(connection, Opts),
                  not has_pool(rabbit, HostType, event_pusher)],
    outcome(Missing, "all host types with exchanges have a connection (~b)", length(Users)).

%% This VM has neither the server's Mnesia nor its pools, so nothing is read.
-spec push_storage() -> event_pusher_check:outcome().
push_storage() ->
    case [{Backend, HostType} || {HostType, #{backend := Backend}} <- event_pusher_check_config:with(push)] of
        [] ->
            {ok, ["not configured"]};
        [{_, First} | _] = Used ->
            Backends = lists:usort([atom_to_list(Backend) || {Backend, _} <- Used]),
            {ok, [io_lib:format("~ts: read by the running node only; to try it there: event-pusher probe push:~ts",
                                [lists:join(", ", Backends), First])]}
    end.

outcome([], _Format, 0) -> {ok, ["not configured"]};
outcome([], Format, Count) -> {ok, [io_lib:format(Format, [Count])]};
outcome(Failures, _Format, _Count) -> {failed, Failures}.

has_pool(Type, HostType, Tag) ->
    event_pusher_outgoing:find(Type, HostType, Tag) =/= {error, not_configured}.
