-module(ejabberd_local).
-moduledoc "What is for a local domain itself: IQs that it handles, and answers to those it sent.".
-behaviour(gen_server).

-export([route_iq/5, route_iq/6, process_packet/5]).
-export([start_link/0, create_table/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/logger.hrl").
-include("exml.hrl").
-include("iq.hrl").
-include("jid.hrl").

-type callback() :: fun((From :: jid:jid() | undefined,
                         To :: jid:jid() | undefined,
                         mongoose_acc:t() | undefined,
                         jlib:iq() | timeout) -> mongoose_acc:t() | undefined).

-define(TIMEOUT_MS, 32000).

%% The callbacks of IQs without an answer so far.
-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Sending

-spec route_iq(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), jlib:iq(), callback()) ->
          mongoose_acc:t().
route_iq(From, To, Acc, Iq, Callback) ->
    route_iq(From, To, Acc, Iq, Callback, undefined).

%% A request gets an id of its own; nobody waits for an answer to an answer.
-spec route_iq(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), jlib:iq(), callback(),
               TimeoutMs :: pos_integer() | undefined) -> mongoose_acc:t().
route_iq(From, To, Acc, Iq, Callback, undefined) ->
    route_iq(From, To, Acc, Iq, Callback, ?TIMEOUT_MS);
route_iq(From, To, Acc, Iq = #iq{type = Type}, Callback, TimeoutMs)
  when Type =:= get; Type =:= set ->
    Id = binary:encode_hex(rand:bytes(16)),
    Timer = erlang:start_timer(TimeoutMs, ?MODULE, Id),
    true = ets:insert_new(?MODULE, {Id, Callback, Timer}),
    host_router:send(From, To, Acc, jlib:iq_to_xml(Iq#iq{id = Id}));
route_iq(From, To, Acc, Iq, _Callback, _TimeoutMs) ->
    host_router:send(From, To, Acc, jlib:iq_to_xml(Iq)).

%% Receiving

-spec process_packet(mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(), exml:element(),
                     Extra :: map()) -> mongoose_acc:t().
process_packet(Acc, From, To, Packet, _Extra) ->
    try
        process(Acc, From, To, Packet)
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => routing_error, acc => Acc,
                         class => Class, reason => Reason, stacktrace => Stacktrace}),
            Acc
    end.

process(Acc, From, To = #jid{luser = <<>>, lresource = <<>>}, Packet) ->
    process_iq(jlib:iq_query_or_response_info(Packet), Acc, From, To);
process(Acc, _From, #jid{luser = <<>>}, Packet) ->
    case lists:member(exml_query:attr(Packet, <<"type">>), [<<"error">>, <<"result">>]) of
        true -> Acc;
        false -> host_router:bounce(Acc, mongoose_xmpp_errors:item_not_found())
    end;
process(Acc, From, To, Packet) ->
    ejabberd_sm:route(From, To, Acc, Packet).

process_iq(not_iq, Acc, _From, _To) ->
    Acc;
process_iq(invalid, Acc, _From, _To) ->
    host_router:bounce(Acc, mongoose_xmpp_errors:bad_request());
process_iq(Iq = #iq{type = Type}, Acc, From, To) when Type =:= result; Type =:= error ->
    process_answer(Iq, Acc, From, To);
process_iq(Iq = #iq{xmlns = NS}, Acc, From, To) ->
    case host_iq_handlers:find(?MODULE, jid:lserver(To), NS) of
        {ok, Handler} ->
            mongoose_iq_handler:process_iq(Handler, Acc, From, To, Iq);
        {error, not_found} ->
            host_router:bounce(Acc, mongoose_xmpp_errors:feature_not_implemented())
    end.

%% The callback runs in the process that routes the answer.
process_answer(Iq = #iq{id = Id}, Acc, From, To) ->
    case take_callback(Id) of
        {ok, Callback} ->
            Callback(From, To, Acc, Iq);
        {error, not_found} ->
            ?LOG_INFO(#{what => dropped_iq_reply, acc => Acc}),
            Acc
    end.

take_callback(Id) ->
    case ets:take(?MODULE, Id) of
        [{Id, Callback, Timer}] ->
            _ = erlang:cancel_timer(Timer),
            {ok, Callback};
        [] ->
            {error, not_found}
    end.

%% Server: the timers

-spec init([]) -> {ok, no_state}.
init([]) ->
    {ok, no_state}.

-spec handle_call(term(), gen_server:from(), no_state) -> {noreply, no_state}.
handle_call(_Request, _From, State) ->
    {noreply, State}.

-spec handle_cast(term(), no_state) -> {noreply, no_state}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info({timeout, reference(), Id :: binary()}, no_state) -> {noreply, no_state}.
handle_info({timeout, _Timer, Id}, State) ->
    %% An answer may have come in the meantime.
    _ = [spawn(fun() -> Callback(undefined, undefined, undefined, timeout) end)
         || {ok, Callback} <- [take_callback(Id)]],
    {noreply, State}.
