-module(event_pusher_pool).
-moduledoc "Owns one native pool: starts it, passes its reports on, drains it on the way out.".

%% What a killed owner leaves is its pool, which is closed then. The next owner has it in the place of
%% its own until it has told what became of it, and until it can start a new one.

-behaviour(gen_server).
-behaviour(event_pusher_directory).

-export([start_link/4, handle/1, drain/1, stops_within_ms/1]).
%% event_pusher_directory callbacks
-export([stats/1, probe/1, pause/1, resume/1, retry_now/1, purge/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export_type([hidden/0, refusal/0]).

-include_lib("kernel/include/logger.hrl").

-define(KEY(Name), {?MODULE, Name}).

%% Between two attempts to start a new pool: from the first to the last, each twice the one before.
-define(FIRST_DELAY_MS, 1000).
-define(LAST_DELAY_MS, 60000).

%% Settings hold secrets, which show neither in a child spec nor in a crash report.
-type hidden() :: event_pusher_hidden:hidden(event_pusher:settings()).

%% Why a pool does not start.
-type refusal() :: not_running | not_loaded | panic | [binary()].

-type state() :: #{
    supervisor := pid(),
    name := event_pusher:name(),
    settings := hidden(),
    report_to := event_pusher:report_to(),
    interval_ms := pos_integer(),
    teller := pid(),
    pool := event_pusher_nif:pool(),
    drain_timeout_ms := non_neg_integer(),
    %% The pool before, which may have refused something since it was told of.
    former := none | event_pusher_nif:pool()
}.

%% What a new owner has to do about the former one, which has ended or will, and its own new pool.
-type succession() :: {succeed, entry(), {ok, event_pusher_nif:pool()} | {error, refusal()}}.

%% Where everybody finds the pool.
-type entry() :: #{
    supervisor := pid(),
    owner := pid(),
    teller := pid(),
    pool := event_pusher_nif:pool(),
    drain_timeout_ms := non_neg_integer()
}.

-spec start_link(Supervisor :: pid(), event_pusher:name(), hidden(), event_pusher:report_to()) ->
    gen_server:start_ret().
start_link(Supervisor, Name, Settings, ReportTo) ->
    gen_server:start_link(?MODULE, {Supervisor, Name, Settings, ReportTo}, []).

%% The handle of a running pool.
-spec handle(event_pusher:name()) -> {ok, event_pusher_nif:pool()} | {error, closed}.
handle(Name) ->
    case entry(Name) of
        #{pool := Pool} -> {ok, Pool};
        none -> {error, closed}
    end.

-spec entry(event_pusher:name()) -> entry() | none.
entry(Name) ->
    persistent_term:get(?KEY(Name), none).

-spec stats(event_pusher:name()) -> {ok, event_pusher:stats()} | {error, closed}.
stats(Name) ->
    with(Name, fun(Pool) -> {ok, event_pusher_nif:stats(Pool)} end).

%% The receiver is tried by the caller, so that the owner goes on meanwhile.
-spec probe(event_pusher:name()) -> {ok, [event_pusher:finding()]} | {error, closed}.
probe(Name) ->
    case entry(Name) of
        #{owner := Owner} -> found(settings(Owner));
        none -> {error, closed}
    end.

%% A stack trace would show the settings.
-spec found({ok, hidden()} | {error, closed}) -> {ok, [event_pusher:finding()]} | {error, closed}.
found({ok, Hidden}) ->
    try event_pusher_nif:probe(Hidden()) of
        {ok, Findings} -> {ok, Findings};
        {error, Complaints} -> {ok, [{broken, Complaint} || Complaint <- Complaints]}
    catch
        error:_ -> {ok, [{broken, <<"the probe panicked">>}]}
    end;
found({error, closed}) ->
    {error, closed}.

-spec settings(Owner :: pid()) -> {ok, hidden()} | {error, closed}.
settings(Owner) ->
    try
        {ok, gen_server:call(Owner, settings)}
    catch
        exit:_GoneOrBusy -> {error, closed}
    end.

-spec pause(event_pusher:name()) -> ok | {error, closed}.
pause(Name) ->
    with(Name, fun event_pusher_nif:pause_pool/1).

-spec resume(event_pusher:name()) -> ok | {error, closed}.
resume(Name) ->
    with(Name, fun event_pusher_nif:resume_pool/1).

-spec retry_now(event_pusher:name()) -> ok | {error, closed}.
retry_now(Name) ->
    with(Name, fun event_pusher_nif:retry_now/1).

-spec purge(event_pusher:name(), AgeMs :: non_neg_integer()) ->
    {ok, Events :: non_neg_integer()} | {error, closed}.
purge(Name, Age) ->
    with(Name, fun(Pool) -> {ok, event_pusher_nif:purge_pool(Pool, Age)} end).

