-module(event_pusher_check_config).
-moduledoc "Whether the server accepts its configuration, and backends find what they need.".

-export([accept/1, options_are_good/0, http_pools_exist/0, rabbit_has_a_connection/0,
         sns_hosts_resolve/0]).
-export([settings_are_good/1, tls_connections/0]).
-export([kind/1]).

-include("mongoose_config_spec.hrl").

-define(EXCHANGES, [presence_exchange, chat_msg_exchange, groupchat_msg_exchange]).
-define(RESOLVE_TIMEOUT_MS, 5000).

%% Of an error: told in their own way, or not at all.
-define(KNOWN, [what, class, stacktrace, text, toml_path, toml_value, reason, items]).

%% The checks

%% Uses the server's own parser, which would end the VM if it were asked in the usual way. The
%% options stay set, for the checks that follow.
-spec accept(file:filename()) -> event_pusher_check:outcome().
accept(File) ->
    _ = application:load(mongooseim),
    try mongoose_config_parser:get_opts(mongoose_config_parser_toml:parse_file(File)) of
        Opts ->
            mongoose_config:set_opts(maps:from_list(Opts)),
            {ok, [io_lib:format("~ts is accepted", [File]) | backends()]}
    catch
        error:{config_error, Text, Errors} ->
            {failed, [io_lib:format("~ts: ~ts", [File, Text]) | [error_line(E) || E <- Errors]]};
        error:Reason ->
            {failed, [io_lib:format("~ts: ~ts", [File, error_line(Reason)])]}
    end.

%% All that would end the start of a module, but for what the other checks are about.
-spec options_are_good() -> event_pusher_check:outcome().
options_are_good() ->
    Modules = [{HostType, Backend, Opts} || Backend <- [http, push, rabbit, sns],
                                            {HostType, Opts} <- with(Backend)],
    Complaints = [io_lib:format("~ts, ~ts: ~ts", [HostType, Backend, Complaint])
                  || {HostType, Backend, Opts} <- Modules,
                     Complaint <- complaints(Backend, HostType, Opts)],
    outcome(Complaints, "the options of all backends can be used (~b)", length(Modules)).

complaints(Backend, HostType, Opts) ->
    try
        (module(Backend)):complaints(HostType, Opts)
    catch
        error:#{what := event_pusher_http_pool_not_configured} -> [];
        error:#{what := event_pusher_rabbit_connection_not_configured} -> []
    end.

%% The environment of the application in app.config, which this VM is not started with.
-spec settings_are_good(AppConfig :: file:filename()) -> event_pusher_check:outcome().
settings_are_good(File) ->
    case file:consult(File) of
        {ok, [Applications]} when is_list(Applications) ->
            settings_are_good(File, [Setting || {event_pusher, Settings} <- Applications,
                                                Setting <- Settings]);
        {ok, _Terms} ->
            {failed, [io_lib:format("~ts: must be one list with a dot at its end", [File])]};
        {error, enoent} ->
            {ok, [io_lib:format("there is no ~ts; all have their defaults", [File])]};
        {error, Reason} ->
            {failed, [io_lib:format("~ts: ~ts", [File, file:format_error(Reason)])]}
    end.

