-module(host_iq_worker).
-moduledoc "Handles the IQs it is given one after the other.".
-behaviour(gen_server).

-export([start/0, stop/1, handle/6]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2]).

-spec start() -> pid().
start() ->
    {ok, Worker} = ejabberd_sup:start_child(#{id => make_ref(),
                                              start => {?MODULE, start_link, []},
                                              restart => temporary}),
    Worker.

%% Comes after what the worker has been given before.
-spec stop(pid()) -> ok.
stop(Worker) ->
    gen_server:cast(Worker, stop).

-spec handle(pid(), mongoose_iq_handler:t(), mongoose_acc:t(), From :: jid:jid(), To :: jid:jid(),
             jlib:iq()) -> ok.
handle(Worker, Handler, Acc, From, To, Iq) ->
    gen_server:cast(Worker, {handle, [Handler, Acc, From, To, Iq]}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link(?MODULE, [], []).

-spec init([]) -> {ok, no_state}.
init([]) ->
    {ok, no_state}.

-spec handle_call(term(), gen_server:from(), no_state) -> {noreply, no_state}.
handle_call(_Request, _From, State) ->
    {noreply, State}.

-spec handle_cast({handle, [term()]} | stop, no_state) ->
          {noreply, no_state} | {stop, normal, no_state}.
handle_cast({handle, Args}, State) ->
    _ = apply(mongoose_iq_handler, execute_handler, Args),
    {noreply, State};
handle_cast(stop, State) ->
    {stop, normal, State}.
