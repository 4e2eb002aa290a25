-module(rig).
-moduledoc "What all suites about backends share: the host, stanzas, the counters of a pool.".

-export([start_application/0, start_host/1, start_host/2, start_hosts/2]).
-export([message/2, message/3, stats/1, await_stats/2, together/1]).
-export_type([stats/0]).
-export([free_port/0, silent_server/0]).

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

%% Starts one host type with the given modules, whose names and options are as in a parsed file.
-spec start_host(gen_mod_deps:modules()) -> ok.
start_host(Modules) ->
    start_host(Modules, #{}).

%% More: other options under the keys they have at run time, such as `outgoing_pools'.
-spec start_host(gen_mod_deps:modules(), mongoose_config:opts()) -> ok.
start_host(Modules, More) ->
    start_hosts(#{?HT => Modules}, More).

%% The same of several host types.
-spec start_hosts(#{gen_mod:host_type() => gen_mod_deps:modules()}, mongoose_config:opts()) -> ok.
start_hosts(HostTypes, More) ->
    Given = lists:append([maps:keys(Modules) || Modules <- maps:values(HostTypes)]),
    %% As the parser of the configuration does it.
    [{module, _} = code:ensure_loaded(Module)
     || Module <- [mod_event_pusher_http, mod_event_pusher_rabbit, mod_event_pusher_sns,
                   mod_event_pusher_push | Given]],
    host:start(HostTypes, More).

%% Stanzas

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

%% Counters

%% Counts and levels together, and the connection.
-type stats() :: #{atom() => non_neg_integer(), connection := none | event_pusher:connection()}.

-spec stats(event_pusher:name()) -> stats().
stats(Name) ->
    {ok, Stats} = event_pusher:stats(Name),
    together(Stats).

-spec together(event_pusher:stats()) -> stats().
together(#{counts := Counts, levels := Levels, connection := Connection}) ->
    (maps:merge(Counts, Levels))#{connection => Connection}.

%% Waits until the counters of the pool are as wanted; returns them.
-spec await_stats(event_pusher:name(), fun((stats()) -> boolean())) -> stats().
await_stats(Name, Wanted) ->
    ok = host_metrics:await(event_pusher_queue, fun() -> Wanted(stats(Name)) end, 30000),
    stats(Name).

%% Receivers that do not answer

-spec free_port() -> inet:port_number().
free_port() ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listen),
    ok = gen_tcp:close(Listen),
    Port.

%% Connections are made by the system, but nobody answers.
-spec silent_server() -> {gen_tcp:socket(), Url :: string()}.
silent_server() ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {backlog, 1000}]),
    {ok, Port} = inet:port(Listen),
    {Listen, "http://127.0.0.1:" ++ integer_to_list(Port)}.
