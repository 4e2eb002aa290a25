-module(event_pusher_exhaustion_SUITE).
-moduledoc "Without file descriptors or threads, the node goes on, and so do pools when there are some again.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1]).
-export([an_application_without_threads_says_so/1,
         an_application_without_file_descriptors_says_so/1,
         pools_go_on_after_a_lack_of_threads/1,
         pools_go_on_after_a_lack_of_file_descriptors/1,
         starts_and_stops_leave_nothing_behind/1]).
%% In the other VM
-export([start_pool/2, push/1, await/3, tell/2, start_application/0]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(CYCLES, 200).
-define(WARM_UP, 40).
%% What a client says of a broker that closes the connection before it has said anything.
-define(HASTY, [<<"connection aborted">>, <<"Connection reset">>]).
%% A pool that was left behind would have more than a megabyte for the places of its queue alone.
-define(TOLERANCE_KIB, 32 * 1024).

all() ->
    [an_application_without_threads_says_so, an_application_without_file_descriptors_says_so,
     pools_go_on_after_a_lack_of_threads, pools_go_on_after_a_lack_of_file_descriptors,
     starts_and_stops_leave_nothing_behind].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    {ok, Service} = http_service:start(),
    {Listen, Port} = hasty_broker(),
    [{service, Service}, {listen, Listen}, {hasty, Port} | Config].

%% Closes each connection at once: a client has begun with a thread of its own then.
hasty_broker() ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    Pid = spawn(fun() -> receive listen -> close_all(Listen) end end),
    ok = gen_tcp:controlling_process(Listen, Pid),
    Pid ! listen,
    {ok, Port} = inet:port(Listen),
    {Listen, Port}.

close_all(Listen) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} -> ok = gen_tcp:close(Socket), close_all(Listen);
        {error, closed} -> ok
    end.

end_per_suite(Config) ->
    ok = gen_tcp:close(?config(listen, Config)),
    http_service:stop(?config(service, Config)).

%% Lack of something; each in a VM of its own

%% Confirms one error, and that the application starts when there are threads.
an_application_without_threads_says_so(_Config) ->
    refused_start("nproc", 1, <<"threads cannot be had: ">>).

%% Confirms the same.
an_application_without_file_descriptors_says_so(_Config) ->
    refused_start("nofile", 3, <<"Too many open files">>).

refused_start(Of, Limit, Text) ->
    Node = child_node:start(),
    ok = child_node:call(Node, ?MODULE, start_application, []),
    ok = child_node:call(Node, application, stop, [event_pusher]),
    ok = child_node:limit(Node, Of, Limit),
    {error, {event_pusher, {{runtime, Cause}, _Start}}} =
        child_node:call(Node, application, ensure_all_started, [event_pusher]),
    ?assertMatch({_, {_, _}}, {Cause, binary:match(Cause, Text)}),
    ok = child_node:limit(Node, Of, none),
    ?assertMatch({ok, _}, child_node:call(Node, application, ensure_all_started, [event_pusher])),
    ok = child_node:stop(Node).

%% Confirms it for the look-up of a name and for a connection to a broker: attempts fail, nothing
%% panics, and nothing is dropped.
pools_go_on_after_a_lack_of_threads(Config) ->
    Node = node_with_pools(Config),
    ok = child_node:limit(Node, "nproc", 1),
    ok = child_node:call(Node, ?MODULE, push, [http]),
    ok = child_node:call(Node, ?MODULE, await, [http, retried, <<"no thread can be had">>]),
    ok = child_node:call(Node, ?MODULE, await, [rabbit, cause, <<"Resource temporarily">>]),
    ok = child_node:limit(Node, "nproc", none),
    ok = goes_on(Node).

%% Confirms it likewise; connections that are kept need no new descriptor, so they are cut.
pools_go_on_after_a_lack_of_file_descriptors(Config) ->
    Service = ?config(service, Config),
    Node = node_with_pools(Config),
    ok = child_node:call(Node, ?MODULE, push, [http]),
    ok = child_node:call(Node, ?MODULE, await, [http, delivered, 1]),
    ok = child_node:limit(Node, "nofile", 3),
    ok = http_service:down(Service),
    ok = http_service:up(Service),
    ok = child_node:call(Node, ?MODULE, push, [http]),
    ok = child_node:call(Node, ?MODULE, await, [http, retried, <<"Too many open files">>]),
    ok = child_node:call(Node, ?MODULE, await, [rabbit, cause, <<"Too many open files">>]),
    ok = child_node:limit(Node, "nofile", none),
    ok = goes_on(Node).

node_with_pools(Config) ->
    #{url := Url} = http_service:info(?config(service, Config)),
    Node = child_node:start(),
    ok = child_node:call(Node, ?MODULE, start_application, []),
    ok = child_node:call(Node, ?MODULE, start_pool, [http, http(Url)]),
    ok = child_node:call(Node, ?MODULE, start_pool,
                         [rabbit, {rabbit, pool_rig:rabbit(?config(hasty, Config))}]),
    ok = child_node:call(Node, ?MODULE, await, [rabbit, cause, ?HASTY]),
    Node.

