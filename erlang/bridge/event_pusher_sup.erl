-module(event_pusher_sup).
-moduledoc "Supervises the owners of the pools, which come and go with the modules that use them.".

-behaviour(supervisor).

-export([start_link/0, start_pool/3, stop_pool/1, owners/1]).
-export([init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec start_pool(event_pusher:name(), event_pusher:settings(), event_pusher:report_to()) ->
    supervisor:startchild_ret().
start_pool(Name, #{drain_timeout_ms := Drain} = Settings, ReportTo) ->
    supervisor:start_child(?MODULE, #{
        id => Name,
        start => {event_pusher_pool, start_link, [Name, fun() -> Settings end, ReportTo]},
        %% The owner drains its pool in terminate/2, which takes as long as the drain may take and
        %% half a second for a target to close.
        shutdown => Drain + 3000
    }).

%% The owners of those of the pools that run: none while the application does not.
-spec owners([event_pusher:name()]) -> [pid()].
owners(Names) ->
    case whereis(?MODULE) of
        undefined -> [];
        Sup -> [Owner || {Name, Owner, _, _} <- supervisor:which_children(Sup), is_pid(Owner),
                         lists:member(Name, Names)]
    end.

-spec stop_pool(event_pusher:name()) -> ok | {error, not_found}.
stop_pool(Name) ->
    case whereis(?MODULE) =/= undefined andalso supervisor:terminate_child(?MODULE, Name) of
        ok -> supervisor:delete_child(?MODULE, Name);
        {error, not_found} -> {error, not_found};
        false -> {error, not_found}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, []}}.
