-module(sns_rig).
-moduledoc "What the suites about SNS share: the options, the host, stanzas.".

-export([start_application/0, opts/1, opts/2, start_host/1, stop_host/0]).
-export([message/2, message/3, stats/0, await_stats/1]).

-include("exml.hrl").

-define(HT, <<"localhost">>).

%% Reports come often enough to be awaited.
-spec start_application() -> ok.
start_application() ->
    ok = load(event_pusher),
    ok = application:set_env(event_pusher, report_interval_ms, 20),
    {ok, _} = application:ensure_all_started(event_pusher),
    ok.

load(Application) ->
    case application:load(Application) of
        ok -> ok;
        {error, {already_loaded, Application}} -> ok
    end.

-spec opts(sns_service:info()) -> map().
opts(Info) ->
    opts(Info, #{}).

%% The options of the manual's example, for the service that runs.
-spec opts(sns_service:info(), map()) -> map().
opts(#{endpoint := Endpoint, region := Region, account_id := Account,
       access_key_id := KeyId, secret_access_key := Secret}, More) ->
    Opts = #{presence_updates_topic => "presence",
             pm_messages_topic => "pm",
             muc_messages_topic => "muc",
             plugin_module => mod_event_pusher_sns_defaults,
             sns_host => binary_to_list(Endpoint),
             region => binary_to_list(Region),
             access_key_id => binary_to_list(KeyId),
             secret_access_key => binary_to_list(Secret),
             account_id => binary_to_list(Account),
             pool_size => 100,
             publish_retry_count => 2,
             publish_retry_time_ms => 50},
    maps:merge(Opts, More).

%% Starts one host type with the given modules, or with SNS alone.
-spec start_host(map()) -> ok.
start_host(#{sns_host := _} = SnsOpts) ->
    start_host(#{mod_event_pusher => #{sns => SnsOpts}});
start_host(Modules) ->
    %% As the parser of the configuration does it.
    [{module, _} = code:ensure_loaded(Module)
     || Module <- [mod_event_pusher_sns | maps:keys(Modules)]],
    host:start(#{?HT => Modules}).

-spec stop_host() -> ok.
stop_host() ->
    host:stop().

-spec message(Type :: binary(), Body :: binary() | none) -> exml:element().
message(Type, Body) ->
    message(Type, Body, []).

-spec message(Type :: binary(), Body :: binary() | none, More :: [exml:element()]) ->
    exml:element().
message(Type, none, More) ->
    #xmlel{name = <<"message">>, attrs = #{<<"type">> => Type}, children = More};
message(Type, Body, More) ->
    Text = #xmlel{name = <<"body">>, children = [#xmlcdata{content = Body}]},
    message(Type, none, [Text | More]).

-spec stats() -> event_pusher:stats().
stats() ->
    {ok, Stats} = event_pusher:stats({sns, ?HT}),
    Stats.

%% Waits until the counters of the pool are as wanted; returns them.
-spec await_stats(fun((event_pusher:stats()) -> boolean())) -> event_pusher:stats().
await_stats(Wanted) ->
    ok = host_metrics:await(event_pusher_queue, fun() -> Wanted(stats()) end),
    stats().
