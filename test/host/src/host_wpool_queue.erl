-module(host_wpool_queue).
-moduledoc "Keeps the tasks of a pool, first in first out, until one of its workers is free.".
-behaviour(gen_server).

-export([start_link/1, cast/2, call/3, waiting/1]).
-export([joined/1, busy/1, free/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-type deadline() :: Milliseconds :: integer().
-type task() :: {cast, Request :: term()} | {call, gen_server:from(), deadline()}.
-type state() :: #{free := [pid()], tasks := queue:queue(task())}.

-spec start_link(Pool :: atom()) -> gen_server:start_ret().
start_link(Pool) ->
    gen_server:start_link(?MODULE, Pool, []).

%% For callers of the pool

-spec cast(Queue :: pid(), Request :: term()) -> ok.
cast(Queue, Request) ->
    gen_server:cast(Queue, {cast, Request}).

%% The timeout covers both the wait for a worker and its work.
-spec call(Queue :: pid(), Request :: term(), TimeoutMs :: pos_integer()) -> term().
call(Queue, Request, TimeoutMs) ->
    Deadline = now_ms() + TimeoutMs,
    try gen_server:call(Queue, {worker, Deadline}, TimeoutMs) of
        Worker -> call_worker(Queue, Worker, Request, Deadline - now_ms())
    catch
        exit:{timeout, _} -> exit(timeout);
        exit:{noproc, _} -> exit(no_workers)
    end.

call_worker(_Queue, Worker, Request, TimeLeft) when TimeLeft > 0 ->
    gen_server:call(Worker, Request, TimeLeft);
call_worker(Queue, Worker, _Request, _TimeLeft) ->
    gen_server:cast(Queue, {free, Worker}),
    exit(timeout).

%% A queue that is just being replaced has nothing.
-spec waiting(Queue :: pid()) -> non_neg_integer().
waiting(Queue) ->
    try
        gen_server:call(Queue, waiting)
    catch
        exit:{noproc, _} -> 0
    end.

%% For workers

-spec joined(Queue :: pid()) -> ok.
joined(Queue) ->
    gen_server:cast(Queue, {joined, self()}).

-spec busy(Queue :: pid()) -> ok.
busy(Queue) ->
    gen_server:cast(Queue, {busy, self()}).

-spec free(Queue :: pid()) -> ok.
free(Queue) ->
    gen_server:cast(Queue, {free, self()}).

%% Server

-spec init(Pool :: atom()) -> {ok, state()}.
init(Pool) ->
    ok = host_wpool:register(Pool, queue),
    {ok, #{free => [], tasks => queue:new()}}.

-spec handle_call({worker, deadline()} | waiting, gen_server:from(), state()) ->
          {reply, pid() | non_neg_integer(), state()} | {noreply, state()}.
handle_call({worker, Deadline}, From, State = #{free := [], tasks := Tasks}) ->
    {noreply, State#{tasks := queue:in({call, From, Deadline}, Tasks)}};
handle_call({worker, _Deadline}, _From, State = #{free := [Worker | Rest]}) ->
    {reply, Worker, State#{free := Rest}};
handle_call(waiting, _From, State = #{tasks := Tasks}) ->
    {reply, queue:len(Tasks), State}.

-spec handle_cast({cast, term()} | {joined | busy | free, pid()}, state()) -> {noreply, state()}.
handle_cast({cast, Request}, State = #{free := [], tasks := Tasks}) ->
    {noreply, State#{tasks := queue:in({cast, Request}, Tasks)}};
handle_cast({cast, Request}, State = #{free := [Worker | Rest]}) ->
    gen_server:cast(Worker, Request),
    {noreply, State#{free := Rest}};
handle_cast({joined, Worker}, State) ->
    monitor(process, Worker),
    {noreply, feed(Worker, State)};
handle_cast({busy, Worker}, State) ->
    {noreply, leave_out(Worker, State)};
handle_cast({free, Worker}, State) ->
    {noreply, feed(Worker, State)}.

-spec handle_info({'DOWN', reference(), process, pid(), term()}, state()) -> {noreply, state()}.
handle_info({'DOWN', _Ref, process, Worker, _Reason}, State) ->
    {noreply, leave_out(Worker, State)}.

feed(Worker, State = #{free := Free, tasks := Tasks}) ->
    case queue:out(Tasks) of
        {empty, _} ->
            State#{free := [Worker | Free]};
        {{value, {cast, Request}}, Rest} ->
            gen_server:cast(Worker, Request),
            State#{tasks := Rest};
        {{value, {call, From, Deadline}}, Rest} ->
            give_to_caller(Worker, From, Deadline, State#{tasks := Rest})
    end.

%% Nobody waits for a worker after the deadline.
give_to_caller(Worker, From, Deadline, State) ->
    case now_ms() < Deadline of
        true ->
            gen_server:reply(From, Worker),
            State;
        false ->
            feed(Worker, State)
    end.

leave_out(Worker, State = #{free := Free}) ->
    State#{free := lists:delete(Worker, Free)}.

now_ms() ->
    erlang:monotonic_time(millisecond).
