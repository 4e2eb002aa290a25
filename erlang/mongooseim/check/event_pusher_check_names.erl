-module(event_pusher_check_names).
-moduledoc "Whether names of receivers resolve.".

-export([resolve/1]).

-define(RESOLVE_TIMEOUT_MS, 5000).

%% Only a warning: the node may be meant for another network.
-spec resolve(Urls :: [string()]) -> event_pusher_check:outcome().
resolve([]) ->
    {ok, ["not configured"]};
resolve(Urls) ->
    Hosts = lists:usort([host(Url) || Url <- Urls]),
    case [Host || Host <- Hosts, not resolves(Host)] of
        [] -> {ok, [io_lib:format("all hosts resolve (~b)", [length(Hosts)])]};
        Unknown -> {warning, [io_lib:format("~ts does not resolve", [Host]) || Host <- Unknown]}
    end.

%% The option is a name, or a URL.
-spec host(string()) -> string().
host(Url) ->
    Full = case string:find(Url, "://") of
               nomatch -> "https://" ++ Url;
               _ -> Url
           end,
    case uri_string:parse(Full) of
        #{host := Host} -> string:trim(Host, both, "[]");
        _ -> "(not a URL)"
    end.

%% In a process of its own, as the look-up itself knows no limit.
-spec resolves(string()) -> boolean().
resolves(Host) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> Self ! {resolved, Host, has_address(Host)} end),
    receive
        {resolved, Host, Known} -> Known;
        {'DOWN', Monitor, process, Pid, _Crash} -> false
    after ?RESOLVE_TIMEOUT_MS ->
        exit(Pid, kill),
        false
    end.

has_address(Host) ->
    lists:any(fun(Family) -> element(1, inet:getaddr(Host, Family)) =:= ok end, [inet, inet6]).
