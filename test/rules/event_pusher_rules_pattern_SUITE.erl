-module(event_pusher_rules_pattern_SUITE).
-moduledoc "Patterns of users and domains: what they match, and what is none.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([a_pattern_matches_what_it_stands_for/1,
         a_pattern_is_normalised_as_users_are/1,
         any_of_several_patterns_is_enough/1,
         a_star_stands_for_any_characters/1,
         a_pattern_of_domains_has_no_user/1,
         what_is_no_pattern_is_refused_with_the_reason/1]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Confirms the forms of the manual's table, with users, domains and rooms.
a_pattern_matches_what_it_stands_for(_Config) ->
    Table = [{"example.com", ["alice@example.com", "example.com"], ["alice@a.example.com", "example.co"]},
             {"alice@example.com", ["alice@example.com"], ["example.com", "malice@example.com",
                                                           "alice@example.org"]},
             {"*-bot@example.com", ["a-bot@example.com", "-bot@example.com"],
              ["bot@example.com", "a-bots@example.com", "a-bot@example.org"]},
             {"alice@*", ["alice@example.com", "alice@b"], ["bob@example.com", "example.com"]},
             {"*.example.com", ["x@a.example.com", "a.b.example.com"], ["x@example.com", "x@aexample.com"]},
             {"*", ["alice@example.com", "example.com"], []},
             {"*@*", ["alice@example.com", "example.com"], []}],
    [?assertEqual({Pattern, Text, Wanted}, {Pattern, Text, matches(Text, [Pattern])})
     || {Pattern, Matched, Others} <- Table,
        {Texts, Wanted} <- [{Matched, true}, {Others, false}], Text <- Texts].

%% Confirms it for letters of any alphabet, on both sides, also next to a star.
a_pattern_is_normalised_as_users_are(_Config) ->
    [?assert(matches(User, [Pattern]))
     || {Pattern, User} <- [{"Alice@Example.COM", "aLICE@example.com"}, {"EXAMPLE.com", "a@example.com"},
                            {"BOT-*@*.Example.com", "bot-1@a.example.com"},
                            {"Ölaf@BÜCHER.example", "ölaf@bücher.example"},
                            {"*@БОТ.example", "a@бот.example"}]].

%% Confirms it for each kind, and for many.
any_of_several_patterns_is_enough(_Config) ->
    Many = [io_lib:format("user~b@example.com", [N]) || N <- lists:seq(1, 1000)],
    Patterns = ["example.org", "bot-*@example.com" | Many],
    [?assertEqual({User, Wanted}, {User, matches(User, Patterns)})
     || {User, Wanted} <- [{"user1@example.com", true}, {"user1000@example.com", true}, {"bot-@example.com", true},
                           {"x@example.org", true}, {"user1001@example.com", false}, {"example.com", false}]].

%% Confirms it against a regular expression, with few letters, so that much matches.
a_star_stands_for_any_characters(_Config) ->
    _ = rand:seed(exsss, {1, 2, 3}),
    Matched = [begin
                   Pattern = text("ab*", 1 + rand:uniform(6)),
                   Text = text("ab", 1 + rand:uniform(8)),
                   Wanted = re:run(Text, ["^", string:replace(Pattern, "*", ".*", all), "$"],
                                   [{capture, none}]) =:= match,
                   ?assertEqual({Pattern, Text, Wanted}, {Pattern, Text, matches(Text ++ "@x", [Pattern ++ "@x"])}),
                   ?assertEqual({Pattern, Text, Wanted}, {Pattern, Text, matches("x@" ++ Text, ["x@" ++ Pattern])}),
                   Wanted
               end || _ <- lists:seq(1, 20000)],
    ?assert(length([yes || true <- Matched]) > 2000).

text(Letters, Length) ->
    [lists:nth(rand:uniform(length(Letters)), Letters) || _ <- lists:seq(1, Length)].

%% Confirms that the rest is as with users.
a_pattern_of_domains_has_no_user(_Config) ->
    {ok, Domains} = event_pusher_rules_pattern:domains([<<"Example.com">>, <<"*.example.org">>]),
    [?assertEqual({Domain, Wanted}, {Domain, event_pusher_rules_pattern:matches({<<>>, Domain}, Domains)})
     || {Domain, Wanted} <- [{<<"example.com">>, true}, {<<"a.example.org">>, true}, {<<"example.org">>, false}]],
    ?assertMatch({error, [{<<"a@example.com">>, "this is for domains, without users"}]},
                 event_pusher_rules_pattern:domains([<<"example.com">>, <<"a@example.com">>])).

%% Confirms that all are told, with the pattern.
what_is_no_pattern_is_refused_with_the_reason(_Config) ->
    Bad = [{<<>>, "there is no domain"}, {<<"alice@">>, "there is no domain"},
           {<<"@example.com">>, "write \"example.com\" for all of the domain"},
           {<<"a@b@c">>, "there is more than one @"},
           {<<"alice@example.com/phone">>, "rules know no resources"},
           {<<"example.com/*">>, "rules know no resources"},
           {<<"a b@example.com">>, "no user can have the part before the @"},
           {<<"a:*@example.com">>, "no user can have the part before the @"},
           {<<"alice@", 255>>, "no domain can have this name"}],
    {error, Faults} = event_pusher_rules_pattern:users([Pattern || {Pattern, _} <- Bad]),
    ?assertEqual(Bad, [{Pattern, lists:flatten(Why)} || {Pattern, Why} <- Faults]).

%% Helpers

matches(User, Patterns) ->
    {ok, Read} = event_pusher_rules_pattern:users([unicode:characters_to_binary(Text) || Text <- Patterns]),
    event_pusher_rules_pattern:matches(jid:to_lus(jid:from_binary(unicode:characters_to_binary(User))), Read).
