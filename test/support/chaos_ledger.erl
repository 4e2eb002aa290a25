-module(chaos_ledger).
-moduledoc "What one lane has pushed, in a file that survives the node: an entry for each number, from 1 on.".

-export([open/1, write/3, count/1, read/2]).
-export_type([ledger/0, said/0, entry/0, part/0]).

-opaque ledger() :: file:fd().
%% What the pool said of a push. Of one during which the node was killed, nobody knows.
-type said() :: accepted | full | closed | unknown.
-type entry() :: {Number :: pos_integer(), said(), AtMs :: integer()}.
%% Entries after the first number, up to the last.
-type part() :: {After :: non_neg_integer(), UpTo :: non_neg_integer()}.

-define(BYTES, 9).

%% For more entries. In one that was written by a node before, an entry follows for what that may have
%% pushed last, and not written down.
-spec open(file:filename()) -> {ledger(), Count :: non_neg_integer()}.
open(Path) ->
    {ok, File} = file:open(Path, [append, raw]),
    case count(Path) of
        0 -> {File, 0};
        Count -> ok = write(File, unknown, 0), {File, Count + 1}
    end.

%% Each is one write of the system, after which it is the system's.
-spec write(ledger(), said(), AtMs :: integer()) -> ok.
write(File, Said, AtMs) ->
    ok = file:write(File, <<(letter(Said)), AtMs:64>>).

-spec count(file:filename()) -> non_neg_integer().
count(Path) ->
    filelib:file_size(Path) div ?BYTES.

-spec read(file:filename(), part()) -> [entry()].
read(_Path, {Last, Last}) ->
    [];
read(Path, {After, UpTo}) ->
    {ok, File} = file:open(Path, [read, raw, binary]),
    {ok, Bytes} = file:pread(File, After * ?BYTES, (UpTo - After) * ?BYTES),
    ok = file:close(File),
    Entries = [{said(Letter), At} || <<Letter, At:64>> <= Bytes],
    [{Number, Said, At} || {Number, {Said, At}} <- lists:zip(lists:seq(After + 1, UpTo), Entries)].

letter(accepted) -> $a;
letter(full) -> $f;
letter(closed) -> $c;
letter(unknown) -> $u.

said($a) -> accepted;
said($f) -> full;
said($c) -> closed;
said($u) -> unknown.
