-module(ejabberd_auth).
-moduledoc "Which users exist: all of a local domain, until the driver says otherwise.".

-export([does_user_exist/3]).
-export([create_table/0, note/2]).

-type exist_type() :: stored | with_anonymous.
-type note() :: exists | unknown | {broken, Reason :: term()}.

-export_type([exist_type/0]).

%% Raises for a user whom the driver declared broken.
-spec does_user_exist(host_domains:host_type(), jid:jid(), exist_type()) -> boolean().
does_user_exist(HostType, Jid, _Type) ->
    case ets:lookup(?MODULE, jid:to_lus(Jid)) of
        [{_User, {broken, Reason}}] -> error(Reason);
        [{_User, unknown}] -> false;
        _ -> host_domains:host_type(jid:lserver(Jid)) =:= {ok, HostType}
    end.

%% For the driver

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

-spec note(jid:jid(), note()) -> ok.
note(Jid, Note) ->
    true = ets:insert(?MODULE, {jid:to_lus(Jid), Note}),
    ok.
