-module(event_pusher_compat).
-moduledoc "Where versions of the server differ: each difference has one function here.".

-export([inbox_unread_count/2, metric_labels/1, rabbit_connection/2]).

%% How many messages the recipient has not read, as mod_inbox tells in the accumulator it returns.
%% Up to 6.6 the host type is an argument of its own.
-spec inbox_unread_count(mongoose_acc:t(), Recipient :: jid:jid()) -> mongoose_acc:t().
inbox_unread_count(Acc, Recipient) ->
    Args = case is_from_6_7() of
               true -> [Acc, Recipient];
               false -> [mongoose_acc:host_type(Acc), Acc, Recipient]
           end,
    apply(mongoose_hooks, inbox_unread_count, Args).

%% Up to 6.6 the handler for Exometer knows pool_tag alone, and warns at each measurement that has
%% pool_type beside it. Where it is not configured, all labels stay.
-spec metric_labels(event_pusher_backend:labels()) -> mongoose_instrument:labels().
metric_labels(Labels) ->
    Handlers = mongoose_config:get_opt(instrumentation, #{}),
    case is_map_key(exometer, Handlers) andalso not is_from_6_7() of
        true -> maps:remove(pool_type, Labels);
        false -> Labels
    end.

%% Outgoing pools of older servers do not have all options; what they lack has the default of ours.
-spec rabbit_connection(map(), Defaults :: map()) -> map().
rabbit_connection(ConnOpts, Defaults) ->
    maps:merge(Defaults, ConnOpts).

%% At the start of the first modules, the server may not have loaded its hooks yet.
is_from_6_7() ->
    _ = code:ensure_loaded(mongoose_hooks),
    erlang:function_exported(mongoose_hooks, inbox_unread_count, 2).
