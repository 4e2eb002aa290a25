-module(event_pusher).
-moduledoc "Pools that deliver messages in the background: start, stop, push, look inside.".

-export([check_pool/1, start_pool/3, stop_pools/1, push/2, stats/1, try_tls/4]).
-export_type([name/0, settings/0, target/0, tls/0, message/0, json/0, attribute/0]).
-export_type([stats/0, report/0, report_to/0]).

-doc "A pool's name: the backend and the host type it serves, and what tells several apart.".
-type name() :: {atom(), binary()} | {atom(), binary(), pos_integer()}.

-doc "What a pool may hold, how hard it tries, and where it delivers. Times in milliseconds.".
-type settings() :: #{
    pool_size := pos_integer(),
    %% Pools of one limit and size have no more than pool_size attempts under way together.
    limit => binary(),
    max_events := pos_integer(),
    max_bytes := pos_integer(),
    retry_count := non_neg_integer() | infinity,
    retry_time_ms := non_neg_integer(),
    retry_max_ms := non_neg_integer(),
    drain_timeout_ms := non_neg_integer(),
    target := target()
}.

-type target() :: #{
    target := sns,
    sns_host := binary(),
    region := binary(),
    partition := binary(),
    account_id := binary(),
    topics := [{Key :: binary(), Name :: binary()}],
    access_key_id := binary(),
    secret_access_key := binary(),
    publish_batch := boolean(),
    connect_timeout_ms := pos_integer(),
    request_timeout_ms := pos_integer()
} | #{
    target := http,
    host := binary(),
    path_prefix := binary(),
    path := binary(),
    tls := tls() | none,
    http2 := boolean(),
    connect_timeout_ms := pos_integer(),
    request_timeout_ms := non_neg_integer()
} | #{
    target := rabbit,
    host := binary(),
    port := inet:port_number(),
    username := binary(),
    password := binary(),
    virtual_host := binary(),
    connection_name := binary(),
    confirms := boolean(),
    declare := active | passive | none,
    tls := tls() | none,
    reconnect_delay_ms := non_neg_integer(),
    reconnect_max_ms := non_neg_integer(),
    nack_retry_count := non_neg_integer() | infinity,
    nack_retry_time_ms := non_neg_integer(),
    nack_retry_max_ms := non_neg_integer(),
    exchanges := [{Section :: binary(), Name :: binary(), Type :: binary(), Durable :: boolean()}]
}.

-doc "The server's client TLS options. Files are PEM; the password is that of the key.".
-type tls() :: #{
    verify_mode := peer | selfsigned_peer | none,
    disconnect_on_failure := boolean(),
    cacertfile => binary(),
    certfile => binary(),
    keyfile => binary(),
    password => binary(),
    ciphers => binary(),
    versions := [binary()],
    server_name := default | disabled | binary()
}.

-doc "One event for one destination. Messages of one group keep their order. For HTTP, attributes
are headers; for RabbitMQ, the destination is an exchange and the group the routing key.".
-type message() :: #{
    destination := binary(),
    body := binary() | json(),
    attributes => [attribute()],
    group => binary()
}.

-doc "A JSON object. Integers of more than 64 bits have to be given as text, in decimal digits.".
-type json() :: {json, [{Key :: binary(), binary() | number() | true | false | null
                                          | {number, Digits :: binary()}}]}.

-type attribute() :: {Name :: binary(), {string | number | binary, binary()}}.

