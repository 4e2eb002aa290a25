-module(rabbit_cluster).
-moduledoc "Three nodes of RabbitMQ that are a cluster, behind a Python port; each delivery is a message here.".

-export([start/0, stop/1, info/1, bind/2]).
-export([stop_node/2, kill/2, up/2, drain/2, revive/2, lead/2, connections/2]).
-export([await_message/2, flush/1]).

-type info() :: #{ports := [inet:port_number()], username := binary(), password := binary()}.
%% Its place in the list of ports.
-type cluster_node() :: 1..3.

-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    receiver:start("rabbit_cluster.py", []).

-spec stop(pid()) -> ok.
stop(Cluster) ->
    receiver:stop(Cluster).

-spec info(pid()) -> info().
info(Cluster) ->
    receiver:info(Cluster).

%% A quorum queue has all that is published to the exchange, and is consumed from now on.
-spec bind(pid(), Exchange :: iodata()) -> ok.
bind(Cluster, Exchange) ->
    receiver:command(Cluster, ["bind", Exchange]).

-spec stop_node(pid(), cluster_node()) -> ok.
stop_node(Cluster, Node) ->
    receiver:command(Cluster, ["stop", Node]).

-spec kill(pid(), cluster_node()) -> ok.
kill(Cluster, Node) ->
    receiver:command(Cluster, ["kill", Node]).

%% Returns when clients can connect to it.
-spec up(pid(), cluster_node()) -> ok.
up(Cluster, Node) ->
    receiver:command(Cluster, ["up", Node]).

%% For maintenance: it sends its clients away and lets no new ones in.
-spec drain(pid(), cluster_node()) -> ok.
drain(Cluster, Node) ->
    receiver:command(Cluster, ["drain", Node]).

-spec revive(pid(), cluster_node()) -> ok.
revive(Cluster, Node) ->
    receiver:command(Cluster, ["revive", Node]).

%% The node has the leader of the queue from now on.
-spec lead(pid(), cluster_node()) -> ok.
lead(Cluster, Node) ->
    receiver:command(Cluster, ["lead", Node]).

%% How many the user of info/1 has open to that node.
-spec connections(pid(), cluster_node()) -> non_neg_integer().
connections(Cluster, Node) ->
    receiver:command(Cluster, ["connections", Node]).

-spec await_message(pid(), timeout()) -> {ok, #{routing_key := binary(), body := binary()}} | timeout.
await_message(Cluster, Timeout) ->
    receiver:await_message(Cluster, Timeout).

%% What arrived and nobody has awaited.
-spec flush(pid()) -> [#{routing_key := binary(), body := binary()}].
flush(Cluster) ->
    receiver:flush(Cluster).
