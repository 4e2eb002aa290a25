-module(event_pusher_http_id).
-moduledoc "What a receiver knows an event by: a UUID that sorts by time, https://www.rfc-editor.org/rfc/rfc9562.".

-export([new/0]).

-define(DIGITS, {$0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $a, $b, $c, $d, $e, $f}).

-spec new() -> binary().
new() ->
    Ms = erlang:system_time(millisecond),
    <<A:12, B:62, _/bitstring>> = crypto:strong_rand_bytes(10),
    <<P1:8/binary, P2:4/binary, P3:4/binary, P4:4/binary, P5:12/binary>> =
        << <<(element(Digit + 1, ?DIGITS))>> || <<Digit:4>> <= <<Ms:48, 7:4, A:12, 2:2, B:62>> >>,
    <<P1/binary, $-, P2/binary, $-, P3/binary, $-, P4/binary, $-, P5/binary>>.
