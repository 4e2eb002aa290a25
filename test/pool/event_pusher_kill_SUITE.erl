-module(event_pusher_kill_SUITE).
-moduledoc "Kills at random moments under load: the node goes on, and each accepted event is accounted for.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, end_per_testcase/2]).
-export([what_was_accepted_is_accounted_for_after_random_kills/1,
         modules_loaded_anew_under_load_lose_nothing/1]).
%% Reports
-export([tell/3]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(KILLS, 60).
-define(PUSHERS, 2).
%% The moments are random: up to that many milliseconds after the kill before.
-define(LULL_MS, 30).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), lists:suffix("_kills", atom_to_list(Case))
        orelse lists:suffix("_nothing", atom_to_list(Case))].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, Service} = http_service:start(),
    {Listen, Url} = rig:silent_server(),
    ok = rig:start_application(),
    [{service, Service}, {listen, Listen}, {silent, list_to_binary(Url)} | Config].

end_per_suite(Config) ->
    _ = application:stop(event_pusher),
    ok = gen_tcp:close(?config(listen, Config)),
    http_service:stop(?config(service, Config)).

end_per_testcase(_Case, _Config) ->
    _ = application:stop(event_pusher),
    ok.

%% Confirms it for owners, the supervisor and the application, also while they tell a report: none is
%% missing, and none is told twice. The seed is in the log. More kills of one owner than its supervisor
%% stands end the pool, as documented.
what_was_accepted_is_accounted_for_after_random_kills(Config) ->
    Seed = rand:uniform(1 bsl 30),
    ct:pal("seed ~b", [Seed]),
    _ = rand:seed(exsss, Seed),
    {Pools, Collector, Pushers} = load(Config),
    Victims = [kill(rand:uniform(10), Pools, Collector) || _ <- lists:seq(1, ?KILLS)],
    ct:pal("killed ~p", [[{Victim, length([V || V <- Victims, V =:= Victim])}
                          || Victim <- lists:usort(Victims)]]),
    ok = accounted_for(Pools, Collector, Pushers).

%% Confirms it of each module but that of the library, twice, so that no old code is left; and with
%% changes, so that nothing of the old code is found in the new, but for the one that has to stay.
modules_loaded_anew_under_load_lose_nothing(Config) ->
    {Pools, Collector, Pushers} = load(Config),
    {ok, Modules} = application:get_key(event_pusher, modules),
    Loaded = Modules -- [event_pusher_nif],
    [?assertMatch({module, Module}, load_changed(Module, Round))
     || Round <- [1, 2], Module <- Loaded -- [event_pusher_hidden]],
    [ok = load_same(event_pusher_hidden) || _Round <- [1, 2]],
    %% A new owner is made of what the supervisor has kept from before.
    [begin
         [Owner] = event_pusher_sup:owners([Name]),
         ok = kill_owner(Owner),
         ?assertMatch([_], new_owner(Name, Owner))
     end || {Name, _Settings} <- Pools],
    ok = accounted_for(Pools, Collector, Pushers),
    lists:foreach(fun load_same/1, Loaded).

%% Load

