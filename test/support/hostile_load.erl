-module(hostile_load).
-moduledoc "Full load beside a watch of the schedulers: what runs on one for too long, and whether that is ours.".

%% What is on a scheduler for long may be there because the machine is busy: its thread waits for a
%% processor. The kernel keeps account of that for each thread, so the rest can be told from it: work that
%% takes long, and waits for a lock or anything else, in which a thread sleeps.

-export([run/1]).

-define(HT, <<"localhost">>).
-define(SECONDS, 20).
%% An entry is what was on a scheduler for longer, without a break.
-define(LONG_MS, 5).
%% So many parts of a thousand of the time may schedulers be neither on a processor nor waiting for one,
%% more than without event_pusher; and in entries, more than they have waited for a processor.
-define(ASLEEP, 20).
-define(UNEXPLAINED, 20).

-type figures() :: #{messages := non_neg_integer(), entries := [list()], all_ms := pos_integer(),
                     running_ms := non_neg_integer(), waiting_ms := non_neg_integer()}.

%% Takes the URL of a receiver that never answers. Prints figures, and ends the VM if our code holds
%% schedulers: the same load without event_pusher is the measure.
-spec run(Url :: binary()) -> ok.
run(Url) ->
    hostile:say("full load for twice ~b seconds: what is on a scheduler for ~b ms or longer",
                [?SECONDS, ?LONG_MS]),
    Bare = measured("without event_pusher", #{}, []),
    #{entries := Entries} = With = measured("with all pools full", modules(Url), [outgoing(Url)]),
    [hostile:say("    ~-60ts ~5b times, ~b ms at most", [Place, length(Times), lists:max(Times)])
     || {Place, Times} <- by_place(Entries)],
    _ = [hostile:fail("schedulers were ~s for ~b parts of a thousand of the time, without event_pusher "
                      "for ~b", [Text, Of(With), Of(Bare)])
         || {Text, Of, Allowed} <- [{"asleep", fun asleep/1, ?ASLEEP},
                                    {"held by what did not wait for a processor", fun unexplained/1,
                                     ?UNEXPLAINED}],
            Of(With) > Of(Bare) + Allowed],
    ok.

-spec measured(string(), gen_mod_deps:modules(), [map()]) -> figures().
measured(Title, Modules, Pools) ->
    ok = rig:start_host(Modules, #{outgoing_pools => Pools}),
    Watch = spawn_link(fun() -> watch([]) end),
    _ = erlang:system_monitor(Watch, [{long_schedule, ?LONG_MS}]),
    {Begin, Running, Waiting} = schedulers(),
    End = erlang:monotonic_time(millisecond) + ?SECONDS * 1000,
    %% There is always something to do for each scheduler.
    Pushers = [spawn_monitor(fun() -> send(End, 0) end)
               || _ <- lists:seq(1, 2 * erlang:system_info(schedulers_online))],
    Sent = lists:sum([receive {'DOWN', Monitor, process, _, {sent, Count}} -> Count end
                      || {_, Monitor} <- Pushers]),
    {Now, RunningNow, WaitingNow} = schedulers(),
    _ = erlang:system_monitor(undefined),
    Watch ! {entries, self()},
    Entries = receive {entries, All} -> All end,
    ok = host:stop(),
    Figures = #{messages => Sent, entries => Entries, running_ms => RunningNow - Running,
                waiting_ms => WaitingNow - Waiting,
                all_ms => (Now - Begin) * erlang:system_info(schedulers_online)},
    ok = show(Title, Figures),
    Figures.

show(Title, #{messages := Sent, entries := Entries, all_ms := All, running_ms := Running,
              waiting_ms := Waiting} = Figures) ->
    hostile:say("  ~s: ~b messages", [Title, Sent]),
    hostile:say("    of ~b ms of schedulers, ~b on a processor, ~b waiting for one, ~b asleep",
                [All, Running, Waiting, max(0, All - Running - Waiting)]),
    hostile:say("    ~b entries of ~b ms together, ~b of them in our code; not by waiting: ~b parts of a "
                "thousand", [length(Entries), long_ms(Entries), length(in_our_code(Entries)),
                             unexplained(Figures)]).

