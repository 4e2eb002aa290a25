-module(host_rdbms_connection).
-moduledoc "One connection of a pool: prepares what it is to execute, connects again when needed.".
-behaviour(gen_server).

-export([start_link/2, execute/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% A library for one engine. A connection is a process that is linked to the one that asked for it.
-callback connect(Options :: map()) -> {ok, pid()} | {error, Reason :: term()}.
-callback disconnect(pid()) -> term().
-callback prepare(pid(), mongoose_rdbms:query_name(), SQL :: binary()) ->
    {ok, Statement :: term()} | {error, Reason :: string()}.
-callback execute(pid(), Statement :: term(), mongoose_rdbms:query_params()) ->
    mongoose_rdbms:query_result().

-type state() :: #{library := module(),
                   options := map(),
                   connection := pid() | none,
                   prepared := #{mongoose_rdbms:query_name() => Statement :: term()}}.

-define(LIBRARIES, #{pgsql => host_rdbms_pgsql, mysql => host_rdbms_mysql}).

-spec start_link(host_rdbms:key(), Number :: pos_integer()) -> gen_server:start_ret().
start_link(Key, Number) ->
    gen_server:start_link(?MODULE, {Key, Number}, []).

-spec execute(pid(), mongoose_rdbms:query_name(), mongoose_rdbms:query_params()) ->
          mongoose_rdbms:query_result().
execute(Pid, Name, Params) ->
    case gen_server:call(Pid, {execute, Name, Params}, infinity) of
        {ok, Result} -> Result;
        {failed, Reason} -> exit(Reason)
    end.

%% gen_server callbacks

-spec init({host_rdbms:key(), Number :: pos_integer()}) -> {ok, state()} | {stop, term()}.
init({Key, Number}) ->
    process_flag(trap_exit, true),
    Options = #{driver := Driver} = host_rdbms:options(Key),
    State = #{library => maps:get(Driver, ?LIBRARIES), options => Options,
              connection => none, prepared => #{}},
    try
        Connected = connect(State),
        host_rdbms:register_connection(Key, Number),
        {ok, Connected}
    catch
        error:Reason -> {stop, Reason}
    end.

-spec handle_call({execute, mongoose_rdbms:query_name(), mongoose_rdbms:query_params()},
                  gen_server:from(), state()) -> {reply, term(), state()}.
handle_call({execute, Name, Params}, _From, State) ->
    try execute_prepared(Name, Params, connect(State)) of
        {Result, NewState} -> {reply, {ok, Result}, NewState}
    catch
        %% Nobody knows what the connection is in the middle of.
        _:Reason -> {reply, {failed, Reason}, disconnect(State)}
    end.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({'EXIT', Connection, _Reason}, State = #{connection := Connection}) ->
    {noreply, State#{connection := none, prepared := #{}}};
handle_info(_Info, State) ->
    {noreply, State}.

-spec terminate(term(), state()) -> ok.
terminate(_Reason, State) ->
    _ = disconnect(State),
    ok.

%% Helpers

connect(State = #{connection := none, library := Library, options := Options}) ->
    case Library:connect(Options) of
        {ok, Connection} ->
            State#{connection := Connection};
        {error, Reason} ->
            Place = maps:with([driver, host, port, database], Options),
            error(Place#{what => rdbms_connection_failed, reason => Reason})
    end;
connect(State) ->
    State.

disconnect(State = #{connection := none}) ->
    State;
disconnect(State = #{connection := Connection, library := Library}) ->
    %% It may have ended by itself.
    _ = catch Library:disconnect(Connection),
    State#{connection := none, prepared := #{}}.

execute_prepared(Name, Params, State = #{library := Library, connection := Connection}) ->
    NewState = #{prepared := #{Name := Statement}} = prepare(Name, State),
    {Library:execute(Connection, Statement, Params), NewState}.

prepare(Name, State = #{prepared := Prepared}) when is_map_key(Name, Prepared) ->
    State;
prepare(Name, State = #{library := Library, connection := Connection, prepared := Prepared}) ->
    case Library:prepare(Connection, Name, host_rdbms:statement(Name)) of
        {ok, Statement} ->
            State#{prepared := Prepared#{Name => Statement}};
        {error, Reason} ->
            error(#{what => sql_prepare_failed, statement_name => Name, reason => Reason})
    end.
