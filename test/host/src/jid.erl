-module(jid).
-moduledoc "Makes, reads and compares JIDs; the parts of a JID are normalised by stringprep.".
-on_load(load_stringprep/0).

-export([make/1, make/3, make_bare/2, make_noprep/1, make_noprep/3]).
-export([from_binary/1, from_binary_noprep/1, binary_to_bare/1]).
-export([to_binary/1, to_bare_binary/1, to_lower/1, to_lus/1, to_bare/1]).
-export([replace_resource/2, replace_resource_noprep/2]).
-export([luser/1, lserver/1, lresource/1, are_equal/2, are_bare_equal/2]).
-export([nodeprep/1, nameprep/1, resourceprep/1, is_nodename/1, str_tolower/1]).

-include("jid.hrl").

-define(MAX_PART, 1023).
-define(MAX_JID, 3070).

-type jid() :: #jid{}.
-type luser() :: binary().
-type lserver() :: binary().
-type lresource() :: binary().
-type simple_jid() :: {luser(), lserver(), lresource()}.
-type simple_bare_jid() :: {luser(), lserver()}.
-type parts() :: {binary(), binary(), binary()}.

-export_type([jid/0, luser/0, lserver/0, lresource/0, simple_jid/0, simple_bare_jid/0]).

%% JIDs work as soon as this module is there, whether or not the stringprep application runs.
load_stringprep() ->
    _ = stringprep:load_nif(),
    ok.

%% Making

-spec make(parts()) -> jid() | error.
make({User, Server, Resource}) ->
    make(User, Server, Resource).

-spec make(binary(), binary(), binary()) -> jid() | error.
make(User, Server, Resource) ->
    case {nodeprep(User), nameprep(Server), resourceprep(Resource)} of
        {error, _, _} -> error;
        {_, error, _} -> error;
        {_, _, error} -> error;
        {_, <<>>, _} -> error;
        {LUser, LServer, LResource} -> make_noprep(LUser, LServer, LResource)
    end.

-spec make_bare(binary(), binary()) -> jid() | error.
make_bare(User, Server) ->
    make(User, Server, <<>>).

-spec make_noprep(simple_jid()) -> jid().
make_noprep({LUser, LServer, LResource}) ->
    make_noprep(LUser, LServer, LResource).

-spec make_noprep(luser(), lserver(), lresource()) -> jid().
make_noprep(LUser, LServer, LResource) ->
    #jid{luser = LUser, lserver = LServer, lresource = LResource}.

-spec replace_resource(jid(), binary()) -> jid() | error.
replace_resource(Jid, Resource) ->
    case resourceprep(Resource) of
        error -> error;
        LResource -> replace_resource_noprep(Jid, LResource)
    end.

