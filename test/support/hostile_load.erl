-module(hostile_load).
-moduledoc "Full load beside a watch of the schedulers: what is on one for too long, and whether that is ours.".

-export([run/1]).

-define(HT, <<"localhost">>).
-define(SECONDS, 20).
%% An entry is what was on a scheduler for longer, without a break.
-define(LONG_MS, 5).
%% One message in so many is as large as a client may send by default.
-define(LARGE_EVERY, 100).
-define(LARGE_BYTES, 60000).
%% How often somebody looks at pools and pulls levers.
-define(LEVERS_MS, 50).
-define(PARENT, "_build/hostile").

%% Takes the URL of a receiver that never answers. Prints figures, and ends the VM if an entry is there
%% because of our library.
-spec run(Url :: binary()) -> ok.
run(Silent) ->
    ok = scheduler_watch:load("target/release/libevent_pusher_watch.so"),
    #{url := Fast} = Receiver = receiver(),
    hostile:say("full load, three times for ~b seconds: what is on a scheduler for more than ~b ms",
                [?SECONDS, ?LONG_MS]),
    Seen = [act("all pools full", sections(Silent, #{}), Silent),
            act("receivers that answer, with a spool",
                (sections(Fast, #{}))#{spool => spool()}, Fast),
            act("the oldest make room", sections(Silent, #{on_full => drop_old}), Silent)],
    ok = stop(Receiver),
    case lists:append(Seen) of
        [] -> hostile:say("load: no scheduler was held by us", []);
        _ -> hostile:fail("our library has held schedulers: see above", [])
    end.

%% Returns the entries that are ours.
act(Title, Sections, Url) ->
    ok = rig:start_host(#{mod_event_pusher => Sections}, #{outgoing_pools => [outgoing(Url)]}),
    ok = scheduler_watch:start(?LONG_MS, [{event_pusher_nif, '_', '_'}]),
    End = erlang:monotonic_time(millisecond) + ?SECONDS * 1000,
    {Lever, LeverMonitor} = spawn_monitor(fun() -> pull_levers(1) end),
    %% There is always something to do for each scheduler.
    Pushers = [spawn_monitor(fun() -> send(End, 0) end)
               || _ <- lists:seq(1, 2 * erlang:system_info(schedulers_online))],
    Sent = lists:sum([receive {'DOWN', Monitor, process, _, {sent, Count}} -> Count end
                      || {_, Monitor} <- Pushers]),
    exit(Lever, kill),
    receive {'DOWN', LeverMonitor, process, Lever, killed} -> ok end,
    ok = host:stop(),
    show(Title, Sent, scheduler_watch:stop()).

show(Title, Sent, #{stints := Stints, calls := Calls, entries := Entries, missing := Missing}) ->
    hostile:say("  ~s: ~b messages", [Title, Sent]),
    [hostile:say("    ~-18s ~8b calls, ~3b of them for a millisecond or longer; at most ~6.2f ms at work "
                 "and ~6.2f asleep",
                 [[atom_to_list(Name), $/, integer_to_list(Arity)], Count, Long, Worked / 1000,
                  Asleep / 1000])
     || {{_, Name, Arity}, #{count := Count, long := Long,
                             longest := #{worked := Worked, asleep := Asleep}}}
            <- lists:sort(maps:to_list(Calls))],
    ByCause = maps:groups_from_list(fun(Stint) -> scheduler_watch:cause(Stint, ?LONG_MS) end, Stints),
    Of = fun(Cause) -> maps:get(Cause, ByCause, []) end,
    hostile:say("    ~b entries: ~b because the machine was busy, ~b of others, ~b of ours",
                [Entries, length(Of(machine)), length(Of(other)), length(Of(calls))]),
    [hostile:say("      ~s: ~s", [Cause, line(Stint)])
     || Cause <- [other, calls], Stint <- lists:sublist(Of(Cause), 20)],
    [hostile:say("      not watched: ~0p", [Entry]) || Entry <- Missing],
    Of(calls) ++ Missing.

line(#{all := All, worked := Worked, asleep := Asleep, came := Came, went := Went,
       native := Native}) ->
    io_lib:format("~.1f ms, ~.1f at work, ~.1f asleep, ~.1f of it in our library; from ~s to ~s",
                  [All / 1000, Worked / 1000, Asleep / 1000, scheduler_watch:held(Native) / 1000,
                   place(Came), place(Went)]).

place({Module, Name, Arity}) -> io_lib:format("~p:~p/~b", [Module, Name, Arity]);
place(undefined) -> "?".

send(End, Count) ->
    Text = case Count rem ?LARGE_EVERY of
        0 -> binary:copy(<<"x">>, ?LARGE_BYTES);
        _ -> <<"Hi">>
    end,
    _ = host:send_message(<<"alice@localhost/phone">>, <<"bob@localhost/laptop">>,
                          rig:message(<<"chat">>, Text)),
    case erlang:monotonic_time(millisecond) < End of
        true -> send(End, Count + 1);
        false -> exit({sent, Count + 1})
    end.

%% As operators do, only more often.
pull_levers(Number) ->
    timer:sleep(?LEVERS_MS),
    [pull(Number rem 4, Pool) || Pool <- [{sns, ?HT}, {http, ?HT, 1}, {rabbit, ?HT}]],
    pull_levers(Number + 1).

pull(0, Pool) -> ok = event_pusher:pause(Pool);
pull(1, Pool) -> ok = event_pusher:resume(Pool);
pull(2, Pool) -> ok = event_pusher:retry_now(Pool);
pull(3, Pool) -> {ok, _} = event_pusher:stats(Pool).

%% The library's own limits are reached within a second: after that, all is refused.
sections(Url, Queue) ->
    Service = #{endpoint => Url, region => <<"eu-west-1">>, account_id => <<"123456789012">>,
                access_key_id => <<"key">>, secret_access_key => <<"secret">>},
    Connection = #{host => "127.0.0.1", port => rig:free_port(), username => <<"guest">>,
                   password => <<"guest">>, virtual_host => <<"/">>, confirms_enabled => true,
                   reconnect => #{attempts => 0, delay => 100}},
    Handler = #{pool_name => hooks, path => <<>>, callback_module => mod_event_pusher_http_defaults},
    Shortly = #{queue => Queue#{drain_timeout_ms => 100}},
    #{sns => sns_rig:opts(Service, Shortly#{pool_size => 10}),
      http => Shortly#{handlers => [Handler]},
      rabbit => maps:merge(Shortly, (rabbit_rig:exchanges())#{connection => Connection})}.

outgoing(Url) ->
    #{type => http, scope => global, tag => hooks,
      opts => #{workers => 10, strategy => best_worker, call_timeout => 5000},
      conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>, request_timeout => 5000}}.

spool() ->
    Dir = filename:absname(filename:join(?PARENT, "spool")),
    _ = file:del_dir_r(Dir),
    #{dir => list_to_binary(Dir), max_bytes => 1 bsl 28, sync => 500}.

%% A program of its own, which answers whatever it is sent.
receiver() ->
    Port = open_port({spawn_executable, "target/release/receiver"},
                     [{args, ["--ca-file", os:getenv("SSL_CERT_FILE")]}, {line, 1000}, binary]),
    receive {Port, {data, {eol, Url}}} -> #{port => Port, url => Url} end.

stop(#{port := Port}) ->
    true = port_close(Port),
    ok.
