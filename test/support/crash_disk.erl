-module(crash_disk).
-moduledoc "A disk for spools that is soon full, without a device of its own.".

-export([make/1, limit/3, remove/1, remove_former/1, describe/1]).
-export_type([disk/0]).

%% Where a file system can be mounted, one in memory; else what a process may write to a file.
-type disk() :: #{dir := file:filename(), how := tmpfs | limit}.

-define(MIB, 2).
-define(LIMIT, 256 * 1024).

%% In that folder, which is made.
-spec make(file:filename()) -> disk().
make(Dir) ->
    ok = filelib:ensure_dir(filename:join(Dir, "any")),
    Mount = io_lib:format("mount -t tmpfs -o size=~bm tmpfs '~s' 2>&1", [?MIB, Dir]),
    %% Nothing is said if it worked.
    How = case os:getenv("CRASH_DISK", "") =/= "limit" andalso os:cmd(lists:flatten(Mount)) of
        [] -> tmpfs;
        _ -> limit
    end,
    #{dir => Dir, how => How}.

%% Has a process get an error instead of writing more; its other files are as long as this one.
-spec limit(disk(), OsPid :: string(), Other :: non_neg_integer()) -> ok.
limit(#{how := tmpfs}, _OsPid, _Other) ->
    ok;
limit(#{how := limit}, OsPid, Other) ->
    Limit = integer_to_list(Other + ?LIMIT),
    [] = os:cmd("prlimit --fsize=" ++ Limit ++ ":" ++ Limit ++ " --pid " ++ OsPid),
    ok.

-spec remove(disk()) -> ok.
remove(#{dir := Dir, how := tmpfs}) -> unmount(Dir);
remove(#{how := limit}) -> ok.

%% What runs have left that were ended by Ctrl-C.
-spec remove_former(Pattern :: file:filename()) -> ok.
remove_former(Pattern) ->
    {ok, Mounts} = file:read_file("/proc/self/mounts"),
    [ok = unmount(Dir) || Dir <- filelib:wildcard(filename:absname(Pattern)),
                          binary:match(Mounts, list_to_binary([" ", Dir, " "])) =/= nomatch],
    ok.

unmount(Dir) ->
    [] = os:cmd("umount '" ++ Dir ++ "'"),
    ok.

-spec describe(disk()) -> string().
describe(#{how := tmpfs}) ->
    "a file system of " ++ integer_to_list(?MIB) ++ " MiB in memory";
describe(#{how := limit}) ->
    "a limit for the size of files, because nothing can be mounted".
