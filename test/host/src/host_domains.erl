-module(host_domains).
-moduledoc "Which host type a domain has: a static host is its own, others are added by hand.".

-export([create_table/0, add/2, remove/1, host_type/1]).

-type host_type() :: binary().

-export_type([host_type/0]).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

-spec add(Domain :: binary(), host_type()) -> ok.
add(Domain, HostType) ->
    true = ets:insert(?MODULE, {Domain, HostType}),
    ok.

-spec remove(Domain :: binary()) -> ok.
remove(Domain) ->
    true = ets:delete(?MODULE, Domain),
    ok.

-spec host_type(Domain :: binary()) -> {ok, host_type()} | {error, not_found}.
host_type(Domain) ->
    case {lists:member(Domain, mongoose_config:get_opt(hosts)), ets:lookup(?MODULE, Domain)} of
        {true, _} -> {ok, Domain};
        {false, [{_, HostType}]} -> {ok, HostType};
        {false, []} -> {error, not_found}
    end.
