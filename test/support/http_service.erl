-module(http_service).
-moduledoc "A real HTTP receiver for tests: a Python port, each request a message here.".

-export([start/0, start/1, stop/1]).
-export([info/1, answer/2, answer/3, answer_path/3, script/2, hold/2, release/1]).
-export([down/1, up/1, reset/1, max_in_flight/1, count/1]).
-export([await_message/2, await_messages/3, flush/1]).
-export_type([options/0, info/0, message/0]).

-type options() :: #{cert => file:filename(), key => file:filename()}.
-type info() :: #{url := binary()}.
-type message() :: #{method := binary(), path := binary(),
                     headers := [{LowerCaseName :: binary(), Value :: binary()}],
                     body := binary(), received_at_ms := integer()}.
-type status() :: 200..599.

-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    start(#{}).

%% With a certificate it serves TLS alone.
-spec start(options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    receiver:start("http_receiver.py", [{"--" ++ atom_to_list(Option), Value}
                                        || {Option, Value} <- maps:to_list(Options)]).

-spec stop(pid()) -> ok.
stop(Service) ->
    receiver:stop(Service).

-spec info(pid()) -> info().
info(Service) ->
    receiver:info(Service).

%% What requests get from now on.
-spec answer(pid(), status()) -> ok.
answer(Service, Status) ->
    receiver:command(Service, ["answer", Status]).

%% The same with the header Retry-After: a number of seconds, or a date.
-spec answer(pid(), status(), RetryAfter :: non_neg_integer() | string()) -> ok.
answer(Service, Status, RetryAfter) ->
    receiver:command(Service, ["answer", Status, RetryAfter]).

%% What requests get whose path begins so; the longest prefix wins.
-spec answer_path(pid(), PathPrefix :: iodata(), status()) -> ok.
answer_path(Service, PathPrefix, Status) ->
    receiver:command(Service, ["answer_path", PathPrefix, Status]).

%% What the next requests get, one by one; then the standing answer is back.
-spec script(pid(), [status()]) -> ok.
script(Service, Statuses) ->
    receiver:command(Service, ["script" | Statuses]).

%% Requests whose path begins so arrive, but get no answer until they are released.
-spec hold(pid(), PathPrefix :: iodata()) -> ok.
hold(Service, PathPrefix) ->
    receiver:command(Service, ["hold", PathPrefix]).

-spec release(pid()) -> ok.
release(Service) ->
    receiver:command(Service, ["release"]).

%% Cuts every connection and refuses new ones.
-spec down(pid()) -> ok.
down(Service) ->
    receiver:command(Service, ["down"]).

-spec up(pid()) -> ok.
up(Service) ->
    receiver:command(Service, ["up"]).

%% As at the start. What arrived stays until it is awaited or flushed.
-spec reset(pid()) -> ok.
reset(Service) ->
    receiver:command(Service, ["reset"]).

%% The most requests that were without an answer at a time.
-spec max_in_flight(pid()) -> non_neg_integer().
max_in_flight(Service) ->
    receiver:command(Service, ["max_in_flight"]).

-spec count(pid()) -> non_neg_integer().
count(Service) ->
    receiver:command(Service, ["count"]).

-spec await_message(pid(), timeout()) -> {ok, message()} | timeout.
await_message(Service, Timeout) ->
    receiver:await_message(Service, Timeout).

%% In order of arrival; fewer than wanted after the timeout.
-spec await_messages(pid(), Wanted :: pos_integer(), timeout()) -> [message()].
await_messages(Service, Wanted, Timeout) ->
    receiver:await_messages(Service, Wanted, Timeout).

%% What arrived and nobody has awaited.
-spec flush(pid()) -> [message()].
flush(Service) ->
    receiver:flush(Service).
