-module(event_pusher_check).
-moduledoc "Tells an operator in a table whether the application fits the release around it.".

%% Called by the script event-pusher, in a VM of the release in which no node runs
-export([main/0]).

-export_type([outcome/0, row/0]).

%% With a line for each thing that there is to say.
-type outcome() :: {ok | warning | failed, [Line :: iodata(), ...]}.
-type row() :: {Check :: string(), outcome()}.

-define(RESULT_WIDTH, 10).
-define(CHECK_WIDTH, 17).

%% The arguments are how the application has come into the code path, and the configuration: that of
%% the server and that of the node.
-spec main() -> no_return().
main() ->
    [How, Config, AppConfig | More] = init:get_plain_arguments(),
    Rows = [{"installation", installation(How)} | rows(Config, AppConfig, More)],
    io:put_chars([table(Rows), summary(Rows)]),
    halt(status(Rows)).

installation("package") ->
    {warning, ["not installed in this release; these are the files of the package"]};
installation("installed") ->
    {ok, [io_lib:format("event_pusher ~ts in MongooseIM ~ts, OTP ~ts",
                        [version(event_pusher), version(mongooseim),
                         erlang:system_info(otp_release)])]}.

version(Application) ->
    _ = application:load(Application),
    case application:get_key(Application, vsn) of
        {ok, Version} -> Version;
        undefined -> "(unknown)"
    end.

%% The checks of the configuration after the first need it to be accepted.
-spec rows(Config :: file:filename(), AppConfig :: file:filename(), More :: [string()]) -> [row()].
rows(Config, AppConfig, More) ->
    Code = [{"modules", fun event_pusher_check_code:modules_load/0},
            {"code path", fun event_pusher_check_code:modules_are_first/0},
            {"exports", fun event_pusher_check_code:exports_are_kept/0},
            {"calls", fun event_pusher_check_code:calls_exist/0},
            {"native library", fun event_pusher_check_code:library_works/0},
            {"settings", fun() -> event_pusher_check_settings:are_good(AppConfig) end}],
    Accepted = row({"configuration", fun() -> event_pusher_check_config:accept(Config) end}),
    Parts = [{"options", fun event_pusher_check_options:are_good/0},
             {"spool", fun event_pusher_check_spool:can_be_kept/0},
             {"spool disk", fun event_pusher_check_spool:have_room/0},
             {"spool lock", fun event_pusher_check_spool:are_free/0},
             {"spool events", fun event_pusher_check_spool:have_no_strangers/0},
             {"HTTP pools", fun event_pusher_check_options:http_pools_exist/0},
             {"RabbitMQ", fun event_pusher_check_options:rabbit_has_a_connection/0},
             {"push storage", fun event_pusher_check_options:push_storage/0},
             {"SNS host", fun() -> event_pusher_check_names:resolve(
                                     event_pusher_check_receivers:sns_urls()) end},
             {"TLS", fun() -> event_pusher_check_tls:connections_work(
                                event_pusher_check_receivers:tls_connections()) end}]
        ++ [{"connect " ++ Name, fun() -> event_pusher_check_probe:receivers_answer(Backend) end}
            || "connect" <- More, {Name, Backend} <- [{"SNS", sns}, {"HTTP", http}, {"RabbitMQ", rabbit}]],
    [row(Check) || Check <- Code] ++ [Accepted] ++ parts(Accepted, Parts).

parts({_Check, {failed, _}}, Parts) ->
    [{Name, {warning, ["not looked at, as the configuration is not accepted"]}}
     || {Name, _Fun} <- Parts];
parts(_Accepted, Parts) ->
    [row(Part) || Part <- Parts].

%% Reasons and arguments may hold secrets of the configuration: only where it crashed is shown.
row({Name, Check}) ->
    try
        {Name, Check()}
    catch
        error:undef:Stacktrace ->
            {Name, {failed, [event_pusher_check_error:missing(Stacktrace)]}};
        Class:Reason:Stacktrace ->
            Kind = event_pusher_check_error:kind(Reason),
            {Name, {failed, [io_lib:format("the check crashed with ~ts ~ts in ~ts",
                                           [Class, Kind, place(Stacktrace)])]}}
    end.

place([{Module, Function, _Args, Location} | _]) ->
    Line = proplists:get_value(line, Location, unknown),
    io_lib:format("~ts:~ts, line ~tp", [Module, Function, Line]);
place([]) ->
    "an unknown place".

-spec table([row()]) -> iodata().
table(Rows) ->
    [[line("check", "result", "reason")]
     | [[line(Name, word(Result), First) | [line("", "", Line) || Line <- More]]
        || {Name, {Result, [First | More]}} <- Rows]].

line(Name, Result, Reason) ->
    [string:pad(Name, ?CHECK_WIDTH), string:pad(Result, ?RESULT_WIDTH),
     string:replace(Reason, "\n", " ", all), $\n].

word(ok) -> "ok";
word(warning) -> "WARNING";
word(failed) -> "FAILED".

%% A VM that cannot run the checks ends with 1, so this has to be another one.
-spec status([row()]) -> 0 | 3.
status(Rows) ->
    case [failed || {_Name, {failed, _}} <- Rows] of
        [] -> 0;
        _ -> 3
    end.

summary(Rows) ->
    Count = fun(Result) -> length([Name || {Name, {R, _}} <- Rows, R =:= Result]) end,
    io_lib:format("~nok: ~b, warnings: ~b, failed: ~b~n",
                  [Count(Result) || Result <- [ok, warning, failed]]).
