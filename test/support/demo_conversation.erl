-module(demo_conversation).
-moduledoc "The first part of the demo: who says what, and what each receiver is to get of it.".

-export([play/1, step/2, private/1, to_offline/1, flood/1]).
-export_type([step/0]).

-define(PATIENCE_MS, 20000).
-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(ROOM, <<"garden@muc.localhost">>).
-define(PUSH, <<"push.example">>).
-define(NODE, <<"bob's phone">>).

%% Where a notification arrives, and what it says at least.
-type notification() :: {demo_receivers:receiver(), Place :: binary(),
                         Fields :: #{binary() => term()}}.
-type step() :: {Text :: string(), fun(() -> term()), Wanted :: [notification()]}.

%% Ends after the first step of which something is missing: what follows would fare no better.
-spec play(demo_receivers:services()) -> {Arrived :: non_neg_integer(), Wanted :: pos_integer()}.
play(Services) ->
    Steps = steps(),
    {play(Services, Steps), lists:sum([length(Wanted) || {_, _, Wanted} <- Steps])}.

play(_Services, []) ->
    0;
play(Services, [{_, _, Wanted} = Step | Others]) ->
    case step(Services, Step) of
        Arrived when Arrived =:= length(Wanted) -> Arrived + play(Services, Others);
        Arrived -> Arrived
    end.

%% The steps

steps() ->
    [{"alice comes online", fun() -> host:user_available(?ALICE) end, presence(?ALICE, true)},
     {"bob comes online", fun() -> host:user_available(?BOB) end, presence(?BOB, true)},
     private("alice writes to bob", ?ALICE, ?BOB, <<"Hi Bob! Tea at 5? ☕"/utf8>>),
     private("bob answers", ?BOB, ?ALICE, <<"Sure, <b>bring</b> biscuits & \"jam\" 🍪"/utf8>>),
     in_room("alice talks in the room", ?ALICE, <<"Who else is coming?">>),
     from_room("the room tells bob", ?BOB, <<"Who else is coming?">>),
     in_room("bob talks in the room", ?BOB, <<"Дверь открыта"/utf8>>),
     {"bob's phone registers for push notifications",
      fun() -> push_rig:enable(?BOB, ?PUSH, ?NODE, [{<<"secret">>, <<"of the service">>}]) end, []},
     {"bob goes offline", fun() -> host:user_unavailable(?BOB, <<>>) end, presence(?BOB, false)},
     to_offline(<<"Bring an umbrella ☔"/utf8>>)].

presence(User, Present) ->
    [{sns, <<"presence">>, #{<<"user_id">> => bare(User), <<"present">> => Present}},
     {rabbit, <<"presence ", (bare(User))/binary>>,
      #{<<"user_id">> => User, <<"present">> => Present}}].

%% Bob writes to alice, who is online: for SNS, HTTP and twice for RabbitMQ.
-spec private(Body :: binary()) -> step().
private(Body) ->
    private("bob writes to alice", ?BOB, ?ALICE, Body).

private(Text, From, To, Body) ->
    Full = message(From, To, Body),
    {Text, fun() -> host:send_message(From, To, rig:message(<<"chat">>, Body)) end,
     [{sns, <<"private-messages">>, message(bare(From), bare(To), Body)},
      {http, <<"POST /webservice/notifications">>,
       #{<<"author">> => user(From), <<"server">> => ?HT, <<"receiver">> => user(To),
         <<"message">> => Body}},
      {rabbit, <<"chat_msg ", (bare(From))/binary, ".chat_msg_sent">>, Full},
      {rabbit, <<"chat_msg ", (bare(To))/binary, ".chat_msg_recv">>, Full}]}.

%% Alice writes to bob after the conversation: for all receivers.
-spec to_offline(Body :: binary()) -> step().
to_offline(Body) ->
    {Text, Act, Wanted} = private("alice writes to bob, who is away", ?ALICE, ?BOB, Body),
    {Text, Act, Wanted ++ [{push, ?NODE, #{<<"message-count">> => <<"1">>,
                                           <<"last-message-sender">> => bare(?ALICE),
                                           <<"last-message-body">> => Body}}]}.

in_room(Text, From, Body) ->
    {Text, fun() -> host:send_message(From, ?ROOM, rig:message(<<"groupchat">>, Body)) end,
     [{sns, <<"room-messages">>, message(bare(From), ?ROOM, Body)},
      {rabbit, <<"groupchat_msg ", (bare(From))/binary, ".groupchat_msg_sent">>,
       message(From, ?ROOM, Body)}]}.

from_room(Text, To, Body) ->
    From = <<(?ROOM)/binary, "/alice">>,
    {Text, fun() -> host:route(From, To, rig:message(<<"groupchat">>, Body)) end,
     [{rabbit, <<"groupchat_msg ", (bare(To))/binary, ".groupchat_msg_recv">>,
       message(From, To, Body)}]}.

%% So many messages of the room reach alice, each an event for RabbitMQ alone; the microseconds
%% that each took the server.
-spec flood(Messages :: pos_integer()) -> [non_neg_integer()].
flood(Messages) ->
    [element(1, timer:tc(Act))
     || N <- lists:seq(1, Messages),
        {_, Act, _} <- [from_room("", ?ALICE, integer_to_binary(N))]].

message(From, To, Body) ->
    #{<<"from_user_id">> => From, <<"to_user_id">> => To, <<"message">> => Body}.

bare(Jid) -> hd(binary:split(Jid, <<"/">>)).

user(Jid) -> hd(binary:split(Jid, <<"@">>)).

%% Playing it

%% How many of the wanted notifications arrived.
-spec step(demo_receivers:services(), step()) -> non_neg_integer().
step(Services, {Text, Act, Wanted}) ->
    Begin = erlang:system_time(millisecond),
    {Micros, _} = timer:tc(Act),
    demo_text:say("~n~ts (the server took ~b us)", [Text, Micros]),
    Receivers = lists:usort([Receiver || {Receiver, _, _} <- Wanted]),
    Arrived = lists:append([arrived(Receiver, Services, Wanted)
                            || Receiver <- [sns, http, rabbit, push],
                               lists:member(Receiver, Receivers)]),
    [demo_text:say("  ~-8ts ~5b ms  ~ts~n                     ~ts",
                   [name(Receiver), At - Begin, Place, Body])
     || {Receiver, Place, _Fields, Body, At} <- Arrived],
    Missing = [Notification || Notification <- Wanted, not is_among(Notification, Arrived)],
    [demo_text:say("  ~-8ts           ~ts is missing", [name(Receiver), Place])
     || {Receiver, Place, _Fields} <- Missing],
    length(Wanted) - length(Missing).

arrived(Receiver, Services, Wanted) ->
    Count = length([wanted || {R, _, _} <- Wanted, R =:= Receiver]),
    [shown(Receiver, Message)
     || Message <- demo_receivers:arrived(Receiver, Services, Count, ?PATIENCE_MS)].

shown(sns, #{topic := Topic, body := Body, attributes := Attributes, received_at_ms := At}) ->
    Values = [[" ", Name, "=", Value]
              || {Name, {_Type, Value}} <- lists:sort(maps:to_list(Attributes))],
    {sns, Topic, json(Body), [Body, Values], At};
shown(http, #{method := Method, path := Path, body := Body, received_at_ms := At}) ->
    {http, <<Method/binary, " ", Path/binary>>, maps:from_list(uri_string:dissect_query(Body)),
     Body, At};
shown(rabbit, #{exchange := Exchange, routing_key := Key, body := Body, received_at_ms := At}) ->
    {rabbit, <<Exchange/binary, " ", Key/binary>>, json(Body), Body, At};
shown(push, #{node := Node, summary := Summary, options := Options, received_at_ms := At}) ->
    Texts = [[" ", Name, "=", Value]
             || Fields <- [Summary, Options], {Name, Value} <- lists:sort(maps:to_list(Fields))],
    {push, Node, Summary, Texts, At}.

json(Body) -> jiffy:decode(Body, [return_maps]).

%% Metadata of the filter may stand beside the fields.
is_among({Receiver, Place, Wanted}, Arrived) ->
    lists:any(fun({R, P, Fields, _Body, _At}) ->
                  {R, P, maps:with(maps:keys(Wanted), Fields)} =:= {Receiver, Place, Wanted}
              end, Arrived).

name(sns) -> "SNS";
name(http) -> "HTTP";
name(rabbit) -> "RabbitMQ";
name(push) -> "push".
