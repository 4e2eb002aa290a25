-module(mod_event_pusher_filter).
-moduledoc "An example of a filter: quiet messages are dropped, presence gets metadata.".

%% A filter is a module of its own that handles the hook push_event before the backends do, which
%% have priority 50. It can
%%
%%   * drop an event for all backends, by returning `{stop, HookAcc}';
%%   * add metadata, a map of atoms to atoms, binaries or numbers, which the backends deliver with
%%     the event: SNS as message attributes, HTTP as form fields, RabbitMQ as JSON fields. Push
%%     notifications have none;
%%   * do nothing, by returning `{ok, HookAcc}'.
%%
%% It runs in the process of the user's session, so it must be quick. It takes no options:
%%
%%   [modules.mod_event_pusher_filter]

-behaviour(gen_mod).

-export([start/2, stop/1, hooks/1, supported_features/0]).
-export([push_event/3]).

-include("mod_event_pusher_events.hrl").

%% Any number below 50 will do.
-define(PRIORITY, 10).

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(_HostType, _Opts) ->
    ok.

-spec stop(mongooseim:host_type()) -> ok.
stop(_HostType) ->
    ok.

-spec hooks(mongooseim:host_type()) -> gen_hook:hook_list().
hooks(HostType) ->
    [{push_event, HostType, fun ?MODULE:push_event/3, #{}, ?PRIORITY}].

%% Without this, the module could not run for dynamic domains.
-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(), map()) ->
    {ok | stop, mod_event_pusher:push_event_acc()}.
push_event(HookAcc, #{event := #user_status_event{jid = User}}, _Extra) ->
    #{acc := Acc, metadata := Metadata} = HookAcc,
    Sessions = length(ejabberd_sm:get_user_present_resources(User)),
    More = #{timestamp => mongoose_acc:timestamp(Acc), session_count => Sessions},
    {ok, HookAcc#{metadata := maps:merge(Metadata, More)}};
push_event(HookAcc, #{event := #chat_event{packet = Packet}}, _Extra) ->
    %% https://xmpp.org/extensions/xep-0334.html
    case exml_query:subelement_with_name_and_ns(Packet, <<"no-store">>, <<"urn:xmpp:hints">>) of
        undefined -> {ok, HookAcc};
        _Hint -> {stop, HookAcc}
    end;
push_event(HookAcc, _Params, _Extra) ->
    {ok, HookAcc}.
