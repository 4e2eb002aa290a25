-module(chaos_push).
-moduledoc "Receivers of push notifications in a run of chaos: a PubSub service and a virtual host.".

%% They are inside the node under test, as in a server; the judge fetches what has arrived.

-behaviour(gen_server).

-export([open/0, options/0, pusher/2, flush/0, behave/1]).
%% Hook handler
-export([push_notifications/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([behaviour_/0]).

%% How what arrives is treated: a condition is that of an error, slow is a second late, and away is
%% without the service.
-type behaviour_() :: well | slow | away | {error, Type :: binary(), Condition :: binary()}.

-define(HT, <<"localhost">>).
-define(BOB, <<"bob@localhost">>).
-define(SERVICE, <<"push.example">>).
-define(VIRTUAL, <<"virtual.example">>).
-define(SLOW_MS, 1000).
-define(WAIT_MS, 30000).
-define(LOCATION,
        #{mfa => {?MODULE, ?FUNCTION_NAME, ?FUNCTION_ARITY}, line => ?LINE, file => ?FILE}).

%% For the host that runs; the process stays for the next one.
-spec open() -> ok.
open() ->
    case gen_server:start({local, ?MODULE}, ?MODULE, none, []) of
        {ok, _Pid} -> ok;
        {error, {already_started, _Pid}} -> ok
    end,
    ok = behave(well),
    ok = gen_hook:add_handler(push_notifications, ?HT, fun ?MODULE:push_notifications/3, #{}, 50),
    gen_hook:reload_hooks().

-spec options() -> map().
options() ->
    push_rig:opts(#{virtual_pubsub_hosts => [{fqdn, ?VIRTUAL}]}).

%% Publishes a text as a notification of the node or device of that name.
-spec pusher(push | virtual, Name :: binary()) ->
    fun((Text :: binary()) -> ok | {error, full | closed}).
pusher(Stream, Name) ->
    Domain = case Stream of push -> ?SERVICE; virtual -> ?VIRTUAL end,
    Service = {jid:from_binary(Domain), Name, #{<<"device_id">> => Name}},
    fun(Text) ->
        Payload = [{<<"message-count">>, <<"1">>}, {<<"last-message-sender">>, <<"alice@localhost">>},
                   {<<"last-message-body">>, Text}],
        event_pusher_push_publisher:publish(acc(), Payload, Service)
    end.

acc() ->
    mongoose_acc:new(#{location => ?LOCATION, host_type => ?HT, lserver => ?HT,
                       element => rig:message(<<"chat">>, none),
                       from_jid => jid:from_binary(<<"alice@localhost">>),
                       to_jid => jid:from_binary(?BOB)}).

%% As receivers tell it.
-spec flush() -> [map()].
flush() ->
    gen_server:call(?MODULE, flush, ?WAIT_MS).

-spec behave(behaviour_()) -> ok.
behave(Behaviour) ->
    ok = gen_server:call(?MODULE, {behave, Behaviour}, ?WAIT_MS),
    persistent_term:put(?MODULE, Behaviour).

%% Runs in a worker.
-spec push_notifications(mongoose_acc:t(), map(), map()) -> {ok, term()}.
push_notifications(Acc, #{notification_forms := [Form], options := #{<<"device_id">> := Name}},
                   _Extra) ->
    #{<<"last-message-body">> := Text} = Form,
    case persistent_term:get(?MODULE) of
        {error, _Type, Condition} -> {ok, {error, binary_to_atom(Condition)}};
        Behaviour ->
            timer:sleep(late(Behaviour)),
            ok = gen_server:call(?MODULE, {arrived, virtual, Name, Text}, ?WAIT_MS),
            {ok, Acc}
    end.

late(slow) -> ?SLOW_MS;
late(_Behaviour) -> 0.

%% gen_server callbacks: the service

init(none) ->
    {ok, #{behaviour => well, arrived => []}}.

handle_call({behave, Behaviour}, _From, State) ->
    case Behaviour of
        away -> true = ets:delete(host_router, ?SERVICE);
        _ -> ok = host:add_component(?SERVICE)
    end,
    {reply, ok, State#{behaviour := Behaviour}};
handle_call({arrived, Target, Name, Text}, _From, State) ->
    {reply, ok, arrives(Target, Name, Text, State)};
handle_call(flush, _From, #{arrived := Arrived} = State) ->
    {reply, lists:reverse(Arrived), State#{arrived := []}}.

handle_cast(_Request, State) ->
    {noreply, State}.

handle_info({routed, Routed}, #{behaviour := {error, _, _} = Error} = State) ->
    ok = push_rig:answer(Routed, Error),
    {noreply, State};
handle_info({routed, Routed}, #{behaviour := Behaviour} = State) ->
    _ = erlang:send_after(late(Behaviour), self(), {answer, Routed}),
    {noreply, State};
handle_info({answer, Routed}, State0) ->
    {_, Text} = lists:keyfind(<<"last-message-body">>, 1, push_rig:summary(Routed)),
    %% First, because what was answered is delivered.
    State = arrives(push, push_rig:node_of(Routed), Text, State0),
    ok = push_rig:answer(Routed, result),
    {noreply, State}.

arrives(Target, Name, Text, #{arrived := Arrived} = State) ->
    Arrival = #{target => Target, topic => Name, body => Text, taken => true,
                at_ms => os:system_time(millisecond)},
    State#{arrived := [Arrival | Arrived]}.
