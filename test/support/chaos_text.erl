-module(chaos_text).
-moduledoc "What a run of chaos prints: a line of progress, tables, and what was violated.".

-export([main/1, number/2, any_seed/0, say/2, progress/0, silent/0, report/2, violations/1]).
-export_type([progress/0]).

-type progress() :: fun((io:format(), [term()]) -> ok).

-define(WIDTH, 95).
-define(IDS, 12).
%% Of the time line around what was violated.
-define(AROUND_MS, 3000).

%% Ends the VM; with status 0 only if the run was good.
-spec main(Run :: fun(() -> boolean())) -> no_return().
main(Run) ->
    try Run() of
        true -> halt(0);
        false -> halt(1)
    catch
        Class:Reason:Stacktrace ->
            say("~nit cannot go on: ~p ~0tp~n~0tp", [Class, Reason, Stacktrace]),
            halt(1)
    end.

%% Of a variable of the environment.
-spec number(Name :: string(), Default :: string()) -> integer().
number(Name, Default) ->
    case string:to_integer(os:getenv(Name, Default)) of
        {Number, ""} -> Number;
        _ -> say("~s: must be a number, got ~s", [Name, os:getenv(Name)]), halt(2)
    end.

%% Another one each time.
-spec any_seed() -> string().
any_seed() ->
    integer_to_list(os:system_time(second) rem 100000).

-spec say(io:format(), [term()]) -> ok.
say(Format, Args) ->
    io:format(Format ++ "~n", Args).

%% On a terminal, one line that changes; elsewhere, one now and then.
-spec progress() -> progress().
progress() ->
    case io:columns() of
        {ok, Columns} ->
            Width = min(?WIDTH, Columns - 1),
            fun(Format, Args) -> io:format("\r~-*s", [Width, cut(Width, Format, Args)]) end;
        {error, _} ->
            fun now_and_then/2
    end.

cut(Width, Format, Args) ->
    string:slice(io_lib:format(Format, Args), 0, Width).

now_and_then(Format, Args) ->
    Now = erlang:monotonic_time(second),
    case get(?MODULE) of
        Last when is_integer(Last), Now < Last + 10 -> ok;
        _ -> put(?MODULE, Now), say("~s", [cut(?WIDTH, Format, Args)])
    end.

-spec silent() -> progress().
silent() ->
    fun(_, _) -> ok end.

-spec report(chaos:result(), chaos:options()) -> ok.
report(#{violations := Violations, happenings := Happenings, sums := Sums, measures := Measures,
         began_ms := Began, arrived := #{arrived := Arrived, copies := Copies}},
       #{seconds := Seconds, seed := Seed, spool := Spool}) ->
    say("~n", []),
    faults(Happenings),
    balance(Sums),
    measures(Measures),
    say("~n~b events arrived, and ~b copies.", [Arrived, Copies]),
    [violation(It, Happenings, Began) || It <- Violations],
    say("~nthe same plan again: make chaos CHAOS_SECONDS=~b CHAOS_SEED=~b~s",
        [Seconds, Seed, [" CHAOS_SPOOL=1" || Spool]]),
    say(case Violations of
            [] -> "Nothing was lost silently, nothing came twice without a reason, nothing grew.";
            _ -> "FAILED: what was violated is above."
        end, []).

faults(Happenings) ->
    say("~94s~n~-20s ~-40s ~5s ~8s ~9s ~8s",
        ["meanwhile in the pool:", fault, pools, times, seconds, retries, dropped]),
    Names = lists:usort([Name || #{name := Name} <- Happenings]),
    [fault(Name, [It || #{name := Of} = It <- Happenings, Of =:= Name]) || Name <- Names],
    say("~b kinds, ~b faults", [length(Names), length(Happenings)]).

fault(Name, All) ->
    Sum = fun(Key) -> lists:sum([maps:get(Key, It) || It <- All]) end,
    Pools = lists:usort([Pool || #{pool := Pool} <- All]),
    Ms = Sum(end_ms) - Sum(begin_ms),
    say("~-20s ~-40s ~5b ~8.1f ~9b ~8b",
        [Name, lists:join(" ", [atom_to_list(Pool) || Pool <- Pools]), length(All), Ms / 1000,
         Sum(retried), Sum(dropped)]).

balance(Sums) ->
    Pools = chaos_node:pools(),
    say("~n~-42s" ++ lists:append(["~9s" || _ <- Pools]), [balance | Pools]),
    [row(Text, [maps:get(Key, maps:get(Pool, Sums)) || Pool <- Pools])
     || {Key, Text} <- [{pushed, "pushed"}, {refused_full, "- refused: full"},
                        {refused_closed, "- refused: closed"}, {delivered, "= delivered"},
                        {rejected, "+ dropped: rejected"}, {exhausted, "+ dropped: exhausted"},
                        {nacked, "+ dropped: nacked"}, {unroutable, "+ dropped: unroutable"},
                        {unanswered, "+ dropped: unanswered"}, {expired, "+ dropped: expired"},
                        {full, "+ dropped: full"}, {closed, "+ dropped: closed"},
                        {waiting, "+ waiting"}, {late, "dropped, and arrived nevertheless"},
                        {lost, "lost in a broker, without confirms"},
                        {copies, "copies, each after an answer was cut off"}]].

row(Text, Numbers) ->
    say("~-42s" ++ lists:append(["~9b" || _ <- Numbers]), [Text | Numbers]).

measures(Measures) ->
    say("~n~-22s ~12s ~8s ~12s ~10s ~16s",
        ["", "resident KiB", threads, descriptors, processes, "longest push us"]),
    [say("~-22s ~12b ~8b ~12b ~10b ~16b",
         [label(N), maps:get(resident_kib, It), maps:get(threads, It), maps:get(descriptors, It),
          maps:get(processes, It), maps:get(longest_us, It)])
     || {N, It} <- lists:zip(lists:seq(0, length(Measures) - 1), Measures)].

label(0) -> "before the pools";
label(N) -> io_lib:format("after act ~b", [N]).

%% Of no time in particular.
-spec violations([chaos_record:problem()]) -> ok.
violations(Violations) ->
    lists:foreach(fun({Text, Pool, Ids}) -> violation({Text, Pool, Ids, none}, [], 0) end,
                  Violations).

violation({Text, Pool, Ids, Between}, Happenings, Began) ->
    say("~nVIOLATED (~s): ~s", [Pool, Text]),
    [say("  ~b: ~s~s", [length(Ids), lists:join(" ", [Id || {Id, _} <- lists:sublist(Ids, ?IDS)]),
                        [" ..." || length(Ids) > ?IDS]]) || Ids =/= []],
    [time_line(Pool, Between, Happenings, Began) || Between =/= none].

time_line(Pool, {From, To}, Happenings, Began) ->
    Around = [It || #{pool := Of, begin_ms := Begin, end_ms := End} = It <- Happenings,
                    Of =:= Pool, Begin =< To + ?AROUND_MS, End >= From - ?AROUND_MS],
    say("  from second ~.1f to ~.1f", [seconds(From, Began), seconds(To, Began)]),
    [say("  ~6.1f to ~6.1f ~s", [seconds(Begin, Began), seconds(End, Began), Name])
     || #{name := Name, begin_ms := Begin, end_ms := End} <- Around].

seconds(Ms, Began) ->
    (Ms - Began) / 1000.
