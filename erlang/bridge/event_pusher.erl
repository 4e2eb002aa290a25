-module(event_pusher).
-moduledoc "Pools that deliver messages in the background: start, stop, push, look inside.".

-export([check_pool/1, start_pool/3, stop_pools/1, push/2, stats/1, latest/1, try_tls/4, try_receiver/1]).
-export([spool_orphans/2, spool_room/1]).
%% For operators
-export([status/0, status/1, pools/0, probe/1, pause/1, resume/1, retry_now/1, drain/1, drain/2, drop/2]).
-export_type([name/0, settings/0, backend/0, sns/0, http/0, http_credentials/0, rabbit/0, tls/0, spool/0]).
-export_type([message/0, json/0, attribute/0]).
-export_type([stats/0, report/0, report_to/0]).
-export_type([counts/0, levels/0, status/0, connection/0, recent/0, change/0, spool_levels/0]).
-export_type([finding/0]).
-export_type([times/0, latest/0, spool_room/0]).

%% How long a drain takes at most, and how often it looks.
-define(DRAIN_MS, 60000).
-define(LOOK_MS, 50).

-doc "A pool's name: the backend and the host type it serves, and what tells several apart.".
-type name() :: {atom(), binary()} | {atom(), binary(), pos_integer()}.

-doc "What a pool may hold, how hard it tries, and where it delivers. Times in milliseconds.".
-type settings() :: #{
    pool_size := pos_integer(),
    %% Pools of one limit and size have no more than pool_size attempts under way together.
    limit => binary(),
    max_events := pos_integer(),
    max_bytes := pos_integer(),
    on_full := drop_new | drop_old,
    max_age_ms => pos_integer(),
    %% In place of the counts, of nacks as well: no attempt follows at which an event would be so old.
    retry_max_age_ms => pos_integer(),
    retry_count := non_neg_integer() | infinity,
    retry_time_ms := non_neg_integer(),
    retry_max_ms := non_neg_integer(),
    %% After so many failures in a row, a destination is only probed; 0 is never.
    circuit_breaker_failures => non_neg_integer(),
    drain_timeout_ms := non_neg_integer(),
    spool => spool(),
    backend := backend()
}.

-doc "What keeps the events of a pool on disk. The name of the log is for one pool alone; the options are
the same for all pools with one directory. What is older than max_age_ms when it is read back has expired.".
-type spool() :: #{
    log := binary(),
    options := #{dir := binary(), max_bytes := pos_integer(),
                 sync := always | {ms, pos_integer()}, max_age_ms := pos_integer() | none}
}.

-type backend() :: {sns, sns()} | {http, http()} | {rabbit, rabbit()}.

-type sns() :: #{
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
}.

-type http() :: #{
    host := binary(),
    path_prefix := binary(),
    path := binary(),
    tls := tls() | none,
    http2 := boolean(),
    connect_timeout_ms := pos_integer(),
    request_timeout_ms := non_neg_integer(),
    credentials => http_credentials()
}.

-doc "What shows the receiver who posts. It is added at each attempt, and never on disk.".
-type http_credentials() :: #{
    %% Of Standard Webhooks, to sign with each of them.
    signing_secrets => [binary()],
    headers => [{Name :: binary(), Value :: binary()}],
    basic_auth => #{username := binary(), password := binary()},
    %% Read again about once a second.
    bearer_token_file => binary()
}.

-type rabbit() :: #{
    host := binary(),
    %% Nodes in its place, each with a port or not.
    hosts => [binary()],
    port := inet:port_number(),
    username := binary(),
    password := binary(),
    virtual_host := binary(),
    connection_name := binary(),
    confirms := boolean(),
    %% Only with confirms.
    mandatory := boolean(),
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
    server_name := default | disabled | {name, binary()}
}.

-doc "One event for one destination. Messages of one group keep their order. For HTTP, attributes
are headers; for RabbitMQ, the destination is an exchange and the group the routing key.".
-type message() :: #{
    destination := binary(),
    body := binary() | json(),
    attributes => [attribute()],
    group => binary()
}.

-doc "A JSON object. Integers of more than 64 bits have to be given as text, in decimal digits; a time in
microseconds since 1970 becomes a text as in RFC 3339. Up to four objects may be within each other.".
-type json() :: {json, [{Key :: binary(), binary() | number() | true | false | null
                                          | {number, Digits :: binary()}
                                          | {time, Us :: integer()} | json()}]}.

