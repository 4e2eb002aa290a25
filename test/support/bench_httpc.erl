-module(bench_httpc).
-moduledoc "Worker processes that post with OTP's own client: what one would write without event_pusher.".

%% On a node that has nothing else to do
-export([measure/5]).

-define(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8").

%% As many requests as are wanted, over one connection for each worker.
-spec measure(Url :: string(), Ca :: file:filename(), Body :: binary(), Workers :: pos_integer(),
              Count :: pos_integer()) -> bench_case:figures().
measure(Url, Ca, Body, Workers, Count) ->
    {ok, _} = application:ensure_all_started(ssl),
    {ok, _} = application:ensure_all_started(inets),
    Ssl = [{verify, verify_peer}, {cacertfile, Ca},
           {customize_hostname_check, [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]}],
    Left = counters:new(1, []),
    ok = counters:put(Left, 1, Count),
    Figures = bench_rate:used(fun() ->
        _ = bench_event:in_parallel(Workers, fun() -> work(Left, {Url, Ssl, Body}) end),
        Count
    end),
    ok = application:stop(inets),
    Figures.

%% A profile has connections of its own.
work(Left, Request) ->
    Name = list_to_atom("bench_" ++ pid_to_list(self())),
    {ok, Profile} = inets:start(httpc, [{profile, Name}], stand_alone),
    ok = httpc:set_options([{max_sessions, 1}, {keep_alive_timeout, 60000}], Profile),
    ok = post(Left, Request, Profile),
    ok = gen_server:stop(Profile).

post(Left, {Url, Ssl, Body} = Request, Profile) ->
    case take(Left) of
        true ->
            {ok, {{_, 200, _}, _, _}} =
                httpc:request(post, {Url, [], ?CONTENT_TYPE, Body}, [{ssl, Ssl}], [{body_format, binary}], Profile),
            post(Left, Request, Profile);
        false ->
            ok
    end.

%% Some may take below 0, and then do nothing.
take(Left) ->
    ok = counters:sub(Left, 1, 1),
    counters:get(Left, 1) >= 0.
