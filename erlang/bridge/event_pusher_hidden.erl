-module(event_pusher_hidden).
-moduledoc "Keeps secrets out of what shows terms: reports, child specs and states.".

%% A term inside a fun is not printed with it. The fun is of this module alone: it lives as long as a
%% pool, and would be lost if the code that made it were replaced twice. There is nothing here to change.

-export([hide/1]).
-export_type([hidden/1]).

-type hidden(Term) :: fun(() -> Term).

-spec hide(Term) -> hidden(Term).
hide(Term) ->
    fun() -> Term end.
