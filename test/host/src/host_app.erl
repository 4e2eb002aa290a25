-module(host_app).
-moduledoc "Starts the supervisor of the stand-in; options and modules come with host:start/1.".
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()}.
start(_Type, _Args) ->
    {ok, _Pid} = host_sup:start_link().

-spec stop(term()) -> ok.
stop(_State) ->
    mongoose_config:erase_opts().
