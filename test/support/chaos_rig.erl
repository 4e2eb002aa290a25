-module(chaos_rig).
-moduledoc "What runs of chaos, crashes and outages have in common: receivers, and nodes under test.".

-export([start/2, stop/1, collect/1, debug_program/0]).
-export([start_node/1, stop_node/1, kill_node/1, on_node/3, on_node/4]).
-export_type([rig/0, options/0, node_/0]).

%% The program has receivers of SNS and HTTP, and the proxies; see native/receiver.
-type options() :: #{program := file:filename(), progress := chaos_text:progress(),
                     pools := [chaos_node:pool()], _ => _}.
-type rig() :: #{folder := file:filename(), place := chaos_node:place(), broker := pid(),
                 receivers := pid(), moto => pid(), pools := [chaos_node:pool()], record := chaos_record:record(),
                 progress := chaos_text:progress(), began_ms := integer(), _ => _}.
-type node_() :: #{peer := pid(), os_pid := string()}.

-define(CALL_MS, 60000).

%% In a folder of its own below the given one.
-spec start(file:filename(), options()) -> rig().
start(Parent, #{program := Program, progress := Progress, pools := Pools}) ->
    ok = remove_former(Parent),
    Folder = filename:absname(filename:join(Parent, os:getpid())),
    ok = filelib:ensure_dir(filename:join([Folder, "ledgers", "any"])),
    #{ca := Ca, cert := Cert, key := Key} = test_certs:make(filename:join(Folder, "certificates")),
    chaos_text:say("starting RabbitMQ, services of SNS, two receivers of webhooks, a node ...", []),
    {ok, Broker} = rabbit_service:start(#{cert => Cert, key => Key}),
    #{tls_port := BrokerPort} = Info = rabbit_service:info(Broker),
    ok = chaos_fault:limit_messages(Broker),
    _ = rabbit_service:bind(Broker, "chat_msg", topic, true, "#"),
    ok = rabbit_service:catch_all(Broker, "chat_msg"),
    Moto = start_moto(Pools, #{cert => Cert, key => Key}),
    Behind = [{Pool, BrokerPort} || Pool <- [rabbit, loose], lists:member(Pool, Pools)]
        ++ [{moto, port(sns_service:info(Pid))} || #{moto := Pid} <- [Moto]],
    HttpCa = filename:join(Folder, "authorities.pem"),
    {ok, Receivers} = receiver:start_program(
                          Program, [{"--ca-file", HttpCa}
                                    | [{"--proxy", lists:concat([Pool, "=", Port])}
                                       || {Pool, Port} <- Behind]]),
    {ok, Authority} = file:read_file(Ca),
    ok = file:write_file(HttpCa, Authority, [append]),
    Place = #{folder => filename:join(Folder, "ledgers"), ports => receiver:info(Receivers),
              pools => Pools, broker => Info, http_ca => HttpCa, broker_ca => Ca},
    Moto#{folder => Folder, place => with_moto(Moto, Place), broker => Broker,
          receivers => Receivers, pools => Pools, record => chaos_record:new(),
          progress => Progress, began_ms => os:system_time(millisecond)}.

%% The second service of SNS, if it is wanted.
start_moto(Pools, Certificate) ->
    case lists:member(moto, Pools) of
        true ->
            {ok, Moto} = sns_service:start(Certificate),
            [_ = sns_service:topic(Moto, Topic) || Topic <- ["presence", "presence.fifo"]],
            #{moto => Moto};
        false ->
            #{}
    end.

port(#{endpoint := Endpoint}) ->
    #{port := Port} = uri_string:parse(Endpoint),
    Port.

with_moto(#{moto := Moto}, Place) -> Place#{moto => sns_service:info(Moto)};
with_moto(#{}, Place) -> Place.

%% What runs have left that were ended by Ctrl-C.
remove_former(Parent) ->
    [ok = file:del_dir_r(Folder) || Folder <- filelib:wildcard(filename:join(Parent, "*")),
                                    not filelib:is_dir("/proc/" ++ filename:basename(Folder))],
    ok.

%% All but the nodes.
-spec stop(rig()) -> ok.
stop(#{folder := Folder, broker := Broker, receivers := Receivers} = Rig) ->
    ok = receiver:stop(Receivers),
    [ok = sns_service:stop(Moto) || #{moto := Moto} <- [Rig]],
    ok = rabbit_service:stop(Broker),
    ok = file:del_dir_r(Folder).

%% Takes what has arrived since the last time, also at receivers in the node.
-spec collect(rig()) -> ok.
collect(#{record := Record, receivers := Receivers, broker := Broker, pools := Pools} = Rig) ->
    ok = chaos_record:arrived(Record, receiver:flush(Receivers)),
    ok = chaos_record:arrived(Record, rabbit_service:flush(Broker)),
    [ok = chaos_record:arrived(Record, sns_service:flush(Moto)) || #{moto := Moto} <- [Rig]],
    [ok = chaos_record:arrived(Record, on_node(Node, chaos_push, flush, []))
     || #{node := Node} <- [Rig], lists:member(push, Pools)],
    ok.

%% Built by tools/test.
-spec debug_program() -> file:filename().
debug_program() ->
    {ok, Current} = file:get_cwd(),
    above(filename:join(["target", "debug", "chaos"]), Current).

above(File, Folder) ->
    Path = filename:join(Folder, File),
    case filelib:is_regular(Path) of
        true -> Path;
        false when Folder =/= "/" -> above(File, filename:dirname(Folder))
    end.

%% Nodes, VMs of their own

%% Of a rig, or with an environment.
-spec start_node(rig() | [{Name :: string(), Value :: string()}]) -> node_().
start_node(#{place := #{http_ca := HttpCa}}) ->
    start_node([{"SSL_CERT_FILE", HttpCa}]);
start_node(Environment) ->
    %% Without the signal for files that are larger than a limit allows: writing fails then.
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, wait_boot => ?CALL_MS,
                                      exec => {"/bin/sh", ["-c", "trap '' XFSZ; exec \"$0\" \"$@\"",
                                                           "erl"]},
                                      args => ["+Bd", "-pa" | code_path()],
                                      env => Environment}),
    #{peer => Peer, os_pid => peer:call(Peer, os, getpid, [], ?CALL_MS)}.

code_path() ->
    [filename:absname(Folder) || Folder <- code:get_path(),
                                 string:find(Folder, "_build") =/= nomatch].

-spec stop_node(node_()) -> ok.
stop_node(#{peer := Peer}) ->
    peer:stop(Peer).

%% As the system or a loss of power does it. Returns the times just before, and when it has ended.
-spec kill_node(node_()) -> {BeforeMs :: integer(), EndedMs :: integer()}.
kill_node(#{peer := Peer, os_pid := OsPid}) ->
    true = unlink(Peer),
    Monitor = monitor(process, Peer),
    Before = os:system_time(millisecond),
    _ = os:cmd("kill -KILL " ++ OsPid),
    receive {'DOWN', Monitor, process, Peer, _} -> {Before, os:system_time(millisecond)} end.

-spec on_node(node_(), Function :: atom(), Args :: [term()]) -> term().
on_node(Node, Function, Args) ->
    on_node(Node, chaos_node, Function, Args).

-spec on_node(node_(), module(), Function :: atom(), Args :: [term()]) -> term().
on_node(#{peer := Peer}, Module, Function, Args) ->
    peer:call(Peer, Module, Function, Args, ?CALL_MS).
