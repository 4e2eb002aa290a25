-module(mod_event_pusher_push).
-moduledoc "Push notifications, XEP-0357: clients register, and messages for them are published.".

-behaviour(gen_mod).
-behaviour(mongoose_module_metrics).

%% gen_mod callbacks
-export([start/2, stop/1, hooks/1, config_spec/0, supported_features/0, instrumentation/1]).
%% mongoose_module_metrics callback
-export([config_metrics/1]).
%% For the check of a configuration
-export([complaints/2]).
%% Hook handlers
-export([push_event/3, remove_user/3, remove_domain/3]).
%% IQ handlers: of servers up to 6.5, and of later ones
-export([iq_handler/4, iq_handler/5]).
%% For plugins
-export([is_virtual_pubsub_host/3, disable_node/4, cast/3]).

-export_type([pubsub_node/0, form/0, publish_service/0]).

-include("iq.hrl").
-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").

-type pubsub_node() :: binary().
-doc "What a client wants to be in the publish-options of each notification.".
-type form() :: #{binary() => binary()}.
-doc "A registration: who publishes, under which node, with which options. The JID is bare.".
-type publish_service() :: {PubsubJid :: jid:jid(), pubsub_node(), form()}.

-define(NS_PUSH, <<"urn:xmpp:push:0">>).

%% gen_mod callbacks

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(HostType, Opts) ->
    event_pusher_start:run(?MODULE, HostType, fun() -> check_options(HostType, Opts) end,
                           fun() -> start_parts(HostType, Opts) end).

check_options(HostType, Opts) ->
    case complaints(HostType, Opts) of
        [] -> ok;
        Complaints -> event_pusher_start:refuse(event_pusher_push_pool:labels(HostType),
                                                Complaints)
    end.

