-module(host_rdbms_pgsql).
-moduledoc "PostgreSQL through p1_pgsql, with values and results as a server has them.".
-behaviour(host_rdbms_connection).

-export([connect/1, disconnect/1, prepare/3, execute/3]).

-define(UNIQUE_VIOLATION, <<"23505">>).

-spec connect(map()) -> {ok, pid()} | {error, term()}.
connect(#{host := Host, port := Port, database := Database, username := Username,
          password := Password}) ->
    case pgsql_proto:start_link([{host, Host}, {port, Port}, {database, Database},
                                 {user, Username}, {password, Password}, {as_binary, true}]) of
        {ok, Connection} ->
            %% A server does this, so backslashes in the literals of a statement are escapes.
            {ok, [<<"SET">>]} = pgsql:squery(Connection, "SET standard_conforming_strings=off"),
            {ok, Connection};
        {error, Reason} ->
            {error, Reason}
    end.

-spec disconnect(pid()) -> term().
disconnect(Connection) ->
    pgsql:terminate(Connection).

-spec prepare(pid(), atom(), binary()) -> {ok, binary()} | {error, string()}.
prepare(Connection, Name, SQL) ->
    Statement = atom_to_binary(Name),
    case pgsql:prepare(Connection, Statement, with_numbers(SQL)) of
        {ok, _Status, _ParamTypes, _ColumnTypes} -> {ok, Statement};
        {error, Error} -> {error, message(Error)}
    end.

-spec execute(pid(), binary(), mongoose_rdbms:query_params()) -> mongoose_rdbms:query_result().
execute(Connection, Statement, Params) ->
    case pgsql:execute(Connection, Statement, [param(Param) || Param <- Params]) of
        {ok, {<<"SELECT ", _/binary>>, Rows}} -> {selected, [row(Row) || Row <- Rows]};
        {ok, {Tag, Rows}} when is_binary(Tag) -> {updated, count(Tag), [row(Row) || Row <- Rows]};
        {ok, {_Insert, Count}} when is_integer(Count) -> {updated, Count};
        {error, Error} -> {error, reason(Error)}
    end.

%% A server does not look whether a question mark is part of a literal, either.
with_numbers(SQL) ->
    [First | Rest] = binary:split(SQL, <<"?">>, [global]),
    Numbers = [[$$, integer_to_binary(Number)] || Number <- lists:seq(1, length(Rest))],
    iolist_to_binary([First | lists:zipwith(fun(Number, Part) -> [Number, Part] end,
                                            Numbers, Rest)]).

param(Param) when is_boolean(Param) -> atom_to_list(Param);
param(Param) when is_list(Param) -> iolist_to_binary(Param);
param(Param) -> Param.

row(Columns) ->
    list_to_tuple([column(Type, Value) || {Type, Value} <- Columns]).

column(Type, Value) when Type =:= int2; Type =:= int4; Type =:= int8 -> binary_to_integer(Value);
column(bool, Value) -> Value =:= <<"1">>;
column(_Type, Value) -> Value.

%% The last word of "INSERT 0 1", for one.
count(Tag) ->
    binary_to_integer(lists:last(binary:split(Tag, <<" ">>, [global]))).

reason(Error) ->
    case proplists:get_value(code, Error) of
        ?UNIQUE_VIOLATION -> duplicate_key;
        _ -> message(Error)
    end.

message(Error) ->
    unicode:characters_to_list(proplists:get_value(message, Error)).
