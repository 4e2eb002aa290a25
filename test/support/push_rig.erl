-module(push_rig).
-moduledoc "What suites about push notifications share beside rig: storage, stanzas, the push pool.".

-export([cases/1, start_suite/1, stop_suite/1, start_mnesia/1]).
-export([start_host/0, start_host/1, stop_host/0, opts/1]).
-export([iq/2, enable/2, enable/3, enable/4, disable/2, disable/3, submitted/1, form/2]).
-export([request/2, routed/0, node_of/1, summary/1, publish_options/1, answer/2]).
-export([published/0, nodes_published/1, route_again/1, no_notification/0]).
-export([stats/0, await_stats/1, storage_calls/1, registrations/1]).
-export([occupy/0, release/2, workers/0, owner/0, kill/1, no_log_of/1]).

-include_lib("stdlib/include/assert.hrl").
-include("exml.hrl").

-type routed() :: #{from := jid:jid(), to := jid:jid(), packet := exml:element(),
                    acc := mongoose_acc:t()}.
-type fields() :: [{binary(), binary()}].
-type busy() :: {Worker :: pid(), reference()}.

-define(HT, <<"localhost">>).
-define(NS, <<"urn:xmpp:push:0">>).
-define(PUBLISH_OPTIONS, <<"http://jabber.org/protocol/pubsub#publish-options">>).
-define(WAIT, 30000).

%% Suites

-spec cases(module()) -> [atom()].
cases(Suite) ->
    Helpers = [init_per_suite, end_per_suite, module_info],
    [Case || {Case, 1} <- Suite:module_info(exports), not lists:member(Case, Helpers)].

%% With Mnesia on disc, in a folder of the suite.
-spec start_suite(list()) -> list().
start_suite(Config) ->
    ok = rig:start_application(),
    ok = start_mnesia(Config),
    Config.

%% What the folder has already is there again.
-spec start_mnesia(list()) -> ok.
start_mnesia(Config) ->
    ok = host_mnesia:start(filename:join(proplists:get_value(priv_dir, Config), "mnesia")),
    ok = mnesia:wait_for_tables(mnesia:system_info(tables), ?WAIT).

-spec stop_suite(list()) -> ok.
stop_suite(_Config) ->
    ok = host_mnesia:stop(),
    application:stop(event_pusher).

