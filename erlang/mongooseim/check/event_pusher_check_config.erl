-module(event_pusher_check_config).
-moduledoc "Whether the server accepts its configuration, and which backends that has.".

-export([accept/1, with/1, with_exchanges/0, spools/0]).

-define(EXCHANGES, [presence_exchange, chat_msg_exchange, groupchat_msg_exchange]).

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
            {failed, [io_lib:format("~ts: ~ts", [File, Text])
                      | [event_pusher_check_error:line(Error) || Error <- Errors]]};
        error:undef:Stacktrace ->
            {failed, [event_pusher_check_error:missing(Stacktrace)]};
        error:Reason ->
            {failed, [io_lib:format("~ts: ~ts", [File, event_pusher_check_error:line(Reason)])]}
    end.

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
    [atom_to_list(Backend) || {Backend, Module} <- maps:to_list(mod_event_pusher:backends()),
                              is_map_key(Module, modules(HostType))].

%% Host types with that backend, and its options.
-spec with(http | push | rabbit | sns) -> [{mongooseim:host_type(), gen_mod:module_opts()}].
with(Backend) ->
    #{Backend := Module} = mod_event_pusher:backends(),
    [{HostType, Opts} || HostType <- host_types(),
                         #{Module := Opts} <- [modules(HostType)]].

%% Without any, RabbitMQ needs no connection.
-spec with_exchanges() -> [{mongooseim:host_type(), gen_mod:module_opts()}].
with_exchanges() ->
    [{HostType, Opts} || {HostType, Opts} <- with(rabbit),
                         map_size(maps:with(?EXCHANGES, Opts)) > 0].

%% Host types that keep events on disk, and with which options.
-spec spools() -> [{mongooseim:host_type(), gen_mod:module_opts()}].
spools() ->
    [{HostType, Spool} || HostType <- host_types(),
                          #{mod_event_pusher := #{spool := Spool}} <- [modules(HostType)]].

modules(HostType) ->
    mongoose_config:get_opt({modules, HostType}, #{}).
