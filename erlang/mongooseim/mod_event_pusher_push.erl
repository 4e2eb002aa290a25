-module(mod_event_pusher_push).
-moduledoc "Accepts the options of push notifications; refuses to start until they are there.".

-behaviour(gen_mod).

-export([start/2, stop/1, config_spec/0, supported_features/0]).

-include("mongoose_config_spec.hrl").

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> no_return().
start(HostType, _Opts) ->
    event_pusher_backend:unavailable(push, HostType).

-spec stop(mongooseim:host_type()) -> ok.
stop(_HostType) ->
    ok.

-spec config_spec() -> #section{}.
config_spec() ->
    Wpool = mongoose_config_spec:wpool(#{<<"strategy">> => available_worker}),
    VirtualHost = #option{type = string, validate = subdomain_template,
                          process = fun mongoose_subdomain_utils:make_subdomain_pattern/1},
    #section{items = #{<<"iqdisc">> => mongoose_config_spec:iqdisc(),
                       <<"backend">> => #option{type = atom, validate = {module, ?MODULE}},
                       <<"wpool">> => Wpool#section{include = always},
                       <<"plugin_module">> => #option{type = atom, validate = module},
                       <<"virtual_pubsub_hosts">> => #list{items = VirtualHost}},
             defaults = #{<<"iqdisc">> => one_queue,
                          <<"backend">> => mnesia,
                          <<"plugin_module">> => mod_event_pusher_push_plugin_defaults,
                          <<"virtual_pubsub_hosts">> => []}}.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].
