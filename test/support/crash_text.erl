-module(crash_text).
-moduledoc "What a run of kills prints at its end.".

-export([report/2]).

-define(COLUMNS, [kills, accepted, delivered, missing_synced, missing_unsynced, missing_unsaved,
                  copies, restored]).

-spec report(crash:result(), crash:options()) -> ok.
report(#{violations := Violations, rows := Rows, disk := Disk, seconds := Seconds,
         arrived := #{arrived := Arrived, copies := Copies}}, #{kills := Kills, seed := Seed}) ->
    chaos_text:say("~n", []),
    row("", ["", "", "", "missing:", "lost: not", "lost:", "", ""]),
    row("killed in", ["kills", "accepted", "delivered", "synced", "yet synced", "unsaved", "copies",
                      "restored"]),
    [row(describe(Moment), values(maps:get(Moment, Rows)))
     || {Moment, _} <- crash_plan:moments(), is_map_key(Moment, Rows)],
    row("all", values(maps:fold(fun(_, Row, All) -> add(Row, All) end, #{}, Rows))),
    chaos_text:say("~n~b events arrived, and ~b copies, in ~b seconds. The disk that runs full was ~s.",
                   [Arrived, Copies, Seconds, crash_disk:describe(Disk)]),
    chaos_text:violations(Violations),
    chaos_text:say("~nthe same plan again: make crash CRASH_KILLS=~b CRASH_SEED=~b", [Kills, Seed]),
    chaos_text:say(case Violations of
        [] -> "All that was on disk arrived, in order, and nothing came twice without a reason.";
        _ -> "FAILED: what was violated is above."
    end, []).

values(Row) ->
    [integer_to_list(maps:get(Key, Row, 0)) || Key <- ?COLUMNS].

add(Row, All) ->
    maps:merge(All, maps:map(fun(Key, Value) -> Value + maps:get(Key, All, 0) end, Row)).

row(Text, Cells) ->
    chaos_text:say("~-22s~6s" ++ lists:append(["~11s" || _ <- tl(Cells)]), [Text | Cells]).

describe(calm) -> "a calm";
describe(burst) -> "a burst";
describe(outage) -> "an outage";
describe(recovery) -> "the end of an outage";
describe(slow) -> "slow receivers";
describe(stop) -> "a stop of the modules";
describe(owner) -> "a pool's new owner";
describe(start) -> "the next start";
describe(disk_full) -> "a full disk".
