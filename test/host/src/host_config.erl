-module(host_config).
-moduledoc "Turns a mongooseim.toml, or options given directly, into those of a running server.".

-export([load/1, from_modules/2]).

%% Sections of a server's file that play no part here; what is in them is not looked at.
-define(NOT_READ, [<<"listen">>, <<"auth">>, <<"services">>, <<"shaper">>, <<"acl">>, <<"access">>,
                   <<"s2s">>, <<"internal_databases">>, <<"instrumentation">>]).
-define(READ_OF_GENERAL, [<<"hosts">>, <<"host_types">>, <<"default_server_domain">>]).
-define(OTHER_POOLS, [<<"cassandra">>, <<"elastic">>, <<"ldap">>, <<"rdbms">>, <<"redis">>]).

-spec load(file:filename_all()) -> mongoose_config:opts().
load(Path) ->
    Document = host_toml:read(Path),
    Opts = host_config_parser:process(host_config_spec:root(), read_part(Document)),
    raise_errors(unknown_hosts(Opts) ++ static_only_modules(Opts)),
    Resolved = resolve_modules(Opts),
    raise_errors(missing_databases(databases(Document), Resolved)),
    Resolved.

%% Options as the config parser would give them; dependencies are added. More says what else is
%% configured; a host type is a static host unless `host_types' names it.
-spec from_modules(host:modules(), More :: mongoose_config:opts()) -> mongoose_config:opts().
from_modules(ModulesOfHostTypes, More) ->
    HostTypes = maps:get(host_types, More, []),
    Modules = maps:from_list([{{modules, HostType}, Modules}
                              || {HostType, Modules} <- maps:to_list(ModulesOfHostTypes)]),
    Defaults = #{hosts => maps:keys(ModulesOfHostTypes) -- HostTypes,
                 host_types => HostTypes,
                 outgoing_pools => []},
    [check_module(Module) || Of <- maps:values(ModulesOfHostTypes), Module <- maps:keys(Of)],
    resolve_modules(maps:merge(maps:merge(Defaults, Modules), More)).

check_module(Module) ->
    case code:ensure_loaded(Module) of
        {module, Module} -> ok;
        {error, _} -> error(#{what => module_not_found, module => Module})
    end.

%% What is read of a document

read_part(Document) ->
    Read = maps:without(?NOT_READ, Document),
    change(<<"host_config">>, fun read_part_of_host_configs/1,
           change(<<"general">>, fun(General) -> maps:with(?READ_OF_GENERAL, General) end,
                  change(<<"outgoing_pools">>, fun read_part_of_pools/1, Read))).

read_part_of_host_configs(HostConfigs) ->
    [change(<<"outgoing_pools">>, fun read_part_of_pools/1,
            maps:without([<<"general">> | ?NOT_READ], HostConfig)) || HostConfig <- HostConfigs].

read_part_of_pools(Pools) ->
    maps:without(?OTHER_POOLS, Pools).

change(Key, Fun, Table) when is_map_key(Key, Table) ->
    maps:update_with(Key, Fun, Table);
change(_Key, _Fun, Table) ->
    Table.

databases(Document) ->
    [binary_to_atom(Name)
     || Name <- maps:keys(maps:get(<<"internal_databases">>, Document, #{<<"mnesia">> => #{}}))].

%% The modules of a host type: its own section, or else the global one

resolve_modules(Opts) ->
    Global = maps:get({modules, global}, Opts, #{}),
    lists:foldl(fun(HostType, Acc) ->
        Modules = maps:get({modules, HostType}, Opts, Global),
        Acc#{{modules, HostType} => gen_mod_deps:resolve_deps(HostType, Modules)}
    end, maps:remove({modules, global}, Opts), host_types(Opts)).

host_types(#{hosts := Hosts, host_types := HostTypes}) ->
    Hosts ++ HostTypes.

%% Checks of the configuration as a whole

raise_errors([]) -> ok;
raise_errors(Errors) -> error({config_error, "Could not use the configuration file", Errors}).

unknown_hosts(Opts) ->
    [#{what => unknown_host_in_host_config, toml_path => <<"host_config">>, host_type => HostType,
       text => <<"expected one of general.hosts and general.host_types">>}
     || HostType <- lists:usort([H || {Section, H} <- maps:keys(Opts),
                                      {Section, H} =/= {modules, global}]) -- host_types(Opts)].

static_only_modules(Opts = #{host_types := HostTypes}) ->
    Global = maps:get({modules, global}, Opts, #{}),
    [#{what => modules_without_dynamic_domains, toml_path => module_path(Module),
       host_type => HostType, module => Module,
       text => <<"expected a module that supports dynamic domains">>}
     || HostType <- HostTypes,
        Module <- maps:keys(maps:get({modules, HostType}, Opts, Global)),
        not gen_mod:does_module_support(Module, dynamic_domains)].

module_path(Module) ->
    <<"modules.", (atom_to_binary(Module))/binary>>.

missing_databases(Databases, Opts) ->
    [#{what => internal_database_not_configured, toml_path => <<"internal_databases">>,
       host_type => HostType, module => Module, option => Option, database => Database,
       text => <<"expected the section of an internal database that a module uses">>}
     || {{modules, HostType}, Modules} <- maps:to_list(Opts),
        {Module, ModuleOpts} <- maps:to_list(Modules),
        Option <- gen_mod:backend_opts(Module),
        Database <- [maps:get(Option, ModuleOpts, none)],
        lists:member(Database, [mnesia, cets]),
        not lists:member(Database, Databases)].