goes_on(Node) ->
    ok = child_node:call(Node, ?MODULE, push, [http]),
    ok = child_node:call(Node, ?MODULE, await, [http, waiting, 0]),
    ok = child_node:call(Node, ?MODULE, await, [rabbit, cause, ?HASTY]),
    {ok, #{counts := Counts}} = child_node:call(Node, event_pusher, stats, [name(http)]),
    ?assertMatch(#{accepted := Sent, delivered := Sent, panics := 0}, Counts),
    {ok, #{counts := #{panics := 0}}} = child_node:call(Node, event_pusher, stats, [name(rabbit)]),
    child_node:stop(Node).

%% In that VM

%% With all modules, as a release has them: later, no file can be opened for one.
start_application() ->
    ok = rig:start_application(),
    {ok, Modules} = application:get_key(event_pusher, modules),
    code:ensure_modules_loaded(Modules).

start_pool(Kind, Backend) ->
    Settings = pool_rig:settings(Backend),
    event_pusher:start_pool(name(Kind), Settings#{retry_count := infinity, retry_max_ms := 50},
                            {?MODULE, tell, [Kind]}).

push(Kind) ->
    event_pusher:push(name(Kind), #{destination => <<"d">>, body => <<"body">>}).

name(Kind) ->
    {Kind, <<"exhaustion.test">>}.

tell(Report, Kind) ->
    case whereis(?MODULE) of
        undefined -> ok;
        Waiting -> Waiting ! {report, Kind, Report}
    end.

%% Returns with the first report that says it.
await(Kind, What, Wanted) ->
    true = register(?MODULE, self()),
    ok = await_report(Kind, What, Wanted),
    true = unregister(?MODULE),
    ok.

await_report(Kind, What, Wanted) ->
    receive
        {report, Kind, Report} ->
            case says(What, Wanted, Report) of
                true -> ok;
                false -> await_report(Kind, What, Wanted)
            end
    end.

says(retried, Text, #{recent := #{causes := #{retried := Cause}}}) -> has(Cause, Text);
says(cause, Text, #{connection := #{cause := Cause}}) when is_binary(Cause) -> has(Cause, Text);
says(waiting, Count, #{levels := #{waiting := Waiting}}) -> Waiting =:= Count;
says(delivered, Count, #{counts := #{delivered := Delivered}}) -> Delivered >= Count;
says(_What, _Wanted, _Report) -> false.

has(Text, Part) ->
    binary:match(Text, Part) =/= nomatch.

%% The name has to be looked up.
http(Url) ->
    {http, pool_rig:http(re:replace(Url, "127\\.0\\.0\\.1", "localhost", [{return, binary}]))}.

%% Leaks

%% Confirms it for all backends and the application itself; the figures are in the log of the case.
starts_and_stops_leave_nothing_behind(Config) ->
    ok = push_rig:start_mnesia(Config),
    {ok, Broker} = rabbit_service:start(),
    try
        Modules = modules(http_service:info(?config(service, Config)), rabbit_service:info(Broker)),
        Cycle = fun(_Number) -> cycle(Modules) end,
        lists:foreach(Cycle, lists:seq(1, ?WARM_UP)),
        {Threads, Descriptors, Before} = usage(),
        lists:foreach(Cycle, lists:seq(1, ?CYCLES - ?WARM_UP)),
        ok = fewer(fun threads/0, Threads, 100),
        {_, _, After} = Now = usage(),
        ct:pal("threads, file descriptors, KiB after ~b cycles: ~p; after ~b: ~p",
               [?WARM_UP, {Threads, Descriptors, Before}, ?CYCLES, Now]),
        ?assert(element(2, Now) =< Descriptors),
        ?assert(After - Before < ?TOLERANCE_KIB)
    after
        rabbit_service:stop(Broker),
        host_mnesia:stop()
    end.

%% Each backend delivers or drops something.
cycle({Modules, More}) ->
    ok = rig:start_application(),
    ok = rig:start_host(#{mod_event_pusher => Modules}, More),
    ok = host:add_component(<<"pubsub.localhost">>),
    _ = host:send_message(<<"alice@localhost/phone">>, <<"bob@localhost/laptop">>,
                          rig:message(<<"chat">>, <<"Hi">>)),
    ok = host:stop(),
    ok = application:stop(event_pusher).

modules(#{url := Url}, Broker) ->
    Service = #{endpoint => Url, region => <<"eu-west-1">>, account_id => <<"123456789012">>,
                access_key_id => <<"key">>, secret_access_key => <<"secret">>},
    Pool = #{type => http, scope => global, tag => hooks,
             opts => #{workers => 2, strategy => best_worker, call_timeout => 5000},
             conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>,
                            request_timeout => 5000}},
    Handler = #{pool_name => hooks, path => <<>>, callback_module => mod_event_pusher_http_defaults},
    {#{sns => sns_rig:opts(Service, #{pool_size => 2, publish_retry_count => 0}),
       http => #{handlers => [Handler]},
       rabbit => (rabbit_rig:exchanges())#{connection => rabbit_rig:connection(Broker)},
       push => push_rig:opts(#{})},
     #{outgoing_pools => [Pool]}}.

usage() ->
    {threads(), length(filelib:wildcard("/proc/self/fd/*")), rss_kib()}.

threads() ->
    length(filelib:wildcard("/proc/self/task/*")).

rss_kib() ->
    {ok, Text} = file:read_file("/proc/self/status"),
    {match, [Kib]} = re:run(Text, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Kib).

%% The thread of a connection ends a moment after it, and nobody is told.
fewer(Count, Most, Tries) ->
    case Count() =< Most of
        true -> ok;
        false when Tries > 0 -> receive after 100 -> fewer(Count, Most, Tries - 1) end;
        false -> error({more_than, Most, Count()})
    end.
