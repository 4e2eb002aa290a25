-module(host_config_spec).
-moduledoc "The config spec of mongooseim.toml, as far as event_pusher depends on it.".

-export([root/0, configurable_modules/0, process_domain/1, check_hosts/1]).

-include("mongoose_config_spec.hrl").

-spec root() -> #section{}.
root() ->
    #section{items = #{<<"general">> => general(),
                       <<"modules">> => (modules())#section{include = always},
                       <<"outgoing_pools">> => host_pools_spec:outgoing_pools(global),
                       <<"host_config">> => #list{items = host_config(), wrap = none}},
             required = [<<"general">>]}.

general() ->
    Domain = #option{type = binary, validate = non_empty, process = fun ?MODULE:process_domain/1},
    HostType = #option{type = binary, validate = non_empty},
    Unique = #list{validate = unique, wrap = global_config},
    #section{items = #{<<"hosts">> => Unique#list{items = Domain},
                       <<"host_types">> => Unique#list{items = HostType},
                       <<"default_server_domain">> => Domain#option{wrap = global_config}},
             required = [<<"default_server_domain">>],
             defaults = #{<<"hosts">> => [], <<"host_types">> => []},
             format_items = list,
             process = fun ?MODULE:check_hosts/1,
             wrap = none}.

host_config() ->
    Name = #option{type = binary, validate = non_empty, wrap = remove},
    #section{items = #{<<"host">> => Name,
                       <<"host_type">> => Name,
                       <<"modules">> => modules(),
                       <<"outgoing_pools">> => host_pools_spec:outgoing_pools(host)},
             format_items = list,
             wrap = none}.

%% Modules out of the list take no options.
modules() ->
    Specs = [{atom_to_binary(Module), Module:config_spec()} || Module <- configurable_modules()],
    #section{items = maps:from_list([{default, #section{}} | Specs]),
             validate_keys = module,
             wrap = host_config}.

%% A server has many more; the only one that matters here is ours.
-spec configurable_modules() -> [module()].
configurable_modules() ->
    [Module || Module <- [mod_event_pusher], code:ensure_loaded(Module) =:= {module, Module}].

-spec process_domain(binary()) -> jid:lserver().
process_domain(Domain) ->
    case jid:nameprep(Domain) of
        error -> error(#{what => invalid_domain, text => <<"expected a domain name">>});
        LServer -> LServer
    end.

-spec check_hosts([{atom(), term()}]) -> [{atom(), term()}].
check_hosts(Options) ->
    case [hosts || {Key, [_ | _]} <- Options, Key =:= hosts orelse Key =:= host_types] of
        [] -> error(#{what => hosts_or_host_types_not_defined,
                      text => <<"expected hosts or host_types, got neither">>});
        _ -> Options
    end.
