-module(gen_hook).
-moduledoc "Runs the handlers of a hook in order; a change of handlers counts from a reload on.".
-behaviour(gen_server).

-export([start_link/0, add_handler/5, delete_handler/5, add_handlers/1, delete_handlers/1]).
-export([run_fold/4, reload_hooks/0]).
-export([init/1, handle_call/3, handle_cast/2, terminate/2]).

-include_lib("kernel/include/logger.hrl").

-type hook_name() :: atom().
-type hook_tag() :: host_domains:host_type() | global.
-type hook_acc() :: term().
-type hook_params() :: map().
-type extra() :: #{hook_name := hook_name(),
                   hook_tag := hook_tag(),
                   host_type => host_domains:host_type(),
                   atom() => term()}.
-type hook_fn_ret() :: {ok | stop, hook_acc()}.
-type hook_fn() :: fun((hook_acc(), hook_params(), extra()) -> hook_fn_ret()).
-type hook_tuple() :: {hook_name(), hook_tag(), hook_fn(), Extra :: map(), pos_integer()}.
-type hook_list() :: [hook_tuple()].

-export_type([hook_name/0, hook_tag/0, hook_acc/0, hook_params/0, extra/0, hook_fn_ret/0,
              hook_fn/0, hook_tuple/0, hook_list/0]).

-record(handler, {priority :: pos_integer(), function :: hook_fn(), extra :: map()}).

-type key() :: {hook_name(), hook_tag()}.
-type hooks() :: #{key() => [#handler{}, ...]}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec add_handler(hook_name(), hook_tag(), hook_fn(), map(), pos_integer()) -> ok.
add_handler(HookName, Tag, Function, Extra, Priority) ->
    add_handlers([{HookName, Tag, Function, Extra, Priority}]).

-spec delete_handler(hook_name(), hook_tag(), hook_fn(), map(), pos_integer()) -> ok.
delete_handler(HookName, Tag, Function, Extra, Priority) ->
    delete_handlers([{HookName, Tag, Function, Extra, Priority}]).

-spec add_handlers(hook_list()) -> ok.
add_handlers(Hooks) ->
    lists:foreach(fun(Hook) -> gen_server:call(?MODULE, {add, checked(Hook)}) end, Hooks).

-spec delete_handlers(hook_list()) -> ok.
delete_handlers(Hooks) ->
    lists:foreach(fun(Hook) -> gen_server:call(?MODULE, {delete, checked(Hook)}) end, Hooks).

-spec reload_hooks() -> ok.
reload_hooks() ->
    gen_server:call(?MODULE, reload).

%% Everything runs in the calling process.
-spec run_fold(hook_name(), hook_tag(), hook_acc(), hook_params()) -> hook_fn_ret().
run_fold(HookName, Tag, Acc, Params) ->
    Key = {HookName, Tag},
    case persistent_term:get(?MODULE, #{}) of
        #{Key := Handlers} ->
            host_hook_metrics:count(HookName, Tag),
            run(Handlers, Key, Acc, Params);
        #{} ->
            {ok, Acc}
    end.

%% Running

run([], _Key, Acc, _Params) ->
    {ok, Acc};
run([Handler | Rest], Key, Acc, Params) ->
    case call(Handler, Key, Acc, Params) of
        {ok, NewAcc} -> run(Rest, Key, NewAcc, Params);
        {stop, NewAcc} -> {stop, NewAcc}
    end.

call(Handler = #handler{function = Function, extra = Extra}, Key, Acc, Params) ->
    try
        Function(Acc, Params, Extra)
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => hook_failed,
                         text => <<"A hook handler crashed; its result is left out">>,
                         class => Class, reason => Reason, stacktrace => Stacktrace,
                         key => Key, handler => Handler, acc => Acc, params => Params}),
            {ok, Acc}
    end.

%% Checking

checked({HookName, Tag, Function, Extra, Priority})
  when is_atom(HookName), is_binary(Tag) orelse Tag =:= global, is_function(Function, 3),
       is_map(Extra), is_integer(Priority), Priority > 0 ->
    check_function(erlang:fun_info(Function)),
    Handler = #handler{priority = Priority, function = Function,
                       extra = maps:merge(added_extra(HookName, Tag), Extra)},
    {{HookName, Tag}, Handler}.

added_extra(HookName, global) -> #{hook_name => HookName, hook_tag => global};
added_extra(HookName, HostType) ->
    #{hook_name => HookName, hook_tag => HostType, host_type => HostType}.

check_function(Info) ->
    [Type, Module, Name] = [proplists:get_value(Item, Info) || Item <- [type, module, name]],
    Details = #{module => Module, function => Name, arity => 3},
    Type =:= external
        orelse error(Details#{what => only_external_function_references_allowed}),
    code:ensure_loaded(Module) =:= {module, Module}
        orelse error(Details#{what => module_is_not_loaded}),
    erlang:function_exported(Module, Name, 3)
        orelse error(Details#{what => function_is_not_exported}).

%% Server

-spec init([]) -> {ok, hooks()}.
init([]) ->
    process_flag(trap_exit, true),
    {ok, #{}}.

-spec handle_call({add | delete, {key(), #handler{}}} | reload, gen_server:from(), hooks()) ->
          {reply, ok, hooks()}.
handle_call({add, {Key, Handler}}, _From, Hooks) ->
    {reply, ok, add(Key, Handler, Hooks)};
handle_call({delete, {Key, Handler}}, _From, Hooks) ->
    {reply, ok, delete(Key, Handler, Hooks)};
handle_call(reload, _From, Hooks) ->
    persistent_term:put(?MODULE, Hooks),
    {reply, ok, Hooks}.

-spec handle_cast(term(), hooks()) -> {noreply, hooks()}.
handle_cast(_Request, Hooks) ->
    {noreply, Hooks}.

-spec terminate(term(), hooks()) -> ok.
terminate(_Reason, _Hooks) ->
    _ = persistent_term:erase(?MODULE),
    ok.

add({HookName, Tag} = Key, Handler, Hooks) when not is_map_key(Key, Hooks) ->
    host_hook_metrics:set_up(HookName, Tag),
    Hooks#{Key => [Handler]};
add(Key, Handler, Hooks) ->
    #{Key := Handlers} = Hooks,
    case lists:member(Handler, Handlers) of
        true ->
            ?LOG_WARNING(#{what => duplicated_handler, key => Key, handler => Handler}),
            Hooks;
        false ->
            Hooks#{Key := insert(Handler, Handlers)}
    end.

%% Goes after those of the same priority.
insert(Handler = #handler{priority = Priority}, Handlers) ->
    {Before, After} = lists:splitwith(fun(H) -> H#handler.priority =< Priority end, Handlers),
    Before ++ [Handler] ++ After.

delete({HookName, Tag} = Key, Handler, Hooks) ->
    case Hooks of
        #{Key := [Handler]} ->
            host_hook_metrics:tear_down(HookName, Tag),
            maps:remove(Key, Hooks);
        #{Key := Handlers} ->
            Hooks#{Key := lists:delete(Handler, Handlers)};
        #{} ->
            Hooks
    end.
