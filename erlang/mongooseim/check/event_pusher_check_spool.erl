-module(event_pusher_check_spool).
-moduledoc "Whether events can be kept on disk, as far as that shows without writing anything.".

-export([can_be_kept/0, have_room/0, are_free/0, have_no_strangers/0]).

-include_lib("kernel/include/file.hrl").

-type folder() :: {Dir :: string(), [{mongooseim:host_type(), gen_mod:module_opts()}, ...]}.
%% What there is to say of a folder.
-type line() :: {ok | warning | failed, iodata()}.

%% The folder itself

-spec can_be_kept() -> event_pusher_check:outcome().
can_be_kept() ->
    outcome(fun(Folder) -> [folder(Folder)] end).

-spec folder(folder()) -> line().
folder({Dir, [{_HostType, Options} | _] = Users}) ->
    Same = lists:all(fun({_, Other}) -> Other =:= Options end, Users),
    case Same andalso filename:pathtype(Dir) of
        false ->
            Names = lists:join(" and ", lists:sort([HostType || {HostType, _} <- Users])),
            {failed, io_lib:format("~ts: ~ts have it with different options", [Dir, Names])};
        absolute ->
            nearest(Dir, Dir);
        _ ->
            {warning, io_lib:format("~ts: not looked at, as the path is not absolute", [Dir])}
    end.

%% The folder, or the one that it is going to be made in. The user who runs the check need not be
%% that of the node, so a lack of rights is only a warning.
nearest(Dir, There) ->
    case file:read_file_info(There) of
        {ok, #file_info{type = directory, access = read_write} = Info} ->
            owned(Dir, There, Info);
        {ok, #file_info{type = directory}} ->
            {warning, io_lib:format("~ts: who runs this check cannot write into ~ts",
                                    [Dir, There])};
        {ok, #file_info{}} ->
            {failed, io_lib:format("~ts: ~ts is not a folder", [Dir, There])};
        {error, Missing} when Missing =:= enoent; Missing =:= enotdir ->
            nearest(Dir, filename:dirname(There));
        {error, Reason} ->
            {warning, io_lib:format("~ts: who runs this check cannot look at ~ts: ~ts",
                                    [Dir, There, file:format_error(Reason)])}
    end.

%% Whoever may write there can take events away, or put some in.
owned(Dir, Dir, #file_info{uid = User, mode = Mode}) ->
    Text = io_lib:format("~ts is there, of the user with the id ~b, mode 0~.8b",
                         [Dir, User, Mode band 8#7777]),
    case Mode band 8#022 of
        0 -> {ok, Text};
        _ -> {warning, [Text, ": others may write there, 0700 is enough"]}
    end;
owned(Dir, There, #file_info{uid = User}) ->
    {ok, io_lib:format("~ts will be made in ~ts, of the user with the id ~b", [Dir, There, User])}.

%% The disk

%% What it has left, and what the files may still take of it.
-spec have_room() -> event_pusher_check:outcome().
have_room() ->
    outcome(fun({Dir, [{_HostType, #{max_bytes := Max}} | _]}) ->
                [disk(Dir, room(above(Dir)), used(room(Dir)), Max)]
            end).

disk(Dir, {ok, #{free_bytes := Free}}, Used, Max) ->
    Text = io_lib:format("~ts takes ~ts of ~ts (max_bytes), its disk has ~ts left",
                         [Dir, bytes(Used), bytes(Max), bytes(Free)]),
    case Free >= Max - Used of
        true -> {ok, Text};
        false -> {warning, [Text, ": when that is full, events are in memory only"]}
    end;
disk(Dir, {error, Reason}, _Used, _Max) ->
    unknown(Dir, Reason).

used({ok, #{used_bytes := Used}}) -> Used;
used({error, _NotThere}) -> 0.

%% The first one on the way up that exists.
above(Path) ->
    case file:read_link_info(Path) of
        {error, Missing} when Missing =:= enoent; Missing =:= enotdir -> above(filename:dirname(Path));
        _Exists -> Path
    end.

%% The lock

%% A node that runs has it; a second one with the same folder does not start.
-spec are_free() -> event_pusher_check:outcome().
are_free() ->
    outcome(fun({Dir, _Users}) -> [lock(Dir, filelib:is_dir(Dir) andalso room(Dir))] end).

lock(Dir, {ok, #{is_locked := true}}) ->
    {warning, [Dir, ": a process has the lock: this node, if it runs, or one that cannot share it"]};
lock(Dir, {error, Reason}) ->
    unknown(Dir, Reason);
lock(Dir, _Free) ->
    {ok, [Dir, ": no process has the lock"]}.

%% The events

%% Those of another configuration have to be told of.
-spec have_no_strangers() -> event_pusher_check:outcome().
have_no_strangers() ->
    Modules = mod_event_pusher:native_backends(),
    outcome(fun({Dir, _Users}) ->
                events(Dir, event_pusher_spool_orphans:find(path(Dir), Modules))
            end).

events(Dir, {ok, []}) ->
    [{ok, [Dir, ": no events but those of pools"]}];
events(_Dir, {ok, Orphans}) ->
    [{warning, io_lib:format("~ts: ~b events, ~ts. ~ts",
                             [Folder, Events, bytes(Bytes),
                              event_pusher_spool_orphans:remedy(Folder)])}
     || {Folder, Events, Bytes} <- Orphans];
events(Dir, {error, Reason}) ->
    [unknown(Dir, Reason)].

%% Helpers

%% The worst that is to be said of any folder, and all that is as bad.
-spec outcome(fun((folder()) -> [line()])) -> event_pusher_check:outcome().
outcome(Look) ->
    Dir = fun({_HostType, #{dir := Dir}}) -> unicode:characters_to_list(Dir) end,
    case maps:to_list(maps:groups_from_list(Dir, event_pusher_check_config:spools())) of
        [] -> {ok, ["not configured"]};
        Folders -> worst([failed, warning, ok], lists:flatmap(Look, lists:sort(Folders)))
    end.

worst([Result | Better], Seen) ->
    case [Line || {Of, Line} <- Seen, Of =:= Result] of
        [] -> worst(Better, Seen);
        Lines -> {Result, Lines}
    end.

room(Dir) -> event_pusher:spool_room(path(Dir)).

path(Dir) -> unicode:characters_to_binary(Dir).

unknown(Dir, Reason) -> {warning, [Dir, ": cannot be looked at: ", Reason]}.

bytes(Bytes) when Bytes >= 1 bsl 30 -> io_lib:format("~.1f GiB", [Bytes / (1 bsl 30)]);
bytes(Bytes) -> io_lib:format("~.1f MiB", [Bytes / (1 bsl 20)]).
