-module(host_iq_handlers).
-moduledoc "The table of IQ handlers. One for a domain goes before one for its host type.".

-export([create_table/0, add/2, replace/2, remove/1, find/3, features/1]).

-type component() :: ejabberd_local | ejabberd_sm.
-type scope() :: {domain, jid:lserver()} | {host_type, host_domains:host_type()}.
-type key() :: {component(), scope(), NS :: binary()}.

-export_type([component/0]).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

%% False when there is one already.
-spec add(key(), mongoose_iq_handler:t()) -> boolean().
add(Key, Handler) ->
    ets:insert_new(?MODULE, {checked(Key), Handler}).

-spec replace(key(), mongoose_iq_handler:t()) -> ok.
replace(Key, Handler) ->
    true = ets:insert(?MODULE, {checked(Key), Handler}),
    ok.

-spec remove(key()) -> {ok, mongoose_iq_handler:t()} | {error, not_found}.
remove(Key) ->
    found(ets:take(?MODULE, Key)).

-spec find(component(), jid:lserver(), NS :: binary()) ->
          {ok, mongoose_iq_handler:t()} | {error, not_found}.
find(Component, Domain, NS) ->
    found(lists:append([ets:lookup(?MODULE, {Component, Scope, NS}) || Scope <- scopes(Domain)])).

%% The namespaces that a domain tells a client when asked what it can do.
-spec features(jid:lserver()) -> [NS :: binary()].
features(Domain) ->
    lists:usort([NS || Scope <- scopes(Domain),
                       [NS] <- ets:match(?MODULE, {{ejabberd_local, Scope, '$1'}, '_'})]).

scopes(Domain) ->
    case host_domains:host_type(Domain) of
        {ok, HostType} -> [{domain, Domain}, {host_type, HostType}];
        {error, not_found} -> [{domain, Domain}]
    end.

checked(Key = {Component, _Scope, _NS}) when Component =:= ejabberd_local;
                                             Component =:= ejabberd_sm -> Key.

found([{_Key, Handler} | _]) -> {ok, Handler};
found([]) -> {error, not_found}.
