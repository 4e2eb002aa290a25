-module(event_pusher_push_times).
-moduledoc "How long notifications took: all of them, as exactly as native pools tell it.".

-export([new/0, add/2, take/1]).
-export_type([times/0]).

%% Counters of spans of microseconds: one for each of the first 64, then 32 for each doubling, up to
%% 19 hours. What takes longer counts there as well.
-opaque times() :: atomics:atomics_ref().

-define(PER_DOUBLING, 32).
-define(LONGEST, (1 bsl 36) - 1).

-spec new() -> times().
new() ->
    atomics:new(1 + span(?LONGEST), []).

-spec add(times(), Us :: non_neg_integer()) -> ok.
add(Times, Us) ->
    atomics:add(Times, 1 + span(min(Us, ?LONGEST)), 1).

%% Since this was asked last.
-spec take(times()) -> event_pusher:times().
take(Times) ->
    #{size := Size} = atomics:info(Times),
    [{middle(Number - 1), Count} || Number <- lists:seq(1, Size),
                                    Count <- [atomics:exchange(Times, Number, 0)], Count > 0].

span(Us) when Us < 2 * ?PER_DOUBLING ->
    Us;
span(Us) ->
    Shift = length(integer_to_list(Us, 2)) - 6,
    Shift * ?PER_DOUBLING + (Us bsr Shift).

middle(Span) when Span < 2 * ?PER_DOUBLING ->
    Span;
middle(Span) ->
    Shift = Span div ?PER_DOUBLING - 1,
    First = (Span rem ?PER_DOUBLING + ?PER_DOUBLING) bsl Shift,
    First + ((1 bsl Shift) - 1) div 2.
