-module(host_sup).
-moduledoc "Keeps what lives as long as the stand-in: its tables, the hooks, IQs and ejabberd_sup.".
-behaviour(supervisor).

-export([start_link/0, init/1]).

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Flags = #{strategy => one_for_all, intensity => 0},
    {ok, {Flags, [child(host_tables, worker),
                  child(gen_hook, worker),
                  child(ejabberd_local, worker),
                  child(ejabberd_sup, supervisor)]}}.

child(Module, Type) ->
    #{id => Module, start => {Module, start_link, []}, type => Type}.
