-module(event_pusher_rabbit_cluster_SUITE).
-moduledoc "A broker of three nodes, of which one after the other is lost under load.".

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([init_per_testcase/2, end_per_testcase/2]).
-export([a_node_that_is_killed_costs_no_event/1,
         a_node_that_is_drained_costs_no_event/1,
         a_node_that_falls_silent_costs_no_event/1,
         a_leader_that_moves_costs_no_event/1,
         nodes_that_are_away_are_passed_over/1,
         a_probe_tells_of_each_node/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(RABBIT, {rabbit, ?HT}).
-define(WAIT, 60000).
-define(SENDERS, 4).
%% So many events are delivered before a fault and after it, at least.
-define(SOME, 200).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), is_case(atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 3}}].

%% Names of cases are sentences: at least three blanks.
is_case(Name) ->
    length(string:split(Name, "_", all)) > 3.

init_per_suite(Config) ->
    ok = rig:start_application(),
    ok = application:set_env(event_pusher, reconnect_max_ms, 500),
    {ok, Cluster} = rabbit_cluster:start(),
    ok = rabbit_cluster:bind(Cluster, "chat_msg"),
    #{ports := Ports} = rabbit_cluster:info(Cluster),
    [{cluster, Cluster}, {ports, Ports} | Config].

end_per_suite(Config) ->
    ok = rabbit_cluster:stop(?config(cluster, Config)),
    ok = application:stop(event_pusher),
    application:unset_env(event_pusher, reconnect_max_ms).

init_per_testcase(_Case, Config) ->
    ok = log_capture:start(),
    Config.

end_per_testcase(_Case, Config) ->
    ok = log_capture:stop(),
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    _ = rabbit_cluster:flush(?config(cluster, Config)),
    ok.

a_node_that_is_killed_costs_no_event(Config) ->
    Cluster = ?config(cluster, Config),
    start(?config(ports, Config), Config),
    under_load(Config, fun() ->
        Node = connected(Config),
        ok = rabbit_cluster:kill(Cluster, Node),
        fun() -> ok = rabbit_cluster:up(Cluster, Node) end
    end).

a_node_that_is_drained_costs_no_event(Config) ->
    Cluster = ?config(cluster, Config),
    start(?config(ports, Config), Config),
    under_load(Config, fun() ->
        Node = connected(Config),
        ok = rabbit_cluster:drain(Cluster, Node),
        fun() -> ok = rabbit_cluster:revive(Cluster, Node) end
    end).

%% Nothing ends its connections: they have to be given up for want of heartbeats.
a_node_that_falls_silent_costs_no_event(Config) ->
    Proxies = [freezing_proxy:start(Port) || Port <- ?config(ports, Config)],
    start([freezing_proxy:port(Proxy) || Proxy <- Proxies], Config),
    under_load(Config, fun() ->
        ok = freezing_proxy:freeze(lists:nth(connected(Config), Proxies)),
        fun() -> ok end
    end),
    ?assertMatch(#{last_cause := <<"heartbeats are missing">>, lost := 1},
                 log_capture:await(event_pusher_connection_down)).

a_leader_that_moves_costs_no_event(Config) ->
    Cluster = ?config(cluster, Config),
    start(?config(ports, Config), Config),
    under_load(Config, fun() ->
        [ok = rabbit_cluster:lead(Cluster, Node) || Node <- [1, 2, 3, 1]],
        fun() -> ok end
    end).

