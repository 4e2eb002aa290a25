-module(calls_SUITE).
-moduledoc "Who calls whom: as the architecture says.".

-behaviour(ct_suite).

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([each_call_between_modules_is_in_the_list/1,
         no_two_modules_call_each_other/1,
         the_bridge_calls_nothing_that_needs_a_server/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), length(string:split(atom_to_list(Case), "_", all)) > 3].

init_per_suite(Config) ->
    {ok, _} = xref:start(?MODULE),
    ok = xref:set_default(?MODULE, [{warnings, false}, {verbose, false}]),
    {ok, _} = xref:add_directory(?MODULE, filename:dirname(code:which(event_pusher))),
    {ok, Modules} = xref:q(?MODULE, "AM"),
    {ok, Calls} = xref:q(?MODULE, "strict ME || AM"),
    [{calls, [Call || {_, Called} = Call <- Calls, lists:member(Called, Modules)]} | Config].

end_per_suite(_Config) ->
    xref:stop(?MODULE).

%% Confirms both ways: no call is missing, and each is made.
each_call_between_modules_is_in_the_list(Config) ->
    Listed = [{Caller, Called} || {Caller, All} <- listed(), Called <- All],
    Calls = ?config(calls, Config),
    ?assertEqual({[], []}, {Calls -- Listed, Listed -- Calls}).

%% Confirms it also through others.
no_two_modules_call_each_other(_Config) ->
    ?assertEqual({ok, []}, xref:q(?MODULE, "components strict ME")).

%% Confirms it by the folders of the modules.
the_bridge_calls_nothing_that_needs_a_server(Config) ->
    Bridge = [list_to_atom(filename:basename(File, ".erl"))
              || File <- filelib:wildcard(filename:join(root(), "erlang/bridge/*.erl"))],
    ?assert(lists:member(event_pusher_pool, Bridge)),
    ?assertEqual([], [Call || {Caller, Called} = Call <- ?config(calls, Config),
                              lists:member(Caller, Bridge), not lists:member(Called, Bridge)]).

%% Lines of code after the sentence that names this suite, each with its continuation.
listed() ->
    {ok, Page} = file:read_file(filename:join(root(), "docs/architecture.md")),
    [_, Rest] = string:split(Page, "holds it to the code.\n"),
    [List | _] = re:split(Rest, "\n(?=[^ \n])"),
    Lines = re:replace(List, "\n {8,}", " ", [global, {return, list}]),
    [entry(Line) || Line <- string:lexemes(Lines, "\n")].

entry(Line) ->
    [Caller, Called] = string:split(Line, " -> "),
    {list_to_atom(string:trim(Caller)), [list_to_atom(Name) || Name <- string:lexemes(Called, ", ")]}.

%% Suites are compiled into _build/suites.
root() ->
    filename:join([filename:dirname(code:which(?MODULE)), "..", ".."]).
