-module(bench_machine).
-moduledoc "The machine that a benchmark ran on, and what else its processors did meanwhile.".

-export([describe/0, look/0, between/2, load/0]).
-export_type([look/0, others/0]).

-type look() :: #{all := non_neg_integer(), busy := non_neg_integer(), steal := non_neg_integer(),
                  ours := non_neg_integer()}.
%% In percent of all processors: other processes than ours, and what the hypervisor gave to others.
-type others() :: #{others := float(), steal := float()}.

-spec describe() -> #{atom() => term()}.
describe() ->
    #{processor => found("/proc/cpuinfo", "model name\\s*: (.*)"),
      processors => erlang:system_info(logical_processors_available),
      memory_mib => binary_to_integer(found("/proc/meminfo", "MemTotal: *([0-9]+)")) div 1024,
      kernel => string:trim(content("/proc/sys/kernel/osrelease")),
      otp => list_to_binary(erlang:system_info(otp_release)),
      schedulers => erlang:system_info(schedulers_online)}.

%% Of the last minute.
-spec load() -> float().
load() ->
    binary_to_float(found("/proc/loadavg", "^([0-9.]+)")).

found(File, Pattern) ->
    case re:run(content(File), Pattern, [{capture, all_but_first, binary}]) of
        {match, [Found]} -> Found;
        nomatch -> <<"unknown">>
    end.

content(File) ->
    {ok, Content} = file:read_file(File),
    Content.

%% In ticks since the machine has started. Interrupts are nobody's: those of a loopback are ours.
-spec look() -> look().
look() ->
    [Line | _] = string:split(content("/proc/stat"), "\n"),
    [User, Nice, System, Idle, Wait, Irq, SoftIrq, Steal | _] =
        [binary_to_integer(Ticks) || Ticks <- tl(string:lexemes(Line, " "))],
    #{all => User + Nice + System + Idle + Wait + Irq + SoftIrq + Steal,
      busy => User + Nice + System, steal => Steal, ours => ours()}.

-spec between(look(), look()) -> others().
between(#{all := All, busy := Busy, steal := Steal, ours := Ours},
        #{all := AllNow, busy := BusyNow, steal := StealNow, ours := OursNow}) ->
    Percent = fun(Ticks) -> 100 * max(0, Ticks) / max(1, AllNow - All) end,
    #{others => Percent(BusyNow - Busy - (OursNow - Ours)), steal => Percent(StealNow - Steal)}.

%% Of this process and all that descend from it, those as well that have ended and were waited for.
ours() ->
    Processes = lists:append([process(Folder) || Folder <- filelib:wildcard("/proc/[0-9]*")]),
    Children = maps:groups_from_list(fun({_, Parent, _}) -> Parent end, Processes),
    Self = os:getpid(),
    lists:sum([Ticks || {Pid, _, Ticks} <- Processes, Pid =:= Self]) + descendants(Self, Children).

descendants(Pid, Children) ->
    lists:sum([Ticks + descendants(Child, Children) || {Child, _, Ticks} <- maps:get(Pid, Children, [])]).

%% None if it has ended meanwhile. The name, in brackets, may have blanks.
process(Folder) ->
    case file:read_file(Folder ++ "/stat") of
        {ok, Stat} ->
            [_, Rest] = string:split(Stat, ") ", trailing),
            Fields = list_to_tuple(string:lexemes(Rest, " ")),
            Ticks = lists:sum([binary_to_integer(element(N, Fields)) || N <- [12, 13, 14, 15]]),
            [{filename:basename(Folder), binary_to_list(element(2, Fields)), Ticks}];
        {error, _} ->
            []
    end.
