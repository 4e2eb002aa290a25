-module(mongoose_hooks).
-moduledoc "Runs the hooks that event_pusher handles, with the arguments that a server gives them.".

-export([push_event/2, filter_local_packet/1, user_available/2, unset_presence/3,
         unacknowledged_message/2]).

-include_lib("kernel/include/logger.hrl").

-type filter_acc() :: {From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), exml:element()}.

-export_type([filter_acc/0]).

-spec push_event(mongoose_acc:t(), Event :: tuple()) ->
          #{acc := mongoose_acc:t(), metadata := map()}.
push_event(Acc, Event) ->
    run(push_event, Acc, #{acc => Acc, metadata => #{}}, #{event => Event}).

-spec filter_local_packet(filter_acc()) -> filter_acc() | drop.
filter_local_packet(FilterAcc = {_From, _To, Acc, _Packet}) ->
    run(filter_local_packet, Acc, FilterAcc, #{}).

-spec user_available(mongoose_acc:t(), jid:jid()) -> mongoose_acc:t().
user_available(Acc, Jid) ->
    run(user_available, Acc, Acc, #{jid => Jid}).

-spec unset_presence(mongoose_acc:t(), jid:jid(), Status :: binary()) -> mongoose_acc:t().
unset_presence(Acc, Jid, Status) ->
    run(unset_presence, Acc, Acc, #{jid => Jid, status => Status}).

-spec unacknowledged_message(mongoose_acc:t(), jid:jid()) -> mongoose_acc:t().
unacknowledged_message(Acc, Jid) ->
    run(unacknowledged_message, Acc, Acc, #{jid => Jid}).

run(HookName, Acc, HookAcc, Params) ->
    case mongoose_acc:host_type(Acc) of
        undefined ->
            ?LOG_ERROR(#{what => undefined_host_type,
                         text => <<"A hook needs the host type of the accumulator">>,
                         hook_name => HookName}),
            HookAcc;
        HostType ->
            {_OkOrStop, Result} = gen_hook:run_fold(HookName, HostType, HookAcc, Params),
            Result
    end.