load(Config) ->
    Collector = spawn_link(fun() -> collect(#{}) end),
    Pools = pools(Config),
    ok = ensure_running(Pools, Collector),
    Names = [Name || {Name, _} <- Pools],
    Pushers = [spawn_monitor(fun() -> push(Names, #{}) end) || _ <- lists:seq(1, ?PUSHERS)],
    {Pools, Collector, Pushers}.

%% Round after round, until told to stop: then it ends with the number of answers of each kind by pool.
push([], _Answers) ->
    error(nothing_to_push_to);
push(Names, Answers) ->
    Message = #{destination => <<"chat">>, body => <<"body">>, group => <<"alice">>},
    More = lists:foldl(fun(Name, Acc) ->
                           Answer = event_pusher:push(Name, Message),
                           _ = [erlang:yield() || Answer =/= ok],
                           maps:update_with({Name, Answer}, fun(N) -> N + 1 end, 1, Acc)
                       end, Answers, Names),
    receive
        stop -> exit({answers, More})
    after 0 -> push(Names, More)
    end.

%% The sums of what all reports say of each pool.
collect(Sums) ->
    receive
        {report, Name, Counts} ->
            Sum = maps:get(Name, Sums, #{}),
            collect(Sums#{Name => maps:map(fun(Key, N) -> N + maps:get(Key, Sum, 0) end, Counts)});
        {sums, From} ->
            From ! {sums, Sums}
    end.

tell(#{counts := Counts}, Name, Collector) ->
    Collector ! {report, Name, Counts}.

accounted_for(Pools, Collector, Pushers) ->
    _ = [Pid ! stop || {Pid, _} <- Pushers],
    Each = [receive {'DOWN', Monitor, process, Pid, {answers, Answers}} -> Answers end
            || {Pid, Monitor} <- Pushers],
    ok = stop(Pools, Collector),
    Collector ! {sums, self()},
    Sums = receive {sums, Told} -> Told end,
    ct:pal("~p", [Sums]),
    lists:foreach(fun({Name, _Settings}) ->
        Answered = fun(Answer) ->
            lists:sum([maps:get({Name, Answer}, Answers, 0) || Answers <- Each])
        end,
        #{accepted := All, delivered := Delivered, rejected := Rejected, exhausted := Exhausted,
          nacked := Nacked, expired := Expired, full := Full, closed := Closed,
          refused_full := RefusedFull} = maps:get(Name, Sums),
        ?assertEqual({Name, Answered(ok)}, {Name, All}),
        ?assertEqual({Name, All},
                     {Name, Delivered + Rejected + Exhausted + Nacked + Expired + Full + Closed}),
        ?assertEqual({Name, Answered({error, full})}, {Name, RefusedFull})
    end, Pools).

%% An owner that takes too long at the stop is killed, and the next one tells what it has not.
stop(Pools, Collector) ->
    ok = ensure_running(Pools, Collector),
    Names = [Name || {Name, _Settings} <- Pools],
    ok = event_pusher:stop_pools(Names),
    case [Name || Name <- Names, {ok, _} <- [event_pusher_pool:handle(Name)]] of
        [] -> ok;
        _Left -> stop(Pools, Collector)
    end.

%% Kills

kill(Which, Pools, Collector) ->
    receive after rand:uniform(?LULL_MS) -> ok end,
    Names = [Name || {Name, _} <- Pools],
    case Which of
        10 ->
            ok = application:stop(event_pusher),
            ok = ensure_running(Pools, Collector),
            application;
        9 ->
            Master = monitor(process, application_controller:get_master(event_pusher)),
            exit(whereis(event_pusher_sup), kill),
            receive {'DOWN', Master, process, _, _} -> ok end,
            ok = ensure_running(Pools, Collector),
            supervisor;
        _ ->
            Owners = event_pusher_sup:owners(Names),
            _ = [kill_owner(lists:nth(rand:uniform(length(Owners)), Owners)) || Owners =/= []],
            ok = ensure_running(Pools, Collector),
            owner
    end.

kill_owner(Owner) ->
    Monitor = monitor(process, Owner),
    exit(Owner, kill),
    receive {'DOWN', Monitor, process, Owner, _} -> ok end.

%% The supervisor answers after it has started it.
new_owner(Name, Old) ->
    case event_pusher_sup:owners([Name]) of
        [Old] -> new_owner(Name, Old);
        New -> New
    end.

%% As the modules of a server start their pools again. The application may be about to end, because the
%% supervisor has given up.
ensure_running(Pools, Collector) ->
    {ok, _} = application:ensure_all_started(event_pusher),
    Started = [start(Name, Settings, Collector) || {Name, Settings} <- Pools],
    case lists:member(not_running, Started) of
        false ->
            ok;
        true ->
            await_end(application_controller:get_master(event_pusher)),
            ensure_running(Pools, Collector)
    end.

start(Name, Settings, Collector) ->
    case event_pusher:start_pool(Name, Settings, {?MODULE, tell, [Name, Collector]}) of
        ok -> ok;
        {error, already_started} -> ok;
        {error, not_running} -> not_running
    end.

await_end(undefined) ->
    ok;
await_end(Master) ->
    Monitor = monitor(process, Master),
    receive {'DOWN', Monitor, process, Master, _} -> ok end.

%% Nobody runs the old code: nobody is killed for it.
load_same(Module) ->
    false = code:purge(Module),
    {module, Module} = code:load_file(Module),
    ok.

%% A module with one function more than it had.
load_changed(Module, Round) ->
    {_, Beam, File} = code:get_object_code(Module),
    {ok, {Module, [{abstract_code, {raw_abstract_v1, Forms}}]}} =
        beam_lib:chunks(Beam, [abstract_code]),
    Name = list_to_atom("added_in_round_" ++ integer_to_list(Round)),
    Added = {function, 0, Name, 0, [{clause, 0, [], [], [{atom, 0, Module}]}]},
    {Before, Rest} = lists:splitwith(fun(Form) -> element(1, Form) =/= function end, Forms),
    {ok, Module, Changed} = compile:forms(Before ++ [{attribute, 0, export, [{Name, 0}]}, Added | Rest],
                                          [binary]),
    false = code:purge(Module),
    code:load_binary(Module, File, Changed).

%% Pools: one that delivers, one whose receiver is silent, one without a receiver

pools(Config) ->
    #{url := Url} = http_service:info(?config(service, Config)),
    Pool = fun(Backend) ->
        (pool_rig:settings(Backend))#{pool_size := 4, max_events := 500, retry_max_ms := 10,
                                      drain_timeout_ms := 100}
    end,
    Http = fun(Receiver) -> Pool({http, pool_rig:http(Receiver)}) end,
    [{{http, <<"kill.test">>}, Http(Url)},
     {{silent, <<"kill.test">>}, (Http(?config(silent, Config)))#{on_full := drop_old}},
     {{rabbit, <<"kill.test">>}, (Pool({rabbit, pool_rig:rabbit()}))#{retry_count := infinity}}].
