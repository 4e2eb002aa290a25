-module(bench_memory).
-moduledoc "What waiting events occupy, and how long a look at them holds a scheduler.".

-export([cases/0, resident/0]).
%% On the node
-export([waiting/2, look/3]).

-define(GROUPS, 100000).
-define(LOOKS, 300).

-spec cases() -> [bench_case:bench_case()].
cases() ->
    [#{name => "memory", needs => [], fresh => true, title => "bytes resident for each waiting event",
       figures => [{bytes, "bytes", 0}], rows => fun memory/1},
     #{name => "look", needs => [],
       title => "milliseconds of the scheduler that looks into a pool where a group waits for each event",
       figures => [{median, "median", 3}, {max, "max", 3}], rows => fun looks/1}].

memory(#{silent := Silent, events := Count}) ->
    [#{row => "a body of 200 bytes",
       subjects => [{node, "pool", {?MODULE, waiting, [{sns, Silent, 1, #{}}, min(90000, 5 * Count)]}}]}].

looks(#{events := Count}) ->
    Groups = min(?GROUPS, 5 * Count),
    Broker = #{host => <<"127.0.0.1">>, port => rig:free_port(), username => <<"u">>, password => <<"p">>,
               vhost => <<"/">>},
    Setup = {rabbit, Broker, #{queue => #{max_events => ?GROUPS}}},
    [#{row => lists:concat([Groups, " groups"]),
       subjects => [{node, atom_to_list(What), {?MODULE, look, [Setup, What, Groups]}}]}
     || What <- [stats, report]].

-spec waiting(bench_host:setup(), Count :: pos_integer()) -> bench_case:figures().
waiting(Setup, Count) ->
    Name = bench_host:start(Setup),
    Hook = bench_event:hook(),
    ok = bench_event:push(100, Hook),
    Before = resident(),
    ok = bench_event:push(Count, Hook),
    Bytes = (resident() - Before) / Count,
    #{refused_full := 0} = rig:stats(Name),
    ok = bench_host:stop(),
    #{bytes => Bytes}.

%% Nothing can be taken, and each event has a group of its own.
-spec look(bench_host:setup(), stats | report, Groups :: pos_integer()) -> bench_case:figures().
look(Setup, What, Groups) ->
    Name = bench_host:start(Setup),
    [ok = event_pusher:push(Name, #{destination => <<"chat_msg">>, body => <<"0123456789">>,
                                    group => integer_to_binary(Group)})
     || Group <- lists:seq(1, Groups)],
    #{queue_events := Groups} = rig:stats(Name),
    {ok, Pool} = event_pusher_pool:handle(Name),
    Times = [element(1, timer:tc(event_pusher_nif, What, [Pool])) || _ <- lists:seq(1, ?LOOKS)],
    ok = bench_host:stop(),
    #{median => bench_event:percentile(0.5, lists:sort(Times)) / 1000, max => lists:max(Times) / 1000}.

%% Of this VM, in bytes, after a collection of garbage.
-spec resident() -> pos_integer().
resident() ->
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    1024 * list_to_integer(KiB).
