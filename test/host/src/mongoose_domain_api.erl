-module(mongoose_domain_api).
-moduledoc "Which host type a domain has, and how modules give up the data of a domain.".

-export([get_host_type/1, remove_domain_wrapper/3]).

-include_lib("kernel/include/logger.hrl").

-type remove_domain_acc() :: #{failed := [module()]}.

-export_type([remove_domain_acc/0]).

-spec get_host_type(Domain :: jid:lserver()) -> {ok, host_domains:host_type()} | {error, not_found}.
get_host_type(Domain) ->
    host_domains:host_type(Domain).

%% The function has to give the same accumulator back. After a crash no other module is asked.
-spec remove_domain_wrapper(remove_domain_acc(), fun(() -> remove_domain_acc()), module()) ->
          {ok | stop, remove_domain_acc()}.
remove_domain_wrapper(Acc = #{failed := Failed}, Remove, Module) ->
    try Remove() of
        Acc -> {ok, Acc}
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => hook_failed, module => Module,
                         class => Class, reason => Reason, stacktrace => Stacktrace}),
            {stop, Acc#{failed := [Module | Failed]}}
    end.
