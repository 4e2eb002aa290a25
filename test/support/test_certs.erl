-module(test_certs).
-moduledoc "Certificates for tests: an authority, a server on loopback, a client, and a stranger.".

-export([make/1, make_unusable/1]).
-export_type([files/0, unusable/0]).

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

%% Servers on loopback that one authority vouches for, and that are refused nevertheless.
-type unusable() :: #{ca := file:filename(),
                      elsewhere | expired | without_intermediates :=
                          {Cert :: file:filename(), Key :: file:filename()}}.

-spec make_unusable(Folder :: file:filename()) -> unusable().
make_unusable(Folder) ->
    ok = filelib:ensure_dir(filename:join(Folder, "any")),
    Root = #{cert := Ca} = public_key:pkix_test_root_cert("event_pusher test CA", ?STRENGTH),
    Server = fun(Name, Peer, Intermediates) ->
        Chain = fun(Of) -> #{root => Root, intermediates => Intermediates, peer => Of ++ ?STRENGTH} end,
        #{server_config := Config} = public_key:pkix_test_data(#{server_chain => Chain(Peer),
                                                                 client_chain => Chain([])}),
        {write(Folder, list_to_atom(Name ++ "_cert"), cert(Config)),
         write(Folder, list_to_atom(Name ++ "_key"), key(Config))}
    end,
    #{ca => write(Folder, unusable_ca, {'Certificate', Ca}),
      elsewhere => Server("elsewhere", [{extensions, [names([{dNSName, "elsewhere.test"}])]}], []),
      expired => Server("expired", [{extensions, [on_loopback()]},
                                    {validity, {{2020, 1, 1}, {2021, 1, 1}}}], []),
      without_intermediates => Server("without_intermediates", [{extensions, [on_loopback()]}],
                                      [?STRENGTH])}.

issue(Name) ->
    Root = #{cert := Ca} = public_key:pkix_test_root_cert(Name, ?STRENGTH),
    Chain = fun(Peer) -> #{root => Root, intermediates => [], peer => Peer ++ ?STRENGTH} end,
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain([{extensions, [on_loopback()]}]),
                                    client_chain => Chain([])}),
    {{'Certificate', Ca}, Server, Client}.

on_loopback() ->
    names([{dNSName, "localhost"}, {iPAddress, <<127, 0, 0, 1>>}]).

names(Names) ->
    #'Extension'{extnID = ?'id-ce-subjectAltName', extnValue = Names, critical = false}.

cert(Config) ->
    {'Certificate', proplists:get_value(cert, Config)}.

key(Config) ->
    proplists:get_value(key, Config).

write(Folder, Name, {Type, Der}) ->
    Path = filename:absname(filename:join(Folder, atom_to_list(Name) ++ ".pem")),
    ok = file:write_file(Path, public_key:pem_encode([{Type, Der, not_encrypted}])),
    Path.
