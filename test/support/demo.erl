-module(demo).
-moduledoc "Plays a short conversation and shows, side by side, what arrives at each receiver.".

-export([main/0]).

-define(PATIENCE_MS, 20000).
-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(ROOM, <<"garden@muc.localhost">>).

-define(TOPICS, ["presence", "private-messages", "room-messages"]).
-define(EXCHANGES, [<<"presence">>, <<"chat_msg">>, <<"groupchat_msg">>]).

-define(PUSH, <<"push.example">>).
-define(MNESIA, "_build/demo-mnesia").
-define(NODE, <<"bob's phone">>).

-type receiver() :: sns | http | rabbit | push.
-type services() :: #{receiver() => pid()}.
%% Where a notification arrives, and what it says at least.
-type notification() :: {receiver(), Place :: binary(), Fields :: #{binary() => term()}}.
-type step() :: {Text :: string(), fun(() -> term()), Wanted :: [notification()]}.

%% Ends the VM: with status 0 only if everything arrived as it should.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    ok = rig:start_application(),
    say("starting an SNS service that verifies every signature, an HTTP receiver and RabbitMQ ..."),
    #{sns := Sns, http := Http, rabbit := Rabbit} = Services = start_services(),
    [sns_service:topic(Sns, Topic) || Topic <- ?TOPICS],
    _ = file:del_dir_r(?MNESIA),
    ok = host_mnesia:start(?MNESIA),
    Config = configure(Services),
    ok = host:start(Config),
    ok = file:delete(Config),
    listen(Rabbit),
    {ok, Push} = push_service:start(?PUSH),
    say("SNS at ~s~nHTTP at ~s~nRabbitMQ on port ~b~n"
        "a push service at ~s~nMongooseIM's hooks in this node, configured by examples/mongooseim.toml",
        [maps:get(endpoint, sns_service:info(Sns)), maps:get(url, http_service:info(Http)),
         maps:get(port, rabbit_service:info(Rabbit)), ?PUSH]),
    Steps = conversation(),
    Delivered = lists:sum([play(Services#{push => Push}, Step) || Step <- Steps]),
    show_counters(),
    ok = push_service:stop(Push),
    ok = host:stop(),
    ok = host_mnesia:stop(),
    ok = file:del_dir_r(?MNESIA),
    ok = sns_service:stop(Sns),
    ok = http_service:stop(Http),
    ok = rabbit_service:stop(Rabbit),
    Wanted = lists:sum([length(Notifications) || {_, _, Notifications} <- Steps]),
    say("delivered ~b of ~b events", [Delivered, Wanted]),
    halt(case Delivered =:= Wanted of true -> 0; false -> 1 end).

%% The receivers

%% At the same time: the broker takes a while.
-spec start_services() -> services().
start_services() ->
    Modules = #{sns => sns_service, http => http_service, rabbit => rabbit_service},
    Started = [{Receiver, spawn_monitor(fun() -> exit(Module:start()) end)}
               || {Receiver, Module} <- maps:to_list(Modules)],
    maps:from_list([receive {'DOWN', Monitor, process, Pid, {ok, Service}} -> {Receiver, Service};
                            {'DOWN', Monitor, process, Pid, Reason} -> error({Receiver, Reason})
                    end || {Receiver, {Pid, Monitor}} <- Started]).

%% The example's configuration, for the receivers that run.
configure(#{sns := Sns, http := Http, rabbit := Rabbit}) ->
    #{endpoint := Endpoint, access_key_id := KeyId, secret_access_key := Secret} =
        sns_service:info(Sns),
    #{url := Url} = http_service:info(Http),
    #{host := Host, port := Port, username := Username, password := Password} =
        rabbit_service:info(Rabbit),
    Values = [{"\"https://sns.eu-west-1.amazonaws.com\"", quoted(Endpoint)},
              {"\"the id of an access key\"", quoted(KeyId)}, {"\"its secret\"", quoted(Secret)},
              {"\"http://localhost:8000\"", quoted(Url)},
              {"\"localhost\"\n  port = 5672", [quoted(Host), "\n  port = ", integer_to_list(Port)]},
              {"\"the name of a user\"", quoted(Username)},
              {"\"the user's password\"", quoted(Password)}],
    {ok, Example} = file:read_file("examples/mongooseim.toml"),
    Replace = fun({From, To}, Toml) ->
        [Before, After] = string:split(Toml, From),
        iolist_to_binary([Before, To, After])
    end,
    Path = filename:join("_build", "demo-" ++ os:getpid() ++ ".toml"),
    ok = file:write_file(Path, lists:foldl(Replace, Example, Values)),
    Path.

quoted(Text) -> [$", Text, $"].

%% Consumers for all that is published; the exchanges are declared by the backend.
listen(Rabbit) ->
    [begin
         ok = rabbit_service:await_exchange(Rabbit, Exchange),
         rabbit_service:bind(Rabbit, Exchange, topic, false, "#")
     end || Exchange <- ?EXCHANGES],
    ok = rabbit_service:await_consumers(Rabbit).

%% The conversation

-spec conversation() -> [step()].
conversation() ->
    [{"alice comes online", fun() -> host:user_available(?ALICE) end, presence(?ALICE, true)},
     {"bob comes online", fun() -> host:user_available(?BOB) end, presence(?BOB, true)},
     private("alice writes to bob", ?ALICE, ?BOB, <<"Hi Bob! Tea at 5? ☕"/utf8>>),
     private("bob answers", ?BOB, ?ALICE, <<"Sure, <b>bring</b> biscuits & \"jam\" 🍪"/utf8>>),
     in_room("alice talks in the room", ?ALICE, <<"Who else is coming?">>),
     from_room("the room tells bob", ?BOB, <<"Who else is coming?">>),
     in_room("bob talks in the room", ?BOB, <<"Дверь открыта"/utf8>>),
     {"bob's phone registers for push notifications",
      fun() -> push_rig:enable(?BOB, ?PUSH, ?NODE, [{<<"secret">>, <<"known to the service">>}]) end,
      []},
     {"bob goes offline", fun() -> host:user_unavailable(?BOB, <<>>) end, presence(?BOB, false)},
     to_offline("alice writes to bob, who is away", ?ALICE, ?BOB, <<"Bring an umbrella ☔"/utf8>>)].

presence(User, Present) ->
    [{sns, <<"presence">>, #{<<"user_id">> => bare(User), <<"present">> => Present}},
     {rabbit, <<"presence ", (bare(User))/binary>>,
      #{<<"user_id">> => User, <<"present">> => Present}}].

private(Text, From, To, Body) ->
    Full = message(From, To, Body),
    {Text, fun() -> host:send_message(From, To, rig:message(<<"chat">>, Body)) end,
     [{sns, <<"private-messages">>, message(bare(From), bare(To), Body)},
      {http, <<"POST /webservice/notifications">>,
       #{<<"author">> => user(From), <<"server">> => ?HT, <<"receiver">> => user(To),
         <<"message">> => Body}},
      {rabbit, <<"chat_msg ", (bare(From))/binary, ".chat_msg_sent">>, Full},
      {rabbit, <<"chat_msg ", (bare(To))/binary, ".chat_msg_recv">>, Full}]}.

to_offline(Text, From, To, Body) ->
    {Text, Act, Wanted} = private(Text, From, To, Body),
    {Text, Act, Wanted ++ [{push, ?NODE, #{<<"message-count">> => <<"1">>,
                                           <<"last-message-sender">> => bare(From),
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

message(From, To, Body) ->
    #{<<"from_user_id">> => From, <<"to_user_id">> => To, <<"message">> => Body}.

bare(Jid) -> hd(binary:split(Jid, <<"/">>)).

user(Jid) -> hd(binary:split(Jid, <<"@">>)).

%% Playing it

%% How many of the wanted notifications arrived.
-spec play(services(), step()) -> non_neg_integer().
play(Services, {Text, Act, Wanted}) ->
    Begin = erlang:system_time(millisecond),
    {Micros, _} = timer:tc(Act),
    say("~n~ts (the server took ~b us)", [Text, Micros]),
    Receivers = lists:usort([Receiver || {Receiver, _, _} <- Wanted]),
    Arrived = lists:append([arrived(Receiver, Services, Wanted)
                            || Receiver <- [sns, http, rabbit, push],
                               lists:member(Receiver, Receivers)]),
    [say("  ~-8ts ~4b ms  ~ts~n                    ~ts", [name(Receiver), At - Begin, Place, Body])
     || {Receiver, Place, _Fields, Body, At} <- Arrived],
    Missing = [Notification || Notification <- Wanted, not is_among(Notification, Arrived)],
    [say("  ~-8ts          ~ts is missing", [name(Receiver), Place])
     || {Receiver, Place, _Fields} <- Missing],
    length(Wanted) - length(Missing).

arrived(Receiver, Services, Wanted) ->
    Module = list_to_existing_atom(atom_to_list(Receiver) ++ "_service"),
    Count = length([wanted || {R, _, _} <- Wanted, R =:= Receiver]),
    [shown(Receiver, Message)
     || Message <- Module:await_messages(maps:get(Receiver, Services), Count, ?PATIENCE_MS)].

shown(sns, #{topic := Topic, body := Body, attributes := Attributes, received_at_ms := At}) ->
    Values = [[" ", Name, "=", Value] || {Name, {_Type, Value}} <- lists:sort(maps:to_list(Attributes))],
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

show_counters() ->
    Counters = [accepted, delivered, rejected, exhausted, closed, refused_full, retried, waiting],
    say("~nthe pools' counters:"),
    %% A message may arrive before the answer that confirms it.
    Settled = [{element(1, Pool), rig:await_stats(Pool, fun(#{waiting := Waiting}) -> Waiting =:= 0 end)}
               || Pool <- [{sns, ?HT}, {http, ?HT, 1}, {rabbit, ?HT}]],
    [say("  ~-8ts ~ts", [name(Receiver),
                         lists:join(", ", [[atom_to_list(Counter), " ",
                                            integer_to_list(maps:get(Counter, Stats))]
                                           || Counter <- Counters])])
     || {Receiver, Stats} <- Settled ++ [{push, push_rig:await_stats(#{waiting => 0})}]],
    say("").

say(Text) -> say(Text, []).

say(Format, Args) -> io:format(standard_io, Format ++ "~n", Args).
