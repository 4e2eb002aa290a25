-module(database_service).
-moduledoc "A real database for tests, behind a Python port, with the table of push registrations.".

-export([start/1, stop/1, info/1, pool/1]).
-export([sql/2, down/1, up/1, restart/1, reset/1]).
-export_type([engine/0, info/0]).

-type engine() :: pgsql | mysql.
-type info() :: #{engine := engine(), host := binary(), port := inet:port_number(),
                  username := binary(), password := binary(), database := binary(),
                  folder := binary()}.

%% PostgreSQL, or MariaDB under the name that the server has for its like.
-spec start(engine()) -> {ok, pid()} | {error, term()}.
start(Engine) ->
    receiver:start("database_service.py", [{"--engine", atom_to_list(Engine)}]).

-spec stop(pid()) -> ok.
stop(Service) ->
    receiver:stop(Service).

-spec info(pid()) -> info().
info(Service) ->
    receiver:info(Service).

%% An element of `outgoing_pools', as the parser of the configuration makes it.
-spec pool(pid()) -> map().
pool(Service) ->
    #{engine := Engine, port := Port} = Info = info(Service),
    Texts = maps:map(fun(_Key, Text) -> binary_to_list(Text) end,
                     maps:with([host, username, password, database], Info)),
    #{type => rdbms,
      scope => global,
      tag => default,
      opts => #{workers => 3, strategy => best_worker, call_timeout => 60000},
      conn_opts => Texts#{driver => Engine, port => Port, query_timeout => 5000,
                          max_start_interval => 30}}.

%% As the administrator: the rows, or the number of those that the statement touched.
-spec sql(pid(), Statement :: unicode:chardata()) -> [tuple()] | integer().
sql(Service, Statement) ->
    receiver:command(Service, ["sql", Statement]).

%% Cuts off every client and refuses new ones; what is stored stays.
-spec down(pid()) -> ok.
down(Service) ->
    receiver:command(Service, ["down"]).

-spec up(pid()) -> ok.
up(Service) ->
    receiver:command(Service, ["up"]).

-spec restart(pid()) -> ok.
restart(Service) ->
    receiver:command(Service, ["restart"]).

%% Up, and the table as at the start.
-spec reset(pid()) -> ok.
reset(Service) ->
    receiver:command(Service, ["reset"]).
