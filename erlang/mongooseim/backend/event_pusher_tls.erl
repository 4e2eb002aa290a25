-module(event_pusher_tls).
-moduledoc "Reads the TLS options of a connection, and warns of checks that they turn off.".

-export([options/2, warn_unverified/2]).

-include_lib("kernel/include/logger.hrl").

%% Client TLS options for the native side, or none for an unencrypted connection. Https without
%% options verifies against the authorities of the system.
-spec options(boolean(), #{tls => map(), _ => _}) -> event_pusher:tls() | none.
options(false, _ConnOpts) ->
    none;
options(true, ConnOpts) ->
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

-spec server_name(map()) -> default | disabled | {name, binary()}.
server_name(#{enabled := false}) -> disabled;
server_name(#{host := Host}) -> {name, event_pusher_config:text(Host)};
server_name(_Default) -> default.
