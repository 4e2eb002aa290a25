-module(mongoose_backend).
-moduledoc "Which storage module a module uses for a host type; counts and times the calls.".

-export([init/4, call/4, call_tracked/4, is_exported/4]).
-export([get_backend_module/2, get_backend_name/2]).
-export([create_table/0]).

-type host_type_or_global() :: host_domains:host_type() | global.
-type function_name() :: atom().

-define(DEFAULT, mnesia).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {read_concurrency, true}]),
    ok.

%% The events stay registered, so another start finds them there.
-spec init(host_type_or_global(), module(), Tracked :: [function_name()], Opts :: map()) -> ok.
init(HostType, Main, Tracked, Opts) ->
    Name = maps:get(backend, Opts, ?DEFAULT),
    Backend = list_to_atom(lists:concat([Main, '_', Name])),
    true = ets:insert(?MODULE, {{HostType, Main}, Backend, Name}),
    try
        mongoose_instrument:set_up([spec(HostType, Backend, Function) || Function <- Tracked])
    catch
        error:#{what := event_already_registered} -> ok
    end.

spec(HostType, Backend, Function) ->
    {Backend, labels(HostType, Function), #{metrics => #{count => spiral, time => histogram}}}.

labels(global, Function) -> #{function => Function};
labels(HostType, Function) -> #{function => Function, host_type => HostType}.

-spec call(host_type_or_global(), module(), function_name(), Args :: [term()]) -> term().
call(HostType, Main, Function, Args) ->
    apply(get_backend_module(HostType, Main), Function, Args).

-spec call_tracked(host_type_or_global(), module(), function_name(), Args :: [term()]) -> term().
call_tracked(HostType, Main, Function, Args) ->
    Backend = get_backend_module(HostType, Main),
    Measure = fun(Time, _Result) -> #{args => Args, time => Time, count => 1} end,
    mongoose_instrument:span(Backend, labels(HostType, Function), Backend, Function, Args, Measure).

-spec is_exported(host_type_or_global(), module(), function_name(), arity()) -> boolean().
is_exported(HostType, Main, Function, Arity) ->
    erlang:function_exported(get_backend_module(HostType, Main), Function, Arity).

%% Raises badarg when there was no init/4.
-spec get_backend_module(host_type_or_global(), module()) -> module().
get_backend_module(HostType, Main) ->
    ets:lookup_element(?MODULE, {HostType, Main}, 2).

-spec get_backend_name(host_type_or_global(), module()) -> atom().
get_backend_name(HostType, Main) ->
    ets:lookup_element(?MODULE, {HostType, Main}, 3).
