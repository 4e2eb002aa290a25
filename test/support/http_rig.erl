-module(http_rig).
-moduledoc "What suites about HTTP handlers share: the host with handlers for a receiver, and their pools.".

-export([start_host/2, start_host/3, start_hosts/2, send/1, send/2, header/2, headers/2]).
-export([stats/0, await_waiting/1]).

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).

%% Handlers that post to a receiver; they have the defaults of a configuration.
-spec start_host([map()], Receiver :: pid()) -> ok.
start_host(Handlers, Receiver) ->
    start_host(Handlers, Receiver, #{}).

%% More: a section `spool', and other options of the backend.
-spec start_host([map()], Receiver :: pid(), More :: map()) -> ok.
start_host(Handlers, Receiver, More) ->
    rig:start_host(modules(Handlers, More), pools(Receiver)).

%% Handlers of several host types.
-spec start_hosts(#{mongooseim:host_type() => [map()]}, Receiver :: pid()) -> ok.
start_hosts(HostTypes, Receiver) ->
    rig:start_hosts(maps:map(fun(_HostType, Handlers) -> modules(Handlers, #{}) end, HostTypes),
                    pools(Receiver)).

modules(Handlers, More) ->
    Defaults = #{pool_name => http_pool, path => <<>>,
                 callback_module => mod_event_pusher_http_defaults},
    Http = (maps:remove(spool, More))#{handlers => [maps:merge(Defaults, Handler)
                                                    || Handler <- Handlers]},
    #{mod_event_pusher => (maps:with([spool], More))#{http => Http}}.

pools(Receiver) ->
    #{url := Url} = http_service:info(Receiver),
    Pool = #{type => http, scope => global, tag => http_pool,
             opts => #{workers => 10, strategy => best_worker, call_timeout => 5000},
             conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>,
                            request_timeout => 10000}},
    #{outgoing_pools => [Pool]}.

%% From Alice to Bob.
-spec send(Text :: binary()) -> ok.
send(Text) ->
    send(<<"chat">>, Text).

-spec send(Type :: binary(), Text :: binary() | none) -> ok.
send(Type, Text) ->
    _ = host:send_message(?ALICE, ?BOB, rig:message(Type, Text)),
    ok.

%% The value of a header that has one.
-spec header(binary(), http_service:message()) -> binary().
header(Name, Message) ->
    [Value] = headers(Name, Message),
    Value.

-spec headers(binary(), http_service:message()) -> [binary()].
headers(Name, #{headers := Headers}) ->
    [Value || {Key, Value} <- Headers, Key =:= Name].

%% Of the first handler.
-spec stats() -> rig:stats().
stats() ->
    rig:stats({http, ?HT, 1}).

-spec await_waiting(non_neg_integer()) -> rig:stats().
await_waiting(Wanted) ->
    rig:await_stats({http, ?HT, 1}, fun(#{waiting := Waiting}) -> Waiting =:= Wanted end).
