-module(event_pusher_compat).
-moduledoc "Where versions of the server differ: each difference has one function here.".

-export([inbox_unread_count/2]).

%% How many messages the recipient has not read, as mod_inbox tells in the accumulator it returns.
%% Up to 6.6 the host type is an argument of its own.
-spec inbox_unread_count(mongoose_acc:t(), Recipient :: jid:jid()) -> mongoose_acc:t().
inbox_unread_count(Acc, Recipient) ->
    Args = case erlang:function_exported(mongoose_hooks, inbox_unread_count, 2) of
               true -> [Acc, Recipient];
               false -> [mongoose_acc:host_type(Acc), Acc, Recipient]
           end,
    apply(mongoose_hooks, inbox_unread_count, Args).
