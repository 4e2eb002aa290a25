-module(host_tables).
-moduledoc "Owns the tables of the stand-in, so that they outlive the processes that fill them.".
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2]).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec init([]) -> {ok, no_state}.
init([]) ->
    host_metrics:create_tables(),
    lists:foreach(fun(Module) -> ok = Module:create_table() end,
                  [ejabberd_auth, ejabberd_local, ejabberd_sm, host_clients, host_domains,
                   host_iq_handlers, host_router, host_wpool, mongoose_backend,
                   mongoose_instrument, mongoose_wpool]),
    {ok, no_state}.

-spec handle_call(term(), gen_server:from(), no_state) -> {noreply, no_state}.
handle_call(_Request, _From, State) ->
    {noreply, State}.

-spec handle_cast(term(), no_state) -> {noreply, no_state}.
handle_cast(_Request, State) ->
    {noreply, State}.
