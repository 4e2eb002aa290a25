-module(event_pusher_outgoing).
-moduledoc "Finds the outgoing pool that a backend is to use, and reads its connection options.".

-export([find/3, tls/2, warn_unverified/2, limit_name/1]).
-export_type([pool/0]).

-include_lib("kernel/include/logger.hrl").

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

%% All that use one outgoing pool share its limit.
-spec limit_name(pool()) -> binary().
limit_name(#{type := Type, scope := Scope, tag := Tag}) ->
    iolist_to_binary(io_lib:format("~tp", [{Type, Scope, Tag}])).

%% Client TLS options for the native side, or none for an unencrypted connection. Https without
%% options verifies against the authorities of the system.
-spec tls(boolean(), #{tls => map(), _ => _}) -> event_pusher:tls() | none.
tls(false, _ConnOpts) ->
    none;
tls(true, ConnOpts) ->
    Tls = maps:get(tls, ConnOpts, #{}),
    Files = [{Key, event_pusher_config:text(maps:get(Key, Tls))}
             || Key <- [cacertfile, certfile, keyfile, password, ciphers], is_map_key(Key, Tls)],
    (maps:from_list(Files))#{
        verify_mode => maps:get(verify_mode, Tls, peer),
        disconnect_on_failure => maps:get(disconnect_on_failure, Tls, true),
        versions => [atom_to_binary(Version) || Version <- maps:get(versions, Tls, [])],
        server_name => server_name(maps:get(server_name_indication, Tls, #{}))
    }.

%% Logs which checks of certificates the options turn off, if any.
-spec warn_unverified(event_pusher_backend:labels(), event_pusher:tls() | none) -> ok.
warn_unverified(_Labels, none) ->
    ok;
warn_unverified(Labels, #{verify_mode := Mode, disconnect_on_failure := Strict,
                          server_name := Name}) ->
    Off = [<<"certificates are not verified">> || Mode =:= none orelse not Strict]
        ++ [<<"self-signed certificates are accepted">> || Mode =:= selfsigned_peer]
        ++ [<<"names are not verified">> || Name =:= disabled],
    case Off of
        [] -> ok;
        _ -> ?LOG_WARNING(Labels#{what => event_pusher_tls_unverified, checks_off => Off})
    end.

-spec server_name(map()) -> default | disabled | binary().
server_name(#{enabled := false}) -> disabled;
server_name(#{host := Host}) -> event_pusher_config:text(Host);
server_name(_Default) -> default.