-spec start_host() -> ok.
start_host() ->
    start_host(#{}).

%% One host type with push notifications alone, whose options differ from the defaults by these.
-spec start_host(map()) -> ok.
start_host(Different) ->
    {module, _} = code:ensure_loaded(mod_event_pusher_push),
    rig:start_host(#{mod_event_pusher => #{push => opts(Different)}}).

%% Without what was registered.
-spec stop_host() -> ok.
stop_host() ->
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    _ = mnesia:clear_table(push_subscription),
    ok.

%% As the parser makes them of an empty section.
-spec opts(map()) -> map().
opts(Different) ->
    maps:merge(#{iqdisc => one_queue,
                 backend => mnesia,
                 wpool => #{workers => 10, strategy => available_worker, call_timeout => 5000},
                 plugin_module => mod_event_pusher_push_plugin_defaults,
                 virtual_pubsub_hosts => []}, Different).

%% Requests of clients

-spec iq(Type :: binary(), exml:element()) -> exml:element().
iq(Type, Request) ->
    Id = integer_to_binary(erlang:unique_integer([positive])),
    #xmlel{name = <<"iq">>, attrs = #{<<"type">> => Type, <<"id">> => Id}, children = [Request]}.

-spec enable(User :: binary(), Service :: binary()) -> ok.
enable(User, Service) ->
    enable(User, Service, <<"node">>).

-spec enable(User :: binary(), Service :: binary(), Node :: binary()) -> ok.
enable(User, Service, Node) ->
    enable(User, Service, Node, []).

%% As a client does it that gets a success.
-spec enable(User :: binary(), Service :: binary(), Node :: binary(), fields()) -> ok.
enable(User, Service, Node, Fields) ->
    Attrs = #{<<"jid">> => Service, <<"node">> => Node},
    success(User, request(<<"enable">>, {Attrs, [submitted(Fields) || Fields =/= []]})).

-spec disable(User :: binary(), Service :: binary()) -> ok.
disable(User, Service) ->
    success(User, request(<<"disable">>, {#{<<"jid">> => Service}, []})).

-spec disable(User :: binary(), Service :: binary(), Node :: binary()) -> ok.
disable(User, Service, Node) ->
    success(User, request(<<"disable">>, {#{<<"jid">> => Service, <<"node">> => Node}, []})).

success(User, Request) ->
    #xmlel{attrs = #{<<"type">> := <<"result">>}, children = []} =
        host:send_iq(User, account, iq(<<"set">>, Request)),
    ok.

-spec request(Name :: binary(), {Attrs :: map(), Children :: [exml:element()]}) -> exml:element().
request(Name, {Attrs, Children}) ->
    #xmlel{name = Name, attrs = Attrs#{<<"xmlns">> => ?NS}, children = Children}.

%% The form by which a client tells what each publication needs.
-spec submitted(fields()) -> exml:element().
submitted(Fields) ->
    form(?PUBLISH_OPTIONS, Fields).

%% Spelled out here, so that it is not what the code under test uses.
-spec form(FormType :: binary(), fields()) -> exml:element().
form(FormType, Fields) ->
    Hidden = field(#{<<"var">> => <<"FORM_TYPE">>, <<"type">> => <<"hidden">>}, FormType),
    #xmlel{name = <<"x">>, attrs = #{<<"xmlns">> => <<"jabber:x:data">>, <<"type">> => <<"submit">>},
           children = [Hidden | [field(#{<<"var">> => Var}, Value) || {Var, Value} <- Fields]]}.

field(Attrs, Value) ->
    Text = #xmlcdata{content = Value},
    #xmlel{name = <<"field">>, attrs = Attrs,
           children = [#xmlel{name = <<"value">>, children = [Text]}]}.

%% The service that publishes; its domain is a component of the test case

%% The next notification.
-spec routed() -> routed().
routed() ->
    receive {routed, Routed} -> Routed
    after ?WAIT -> ct:fail(nothing_published)
    end.

%% The node and the fields of the next notification, which the service accepts.
-spec published() -> {Node :: binary(), fields()}.
published() ->
    Routed = routed(),
    ok = answer(Routed, result),
    {node_of(Routed), summary(Routed)}.

-spec nodes_published(Count :: non_neg_integer()) -> [Node :: binary()].
nodes_published(Count) ->
    lists:sort([begin {Node, _Fields} = published(), Node end || _ <- lists:seq(1, Count)]).

%% The same stanza on its way once more, as after its recipient was lost.
-spec route_again(mongoose_acc:t()) -> mongoose_acc:t().
route_again(Acc) ->
    {From, To, Packet} = mongoose_acc:packet(Acc),
    host_router:send(From, To, Acc, Packet).

%% Fails if there is one, or could be one soon.
-spec no_notification() -> ok.
no_notification() ->
    ?assertMatch(#{waiting := 0}, stats()),
    receive {routed, Routed} -> ct:fail({published, Routed}) after 0 -> ok end.

-spec node_of(routed()) -> binary().
node_of(Routed) ->
    exml_query:attr(in_pubsub(Routed, <<"publish">>), <<"node">>).

%% What the notification says, without the type of its form.
-spec summary(routed()) -> fields().
summary(Routed) ->
    fields(<<"urn:xmpp:push:summary">>,
           exml_query:path(in_pubsub(Routed, <<"publish">>),
                           [{element, <<"item">>}, {element, <<"notification">>}])).

%% What the client has registered with.
-spec publish_options(routed()) -> fields().
publish_options(Routed) ->
    case in_pubsub(Routed, <<"publish-options">>) of
        undefined -> [];
        Options -> fields(?PUBLISH_OPTIONS, Options)
    end.

in_pubsub(#{packet := Packet}, Name) ->
    exml_query:path(Packet, [{element, <<"pubsub">>}, {element, Name}]).

%% Of a form of the given type, which comes first.
fields(FormType, Parent) ->
    [{<<"FORM_TYPE">>, FormType} | Fields] =
        [{exml_query:attr(Field, <<"var">>), exml_query:path(Field, [{element, <<"value">>}, cdata])}
         || Field <- exml_query:paths(Parent, [{element, <<"x">>}, {element, <<"field">>}])],
    Fields.

-spec answer(routed(), result | {error, Type :: binary(), Condition :: binary()}) -> ok.
answer(#{from := From, to := To, packet := #xmlel{attrs = Attrs} = Iq}, Answer) ->
    {Type, Children} = case Answer of
        result -> {<<"result">>, []};
        {error, ErrorType, Condition} -> {<<"error">>, [stanza_error(ErrorType, Condition)]}
    end,
    _ = host:route(To, From, Iq#xmlel{attrs = Attrs#{<<"type">> := Type}, children = Children}),
    ok.

stanza_error(Type, Condition) ->
    Ns = <<"urn:ietf:params:xml:ns:xmpp-stanzas">>,
    #xmlel{name = <<"error">>, attrs = #{<<"type">> => Type},
           children = [#xmlel{name = Condition, attrs = #{<<"xmlns">> => Ns}}]}.

%% Counters and storage

-spec stats() -> rig:stats().
stats() ->
    {ok, Stats} = event_pusher_push_pool:stats({push, ?HT}),
    rig:together(Stats).

%% Waits until the given counters have these values; returns all.
-spec await_stats(map()) -> rig:stats().
await_stats(Wanted) ->
    Reached = fun() -> maps:with(maps:keys(Wanted), stats()) =:= Wanted end,
    ok = host_metrics:await(event_pusher_queue, Reached, ?WAIT),
    stats().

-spec storage_calls(enable | disable | get_publish_services) -> non_neg_integer().
storage_calls(Function) ->
    host_metrics:total(mod_event_pusher_push_mnesia,
                       #{function => Function, host_type => ?HT}, count).

%% As a later notification will find them.
-spec registrations(User :: binary()) -> [mod_event_pusher_push:publish_service()].
registrations(User) ->
    {ok, Services} = mod_event_pusher_push_backend:get_publish_services(?HT, jid:from_binary(User)),
    lists:sort(Services).

%% The processes of the push pool

%% Gives one worker a job that ends when it is told to.
-spec occupy() -> busy().
occupy() ->
    {Test, Ref} = {self(), make_ref()},
    ok = event_pusher_push_pool:push(?HT, fun(_Ticket) ->
        Test ! {busy, Ref, self()},
        receive {release, Ref, Fate} -> Fate end
    end),
    receive {busy, Ref, Worker} -> {Worker, Ref}
    after ?WAIT -> ct:fail(no_worker_is_free)
    end.

-spec release(busy(), event_pusher_push_pool:fate()) -> ok.
release({Worker, Ref}, Fate) ->
    Worker ! {release, Ref, Fate},
    ok.

-spec workers() -> [pid()].
workers() ->
    Pool = mongoose_wpool:make_pool_name(generic, ?HT, pusher_push),
    Size = proplists:get_value(size, mongoose_wpool:stats(generic, ?HT, pusher_push)),
    [host_wpool:worker(Pool, Number) || Number <- lists:seq(1, Size)].

-spec owner() -> pid().
owner() ->
    whereis(gen_mod:get_module_proc(?HT, event_pusher_push_pool)).

-spec kill(pid()) -> ok.
kill(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _Reason} -> ok end.

%% In nothing that was logged and that the case has not read yet.
-spec no_log_of(Word :: binary()) -> ok.
no_log_of(Word) ->
    Logged = iolist_to_binary(io_lib:format("~0p", [log_capture:all()])),
    ?assertEqual(nomatch, binary:match(Logged, Word)).
