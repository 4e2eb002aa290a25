-module(dashboard_picture).
-moduledoc "Plays a chat with an outage of the HTTP receiver, and draws what the dashboard shows of it.".

-export([main/0]).

-define(PICTURE, "docs/images/dashboard.svg").
-define(ROWS, ["All backends", "HTTP"]).
%% Milliseconds: until the receiver goes away, until it is back, until the end.
-define(ACTS, [25000, 30000, 35000]).
-define(BETWEEN_MS, 100).
-define(REPORT_MS, 500).

%% Ends the VM.
-spec main() -> no_return().
main() ->
    ok = rig:start_application(),
    ok = application:set_env(event_pusher, report_interval_ms, ?REPORT_MS),
    ok = logger:set_primary_config(level, error),
    {ok, Endpoint} = metrics_endpoint:start(),
    {ok, Prometheus} = prometheus_service:start(metrics_endpoint:url(Endpoint), "docs/alerts.yml"),
    #{http := Http} = Services = demo_receivers:start(),
    demo_text:say("a chat of ~b seconds, with an outage ...", [lists:sum(?ACTS) div 1000]),
    chat(2000),
    Begin = seconds(),
    [begin ok = Act(), chat(Ms) end
     || {Act, Ms} <- lists:zip([fun() -> ok end, fun() -> http_service:down(Http) end,
                                fun() -> http_service:up(Http) end], ?ACTS)],
    ok = prometheus_service:await_scrape(Prometheus),
    Status = draw(prometheus_service:url(Prometheus), Begin, seconds()),
    ok = demo_receivers:stop(Services),
    ok = prometheus_service:stop(Prometheus),
    halt(Status).

%% A message each so many milliseconds.
chat(Ms) ->
    [begin
         {_, Act, _} = demo_conversation:private(<<"Hi">>),
         _ = Act(),
         timer:sleep(?BETWEEN_MS)
     end || _ <- lists:seq(1, Ms div ?BETWEEN_MS)].

seconds() ->
    integer_to_list(erlang:system_time(second)).

draw(Url, Begin, End) ->
    ok = filelib:ensure_dir(?PICTURE),
    Args = ["-B", "test/monitoring/picture.py", "--url", Url, "--begin", Begin, "--end", End,
            "--rows" | ?ROWS],
    Port = open_port({spawn_executable, "_build/venv/bin/python"},
                     [{args, Args}, binary, exit_status]),
    write(Port, []).

write(Port, Svg) ->
    receive
        {Port, {data, Part}} ->
            write(Port, [Svg, Part]);
        {Port, {exit_status, 0}} ->
            ok = file:write_file(?PICTURE, Svg),
            demo_text:say("~s: ~b bytes", [?PICTURE, iolist_size(Svg)]),
            0;
        {Port, {exit_status, Status}} ->
            Status
    end.
