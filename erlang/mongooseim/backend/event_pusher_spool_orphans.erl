-module(event_pusher_spool_orphans).
-moduledoc "Events on disk that no pool of the configuration has: they wait, and somebody has to hear of it.".

-export([tell/3, find/2, remedy/1]).

-include_lib("kernel/include/logger.hrl").

-type orphan() :: {Folder :: binary(), Events :: non_neg_integer(), Bytes :: pos_integer()}.

%% A line for each folder, when a host type starts. Of several that share a directory, the first one
%% tells. The modules are those of the backends, by their options.
-spec tell(mongooseim:host_type(), gen_mod:module_opts(), #{atom() => module()}) -> ok.
tell(HostType, #{spool := #{dir := Dir}}, Modules) ->
    case users(Dir) of
        [{HostType, _} | _] -> tell_found(find(Dir, Modules), HostType);
        _OthersFirst -> ok
    end;
tell(_HostType, _WithoutSpool, _Modules) ->
    ok.

tell_found({ok, Orphans}, HostType) ->
    lists:foreach(fun({Folder, Events, Bytes}) ->
        ?LOG_WARNING(#{what => event_pusher_spool_orphaned, host_type => HostType,
                       folder => Folder, events => Events, bytes => Bytes,
                       text => remedy(Folder)})
    end, Orphans);
%% Whoever needs the directory says so, or the pools that cannot be told.
tell_found({error, _Reason}, _HostType) ->
    ok.

%% An error is about the directory, or about pools whose names cannot be told. Then they do not start
%% either.
-spec find(Dir :: binary(), #{atom() => module()}) -> {ok, [orphan()]} | {error, binary()}.
find(Dir, Modules) ->
    try
        event_pusher:spool_orphans(Dir, logs(Dir, Modules))
    catch
        %% The reason may hold options.
        _:_ -> {error, <<"the pools of the configuration cannot be told">>}
    end.

logs(Dir, Modules) ->
    [Log || {HostType, Opts} <- users(Dir),
            {Backend, Module} <- maps:to_list(Modules),
            #{Backend := BackendOpts} <- [Opts],
            #{log := Log} <- Module:pools(HostType, BackendOpts)].

%% Host types whose events are in the directory, with their options.
users(Dir) ->
    [{HostType, Opts} || HostType <- mongoose_config:get_opt(hosts, [])
                                     ++ mongoose_config:get_opt(host_types, []),
                         #{mod_event_pusher := #{spool := #{dir := Of}} = Opts}
                             <- [mongoose_config:get_opt({modules, HostType}, #{})],
                         Of =:= Dir].

%% What to do about a folder, which has its name from the one that a pool had for it.
-spec remedy(Folder :: binary()) -> binary().
remedy(Folder) ->
    unicode:characters_to_binary(
        ["No pool has these events. They wait there, and count for spool.max_bytes. ",
         again(binary:split(uri_string:percent_decode(filename:basename(Folder)), <<" ">>, [global])),
         ", they are delivered; if nobody wants them, remove the folder while the server is "
         "stopped"]).

again([<<"http">>, HostType | _Digest]) ->
    ["With an HTTP handler of host type ", HostType, " that has the URL, the callback module and the "
     "format of that time"];
again([Backend, HostType]) when Backend =:= <<"sns">>; Backend =:= <<"rabbit">> ->
    ["With [modules.mod_event_pusher.", Backend, "] for host type ", HostType];
again(_Other) ->
    "With the configuration of that time".
