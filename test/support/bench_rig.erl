-module(bench_rig).
-moduledoc "What a run of the benchmark needs beside itself: receivers, a broker, nodes with a build.".

-export([start/2, stop/1, with_nodes/4, call/4]).
-export([start_receiver/2, await_more/2, arrivals/2]).
-export_type([part/0, rig/0, options/0, node_/0, receiver/0]).

%% counted: a receiver for those alone who ask it how much has arrived. arrivals: one that tells when something
%% has arrived. delayed: receivers that take their time. beside: a node without event_pusher.
-type part() :: receiver | counted | arrivals | delayed | broker | beside.
%% events: how many each measurement pushes. ebin: of event_pusher, for each build.
-type options() :: #{folder := file:filename(), events := pos_integer(),
                     programs := file:filename(), _ => _}.
%% Without a part that nobody needs.
-type rig() :: #{folder := file:filename(), events := pos_integer(), silent := Url :: string(),
                 ca := file:filename(), url => string(), receiver => receiver(),
                 counted => receiver(), delayed => [{Ms :: non_neg_integer(), receiver()}], arrivals => receiver(),
                 beside => node_(), broker => rabbit_service:info(),
                 programs := file:filename(), stop := [fun(() -> ok)]}.
%% ca: the file with the certificate that its pools, and bare clients, trust.
-type receiver() :: #{port := port(), url := string(), ca := file:filename(),
                      asked := counters:counters_ref()}.
-opaque node_() :: pid().

-define(BOOT_MS, 60000).
-define(CALL_MS, 600000).
-define(LINE_MS, 120000).
-define(DELAYS_MS, [0, 1, 20, 200]).

-spec start([part()], options()) -> rig().
start(Parts, #{folder := Folder} = Options) ->
    _ = file:del_dir_r(Folder),
    ok = filelib:ensure_dir(filename:join(Folder, "any")),
    {Listen, Silent} = rig:silent_server(),
    Rig = (maps:with([folder, events, programs], Options))#{
        silent => Silent, ca => filename:join(Folder, "ca.pem"), stop => [fun() -> gen_tcp:close(Listen) end]},
    lists:foldl(fun start_part/2, Rig, lists:usort(Parts)).

