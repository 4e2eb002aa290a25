-module(docs_logs_SUITE).
-moduledoc "docs/logs.md has the lines that are logged: with their level, their fields, and a test that makes them.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([the_page_has_each_line_as_the_code_logs_it/1,
         the_lines_are_in_order/1,
         each_line_is_made_by_the_test_that_the_page_names/1]).

-include_lib("stdlib/include/assert.hrl").

%% A report that is made from a map of others has their keys, too.
-type line() :: #{what := atom(), level := atom(), keys := [binary()], base := none | binary()}.

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Confirms it both ways, for `what', level and fields.
the_page_has_each_line_as_the_code_logs_it(_Config) ->
    InCode = lists:usort([shown(Line) || Module <- modules(), Line <- logged(Module)]),
    ?assertMatch([_, _ | _], InCode),
    OnPage = lists:usort([{What, Level, lists:sort(Fields)} || {What, Level, Fields, _} <- rows()]),
    ?assertEqual({[], []}, {InCode -- OnPage, OnPage -- InCode}).

the_lines_are_in_order(_Config) ->
    Whats = [What || {What, _, _, _} <- rows()],
    ?assertEqual(lists:usort(Whats), Whats).

%% Confirms that there is such a case, and that its suite names the line. What it says is its own affair.
each_line_is_made_by_the_test_that_the_page_names(_Config) ->
    ?assertEqual([], [{What, Suite, Case} || {What, _, _, {Suite, Case}} <- rows(),
                                             not is_case_about(What, Suite, Case)]).

is_case_about(What, Suite, Case) ->
    {module, Suite} = code:ensure_loaded(Suite),
    {ok, {Suite, [{atoms, Atoms}]}} = beam_lib:chunks(code:which(Suite), [atoms]),
    erlang:function_exported(Suite, Case, 1)
        andalso lists:member(Case, Suite:all())
        andalso lists:keymember(What, 2, Atoms).

%% What the page says

rows() ->
    Docs = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "docs"]),
    {ok, Page} = file:read_file(filename:join(Docs, "logs.md")),
    {match, Rows} = re:run(Page, "^\\| `(event_pusher_\\w+)` \\| (\\w+) \\| ([^|]*) \\|.*\\| `(\\w+):(\\w+)` \\|$",
                           [global, multiline, {capture, all_but_first, binary}]),
    [{binary_to_atom(What), binary_to_atom(Level), quoted(Fields),
      {binary_to_atom(Suite), binary_to_atom(Case)}} || [What, Level, Fields, Suite, Case] <- Rows].

quoted(Text) ->
    {match, Words} = re:run(Text, "`(\\w+)`", [global, {capture, all_but_first, binary}]),
    lists:append(Words).

%% What the code logs

modules() ->
    _ = application:load(event_pusher),
    {ok, Modules} = application:get_key(event_pusher, modules),
    Modules.

shown(#{what := What, level := Level, keys := Keys, base := Base}) ->
    {What, Level, lists:sort(common(Base) ++ lists:delete(<<"what">>, Keys))}.

%% What is in the map that a report is made from: fields of a pool are its labels and the receiver.
common(none) -> [];
common(<<"Fields">>) -> [<<"labels">>, <<"receiver">>];
common(<<"Labels">>) -> [<<"labels">>];
common(<<"labels">>) -> [<<"labels">>].

-spec logged(module()) -> [line()].
logged(Module) ->
    {ok, {Module, [{abstract_code, {raw_abstract_v1, Forms}}]}} =
        beam_lib:chunks(code:which(Module), [abstract_code]),
    [Line || {function, _, Name, Arity, Clauses} <- Forms,
             Clause <- Clauses,
             {Level, Report} <- reports(Clause),
             Line <- lines(Level, Report, {Name, Arity, Clause}, Forms)].

%% As the macros of logger.hrl become code. Some reports are made of variables.
reports({call, _, {remote, _, {atom, _, erlang}, {atom, _, apply}},
         [{atom, _, logger}, {atom, _, macro_log}, Arguments]}) ->
    {cons, _, _Location, {cons, _, {atom, _, Level}, {cons, _, Report, _}}} = Arguments,
    [{Level, Report}];
reports(Form) when is_tuple(Form) -> reports(tuple_to_list(Form));
reports(Forms) when is_list(Forms) -> lists:append([reports(Form) || Form <- Forms]);
reports(_) -> [].

lines(Level, {map, _, Fields}, Function, Forms) ->
    lines(Level, Fields, none, Function, Forms);
lines(Level, {map, _, {var, _, Base}, Fields}, Function, Forms) ->
    lines(Level, Fields, atom_to_binary(Base), Function, Forms);
lines(Level, {map, _, {call, _, {atom, _, Base}, _}, Fields}, Function, Forms) ->
    lines(Level, Fields, atom_to_binary(Base), Function, Forms).

lines(Level, Fields, Base, Function, Forms) ->
    Pairs = maps:from_list([{Key, Value} || {map_field_assoc, _, {atom, _, Key}, Value} <- Fields]),
    Keys = [atom_to_binary(Key) || Key <- maps:keys(Pairs)],
    [#{what => What, level => Level, keys => Keys, base => Base}
     || What <- whats(maps:get(what, Pairs), Function, Forms)].

%% An atom, or the arguments with which the function is called.
whats({atom, _, What}, _Function, _Forms) ->
    [What];
whats({var, _, Name}, {Function, Arity, {clause, _, Parameters, _, _}}, Forms) ->
    [Place] = [Place || {Place, {var, _, Parameter}} <- lists:enumerate(Parameters), Parameter =:= Name],
    [_ | _] = [What || Arguments <- calls(Function, Forms), length(Arguments) =:= Arity,
                       {atom, _, What} <- [lists:nth(Place, Arguments)]].

calls(Function, {call, _, {atom, _, Function}, Arguments}) -> [Arguments];
calls(Function, Form) when is_tuple(Form) -> calls(Function, tuple_to_list(Form));
calls(Function, Forms) when is_list(Forms) -> lists:append([calls(Function, Form) || Form <- Forms]);
calls(_Function, _) -> [].
