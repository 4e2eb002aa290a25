-module(event_pusher_pool).
-moduledoc "Owns one native pool: starts it, passes its reports on, drains it on the way out.".

-behaviour(gen_server).

-export([start_link/3, handle/1, drain/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include_lib("kernel/include/logger.hrl").

-define(KEY(Name), {?MODULE, Name}).

-type state() :: #{
    name := event_pusher:name(),
    pool := event_pusher_nif:pool(),
    drain_timeout_ms := non_neg_integer(),
    interval_ms := pos_integer(),
    report_to := event_pusher:report_to(),
    previous := event_pusher:report()
}.

%% Settings hold secrets; inside a fun they show neither in a child spec nor in a crash report.
-type hidden() :: fun(() -> event_pusher:settings()).

-export_type([hidden/0]).

-spec start_link(event_pusher:name(), hidden(), event_pusher:report_to()) -> gen_server:start_ret().
start_link(Name, Settings, ReportTo) ->
    gen_server:start_link(?MODULE, {Name, Settings, ReportTo}, []).

%% The handle of a running pool.
-spec handle(event_pusher:name()) -> {ok, event_pusher_nif:pool()} | {error, closed}.
handle(Name) ->
    case persistent_term:get(?KEY(Name), undefined) of
        undefined -> {error, closed};
        Pool -> {ok, Pool}
    end.

%% Lets the owners drain their pools, all at the same time; returns when they have. An owner that
%% ends meanwhile has drained its pool, too.
-spec drain([pid()]) -> ok.
drain(Owners) ->
    Requests = [gen_server:send_request(Owner, drain) || Owner <- Owners],
    lists:foreach(fun(Request) -> gen_server:receive_response(Request, infinity) end, Requests).

-spec init({event_pusher:name(), hidden(), event_pusher:report_to()}) ->
    {ok, state()} | {stop, term()}.
init({Name, Hidden, ReportTo}) ->
    process_flag(trap_exit, true),
    #{drain_timeout_ms := Drain} = Settings = Hidden(),
    ok = close_leftover(Name, ReportTo),
    case start_native(Settings) of
        {ok, Pool} ->
            persistent_term:put(?KEY(Name), Pool),
            {ok, report_later(#{
                name => Name,
                pool => Pool,
                drain_timeout_ms => Drain,
                interval_ms => event_pusher_env:get(report_interval_ms),
                report_to => ReportTo,
                previous => at_start(event_pusher_nif:stats(Pool))
            })};
        %% As a shutdown, or there would be a crash report before what the caller says.
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

-spec handle_call(term(), gen_server:from(), state()) -> {reply, ok | {error, unknown}, state()}.
handle_call(drain, _From, #{pool := Pool, drain_timeout_ms := Drain} = State) ->
    {reply, ok, report(stop_native(Pool, Drain), State)};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info(report, #{pool := Pool} = State) ->
    {noreply, report_later(report(event_pusher_nif:report(Pool), State))};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), state()) -> ok.
terminate(_Reason, #{name := Name, pool := Pool, drain_timeout_ms := Drain} = State) ->
    Last = stop_native(Pool, Drain),
    _ = persistent_term:erase(?KEY(Name)),
    _ = report(Last, State),
    ok.

%% Each drain occupies a dirty scheduler, and there may be more pools that stop together than those.
%% So the time of all begins before any of them gets one: who comes later has drained already.
-spec stop_native(event_pusher_nif:pool(), non_neg_integer()) -> event_pusher:report().
stop_native(Pool, Drain) ->
    ok = event_pusher_nif:close_pool(Pool),
    event_pusher_nif:stop_pool(Pool, Drain).

%% Of a former owner that was killed. What its pool had not delivered was dropped, and somebody has
%% to say so.
-spec close_leftover(event_pusher:name(), event_pusher:report_to()) -> ok.
close_leftover(Name, ReportTo) ->
    case handle(Name) of
        {ok, Pool} ->
            Last = event_pusher_nif:stop_pool(Pool, 0),
            report(Last#{closed := 0}, Last, Name, ReportTo);
        {error, closed} ->
            ok
    end.

%% A stack trace would show the settings.
-spec start_native(event_pusher:settings()) ->
    {ok, event_pusher_nif:pool()} | {error, not_running | bad_settings | panic | [binary()]}.
start_native(Settings) ->
    try
        event_pusher_nif:start_pool(Settings)
    catch
        error:badarg -> {error, bad_settings};
        error:_ -> {error, panic}
    end.

%% What was counted already is for the first report to tell.
-spec at_start(event_pusher:stats()) -> event_pusher:stats().
at_start(#{batch_limit := BatchLimit} = Stats) ->
    Zero = fun(_Key, Value) when is_integer(Value) -> 0;
              (connection, _State) -> none;
              (_Cause, _Value) -> undefined
           end,
    (maps:map(Zero, Stats))#{batch_limit := BatchLimit}.

-spec report_later(state()) -> state().
report_later(#{interval_ms := Interval} = State) ->
    _ = erlang:send_after(Interval, self(), report),
    State.

-spec report(event_pusher:report(), state()) -> state().
report(Report, #{name := Name, report_to := ReportTo, previous := Previous} = State) ->
    ok = report(Previous, Report, Name, ReportTo),
    State#{previous := Report}.

%% A report that cannot be passed on must not cost the pool.
-spec report(event_pusher:report(), event_pusher:report(), event_pusher:name(),
             event_pusher:report_to()) -> ok.
report(Previous, Report, Name, {M, F, Args}) ->
    try
        _ = apply(M, F, [Previous, Report | Args]),
        ok
    catch
        Class:Reason:Stacktrace ->
            ?LOG_ERROR(#{what => event_pusher_report_failed, pool => Name, class => Class,
                         reason => Reason, stacktrace => Stacktrace})
    end.
