-module(host_pools_spec).
-moduledoc "The config spec of outgoing pools, as far as event_pusher uses them: http and rabbit.".

-export([outgoing_pools/1, process_pool/2]).

-include("mongoose_config_spec.hrl").

%% What a value has to be, and what it is if it is not given; with `required` it has to be given.
-type option() :: {Type :: atom(), Valid :: term(), Default :: term()}.

-spec outgoing_pools(global | host) -> #section{}.
outgoing_pools(Where) ->
    Tags = fun(Type) -> tags(pool(Where, connection(Type))) end,
    Types = [{Type, Tags(Type)} || Type <- [<<"http">>, <<"rabbit">>]],
    All = #section{items = maps:from_list(Types), format_items = list},
    case Where of
        global -> All#section{wrap = global_config, include = always};
        host -> All#section{wrap = host_config}
    end.

%% The key of a pool in the section of its type is its tag.
tags(Pool) ->
    #section{items = #{default => Pool}, format_items = list, wrap = none}.

%% In host_config the scope of a pool is its host type, so it cannot be given.
pool(global, Connection) ->
    Scope = #option{type = atom, validate = {enum, [global, host_type, host]}},
    #section{items = Items} = Pool = workers(Connection, #{<<"scope">> => global}),
    Pool#section{items = Items#{<<"scope">> => Scope}};
pool(host, Connection) ->
    workers(Connection, #{}).

workers(Connection, Defaults) ->
    #section{items = Items} = Workers = mongoose_config_spec:wpool(Defaults),
    Workers#section{items = Items#{<<"connection">> => Connection},
                    process = fun ?MODULE:process_pool/2,
                    wrap = item}.

connection(Type) ->
    #section{items = Items} = Section = options(connection_options(Type)),
    Section#section{items = maps:merge(Items#{<<"tls">> => mongoose_config_spec:tls([client])},
                                       connection_sections(Type))}.

connection_options(<<"http">>) ->
    #{<<"host">> => {string, non_empty, required},
      <<"path_prefix">> => {binary, non_empty, <<"/">>},
      <<"request_timeout">> => {integer, non_negative, 2000}};
connection_options(<<"rabbit">>) ->
    #{<<"host">> => {string, non_empty, "localhost"},
      <<"port">> => {integer, port, 5672},
      <<"username">> => {binary, non_empty, <<"guest">>},
      <<"password">> => {binary, non_empty, <<"guest">>},
      <<"virtual_host">> => {binary, non_empty, <<"/">>},
      <<"confirms_enabled">> => {boolean, any, false}}.

connection_sections(<<"http">>) ->
    #{};
connection_sections(<<"rabbit">>) ->
    #{<<"reconnect">> => options(#{<<"attempts">> => {integer, non_negative, 0},
                                   <<"delay">> => {integer, non_negative, 2000}})}.

%% A section that is there even where the file has nothing of it.
-spec options(#{binary() => option()}) -> #section{}.
options(Options) ->
    {Required, Defaults} = lists:partition(fun({_Key, Default}) -> Default =:= required end,
                                           [{Key, Default} || {Key, {_, _, Default}}
                                                                  <- maps:to_list(Options)]),
    #section{items = maps:map(fun(_Key, {Type, Valid, _Default}) ->
                                  #option{type = Type, validate = Valid}
                              end, Options),
             required = proplists:get_keys(Required),
             defaults = maps:from_list(Defaults),
             include = always}.

-spec process_pool(host_config_parser:path(), map()) -> map().
process_pool([Tag, Type | Where], #{connection := Connection} = Opts) ->
    ok = check_strategy(Opts),
    #{type => binary_to_atom(Type),
      tag => binary_to_atom(Tag),
      scope => scope(maps:get(scope, Opts, none), Where),
      opts => maps:without([connection, scope], Opts),
      conn_opts => Connection}.

check_strategy(#{max_worker_queue_len := _, strategy := Strategy})
  when Strategy =/= best_worker ->
    error(#{what => invalid_worker_pool_strategy_option, strategy => Strategy,
            text => <<"max_worker_queue_len needs the strategy best_worker">>});
check_strategy(#{}) ->
    ok.

%% Without a scope, the path names the host type that the pool is for.
scope(none, Where) -> proplists:get_value(host, Where);
scope(host, _Where) -> host_type;
scope(Scope, _Where) -> Scope.
