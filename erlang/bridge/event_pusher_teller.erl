-module(event_pusher_teller).
-moduledoc "Runs what reports of one pool are for, each in a process of its own and for a second at most.".

%% An owner that ran it itself could neither drain its pool nor be stopped if it did not end. And if it
%% were killed meanwhile, nobody would know whether the report was told. So each owner starts a teller,
%% which tells to the end what it has begun, and confirms it, whatever becomes of the owner. Then it
%% ends as well: the next owner waits for that before it looks what has not been told.

-behaviour(gen_server).

-export([start/1, tell/3, stop/1, await_end/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/logger.hrl").

-define(WITHIN_MS, 1000).

-type state() :: #{owner := pid(), pool := event_pusher:name()}.

%% For the calling process, which monitors it from then on: if it is killed, another one is needed. It
%% is not linked, as gen_server would log that the owner was killed once more.
-spec start(Pool :: event_pusher:name()) -> pid().
start(Pool) ->
    {ok, Teller} = gen_server:start(?MODULE, #{owner => self(), pool => Pool}, []),
    _ = monitor(process, Teller),
    Teller.

%% A report that cannot be passed on must not cost the pool: it is confirmed as well. If the teller is
%% killed meanwhile, it is not.
-spec tell(Teller :: pid(), Report :: fun(() -> term()), Confirm :: fun(() -> ok)) -> ok.
tell(Teller, Report, Confirm) ->
    try
        gen_server:call(Teller, {tell, Report, Confirm}, infinity)
    catch
        exit:_ -> ok
    end.

-spec stop(Teller :: pid()) -> ok.
stop(Teller) ->
    try gen_server:stop(Teller) catch exit:_ -> ok end.

%% Returns when the process has ended: a former owner, or its teller. In the end it is killed.
-spec await_end(pid(), WithinMs :: pos_integer()) -> ok.
await_end(Pid, WithinMs) ->
    Monitor = monitor(process, Pid),
    receive
        {'DOWN', Monitor, process, Pid, _Reason} -> ok
    after WithinMs ->
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, _Killed} -> ok end
    end.

-spec init(state()) -> {ok, state()}.
init(#{owner := Owner} = State) ->
    _ = monitor(process, Owner),
    true = outlive_application(),
    {ok, State}.

%% If the supervisor of all pools is killed, the application ends by killing every process of its group.
outlive_application() ->
    {group_leader, Leader} = process_info(whereis(application_controller), group_leader),
    group_leader(Leader, self()).

%% In between, it keeps nothing of what it has told: a report has the handle of a pool, which may end.
-spec handle_call({tell, fun(() -> term()), fun(() -> ok)}, gen_server:from(), state()) ->
    {reply, ok, state(), hibernate}.
handle_call({tell, Report, Confirm}, _From, #{pool := Pool} = State) ->
    ok = run(Pool, Report),
    {reply, Confirm(), State, hibernate}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()} | {stop, normal, state()}.
handle_info({'DOWN', _Monitor, process, Owner, _Reason}, #{owner := Owner} = State) ->
    {stop, normal, State};
handle_info(_Message, State) ->
    {noreply, State}.

run(Pool, Report) ->
    {Runner, Monitor} = spawn_monitor(fun() -> in_words(Report) end),
    receive
        {'DOWN', Monitor, process, Runner, normal} ->
            ok;
        {'DOWN', Monitor, process, Runner, {Class, Reason, Stacktrace}} ->
            log(Pool, Class, Reason, Stacktrace);
        {'DOWN', Monitor, process, Runner, Reason} ->
            log(Pool, exit, Reason, [])
    after ?WITHIN_MS ->
        Stacktrace = process_info(Runner, current_stacktrace),
        exit(Runner, kill),
        receive {'DOWN', Monitor, process, Runner, _Reason} -> ok end,
        log(Pool, exit, timeout, places(Stacktrace))
    end.

%% Not as an error, which the node would log as well.
in_words(Report) ->
    try
        Report()
    catch
        Class:Reason:Stacktrace -> exit({Class, Reason, Stacktrace})
    end.

places({current_stacktrace, Stacktrace}) -> Stacktrace;
places(undefined) -> [].

log(Pool, Class, Reason, Stacktrace) ->
    ?LOG_ERROR(#{what => event_pusher_report_failed, pool => Pool, class => Class,
                 reason => Reason, stacktrace => Stacktrace}).
