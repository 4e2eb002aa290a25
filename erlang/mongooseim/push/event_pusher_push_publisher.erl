-module(event_pusher_push_publisher).
-moduledoc "Publishes one notification to one registration, in the push pool; heeds the answer.".

%% To a virtual host through the hook push_notifications, to any other service as a publication of
%% XEP-0060 that holds a notification of XEP-0357.

-export([publish/3]).

-include("exml.hrl").
-include("iq.hrl").

-type payload() :: mod_event_pusher_push_plugin:push_payload().
-type service() :: mod_event_pusher_push:publish_service().

-define(LOCATION,
        #{mfa => {?MODULE, ?FUNCTION_NAME, ?FUNCTION_ARITY}, line => ?LINE, file => ?FILE}).
-define(NS_PUSH, <<"urn:xmpp:push:0">>).
-define(NS_PUBSUB, <<"http://jabber.org/protocol/pubsub">>).
-define(NS_SUMMARY, <<"urn:xmpp:push:summary">>).
-define(NS_STANZAS, <<"urn:ietf:params:xml:ns:xmpp-stanzas">>).
-define(NS_PUBLISH_OPTIONS, <<"http://jabber.org/protocol/pubsub#publish-options">>).
%% The server forgets the request after 32 seconds and says so; only then, nobody waits any more.
-define(ANSWER_WITHIN_MS, 40000).

%% Returns at once. The recipient is that of the accumulator.
-spec publish(mongoose_acc:t(), payload(), service()) -> ok | {error, full | closed}.
publish(Acc, Payload, {PubsubJid, _Node, _Form} = Service) ->
    HostType = mongoose_acc:host_type(Acc),
    To = mongoose_acc:to_jid(Acc),
    IsVirtual = event_pusher_push_virtual:is_host(HostType, jid:lserver(To),
                                                  jid:lserver(PubsubJid)),
    Job = case IsVirtual of
              true -> fun(_Ticket) -> by_hook(HostType, Acc, To, Payload, Service) end;
              false -> fun(Ticket) -> by_pubsub(HostType, To, Payload, Service, Ticket) end
          end,
    event_pusher_push_pool:push(HostType, Job).

%% Virtual hosts

-spec by_hook(mongooseim:host_type(), mongoose_acc:t(), jid:jid(), payload(), service()) ->
    event_pusher_push_pool:fate().
by_hook(HostType, Acc, To, Payload, {PubsubJid, _Node, Form} = Service) ->
    WithJid = mongoose_acc:set(push_notifications, pubsub_jid, PubsubJid, Acc),
    case mongoose_hooks:push_notifications(HostType, WithJid, [maps:from_list(Payload)], Form) of
        {error, device_not_registered} ->
            forget(HostType, To, Service),
            {rejected, <<"device_not_registered">>};
        {error, Reason} ->
            {rejected, cause(Reason)};
        _ ->
            delivered
    end.

%% What is no word may hold content.
cause(Reason) when is_atom(Reason) -> shortened(atom_to_binary(Reason));
cause(_Other) -> <<"error">>.

%% PubSub services

-spec by_pubsub(mongooseim:host_type(), jid:jid(), payload(), service(),
                event_pusher_push_pool:ticket()) ->
    {await, TimeoutMs :: pos_integer()}.
by_pubsub(HostType, To, Payload, {PubsubJid, _Node, _Form} = Service, Ticket) ->
    Domain = jid:lserver(To),
    Request = #iq{type = set, sub_el = [pubsub(Payload, Service)]},
    Acc = mongoose_acc:new(#{location => ?LOCATION, host_type => HostType, lserver => Domain,
                             element => jlib:iq_to_xml(Request), from_jid => To,
                             to_jid => PubsubJid}),
    Answered = fun(_From, _To, AnswerAcc, Answer) ->
        answered(Answer, HostType, To, Service, Ticket),
        AnswerAcc
    end,
    _ = ejabberd_local:route_iq(jid:make_noprep(<<>>, Domain, <<>>), PubsubJid, Acc, Request,
                                Answered),
    {await, ?ANSWER_WITHIN_MS}.

%% Runs where the answer arrives; a database is for the pool.
answered(timeout, _HostType, _To, _Service, Ticket) ->
    event_pusher_push_pool:answered(Ticket, {exhausted, <<"no answer">>});
