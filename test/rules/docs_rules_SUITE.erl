-module(docs_rules_SUITE).
-moduledoc "The page about rules: what it shows is read by the server, and does what it says.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, end_per_testcase/2]).
-export([each_example_sends_events_where_its_table_says/1,
         each_configuration_of_the_page_is_accepted/1,
         each_pattern_of_the_page_is_one/1,
         the_mistake_of_the_page_is_told_as_it_says/1]).

-include_lib("stdlib/include/assert.hrl").

-define(HOSTS, [<<"example.com">>, <<"acme.example.com">>, <<"bots.example.com">>]).
-define(BACKENDS, [{sns, <<"SNS">>}, {http, <<"HTTP">>}, {rabbit, <<"RabbitMQ">>}, {push, <<"push">>}]).
-define(SERVICE, <<"push.example">>).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports),
             not lists:member(Case, [init_per_suite, end_per_suite, module_info])].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    rules_rig:start_suite(Config).

end_per_suite(Config) ->
    rules_rig:stop_suite(Config).

end_per_testcase(_Case, _Config) ->
    rules_rig:stop_host().

%% Confirms each row, in its order, and the metadata of what HTTP gets.
each_example_sends_events_where_its_table_says(Config) ->
    [_ | Texts] = string:split(section(<<"Examples">>), "\n### ", all),
    Examples = [example(Text) || Text <- Texts, string:find(Text, "\n| event |") =/= nomatch],
    ?assert(length(Examples) >= 5),
    [play(Example, Config) || Example <- Examples].

example(Text) ->
    [Title, Rest] = string:split(Text, "\n"),
    [Toml] = blocks(Rest),
    Rows = matches(Rest, "^\\| (`.*?) \\| (.*?) \\|(?: (.*) \\|)?$"),
    ?assertMatch([_, _ | _], Rows),
    {Title, Toml, [{Event, Goes, iolist_to_binary(Metadata)} || [Event, Goes | Metadata] <- Rows]}.

%% A row is seen as it would have to be.
play({Title, Toml, Rows}, Config) ->
    ok = rules_rig:start_host(?HOSTS, rules_rig:rules(Toml, Config), Config),
    {ok, Push} = push_service:start(?SERVICE),
    ok = push_rig:enable(<<"bob@example.com/phone">>, ?SERVICE),
    ?assertEqual({Title, Rows}, {Title, [seen(Row, Config) || Row <- Rows]}),
    ok = push_service:stop(Push),
    rules_rig:stop_host().

seen({Event, _Goes, Metadata}, Config) ->
    Pushed = rules_rig:pushed(?HOSTS, fun() -> act(Event) end),
    case lists:member(http, Pushed) of
        true -> {Event, goes_to(Pushed), listed(rules_rig:metadata(Config))};
        false -> {Event, goes_to(Pushed), Metadata}
    end.

goes_to([]) -> <<"nobody">>;
goes_to(Pushed) -> iolist_to_binary(lists:join(", ", [Name || {Backend, Name} <- ?BACKENDS,
                                                              lists:member(Backend, Pushed)])).

listed(Metadata) ->
    iolist_to_binary(lists:join(", ", [["`", Key, "=", Value, "`"] || {Key, Value} <- Metadata])).

act(Event) ->
    [[Kind, From, To, Hint, WithoutBody]] =
        matches(Event, "^`(\\w+)` (?:of|from) `(.+?)`(?: to `(.+?)`)?(?: with `(.+?)`)?( without a body)?()$",
                [1, 2, 3, 4, 5]),
    Type = hd(binary:split(Kind, <<"_">>)),
    rules_rig:act(Kind, From, To,
                  rules_rig:message(#{type => Type, hints => [Hint || Hint =/= <<>>],
                                      body => case WithoutBody of <<>> -> <<"Hi">>; _ -> none end})).

%% Confirms it for whole files and for parts of them.
each_configuration_of_the_page_is_accepted(Config) ->
    Blocks = blocks(page()),
    ?assert(length(Blocks) > 5),
    [?assertMatch([_ | _], [rules_rig:rules(Toml, Config) || not is_of_host_type(Toml)]
                           ++ [ok || is_of_host_type(Toml)])
     || Toml <- Blocks].

is_of_host_type(Toml) ->
    string:find(Toml, "host_config") =/= nomatch.

%% Confirms the table of patterns and each one in an example of an option.
each_pattern_of_the_page_is_one(_Config) ->
    Table = matches(section(<<"Patterns">>), "^\\| `\"(.*?)\"` \\|"),
    ?assert(length(Table) > 5),
    [?assertMatch({ok, _}, event_pusher_rules_pattern:users([Pattern])) || [Pattern] <- Table].

%% Confirms it for the line itself.
the_mistake_of_the_page_is_told_as_it_says(Config) ->
    [[Line]] = matches(section(<<"Mistakes">>), "^    (rule 2: .*)$"),
    Toml = "[[modules.mod_event_pusher.rules]]\nhas_body = true\n"
           "[[modules.mod_event_pusher.rules]]\naction = \"dorp\"\n",
    ?assertMatch([#{text := Line}], rules_rig:errors(Toml, Config)).

%% The page

section(Heading) ->
    [_, Rest] = string:split(page(), ["\n## ", Heading, "\n"]),
    hd(string:split(Rest, "\n## ")).

blocks(Text) ->
    [Toml || [Toml] <- matches(Text, "^```toml\n((?s:.*?))^```$")].

page() ->
    Docs = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "docs"]),
    {ok, Page} = file:read_file(filename:join(Docs, "rules.md")),
    Page.

matches(Text, Expression) ->
    matches(Text, Expression, all_but_first).

matches(Text, Expression, Groups) ->
    case re:run(Text, Expression, [global, multiline, {capture, Groups, binary}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.
