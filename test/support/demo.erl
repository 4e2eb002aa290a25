-module(demo).
-moduledoc "Plays a short conversation and shows its notifications as they arrive at SNS.".

-export([main/0]).

-define(PRESENCE, "presence").
-define(PM, "private-messages").
-define(MUC, "room-messages").
-define(PATIENCE_MS, 20000).

-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(ROOM, <<"garden@muc.localhost">>).

-type step() :: {Text :: string(), fun(() -> term()), Wanted :: {Topic :: string(), map()}}.

%% Ends the VM: with status 0 only if everything arrived as it should.
-spec main() -> no_return().
main() ->
    ok = io:setopts(standard_io, [{encoding, unicode}]),
    ok = rig:start_application(),
    say("starting an SNS service that verifies every signature ..."),
    {ok, Service} = sns_service:start(),
    [sns_service:topic(Service, Topic) || Topic <- [?PRESENCE, ?PM, ?MUC]],
    #{endpoint := Endpoint} = Info = sns_service:info(Service),
    say("SNS at ~s, MongooseIM's hooks in this node, configured by examples/mongooseim.toml",
        [Endpoint]),
    Config = configure(Info),
    ok = host:start(Config),
    ok = file:delete(Config),
    Steps = conversation(),
    Results = [play(Service, Step) || Step <- Steps],
    show_counters(),
    ok = host:stop(),
    ok = sns_service:stop(Service),
    Delivered = length([arrived || arrived <- Results]),
    say("delivered ~b of ~b events", [Delivered, length(Steps)]),
    halt(case Delivered =:= length(Steps) of true -> 0; false -> 1 end).

%% The example's configuration, for the service that runs.
configure(#{endpoint := Endpoint, access_key_id := KeyId, secret_access_key := Secret}) ->
    {ok, Example} = file:read_file("examples/mongooseim.toml"),
    Values = [{"sns_host", Endpoint}, {"access_key_id", KeyId}, {"secret_access_key", Secret}],
    Replace = fun({Key, Value}, Toml) ->
        re:replace(Toml, ["(?m)^(\\s*", Key, " = )\".*\"$"], ["\\g1\"", Value, "\""])
    end,
    Toml = lists:foldl(Replace, Example, Values),
    Path = filename:join("_build", "demo-" ++ os:getpid() ++ ".toml"),
    ok = file:write_file(Path, Toml),
    Path.

-spec conversation() -> [step()].
conversation() ->
    Alice = <<"alice@localhost">>,
    Bob = <<"bob@localhost">>,
    [{"alice comes online", fun() -> host:user_available(?ALICE) end, presence(Alice, true)},
     {"bob comes online", fun() -> host:user_available(?BOB) end, presence(Bob, true)},
     message("alice writes to bob", ?ALICE, ?BOB, <<"Hi Bob! Tea at 5? ☕"/utf8>>),
     message("bob answers", ?BOB, ?ALICE, <<"Sure, <b>bring</b> biscuits & \"jam\" 🍪"/utf8>>),
     message("alice talks in the room", ?ALICE, ?ROOM, <<"Who else is coming?">>),
     message("bob talks in the room", ?BOB, ?ROOM, <<"Дверь открыта"/utf8>>),
     {"bob goes offline", fun() -> host:user_unavailable(?BOB, <<>>) end, presence(Bob, false)}].

presence(User, Online) ->
    {?PRESENCE, #{<<"user_id">> => User, <<"present">> => Online}}.

message(Text, From, To, Body) ->
    {Type, Topic} = case To of
        ?ROOM -> {<<"groupchat">>, ?MUC};
        _ -> {<<"chat">>, ?PM}
    end,
    Bare = fun(Jid) -> hd(binary:split(Jid, <<"/">>)) end,
    {Text, fun() -> host:send_message(From, To, rig:message(Type, Body)) end,
     {Topic, #{<<"from_user_id">> => Bare(From), <<"to_user_id">> => Bare(To),
               <<"message">> => Body}}}.

-spec play(pid(), step()) -> arrived | lost | different.
play(Service, {Text, Act, {Topic, Wanted}}) ->
    Begin = erlang:system_time(millisecond),
    {Micros, _} = timer:tc(Act),
    say("~n~ts (the hooks took ~b us)", [Text, Micros]),
    case sns_service:await_message(Service, ?PATIENCE_MS) of
        {ok, #{topic := Got, body := Body, attributes := Attributes, received_at_ms := At}} ->
            say("  after ~b ms at ~s~n    ~ts~ts", [At - Begin, Got, Body, shown(Attributes)]),
            case {binary_to_list(Got), jiffy:decode(Body, [return_maps])} of
                {Topic, Wanted} -> arrived;
                _ -> say("  which is different from ~s ~tp", [Topic, Wanted]), different
            end;
        timeout ->
            say("  nothing arrived within ~b ms", [?PATIENCE_MS]),
            lost
    end.

shown(Attributes) ->
    [["\n    with ", Name, " = ", Value, " (", Type, ")"]
     || {Name, {Type, Value}} <- lists:sort(maps:to_list(Attributes))].

show_counters() ->
    %% A message may arrive before the answer that confirms it.
    Stats = sns_rig:await_stats(fun(#{waiting := Waiting}) -> Waiting =:= 0 end),
    say("~nthe pool's counters:"),
    [say("  ~s: ~b", [Name, maps:get(Name, Stats)])
     || Name <- [accepted, delivered, rejected, exhausted, closed, refused_full, retried, waiting]],
    say("").

say(Text) -> say(Text, []).

say(Format, Args) -> io:format(standard_io, Format ++ "~n", Args).