%% They stay set if they are good, for the checks that follow.
settings_are_good(File, Settings) ->
    _ = application:load(event_pusher),
    Before = application:get_all_env(event_pusher),
    ok = application:set_env([{event_pusher, Settings}]),
    case event_pusher_env:check() of
        ok ->
            {ok, [io_lib:format("~b in ~ts, within their ranges", [length(Settings), File])]};
        {error, #{reason := Complaints}} ->
            ok = application:set_env([{event_pusher, Before}]),
            {failed, [io_lib:format("~ts: ~ts", [File, Complaint]) || Complaint <- Complaints]}
    end.

-spec http_pools_exist() -> event_pusher_check:outcome().
http_pools_exist() ->
    Handlers = [{HostType, Tag} || {HostType, #{handlers := Handlers}} <- with(http),
                                   #{pool_name := Tag} <- Handlers],
    Missing = [io_lib:format("~ts: there is no [outgoing_pools.http.~ts]", [HostType, Tag])
               || {HostType, Tag} <- lists:usort(Handlers), not has_pool(http, HostType, Tag)],
    outcome(Missing, "all handlers have their outgoing pool (~b)", length(Handlers)).

-spec rabbit_has_a_connection() -> event_pusher_check:outcome().
rabbit_has_a_connection() ->
    Users = [{HostType, Opts} || {HostType, Opts} <- with(rabbit),
                                 map_size(maps:with(?EXCHANGES, Opts)) > 0],
    Missing = [io_lib:format("~ts: there is neither [modules.mod_event_pusher.rabbit.connection] "
                             "nor [outgoing_pools.rabbit.event_pusher]", [HostType])
               || {HostType, Opts} <- Users, not is_map_key(connection, Opts),
                  not has_pool(rabbit, HostType, event_pusher)],
    outcome(Missing, "all host types with exchanges have a connection (~b)", length(Users)).

%% Only a warning: the node may be meant for another network.
-spec sns_hosts_resolve() -> event_pusher_check:outcome().
sns_hosts_resolve() ->
    Hosts = lists:usort([host(Url) || {_HostType, #{sns_host := Url}} <- with(sns)]),
    Unknown = [io_lib:format("~ts does not resolve", [Host]) || Host <- Hosts, not resolves(Host)],
    case outcome(Unknown, "all hosts resolve (~b)", length(Hosts)) of
        {failed, Lines} -> {warning, Lines};
        Outcome -> Outcome
    end.

%% Those of HTTP and RabbitMQ. Pools that are missing have a check of their own.
-spec tls_connections() -> [event_pusher_check_tls:connection()].
tls_connections() ->
    Tags = [{HostType, Tag} || {HostType, #{handlers := Handlers}} <- with(http),
                               #{pool_name := Tag} <- Handlers],
    Https = [Connection || {HostType, Tag} <- lists:usort(Tags),
                           {ok, #{conn_opts := ConnOpts}}
                               <- [event_pusher_outgoing:find(http, HostType, Tag)],
                           Connection <- https(Tag, ConnOpts)],
    Amqps = [Connection || {HostType, Opts} <- with(rabbit),
                           map_size(maps:with(?EXCHANGES, Opts)) > 0,
                           Connection <- amqps(HostType, Opts)],
    lists:usort(Https ++ Amqps).

https(Tag, #{host := Url} = ConnOpts) ->
    case uri_string:parse(string:trim(Url)) of
        #{scheme := Scheme, host := Host} = Parts ->
            [#{section => io_lib:format("[outgoing_pools.http.~ts]", [Tag]),
               host => string:trim(Host, both, "[]"), port => maps:get(port, Parts, 443),
               tls => event_pusher_outgoing:tls(true, ConnOpts)}
             || string:lowercase(Scheme) =:= "https"];
        _NoUrl ->
            []
    end.

amqps(HostType, Opts) ->
    case rabbit_connection(HostType, Opts) of
        {Section, #{tls := _, host := Host, port := Port} = ConnOpts} ->
            [#{section => Section, host => Host, port => Port,
               tls => event_pusher_outgoing:tls(true, ConnOpts)}];
        _WithoutTls ->
            []
    end.

rabbit_connection(_HostType, #{connection := ConnOpts}) ->
    {"[modules.mod_event_pusher.rabbit.connection]", ConnOpts};
rabbit_connection(HostType, _Opts) ->
    case event_pusher_outgoing:find(rabbit, HostType, event_pusher) of
        {ok, #{conn_opts := ConnOpts}} -> {"[outgoing_pools.rabbit.event_pusher]", ConnOpts};
        {error, not_configured} -> none
    end.

outcome([], _Format, 0) -> {ok, ["not configured"]};
outcome([], Format, Count) -> {ok, [io_lib:format(Format, [Count])]};
outcome(Failures, _Format, _Count) -> {failed, Failures}.

%% The options that were accepted

host_types() ->
    mongoose_config:get_opt(hosts, []) ++ mongoose_config:get_opt(host_types, []).

backends() ->
    case [{HostType, Backends} || HostType <- host_types(),
                                  Backends <- [backends_of(HostType)], Backends =/= []] of
        [] ->
            ["mod_event_pusher has no backend in it"];
        Found ->
            [io_lib:format("~ts: ~ts", [HostType, lists:join(", ", Backends)])
             || {HostType, Backends} <- Found]
    end.

backends_of(HostType) ->
    [atom_to_list(Backend) || Backend <- [http, push, rabbit, sns],
                              is_map_key(module(Backend), modules(HostType))].

%% Host types with that backend, and its options.
-spec with(http | push | rabbit | sns) -> [{mongooseim:host_type(), gen_mod:module_opts()}].
with(Backend) ->
    Module = module(Backend),
    [{HostType, Opts} || HostType <- host_types(),
                         #{Module := Opts} <- [modules(HostType)]].

modules(HostType) ->
    mongoose_config:get_opt({modules, HostType}, #{}).

module(http) -> mod_event_pusher_http;
module(push) -> mod_event_pusher_push;
module(rabbit) -> mod_event_pusher_rabbit;
module(sns) -> mod_event_pusher_sns.

has_pool(Type, HostType, Tag) ->
    event_pusher_outgoing:find(Type, HostType, Tag) =/= {error, not_configured}.

%% Names of hosts

%% The option is a name, or a URL.
-spec host(string()) -> string().
host(Url) ->
    Full = case string:find(Url, "://") of
               nomatch -> "https://" ++ Url;
               _ -> Url
           end,
    case uri_string:parse(Full) of
        #{host := Host} -> string:trim(Host, both, "[]");
        _ -> "(not a URL)"
    end.

%% In a process of its own, as the look-up itself knows no limit.
-spec resolves(string()) -> boolean().
resolves(Host) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> Self ! {resolved, Host, has_address(Host)} end),
    receive
        {resolved, Host, Known} -> Known;
        {'DOWN', Monitor, process, Pid, _Crash} -> false
    after ?RESOLVE_TIMEOUT_MS ->
        exit(Pid, kill),
        false
    end.

has_address(Host) ->
    lists:any(fun(Family) -> element(1, inet:getaddr(Host, Family)) =:= ok end, [inet, inet6]).

%% Errors of the parser

%% What the server would log of it, but for its stack trace and for what may be secret.
-spec error_line(term()) -> iodata().
error_line(#{} = Error) ->
    [[[Path, ": "] || #{toml_path := Path} <- [Error]],
     %% A text may have the value in it.
     [[text(Text), ": "] || #{text := Text} <- [Error], not is_secret(Text, Error)],
     reason(maps:get(reason, Error, maps:get(what, Error, unknown))),
     [[", got ", shown(Value, Error)] || #{toml_value := Value} <- [Error], is_plain(Value)],
     [io_lib:format(", ~ts ~ts", [Key, shown(without_details(Value), Error)])
      || {Key, Value} <- lists:sort(maps:to_list(maps:without(?KNOWN, Error))),
         is_plain(without_details(Value))]];
error_line(Reason) ->
    reason(Reason).

%% What the reader of TOML says is a term, most often with a line.
text(Text) when is_binary(Text); is_list(Text) -> Text;
text({Step, Line}) when is_atom(Step), is_integer(Line) -> io_lib:format("line ~b", [Line]);
text(Other) -> io_lib:format("~0tp", [Other]).

%% What stands in the place of a section or of an array is told by the spec that did not fit.
reason({case_clause, #section{items = Items}}) ->
    Keys = [if is_atom(Key) -> atom_to_binary(Key); true -> Key end
            || Key <- lists:sort(maps:keys(Items)), Key =/= default],
    ["expected a section, with some of: ", lists:join(", ", Keys)];
reason({case_clause, #list{}}) ->
    "expected an array";
reason({case_clause, #option{}}) ->
    "expected a single value";
reason(Reason) ->
    atom_to_binary(kind(Reason)).

shown(Value, Error) ->
    case is_secret(Value, Error) of
        true -> "***";
        false -> io_lib:format("~0tp", [Value])
    end.

%% By the name of the option, or by what a URL can have before its host.
-spec is_secret(term(), map()) -> boolean().
is_secret(Value, Error) ->
    Path = text(maps:get(toml_path, Error, "")),
    matches(lists:last(["" | string:lexemes(Path, ".")]), "pass|secret|key|token|cookie|credential")
        orelse (is_binary(Value) andalso matches(Value, "://.*@")).

matches(Text, Pattern) ->
    re:run(Text, Pattern, [caseless]) =/= nomatch.

%% Lists of faults are maps; names in them are atoms.
without_details(Faults) when is_list(Faults) ->
    [without_details(Fault) || Fault <- Faults];
without_details(#{} = Fault) ->
    maps:to_list(maps:filter(fun(_Key, Value) -> is_atom(Value) end, Fault));
without_details(Value) ->
    Value.

%% Whole sections and what else may be anything are not shown.
is_plain(Values) when is_list(Values) -> lists:all(fun is_plain/1, Values);
is_plain(Values) when is_tuple(Values) -> is_plain(tuple_to_list(Values));
is_plain(Value) -> is_atom(Value) orelse is_number(Value) orelse is_binary(Value).

%% The name of a reason, without what it is about.
-spec kind(term()) -> atom().
kind(Reason) when is_atom(Reason) -> Reason;
kind(#{what := What}) when is_atom(What) -> What;
kind(Reason) when is_tuple(Reason), is_atom(element(1, Reason)) -> element(1, Reason);
kind(_Reason) -> other.