-type attribute() :: {Name :: binary(), {string | number | binary, binary()} | {time, Us :: integer()}}.

-doc "Totals since the start of the pool, what it holds, and the connection that it keeps. Always
accepted = delivered + rejected + exhausted + nacked + unanswered + unroutable + expired + purged + unreadable + full +
closed + kept + waiting.".
-type stats() :: #{
    counts := counts(),
    levels := levels(),
    status := status(),
    connection := none | connection()
}.

-doc "What is new since the report before: counts, also those of the connection, are differences.
Levels and states are those at the moment.".
-type report() :: #{
    counts := counts(),
    levels := levels(),
    status := status(),
    connection := none | connection(),
    recent := recent()
}.

-type counts() :: #{
    accepted := non_neg_integer(),
    delivered := non_neg_integer(),
    rejected := non_neg_integer(),
    exhausted := non_neg_integer(),
    expired := non_neg_integer(),
    %% Dropped by an operator.
    purged := non_neg_integer(),
    %% Dropped to make room for newer ones.
    full := non_neg_integer(),
    closed := non_neg_integer(),
    refused_full := non_neg_integer(),
    refused_closed := non_neg_integer(),
    %% Only of push notifications:
    unanswered => non_neg_integer(),
    %% Of native pools:
    nacked => non_neg_integer(),
    %% The receiver took them, and has nobody to give them to.
    unroutable => non_neg_integer(),
    %% Their records on disk were damaged.
    unreadable => non_neg_integer(),
    %% Left on disk at the stop.
    kept => non_neg_integer(),
    %% Found on disk at the start; among those accepted.
    restored => non_neg_integer(),
    %% Accepted into memory only, because the disk could not keep up.
    unsaved => non_neg_integer(),
    retried => non_neg_integer(),
    %% Attempts at one message that the receiver did not take then.
    nacks => non_neg_integer(),
    panics => non_neg_integer()
}.

-type levels() :: #{
    waiting := non_neg_integer(),
    queue_events := non_neg_integer(),
    queue_bytes := non_neg_integer(),
    in_flight := non_neg_integer(),
    oldest_ms := non_neg_integer(),
    %% Of native pools:
    batch_limit => pos_integer(),
    %% How many seconds the receiver's clock is ahead, where that matters; else 0.
    clock_offset_s => integer(),
    %% How many destinations are only probed.
    open_destinations => non_neg_integer(),
    %% Until the certificate ends that the receiver showed last.
    certificate_days => integer() | none,
    spool => none | spool_levels()
}.

-doc "What a pool has on disk: events that are only there, events that have not ended, bytes of files,
and how much of max_bytes the files of all pools of that folder have.
Times are ages: of the oldest event, and of the latest moment when the disk confirmed a write.".
-type spool_levels() :: #{
    ahead := non_neg_integer(),
    events := non_neg_integer(),
    bytes := non_neg_integer(),
    used_percent := non_neg_integer(),
    oldest_ms := non_neg_integer(),
    synced_ms := non_neg_integer(),
    %% Files with records that cannot be read
    set_aside_files := non_neg_integer(),
    set_aside_bytes := non_neg_integer(),
    %% What is in the same directory and no pool has, when somebody looked last
    orphaned_events := non_neg_integer(),
    orphaned_bytes := non_neg_integer(),
    %% Why it takes no more events, if it does not.
    trouble := binary() | none
}.

-doc "The directory of a spool: what its disk has left, what the files in it take, and whether a node
uses it.".
-type spool_room() :: #{free_bytes := non_neg_integer(), used_bytes := non_neg_integer(),
                        is_locked := boolean()}.

-doc "How a receiver stands, and since when. Connecting is without a connection, or before anything was
heard of it; degraded is when attempts fail and are repeated, when it asks not to send, or while the pool
is paused; refused, when it refuses what it got last. The worst destination tells. Times are ages.".
-type status() :: #{
    state := connected | connecting | degraded | refused | stopped,
    since_ms := non_neg_integer(),
    %% Where it is not as it should be.
    cause := binary() | none,
    paused := boolean(),
    last_success_ms := non_neg_integer() | none,
    last_error := none | #{ago_ms := non_neg_integer(), cause := binary()}
}.

