-module(crash_watch).
-moduledoc "Writes down, on a node that will be killed, what its pools say of the disk.".

-export([start/2, read/2]).
-export_type([said/0]).

%% All that a pool accepted until synced_ms is on disk, by its own statistics; unsaved is how many
%% events of this life are in memory only.
-type said() :: #{chaos_node:pool() => #{synced_ms := integer(), unsaved := non_neg_integer()}}.

-define(LOOK_MS, 10).
%% Times of a sync that are told by their age differ by as much.
-define(BLUR_MS, 2).

-spec start(file:filename(), [chaos_node:pool()]) -> ok.
start(Path, Pools) ->
    Starter = self(),
    _ = spawn(fun() ->
        {ok, File} = file:open(Path, [write, raw]),
        Starter ! {?MODULE, self()},
        look(File, Pools, #{})
    end),
    receive {?MODULE, _Pid} -> ok end.

look(File, Pools, Before) ->
    Now = os:system_time(millisecond),
    Stats = chaos_node:stats(),
    Seen = maps:map(fun(Pool, Of) -> seen(Of, Now, maps:get(Pool, Before, #{})) end, Stats),
    ok = file:pwrite(File, 0, [entry(maps:get(Pool, Seen, #{})) || Pool <- Pools]),
    timer:sleep(?LOOK_MS),
    look(File, Pools, maps:merge(Before, Seen)).

%% Two syncs: all that was accepted before the end of the first was written before that of the
%% second, because what a sync is of is collected after the end of the one before. It holds for a log
%% that can be written at the next look, too: a write that fails is known before the sync.
seen(#{levels := #{spool := #{synced_ms := Age, trouble := Trouble}},
       counts := #{unsaved := Unsaved}}, Now, Before) ->
    Latest = maps:get(latest, Before, 0),
    Sync = Now - Age,
    Known = case Trouble of
        none -> maps:get(next, Before, 0);
        _ -> maps:get(synced, Before, 0)
    end,
    Seen = Before#{synced => Known, unsaved => Unsaved},
    %% Of no sync at all, the age is 0, too.
    case Age > 0 andalso Trouble =:= none andalso Sync > Latest + ?BLUR_MS of
        true -> Seen#{latest => Sync, next => max(0, Latest - ?BLUR_MS)};
        false -> Seen
    end.

entry(Seen) ->
    <<(maps:get(synced, Seen, 0)):64, (maps:get(unsaved, Seen, 0)):64>>.

-spec read(file:filename(), [chaos_node:pool()]) -> said().
read(Path, Pools) ->
    {ok, Bytes} = file:read_file(Path),
    Said = [#{synced_ms => Synced, unsaved => Unsaved} || <<Synced:64, Unsaved:64>> <= Bytes],
    Nothing = #{synced_ms => 0, unsaved => 0},
    Padded = Said ++ lists:duplicate(length(Pools) - length(Said), Nothing),
    maps:from_list(lists:zip(Pools, Padded)).
