-module(chaos_node).
-moduledoc "The node under test in a run of chaos: pools, lanes that push, what it measures.".

%% Runs in a VM of its own, which the judge starts and calls. What must survive it is in ledgers.

-export([start/1, open/1, stop/0]).
-export([pace/1, pause/0, burst/2, oversize/2, kill_owner/1, kill_worker/0]).
-export([counts/0, stats/0, measure/0, descriptors/0]).
-export([pools/0, lanes/1, ranges/3, drops/0]).
-export_type([place/0, pool/0, stream/0, counts/0, measures/0]).

%% Streams of one pool differ in where they go. loose is RabbitMQ without confirms, and moto another
%% service of SNS.
-type pool() :: sns | moto | http2 | http1 | rabbit | loose | push.
-type stream() :: sns | fifo | moto | moto_fifo | http2 | http1 | rabbit | loose | push | virtual.
-type counts() :: #{pool() => #{delivered | rejected | exhausted | nacked | unroutable | unanswered
                                    | expired | closed | full | retried | waiting => non_neg_integer()}}.
-type measures() :: #{resident_kib | threads | descriptors | processes | longest_us :=
                          non_neg_integer()}.

-define(HT, <<"localhost">>).
%% The second host type, because one has one pool of SNS and one of RabbitMQ.
-define(SECOND, <<"second.localhost">>).
-define(LANES, 4).
-define(ENDLESS, 1000000).
-define(ARN(Topic), <<"arn:aws:sns:eu-west-1:123456789012:", Topic>>).
-define(DROPS, [rejected, exhausted, nacked, unroutable, unanswered, expired, closed, full]).
-define(SETTINGS, [{report_interval_ms, 100}, {reconnect_max_ms, 1000}]).

-spec pools() -> [pool()].
pools() ->
    [sns, moto, http2, http1, rabbit, loose, push].

%% As the metrics call them: those of refused events as well.
-spec drops() -> [rejected | exhausted | nacked | unroutable | unanswered | expired | closed | full].
drops() ->
    ?DROPS.

streams(Pools) ->
    [It || {_Stream, Pool} = It <- [{sns, sns}, {fifo, sns}, {moto, moto}, {moto_fifo, moto},
                                    {http2, http2}, {http1, http1}, {rabbit, rabbit},
                                    {loose, loose}, {push, push}, {virtual, push}],
           lists:member(Pool, Pools)].

%% All of these pools.
-spec lanes([pool()]) -> [Name :: binary()].
lanes(Pools) ->
    [Name || {Stream, _Pool} <- streams(Pools), Name <- lanes_of_stream(Stream)].

lanes_of_stream(Stream) ->
    [iolist_to_binary(io_lib:format("~s~b", [Stream, N])) || N <- lists:seq(1, ?LANES)].

%% Of each pool, what its lanes have pushed between two counts of their events.
-spec ranges([pool()], Counts, Counts) -> [{pool(), chaos_record:range()}]
    when Counts :: #{Lane :: binary() => non_neg_integer()}.
ranges(Pools, From, To) ->
    [{Pool, maps:from_list([{Lane, {maps:get(Lane, From), maps:get(Lane, To)}}
                            || Lane <- lanes([Pool])])}
     || Pool <- Pools].

%% The folder of the ledgers, the ports of the receivers, and who may enter the broker and moto. With
%% a spool, events are on disk as well; those of somebody patient are never given up.
-type place() :: #{folder := file:filename(), pools := [pool()],
                   ports := #{pool() => inet:port_number()},
                   broker := rabbit_service:info(), moto => sns_service:info(),
                   http_ca := file:filename(), broker_ca := file:filename(),
                   spool => map(), patient => true}.

%% All but the pools.
-spec start(place()) -> ok.
start(#{folder := Folder, pools := Pools}) ->
    ok = logger:set_primary_config(level, emergency),
    ok = rig:start_application(),
    [ok = application:set_env(event_pusher, Name, Value) || {Name, Value} <- ?SETTINGS],
    [ok = host_mnesia:start(filename:join(Folder, "mnesia")) || lists:member(push, Pools)],
    Lanes = [begin
                 {ok, Pid} = chaos_lane:start(#{name => Name, push => push_fun(Stream, Pool, Name),
                                                ledger => filename:join(Folder, Name)}),
                 {Pool, Pid}
             end || {Stream, Pool} <- streams(Pools), Name <- lanes_of_stream(Stream)],
    persistent_term:put(?MODULE, {Pools, Lanes}).

