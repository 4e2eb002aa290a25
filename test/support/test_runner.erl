-module(test_runner).
-moduledoc "Runs Common Test suites; the status of the VM tells whether all cases passed.".

-export([main/0]).

%% The arguments are the folder of the logs and the names of the suites. A case that was skipped
%% because its suite could not start is no success.
-spec main() -> no_return().
main() ->
    [Logs | Suites] = init:get_plain_arguments(),
    Options = [{dir, "_build/suites"}, {suite, Suites}, {logdir, Logs}, {auto_compile, false}],
    case ct:run_test(Options) of
        {Passed, Failed, {SkippedByUser, SkippedByFailure}} ->
            Skipped = SkippedByUser + SkippedByFailure,
            say("~b passed, ~b failed, ~b skipped", [Passed, Failed, Skipped]),
            halt(case Failed + Skipped of 0 when Passed > 0 -> 0; _ -> 1 end);
        {error, Reason} ->
            say("no test ran: ~p", [Reason]),
            halt(1)
    end.

say(Format, Args) ->
    io:format("~n" ++ Format ++ "~n", Args).