with(Name, Handle) ->
    case handle(Name) of
        {ok, Pool} -> Handle(Pool);
        {error, closed} -> {error, closed}
    end.

%% Lets the owners drain their pools, all at the same time; returns when they have, or should have. An
%% owner that ends meanwhile has drained its pool, too.
-spec drain([event_pusher:name()]) -> ok.
drain(Names) ->
    Begin = erlang:monotonic_time(millisecond),
    Requests = [{gen_server:send_request(Owner, drain), Begin + stops_within_ms(Drain)}
                || Name <- Names,
                   #{owner := Owner, drain_timeout_ms := Drain} <- [entry(Name)]],
    lists:foreach(fun({Request, End}) ->
        Left = max(0, End - erlang:monotonic_time(millisecond)),
        gen_server:receive_response(Request, Left)
    end, Requests).

%% A report that is under way takes a second at most, and so does the last one; a backend closes within
%% half of one.
-spec stops_within_ms(DrainMs :: non_neg_integer()) -> pos_integer().
stops_within_ms(Drain) ->
    Drain + 3000.

-spec init({pid(), event_pusher:name(), hidden(), event_pusher:report_to()}) ->
    {ok, state()} | {ok, state(), {continue, succession()}} | {stop, {shutdown, refusal()}}.
init({Supervisor, Name, Hidden, ReportTo}) ->
    process_flag(trap_exit, true),
    State = #{supervisor => Supervisor, name => Name, settings => Hidden, report_to => ReportTo,
              interval_ms => event_pusher_env:get(report_interval_ms), former => none,
              teller => event_pusher_teller:start(Name)},
    Entry = entry(Name),
    case {start_native(Hidden), is_restart(Supervisor, Entry), Entry} of
        {{ok, Pool}, false, none} ->
            {ok, report_later(publish(with_pool(Pool, State)))};
        %% As a shutdown, or there would be a crash report before what the caller says.
        {{error, Reason}, false, _} ->
            {stop, {shutdown, Reason}};
        %% What was left is told outside of the start, which others wait for.
        {Started, _, #{pool := Left}} ->
            {ok, with_pool(Left, State), {continue, {succeed, Entry, Started}}}
    end.

%% Nobody asked for the start but the supervisor, which would give up if it failed.
is_restart(Supervisor, #{supervisor := Supervisor}) -> true;
is_restart(_Supervisor, _Entry) -> false.

%% Whoever follows this owner finds it from now on, and waits for it.
-spec handle_continue(succession(), state()) -> {noreply, state()}.
handle_continue({succeed, Entry, Started}, State) ->
    #{pool := Left} = former_ended(Entry, State),
    Successor = publish(with_pool(Left, State)),
    ok = report_killed(Left, Successor),
    {noreply, report_later(started(Started, Successor, ?FIRST_DELAY_MS, none))}.

%% If the supervisor was killed, the former owner may still be at it: it drains, or succeeds another one
%% itself. Returns the entry that it has left.
-spec former_ended(entry(), state()) -> entry().
former_ended(#{owner := Owner, teller := Teller} = Entry, #{name := Name} = State) ->
    #{drain_timeout_ms := Drain} = Entry,
    ok = event_pusher_teller:await_end(Owner, stops_within_ms(Drain)),
    ok = event_pusher_teller:await_end(Teller, stops_within_ms(0)),
    case entry(Name) of
        Entry -> Entry;
        %% It has told everything.
        none -> Entry;
        Later -> former_ended(Later, State)
    end.

-spec handle_call(term(), gen_server:from(), state()) ->
    {reply, ok | hidden() | {error, unknown}, state()}.
handle_call(settings, _From, #{settings := Hidden} = State) ->
    {reply, Hidden, State};
handle_call(drain, _From, State) ->
    ok = drain_own(State),
    {reply, ok, State};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info(report, State) ->
    #{pool := Pool} = Next = report_former(State),
    ok = report(event_pusher_nif:report(Pool), Pool, Next),
    {noreply, report_later(Next)};
handle_info({start, DelayMs, Logged}, #{settings := Hidden} = State) ->
    {noreply, started(start_native(Hidden), State, DelayMs, Logged)};
handle_info({'DOWN', _Monitor, process, Teller, _Reason}, #{teller := Teller, name := Name} = State) ->
    {noreply, publish(State#{teller := event_pusher_teller:start(Name)})};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), state()) -> ok.
terminate(Reason, #{teller := Teller} = State) ->
    ok = drain_own(report_former(State)),
    ok = forget(Reason, State),
    event_pusher_teller:stop(Teller).

%% Not before it was reported what became of events: if this is killed, the next owner tells the rest.
%% And not after a crash, which another owner follows.
-spec forget(term(), state()) -> ok.
forget(Reason, #{name := Name, pool := Pool} = State) when Reason =:= shutdown; Reason =:= killed ->
    _ = persistent_term:erase(?KEY(Name)),
    ok = report_refused(Pool, fun(Report) -> Report end, State),
    event_pusher_latest:forget(Name);
forget(_Crash, _State) ->
    ok.

%% Pools

-spec with_pool(event_pusher_nif:pool(), map()) -> state().
with_pool(Pool, #{settings := Hidden} = State) ->
    #{drain_timeout_ms := Drain} = Hidden(),
    State#{pool => Pool, drain_timeout_ms => Drain}.

-spec publish(state()) -> state().
publish(#{name := Name} = State) ->
    Entry = maps:with([supervisor, teller, pool, drain_timeout_ms], State),
    persistent_term:put(?KEY(Name), Entry#{owner => self()}),
    State.

%% The new pool takes the place of the former one. If there is none, that one goes on refusing, and
%% counts it.
-spec started({ok, event_pusher_nif:pool()} | {error, refusal()}, state(),
              DelayMs :: pos_integer(), Logged :: none | refusal()) -> state().
started({ok, Pool}, #{name := Name, pool := Left} = State, _DelayMs, Logged) ->
    Next = publish(with_pool(Pool, State#{former := Left})),
    _ = [?LOG_NOTICE(#{what => event_pusher_pool_started, pool => Name}) || Logged =/= none],
    Next;
started({error, Reason}, #{name := Name} = State, DelayMs, Logged) ->
    _ = [?LOG_ERROR(#{what => event_pusher_pool_not_started, pool => Name, reason => Reason,
                      text => <<"Its events are dropped as closed. It is tried again">>})
         || Reason =/= Logged],
    _ = erlang:send_after(DelayMs, self(), {start, min(2 * DelayMs, ?LAST_DELAY_MS), Reason}),
    publish(State).

%% A stack trace would show the settings.
-spec start_native(hidden()) -> {ok, event_pusher_nif:pool()} | {error, refusal()}.
start_native(Hidden) ->
    try
        event_pusher_nif:start_pool(Hidden())
    catch
        error:nif_panicked -> {error, panic};
        error:_ -> {error, not_loaded}
    end.

-spec drain_own(state()) -> ok.
drain_own(#{pool := Pool, drain_timeout_ms := Drain} = State) ->
    ok = stop_native(Pool, Drain),
    report(event_pusher_nif:report(Pool), Pool, State).

%% Each drain occupies a dirty scheduler, and there may be more pools that stop together than those.
%% So the time of all begins before any of them gets one: who comes later has drained already.
-spec stop_native(event_pusher_nif:pool(), non_neg_integer()) -> ok.
stop_native(Pool, Drain) ->
    ok = event_pusher_nif:close_pool(Pool),
    event_pusher_nif:stop_pool(Pool, Drain).

%% Reports

-spec report_later(state()) -> state().
report_later(#{interval_ms := Interval} = State) ->
    _ = erlang:send_after(Interval, self(), report),
    State.

%% What the pool of a killed owner had not delivered was dropped, and somebody has to say so.
-spec report_killed(event_pusher_nif:pool(), state()) -> ok.
report_killed(Pool, State) ->
    ok = stop_native(Pool, 0),
    report(killed(event_pusher_nif:report(Pool)), Pool, State).

-spec killed(event_pusher:report()) -> event_pusher:report().
killed(#{recent := #{causes := Causes} = Recent} = Report) ->
    Why = Causes#{closed => <<"owner of the pool was killed">>},
    Report#{recent := Recent#{causes := Why}}.

%% A session that found that pool before the new one was there may come a moment later.
-spec report_former(state()) -> state().
report_former(#{former := none} = State) ->
    State;
report_former(#{former := Pool} = State) ->
    ok = report_refused(Pool, fun killed/1, State),
    State#{former := none}.

%% What a pool has refused since its last report.
-spec report_refused(event_pusher_nif:pool(),
                     Explain :: fun((event_pusher:report()) -> event_pusher:report()), state()) ->
    ok.
report_refused(Pool, Explain, State) ->
    case event_pusher_nif:report(Pool) of
        #{counts := #{refused_closed := 0}} -> ok;
        Report -> report(Explain(Report), Pool, State)
    end.

-spec report(event_pusher:report(), event_pusher_nif:pool(), state()) -> ok.
report(Report, Pool, #{name := Name} = State) ->
    ok = event_pusher_latest:keep(Name, event_pusher_latest:of_report(Report)),
    tell(Report, Pool, State).

%% Told once, also if this owner is killed meanwhile; the rest is lost if the telling crashes.
-spec tell(event_pusher:report(), event_pusher_nif:pool(), state()) -> ok.
tell(Report, Pool, #{teller := Teller, report_to := {M, F, Args}}) ->
    event_pusher_teller:tell(Teller, fun() -> apply(M, F, [Report | Args]) end,
                             fun() -> event_pusher_nif:told(Pool) end).
