-module(sns_rig).
-moduledoc "What suites about SNS share beside rig: the options and the pool.".

-export([opts/1, opts/2, start_host/1, stats/0, await_stats/1]).

-define(HT, <<"localhost">>).

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
