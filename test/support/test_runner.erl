-module(test_runner).
-moduledoc "Runs Common Test suites; the status of the VM tells whether all cases passed.".

-export([main/0]).
%% Hook of Common Test
-export([id/1, init/2, on_tc_fail/4, on_tc_skip/4]).

-type unpassed() :: {Fate :: string(), Suite :: module(), Case :: term()}.

%% The arguments are the folder of the logs and the names of the suites. A case that was skipped
%% because its suite could not start is no success.
-spec main() -> no_return().
main() ->
    [Logs | Suites] = init:get_plain_arguments(),
    Options = [{dir, "_build/suites"}, {suite, Suites}, {logdir, Logs}, {auto_compile, false},
               {ct_hooks, [?MODULE]}],
    true = register(?MODULE, self()),
    case ct:run_test(Options) of
        {Passed, Failed, {SkippedByUser, SkippedByFailure}} ->
            Skipped = SkippedByUser + SkippedByFailure,
            [say("~s ~s:~0tp", [Fate, Suite, Case]) || {Fate, Suite, Case} <- unpassed()],
            say("~b passed, ~b failed, ~b skipped", [Passed, Failed, Skipped]),
            halt(case Failed + Skipped of 0 when Passed > 0 -> 0; _ -> 1 end);
        {error, Reason} ->
            say("no test ran: ~p", [Reason]),
            halt(1)
    end.

%% What the hook has told so far.
-spec unpassed() -> [unpassed()].
unpassed() ->
    receive {?MODULE, Unpassed} -> [Unpassed | unpassed()] after 0 -> [] end.

-spec say(io:format(), [term()]) -> ok.
say(Format, Args) ->
    io:format("~n" ++ Format ++ "~n", Args).

%% Hook: tells the runner which cases did not pass.

-spec id(Options :: term()) -> module().
id(_Options) ->
    ?MODULE.

-spec init(Id :: module(), Options :: term()) -> {ok, none}.
init(_Id, _Options) ->
    {ok, none}.

-spec on_tc_fail(module(), Case :: term(), Reason :: term(), none) -> none.
on_tc_fail(Suite, Case, _Reason, none) ->
    tell("FAILED", Suite, Case).

-spec on_tc_skip(module(), Case :: term(), Reason :: term(), none) -> none.
on_tc_skip(Suite, Case, _Reason, none) ->
    tell("SKIPPED", Suite, Case).

tell(Fate, Suite, Case) ->
    ?MODULE ! {?MODULE, {Fate, Suite, Case}},
    none.
