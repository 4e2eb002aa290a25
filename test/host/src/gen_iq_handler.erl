-module(gen_iq_handler).
-moduledoc "Registers the functions that handle IQs of a namespace, for a domain or a host type.".

-export([add_iq_handler/6, remove_iq_handler/3]).
-export([add_iq_handler_for_domain/6, remove_iq_handler_for_domain/3]).

-include_lib("kernel/include/logger.hrl").

-type component() :: host_iq_handlers:component().
-type execution_type() :: mongoose_iq_handler:execution_type().

-export_type([execution_type/0]).

%% The handler is called as Function(From, To, Acc, IQ), and replaces an earlier one.
-spec add_iq_handler(component(), jid:lserver(), NS :: binary(), module(), Function :: atom(),
                     execution_type()) -> ok.
add_iq_handler(Component, Domain, NS, Module, Function, ExecutionType) ->
    Run = fun(Acc, From, To, Iq, _Extra) -> Module:Function(From, To, Acc, Iq) end,
    Handler = mongoose_iq_handler:new(Run, #{}, ExecutionType),
    host_iq_handlers:replace({Component, {domain, Domain}, NS}, Handler).

-spec remove_iq_handler(component(), jid:lserver(), NS :: binary()) -> ok.
remove_iq_handler(Component, Domain, NS) ->
    case host_iq_handlers:remove({Component, {domain, Domain}, NS}) of
        {ok, Handler} -> mongoose_iq_handler:delete(Handler);
        {error, not_found} -> ok
    end.

%% Serves all domains of the host type, which Extra tells as well.
-spec add_iq_handler_for_domain(host_domains:host_type(), NS :: binary(), component(),
                                mongoose_iq_handler:handler_fn(), Extra :: map(),
                                execution_type()) -> ok | {error, already_registered}.
add_iq_handler_for_domain(HostType, NS, Component, Run, Extra, ExecutionType) ->
    AllExtra = maps:merge(#{host_type => HostType}, Extra),
    Handler = mongoose_iq_handler:new(Run, AllExtra, ExecutionType),
    case host_iq_handlers:add({Component, {host_type, HostType}, NS}, Handler) of
        true ->
            ok;
        false ->
            mongoose_iq_handler:delete(Handler),
            warn(iq_already_registered, HostType, NS, Component),
            {error, already_registered}
    end.

-spec remove_iq_handler_for_domain(host_domains:host_type(), NS :: binary(), component()) ->
          ok | {error, not_registered}.
remove_iq_handler_for_domain(HostType, NS, Component) ->
    case host_iq_handlers:remove({Component, {host_type, HostType}, NS}) of
        {ok, Handler} ->
            mongoose_iq_handler:delete(Handler);
        {error, not_found} ->
            warn(iq_unregister_missing, HostType, NS, Component),
            {error, not_registered}
    end.

warn(What, HostType, NS, Component) ->
    ?LOG_WARNING(#{what => What, host_type => HostType, namespace => NS, component => Component}).
