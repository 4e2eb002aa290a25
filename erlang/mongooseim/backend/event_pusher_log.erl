-module(event_pusher_log).
-moduledoc "The log lines about what happened in a pool.".

-export([tell/3]).

-include_lib("kernel/include/logger.hrl").

-spec tell(event_pusher_backend:fates(), event_pusher:report(), event_pusher_backend:fields()) -> ok.
tell(Fates, #{counts := Counts, connection := Connection, recent := Recent}, Fields) ->
    #{causes := Causes, changes := Changes} = Recent,
    log_drops(Fates, Causes, Fields),
    log_retries(maps:get(retried, Counts, 0), Causes, Fields),
    lists:foreach(fun(Change) -> log_change(Change, Connection, Fields) end, Changes),
    lists:foreach(fun({Exchange, Count}) -> log_unroutable(Exchange, Count, Fields) end,
                  maps:get(unroutable, Recent, [])),
    log_panics(maps:get(panics, Counts, 0), Fields),
    log_spool(Counts, maps:get(troubles, Recent, []), Fields).

%% A fate with a line of its own, which names the exchange.
log_unroutable(Exchange, Count, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_unroutable, exchange => Exchange, count => Count,
                         text => <<"No queue takes these messages: none is bound to the exchange, "
                                   "or none with their routing keys">>}).

log_panics(0, _Fields) ->
    ok;
log_panics(Count, Fields) ->
    ?LOG_ERROR(Fields#{what => event_pusher_panics, count => Count,
                       text => <<"A fault of event_pusher. The pool goes on; what it has cost is counted. The "
                                 "place in the code is in the standard error of the node">>}).

log_spool(Counts, Troubles, Fields) ->
    log_count(event_pusher_restored, maps:get(restored, Counts, 0), Fields),
    log_count(event_pusher_kept, maps:get(kept, Counts, 0), Fields),
    lists:foreach(fun(Trouble) ->
                      ?LOG_ERROR(Fields#{what => event_pusher_spool_failed, reason => Trouble})
                  end, Troubles).

log_count(_What, 0, _Fields) -> ok;
log_count(What, Count, Fields) -> ?LOG_NOTICE(Fields#{what => What, count => Count}).

log_drops(Fates, Causes, Fields) ->
    Known = maps:merge(#{unanswered => <<"module is stopped">>, closed => <<"module is stopped">>,
                         full => <<"queue is full">>, purged => <<"dropped by an operator">>,
                         unreadable => <<"record on disk is damaged">>}, Causes),
    lists:foreach(fun(Reason) ->
                      log_drop(maps:get(Reason, Fates, 0), Reason,
                               maps:get(Reason, Known, unknown), Fields)
                  end, [rejected, exhausted, nacked, unanswered, expired, purged, unreadable, closed, full]).

log_drop(0, _Reason, _Cause, _Fields) ->
    ok;
log_drop(Count, Reason, Cause, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_drops, reason => Reason, count => Count,
                         last_cause => Cause}).

log_retries(0, _Causes, _Fields) ->
    ok;
log_retries(Count, Causes, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_retries, count => Count,
                         last_cause => maps:get(retried, Causes, unknown)}).

-spec log_change(event_pusher:change(), none | event_pusher:connection(),
                 event_pusher_backend:fields()) -> ok.
log_change(batching_off, _Connection, Fields) ->
    ?LOG_NOTICE(Fields#{what => event_pusher_batching_off,
                        text => <<"The endpoint has no PublishBatch, events go one by one. "
                                  "Batches are tried again in an hour">>});
log_change({clock, Ahead}, _Connection, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_clock, receiver_ahead_s => Ahead,
                         text => <<"The clock of this machine is not that of the receiver. "
                                   "Requests are signed for its time; set this clock right">>});
log_change({circuit, Destination, open, Cause}, _Connection, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_circuit_open, last_cause => Cause,
                         destination => destination(Destination, Fields),
                         text => <<"Events wait; one attempt at a time finds out when to go on">>});
log_change({circuit, Destination, closed, Cause}, _Connection, Fields) ->
    ?LOG_NOTICE(Fields#{what => event_pusher_circuit_closed, last_cause => Cause,
                        destination => destination(Destination, Fields)});
log_change({connection, up}, #{lost := Lost}, Fields) ->
    ?LOG_NOTICE(Fields#{what => event_pusher_connection_up, lost => Lost});
log_change({connection, down}, Connection, Fields) ->
    log_trouble(event_pusher_connection_down, Connection, Fields);
log_change({connection, blocked}, Connection, Fields) ->
    log_trouble(event_pusher_connection_blocked, Connection, Fields);
log_change({refused, none}, _Connection, Fields) ->
    ?LOG_NOTICE(Fields#{what => event_pusher_connection_accepted,
                        text => <<"The broker accepts what it refused before">>});
log_change({refused, Refused}, _Connection, Fields) ->
    ?LOG_ERROR(Fields#{what => event_pusher_connection_refused, reason => Refused,
                       text => <<"The broker refuses this. Events wait; it is tried again">>});
log_change({limited, Limited}, _Connection, Fields) ->
    ?LOG_WARNING(Fields#{what => event_pusher_connection_limited, reason => Limited,
                         text => <<"Fewer batches are published at once. A higher limit counts "
                                   "for the next connection">>}).

%% A path may hold secrets; topics and exchanges have names.
destination(Path, #{pool_type := http}) -> event_pusher_receiver:path(Path);
destination(Name, _Fields) -> Name.

log_trouble(What, #{lost := Lost, failed := Failed, cause := Cause}, Fields) ->
    ?LOG_WARNING(Fields#{what => What, lost => Lost, failed_attempts => Failed,
                         last_cause => Cause}).
