-module(event_pusher_sup).
-moduledoc "Supervises the pools, which come and go with the modules that use them.".

%% Each pool has a supervisor of its own, which restarts its owner. If that gives up, the others go on.

-behaviour(supervisor).

-export([start_link/0, start_pool/3, stop_pool/1, owners/1]).
-export([init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec start_pool(event_pusher:name(), event_pusher:settings(), event_pusher:report_to()) ->
    ok | {error, already_started | event_pusher_pool:refusal()}.
start_pool(Name, Settings, ReportTo) ->
    Args = [Name, event_pusher_hidden:hide(Settings), grace_ms(Settings), ReportTo],
    Child = #{id => Name, type => supervisor, shutdown => infinity,
              %% Nothing of it is left when it has ended, for whatever reason.
              restart => temporary,
              start => {event_pusher_pool_sup, start_link, Args}},
    case ask(fun() -> supervisor:start_child(?MODULE, Child) end, {error, not_running}) of
        {ok, _PoolSup} -> ok;
        {error, {already_started, _PoolSup}} -> {error, already_started};
        %% The supervisor adds the child to the reason.
        {error, {Reason, _Child}} -> {error, Reason};
        {error, not_running} -> {error, not_running}
    end.

%% How long an owner may take to end. A time that is none ends the start of the pool before it counts.
grace_ms(#{drain_timeout_ms := Drain}) when is_integer(Drain), Drain >= 0 ->
    event_pusher_pool:stops_within_ms(Drain);
grace_ms(_Settings) ->
    event_pusher_pool:stops_within_ms(0).

-spec stop_pool(event_pusher:name()) -> ok.
stop_pool(Name) ->
    _ = ask(fun() -> supervisor:terminate_child(?MODULE, Name) end, {error, not_found}),
    ok.

%% The owners of those of the pools that run: none while the application does not.
-spec owners([event_pusher:name()]) -> [pid()].
owners(Names) ->
    Pools = ask(fun() -> supervisor:which_children(?MODULE) end, []),
    [Owner || {Name, PoolSup, _, _} <- Pools, lists:member(Name, Names), is_pid(PoolSup),
              {_, Owner, _, _} <- ask(fun() -> supervisor:which_children(PoolSup) end, []),
              is_pid(Owner)].

%% Supervisors may end at any time, with the application or by a kill.
ask(Call, Otherwise) ->
    try
        Call()
    catch
        exit:_ -> Otherwise
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    ok = event_pusher_latest:new(),
    {ok, {#{strategy => one_for_one}, []}}.