-spec replace_resource_noprep(jid(), lresource()) -> jid().
replace_resource_noprep(Jid = #jid{}, LResource) ->
    Jid#jid{lresource = LResource}.

%% Reading text

-spec from_binary(binary()) -> jid() | error.
from_binary(Text) ->
    case split(Text) of
        error -> error;
        Parts -> make(Parts)
    end.

-spec from_binary_noprep(binary()) -> jid() | error.
from_binary_noprep(Text) ->
    case split(Text) of
        error -> error;
        Parts -> make_noprep(Parts)
    end.

-spec binary_to_bare(binary()) -> jid() | error.
binary_to_bare(Text) ->
    to_bare(from_binary(Text)).

split(Text) when byte_size(Text) > ?MAX_JID ->
    error;
split(Text) ->
    {Bare, Resource} = cut_resource(binary:split(Text, <<"/">>)),
    case binary:split(Bare, <<"@">>, [global]) of
        [Server] -> checked({<<>>, Server, Resource});
        [<<>>, _] -> error;
        [User, Server] -> checked({User, Server, Resource});
        _MoreThanOneAt -> error
    end.

cut_resource([Bare]) -> {Bare, <<>>};
cut_resource([Bare, Resource]) -> {Bare, Resource}.

checked({_, <<>>, _}) -> error;
checked(Parts = {User, Server, Resource})
  when byte_size(User) =< ?MAX_PART, byte_size(Server) =< ?MAX_PART,
       byte_size(Resource) =< ?MAX_PART -> Parts;
checked(_TooLong) -> error.

%% Other forms

-spec to_binary(jid() | simple_jid() | simple_bare_jid() | binary()) -> binary().
to_binary(Text) when is_binary(Text) -> Text;
to_binary(#jid{luser = User, lserver = Server, lresource = Resource}) ->
    to_binary({User, Server, Resource});
to_binary({User, Server}) -> to_binary({User, Server, <<>>});
to_binary({<<>>, Server, <<>>}) -> Server;
to_binary({User, Server, <<>>}) -> <<User/binary, "@", Server/binary>>;
to_binary({<<>>, Server, Resource}) -> <<Server/binary, "/", Resource/binary>>;
to_binary({User, Server, Resource}) ->
    <<User/binary, "@", Server/binary, "/", Resource/binary>>.

-spec to_bare_binary(jid() | simple_jid() | simple_bare_jid() | binary()) -> binary() | error.
to_bare_binary(Text) when is_binary(Text) ->
    case from_binary(Text) of
        error -> error;
        Jid -> to_bare_binary(Jid)
    end;
to_bare_binary(Jid) ->
    to_binary(to_lus(Jid)).

-spec to_lower(jid() | parts()) -> simple_jid() | error.
to_lower(#jid{luser = LUser, lserver = LServer, lresource = LResource}) ->
    {LUser, LServer, LResource};
to_lower(Parts) ->
    case make(Parts) of
        error -> error;
        Jid -> to_lower(Jid)
    end.

-spec to_lus(jid() | simple_jid() | simple_bare_jid()) -> simple_bare_jid();
            (error) -> error.
to_lus(#jid{luser = LUser, lserver = LServer}) -> {LUser, LServer};
to_lus({LUser, LServer, _LResource}) -> {LUser, LServer};
to_lus({LUser, LServer}) -> {LUser, LServer};
to_lus(error) -> error.

-spec to_bare(jid()) -> jid();
             (simple_jid()) -> simple_jid();
             (error) -> error.
to_bare(Jid = #jid{}) -> Jid#jid{lresource = <<>>};
to_bare({LUser, LServer, _LResource}) -> {LUser, LServer, <<>>};
to_bare(error) -> error.

-spec luser(jid()) -> luser().
luser(#jid{luser = LUser}) -> LUser.

-spec lserver(jid()) -> lserver().
lserver(#jid{lserver = LServer}) -> LServer.

-spec lresource(jid()) -> lresource().
lresource(#jid{lresource = LResource}) -> LResource.

-spec are_equal(jid(), jid()) -> boolean().
are_equal(#jid{} = One, #jid{} = Other) -> One =:= Other.

-spec are_bare_equal(jid(), jid()) -> boolean().
are_bare_equal(#jid{} = One, #jid{} = Other) -> to_lus(One) =:= to_lus(Other).

%% Normalising

-spec nodeprep(binary()) -> luser() | error.
nodeprep(User) ->
    short_enough(stringprep:nodeprep(User)).

-spec nameprep(binary()) -> lserver() | error.
nameprep(Server) ->
    short_enough(stringprep:nameprep(Server)).

-spec resourceprep(binary()) -> lresource() | error.
resourceprep(Resource) ->
    short_enough(stringprep:resourceprep(Resource)).

-spec is_nodename(binary()) -> boolean().
is_nodename(<<>>) -> false;
is_nodename(User) -> nodeprep(User) =/= error.

-spec str_tolower(binary()) -> binary() | error.
str_tolower(Text) ->
    stringprep:tolower(Text).

short_enough(Part) when is_binary(Part), byte_size(Part) > ?MAX_PART -> error;
short_enough(Part) -> Part.
