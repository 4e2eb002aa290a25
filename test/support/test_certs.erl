-module(test_certs).
-moduledoc "Certificates for tests: an authority, a server on loopback, a client, and a stranger.".

-export([make/1]).
-export_type([files/0]).

-include_lib("public_key/include/public_key.hrl").

-type files() :: #{ca := file:filename(),
                   cert := file:filename(), key := file:filename(),
                   client_cert := file:filename(), client_key := file:filename(),
                   foreign_ca := file:filename(),
                   foreign_cert := file:filename(), foreign_key := file:filename()}.

%% What every TLS library takes. OTP names the curve in signatures of elliptic keys, which strict
%% readers refuse.
-define(STRENGTH, [{digest, sha256}, {key, {rsa, 2048, 65537}}]).

%% Writes PEM files into the folder, which is made if need be. The server is localhost and
%% 127.0.0.1; its certificate and that of the client are signed by `ca'. The foreign certificate is
%% that of a client, signed by `foreign_ca'.
-spec make(Folder :: file:filename()) -> files().
make(Folder) ->
    ok = filelib:ensure_dir(filename:join(Folder, "any")),
    {Ca, Server, Client} = issue("event_pusher test CA"),
    {ForeignCa, _, ForeignClient} = issue("foreign test CA"),
    Entries = #{ca => Ca,
                cert => cert(Server), key => key(Server),
                client_cert => cert(Client), client_key => key(Client),
                foreign_ca => ForeignCa,
                foreign_cert => cert(ForeignClient), foreign_key => key(ForeignClient)},
    maps:map(fun(Name, Entry) -> write(Folder, Name, Entry) end, Entries).

issue(Name) ->
    Root = #{cert := Ca} = public_key:pkix_test_root_cert(Name, ?STRENGTH),
    Chain = fun(Peer) -> #{root => Root, intermediates => [], peer => Peer ++ ?STRENGTH} end,
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain([{extensions, [on_loopback()]}]),
                                    client_chain => Chain([])}),
    {{'Certificate', Ca}, Server, Client}.

on_loopback() ->
    #'Extension'{extnID = ?'id-ce-subjectAltName',
                 extnValue = [{dNSName, "localhost"}, {iPAddress, <<127, 0, 0, 1>>}],
                 critical = false}.

cert(Config) ->
    {'Certificate', proplists:get_value(cert, Config)}.

key(Config) ->
    proplists:get_value(key, Config).

write(Folder, Name, {Type, Der}) ->
    Path = filename:absname(filename:join(Folder, atom_to_list(Name) ++ ".pem")),
    ok = file:write_file(Path, public_key:pem_encode([{Type, Der, not_encrypted}])),
    Path.
