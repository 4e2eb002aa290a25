-module(bench_yardstick).
-moduledoc "What pools are compared with: bare loops of their clients (see native/bench), and OTP's client.".

-export([signed/3, plain/3, httpc/3, amqp/3, paced/3]).
-export_type([load/0]).

-type rig() :: bench_rig:rig().
-type run() :: fun(() -> bench_case:figures()).
%% connections: with one request under way on each. window: confirms outstanding on each, 0 for none at all.
-type load() :: #{connections := pos_integer(), events := pos_integer(), bytes => pos_integer(),
                  window => non_neg_integer()}.

-define(BYTES, 200).

%% Publish requests, each signed by aws-sigv4.
-spec signed(rig(), bench_rig:receiver(), load()) -> run().
signed(Rig, Receiver, Load) ->
    fun() -> rate(http(signed, Rig, Receiver, sns_body(bytes(Load)), Load)) end.

-spec plain(rig(), bench_rig:receiver(), load()) -> run().
plain(Rig, Receiver, Load) ->
    fun() -> rate(http(plain, Rig, Receiver, form_body(bytes(Load)), Load)) end.

%% Each process has a connection, as the workers of a pool have.
-spec httpc(rig(), bench_rig:receiver(), load()) -> run().
httpc(#{beside := Node}, #{url := Url, ca := Ca}, #{connections := Workers, events := Events} = Load) ->
    Body = iolist_to_binary(form_body(bytes(Load))),
    fun() -> bench_rig:call(Node, bench_httpc, measure, [Url, Ca, Body, Workers, Events]) end.

-spec amqp(rig(), rabbit_service:info(), load()) -> run().
amqp(Rig, #{username := User, password := Password, port := Port},
     #{connections := Connections, window := Window, events := Events} = Load) ->
    Uri = ["amqp://", User, $:, Password, "@127.0.0.1:", integer_to_list(Port), "/%2f"],
    fun() ->
        rate(bare(Rig, "bare_amqp", json_body(bytes(Load)), fun(BodyFile) ->
            [Uri, "chat_msg", BodyFile, Connections, Window, Events, threads()]
        end))
    end.

%% One request after the other, with a pause after each. When each was handed over, in nanoseconds.
-spec paced(rig(), bench_rig:receiver(), #{pause_ms := pos_integer(), events := pos_integer()}) -> [integer()].
paced(Rig, Receiver, #{pause_ms := Pause, events := Events}) ->
    Said = http(paced, Rig, Receiver, form_body(?BYTES), #{connections => Pause, events => Events}),
    [binary_to_integer(Line) || Line <- string:lexemes(Said, "\n")].

bytes(Load) ->
    maps:get(bytes, Load, ?BYTES).

rate(Said) ->
    [Rate, Cpu] = string:lexemes(Said, " \n"),
    #{rate => binary_to_float(Rate), cpu => binary_to_float(Cpu)}.

http(Kind, Rig, #{url := Url, ca := Ca}, Body, #{connections := Connections, events := Events}) ->
    bare(Rig, "event_pusher_bench", Body, fun(BodyFile) ->
        [atom_to_list(Kind), Url, Ca, BodyFile, Connections, Events, threads()]
    end).

%% As many as the library has.
threads() ->
    event_pusher_env:get(runtime_threads).

%% What the program prints. No shell is between, which would break a path at a blank.
bare(#{folder := Folder, programs := Programs}, Program, Body, Args) ->
    BodyFile = filename:join(Folder, "body"),
    ok = file:write_file(BodyFile, Body),
    Words = [case is_integer(Arg) of
                 true -> integer_to_binary(Arg);
                 false -> iolist_to_binary(Arg)
             end || Arg <- Args(BodyFile)],
    Port = open_port({spawn_executable, filename:join(Programs, Program)}, [{args, Words}, exit_status, binary]),
    printed(Port, <<>>).

printed(Port, Said) ->
    receive
        {Port, {data, More}} -> printed(Port, <<Said/binary, More/binary>>);
        {Port, {exit_status, 0}} -> Said;
        {Port, {exit_status, Status}} -> error({yardstick_failed, Status})
    end.

%% The bytes of one Publish request for the event of bench_event.
sns_body(Bytes) ->
    ["Action=Publish&Version=2010-03-31&TopicArn=",
     uri_string:quote("arn:aws:sns:eu-west-1:123456789012:pm"),
     "&Message=", uri_string:quote(iolist_to_binary(json_body(Bytes)))].

form_body(Bytes) ->
    ["author=alice&server=localhost&receiver=bob&message=", bench_event:body(Bytes)].

json_body(Bytes) ->
    ["{\"from_user_id\":\"alice@localhost\",\"to_user_id\":\"bob@localhost\",\"message\":\"",
     bench_event:body(Bytes), "\"}"].
