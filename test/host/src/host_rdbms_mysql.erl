-module(host_rdbms_mysql).
-moduledoc "MariaDB through p1_mysql, with values and results as a server has them.".
-behaviour(host_rdbms_connection).

%% The library has no prepared statements, but MariaDB has them in SQL, too: PREPARE and EXECUTE.
%% It is MariaDB that finds the question marks and takes the values, which are literals of EXECUTE
%% instead of bytes of the protocol; both compare like any literal, not like a column.

-export([connect/1, disconnect/1, prepare/3, execute/3]).

-define(TIMEOUT, 5000).
-define(CONNECTION_LOST, ["connection closed", "query timed out",
                          "p1_mysql_recv: socket was closed"]).
-define(INTEGERS, ['TINY', 'SHORT', 'INT24', 'LONG', 'LONGLONG']).

-spec connect(map()) -> {ok, pid()} | {error, term()}.
connect(#{host := Host, port := Port, database := Database, username := Username,
          password := Password}) ->
    %% The library tells the reason of a failure only to its log.
    Owner = self(),
    Log = fun(error, Format, Args) -> Owner ! {?MODULE, lists:flatten(io_lib:format(Format, Args))};
             (_Level, _Format, _Args) -> ok
          end,
    case p1_mysql_conn:start_link(Host, Port, Username, Password, Database, Log) of
        {ok, Connection} ->
            {updated, 0} = query(Connection, "SET NAMES utf8mb4"),
            {ok, Connection};
        {error, Reason} ->
            {error, receive {?MODULE, Text} -> Text after 0 -> Reason end}
    end.

-spec disconnect(pid()) -> term().
disconnect(Connection) ->
    p1_mysql_conn:stop(Connection).

-spec prepare(pid(), atom(), binary()) -> {ok, iodata()} | {error, string()}.
prepare(Connection, Name, SQL) ->
    Statement = [$`, atom_to_binary(Name), $`],
    case query(Connection, ["PREPARE ", Statement, " FROM ", literal(SQL)]) of
        {updated, _} -> {ok, Statement};
        {error, Reason} -> {error, Reason}
    end.

-spec execute(pid(), iodata(), mongoose_rdbms:query_params()) -> mongoose_rdbms:query_result().
execute(Connection, Statement, []) ->
    query(Connection, ["EXECUTE ", Statement]);
execute(Connection, Statement, Params) ->
    Literals = lists:join(", ", [literal(Param) || Param <- Params]),
    query(Connection, ["EXECUTE ", Statement, " USING ", Literals]).

query(Connection, Query) ->
    Options = [{result_type, binary}, {timeout, ?TIMEOUT}],
    case p1_mysql_conn:squery(Connection, iolist_to_binary(Query), self(), Options) of
        {updated, Result} ->
            {updated, p1_mysql:get_result_affected_rows(Result)};
        {data, Result} ->
            Types = [Type || {_Table, _Field, _Length, Type}
                                 <- p1_mysql:get_result_field_info(Result)],
            {selected, [row(Types, Row) || Row <- p1_mysql:get_result_rows(Result)]};
        {error, Result} ->
            failure(p1_mysql:get_result_reason(Result))
    end.

failure("#23000Duplicate entry" ++ _) ->
    {error, duplicate_key};
failure([$#, _, _, _, _, _ | Message]) ->
    {error, unicode:characters_to_list(list_to_binary(Message))};
failure(Reason) ->
    lists:member(Reason, ?CONNECTION_LOST) andalso error({connection_lost, Reason}),
    {error, Reason}.

row(Types, Values) ->
    list_to_tuple(lists:zipwith(fun column/2, Types, Values)).

column(_Type, null) ->
    null;
column(Type, Value) ->
    case lists:member(Type, ?INTEGERS) of
        true -> binary_to_integer(Value);
        false -> Value
    end.

literal(null) -> "NULL";
literal(true) -> "1";
literal(false) -> "0";
literal(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
literal(Text) -> p1_mysql:quote(binary_to_list(iolist_to_binary(Text))).
