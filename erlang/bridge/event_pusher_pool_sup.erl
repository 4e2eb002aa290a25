-module(event_pusher_pool_sup).
-moduledoc "Supervises the owner of one pool, so that its trouble costs no other pool.".

-behaviour(supervisor).

-export([start_link/4]).
-export([init/1]).

%% The owner is started afterwards: if one that it starts itself with fails, a supervisor logs it, and
%% what the caller says of it should be the one line.
-spec start_link(event_pusher:name(), event_pusher_pool:hidden(), GraceMs :: pos_integer(),
                 event_pusher:report_to()) ->
    {ok, pid()} | {error, event_pusher_pool:refusal()}.
start_link(Name, Settings, GraceMs, ReportTo) ->
    {ok, Sup} = supervisor:start_link(?MODULE, []),
    Owner = #{id => owner, shutdown => GraceMs,
              start => {event_pusher_pool, start_link, [Sup, Name, Settings, ReportTo]}},
    case supervisor:start_child(Sup, Owner) of
        {ok, _} ->
            {ok, Sup};
        {error, {{shutdown, Reason}, _Child}} ->
            unlink(Sup),
            exit(Sup, shutdown),
            {error, Reason}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, []}}.
