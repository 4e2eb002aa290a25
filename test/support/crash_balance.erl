-module(crash_balance).
-moduledoc "Holds what arrived against what the spool promises, after kills.".

-export([check/4]).
-export_type([kill/0, sums/0]).

%% A kill that was: just before, and when the node had ended; what its pools had said of the disk; when
%% something else has cut off what was under way.
-type kill() :: #{moment := crash_plan:moment(), sync := always | pos_integer(),
                  before_ms := integer(), ended_ms := integer(),
                  said := crash_watch:said(), cuts := [crash_moment:cut()]}.
-type sums() :: #{accepted | delivered | missing_synced | missing_unsaved | missing_unsynced | copies
                      => non_neg_integer()}.

%% How late the disk may be because other programs are at work. What statistics said is held to
%% without it.
-define(BUSY_MS, 1000).
%% Where sync is shorter, ends are written after as much.
-define(ENDS_MS, 500).

%% Of the events of one pool in the range, with all kills since they were pushed, the oldest first: the
%% sums for each kill, as many as there are kills, and what is wrong. What came after the last kill is
%% in its sums.
-spec check(chaos_record:record(), file:filename(), {chaos_node:pool(), chaos_record:range()},
            [kill(), ...]) -> {[sums()], [chaos_record:problem()]}.
check(Record, Folder, {Pool, Range}, Kills) ->
    Entries = [{{Lane, Number}, Said, At}
               || {Lane, Part} <- maps:to_list(Range),
                  {Number, Said, At} <- chaos_ledger:read(filename:join(Folder, Lane), Part)],
    Numbered = lists:enumerate(Kills),
    Events = [event(Entry, Pool, Numbered, Record) || Entry <- Entries],
    Late = chaos_record:late(Record, Range),
    {[sums(Number, Kill, Pool, Events) || {Number, Kill} <- Numbered],
     told("synced by the statistics when the node was killed, and missing", Pool,
          [Id || #{id := Id, promised := by_statistics, times := []} <- Events])
     ++ lost(Pool, Events, Numbered)
     ++ told("refused, and arrived nevertheless", Pool,
             [Id || #{id := Id, said := Said, times := [_ | _]} <- Events,
                    Said =:= full orelse Said =:= closed])
     ++ told("arrived twice without a reason", Pool,
             [Id || #{id := Id} = Event <- Events, not may_be_repeated(Event, Pool, Kills)])
     ++ told("arrived after later ones of its group", Pool,
             [Id || #{id := Id, promised := Promised} <- Events, Promised =/= no,
                    lists:member(Id, Late)])
     ++ chaos_record:unsent(Record, Pool, Range)}.

%% With the number of the kill that ended the life in which it was pushed.
event({Id, Said, At}, Pool, Numbered, Record) ->
    Times = case chaos_record:times(Record, Id) of
        {_Pushed, Arrivals} -> Arrivals;
        none -> []
    end,
    Event = #{id => Id, said => Said, at => At, times => Times},
    case [It || {_, #{ended_ms := Ended}} = It <- Numbered, At =< Ended] of
        [{Number, Kill} | _] ->
            Event#{number => Number, promised => promised(Said, At, Pool, Kill)};
        [] ->
            Promised = case Said of accepted -> by_age; _ -> no end,
            Event#{number => length(Numbered), promised => Promised}
    end.

%% Why it must have been on disk when the node was killed.
promised(accepted, At, Pool, #{said := Said, before_ms := Before} = Kill) ->
    #{Pool := #{synced_ms := Synced}} = Said,
    case At + sync_ms(Kill) + ?BUSY_MS < Before of
        _ when At =< Synced -> by_statistics;
        true -> by_age;
        false -> no
    end;
promised(_Said, _At, _Pool, _Kill) ->
    no.

sync_ms(#{sync := always}) -> 0;
sync_ms(#{sync := Ms}) -> Ms.

%% As many may be as were in memory only, by the statistics.
lost(Pool, Events, Numbered) ->
    lists:append([told("older than the sync time when the node was killed, and missing", Pool,
                       Missing)
                  || {Number, #{said := #{Pool := #{unsaved := Unsaved}}}} <- Numbered,
                     Missing <- [[Id || #{id := Id, number := N, promised := by_age, times := []}
                                            <- Events, N =:= Number]],
                     length(Missing) > Unsaved]).

%% Each arrival but the last has a kill that followed while its end may not have been written. A broker
%% may read later what was published before.
may_be_repeated(#{times := Times, at := At}, Pool, Kills) ->
    Cuts = [Cut || #{before_ms := Before, ended_ms := Ended, cuts := More} <- Kills,
                   {_, End} = Cut <- [{Before, Ended} | More], At =< End],
    Longest = lists:max([max(sync_ms(Kill), ?ENDS_MS) || Kill <- Kills]) + ?BUSY_MS,
    is_covered(lists:reverse(earlier(Times)), Cuts, Pool, Longest).

earlier([]) -> [];
earlier([_Latest | Earlier]) -> Earlier.

is_covered([], _Cuts, _Pool, _Longest) ->
    true;
is_covered([At | Others], Cuts, Pool, Longest) ->
    case [Cut || {Before, Ended} = Cut <- Cuts, At >= Before - Longest,
                 Pool =:= rabbit orelse At =< Ended + ?BUSY_MS] of
        [First | _] -> is_covered(Others, lists:delete(First, Cuts), Pool, Longest);
        [] -> false
    end.

sums(Number, #{said := Said}, Pool, Events) ->
    #{Pool := #{unsaved := Unsaved}} = Said,
    Mine = [Event || #{number := N} = Event <- Events, N =:= Number],
    Accepted = [Event || #{said := accepted} = Event <- Mine],
    Missing = [Why || #{promised := Why, times := []} <- Accepted],
    Old = length([by_age || by_age <- Missing]),
    #{accepted => length(Accepted),
      delivered => length(Accepted) - length(Missing),
      missing_synced => length([Why || by_statistics = Why <- Missing]) + max(0, Old - Unsaved),
      missing_unsaved => min(Old, Unsaved),
      missing_unsynced => length([no || no <- Missing]),
      copies => lists:sum([length(Times) - 1 || #{times := [_ | _] = Times} <- Mine])}.

told(_Text, _Pool, []) -> [];
told(Text, Pool, Ids) -> [{Text, Pool, [{chaos_record:id(Lane, N), 0} || {Lane, N} <- Ids]}].
