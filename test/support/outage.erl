-module(outage).
-moduledoc "Lets all receivers be dead for minutes, and shows what a node has in memory and on disk.".

-export([main/0, run/1]).
-export_type([options/0]).

-type options() :: #{seconds := pos_integer(), rate := pos_integer(), look_ms := pos_integer(),
                     spools := [boolean()], together := boolean()}.

-define(PARENT, "_build/outage").
-define(POOLS, 3).
-define(SPOOL_BYTES, 128 * 1024 * 1024).
%% Once a bound is reached, memory may vary by this much, and so long until allocators have settled.
-define(TOLERANCE_MIB, 32).
-define(SETTLE_MS, 10000).
%% As many may end during a stop.
-define(ENDED, 100).

%% OUTAGE_MINUTES for each of the two, or both at once with OUTAGE_TOGETHER. Ends the VM, with status 0
%% only if memory was flat.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    Options = #{seconds => 60 * chaos_text:number("OUTAGE_MINUTES", "2"),
                rate => chaos_text:number("OUTAGE_RATE", "2000"), look_ms => 1000,
                spools => [false, true], together => chaos_text:number("OUTAGE_TOGETHER", "0") =/= 0},
    chaos_text:main(fun() -> run(Options) =:= [] end).

%% Returns what is wrong.
-spec run(options()) -> [string()].
run(#{seconds := Seconds, rate := Rate} = Options) ->
    Folder = filename:absname(filename:join(?PARENT, os:getpid())),
    {Listen, Silent} = rig:silent_server(),
    Place = #{silent => Silent, closed => rig:free_port(), rate => Rate},
    Spool = #{dir => list_to_binary(filename:join(Folder, "spool")), max_bytes => ?SPOOL_BYTES,
              sync => 500},
    chaos_text:say("For ~b minutes each, ~b events a second come to each of three pools, and no "
                   "receiver answers.", [Seconds div 60, Rate]),
    chaos_text:say("~n~-15s ~6s ~13s ~10s ~13s ~9s ~9s ~10s ~10s ~9s",
                   ["", minute, "resident MiB", waiting, "only on disk", "disk MiB", full, exhausted,
                    "otherwise", unsaved]),
    try
        lists:append(outages(Place, Spool, Options))
    after
        ok = gen_tcp:close(Listen),
        _ = file:del_dir_r(Folder)
    end.

