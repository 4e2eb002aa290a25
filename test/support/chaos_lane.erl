-module(chaos_lane).
-moduledoc "One process that pushes numbered events, and writes down what it was told.".

%% An entry of the ledger is written after its push and before the next one.

-behaviour(gen_server).

-export([start/1, pace/2, pause/1, burst/2, oversize/2, longest_us/1]).
-export([body/3, is_padding/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([lane/0]).

%% The name of a lane is in its events; push takes the text of one.
-type lane() :: #{name := binary(), ledger := file:filename(),
                  push := fun((Text :: binary()) -> ok | {error, full | closed})}.

-define(LARGE, 300000).

-spec start(lane()) -> {ok, pid()}.
start(Lane) ->
    gen_server:start(?MODULE, Lane, []).

%% An event every so many milliseconds.
-spec pace(pid(), pos_integer()) -> ok.
pace(Pid, IntervalMs) ->
    gen_server:call(Pid, {pace, IntervalMs}, infinity).

-spec pause(pid()) -> ok.
pause(Pid) ->
    gen_server:call(Pid, pause, infinity).

%% So many at once.
-spec burst(pid(), pos_integer()) -> ok.
burst(Pid, Count) ->
    gen_server:call(Pid, {burst, Count}, infinity).

%% One that is larger than SNS and the broker take.
-spec oversize(pid(), Count :: pos_integer()) -> ok.
oversize(Pid, Count) ->
    gen_server:call(Pid, {oversize, Count}, infinity).

%% How long the longest push took since this was asked last.
-spec longest_us(pid()) -> non_neg_integer().
longest_us(Pid) ->
    gen_server:call(Pid, longest_us, infinity).

%% The text of an event: its id, when it was pushed, and something more that differs in length.
-spec body(Name :: binary(), Number :: pos_integer(), AtMs :: integer()) -> binary().
body(Name, Number, AtMs) ->
    Head = [Name, $., integer_to_binary(Number), $\s, integer_to_binary(AtMs), $\s],
    iolist_to_binary([Head, padding(padding_size(Number))]).

%% Of an event with that number, also of one that is too large for some.
-spec is_padding(binary(), Number :: pos_integer()) -> boolean().
is_padding(Padding, Number) ->
    Size = padding_size(Number),
    byte_size(Padding) =:= Size andalso Padding =:= padding(Size)
        orelse Padding =:= padding(Size + ?LARGE).

padding_size(Number) -> Number * 37 rem 201.

padding(Size) -> binary:copy(<<"x">>, Size).

%% gen_server callbacks

-spec init(lane()) -> {ok, map()}.
init(#{ledger := Ledger} = Lane) ->
    {Open, Count} = chaos_ledger:open(Ledger),
    {ok, Lane#{ledger := Open, number => Count, interval => none, longest => 0}}.

-spec handle_call(term(), gen_server:from(), map()) -> {reply, term(), map()}.
handle_call({pace, Interval}, _From, Lane) ->
    self() ! {push, Interval},
    {reply, ok, Lane#{interval := Interval}};
handle_call(pause, _From, Lane) ->
    {reply, ok, Lane#{interval := none}};
handle_call({burst, Count}, _From, Lane) ->
    {reply, ok, repeat(Count, fun(It) -> push(<<>>, It) end, Lane)};
handle_call({oversize, Count}, _From, Lane) ->
    {reply, ok, repeat(Count, fun(It) -> push(padding(?LARGE), It) end, Lane)};
handle_call(longest_us, _From, #{longest := Longest} = Lane) ->
    {reply, Longest, Lane#{longest := 0}}.

-spec handle_cast(term(), map()) -> {noreply, map()}.
handle_cast(_, Lane) ->
    {noreply, Lane}.

%% A pace that is over may still have an event under way.
-spec handle_info(term(), map()) -> {noreply, map()}.
handle_info({push, Interval}, #{interval := Interval} = Lane) ->
    _ = erlang:send_after(Interval, self(), {push, Interval}),
    {noreply, push(<<>>, Lane)};
handle_info(_, Lane) ->
    {noreply, Lane}.

repeat(0, _Fun, Lane) -> Lane;
repeat(Count, Fun, Lane) -> repeat(Count - 1, Fun, Fun(Lane)).

push(More, #{name := Name, push := Push, number := Last, ledger := Ledger,
             longest := Longest} = Lane) ->
    Number = Last + 1,
    Body = <<(body(Name, Number, os:system_time(millisecond)))/binary, More/binary>>,
    {Us, Result} = timer:tc(fun() -> Push(Body) end),
    ok = chaos_ledger:write(Ledger, said(Result), os:system_time(millisecond)),
    Lane#{number := Number, longest := max(Us, Longest)}.

said(ok) -> accepted;
said({error, Refusal}) -> Refusal.
