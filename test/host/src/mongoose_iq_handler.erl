-module(mongoose_iq_handler).
-moduledoc "An IQ handler and the processes it runs in: the caller, a queue, some, or one per IQ.".

-export([new/3, delete/1, process_iq/5, execute_handler/5]).

-include_lib("kernel/include/logger.hrl").
-include("iq.hrl").

-type handler_fn() :: fun((mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(), jlib:iq(),
                           Extra :: map()) -> {mongoose_acc:t(), jlib:iq() | ignore}).
-type execution_type() :: no_queue | one_queue | parallel | {queues, pos_integer()}.
-type execution_method() :: no_queue | parallel | {workers, [pid(), ...]}.

-record(iq_handler, {run :: handler_fn(), extra :: map(), method :: execution_method()}).

-opaque t() :: #iq_handler{}.

-export_type([t/0, handler_fn/0, execution_type/0]).

-spec new(handler_fn(), Extra :: map(), execution_type()) -> t().
new(Run, Extra, ExecutionType) ->
    #iq_handler{run = Run, extra = Extra, method = method(ExecutionType)}.

method(no_queue) -> no_queue;
method(parallel) -> parallel;
method(one_queue) -> method({queues, 1});
method({queues, N}) -> {workers, [host_iq_worker:start() || _ <- lists:seq(1, N)]}.

%% What waits for a worker is still handled.
-spec delete(t()) -> ok.
delete(#iq_handler{method = {workers, Workers}}) ->
    lists:foreach(fun host_iq_worker:stop/1, Workers);
delete(#iq_handler{}) ->
    ok.

-spec process_iq(t(), mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(), jlib:iq()) ->
          mongoose_acc:t().
process_iq(Handler = #iq_handler{method = no_queue}, Acc, From, To, Iq) ->
    execute_handler(Handler, Acc, From, To, Iq);
process_iq(Handler = #iq_handler{method = parallel}, Acc, From, To, Iq) ->
    _ = spawn(?MODULE, execute_handler, [Handler, Acc, From, To, Iq]),
    Acc;
process_iq(Handler = #iq_handler{method = {workers, Workers}}, Acc, From, To, Iq) ->
    Worker = lists:nth(rand:uniform(length(Workers)), Workers),
    host_iq_worker:handle(Worker, Handler, Acc, From, To, Iq),
    Acc.

-spec execute_handler(t(), mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(), jlib:iq()) ->
          mongoose_acc:t().
execute_handler(#iq_handler{run = Run, extra = Extra}, Acc, From, To, Iq) ->
    try Run(Acc, From, To, Iq, Extra) of
        {NewAcc, ignore} ->
            host_clients:answer(From, Iq#iq.id, no_reply),
            NewAcc;
        {NewAcc, Answer} ->
            host_router:send(To, From, NewAcc, jlib:iq_to_xml(Answer))
    catch
        Class:Reason:Stacktrace ->
            ?LOG_WARNING(#{what => process_iq_error, from => From, to => To, iq => Iq, acc => Acc,
                           extra => Extra, handler_function => Run,
                           class => Class, reason => Reason, stacktrace => Stacktrace}),
            Error = mongoose_xmpp_errors:internal_server_error(),
            Answer = Iq#iq{type = error, sub_el = [Iq#iq.sub_el, Error]},
            host_router:send(To, From, Acc, jlib:iq_to_xml(Answer))
    end.
