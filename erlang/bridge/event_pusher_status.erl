-module(event_pusher_status).
-moduledoc "What operators see of pools: as maps, and as text of 80 columns.".

-export([all/0, of_pool/1, table/1, details/1, name/1, percentile/2]).
%% Cells of tables
-export([age/1, oldest/1, number/1, spread/1, cut/2, drops/1, dropped/1]).
-export_type([pool/0]).

-doc "A pool at the moment, with totals since its start. Times are of the deliveries in the latest report
that had any, in microseconds.".
-type pool() :: #{name := event_pusher:name(), host_type := binary(), pool_type := atom(),
                  pool_tag := atom(), receiver => binary(),
                  status := event_pusher:status(), counts := event_pusher:counts(),
                  levels := event_pusher:levels(), connection := none | event_pusher:connection(),
                  times := none | #{p50_us := non_neg_integer(), p99_us := non_neg_integer()}}.

%% The sums of the table.
-define(DROPS, [rejected, exhausted, nacked, unanswered, unroutable, expired, purged, unreadable, full, closed,
                refused_full, refused_closed]).

-spec all() -> [pool()].
all() ->
    [Pool || {Name, _About} <- event_pusher_directory:all(), {ok, Pool} <- [of_pool(Name)]].

-spec of_pool(event_pusher:name()) -> {ok, pool()} | {error, closed | unknown}.
of_pool(Name) ->
    case event_pusher_directory:find(Name) of
        {ok, #{module := Module} = About} ->
            case Module:stats(Name) of
                {ok, Stats} -> {ok, pool(Name, maps:remove(module, About), Stats)};
                {error, closed} -> {error, closed}
            end;
        {error, unknown} ->
            {error, unknown}
    end.

pool(Name, About, Stats) ->
    (maps:merge(About, Stats))#{name => Name, times => times(event_pusher_latest:kept(Name))}.

times([#{times_us := [_ | _] = Times}]) ->
    #{p50_us => percentile(0.5, Times), p99_us => percentile(0.99, Times)};
times(_NothingDelivered) ->
    none.

%% The time that so large a share of the deliveries did not exceed.
-spec percentile(float(), event_pusher:times()) -> non_neg_integer().
percentile(Share, Times) ->
    Rank = max(1, ceil(Share * lists:sum([Count || {_Us, Count} <- Times]))),
    ranked(Rank, Times).

ranked(_Rank, [{Us, _Count}]) -> Us;
ranked(Rank, [{Us, Count} | _]) when Rank =< Count -> Us;
ranked(Rank, [{_Us, Count} | Longer]) -> ranked(Rank - Count, Longer).

%% Text

-spec table([pool()]) -> iodata().
table([]) ->
    "no pools: no module with a backend runs here\n";
table(Pools) ->
    [row(["pool", "status", "for", "waiting", "oldest", "delivered", "dropped", "p50", "p99"])
     | [line(Pool) || Pool <- Pools]].

line(#{status := Status, levels := Levels, counts := Counts, times := Times} = Pool) ->
    #{state := State, since_ms := Since} = Status,
    #{waiting := Waiting, oldest_ms := Oldest} = Levels,
    [row([label(Pool), atom_to_list(State), age(Since), number(Waiting), oldest(Oldest),
          number(maps:get(delivered, Counts)), number(drops(Counts)) | spread(Times)]),
     why(Status)].

%% A second line, if there is something to say.
why(#{cause := none}) -> [];
why(#{cause := Cause}) -> ["  ", cut(Cause, 76), $\n].

row([Pool | Cells]) ->
    Widths = [11, 5, 8, 7, 10, 8, 6, 6],
    [string:pad(cut(Pool, 18), 18), [cell(Cell, Width) || {Cell, Width} <- lists:zip(Cells, Widths)], $\n].

cell(Cell, 11) -> [$\s, string:pad(Cell, 10)];
cell(Cell, Width) -> string:pad(Cell, Width, leading).

%% Backend and host type, and which of several handlers of HTTP.
label(#{name := Name}) ->
    name(Name).

%% As the command-line tool writes it and reads it: sns:localhost, http:localhost:2.
-spec name(event_pusher:name()) -> binary().
name({Type, HostType}) ->
    <<(atom_to_binary(Type))/binary, $:, HostType/binary>>;
name({Type, HostType, Number}) ->
    <<(name({Type, HostType}))/binary, $:, (integer_to_binary(Number))/binary>>.

-spec details(pool()) -> iodata().
details(#{status := Status, counts := Counts, levels := Levels, connection := Connection,
          times := Times} = Pool) ->
    #{state := State, since_ms := Since, cause := Cause, paused := Paused,
      last_success_ms := Success, last_error := Error} = Status,
    Receiver = maps:get(receiver, Pool, <<"services of push notifications">>),
    [label(Pool), " to ", Receiver, $\n,
     field("status", [atom_to_list(State), " for ", age(Since), [", paused" || Paused]]),
     [field("cause", Cause) || Cause =/= none],
     field("last success", ago(Success)),
     field("last error", last_error(Error)),
     [field("times", ["p50 ", P50, ", p99 ", P99]) || [P50, P99] <- [spread(Times)], Times =/= none],
     numbers("", maps:remove(spool, Levels)),
     numbers("spool ", spool(Levels)),
     numbers("connection ", connection(Connection)),
     numbers("", Counts)].

last_error(none) -> "never";
last_error(#{ago_ms := Ago, cause := Cause}) -> [ago(Ago), ": ", Cause].

ago(none) -> "never";
ago(Ms) -> [age(Ms), " ago"].

spool(#{spool := #{} = Spool}) -> Spool;
spool(#{}) -> #{}.

connection(none) -> #{};
connection(Connection) -> Connection.

numbers(Of, Map) ->
    [field([Of, atom_to_list(Key)], value(Value)) || {Key, Value} <- lists:sort(maps:to_list(Map)),
                                                     Value =/= none].

value(Value) when is_integer(Value) -> integer_to_binary(Value);
value(Value) when is_atom(Value) -> atom_to_binary(Value);
value(Value) -> Value.

field(Name, Value) ->
    ["  ", string:pad(Name, 22), Value, $\n].

-spec drops(event_pusher:counts()) -> non_neg_integer().
drops(Counts) ->
    lists:sum([Count || {_Reason, Count} <- dropped(Counts)]).

%% By reason, without those that there were none of.
-spec dropped(event_pusher:counts()) -> [{Reason :: atom(), pos_integer()}].
dropped(Counts) ->
    [{Reason, Count} || Reason <- ?DROPS, Count <- [maps:get(Reason, Counts, 0)], Count > 0].

-spec oldest(Ms :: non_neg_integer()) -> string().
oldest(0) -> "-";
oldest(Ms) -> age(Ms).

%% Half, and 99 in 100.
-spec spread(none | #{p50_us := non_neg_integer(), p99_us := non_neg_integer()}) -> [iodata()].
spread(none) -> ["-", "-"];
spread(#{p50_us := P50, p99_us := P99}) -> [time(P50), time(P99)].

time(Us) when Us < 1000 -> [integer_to_list(Us), "us"];
time(Us) when Us < 1000000 -> [integer_to_list(Us div 1000), "ms"];
time(Us) -> age(Us div 1000).

%% A time in at most five characters.
-spec age(Ms :: non_neg_integer()) -> string().
age(Ms) when Ms < 1000 -> integer_to_list(Ms) ++ "ms";
age(Ms) when Ms < 60000 -> integer_to_list(Ms div 1000) ++ "s";
age(Ms) when Ms < 3600000 -> integer_to_list(Ms div 60000) ++ "m";
age(Ms) when Ms < 172800000 -> integer_to_list(Ms div 3600000) ++ "h";
age(Ms) -> integer_to_list(Ms div 86400000) ++ "d".

%% In at most seven characters.
-spec number(non_neg_integer()) -> iodata().
number(Number) when Number < 1000000 -> integer_to_list(Number);
number(Number) when Number < 1000000000 -> io_lib:format("~.1fM", [Number / 1000000]);
number(Number) -> io_lib:format("~.1fG", [Number / 1000000000]).

-spec cut(unicode:chardata(), Width :: pos_integer()) -> unicode:chardata().
cut(Text, Width) ->
    case string:length(Text) > Width of
        true -> [string:slice(Text, 0, Width - 1), $~];
        false -> Text
    end.
