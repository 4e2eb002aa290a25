-module(mod_event_pusher_push_rdbms).
-moduledoc "Registrations for push notifications in a relational database, in the server's own table.".

-behaviour(mod_event_pusher_push_backend).

-export([init/2, enable/5, disable/2, disable/4, get_publish_services/2, remove_domain/2]).

-define(TABLE, event_pusher_push_subscription).

-spec init(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
init(HostType, _Opts) ->
    Exactly = exactly(HostType),
    Owner = <<"owner_jid = ? AND owner_jid", Exactly/binary, " = ?">>,
    Service = <<Owner/binary, " AND pubsub_jid", Exactly/binary, " = ?">>,
    prepare(event_pusher_push_insert, [owner_jid, node, pubsub_jid, form, created_at],
            <<"INSERT INTO event_pusher_push_subscription VALUES (?, ?, ?, ?, ?)">>),
    prepare(event_pusher_push_select, [owner_jid, owner_jid],
            <<"SELECT node, pubsub_jid, form FROM event_pusher_push_subscription WHERE ",
              Owner/binary>>),
    prepare(event_pusher_push_delete, [owner_jid, owner_jid],
            <<"DELETE FROM event_pusher_push_subscription WHERE ", Owner/binary>>),
    prepare(event_pusher_push_delete_pubsub_jid, [owner_jid, owner_jid, pubsub_jid],
            <<"DELETE FROM event_pusher_push_subscription WHERE ", Service/binary>>),
    prepare(event_pusher_push_delete_node, [owner_jid, owner_jid, pubsub_jid, node],
            <<"DELETE FROM event_pusher_push_subscription WHERE ", Service/binary,
              " AND node", Exactly/binary, " = ?">>),
    %% By the primary key: exactly what an insertion would collide with.
    prepare(event_pusher_push_delete_key, [owner_jid, node, pubsub_jid],
            <<"DELETE FROM event_pusher_push_subscription "
              "WHERE owner_jid = ? AND node = ? AND pubsub_jid = ?">>),
    prepare(event_pusher_push_delete_domain, [owner_jid, owner_jid],
            <<"DELETE FROM event_pusher_push_subscription WHERE owner_jid", Exactly/binary,
              " LIKE ? ESCAPE '$' OR owner_jid", Exactly/binary, " = ?">>).

%% In the server's schema for MySQL, letters that differ by an accent only are equal, and so are
%% many symbols, but users, services, nodes and domains that differ by them are not. The index is
%% for the first comparison of the owner, which finds a few rows too many; the others are exact.
-spec exactly(mongooseim:host_type()) -> binary().
exactly(HostType) ->
    case mongoose_rdbms:db_engine(HostType) of
        mysql -> <<" COLLATE utf8mb4_bin">>;
        _ -> <<>>
    end.

%% Statements are shared by all host types, and stay when a module stops.
-spec prepare(atom(), [atom()], binary()) -> ok.
prepare(Name, Fields, Sql) ->
    case mongoose_rdbms:prepare(Name, ?TABLE, Fields, Sql) of
        {ok, Name} -> ok;
        {error, already_exists} -> ok
    end.

-spec enable(mongooseim:host_type(), jid:jid(), jid:jid(), mod_event_pusher_push:pubsub_node(),
             mod_event_pusher_push:form()) -> ok | {error, term()}.
enable(HostType, User, PubsubJid, Node, Form) ->
    Key = [jid:to_bare_binary(User), Node, jid:to_binary(PubsubJid)],
    ok = delete(HostType, event_pusher_push_delete_key, Key),
    Row = Key ++ [iolist_to_binary(jiffy:encode(Form)), erlang:system_time(microsecond)],
    case mongoose_rdbms:execute_successfully(HostType, event_pusher_push_insert, Row) of
        {updated, 1} -> ok;
        Other -> {error, Other}
    end.

-spec disable(mongooseim:host_type(), jid:jid()) -> ok.
disable(HostType, User) ->
    Owner = jid:to_bare_binary(User),
    delete(HostType, event_pusher_push_delete, [Owner, Owner]).

-spec disable(mongooseim:host_type(), jid:jid(), jid:jid(),
              mod_event_pusher_push_backend:node_or_all()) -> ok.
disable(HostType, User, PubsubJid, undefined) ->
    Owner = jid:to_bare_binary(User),
    delete(HostType, event_pusher_push_delete_pubsub_jid,
           [Owner, Owner, jid:to_binary(PubsubJid)]);
disable(HostType, User, PubsubJid, Node) ->
    Owner = jid:to_bare_binary(User),
    delete(HostType, event_pusher_push_delete_node,
           [Owner, Owner, jid:to_binary(PubsubJid), Node]).

-spec get_publish_services(mongooseim:host_type(), jid:jid()) ->
    {ok, [mod_event_pusher_push:publish_service()]}.
get_publish_services(HostType, User) ->
    Owner = jid:to_bare_binary(User),
    {selected, Rows} = mongoose_rdbms:execute_successfully(HostType, event_pusher_push_select,
                                                           [Owner, Owner]),
    {ok, [{jid:from_binary(PubsubJid), Node, jiffy:decode(Form, [return_maps])}
          || {Node, PubsubJid, Form} <- Rows]}.

%% The database looks through the table: a domain is the end of what its index holds. An owner
%% without a user part is the domain itself.
-spec remove_domain(mongooseim:host_type(), jid:lserver()) -> ok.
remove_domain(HostType, Domain) ->
    Pattern = <<"%@", (mongoose_rdbms:escape_prepared_like(Domain))/binary>>,
    delete(HostType, event_pusher_push_delete_domain, [Pattern, Domain]).

delete(HostType, Statement, Parameters) ->
    {updated, _} = mongoose_rdbms:execute_successfully(HostType, Statement, Parameters),
    ok.
