-module(mongoose_hooks).
-moduledoc "Runs the hooks that event_pusher handles or asks, with the arguments of a server.".

-export([push_event/2, filter_local_packet/1, user_available/2, unset_presence/3,
         unacknowledged_message/2]).
-export([inbox_unread_count/2, push_notifications/4, remove_user/3, remove_domain/2]).

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

-spec inbox_unread_count(mongoose_acc:t(), User :: jid:jid()) -> mongoose_acc:t().
inbox_unread_count(Acc, User) ->
    run(inbox_unread_count, Acc, Acc, #{user => User}).

-spec push_notifications(gen_mod:host_type(), mongoose_acc:t(),
                         Forms :: [#{binary() => binary()}], Options :: #{binary() => binary()}) ->
          ok | {error, term()} | mongoose_acc:t().
push_notifications(HostType, Acc, Forms, Options) ->
    run_for(HostType, push_notifications, Acc, #{notification_forms => Forms, options => Options}).

-spec remove_user(mongoose_acc:t(), jid:lserver(), jid:luser()) -> mongoose_acc:t().
remove_user(Acc, LServer, LUser) ->
    run(remove_user, Acc, Acc, #{jid => jid:make_bare(LUser, LServer)}).

-spec remove_domain(gen_mod:host_type(), jid:lserver()) -> mongoose_domain_api:remove_domain_acc().
remove_domain(HostType, Domain) ->
    run_for(HostType, remove_domain, #{failed => []}, #{domain => Domain}).

run(HookName, Acc, HookAcc, Params) ->
    run_for(mongoose_acc:host_type(Acc), HookName, HookAcc, Params).

run_for(undefined, HookName, HookAcc, _Params) ->
    ?LOG_ERROR(#{what => undefined_host_type,
                 text => <<"A hook needs the host type of the accumulator">>,
                 hook_name => HookName}),
    HookAcc;
run_for(HostType, HookName, HookAcc, Params) ->
    {_OkOrStop, Result} = gen_hook:run_fold(HookName, HostType, HookAcc, Params),
    Result.
