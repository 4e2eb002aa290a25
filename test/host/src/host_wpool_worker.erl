-module(host_wpool_worker).
-moduledoc "Runs requests `{Module, Function, Args}' one by one, and goes on when one crashes.".
-behaviour(gen_server).

-export([start_link/2]).
-export([init/1, handle_call/3, handle_cast/2]).

-include_lib("kernel/include/logger.hrl").

-type state() :: #{queue := pid()}.

-spec start_link(Pool :: atom(), Number :: pos_integer()) -> gen_server:start_ret().
start_link(Pool, Number) ->
    gen_server:start_link(?MODULE, {Pool, Number}, []).

-spec init({Pool :: atom(), Number :: pos_integer()}) -> {ok, state()}.
init({Pool, Number}) ->
    ok = host_wpool:register(Pool, Number),
    Queue = host_wpool:queue(Pool),
    host_wpool_queue:joined(Queue),
    {ok, #{queue => Queue}}.

-spec handle_call(Request :: term(), gen_server:from(), state()) ->
          {reply, {ok, term()} | {error, term()}, state()}.
handle_call(Request, _From, State) ->
    {reply, work(Request, State), State}.

-spec handle_cast(Request :: term(), state()) -> {noreply, state()}.
handle_cast(Request, State) ->
    _ = work(Request, State),
    {noreply, State}.

%% Work may come past the queue, which is then told.
work(Request, #{queue := Queue}) ->
    host_wpool_queue:busy(Queue),
    Result = run(Request),
    host_wpool_queue:free(Queue),
    Result.

run({Module, Function, Args}) ->
    try
        {ok, apply(Module, Function, Args)}
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => pool_request_failed, mfa => {Module, Function, Args},
                         class => Class, reason => Reason, stacktrace => Stacktrace}),
            {error, Reason}
    end;
run(Request) ->
    ?LOG_ERROR(#{what => invalid_pool_request, request => Request}),
    {error, invalid_request}.