%% What start/2 complains about, without a start.
-spec complaints(mongooseim:host_type(), gen_mod:module_opts()) -> [binary()].
complaints(HostType, #{iqdisc := IQDisc, plugin_module := Plugin, backend := Backend} = Opts) ->
    [<<"backend: must be another one without [outgoing_pools.rdbms.default], got \"rdbms\"">>
     || Backend =:= rdbms, event_pusher_outgoing:find(rdbms, HostType, default) =:= {error, not_configured}]
        ++ [<<"iqdisc.workers: must be given with iqdisc.type \"queues\", got nothing">>
     || IQDisc =:= queues]
        ++ mod_event_pusher_push_plugin:complaints(Plugin)
        ++ event_pusher_queue_options:complaints(Opts).

start_parts(HostType, #{iqdisc := IQDisc, wpool := Wpool} = Opts) ->
    event_pusher_push_pool:start(HostType, Wpool, event_pusher_queue_options:values(Opts)),
    mod_event_pusher_push_backend:init(HostType, Opts),
    mod_event_pusher_push_plugin:init(HostType, Opts),
    lists:foreach(fun(Component) ->
        ok = gen_iq_handler:add_iq_handler_for_domain(HostType, ?NS_PUSH, Component,
                                                      fun ?MODULE:iq_handler/5, #{}, IQDisc)
    end, [ejabberd_local, ejabberd_sm]).

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    lists:foreach(fun(Component) ->
        _ = gen_iq_handler:remove_iq_handler_for_domain(HostType, ?NS_PUSH, Component)
    end, [ejabberd_sm, ejabberd_local]),
    event_pusher_push_pool:stop(HostType),
    mod_event_pusher_push_plugin:terminate(HostType).

-spec hooks(mongooseim:host_type()) -> gen_hook:hook_list().
hooks(HostType) ->
    [{push_event, HostType, fun ?MODULE:push_event/3, #{}, 50},
     {remove_user, HostType, fun ?MODULE:remove_user/3, #{}, 90},
     {remove_domain, HostType, fun ?MODULE:remove_domain/3, #{}, 50}].

-spec config_spec() -> #section{}.
config_spec() ->
    Wpool = mongoose_config_spec:wpool(#{<<"strategy">> => available_worker}),
    VirtualHost = #option{type = string, validate = subdomain_template,
                          process = fun mongoose_subdomain_utils:make_subdomain_pattern/1},
    #section{items = #{<<"iqdisc">> => mongoose_config_spec:iqdisc(),
                       <<"backend">> => #option{type = atom, validate = {module, ?MODULE}},
                       <<"wpool">> => Wpool#section{include = always},
                       <<"plugin_module">> => #option{type = atom, validate = module},
                       <<"virtual_pubsub_hosts">> => #list{items = VirtualHost},
                       <<"queue">> => event_pusher_queue_options:spec()},
             defaults = #{<<"iqdisc">> => one_queue,
                          <<"backend">> => mnesia,
                          <<"plugin_module">> =>
                              mod_event_pusher_push_plugin:default_plugin_module(),
                          <<"virtual_pubsub_hosts">> => []}}.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec instrumentation(mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(HostType) ->
    event_pusher_metrics:instrumentation(event_pusher_push_pool:labels(HostType)).

%% mongoose_module_metrics callback

-spec config_metrics(mongooseim:host_type()) -> [{backend, atom()} | {none, none}].
config_metrics(HostType) ->
    mongoose_module_metrics:opts_for_module(HostType, ?MODULE, [backend]).

%% Hook handlers

%% Which services a message was published to has to be known when this returns, because the same
%% message may lead to another event. Publishing itself is for the pool.
-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), _ => _}) ->
    {ok, mod_event_pusher:push_event_acc()}.
push_event(#{acc := Acc} = HookAcc, #{event := Event}, #{host_type := HostType}) ->
    case wanted_recipient(HookAcc, Event, HostType) of
        none ->
            {ok, HookAcc};
        Recipient ->
            Notify = fun() -> notify(HostType, Acc, Event, jid:to_bare(Recipient)) end,
            Labels = event_pusher_push_pool:labels(HostType),
            {ok, HookAcc#{acc := event_pusher_isolation:run(Labels, Notify, Acc)}}
    end.

wanted_recipient(HookAcc, Event, HostType) ->
    case recipient(Event) of
        none ->
            none;
        Recipient ->
            case event_pusher_rules:apply_to(push, HookAcc, Event, HostType) of
                dropped -> none;
                _Ruled -> Recipient
            end
    end.

recipient(#chat_event{direction = out, type = chat, to = To}) -> To;
recipient(#chat_event{direction = out, type = groupchat, to = To}) -> To;
recipient(#unack_msg_event{to = To}) -> To;
recipient(_Event) -> none.

-spec notify(mongooseim:host_type(), mongoose_acc:t(), mod_event_pusher:event(), jid:jid()) ->
    mongoose_acc:t().
notify(HostType, Acc, Event, Recipient) ->
    case mod_event_pusher_push_plugin:may_publish(HostType, Acc, Event) andalso
         mod_event_pusher_push_plugin:prepare_notification(Acc, Event) of
        false -> Acc;
        skip -> Acc;
        Payload -> notify(HostType, Acc, Event, Recipient, Payload)
    end.

notify(HostType, Acc, Event, Recipient, Payload) ->
    {ok, Services} = mod_event_pusher_push_backend:get_publish_services(HostType, Recipient),
    case mod_event_pusher_push_plugin:should_publish(Acc, Event, Services) of
        [] -> Acc;
        Chosen -> mod_event_pusher_push_plugin:publish_notification(Acc, Event, Payload, Chosen)
    end.

-spec remove_user(mongoose_acc:t(), #{jid := jid:jid(), _ => _},
                  #{host_type := mongooseim:host_type(), _ => _}) -> {ok, mongoose_acc:t()}.
remove_user(Acc, #{jid := User}, #{host_type := HostType}) ->
    Result = mod_event_pusher_push_backend:disable(HostType, jid:to_bare(User)),
    mongoose_lib:log_if_backend_error(Result, ?MODULE, ?LINE, #{host_type => HostType}),
    {ok, Acc}.

%% A failure shows in what the server tells of the removal.
-spec remove_domain(Acc, #{domain := jid:lserver(), _ => _},
                    #{host_type := mongooseim:host_type(), _ => _}) -> {ok | stop, Acc}
    when Acc :: #{failed := [module()], _ => _}.
remove_domain(Acc, #{domain := Domain}, #{host_type := HostType}) ->
    Remove = fun() ->
        ok = mod_event_pusher_push_backend:remove_domain(HostType, Domain),
        Acc
    end,
    mongoose_domain_api:remove_domain_wrapper(Acc, Remove, ?MODULE).

%% IQ handlers

-spec iq_handler(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), #iq{}) ->
    {mongoose_acc:t(), #iq{}}.
iq_handler(From, To, Acc, IQ) ->
    iq_handler(Acc, From, To, IQ, #{}).

-spec iq_handler(mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(), #iq{}, Extra :: map()) ->
    {mongoose_acc:t(), #iq{}}.
iq_handler(Acc, From, _To, IQ, _Extra) ->
    event_pusher_push_iq:handle(Acc, From, IQ).

%% For plugins

-spec is_virtual_pubsub_host(mongooseim:host_type(), RecipientDomain :: jid:lserver(),
                             PubsubDomain :: jid:lserver()) -> boolean().
is_virtual_pubsub_host(HostType, RecipientDomain, PubsubDomain) ->
    event_pusher_push_virtual:is_host(HostType, RecipientDomain, PubsubDomain).

-spec disable_node(mongooseim:host_type(), User :: jid:jid(), PubsubJid :: jid:jid(),
                   mod_event_pusher_push_backend:node_or_all()) -> ok | {error, term()}.
disable_node(HostType, User, PubsubJid, Node) ->
    event_pusher_push_registrations:disable(HostType, User, PubsubJid, Node).

-spec cast(mongooseim:host_type(), fun((...) -> term()), [term()]) -> ok | {error, full | closed}.
cast(HostType, Fun, Args) ->
    event_pusher_push_pool:cast(HostType, Fun, Args).
