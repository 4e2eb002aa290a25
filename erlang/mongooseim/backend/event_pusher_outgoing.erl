-module(event_pusher_outgoing).
-moduledoc "Finds the outgoing pool of the server that a backend is to use, and names its limit.".

-export([find/3, limit_name/1]).
-export_type([pool/0]).

-type pool() :: #{type := atom(), scope := global | mongooseim:host_type(), tag := atom(),
                  opts := #{workers := pos_integer(), _ => _}, conn_opts := map()}.

%% The pool of the host type's own configuration comes first, then one that each host type has,
%% then the global one.
-spec find(Type :: atom(), mongooseim:host_type(), Tag :: atom()) ->
    {ok, pool()} | {error, not_configured}.
find(Type, HostType, Tag) ->
    Own = mongoose_config:get_opt({outgoing_pools, HostType}, []),
    Shared = mongoose_config:get_opt(outgoing_pools, []),
    case [Pool || #{type := T, tag := G} = Pool <- Own ++ Shared, T =:= Type, G =:= Tag] of
        [#{scope := global} = Pool | _] -> {ok, Pool};
        [Pool | _] -> {ok, Pool#{scope := HostType}};
        [] -> {error, not_configured}
    end.

%% All that use one outgoing pool share its limit. Scope and tag may have any characters.
-spec limit_name(pool()) -> binary().
limit_name(#{type := Type, scope := Scope, tag := Tag}) ->
    unicode:characters_to_binary(io_lib:format("~tw", [{Type, Scope, Tag}])).
