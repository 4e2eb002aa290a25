-module(event_pusher_event).
-moduledoc "Hands an event to filters and backends.".

-export([push/2]).

%% In the hook push_event, filters come first and backends follow.
-spec push(mongoose_acc:t(), mod_event_pusher:event()) -> mongoose_acc:t().
push(Acc, Event) ->
    maps:get(acc, mongoose_hooks:push_event(Acc, Event)).
