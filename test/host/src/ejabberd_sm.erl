-module(ejabberd_sm).
-moduledoc "The table of sessions, and the way of a stanza to the account or a client of a user.".

-export([get_user_present_resources/1, is_offline/1, get_raw_sessions/1]).
-export([store_info/4, remove_info/3, get_info/2, route/4]).
-export([create_table/0, connect/1, open/1, close/1, find/1]).

-include_lib("stdlib/include/ms_transform.hrl").
-include("exml.hrl").
-include("iq.hrl").
-include("jid.hrl").
-include("session.hrl").

-type session() :: #session{}.
-type sid() :: {Microseconds :: integer(), pid()}.
-type info_key() :: atom().
-type info() :: #{info_key() => term()}.

-export_type([session/0, sid/0, info_key/0, info/0]).

-spec get_user_present_resources(jid:jid()) -> [{Priority :: integer(), jid:lresource()}].
get_user_present_resources(Jid) ->
    [{Priority, Resource} || #session{priority = Priority, usr = {_, _, Resource}}
                                 <- get_raw_sessions(Jid),
                             is_integer(Priority)].

-spec is_offline(jid:jid()) -> boolean().
is_offline(Jid) ->
    case get_user_present_resources(Jid) of
        [] -> true;
        Present -> lists:max([Priority || {Priority, _} <- Present]) < 0
    end.

-spec get_raw_sessions(jid:jid()) -> [session()].
get_raw_sessions(Jid) ->
    User = jid:to_lus(Jid),
    ets:select(?MODULE, ets:fun2ms(fun(Session = #session{us = US}) when US =:= User -> Session end)).

%% What is noted in a session. A server passes a change on to the client's process and does not wait
%% for it; a session that is gone is no failure for either.

-spec store_info(jid:jid(), sid(), info_key(), Value :: term()) -> ok.
store_info(Jid, {_Started, _Pid} = Sid, Key, undefined) ->
    update_info(Jid, Sid, fun(Info) -> maps:remove(Key, Info) end);
store_info(Jid, {_Started, _Pid} = Sid, Key, Value) ->
    update_info(Jid, Sid, fun(Info) -> Info#{Key => Value} end).

-spec remove_info(jid:jid(), sid(), info_key()) -> ok.
remove_info(Jid, Sid, Key) ->
    store_info(Jid, Sid, Key, undefined).

-spec get_info(FullJid :: jid:jid(), info_key()) -> {ok, term()} | {error, offline | not_set}.
get_info(Jid, Key) ->
    case find(Jid) of
        [#session{info = #{Key := Value}}] -> {ok, Value};
        [#session{}] -> {error, not_set};
        [] -> {error, offline}
    end.

update_info(Jid, Sid, Update) ->
    [true = ets:insert(?MODULE, Session#session{info = Update(Info)})
     || Session = #session{sid = S, info = Info} <- find(Jid), S =:= Sid],
    ok.

%% Routing. An account handles IQs; of what its clients get, only answers to IQs are looked at.

-spec route(From :: jid:jid(), To :: jid:jid(), mongoose_acc:t(), exml:element()) ->
          mongoose_acc:t().
route(From, To = #jid{lresource = <<>>}, Acc, Packet = #xmlel{name = <<"iq">>}) ->
    process_iq(jlib:iq_query_or_response_info(Packet), From, To, Acc, Packet);
route(From, To, Acc, Packet = #xmlel{name = <<"iq">>}) ->
    to_client(exml_query:attr(Packet, <<"type">>), From, To, Acc, Packet);
route(_From, _To, Acc, _Packet) ->
    Acc.

process_iq(#iq{type = Type}, _From, _To, Acc, _Packet) when Type =:= result; Type =:= error ->
    Acc;
process_iq(Iq = #iq{xmlns = NS}, From, To, Acc, _Packet) ->
    case host_iq_handlers:find(?MODULE, jid:lserver(To), NS) of
        {ok, Handler} ->
            mongoose_iq_handler:process_iq(Handler, Acc, From, To, Iq);
        {error, not_found} ->
            host_router:bounce(Acc, mongoose_xmpp_errors:service_unavailable())
    end;
process_iq(invalid, _From, _To, Acc, _Packet) ->
    host_router:bounce(Acc, mongoose_xmpp_errors:bad_request()).

to_client(Answer, From, To, Acc, Packet) when Answer =:= <<"result">>; Answer =:= <<"error">> ->
    host_clients:answer(To, exml_query:attr(Packet, <<"id">>),
                        jlib:replace_from_to(From, To, Packet)),
    Acc;
to_client(_Request, _From, To, Acc, _Packet) ->
    case find(To) of
        [_Session] -> Acc;
        [] -> host_router:bounce(Acc, mongoose_xmpp_errors:service_unavailable())
    end.

%% For the driver

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {keypos, #session.usr}]),
    ok.

%% Connected, but not available. False for a user who is connected already.
-spec connect(jid:jid()) -> boolean().
connect(Jid) ->
    ets:insert_new(?MODULE, #session{sid = {erlang:system_time(microsecond), self()},
                                     usr = jid:to_lower(Jid),
                                     us = jid:to_lus(Jid),
                                     priority = undefined}).

%% False for a user who is available already.
-spec open(jid:jid()) -> boolean().
open(Jid) ->
    _ = connect(Jid),
    [Session = #session{priority = Priority}] = find(Jid),
    Priority =:= undefined andalso ets:insert(?MODULE, Session#session{priority = 0}).

%% False for a user who is not available.
-spec close(jid:jid()) -> boolean().
close(Jid) ->
    [Session || Session = #session{priority = Priority} <- ets:take(?MODULE, jid:to_lower(Jid)),
                is_integer(Priority)] =/= [].

-spec find(FullJid :: jid:jid()) -> [session()].
find(Jid) ->
    ets:lookup(?MODULE, jid:to_lower(Jid)).
