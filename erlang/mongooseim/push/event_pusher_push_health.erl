-module(event_pusher_push_health).
-moduledoc "How the services of push notifications stand, by the latest job that has ended.".

%% In the shape that native pools have, and by the same rules; all services count as one.

-export([new/0, ended/2, status/3]).
-export_type([health/0]).

%% What was last: {state, State, Since, Cause}, {success, At}, {error, At, Cause}. Times are monotonic, in
%% milliseconds. The table ends with the process that made it.
-type health() :: ets:tid().

-spec new() -> health().
new() ->
    Health = ets:new(?MODULE, [set, public]),
    true = ets:insert(Health, {state, connecting, now_ms(), none}),
    Health.

%% What comes after the owner has ended changes nothing.
-spec ended(health(), event_pusher_push_pool:fate()) -> ok.
ended(Health, Fate) ->
    try note(Health, Fate, now_ms()) catch error:badarg -> ok end.

note(Health, delivered, Now) ->
    true = ets:insert(Health, {success, Now}),
    stands(Health, connected, none, Now);
note(Health, {Fate, Cause}, Now) ->
    true = ets:insert(Health, {error, Now, Cause}),
    stands(Health, trouble(Fate), Cause, Now).

trouble(rejected) -> refused;
trouble(exhausted) -> degraded.

stands(Health, State, Cause, Now) ->
    case ets:lookup(Health, state) of
        [{state, State, _Since, Cause}] -> ok;
        [{state, State, _Since, _Other}] -> update(Health, [{4, Cause}]);
        [_Before] -> update(Health, [{2, State}, {3, Now}, {4, Cause}])
    end.

update(Health, Elements) ->
    true = ets:update_element(Health, state, Elements),
    ok.

-spec status(health(), IsClosing :: boolean(), IsPaused :: boolean()) -> event_pusher:status().
status(Health, IsClosing, IsPaused) ->
    try
        [{state, State, Since, Cause}] = ets:lookup(Health, state),
        Success = [ago(At) || {success, At} <- ets:lookup(Health, success)],
        Error = [#{ago_ms => ago(At), cause => Of} || {error, At, Of} <- ets:lookup(Health, error)],
        {Now, Why} = now(State, Cause, IsClosing, IsPaused),
        #{state => Now, since_ms => ago(Since), cause => Why, paused => IsPaused,
          last_success_ms => one(Success), last_error => one(Error)}
    catch
        error:badarg ->
            #{state => stopped, since_ms => 0, cause => none, paused => false,
              last_success_ms => none, last_error => none}
    end.

now(_State, _Cause, true, _IsPaused) -> {stopped, none};
now(refused, Cause, false, _IsPaused) -> {refused, Cause};
now(_State, _Cause, false, true) -> {degraded, <<"paused">>};
now(State, Cause, false, false) -> {State, Cause}.

one([]) -> none;
one([It]) -> It.

ago(At) ->
    max(0, now_ms() - At).

now_ms() ->
    erlang:monotonic_time(millisecond).
