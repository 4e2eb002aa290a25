-module(event_pusher_push_virtual).
-moduledoc "Which services are virtual: not on the network, but handlers of a hook of this server.".

-export([is_host/3]).

-spec is_host(mongooseim:host_type(), RecipientDomain :: jid:lserver(),
              PubsubDomain :: jid:lserver()) -> boolean().
is_host(HostType, RecipientDomain, PubsubDomain) ->
    Patterns = gen_mod:get_module_opt(HostType, mod_event_pusher_push, virtual_pubsub_hosts),
    lists:any(fun(Pattern) ->
                  mongoose_subdomain_utils:is_subdomain(Pattern, RecipientDomain, PubsubDomain)
              end, Patterns).
