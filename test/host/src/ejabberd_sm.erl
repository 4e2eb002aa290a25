-module(ejabberd_sm).
-moduledoc "The table of sessions; the driver opens and closes them, modules only read.".

-export([get_user_present_resources/1, is_offline/1, get_raw_sessions/1]).
-export([create_table/0, open/1, close/1]).

-include("jid.hrl").
-include("session.hrl").

-type session() :: #session{}.

-export_type([session/0]).

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
    ets:lookup(?MODULE, jid:to_lus(Jid)).

%% For the driver

-spec create_table() -> ok.
create_table() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, bag, {keypos, #session.us}]),
    ok.

%% False for a user who is available already.
-spec open(jid:jid()) -> boolean().
open(Jid) ->
    Session = #session{sid = {erlang:system_time(microsecond), self()},
                       usr = jid:to_lower(Jid),
                       us = jid:to_lus(Jid),
                       priority = 0},
    find(Jid) =:= [] andalso ets:insert(?MODULE, Session).

%% False for a user who is not available.
-spec close(jid:jid()) -> boolean().
close(Jid) ->
    Found = find(Jid),
    lists:foreach(fun(Session) -> ets:delete_object(?MODULE, Session) end, Found),
    Found =/= [].

find(Jid) ->
    Usr = jid:to_lower(Jid),
    [Session || Session <- get_raw_sessions(Jid), Session#session.usr =:= Usr].
