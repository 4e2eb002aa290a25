-module(host_router).
-moduledoc "Brings a stanza to the local domain or the component that its recipient belongs to.".

-export([create_table/0, add_component/2]).
-export([route/1, send/4, bounce/2]).

-include("jid.hrl").

-type result() :: mongoose_acc:t() | drop | not_local.
-type routed() :: {routed, #{from := jid:jid(), to := jid:jid(), packet := exml:element(),
                             acc := mongoose_acc:t()}}.

-export_type([result/0, routed/0]).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

%% The process gets a message for each stanza to the domain.
-spec add_component(jid:lserver(), pid()) -> ok.
add_component(Domain, Pid) ->
    true = ets:insert(?MODULE, {Domain, Pid}),
    ok.

%% While a stanza is delivered its acc is the recipient's; what is returned is the sender's again.
-spec route(mongoose_acc:t()) -> result().
route(Acc) ->
    {_From, #jid{lserver = Domain}, _Packet} = mongoose_acc:packet(Acc),
    case {host_domains:host_type(Domain), ets:lookup(?MODULE, Domain)} of
        {{ok, HostType}, _} -> to_local_domain(Domain, HostType, Acc);
        {{error, not_found}, [{Domain, Pid}]} -> to_component(Domain, Pid, Acc);
        {{error, not_found}, []} -> to_another_server(Acc)
    end.

to_local_domain(Domain, HostType, SenderAcc) ->
    {From, To, Packet} = mongoose_acc:packet(SenderAcc),
    Acc = strip(#{lserver => Domain, host_type => HostType}, SenderAcc),
    case mongoose_hooks:filter_local_packet({From, To, Acc, Packet}) of
        drop ->
            drop;
        {NewFrom, NewTo, NewAcc, NewPacket} ->
            Filtered = mongoose_acc:update_stanza(stanza(NewFrom, NewTo, NewPacket), NewAcc),
            give_back(ejabberd_local:process_packet(Filtered, NewFrom, NewTo, NewPacket, #{}),
                      SenderAcc)
    end.

to_component(Domain, Pid, SenderAcc) ->
    {From, To, Packet} = mongoose_acc:packet(SenderAcc),
    Acc = strip(#{lserver => Domain}, SenderAcc),
    Pid ! {routed, #{from => From, to => To, packet => Packet, acc => Acc}},
    give_back(Acc, SenderAcc).

%% No other server can be reached. Only a request has to be told from one that is on its way.
to_another_server(Acc) ->
    case {mongoose_acc:stanza_name(Acc), mongoose_acc:stanza_type(Acc)} of
        {<<"iq">>, Type} when Type =/= <<"result">>, Type =/= <<"error">> ->
            _ = bounce(Acc, mongoose_xmpp_errors:service_unavailable()),
            not_local;
        _ ->
            not_local
    end.

%% As route/1, for those who go on with an acc whatever became of the stanza.
-spec send(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), exml:element()) ->
          mongoose_acc:t().
send(From, To, Acc, Packet) ->
    Sent = mongoose_acc:update_stanza(stanza(From, To, Packet), Acc),
    case route(Sent) of
        Result when Result =:= drop; Result =:= not_local -> Sent;
        Delivered -> Delivered
    end.

%% Sends the stanza of the acc back to its sender, with an error.
-spec bounce(mongoose_acc:t(), Error :: exml:element()) -> mongoose_acc:t().
bounce(Acc, Error) ->
    {From, To, Packet} = mongoose_acc:packet(Acc),
    send(To, From, Acc, jlib:make_error_reply(Packet, Error)).

strip(Place, Acc) ->
    {From, To, Packet} = mongoose_acc:packet(Acc),
    mongoose_acc:strip(maps:merge(Place, stanza(From, To, Packet)), Acc).

give_back(Acc, SenderAcc) ->
    Acc#{host_type := mongoose_acc:host_type(SenderAcc),
         lserver := mongoose_acc:lserver(SenderAcc)}.

stanza(From, To, Packet) ->
    #{from_jid => From, to_jid => To, element => Packet}.
