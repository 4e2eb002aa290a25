-module(mongoose_rdbms).
-moduledoc "Prepared statements in the database of a host type; host_rdbms has its connections.".

-export([prepare/4, execute/3, execute_successfully/3, escape_prepared_like/1, db_engine/1]).

-include_lib("kernel/include/logger.hrl").

-type query_name() :: atom().
-type query_params() :: [iodata() | integer() | boolean() | null].
-type query_result() :: {selected, [tuple()]}
                      | {updated, non_neg_integer()}
                      | {updated, non_neg_integer(), [tuple()]}
                      | {error, Reason :: string() | duplicate_key | {pool_not_started, term()}}.
-type backend() :: mysql | pgsql.

-export_type([query_name/0, query_params/0, query_result/0, backend/0]).

-define(TAG, default).

%% Only makes the statement known; each connection prepares it when it is first executed there.
-spec prepare(query_name(), Table :: binary() | atom(), Fields :: [binary() | atom()],
              Statement :: iodata()) ->
          {ok, query_name()} | {error, already_exists}.
prepare(Name, _Table, _Fields, Statement) when is_atom(Name) ->
    case host_rdbms:add_statement(Name, iolist_to_binary(Statement)) of
        true -> {ok, Name};
        false -> {error, already_exists}
    end.

%% What the database says of the values is an error here. A statement that it cannot prepare ends
%% the connection, and so does the loss of the latter; both are an exit of the caller.
-spec execute(mongooseim:host_type() | global, query_name(), query_params()) -> query_result().
execute(HostType, Name, Params) when is_atom(Name), is_list(Params) ->
    host_rdbms:execute(HostType, ?TAG, Name, Params).

%% The same, but an error is logged and raised.
-spec execute_successfully(mongooseim:host_type() | global, query_name(), query_params()) ->
          query_result().
execute_successfully(HostType, Name, Params) ->
    case execute(HostType, Name, Params) of
        {error, Reason} ->
            Failure = #{what => sql_execute_failed, host => HostType, statement_name => Name,
                        statement_params => Params, reason => {error, Reason}},
            ?LOG_ERROR(Failure),
            error(Failure);
        Result ->
            Result
    end.

%% For a statement with LIKE ? ESCAPE '$'.
-spec escape_prepared_like(binary()) -> binary().
escape_prepared_like(Text) ->
    << <<(escape_character(Character))/binary>> || <<Character>> <= Text >>.

escape_character(Character) when Character =:= $%; Character =:= $_; Character =:= $$ ->
    <<$$, Character>>;
escape_character(Character) ->
    <<Character>>.

%% All pools of a server have one engine, so the host type does not matter.
-spec db_engine(mongooseim:host_type() | global) -> backend() | undefined.
db_engine(_HostType) ->
    host_rdbms:engine().