-type connection() :: #{
    state := down | up | blocked,
    opened := non_neg_integer(),
    lost := non_neg_integer(),
    failed := non_neg_integer(),
    %% The latest, of a loss, a failure or a block.
    cause := binary() | none,
    %% What somebody has to mend, as a declaration that the broker refuses.
    refused := binary() | none,
    %% What the broker allows less of than is wanted.
    limited := binary() | none
}.

-doc "Microseconds, and how many deliveries took about so long: to within 1.6 percent. In rising order.".
-type times() :: [{Us :: non_neg_integer(), Deliveries :: pos_integer()}].

-doc "What is kept of a report until the next one; the times, until one that has some.".
-type latest() :: #{levels := levels(), status := status(), times_us := times()}.

-doc "Single happenings: the times of all deliveries and of their last attempts, the latest cause of each kind, and changes that an operator has to hear of, each in one report.".
-type recent() :: #{
    times_us := times(),
    attempt_times_us := times(),
    %% That of closed is there only after the owner was killed.
    causes := #{rejected | exhausted | nacked | expired | closed | retried => binary()},
    changes := [change()],
    %% By destination.
    unroutable => [{Destination :: binary(), non_neg_integer()}],
    %% What went wrong on disk, each in one report; up to 64.
    troubles => [binary()]
}.

-type change() :: {connection, down | up | blocked}
                | {refused, binary() | none}
                | {limited, binary()}
                | batching_off
                | {clock, AheadS :: integer()}
                | {circuit, Destination :: binary(), open | closed, Cause :: binary()}.

-doc "What was found at a receiver, in words: it is as it should be; only an event will tell; no event would arrive.".
-type finding() :: {works | unsure | broken, binary()}.

-doc "Called as apply(Module, Function, [Report | Args]) for each report.".
-type report_to() :: {module(), Function :: atom(), Args :: [term()]}.

%% Whether start_pool/3 would take the settings. Starts nothing, and needs nothing that runs.
-spec check_pool(settings()) -> ok | {error, [binary()]}.
check_pool(Settings) ->
    try
        event_pusher_nif:check_pool(Settings)
    catch
        %% A stack trace would show the settings.
        error:nif_panicked -> {error, [<<"the check of the options panicked">>]};
        error:_ -> {error, [<<"the native library is not loaded">>]}
    end.

%% Starts a pool, not linked to the caller. An error names every unusable setting.
-spec start_pool(name(), settings(), report_to()) ->
    ok | {error, already_started | not_running | not_loaded | panic | [binary()]}.
start_pool(Name, Settings, ReportTo) ->
    event_pusher_sup:start_pool(Name, Settings, ReportTo).

%% Drains the pools, all at the same time and each up to its deadline, and ends them; a last report
%% of each tells what was dropped.
-spec stop_pools([name()]) -> ok.
stop_pools(Names) ->
    event_pusher_pool:drain(Names),
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

%% What is in the directory of a spool in logs with other names than these. If pools use it, it counts
%% in their levels from now on. Takes long where there is much.
-spec spool_orphans(Dir :: binary(), Logs :: [binary()]) ->
    {ok, [{Folder :: binary(), Events :: non_neg_integer(), Bytes :: pos_integer()}]}
    | {error, binary()}.
spool_orphans(Dir, Logs) ->
    event_pusher_nif:spool_orphans(Dir, Logs).

%% Looks at the directory of a spool, which has to be there.
-spec spool_room(Dir :: binary()) -> {ok, spool_room()} | {error, binary()}.
spool_room(Dir) ->
    event_pusher_nif:spool_room(Dir).

%% Tries the receiver that the settings name, and delivers nothing: SNS is asked for its topics, with a
%% signature; to HTTP a connection is made; RabbitMQ is asked for its exchanges. Nothing of it needs to run
%% here. It takes as long as the time limits allow. An error names every unusable setting.
-spec try_receiver(settings()) -> {ok, [finding()]} | {error, [binary()]}.
try_receiver(Settings) ->
    try
        event_pusher_nif:probe(Settings)
    catch
        %% A stack trace would show the settings.
        error:nif_panicked -> {error, [<<"the probe panicked">>]};
        error:_ -> {error, [<<"the native library is not loaded">>]}
    end.

%% What the owners of the pools reported last: the pools are not asked again.
-spec latest([name()]) -> [latest()].
latest(Names) ->
    lists:append([event_pusher_latest:kept(Name) || Name <- Names]).