outages(Place, Spool, #{spools := Spools, together := Together} = Options) ->
    Runs = [case HasSpool of
                false -> fun() -> outage("without a spool", Place, Options) end;
                true -> fun() -> outage("with a spool", Place#{spool => Spool}, Options) end
            end || HasSpool <- Spools],
    case Together of
        true -> at_once(Runs);
        false -> [Run() || Run <- Runs]
    end.

at_once(Runs) ->
    Started = [spawn_monitor(fun() -> exit({result, Run()}) end) || Run <- Runs],
    [receive
         {'DOWN', Monitor, process, Pid, {result, Result}} -> Result;
         {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
     end || {Pid, Monitor} <- Started].

outage(Name, Place, #{seconds := Seconds} = Options) ->
    Node = chaos_rig:start_node([]),
    ok = chaos_rig:on_node(Node, outage_node, start, [Place]),
    Begin = now_ms(),
    Looks = watch(Name, Node, Begin, Begin + 1000 * Seconds, Options, []),
    Waiting = chaos_rig:on_node(Node, outage_node, stop, []),
    ok = chaos_rig:stop_node(Node),
    verdict(Name, lists:reverse(Looks))
    ++ lists:append([kept(Name, Waiting, hd(Looks), Place) || is_map_key(spool, Place)]).

%% The next start finds all that waited, but for what ended meanwhile and what was in memory only.
kept(Name, Waiting, #{stats := #{unsaved := Unsaved}}, Place) ->
    Node = chaos_rig:start_node([]),
    ok = chaos_rig:on_node(Node, outage_node, start, [Place#{rate := 0}]),
    #{restored := Restored} = chaos_rig:on_node(Node, outage_node, stats, []),
    _ = chaos_rig:on_node(Node, outage_node, stop, []),
    ok = chaos_rig:stop_node(Node),
    Format = "~s: ~b events waited at the stop, and the next start found ~b",
    case Restored >= Waiting - Unsaved - ?ENDED of
        true -> chaos_text:say(Format, [Name, Waiting, Restored]), [];
        false -> [told("FAILED: " ++ Format, [Name, Waiting, Restored])]
    end.

%% All looks, the latest first. Each minute that is over is told, later each fifth.
watch(Name, Node, Begin, Until, #{look_ms := Interval} = Options, Looks) ->
    timer:sleep(Interval),
    At = now_ms(),
    Stats = chaos_rig:on_node(Node, outage_node, stats, []),
    Look = #{at_ms => At, resident_kib => resident_kib(Node), stats => Stats},
    [tell(Name, minute(At, Begin), Look)
     || is_told(minute(At, Begin)), minute(At, Begin) =/= minute(last_at(Looks, Begin), Begin)],
    case At >= Until of
        true -> [Look | Looks];
        false -> watch(Name, Node, Begin, Until, Options, [Look | Looks])
    end.

minute(At, Begin) -> (At - Begin) div 60000.

is_told(Minute) -> Minute =< 10 orelse Minute rem 5 =:= 0.

last_at([#{at_ms := At} | _], _Begin) -> At;
last_at([], Begin) -> Begin.

tell(Name, Minute, #{resident_kib := KiB, stats := Stats}) ->
    #{waiting := Waiting, refused_full := Full, exhausted := Exhausted, rejected := Rejected,
      expired := Expired, nacked := Nacked, full := Old, closed := Closed, unsaved := Unsaved} = Stats,
    chaos_text:say("~-15s ~6b ~13b ~10b ~13b ~9b ~9b ~10b ~10b ~9b",
                   [Name, Minute, KiB div 1024, Waiting, maps:get(ahead, Stats, 0),
                    maps:get(disk_bytes, Stats, 0) div (1024 * 1024), Full + Old, Exhausted,
                    Rejected + Expired + Nacked + Closed, Unsaved]).

%% As the system sees it, without a collection of garbage.
resident_kib(#{os_pid := OsPid}) ->
    {ok, Status} = file:read_file("/proc/" ++ OsPid ++ "/status"),
    {match, [KiB]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(KiB).

%% From the moment on when no pool has more room in memory, and a little later.
verdict(Name, Looks) ->
    case [Look || #{stats := #{at_bound := ?POOLS}} = Look <- Looks] of
        [] ->
            [told("~s: the bound of memory was not reached; take more minutes or OUTAGE_RATE", [Name])];
        [#{at_ms := Reached} | _] = AtBound ->
            #{resident_kib := First} = lists:last([hd(AtBound)] ++
                [Look || #{at_ms := At} = Look <- AtBound, At =< Reached + ?SETTLE_MS]),
            Most = lists:max([KiB || #{at_ms := At, resident_kib := KiB} <- AtBound,
                                     At >= Reached + ?SETTLE_MS] ++ [First]),
            flat(Name, First div 1024, Most div 1024)
    end.

flat(Name, First, Most) when Most > First + ?TOLERANCE_MIB ->
    [told("~s: FAILED: memory grew from ~b to ~b MiB when its bound was reached", [Name, First, Most])];
flat(Name, First, Most) ->
    chaos_text:say("~s: memory had ~b MiB when its bound was reached, and at most ~b MiB then",
                   [Name, First, Most]),
    [].

told(Format, Args) ->
    Text = lists:flatten(io_lib:format(Format, Args)),
    chaos_text:say("~s", [Text]),
    Text.

now_ms() ->
    erlang:monotonic_time(millisecond).
