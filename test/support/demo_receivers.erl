-module(demo_receivers).
-moduledoc "The receivers of the demo, and the server whose configuration names them.".

-export([check/0, start/0, start/1, stop/1, arrived/4]).
-export_type([receiver/0, services/0]).

-type receiver() :: sns | http | rabbit | push.
-type services() :: #{receiver() => pid()}.

-define(HT, <<"localhost">>).
-define(EXAMPLE, "examples/mongooseim.toml").
-define(TOPICS, ["presence", "private-messages", "room-messages"]).
-define(EXCHANGES, [<<"presence">>, <<"chat_msg">>, <<"groupchat_msg">>]).
-define(PUSH, <<"push.example">>).
-define(MNESIA, "_build/demo-mnesia").
%% Between two looks, and how long a message may be on its way from a receiver to here.
-define(LOOK_MS, 50).
-define(LATE_MS, 2000).

%% Raises what is wrong with the configuration, before the receivers take their time to start.
-spec check() -> ok.
check() ->
    _ = host_config:load(?EXAMPLE),
    ok.

-spec start() -> services().
start() ->
    start("").

%% Receivers first, then the server: with more at the end of its configuration.
-spec start(MoreToml :: iodata()) -> services().
start(More) ->
    #{sns := Sns, rabbit := Rabbit} = Services = start_services(),
    [sns_service:topic(Sns, Topic) || Topic <- ?TOPICS],
    _ = file:del_dir_r(?MNESIA),
    ok = host_mnesia:start(?MNESIA),
    Config = configure(Services, More),
    try host:start(Config) after ok = file:delete(Config) end,
    listen(Rabbit),
    {ok, Push} = push_service:start(?PUSH),
    Services#{push => Push}.

-spec stop(services()) -> ok.
stop(#{push := Push} = Services) ->
    ok = push_service:stop(Push),
    ok = host:stop(),
    ok = host_mnesia:stop(),
    ok = file:del_dir_r(?MNESIA),
    maps:foreach(fun(Receiver, Pid) -> ok = (module(Receiver)):stop(Pid) end,
                 maps:remove(push, Services)).

%% At the same time: the broker takes a while.
start_services() ->
    Started = [{Receiver, spawn_monitor(fun() -> exit((module(Receiver)):start()) end)}
               || Receiver <- [sns, http, rabbit]],
    maps:from_list([receive {'DOWN', Monitor, process, Pid, {ok, Service}} -> {Receiver, Service};
                            {'DOWN', Monitor, process, Pid, Reason} ->
                                error(#{what => receiver_not_started, receiver => Receiver,
                                        cause => Reason})
                    end || {Receiver, {Pid, Monitor}} <- Started]).

module(sns) -> sns_service;
module(http) -> http_service;
module(rabbit) -> rabbit_service;
module(push) -> push_service.

%% The example's configuration, for the receivers that run. What was changed there stays.
configure(#{sns := Sns, http := Http, rabbit := Rabbit}, More) ->
    #{endpoint := Endpoint, access_key_id := KeyId, secret_access_key := Secret} =
        sns_service:info(Sns),
    #{url := Url} = http_service:info(Http),
    #{host := Host, port := Port, username := Username, password := Password} =
        rabbit_service:info(Rabbit),
    Values = [{"\"https://sns.eu-west-1.amazonaws.com\"", quoted(Endpoint)},
              {"\"the id of an access key\"", quoted(KeyId)}, {"\"its secret\"", quoted(Secret)},
              {"\"http://localhost:8000\"", quoted(Url)},
              {"\"localhost\"\n  port = 5672",
               [quoted(Host), "\n  port = ", integer_to_list(Port)]},
              {"\"the name of a user\"", quoted(Username)},
              {"\"the user's password\"", quoted(Password)}],
    {ok, Example} = file:read_file(?EXAMPLE),
    Replace = fun({From, To}, Toml) ->
        iolist_to_binary(lists:join(To, string:split(Toml, From)))
    end,
    Path = filename:join("_build", "demo-" ++ os:getpid() ++ ".toml"),
    ok = file:write_file(Path, [lists:foldl(Replace, Example, Values), More]),
    Path.

quoted(Text) -> [$", Text, $"].

%% Consumers for all that is published; the exchanges are declared by the backend.
listen(Rabbit) ->
    [begin
         ok = rabbit_service:await_exchange(Rabbit, Exchange),
         rabbit_service:bind(Rabbit, Exchange, topic, true, "#")
     end || Exchange <- ?EXCHANGES],
    ok = rabbit_service:await_consumers(Rabbit).

%% What has arrived, once it is as much as wanted. Nothing more is awaited when the pool has nothing
%% left to deliver, or when time is up.
-spec arrived(receiver(), services(), Wanted :: non_neg_integer(), timeout()) -> [map()].
arrived(Receiver, Services, Wanted, Timeout) ->
    Deadline = erlang:monotonic_time(millisecond) + Timeout,
    take(fun(Count, Ms) ->
             (module(Receiver)):await_messages(maps:get(Receiver, Services), Count, Ms)
         end, Receiver, Wanted, Deadline).

take(_Take, _Receiver, 0, _Deadline) ->
    [];
take(Take, Receiver, Wanted, Deadline) ->
    Over = erlang:monotonic_time(millisecond) > Deadline,
    IsLast = Over orelse waiting(Receiver) =:= 0,
    Messages = Take(Wanted, case IsLast of true -> ?LATE_MS; false -> ?LOOK_MS end),
    case IsLast of
        true -> Messages;
        false -> Messages ++ take(Take, Receiver, Wanted - length(Messages), Deadline)
    end.

waiting(push) -> maps:get(waiting, push_rig:stats());
waiting(sns) -> maps:get(waiting, rig:stats({sns, ?HT}));
waiting(http) -> maps:get(waiting, rig:stats({http, ?HT, 1}));
waiting(rabbit) -> maps:get(waiting, rig:stats({rabbit, ?HT})).
