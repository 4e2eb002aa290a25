-module(sns_rig).
-moduledoc "What suites about SNS share beside rig: the options and the pool.".

-export([start_suite/1, stop_suite/1, start_case/1, stop_case/1]).
-export([opts/1, opts/2, opts_of/1, start_host/1, start/1, start/2, stats/0, await_stats/1]).
-export([send/2, arrived/1, json/1, total/1]).

-include_lib("common_test/include/ct.hrl").

-define(HT, <<"localhost">>).
-define(WAIT, 20000).

%% Suites, and their cases

-spec start_suite(list()) -> list().
start_suite(Config) ->
    ok = rig:start_application(),
    {ok, Service} = sns_service:start(),
    [sns_service:topic(Service, Topic) || Topic <- ["presence", "pm", "muc", "pm.fifo"]],
    [{service, Service}, {info, sns_service:info(Service)} | Config].

-spec stop_suite(list()) -> ok.
stop_suite(Config) ->
    sns_service:stop(?config(service, Config)),
    application:stop(event_pusher).

-spec start_case(list()) -> list().
start_case(Config) ->
    ok = log_capture:start(),
    Config.

-spec stop_case(list()) -> ok.
stop_case(Config) ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    _ = sns_service:flush(?config(service, Config)),
    ok = sns_service:clock(?config(service, Config), 0),
    ok = sns_service:unknown(?config(service, Config), []).

%% The pool

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

%% Those for the service of the suite.
-spec opts_of(list()) -> map().
opts_of(Config) ->
    opts(?config(info, Config)).

-spec start(list(), Different :: map()) -> ok.
start(Config, Different) ->
    start(maps:merge(opts_of(Config), Different)).

-spec start(map()) -> ok.
start(Opts) ->
    start_host(Opts).

%% Starts one host type with SNS alone.
-spec start_host(map()) -> ok.
start_host(SnsOpts) ->
    rig:start_host(#{mod_event_pusher => #{sns => SnsOpts}}).

-spec stats() -> rig:stats().
stats() ->
    rig:stats({sns, ?HT}).

-spec await_stats(fun((rig:stats()) -> boolean())) -> rig:stats().
await_stats(Wanted) ->
    rig:await_stats({sns, ?HT}, Wanted).

%% From Alice to Bob.
-spec send(Type :: binary(), Body :: binary()) -> term().
send(Type, Body) ->
    host:send_message(<<"alice@localhost/phone">>, <<"bob@localhost/laptop">>, rig:message(Type, Body)).

%% What arrives

-spec arrived(list()) -> sns_service:message().
arrived(Config) ->
    {ok, Message} = sns_service:await_message(?config(service, Config), ?WAIT),
    Message.

-spec json(sns_service:message() | binary()) -> map().
json(#{body := Body}) -> json(Body);
json(Body) -> jiffy:decode(Body, [return_maps]).

%% Of the events, by the metric.
-spec total(atom()) -> non_neg_integer().
total(Metric) ->
    Labels = #{host_type => ?HT, pool_type => sns, pool_tag => pusher_sns},
    host_metrics:total(event_pusher_events, Labels, Metric).