%% The pools.
-spec open(place()) -> ok.
open(#{pools := Pools} = Place) ->
    First = #{sns => fun sns/1, http => fun http/1, rabbit => fun rabbit/1, push => fun push/1},
    Second = #{sns => fun moto/1, rabbit => fun loose/1},
    HostTypes = #{?HT => modules(First, Pools -- [moto, loose], Place),
                  ?SECOND => modules(Second, [case Pool of moto -> sns; loose -> rabbit end
                                              || Pool <- Pools, Pool =:= moto orelse Pool =:= loose],
                                     Place)},
    ok = rig:start_hosts(maps:filter(fun(_HostType, Modules) -> Modules =/= #{} end, HostTypes),
                         #{outgoing_pools => [outgoing(Tag, Place) || Tag <- [http2, http1]]}),
    [ok = chaos_push:open() || lists:member(push, Pools)],
    ok.

%% The backends that have a pool here.
modules(_Backends, [], _Place) ->
    #{};
modules(Backends, Pools, Place) ->
    Wanted = maps:with([http || lists:member(http2, Pools)] ++ Pools, Backends),
    Sections = maps:map(fun(_Backend, Options) -> Options(Place) end, Wanted),
    #{mod_event_pusher => maps:merge(Sections, maps:with([spool], Place))}.

sns(#{ports := #{sns := Port}} = Place) ->
    #{presence_updates_topic => "presence",
      plugin_module => mod_event_pusher_sns_defaults,
      sns_host => origin(Port),
      region => "eu-west-1",
      access_key_id => "AKIDEXAMPLE",
      secret_access_key => "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
      account_id => "123456789012",
      pool_size => 10,
      publish_retry_count => tries(6, Place),
      publish_retry_time_ms => 100,
      queue => queue(#{on_full => drop_old}, Place)}.

http(Place) ->
    Handler = #{callback_module => mod_event_pusher_http_defaults, retry_time_ms => 100},
    #{handlers => [Handler#{pool_name => http2, path => <<"h2">>, retry_count => ?ENDLESS},
                   Handler#{pool_name => http1, path => <<"h1">>, retry_count => tries(6, Place),
                            http_version => '1.1'}],
      queue => queue(#{max_age_ms => 20000}, Place)}.

rabbit(#{ports := #{rabbit := Port}, broker := Broker, broker_ca := Ca} = Place) ->
    Tls = #{verify_mode => peer, cacertfile => Ca, disconnect_on_failure => true},
    #{chat_msg_exchange => #{name => <<"chat_msg">>, type => <<"topic">>, durable => true,
                             sent_topic => <<"sent">>, recv_topic => <<"received">>},
      connection => rabbit_rig:connection(Broker, #{port => Port, tls => Tls}),
      queue => queue(#{}, Place)}.

tries(_Few, #{patient := true}) -> ?ENDLESS;
tries(Few, _Place) -> Few.

%% Small enough to be full during an outage that lasts. More: what gives up events.
queue(More, Place) ->
    Queue = #{max_events => 1000, drain_timeout_ms => 2000},
    case Place of
        #{patient := true} -> Queue;
        _ -> maps:merge(Queue, More)
    end.

%% It takes about 20 events a second.
moto(#{ports := #{moto := Port}, moto := Info} = Place) ->
    #{queue := Queue} = Sns = sns(Place),
    More = maps:with([pool_size, publish_retry_count, publish_retry_time_ms], Sns),
    (sns_rig:opts(Info, More))#{sns_host => origin(Port), queue => Queue#{max_events := 100}}.

loose(#{ports := #{loose := Port}} = Place) ->
    #{connection := Connection} = Rabbit = rabbit(Place),
    Rabbit#{connection := Connection#{port := Port, confirms_enabled := false}}.

push(Place) ->
    (chaos_push:options())#{queue => queue(#{}, Place)}.

outgoing(Tag, #{ports := Ports, http_ca := Ca}) ->
    Tls = #{verify_mode => peer, cacertfile => Ca, disconnect_on_failure => true},
    #{type => http, scope => global, tag => Tag, opts => #{workers => 10},
      conn_opts => #{host => origin(maps:get(Tag, Ports)), path_prefix => <<"/">>,
                     request_timeout => 5000, tls => Tls}}.

origin(Port) ->
    "https://127.0.0.1:" ++ integer_to_list(Port).

push_fun(Stream, push, Name) ->
    chaos_push:pusher(Stream, Name);
push_fun(Stream, Pool, Name) ->
    {To, Message} = {name(Pool), message(Stream, Name)},
    fun(Text) -> event_pusher:push(To, Message#{body => Text}) end.

message(sns, _) -> #{destination => ?ARN("presence"), attributes => []};
message(fifo, Lane) -> #{destination => ?ARN("presence.fifo"), attributes => [], group => Lane};
message(moto, Lane) -> message(sns, Lane);
message(moto_fifo, Lane) -> message(fifo, Lane);
message(http2, _) -> #{destination => <<"h2">>, attributes => []};
message(http1, _) -> #{destination => <<"h1">>, attributes => []};
message(rabbit, Lane) -> #{destination => <<"chat_msg">>, group => Lane};
message(loose, Lane) -> message(rabbit, Lane).

name(sns) -> {sns, ?HT};
name(http2) -> {http, ?HT, 1};
name(http1) -> {http, ?HT, 2};
name(rabbit) -> {rabbit, ?HT};
name(moto) -> {sns, ?SECOND};
name(loose) -> {rabbit, ?SECOND}.

labels(sns) -> labels(?HT, sns, pusher_sns);
labels(moto) -> labels(?SECOND, sns, pusher_sns);
labels(rabbit) -> labels(?HT, rabbit, event_pusher);
labels(loose) -> labels(?SECOND, rabbit, event_pusher);
labels(push) -> event_pusher_push_pool:labels(?HT);
labels(Http) -> labels(?HT, http, Http).

labels(HostType, Type, Tag) ->
    #{host_type => HostType, pool_type => Type, pool_tag => Tag}.

%% Pushing

-spec pace(IntervalMs :: pos_integer()) -> ok.
pace(IntervalMs) ->
    each_lane(fun(Pool, Pid) -> chaos_lane:pace(Pid, interval(Pool, IntervalMs)) end).

%% As much as it can take.
interval(moto, Ms) -> 8 * Ms;
interval(_Pool, Ms) -> Ms.

-spec pause() -> ok.
pause() ->
    each_lane(fun(_Pool, Pid) -> chaos_lane:pause(Pid) end).

each_lane(Fun) ->
    lists:foreach(fun({Pool, Pid}) -> ok = Fun(Pool, Pid) end, running()).

%% All lanes of the pool push so many at once.
-spec burst(pool(), pos_integer()) -> ok.
burst(Pool, Count) ->
    lists:foreach(fun(Pid) -> ok = chaos_lane:burst(Pid, Count) end, lanes_of(Pool)).

-spec oversize(pool(), pos_integer()) -> ok.
oversize(Pool, Count) ->
    lists:foreach(fun(Pid) -> ok = chaos_lane:oversize(Pid, Count) end, lanes_of(Pool)).

running() ->
    {_Pools, Lanes} = persistent_term:get(?MODULE),
    Lanes.

open_pools() ->
    {Pools, _Lanes} = persistent_term:get(?MODULE),
    Pools.

lanes_of(Pool) ->
    [Pid || {Of, Pid} <- running(), Of =:= Pool].

%% Returns when another owner has come.
-spec kill_owner(pool()) -> ok.
kill_owner(Pool) ->
    [Owner] = owners(Pool),
    exit(Owner, kill),
    await_owner(Pool, Owner).

await_owner(Pool, Former) ->
    case owners(Pool) of
        [Owner] when Owner =/= Former -> ok;
        _ -> erlang:yield(), await_owner(Pool, Former)
    end.

owners(push) -> [Pid || Pid <- [push_rig:owner()], is_pid(Pid)];
owners(Pool) -> event_pusher_sup:owners([name(Pool)]).

%% One of those that publish push notifications.
-spec kill_worker() -> ok.
kill_worker() ->
    push_rig:kill(hd(push_rig:workers())).

%% Looking

%% What the metrics say of each pool, and what waits there now.
-spec counts() -> counts().
counts() ->
    maps:from_list([{Pool, counts(Pool)} || Pool <- open_pools()]).

counts(Pool) ->
    Counts = [{Metric, host_metrics:total(event_pusher_events, labels(Pool), Metric)}
              || Metric <- [delivered, retried | ?DROPS]],
    maps:from_list([{waiting, waiting(Pool)} | Counts]).

waiting(Pool) ->
    case stats(Pool) of
        {ok, #{levels := #{waiting := Waiting}}} -> Waiting;
        {error, closed} -> 0
    end.

%% Of each pool that is there.
-spec stats() -> #{pool() => event_pusher:stats()}.
stats() ->
    Asked = [{Pool, stats(Pool)} || Pool <- open_pools()],
    maps:from_list([{Pool, Stats} || {Pool, {ok, Stats}} <- Asked]).

stats(push) -> event_pusher_push_pool:stats({push, ?HT});
stats(Pool) -> event_pusher:stats(name(Pool)).

-spec measure() -> measures().
measure() ->
    %% The stand-in keeps each value for tests; without a host it has none.
    _ = [ets:delete_all_objects(host_metrics_values)
         || ets:whereis(host_metrics_values) =/= undefined],
    [erlang:garbage_collect(Pid) || Pid <- processes()],
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    #{resident_kib => list_to_integer(KiB),
      threads => entries("/proc/self/task"),
      descriptors => entries("/proc/self/fd"),
      processes => erlang:system_info(process_count),
      longest_us => lists:max([chaos_lane:longest_us(Pid) || {_Pool, Pid} <- running()])}.

entries(Folder) ->
    {ok, Names} = file:list_dir(Folder),
    length(Names).

%% What is open, without numbers of the system.
-spec descriptors() -> [string()].
descriptors() ->
    {ok, Numbers} = file:list_dir("/proc/self/fd"),
    Links = [file:read_link_all("/proc/self/fd/" ++ Number) || Number <- Numbers],
    lists:sort([re:replace(Link, ":\\[\\d+\\]", "", [{return, list}]) || {ok, Link} <- Links]).

%% Stops the pools; the lanes stay.
-spec stop() -> ok.
stop() ->
    host:stop().
