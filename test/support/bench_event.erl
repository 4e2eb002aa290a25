-module(bench_event).
-moduledoc "What all measurements push: a message, by the hook that the process of a session runs.".

%% It needs a server and nothing else of ours, so it runs in a release as in the stand-in.

-export([hook/0, hook/1, hook/2, delivery_hook/0, body/1]).
-export([push/2, sample/2, in_parallel/2, percentile/2, percentiles/1]).
-export_type([hook/0]).

-include("exml.hrl").

-type hook() :: fun(() -> term()).

-define(HT, <<"localhost">>).
-define(BYTES, 200).
-define(WARM_UP, 10).

-spec hook() -> hook().
hook() ->
    hook(?BYTES).

%% With a body of so many bytes.
-spec hook(Bytes :: pos_integer()) -> hook().
hook(Bytes) ->
    hook(?HT, Bytes).

-spec hook(HostType :: binary(), Bytes :: pos_integer()) -> hook().
hook(HostType, Bytes) ->
    {_From, _To, Acc, _Packet} = message(HostType, Bytes),
    fun() -> mongoose_c2s_hooks:user_send_message(HostType, Acc, #{}) end.

%% The hook of the same message on its way to the recipient.
-spec delivery_hook() -> hook().
delivery_hook() ->
    Message = message(?HT, ?BYTES),
    fun() -> mongoose_hooks:filter_local_packet(Message) end.

message(Domain, Bytes) ->
    Text = #xmlel{name = <<"body">>, children = [#xmlcdata{content = body(Bytes)}]},
    Packet = #xmlel{name = <<"message">>, attrs = #{<<"type">> => <<"chat">>}, children = [Text]},
    From = jid:from_binary(<<"alice@", Domain/binary, "/phone">>),
    To = jid:from_binary(<<"bob@", Domain/binary, "/laptop">>),
    Acc = mongoose_acc:new(#{location => #{}, lserver => Domain, host_type => Domain, element => Packet,
                             from_jid => From, to_jid => To}),
    {From, To, Acc, Packet}.

-spec body(Bytes :: pos_integer()) -> binary().
body(Bytes) ->
    binary:part(binary:copy(<<"0123456789">>, Bytes div 10 + 1), 0, Bytes).

-spec push(Count :: non_neg_integer(), hook()) -> ok.
push(0, _Hook) -> ok;
push(Count, Hook) -> Hook(), push(Count - 1, Hook).

%% How long each call took, in nanoseconds.
-spec sample(Count :: pos_integer(), hook()) -> [non_neg_integer()].
sample(Count, Hook) ->
    push(?WARM_UP, Hook),
    %% Outside of the heap, so that collecting the samples costs no garbage collection.
    Times = atomics:new(Count, []),
    sample(Count, Hook, Times),
    [atomics:get(Times, N) || N <- lists:seq(1, Count)].

sample(0, _Hook, _Times) ->
    ok;
sample(N, Hook, Times) ->
    Begin = erlang:monotonic_time(nanosecond),
    Hook(),
    ok = atomics:put(Times, N, erlang:monotonic_time(nanosecond) - Begin),
    sample(N - 1, Hook, Times).

%% What processes give that run together.
-spec in_parallel(Callers :: pos_integer(), fun(() -> Result)) -> [Result].
in_parallel(Callers, Fun) ->
    Spawned = [spawn_monitor(fun() -> exit({done, Fun()}) end) || _ <- lists:seq(1, Callers)],
    [receive {'DOWN', Monitor, process, Pid, {done, Result}} -> Result end
     || {Pid, Monitor} <- Spawned].

-spec percentile(float(), Sorted :: [number(), ...]) -> number().
percentile(P, Sorted) ->
    lists:nth(max(1, ceil(P * length(Sorted))), Sorted).

%% Of nanoseconds, in microseconds.
-spec percentiles([non_neg_integer(), ...]) -> #{p50 := float(), p99 := float(), 'p99.9' := float()}.
percentiles(Times) ->
    Sorted = lists:sort(Times),
    #{p50 => percentile(0.5, Sorted) / 1000, p99 => percentile(0.99, Sorted) / 1000,
      'p99.9' => percentile(0.999, Sorted) / 1000}.
