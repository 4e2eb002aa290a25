-module(host_clients).
-moduledoc "Clients of users that wait for the answer to an IQ.".

-export([create_table/0, ask/3, answer/3]).

-define(PATIENCE_MS, 10000).

-type answer() :: exml:element() | no_reply.

-export_type([answer/0]).

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public]),
    ok.

%% Runs the function that sends the IQ, and waits for what comes back. Raises after a while without
%% a word, for example when a worker was killed.
-spec ask(jid:jid(), Id :: binary(), Send :: fun(() -> host_router:result())) -> answer().
ask(Jid, Id, Send) ->
    Alias = erlang:alias(),
    true = ets:insert_new(?MODULE, {{Jid, Id}, Alias}),
    try
        Send() =:= drop andalso answer(Jid, Id, no_reply),
        receive {Alias, Answer} -> Answer
        after ?PATIENCE_MS -> error({neither_answered_nor_dropped, Id})
        end
    after
        true = ets:delete(?MODULE, {Jid, Id}),
        erlang:unalias(Alias)
    end.

%% Only the first answer counts.
-spec answer(jid:jid(), Id :: binary(), answer()) -> ok.
answer(Jid, Id, Answer) ->
    lists:foreach(fun({_Key, Alias}) -> Alias ! {Alias, Answer} end,
                  ets:take(?MODULE, {Jid, Id})).
