-module(linkage_SUITE).
-moduledoc "What tools/linkage lets into a package: small libraries, linked here, stand before it.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([a_library_that_needs_glibc_alone_is_accepted/1,
         a_library_that_needs_another_is_refused/1,
         a_library_for_a_newer_glibc_is_refused/1,
         a_library_that_looks_for_others_in_a_folder_is_refused/1,
         a_library_that_can_be_unmapped_is_refused/1,
         a_library_with_an_executable_stack_is_refused/1,
         a_library_that_erlang_could_not_load_is_refused/1,
         a_library_that_exports_more_than_its_entry_is_refused/1,
         a_file_that_is_no_library_is_refused/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

%% The function that Erlang calls, and one of glibc that came with 2.25.
-define(SOURCE, "#include <sys/random.h>\n"
                "long nif_init(void) { char byte; return getrandom(&byte, 1, 0); }\n").
-define(FLAGS, ["-Wl,-z,nodelete"]).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Confirms that the check says what the library needs.
a_library_that_needs_glibc_alone_is_accepted(Config) ->
    ?assertMatch({0, "linkage: needs glibc 2.25 or later" ++ _},
                 check(library(?SOURCE, ?FLAGS, Config), "2.31")).

%% Confirms it for the one that a Rust library needs by default.
a_library_that_needs_another_is_refused(Config) ->
    refused("needs libgcc_s.so.1", ?SOURCE, ["-Wl,--no-as-needed", "-lgcc_s" | ?FLAGS], Config).

%% Confirms that versions are numbers: 2.25 is later than 2.9, though not by its letters.
a_library_for_a_newer_glibc_is_refused(Config) ->
    Library = library(?SOURCE, ?FLAGS, Config),
    [begin
         {1, Output} = check(Library, Older),
         ?assertNotEqual(nomatch, string:find(Output, "needs glibc 2.25, but"))
     end || Older <- ["2.9", "2.24"]],
    ?assertMatch({0, _}, check(Library, "2.25")).

%% Confirms it for the place that a linker takes from its command line.
a_library_that_looks_for_others_in_a_folder_is_refused(Config) ->
    refused("folder of its own", ?SOURCE, ["-Wl,-rpath,/opt/lib" | ?FLAGS], Config).

%% Confirms it for what a linker does by default.
a_library_that_can_be_unmapped_is_refused(Config) ->
    refused("NODELETE", ?SOURCE, [], Config).

%% Confirms it for what glibc 2.41 and later refuse.
a_library_with_an_executable_stack_is_refused(Config) ->
    refused("executable stack", ?SOURCE, ["-Wl,-z,execstack" | ?FLAGS], Config).

%% Confirms it for an entry that is missing, and one that is looked for elsewhere.
a_library_that_erlang_could_not_load_is_refused(Config) ->
    refused("does not export nif_init", "long init(void) { return 0; }\n", ?FLAGS, Config),
    refused("does not export nif_init", "long nif_init(void);\nlong (*init)(void) = nif_init;\n",
            ?FLAGS, Config).

%% Confirms it for an unwinder, which would take the place of the VM's own.
a_library_that_exports_more_than_its_entry_is_refused(Config) ->
    refused("exports _Unwind_Resume", ?SOURCE ++ "void _Unwind_Resume(void) {}\n", ?FLAGS, Config).

%% Confirms it, and that nothing is said of what it needs.
a_file_that_is_no_library_is_refused(Config) ->
    File = filename:join(?config(priv_dir, Config), "text"),
    ok = file:write_file(File, "text"),
    {Status, Output} = check(File, "2.31"),
    ?assertNotEqual(0, Status),
    ?assertEqual(nomatch, string:find(Output, "needs glibc")).

%% Helpers

refused(Reason, Source, Flags, Config) ->
    {Status, Output} = check(library(Source, Flags, Config), "2.31"),
    ?assertEqual(1, Status),
    ?assertNotEqual(nomatch, string:find(Output, Reason), Output).

library(Source, Flags, Config) ->
    Folder = ?config(priv_dir, Config),
    File = filename:join(Folder, "library.c"),
    Library = filename:join(Folder, "library.so"),
    ok = file:write_file(File, Source),
    {0, _} = run(os:find_executable("cc"), ["-shared", "-fPIC", "-o", Library, File | Flags]),
    Library.

check(Library, Glibc) ->
    Root = filename:join(code:lib_dir(event_pusher), "../../../.."),
    run(filename:join(Root, "tools/linkage"), [Library, Glibc]).

run(Program, Arguments) ->
    output(open_port({spawn_executable, Program},
                     [{args, Arguments}, exit_status, stderr_to_stdout]), "").

output(Port, Output) ->
    receive
        {Port, {data, Data}} -> output(Port, Output ++ Data);
        {Port, {exit_status, Status}} -> {Status, Output}
    end.
