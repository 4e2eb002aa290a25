-module(demo).
-moduledoc "Plays a short conversation and outages, and shows what arrives at each receiver.".

-export([main/0]).

%% Short, so that the demo is: of the reports, from which metrics and log lines are made, and of the
%% waits between attempts to connect to RabbitMQ.
-define(SETTINGS, [{report_interval_ms, 500}, {reconnect_max_ms, 1000}]).

%% Ends the VM: with status 0 only if everything went as it should.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    try play() of
        true -> halt(0);
        false -> halt(1)
    catch
        error:Reason:Stacktrace ->
            demo_text:say("~nthe demo cannot go on:~n  ~ts", [demo_text:problem(Reason)]),
            [demo_text:say("  ~0tp", [Stacktrace]) || not is_explained(Reason)],
            halt(1)
    end.

is_explained({config_error, _, _}) -> true;
is_explained(#{what := _}) -> true;
is_explained(_) -> false.

play() ->
    load_code(),
    ok = demo_receivers:check(),
    ok = demo_watch:start(),
    ok = rig:start_application(),
    [ok = application:set_env(event_pusher, Name, Value) || {Name, Value} <- ?SETTINGS],
    demo_text:say("starting an SNS service that verifies every signature, an HTTP receiver and "
                  "RabbitMQ, a few seconds ..."),
    Services = demo_receivers:start(),
    introduce(Services),
    {Arrived, Wanted} = demo_conversation:play(Services),
    AsItShould = case Arrived of
        Wanted -> demo_outage:play(Services);
        _ -> demo_watch:log_rest(), false
    end,
    demo_text:say("~n~nAll events, by the metrics:"),
    demo_watch:totals(),
    ok = demo_receivers:stop(Services),
    demo_text:say("~n~ts~ndelivered ~b of ~b events",
                  [verdict(Arrived, Wanted, AsItShould), Arrived, Wanted]),
    AsItShould.

%% As a release does when it boots; else the first calls would be slow.
load_code() ->
    Modules = lists:append([begin
                                _ = application:load(Application),
                                {ok, Of} = application:get_key(Application, modules),
                                Of
                            end || Application <- [stdlib, jiffy, stringprep, host, event_pusher]]),
    ok = code:ensure_modules_loaded([mod_event_pusher_filter | Modules]).

verdict(Wanted, Wanted, true) ->
    "In the outages, each event was delivered, or dropped and counted, and no session waited.";
verdict(Wanted, Wanted, false) ->
    "FAILED: the outages did not go as they should.";
verdict(_Arrived, _Wanted, _AsItShould) ->
    "FAILED: what is missing is named above, and the log says why.".

introduce(#{sns := Sns, http := Http, rabbit := Rabbit}) ->
    demo_text:say("SNS at ~s~nHTTP at ~s~nRabbitMQ on port ~b~na push service at push.example~n"
                  "MongooseIM's hooks in this node, configured by examples/mongooseim.toml",
                  [maps:get(endpoint, sns_service:info(Sns)),
                   maps:get(url, http_service:info(Http)),
                   maps:get(port, rabbit_service:info(Rabbit))]).
