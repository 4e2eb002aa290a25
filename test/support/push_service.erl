-module(push_service).
-moduledoc "A service that publishes push notifications, as a component of the stand-in.".

-behaviour(gen_server).

-export([start/1, stop/1, await_messages/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([message/0]).

-type message() :: #{node := binary(), summary := #{binary() => binary()},
                     options := #{binary() => binary()}, received_at_ms := integer()}.

%% For the given domain, on the stand-in that runs. It confirms whatever is published.
-spec start(Domain :: jid:lserver()) -> {ok, pid()}.
start(Domain) ->
    gen_server:start(?MODULE, Domain, []).

-spec stop(pid()) -> ok.
stop(Service) ->
    gen_server:stop(Service).

%% In order of arrival; fewer than wanted after the timeout.
-spec await_messages(pid(), Wanted :: non_neg_integer(), timeout()) -> [message()].
await_messages(_Service, 0, _Timeout) ->
    [];
await_messages(Service, Wanted, Timeout) ->
    Deadline = erlang:monotonic_time(millisecond) + Timeout,
    case gen_server:call(Service, {next, Timeout}, infinity) of
        {ok, Message} ->
            Left = max(0, Deadline - erlang:monotonic_time(millisecond)),
            [Message | await_messages(Service, Wanted - 1, Left)];
        timeout ->
            []
    end.

%% gen_server callbacks: either messages have arrived that nobody has asked for, or one caller waits.

init(Domain) ->
    ok = host:add_component(Domain),
    {ok, #{arrived => [], caller => none}}.

handle_call({next, _Timeout}, _From, #{arrived := [Oldest | Others]} = State) ->
    {reply, {ok, Oldest}, State#{arrived := Others}};
handle_call({next, Timeout}, From, #{arrived := []} = State) ->
    {noreply, State#{caller := {From, erlang:start_timer(Timeout, self(), caller)}}}.

handle_cast(_Request, State) ->
    {noreply, State}.

handle_info({routed, Routed}, #{arrived := Arrived, caller := Caller} = State) ->
    ok = push_rig:answer(Routed, result),
    Message = message(Routed),
    case Caller of
        none ->
            {noreply, State#{arrived := Arrived ++ [Message]}};
        {From, Timer} ->
            _ = erlang:cancel_timer(Timer),
            gen_server:reply(From, {ok, Message}),
            {noreply, State#{caller := none}}
    end;
handle_info({timeout, Timer, caller}, #{caller := {From, Timer}} = State) ->
    gen_server:reply(From, timeout),
    {noreply, State#{caller := none}};
handle_info({timeout, _Timer, caller}, State) ->
    {noreply, State}.

message(Routed) ->
    #{node => push_rig:node_of(Routed),
      summary => maps:from_list(push_rig:summary(Routed)),
      options => maps:from_list(push_rig:publish_options(Routed)),
      received_at_ms => erlang:system_time(millisecond)}.
