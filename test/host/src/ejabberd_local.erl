-module(ejabberd_local).
-moduledoc "What is for a local domain itself: IQs that it handles, and answers to those it sent.".

-export([route_iq/5, route_iq/6, process_packet/5]).
-export([start_link/0, create_table/0]).
-export([watch_the_clock/0]).

-include_lib("kernel/include/logger.hrl").
-include("exml.hrl").
-include("iq.hrl").
-include("jid.hrl").

-type callback() :: fun((From :: jid:jid() | undefined,
                         To :: jid:jid() | undefined,
                         mongoose_acc:t() | undefined,
                         jlib:iq() | timeout) -> mongoose_acc:t() | undefined).

-define(PATIENCE_MS, 32000).

%% Requests

%% The callbacks of requests without an answer so far, each with the timer that gives it up.
-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

-spec route_iq(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), jlib:iq(), callback()) ->
          mongoose_acc:t().
route_iq(From, To, Acc, Iq, Callback) ->
    route_iq(From, To, Acc, Iq, Callback, ?PATIENCE_MS).

-spec route_iq(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), jlib:iq(), callback(),
               TimeoutMs :: pos_integer() | undefined) -> mongoose_acc:t().
route_iq(From, To, Acc, Iq, Callback, undefined) ->
    route_iq(From, To, Acc, Iq, Callback, ?PATIENCE_MS);
route_iq(From, To, Acc, #iq{id = OwnId} = Iq, Callback, TimeoutMs) ->
    Id = case is_answer(Iq) of
             %% Nobody answers it.
             true -> OwnId;
             false -> expect(Callback, TimeoutMs)
         end,
    host_router:send(From, To, Acc, jlib:iq_to_xml(Iq#iq{id = Id})).

expect(Callback, TimeoutMs) ->
    Id = binary:encode_hex(rand:bytes(16)),
    true = ets:insert_new(?MODULE, {Id, Callback, erlang:start_timer(TimeoutMs, ?MODULE, Id)}),
    Id.

%% Whoever takes a callback runs it, so it runs once.
take(Id) ->
    [begin
         _ = erlang:cancel_timer(Timer),
         Callback
     end || {_Id, Callback, Timer} <- ets:take(?MODULE, Id)].

is_answer(#iq{type = Type}) ->
    lists:member(Type, [error, result]).

%% Timers

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    proc_lib:start_link(?MODULE, watch_the_clock, []).

-spec watch_the_clock() -> no_return().
watch_the_clock() ->
    true = register(?MODULE, self()),
    proc_lib:init_ack({ok, self()}),
    give_up_in_time().

give_up_in_time() ->
    receive
        {timeout, _Timer, Id} ->
            %% None, if the answer has come at the last moment.
            [spawn(fun() -> Callback(undefined, undefined, undefined, timeout) end)
             || Callback <- take(Id)],
            give_up_in_time()
    end.

%% Arrivals

-spec process_packet(mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(), exml:element(),
                     Extra :: map()) -> mongoose_acc:t().
process_packet(Acc, From, To, Packet, _Extra) ->
    Arrive = case To of
                 #jid{luser = <<>>, lresource = <<>>} -> fun at_domain/4;
                 #jid{luser = <<>>} -> fun at_nobody/4;
                 #jid{} -> fun ejabberd_sm:route/4
             end,
    try
        Arrive(From, To, Acc, Packet)
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => routing_error, acc => Acc,
                         class => Class, reason => Reason, stacktrace => Stacktrace}),
            Acc
    end.

%% A domain has no resources. An answer is not answered.
at_nobody(_From, _To, Acc, Packet) ->
    case exml_query:attr(Packet, <<"type">>) of
        Type when Type =:= <<"result">>; Type =:= <<"error">> -> Acc;
        _ -> host_router:bounce(Acc, mongoose_xmpp_errors:item_not_found())
    end.

at_domain(From, To, Acc, Packet) ->
    case jlib:iq_query_or_response_info(Packet) of
        not_iq -> Acc;
        invalid -> host_router:bounce(Acc, mongoose_xmpp_errors:bad_request());
        #iq{} = Iq ->
            case is_answer(Iq) of
                true -> answered(take(Iq#iq.id), From, To, Acc, Iq);
                false -> asked(host_iq_handlers:find(?MODULE, jid:lserver(To), Iq#iq.xmlns),
                               From, To, Acc, Iq)
            end
    end.

%% The callback runs in the process that routes the answer.
answered([Callback], From, To, Acc, Iq) ->
    Callback(From, To, Acc, Iq);
answered([], _From, _To, Acc, _Iq) ->
    ?LOG_INFO(#{what => dropped_iq_reply, acc => Acc}),
    Acc.

asked({ok, Handler}, From, To, Acc, Iq) ->
    mongoose_iq_handler:process_iq(Handler, Acc, From, To, Iq);
asked({error, not_found}, _From, _To, Acc, _Iq) ->
    host_router:bounce(Acc, mongoose_xmpp_errors:feature_not_implemented()).
