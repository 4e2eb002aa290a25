-module(ejabberd_sup).
-moduledoc "The supervisor under which modules start their processes.".
-behaviour(supervisor).

-export([start_link/0, start_child/1, stop_child/1]).
-export([init/1]).

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% Unlike supervisor:start_child/2 this raises when the child does not start.
-spec start_child(supervisor:child_spec()) -> {ok, pid() | undefined}.
start_child(ChildSpec) ->
    case supervisor:start_child(?MODULE, ChildSpec) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> error(#{what => child_not_started, spec => ChildSpec, reason => Reason})
    end.

-spec stop_child(term()) -> ok | {error, term()}.
stop_child(Id) ->
    case supervisor:terminate_child(?MODULE, Id) of
        ok -> supervisor:delete_child(?MODULE, Id);
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 1}, []}}.
