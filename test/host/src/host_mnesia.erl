-module(host_mnesia).
-moduledoc "Runs Mnesia for tests in a folder of their own; it may outlive a stop of the stand-in.".

-export([start/1, stop/0]).

%% What an earlier run left in the folder is there again.
-spec start(Dir :: file:filename()) -> ok.
start(Dir) ->
    _ = application:load(mnesia),
    ok = application:set_env(mnesia, dir, Dir),
    case mnesia:create_schema([node()]) of
        ok -> ok;
        {error, {_, {already_exists, _}}} -> ok
    end,
    ok = mnesia:start().

-spec stop() -> ok.
stop() ->
    stopped = mnesia:stop(),
    application:unset_env(mnesia, dir).