nodes_that_are_away_are_passed_over(Config) ->
    [Port | _] = ?config(ports, Config),
    start([rig:free_port(), Port, rig:free_port()], Config),
    [_ = send(Sender, 1) || Sender <- lists:seq(1, ?SENDERS)],
    rabbit_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end),
    ?assertMatch(#{delivered := 2 * ?SENDERS}, rabbit_rig:stats()).

%% Confirms that what is wrong with one is told with its name.
a_probe_tells_of_each_node(Config) ->
    [Port | _] = ?config(ports, Config),
    Away = rig:free_port(),
    [{Receiver, {ok, Findings}}] =
        event_pusher_backend:probe(mod_event_pusher_rabbit, ?HT, options([Port, Away], Config)),
    ?assertEqual(unicode:characters_to_binary([host(Port), ", ", host(Away), ", virtual host \"/\""]), Receiver),
    ?assertMatch([{works, _}, {works, _}, {broken, _}], lists:reverse(lists:keysort(1, Findings))),
    [?assertMatch({0, _}, binary:match(Text, host(case Kind of works -> Port; broken -> Away end)))
     || {Kind, Text} <- Findings].

%% Helpers

start(Ports, Config) ->
    rabbit_rig:start_host(options(Ports, Config)).

options(Ports, Config) ->
    #{username := Username, password := Password} = rabbit_cluster:info(?config(cluster, Config)),
    Connection = #{host => "localhost", hosts => [host(Port) || Port <- Ports], port => 1,
                   username => Username, password => Password, virtual_host => <<"/">>,
                   confirms_enabled => true, reconnect => #{delay => 100}},
    #{chat_msg_exchange := Exchange} = rabbit_rig:exchanges(),
    #{chat_msg_exchange => Exchange#{durable := true}, connection => Connection}.

host(Port) ->
    <<"127.0.0.1:", (integer_to_binary(Port))/binary>>.

%% The node that the pool is connected to.
connected(Config) ->
    Cluster = ?config(cluster, Config),
    [Node] = [Node || Node <- [1, 2, 3], rabbit_cluster:connections(Cluster, Node) > 0],
    Node.

%% Sends all the time, while something happens and until some of it has been delivered after that. Then,
%% all of it has arrived, for each routing key in the order in which it was sent.
under_load(Config, Happen) ->
    Senders = [spawn_monitor(fun() -> send_on(Sender, 1) end) || Sender <- lists:seq(1, ?SENDERS)],
    more_delivered(),
    MakeGood = Happen(),
    Begin = erlang:monotonic_time(millisecond),
    more_delivered(),
    ct:pal("~b events after ~b ms", [?SOME, erlang:monotonic_time(millisecond) - Begin]),
    Counts = [begin
                  Pid ! enough,
                  receive {'DOWN', Monitor, process, Pid, {sent, Count}} -> Count end
              end || {Pid, Monitor} <- Senders],
    MakeGood(),
    rabbit_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end),
    Accepted = 2 * lists:sum(Counts),
    ?assertMatch(#{delivered := Accepted, accepted := Accepted}, rabbit_rig:stats()),
    Arrived = arrived(Accepted, #{}, #{}, Config),
    [?assertEqual({Key, lists:seq(1, Count)}, {Key, lists:reverse(maps:get(Key, Arrived))})
     || {Sender, Count} <- lists:zip(lists:seq(1, ?SENDERS), Counts),
        Key <- [<<(name(Sender))/binary, "@localhost.chat_msg_sent">>,
                <<"to-", (name(Sender))/binary, "@localhost.chat_msg_recv">>]].

more_delivered() ->
    #{delivered := Before} = rabbit_rig:stats(),
    ok = host_metrics:await(event_pusher_queue, fun() ->
        maps:get(delivered, rabbit_rig:stats()) >= Before + ?SOME
    end, ?WAIT).

send_on(Sender, Number) ->
    send(Sender, Number),
    receive
        enough -> exit({sent, Number})
    after 10 ->
        send_on(Sender, Number + 1)
    end.

send(Sender, Number) ->
    Name = name(Sender),
    host:send_message(<<Name/binary, "@localhost/phone">>, <<"to-", Name/binary, "@localhost/phone">>,
                      rig:message(<<"chat">>, integer_to_binary(Number))).

name(Sender) ->
    <<"user", (integer_to_binary(Sender))/binary>>.

%% The numbers of each routing key by the first arrival of each, the last one first.
arrived(0, _Seen, Arrived, _Config) ->
    Arrived;
arrived(Missing, Seen, Arrived, Config) ->
    case rabbit_cluster:await_message(?config(cluster, Config), ?WAIT) of
        {ok, Message} when is_map_key(Message, Seen) ->
            arrived(Missing, Seen, Arrived, Config);
        {ok, #{routing_key := Key, body := Body} = Message} ->
            {match, [Text]} = re:run(Body, "\"message\":\"(\\d+)\"", [{capture, all_but_first, binary}]),
            Numbers = [binary_to_integer(Text) | maps:get(Key, Arrived, [])],
            arrived(Missing - 1, Seen#{Message => []}, Arrived#{Key => Numbers}, Config);
        timeout ->
            ct:fail({missing, Missing})
    end.
