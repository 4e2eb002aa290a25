-module(event_pusher_push_storage).
-moduledoc "Whether registrations for push notifications can be read, and what to do where they cannot.".

-export([probe/1]).

-define(MAIN, mod_event_pusher_push).
-define(MNESIA_TABLE, push_subscription).
-define(RDBMS_TABLE, "event_pusher_push_subscription").
%% A database that hangs is waited for by others, but not by whoever looks.
-define(PATIENCE_MS, 5000).
-define(TEXT_LIMIT, 200).
%% A database tells in one of these ways that there is no such table: by the state of the standard and
%% of PostgreSQL, by that of MySQL, or in words.
-define(NO_TABLE, "42P01|42S02|undefined_table|relation .* does not exist|Table .* doesn't exist").

%% Reads the registrations of a user whom there cannot be.
-spec probe(mongooseim:host_type()) -> event_pusher:finding().
probe(HostType) ->
    Backend = gen_mod:get_module_opt(HostType, ?MAIN, backend),
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> Self ! {self(), read(HostType)} end),
    Finding = receive
                  {Pid, ok} -> {works, text("registrations can be read (~ts)", [Backend])};
                  {Pid, {failed, Reason}} -> unreadable(trouble(Backend, Reason));
                  {'DOWN', Monitor, process, Pid, Reason} -> unreadable(trouble(Backend, Reason))
              after ?PATIENCE_MS ->
                  exit(Pid, kill),
                  unreadable(io_lib:format("no answer within ~b s (~ts)", [?PATIENCE_MS div 1000, Backend]))
              end,
    true = demonitor(Monitor, [flush]),
    Finding.

unreadable(Why) ->
    {broken, text("registrations cannot be read: ~ts", [Why])}.

read(HostType) ->
    Nobody = jid:make_noprep(<<>>, <<"nobody.invalid">>, <<>>),
    try mod_event_pusher_push_backend:get_publish_services(HostType, Nobody) of
        {ok, _} -> ok;
        {error, Reason} -> {failed, Reason}
    catch
        _Class:Reason -> {failed, Reason}
    end.

text(Format, Args) ->
    unicode:characters_to_binary(io_lib:format(Format, Args)).

-spec trouble(Backend :: atom(), Reason :: term()) -> iodata().
trouble(mnesia, Reason) -> of_mnesia(mnesia:system_info(is_running), Reason);
trouble(rdbms, Reason) -> of_database(Reason);
trouble(_OfSomebodyElse, Reason) -> io_lib:format("the storage fails (~ts)", [kind(Reason)]).

of_mnesia(yes, {no_exists, _}) ->
    case lists:member(?MNESIA_TABLE, mnesia:system_info(tables)) of
        true ->
            Nodes = mnesia:table_info(?MNESIA_TABLE, disc_copies),
            io_lib:format("the table ~ts of Mnesia is not loaded, it waits for the nodes that had it last, "
                          "among ~ts: start them", [?MNESIA_TABLE, lists:join(", ", names(Nodes))]);
        false ->
            io_lib:format("there is no table ~ts in Mnesia: restart the node, which makes it",
                          [?MNESIA_TABLE])
    end;
of_mnesia(yes, Reason) ->
    io_lib:format("Mnesia fails (~ts)", [kind(Reason)]);
of_mnesia(_NotRunning, _Reason) ->
    "Mnesia does not run on this node: restart it".

names(Nodes) ->
    [atom_to_binary(Node) || Node <- lists:sort(Nodes)].

%% Each driver has terms of its own, and each version of the server puts others around them.
of_database({pool_not_started, _}) ->
    "the pool [outgoing_pools.rdbms.default] does not run: look at the log of the start";
of_database(#{reason := {error, Reason}}) ->
    of_database(Reason);
of_database(Reason) ->
    case re:run(io_lib:format("~0tp", [Reason]), ?NO_TABLE, [unicode, {capture, none}]) of
        match ->
            "there is no table " ?RDBMS_TABLE " in the database: make it, as the server's schema has it, "
            "priv/pg.sql, priv/mysql.sql or priv/cockroachdb.sql";
        nomatch ->
            refusal(Reason)
    end.

%% What a database says in words is about the statement and the table; there are no values in it.
refusal(Text) when is_list(Text), Text =/= [] ->
    ["the database says: ", string:slice(Text, 0, ?TEXT_LIMIT)];
refusal(Reason) ->
    io_lib:format("the database of [outgoing_pools.rdbms.default] does not answer (~ts): look whether it "
                  "runs, and at the server's log", [kind(Reason)]).

%% Around an exit of a worker, there are the call and the stack trace.
kind(Reason) when is_tuple(Reason), is_tuple(element(1, Reason)) -> kind(element(1, Reason));
kind(Reason) -> event_pusher_crash:kind(Reason).
