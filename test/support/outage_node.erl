-module(outage_node).
-moduledoc "A node whose receivers are all dead, and that many events come to.".

-export([start/1, stop/0, stats/0]).
-export_type([place/0]).

%% Where nobody answers, where nobody listens, and how many events come to each pool in a second.
-type place() :: #{silent := Url :: string(), closed := inet:port_number(),
                   rate := non_neg_integer(),
                   spool => map()}.

-define(HT, <<"localhost">>).
-define(POOLS, [{sns, ?HT}, {http, ?HT, 1}, {rabbit, ?HT}]).
-define(TICK_MS, 10).
-define(BYTES, 200).

%% All options that an outage meets are the defaults, but for the shortest of drains.
-spec start(place()) -> ok.
start(#{rate := Rate} = Place) ->
    ok = logger:set_primary_config(level, emergency),
    {ok, _} = application:ensure_all_started(event_pusher),
    ok = rig:start_host(#{mod_event_pusher => maps:merge(sections(Place), maps:with([spool], Place))},
                        #{outgoing_pools => [outgoing(Place)]}),
    Pushers = [spawn(fun() -> push(Pool, Rate * ?TICK_MS div 1000, next_tick(now_ms())) end)
               || Pool <- ?POOLS],
    persistent_term:put(?MODULE, Pushers).

sections(#{silent := Silent, closed := Closed}) ->
    Queue = #{drain_timeout_ms => 0},
    #{sns => (sns_rig:opts(#{endpoint => list_to_binary(Silent), region => <<"eu-west-1">>,
                             account_id => <<"123456789012">>, access_key_id => <<"AKIDEXAMPLE">>,
                             secret_access_key => <<"wJalrXUtnFEMI">>}))#{queue => Queue},
      http => #{handlers => [#{pool_name => http_pool, path => <<"hook">>,
                               callback_module => mod_event_pusher_http_defaults}],
                queue => Queue},
      rabbit => #{chat_msg_exchange => #{name => <<"chat_msg">>, type => <<"topic">>,
                                         durable => true, sent_topic => <<"sent">>,
                                         recv_topic => <<"received">>},
                  connection => rabbit_rig:connection(#{host => <<"127.0.0.1">>, port => Closed,
                                                        username => <<"chat">>,
                                                        password => <<"secret">>,
                                                        vhost => <<"/">>}),
                  queue => Queue}}.

outgoing(#{closed := Closed}) ->
    #{type => http, scope => global, tag => http_pool, opts => #{workers => 10},
      conn_opts => #{host => "http://127.0.0.1:" ++ integer_to_list(Closed), path_prefix => <<"/">>,
                     request_timeout => 2000}}.

%% Those of a tick at once, and no more when the machine was late.
push(Pool, Count, At) ->
    Message = message(Pool),
    [_ = event_pusher:push(Pool, Message) || _ <- lists:seq(1, Count)],
    timer:sleep(max(0, At - now_ms())),
    push(Pool, Count, next_tick(At)).

next_tick(At) ->
    max(At, now_ms() - ?TICK_MS) + ?TICK_MS.

message({sns, _}) ->
    #{destination => <<"arn:aws:sns:eu-west-1:123456789012:presence">>, attributes => [],
      body => body()};
message({http, _, _}) ->
    #{destination => <<"hook">>, attributes => [], body => body()};
message({rabbit, _}) ->
    #{destination => <<"chat_msg">>, group => <<"alice">>, body => body()}.

body() ->
    binary:copy(<<"x">>, ?BYTES).

%% The sums of all pools; at_bound is how many have no more room in memory.
-spec stats() -> #{atom() => non_neg_integer()}.
stats() ->
    %% The stand-in keeps each value for tests.
    true = ets:delete_all_objects(host_metrics_values),
    lists:foldl(fun(Pool, Sums) ->
        {ok, #{counts := Counts, levels := Levels}} = event_pusher:stats(Pool),
        Disk = case Levels of
            #{spool := #{ahead := Ahead, bytes := Bytes}} -> #{ahead => Ahead, disk_bytes => Bytes};
            #{spool := none} -> #{}
        end,
        #{refused_full := Refused} = Counts,
        AtBound = Refused > 0 orelse maps:get(ahead, Disk, 0) > 0,
        plus(maps:merge(Disk, Counts#{waiting => maps:get(waiting, Levels),
                                    at_bound => case AtBound of true -> 1; false -> 0 end}), Sums)
    end, #{}, ?POOLS).

plus(Some, Sums) ->
    maps:merge(Sums, maps:map(fun(Key, Value) -> Value + maps:get(Key, Sums, 0) end, Some)).

%% Returns how many events waited at last.
-spec stop() -> Waiting :: non_neg_integer().
stop() ->
    [exit(Pusher, kill) || Pusher <- persistent_term:get(?MODULE)],
    #{waiting := Waiting} = stats(),
    ok = host:stop(),
    Waiting.

now_ms() ->
    erlang:monotonic_time(millisecond).
