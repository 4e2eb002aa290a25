-module(gen_mod_deps).
-moduledoc "Adds the modules that others depend on, and puts modules into their starting order.".

-export([resolve_deps/2, sort_deps/2]).

-include_lib("kernel/include/logger.hrl").

-type modules() :: #{module() => gen_mod:module_opts()}.

-export_type([modules/0]).

%% Breadth first; a module whose options change through another one is asked for its deps again.
-spec resolve_deps(gen_mod:host_type(), modules()) -> modules().
resolve_deps(HostType, Modules) ->
    Queue = [{Module, Opts, hard} || {Module, Opts} <- lists:sort(maps:to_list(Modules))],
    resolve(HostType, Queue, [], #{}).

resolve(HostType, [Dep = {_, _, optional} | Queue], Optional, Known) ->
    resolve(HostType, Queue, Optional ++ [Dep], Known);
resolve(HostType, [{Module, NewOpts, _} | Queue], Optional, Known) ->
    case Known of
        #{Module := Opts} ->
            take(HostType, Module, merge(Module, Opts, NewOpts), Queue, Optional, Known);
        #{} ->
            take(HostType, Module, NewOpts, Queue, Optional, Known)
    end;
resolve(HostType, [], Optional, Known) ->
    case lists:partition(fun({Module, _, _}) -> is_map_key(Module, Known) end, Optional) of
        {[], _NotThere} -> Known;
        {There, Rest} -> resolve(HostType, [{M, Opts, soft} || {M, Opts, _} <- There], Rest, Known)
    end.

take(HostType, Module, Opts, Queue, Optional, Known) ->
    case Known of
        #{Module := Opts} ->
            resolve(HostType, Queue, Optional, Known);
        #{} ->
            Deps = module_deps(HostType, Module, Opts),
            resolve(HostType, Queue ++ Deps, Optional, Known#{Module => Opts})
    end.

merge(Module, Opts, NewOpts) ->
    Overridden = maps:filter(fun(Key, Value) -> maps:get(Key, NewOpts, Value) =/= Value end, Opts),
    map_size(Overridden) =:= 0
        orelse ?LOG_WARNING(#{what => overriding_options, module => Module,
                              options => maps:keys(Overridden)}),
    maps:merge(Opts, NewOpts).

%% Modules come after those they depend on. Only a cycle of hard dependencies is an error.
-spec sort_deps(gen_mod:host_type(), modules()) -> [{module(), gen_mod:module_opts()}].
sort_deps(HostType, Modules) ->
    Graph = digraph:new([acyclic]),
    try
        Names = lists:sort(maps:keys(Modules)),
        lists:foreach(fun(Module) -> digraph:add_vertex(Graph, Module) end, Names),
        {Hard, Soft} = lists:partition(fun({_, _, Hardness}) -> Hardness =:= hard end,
                                       edges(HostType, Modules)),
        lists:foreach(fun(Edge) -> add_hard_edge(Graph, Edge) end, Hard),
        lists:foreach(fun({Module, Dep, _}) -> digraph:add_edge(Graph, Dep, Module) end, Soft),
        [{Module, maps:get(Module, Modules)} || Module <- digraph_utils:topsort(Graph)]
    after
        digraph:delete(Graph)
    end.

edges(HostType, Modules) ->
    [{Module, Dep, Hardness}
     || {Module, Opts} <- lists:sort(maps:to_list(Modules)),
        {Dep, _, Hardness} <- module_deps(HostType, Module, Opts), is_map_key(Dep, Modules)].

add_hard_edge(Graph, {Module, Dep, hard}) ->
    case digraph:add_edge(Graph, Dep, Module) of
        {error, {bad_edge, Path}} -> error({dependency_cycle, Path});
        _Edge -> ok
    end.

module_deps(HostType, Module, Opts) ->
    [Dep || Dep = {_, _, _} <- gen_mod:get_deps(HostType, Module, Opts)].