start_part(receiver, Rig) ->
    {#{url := Url} = Receiver, New} = add_receiver("receiver", [], Rig),
    New#{url => Url, receiver => Receiver};
start_part(counted, Rig) ->
    {Receiver, New} = add_receiver("counted", [], Rig),
    New#{counted => Receiver};
start_part(arrivals, Rig) ->
    {Receiver, New} = add_receiver("arrivals", ["--arrivals"], Rig),
    New#{arrivals => Receiver};
start_part(delayed, Rig) ->
    {Receivers, New} = lists:mapfoldl(fun(Ms, Before) ->
        Text = integer_to_list(Ms),
        {Receiver, After} = add_receiver("delayed-" ++ Text, ["--delay-ms", Text], Before),
        {{Ms, Receiver}, After}
    end, Rig, ?DELAYS_MS),
    New#{delayed => Receivers};
start_part(broker, #{stop := Stop} = Rig) ->
    {ok, Broker} = rabbit_service:start(),
    Rig#{broker => rabbit_service:info(Broker), stop := [fun() -> rabbit_service:stop(Broker) end | Stop]};
start_part(beside, #{stop := Stop} = Rig) ->
    Node = start_node([], Rig),
    Rig#{beside => Node, stop := [fun() -> stop_node(Node) end | Stop]}.

%% Its certificate becomes one of those that the nodes trust.
add_receiver(Name, Args, #{programs := Programs, folder := Folder, ca := All, stop := Stop} = Rig) ->
    Ca = filename:join(Folder, Name ++ ".pem"),
    #{port := Port} = Receiver = start_receiver(Programs, ["--ca-file", Ca | Args]),
    {ok, Pem} = file:read_file(Ca),
    ok = file:write_file(All, Pem, [append]),
    Close = fun() -> true = port_close(Port), ok end,
    {Receiver#{ca => Ca, asked => counters:new(1, [])}, Rig#{stop := [Close | Stop]}}.

-spec stop(rig()) -> ok.
stop(#{folder := Folder, stop := Stop}) ->
    [ok = Fun() || Fun <- Stop],
    file:del_dir_r(Folder).

%% A program of its own; see native/receiver.
-spec start_receiver(Programs :: file:filename(), Args :: [string()]) -> #{port := port(), url := string()}.
start_receiver(Programs, Args) ->
    Port = open_port({spawn_executable, filename:join(Programs, "receiver")}, [{args, Args}, {line, 1000}]),
    #{port => Port, url => line(Port)}.

%% Returns when so many more messages have arrived than were asked for before.
-spec await_more(receiver(), Messages :: non_neg_integer()) -> ok.
await_more(#{port := Port, asked := Asked}, Messages) ->
    ok = counters:add(Asked, 1, Messages),
    true = port_command(Port, ["await ", integer_to_list(counters:get(Asked, 1)), $\n]),
    "arrived" = line(Port),
    ok.

%% When the next messages have arrived, in nanoseconds, of a receiver that tells it.
-spec arrivals(receiver(), Messages :: non_neg_integer()) -> [integer()].
arrivals(#{port := Port}, Messages) ->
    [list_to_integer(line(Port)) || _ <- lists:seq(1, Messages)].

line(Port) ->
    receive {Port, {data, {eol, Line}}} -> Line after ?LINE_MS -> error(receiver_is_silent) end.

%% With a node for each build, or, if measurements are to be on fresh ones, with one for each of them.
-spec with_nodes(bench_case:bench_case(), [{this | that, file:filename()}], rig(),
                 fun((bench_case:builds()) -> Result)) -> Result.
with_nodes(#{fresh := true}, Builds, Rig, Fun) ->
    Fun([{Build, fun(Module, Function, Args) ->
              with_node(Ebin, Rig, fun(Call) -> Call(Module, Function, Args) end)
          end} || {Build, Ebin} <- Builds]);
with_nodes(#{}, [], _Rig, Fun) ->
    Fun([]);
with_nodes(Case, [{Build, Ebin} | Builds], Rig, Fun) ->
    with_node(Ebin, Rig, fun(Call) ->
        with_nodes(Case, Builds, Rig, fun(Others) -> Fun([{Build, Call} | Others]) end)
    end).

with_node(Ebin, Rig, Fun) ->
    Node = start_node([Ebin], Rig),
    try Fun(calls(Node)) after stop_node(Node) end.

%% A build that does not start fails in each row, not all at once.
calls(Node) ->
    try call(Node, bench_host, start_application, []) of
        ok -> fun(Module, Function, Args) -> call(Node, Module, Function, Args) end
    catch
        error:Reason -> fun(_Module, _Function, _Args) -> error({does_not_start, Reason}) end
    end.

%% A VM with the event_pusher of a build. All that is not event_pusher is what this VM has.
start_node(Ebin, #{ca := Ca}) ->
    Others = [filename:absname(Folder) || Folder <- code:get_path(), string:find(Folder, "_build") =/= nomatch,
                                          filename:basename(filename:dirname(Folder)) =/= "event_pusher"],
    {ok, Peer, _} = peer:start_link(#{connection => standard_io, wait_boot => ?BOOT_MS,
                                      exec => os:find_executable("erl"),
                                      args => ["+Bd", "-kernel", "logger_level", "critical",
                                               "-env", "ERL_CRASH_DUMP_SECONDS", "0", "-pa"]
                                              ++ [filename:absname(Folder) || Folder <- Ebin] ++ Others,
                                      env => [{"SSL_CERT_FILE", Ca}]}),
    Peer.

stop_node(Peer) ->
    peer:stop(Peer).

-spec call(node_(), module(), Function :: atom(), Args :: [term()]) -> term().
call(Peer, Module, Function, Args) ->
    peer:call(Peer, Module, Function, Args, ?CALL_MS).