-spec stats(name()) -> {ok, stats()} | {error, closed}.
stats(Name) ->
    event_pusher_pool:stats(Name).

%% For operators: pools of all kinds

%% Prints a line for each pool, and why it is not as it should be.
-spec status() -> ok.
status() ->
    io:put_chars(event_pusher_status:table(event_pusher_status:all())).

%% Prints all that is known of a pool.
-spec status(name()) -> ok | {error, closed | unknown}.
status(Name) ->
    case event_pusher_status:of_pool(Name) of
        {ok, Pool} -> io:put_chars(event_pusher_status:details(Pool));
        {error, Reason} -> {error, Reason}
    end.

%% What status/0 shows, for programs.
-spec pools() -> [event_pusher_status:pool()].
pools() ->
    event_pusher_status:all().

%% Tries what the pool delivers to, with the options that the pool has, and delivers nothing; of push
%% notifications, whether registrations can be read. It takes as long as the time limits allow.
-spec probe(name()) -> {ok, [finding()]} | {error, closed | unknown}.
probe(Name) ->
    handled(Name, fun(Module) -> Module:probe(Name) end).

%% Attempts nothing from now on, as while a receiver is maintained. Events are accepted as before,
%% within the bounds of the queue, and wait; what is under way ends. Until resume/1, or until the pool stops.
-spec pause(name()) -> ok | {error, closed | unknown}.
pause(Name) ->
    handled(Name, fun(Module) -> Module:pause(Name) end).

%% Goes on after pause/1, at once with all that waits.
-spec resume(name()) -> ok | {error, closed | unknown}.
resume(Name) ->
    handled(Name, fun(Module) -> Module:resume(Name) end).

%% Makes attempts at once that wait for their time, also those to connect: for who knows that a
%% receiver is back.
-spec retry_now(name()) -> ok | {error, closed | unknown}.
retry_now(Name) ->
    handled(Name, fun(Module) -> Module:retry_now(Name) end).

%% The same as drain/2, for a minute at most.
-spec drain(name()) -> ok | {error, closed | unknown | {waiting, pos_integer()}}.
drain(Name) ->
    drain(Name, ?DRAIN_MS).

%% Waits until as many events have ended as had been accepted before, after retry_now/1. New ones are
%% accepted meanwhile. If the time is over first, it tells how many have not.
-spec drain(name(), TimeoutMs :: non_neg_integer()) ->
    ok | {error, closed | unknown | {waiting, pos_integer()}}.
drain(Name, Timeout) ->
    handled(Name, fun(Module) ->
        case Module:retry_now(Name) of
            ok -> await_ended(Module, Name, none, erlang:monotonic_time(millisecond) + Timeout);
            {error, closed} -> {error, closed}
        end
    end).

%% Drops what waits: all events, or those that were accepted so long ago or before. Tells how many that
%% were at once; what is only on disk, or comes back from an attempt, follows. The fate is purged.
-spec drop(name(), all | {older_than_ms, non_neg_integer()}) ->
    {ok, Events :: non_neg_integer()} | {error, closed | unknown}.
drop(Name, all) ->
    drop(Name, {older_than_ms, 0});
drop(Name, {older_than_ms, Age}) when is_integer(Age), Age >= 0 ->
    handled(Name, fun(Module) -> Module:purge(Name, Age) end).

handled(Name, Handle) ->
    case event_pusher_directory:find(Name) of
        {ok, #{module := Module}} -> Handle(Module);
        {error, unknown} -> {error, unknown}
    end.

%% Accepted is what had been at the first look.
await_ended(Module, Name, Accepted0, Until) ->
    case Module:stats(Name) of
        {ok, #{counts := #{accepted := Accepted1}, levels := #{waiting := Waiting}}} ->
            Accepted = case Accepted0 of none -> Accepted1; _ -> Accepted0 end,
            Left = Accepted - (Accepted1 - Waiting),
            case Left =< 0 of
                true -> ok;
                false -> await_more(Module, Name, {Accepted, Left}, Until)
            end;
        {error, closed} ->
            {error, closed}
    end.

await_more(Module, Name, {Accepted, Left}, Until) ->
    case erlang:monotonic_time(millisecond) < Until of
        true -> timer:sleep(?LOOK_MS), await_ended(Module, Name, Accepted, Until);
        false -> {error, {waiting, Left}}
    end.
