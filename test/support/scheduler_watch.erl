-module(scheduler_watch).
-moduledoc "What is on a scheduler for long: where it came and went, and whether it held it or waited for a processor.".

%% The VM calls enabled/3 and trace/5 on the thread of the scheduler itself, as a tracer: so the kernel's
%% account of that thread tells exactly what a process did there. Its own monitor of long schedules runs
%% beside it, and each of its entries has to be found.

-export([load/1, start/2, entries/0, stop/0, cause/2, held/1, hold/2]).
%% Of a tracer
-export([enabled/3, trace/5]).
%% Native
-export([reset/1, taken/0]).
-export_type([seen/0, stint/0, calls/0, spent/0, cause/0]).

%% Microseconds. A thread that has neither worked nor slept has waited for a processor.
-type spent() :: #{all := non_neg_integer(), worked := non_neg_integer(),
                   asleep := non_neg_integer()}.
%% For how long a process was on a scheduler, without a break; native is how much of it was in calls that
%% are watched.
-type stint() :: #{all := non_neg_integer(), worked := non_neg_integer(),
                   asleep := non_neg_integer(), native := spent(), process := pid() | undefined,
                   came := mfa() | undefined, went := mfa() | undefined}.
%% Long are those that have held the scheduler for a millisecond.
-type calls() :: #{count := pos_integer(), long := non_neg_integer(), longest := spent()}.
%% Machine: the thread waited for a processor that others had. Calls: those that are watched alone have held
%% the scheduler for so long.
-type cause() :: machine | calls | other.
-type seen() :: #{stints := [stint()], calls := #{mfa() => calls()},
                  entries := non_neg_integer(), missing := [Entry :: list()]}.

%% Of the library that has the functions: a file that ends in .so.
-spec load(file:filename()) -> ok.
load(Library) ->
    case erlang:load_nif(filename:rootname(filename:absname(Library)), 0) of
        ok -> ok;
        {error, {reload, _}} -> ok
    end.

%% From now on, what is on a scheduler for so long is remembered, and all calls of these functions.
-spec start(LongMs :: pos_integer(), [{module(), atom(), arity() | '_'}]) -> ok.
start(LongMs, Functions) ->
    ok = reset(LongMs * 1000),
    Watch = spawn_link(fun() -> watch([]) end),
    true = register(?MODULE, Watch),
    [_ = erlang:trace_pattern(Function, [{'_', [], [{exception_trace}]}], [local])
     || Function <- Functions],
    _ = erlang:trace(processes, true,
                     [running, exiting, call, arity, {tracer, ?MODULE, none}]),
    %% Not before what it tells of is watched as well.
    _ = erlang:system_monitor(Watch, [{long_schedule, LongMs}]),
    ok.

%% How many there are so far.
-spec entries() -> non_neg_integer().
entries() ->
    length(ask(so_far)).

-spec stop() -> seen().
stop() ->
    _ = erlang:system_monitor(undefined),
    ok = settle(),
    _ = erlang:trace(all, false, [all]),
    _ = erlang:trace_pattern({'_', '_', '_'}, false, [local]),
    Entries = ask(stop),
    #{stints := Stints, calls := Calls} = Seen = taken(),
    Seen#{calls := maps:from_list(Calls), entries => length(Entries),
          missing => [Entry || Entry <- Entries, not has_stint(Entry, Stints)]}.

%% Why it was on the scheduler for so long.
-spec cause(stint(), LongMs :: pos_integer()) -> cause().
cause(#{native := Native} = Stint, LongMs) ->
    Long = LongMs * 1000,
    case {held(Stint), held(Native)} of
        {Held, _} when Held < Long -> machine;
        {_, Calls} when Calls >= Long -> calls;
        {_, _} -> other
    end.

%% For how many microseconds a scheduler was held by what was done, and not by a machine that is busy.
-spec held(spent() | stint()) -> non_neg_integer().
held(#{worked := Worked, asleep := Asleep}) ->
    Worked + Asleep.

%% Whatever was on another scheduler when the monitor ended has gone from it.
settle() ->
    [receive {'DOWN', Monitor, process, Pid, normal} -> ok end
     || {Pid, Monitor} <- [spawn_opt(fun() -> ok end, [monitor, {scheduler, Id}])
                           || Id <- lists:seq(1, erlang:system_info(schedulers_online))]],
    ok.

watch(Entries) ->
    receive
        {monitor, Process, long_schedule, Info} -> watch([[{process, Process} | Info] | Entries]);
        {so_far, From} -> From ! {?MODULE, Entries}, watch(Entries);
        %% Another one may have the name at once.
        {stop, From} -> true = unregister(?MODULE), From ! {?MODULE, Entries}
    end.

ask(Question) ->
    ?MODULE ! {Question, self()},
    receive {?MODULE, Entries} -> Entries end.

%% What is on a scheduler for the sake of a port is no stint of a process.
has_stint([{process, Port} | _], _Stints) when is_port(Port) ->
    true;
has_stint([{process, Pid} | Info], Stints) ->
    {timeout, Ms} = lists:keyfind(timeout, 1, Info),
    lists:any(fun(#{process := Process, all := All}) ->
                  Process =:= Pid andalso All >= (Ms - 1) * 1000
              end, Stints).

%% Native

-spec enabled(atom(), term(), pid() | port()) -> trace.
enabled(_Tag, _State, _Process) ->
    erlang:nif_error(not_loaded).

-spec trace(atom(), term(), pid() | port(), term(), map()) -> ok.
trace(_Tag, _State, _Process, _What, _Options) ->
    erlang:nif_error(not_loaded).

-spec reset(LongUs :: pos_integer()) -> ok.
reset(_LongUs) ->
    erlang:nif_error(not_loaded).

-spec taken() -> #{stints := [stint()], calls := [{mfa(), calls()}]}.
taken() ->
    erlang:nif_error(not_loaded).

%% Holds the scheduler for so many milliseconds: a call that can be seen.
-spec hold(work | lock, Ms :: non_neg_integer()) -> ok.
hold(_How, _Ms) ->
    erlang:nif_error(not_loaded).