-doc "accepted = delivered + rejected + exhausted + nacked + unanswered + closed + waiting, always.".
-type stats() :: #{
    accepted := non_neg_integer(),
    delivered := non_neg_integer(),
    rejected := non_neg_integer(),
    exhausted := non_neg_integer(),
    %% Of native pools:
    nacked => non_neg_integer(),
    %% Only of push notifications:
    unanswered => non_neg_integer(),
    closed := non_neg_integer(),
    waiting := non_neg_integer(),
    refused_full := non_neg_integer(),
    refused_closed := non_neg_integer(),
    retried := non_neg_integer(),
    %% Attempts at one message that the receiver did not take then.
    nacks => non_neg_integer(),
    panics := non_neg_integer(),
    queue_events := non_neg_integer(),
    queue_bytes := non_neg_integer(),
    in_flight := non_neg_integer(),
    oldest_ms := non_neg_integer(),
    batch_limit := pos_integer(),
    %% How many seconds the receiver's clock is ahead, where that matters; else 0.
    clock_offset_s := integer(),
    %% Of the connection that a target keeps; none for a target without one.
    connection := none | down | up | blocked,
    connections_opened := non_neg_integer(),
    connections_lost := non_neg_integer(),
    connections_failed := non_neg_integer(),
    connection_cause := binary() | undefined,
    %% What somebody has to mend, as a declaration that the broker refuses.
    connection_refused := binary() | undefined,
    %% What the broker allows less of than is wanted.
    connection_limited => binary() | undefined,
    %% Only in reports:
    times_us => [non_neg_integer()],
    attempt_times_us => [non_neg_integer()],
    last_rejected => binary() | undefined,
    last_exhausted => binary() | undefined,
    last_nacked => binary() | undefined,
    last_retried => binary() | undefined
}.

-doc "Totals as in stats/0, and up to 64 delivery times and the latest causes since the last one.".
-type report() :: stats().

-doc "Called as apply(Module, Function, [Previous, Current | Args]) for each report.".
-type report_to() :: {module(), Function :: atom(), Args :: [term()]}.

%% Whether start_pool/3 would take the settings. Starts nothing, and needs nothing that runs.
-spec check_pool(settings()) -> ok | {error, [binary()]}.
check_pool(Settings) ->
    try
        event_pusher_nif:check_pool(Settings)
    catch
        %% A stack trace would show the settings.
        error:badarg -> {error, [<<"an option is not of the type that it has to be">>]}
    end.

%% Starts a pool, not linked to the caller. An error names every unusable setting.
-spec start_pool(name(), settings(), report_to()) ->
    ok | {error, already_started | not_running | bad_settings | panic | [binary()]}.
start_pool(Name, Settings, ReportTo) ->
    case event_pusher_sup:start_pool(Name, Settings, ReportTo) of
        {ok, _Owner} -> ok;
        {error, {already_started, _Owner}} -> {error, already_started};
        %% The supervisor adds the child to the reason.
        {error, {{shutdown, Reason}, _Child}} -> {error, Reason}
    end.

%% Drains the pools, all at the same time and each up to its deadline, and ends them; a last report
%% of each tells what was dropped.
-spec stop_pools([name()]) -> ok.
stop_pools(Names) ->
    event_pusher_pool:drain(event_pusher_sup:owners(Names)),
    lists:foreach(fun event_pusher_sup:stop_pool/1, Names).

%% Hands a message over to the pool. Takes microseconds and never waits.
-spec push(name(), message()) -> ok | {error, full | closed}.
push(Name, Message) ->
    case event_pusher_pool:handle(Name) of
        {ok, Pool} -> event_pusher_nif:push(Pool, Message);
        {error, closed} -> {error, closed}
    end.

%% Makes a TLS connection and ends it, with that patience for each of its steps. The texts tell what is
%% wrong, with the options or with the connection.
-spec try_tls(Host :: binary(), inet:port_number(), tls(), PatienceMs :: pos_integer()) ->
    ok | {error, {options, [binary()]} | {connection, binary()}}.
try_tls(Host, Port, Tls, PatienceMs) ->
    event_pusher_nif:try_tls(Host, Port, Tls, PatienceMs).

-spec stats(name()) -> {ok, stats()} | {error, closed}.
stats(Name) ->
    case event_pusher_pool:handle(Name) of
        {ok, Pool} -> {ok, event_pusher_nif:stats(Pool)};
        {error, closed} -> {error, closed}
    end.
