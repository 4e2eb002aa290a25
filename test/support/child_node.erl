-module(child_node).
-moduledoc "A VM beside the one of the tests, which may run out of something, crash or be dumped.".

-export([start/0, start/1, stop/1, call/4, os_pid/1, limit/3]).

-type node_() :: pid().

%% Somebody whose threads the system counts: it does not count those of root.
-define(NOBODY, "65534").

-spec start() -> node_().
start() ->
    start([]).

%% With further arguments for the VM.
-spec start([string()]) -> node_().
start(Args) ->
    {Program, Before} = program(is_root(), "erl"),
    Paths = lists:append([["-pa", filename:absname(Path)] || Path <- code:get_path(), is_ours(Path)]),
    Options = #{connection => standard_io, wait_boot => 60000,
                exec => {os:find_executable(Program), Before}, args => Paths ++ Args},
    case peer:start(Options) of
        {ok, Peer} -> Peer;
        {ok, Peer, _Name} -> Peer
    end.

-spec stop(node_()) -> ok.
stop(Peer) ->
    peer:stop(Peer).

-spec call(node_(), module(), atom(), [term()]) -> term().
call(Peer, Module, Function, Args) ->
    peer:call(Peer, Module, Function, Args, 120000).

-spec os_pid(node_()) -> string().
os_pid(Peer) ->
    call(Peer, os, getpid, []).

%% From now on, the VM may have no more than that: of file descriptors ("nofile") or threads ("nproc").
%% What it has stays. It can be lifted again.
-spec limit(node_(), Of :: string(), pos_integer() | none) -> ok.
limit(Peer, Of, Limit) ->
    {Program, Before} = program(is_root(), "prlimit"),
    Set = fun(More) ->
        os:cmd(lists:join($\s, [Program | Before] ++ ["--pid", os_pid(Peer) | More]))
    end,
    [Hard] = string:lexemes(Set(["--noheadings", "--output", "HARD", "--" ++ Of]), " \n"),
    Soft = case Limit of none -> Hard; _ -> integer_to_list(Limit) end,
    [] = Set(["--" ++ Of ++ "=" ++ Soft ++ ":" ++ Hard]),
    ok.

program(true, Name) -> {"setpriv", ["--reuid", ?NOBODY, "--clear-groups" | [Name]]};
program(false, Name) -> {Name, []}.

is_root() ->
    string:trim(os:cmd("id -u")) =:= "0".

is_ours(Path) ->
    lists:any(fun(Part) -> string:find(Path, Part) =/= nomatch end, ["_build/host/lib", "_build/suites"]).