%% Parts of a thousand of all the time

asleep(#{all_ms := All, running_ms := Running, waiting_ms := Waiting}) ->
    max(0, All - Running - Waiting) * 1000 div All.

unexplained(#{all_ms := All, entries := Entries, waiting_ms := Waiting}) ->
    max(0, long_ms(Entries) - Waiting) * 1000 div All.

long_ms(Entries) ->
    lists:sum([Ms || Entry <- Entries, {timeout, Ms} <- Entry]).

%% When it is, and for how long the threads of schedulers have been on a processor or waited for one,
%% together, in milliseconds.
schedulers() ->
    Threads = [account(Folder) || Folder <- filelib:wildcard("/proc/self/task/*"), is_scheduler(Folder)],
    {Running, Waiting} = lists:unzip(Threads),
    {erlang:monotonic_time(millisecond), lists:sum(Running), lists:sum(Waiting)}.

%% The VM has had two kinds of names for them.
is_scheduler(Folder) ->
    {ok, Name} = file:read_file(filename:join(Folder, "comm")),
    re:run(Name, "^([0-9]+_scheduler|erts_sched_[0-9]+)$") =/= nomatch.

account(Folder) ->
    {ok, Text} = file:read_file(filename:join(Folder, "schedstat")),
    [Running, Waiting, _Times] = [binary_to_integer(Ns) || Ns <- string:lexemes(Text, " \n")],
    {Running div 1000000, Waiting div 1000000}.

watch(Entries) ->
    receive
        {monitor, _Pid, long_schedule, Info} -> watch([Info | Entries]);
        {entries, From} -> From ! {entries, Entries}
    end.

send(End, Count) ->
    _ = host:send_message(<<"alice@localhost/phone">>, <<"bob@localhost/laptop">>,
                          rig:message(<<"chat">>, <<"Hi">>)),
    case erlang:monotonic_time(millisecond) < End of
        true -> send(End, Count + 1);
        false -> exit({sent, Count + 1})
    end.

in_our_code(Entries) ->
    [Entry || Entry <- Entries, places(Entry) =/= []].

%% How often which functions of ours were there, and for how long each time: the most frequent first.
by_place(Entries) ->
    Times = [{Place, Ms} || Entry <- Entries, Place <- places(Entry), {timeout, Ms} <- Entry],
    ByPlace = maps:groups_from_list(fun({Place, _}) -> Place end, fun({_, Ms}) -> Ms end, Times),
    lists:sort(fun({_, One}, {_, Other}) -> length(One) >= length(Other) end, maps:to_list(ByPlace)).

%% A process was put on the scheduler within a function, or taken off.
places(Entry) ->
    {ok, Modules} = application:get_key(event_pusher, modules),
    [lists:flatten(io_lib:format("~s ~p:~p/~b", [Key, Module, Function, Arity]))
     || {Key, {Module, Function, Arity}} <- Entry, lists:member(Module, Modules)].

%% The library's own limits are reached within a second: after that, all is refused.
modules(Url) ->
    Service = #{endpoint => Url, region => <<"eu-west-1">>, account_id => <<"123456789012">>,
                access_key_id => <<"key">>, secret_access_key => <<"secret">>},
    Connection = #{host => "127.0.0.1", port => rig:free_port(), username => <<"guest">>,
                   password => <<"guest">>, virtual_host => <<"/">>, confirms_enabled => true,
                   reconnect => #{attempts => 0, delay => 100}},
    Handler = #{pool_name => hooks, path => <<>>, callback_module => mod_event_pusher_http_defaults},
    #{mod_event_pusher => #{sns => sns_rig:opts(Service, #{pool_size => 10}),
                            http => #{handlers => [Handler]},
                            rabbit => (rabbit_rig:exchanges())#{connection => Connection}}}.

outgoing(Url) ->
    #{type => http, scope => global, tag => hooks,
      opts => #{workers => 10, strategy => best_worker, call_timeout => 5000},
      conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>, request_timeout => 5000}}.
