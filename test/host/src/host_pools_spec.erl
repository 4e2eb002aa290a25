-module(host_pools_spec).
-moduledoc "The config spec of outgoing pools, as far as event_pusher uses them: http and rabbit.".

-export([outgoing_pools/1, process_pool/2]).

-include("mongoose_config_spec.hrl").

%% In host_config the scope of a pool is its host type, so it cannot be given.
-spec outgoing_pools(global | host) -> #section{}.
outgoing_pools(global) ->
    Scope = #option{type = atom, validate = {enum, [global, host_type, host]}},
    #section{items = pool_types(#{<<"scope">> => Scope}, #{<<"scope">> => global}),
             format_items = list,
             wrap = global_config,
             include = always};
outgoing_pools(host) ->
    #section{items = pool_types(#{}, #{}), format_items = list, wrap = host_config}.

pool_types(ScopeItem, ScopeDefault) ->
    OfType = fun(_Type, Connection) ->
                 #section{items = #{default => pool(Connection, ScopeItem, ScopeDefault)},
                          format_items = list,
                          wrap = none}
             end,
    maps:map(OfType, #{<<"http">> => http(), <<"rabbit">> => rabbit()}).

pool(Connection, ScopeItem, ScopeDefault) ->
    Wpool = #section{items = Items, defaults = Defaults} = mongoose_config_spec:wpool(ScopeDefault),
    Wpool#section{items = maps:merge(Items#{<<"connection">> => Connection}, ScopeItem),
                  defaults = Defaults,
                  process = fun ?MODULE:process_pool/2,
                  wrap = item}.

http() ->
    #section{items = #{<<"host">> => #option{type = string, validate = non_empty},
                       <<"path_prefix">> => #option{type = binary, validate = non_empty},
                       <<"request_timeout">> => #option{type = integer, validate = non_negative},
                       <<"tls">> => mongoose_config_spec:tls([client])},
             required = [<<"host">>],
             defaults = #{<<"path_prefix">> => <<"/">>, <<"request_timeout">> => 2000},
             include = always}.

rabbit() ->
    Name = #option{type = binary, validate = non_empty},
    #section{items = #{<<"host">> => #option{type = string, validate = non_empty},
                       <<"port">> => #option{type = integer, validate = port},
                       <<"username">> => Name,
                       <<"password">> => Name,
                       <<"virtual_host">> => Name,
                       <<"confirms_enabled">> => #option{type = boolean},
                       <<"tls">> => mongoose_config_spec:tls([client]),
                       <<"reconnect">> => reconnect()},
             defaults = #{<<"host">> => "localhost",
                          <<"port">> => 5672,
                          <<"username">> => <<"guest">>,
                          <<"password">> => <<"guest">>,
                          <<"virtual_host">> => <<"/">>,
                          <<"confirms_enabled">> => false},
             include = always}.

reconnect() ->
    Count = #option{type = integer, validate = non_negative},
    #section{items = #{<<"attempts">> => Count, <<"delay">> => Count},
             defaults = #{<<"attempts">> => 0, <<"delay">> => 2000},
             include = always}.

-spec process_pool(host_config_parser:path(), map()) -> map().
process_pool(_Path, #{max_worker_queue_len := _, strategy := Strategy})
  when Strategy =/= best_worker ->
    error(#{what => invalid_worker_pool_strategy_option, strategy => Strategy,
            text => <<"max_worker_queue_len needs the strategy best_worker">>});
process_pool([Tag, Type | Path], Opts = #{connection := Connection}) ->
    #{type => binary_to_atom(Type),
      tag => binary_to_atom(Tag),
      scope => scope(Path, Opts),
      opts => maps:without([connection, scope], Opts),
      conn_opts => Connection}.

scope(_Path, #{scope := host}) -> host_type;
scope(_Path, #{scope := Scope}) -> Scope;
scope(Path, #{}) -> proplists:get_value(host, Path).
