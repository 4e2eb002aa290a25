-module(mongoose_mnesia).
-moduledoc "Creates tables of Mnesia, which has to run; see host_mnesia.".

-export([create_table/2]).

-include_lib("kernel/include/logger.hrl").

-type result() :: {atomic, ok} | {aborted, {already_exists, Table :: atom()}}.

%% A table that is there already gets the copies it lacks on this node.
-spec create_table(Table :: atom(), Opts :: [{atom(), term()}]) -> result().
create_table(Table, Opts) ->
    case mnesia:system_info(is_running) =:= yes andalso mnesia:create_table(Table, Opts) of
        {atomic, ok} ->
            {atomic, ok};
        {aborted, {already_exists, Table}} ->
            _ = [mnesia:add_table_copy(Table, node(), Type)
                 || {Type, [_ | _]} <- Opts, lists:member(Type, copy_types())],
            {aborted, {already_exists, Table}};
        false ->
            failed(Table, Opts, mnesia_not_running);
        Reason ->
            failed(Table, Opts, Reason)
    end.

copy_types() ->
    [disc_copies, disc_only_copies, ram_copies].

-spec failed(atom(), [{atom(), term()}], term()) -> no_return().
failed(Table, Opts, Reason) ->
    ?LOG_CRITICAL(#{what => mnesia_create_table_failed, table => Table, create_opts => Opts,
                    reason => Reason}),
    error({mnesia_create_table_failed, Table, Reason}).