answered(#iq{type = result}, _HostType, _To, _Service, Ticket) ->
    event_pusher_push_pool:answered(Ticket, delivered);
answered(#iq{type = error, sub_el = Elements}, HostType, To, Service, Ticket) ->
    Error = first_error(Elements),
    Type = exml_query:attr(Error, <<"type">>, <<"error">>),
    Condition = condition(Error),
    Cause = iolist_to_binary([shortened(Type), " ", Condition]),
    case verdict(Type, Condition) of
        ended ->
            event_pusher_push_pool:resume(Ticket, fun(_Ticket) ->
                forget(HostType, To, Service),
                {rejected, Cause}
            end);
        Fate ->
            event_pusher_push_pool:answered(Ticket, {Fate, Cause})
    end.

%% Whether the registration has ended, or else what becomes of the notification. Section 7.1 of
%% https://xmpp.org/extensions/xep-0357.html lets a server keep a registration at an error that may
%% pass. This server itself answers for a service that it cannot reach, with the type cancel.
-spec verdict(Type :: binary(), Condition :: binary()) -> ended | rejected | exhausted.
verdict(<<"wait">>, _Condition) -> exhausted;
verdict(<<"cancel">>, <<"service-unavailable">>) -> exhausted;
verdict(<<"cancel">>, <<"remote-server-not-found">>) -> exhausted;
verdict(<<"cancel">>, <<"remote-server-timeout">>) -> exhausted;
verdict(<<"cancel">>, <<"recipient-unavailable">>) -> exhausted;
verdict(<<"cancel">>, <<"internal-server-error">>) -> exhausted;
verdict(<<"cancel">>, <<"resource-constraint">>) -> exhausted;
verdict(<<"cancel">>, _Condition) -> ended;
verdict(_Type, <<"item-not-found">>) -> ended;
verdict(_Type, <<"gone">>) -> ended;
verdict(_Type, <<"forbidden">>) -> ended;
verdict(_Type, _Condition) -> rejected.

first_error(Elements) ->
    case [Element || #xmlel{name = <<"error">>} = Element <- Elements] of
        [Error | _] -> Error;
        [] -> #xmlel{name = <<"error">>}
    end.

%% The text for people, and elements of the service's own, may stand before it.
condition(#xmlel{children = Children}) ->
    case [Name || #xmlel{name = Name, attrs = #{<<"xmlns">> := ?NS_STANZAS}} <- Children,
                  Name =/= <<"text">>] of
        [Condition | _] -> shortened(Condition);
        [] -> <<"without a condition">>
    end.

%% None of https://www.rfc-editor.org/rfc/rfc6120#section-8.3 is longer, but a service is free.
shortened(<<Name:40/binary, _/binary>>) -> Name;
shortened(Name) -> Name.

%% The service does not know this node any more.
forget(HostType, To, {PubsubJid, Node, _Form}) ->
    ok = event_pusher_push_registrations:disable(HostType, To, PubsubJid, Node).

%% Stanzas

-spec pubsub(payload(), service()) -> exml:element().
pubsub(Payload, {_PubsubJid, Node, Form}) ->
    Notification = #xmlel{name = <<"notification">>, attrs = #{<<"xmlns">> => ?NS_PUSH},
                          children = [form(?NS_SUMMARY, Payload)]},
    Publish = #xmlel{name = <<"publish">>, attrs = #{<<"node">> => Node},
                     children = [#xmlel{name = <<"item">>, children = [Notification]}]},
    #xmlel{name = <<"pubsub">>, attrs = #{<<"xmlns">> => ?NS_PUBSUB},
           children = [Publish | publish_options(Form)]}.

%% https://xmpp.org/extensions/xep-0357.html#publishing: what the client gave to its registration.
-spec publish_options(mod_event_pusher_push:form()) -> [exml:element()].
publish_options(Form) when map_size(Form) =:= 0 ->
    [];
publish_options(Form) ->
    [#xmlel{name = <<"publish-options">>,
            children = [form(?NS_PUBLISH_OPTIONS, maps:to_list(Form))]}].

form(Ns, Fields) ->
    mongoose_data_forms:form(#{type => <<"submit">>, ns => Ns,
                               fields => [#{var => Var, values => [Value]}
                                          || {Var, Value} <- Fields]}).
