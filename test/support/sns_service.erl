-module(sns_service).
-moduledoc "A real SNS receiver for tests: moto in a Python port, signatures verified, each arrival a message here.".

-export([start/0, start/1, stop/1]).
-export([info/1, topic/2, user/2, stranger/2, count/1]).
-export([clock/2, unknown/2]).
-export([await_message/2, await_messages/3, flush/1]).
-export_type([options/0, info/0, credentials/0, message/0]).

-type options() :: #{region => string(), account_id => string(),
                     cert => file:filename(), key => file:filename()}.
-type credentials() :: #{access_key_id := binary(), secret_access_key := binary()}.
-type info() :: #{endpoint := binary(), region := binary(), account_id := binary(),
                  access_key_id := binary(), secret_access_key := binary()}.
-type message() :: #{topic := binary(), message_id := binary(), body := binary(),
                     attributes := #{Name :: binary() => {Type :: binary(), Value :: binary()}},
                     group := binary() | undefined, deduplication := binary() | undefined,
                     received_at_ms := integer()}.

-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    start(#{}).

-spec start(options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    Flags = [{region, "--region"}, {account_id, "--account-id"}, {cert, "--cert"}, {key, "--key"}],
    receiver:start("sns_service.py", [{Flag, maps:get(Option, Options)}
                                      || {Option, Flag} <- Flags, is_map_key(Option, Options)]).

-spec stop(pid()) -> ok.
stop(Service) ->
    receiver:stop(Service).

-spec info(pid()) -> info().
info(Service) ->
    receiver:info(Service).

-spec topic(pid(), Name :: iodata()) -> #{name := binary(), arn := binary()}.
topic(Service, Name) ->
    receiver:command(Service, ["topic", Name]).

-spec user(pid(), Name :: iodata()) -> credentials().
user(Service, Name) ->
    receiver:command(Service, ["user", Name]).

%% One who may do nothing.
-spec stranger(pid(), Name :: iodata()) -> credentials().
stranger(Service, Name) ->
    receiver:command(Service, ["stranger", Name]).

%% How many seconds the clock of the service is ahead from now on.
-spec clock(pid(), integer()) -> ok.
clock(Service, Ahead) ->
    receiver:command(Service, ["clock", Ahead]).

%% Which actions the service does not know from now on.
-spec unknown(pid(), Actions :: [iodata()]) -> ok.
unknown(Service, Actions) ->
    receiver:command(Service, ["unknown" | Actions]).

-spec count(pid()) -> #{Topic :: binary() => non_neg_integer()}.
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
