-module(event_pusher_rules_options_SUITE).
-moduledoc "Rules in mongooseim.toml: what is read, and what is told of mistakes.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([rules_keep_their_order_and_their_texts/1,
         both_spellings_of_rules_mean_the_same/1,
         each_mistake_is_told_with_the_number_of_the_rule/1,
         all_mistakes_are_told_at_once/1,
         what_the_server_finds_itself_is_told_by_it/1,
         no_rules_are_no_rules/1]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Confirms it for all options together.
rules_keep_their_order_and_their_texts(Config) ->
    Toml = "[[modules.mod_event_pusher.rules]]\n"
           "events = [\"chat_sent\", \"unacknowledged\"]\nhosts = [\"*.example.com\"]\nfrom = [\"Alice@example.com\"]\n"
           "to = [\"example.org\", \"*@*\"]\nrecipient = \"offline\"\nhas_body = false\nhints = [\"store\", \"no-copy\"]\n"
           "backends = [\"push\", \"sns\"]\naction = \"keep\"\nmetadata = {a = \"x\", b = -5}\n"
           "metadata_booleans = {c = true}\nmetadata_floats = {d = 1.5}\n"
           "[[modules.mod_event_pusher.rules]]\naction = \"drop\"\n",
    ?assertEqual([#{events => [<<"chat_sent">>, <<"unacknowledged">>], hosts => [<<"*.example.com">>],
                    from => [<<"Alice@example.com">>], to => [<<"example.org">>, <<"*@*">>],
                    recipient => <<"offline">>, has_body => false, hints => [<<"store">>, <<"no-copy">>],
                    backends => [<<"push">>, <<"sns">>], action => <<"keep">>, metadata => #{a => x, b => -5},
                    metadata_booleans => #{c => true}, metadata_floats => #{d => 1.5}},
                  #{action => <<"drop">>}], rules_rig:rules(Toml, Config)).

%% Confirms it for a table for each and for one list.
both_spellings_of_rules_mean_the_same(Config) ->
    Tables = "[[modules.mod_event_pusher.rules]]\nhas_body = false\n[[modules.mod_event_pusher.rules]]\naction = \"drop\"",
    List = "[modules.mod_event_pusher]\nrules = [{has_body = false}, {action = \"drop\"}]",
    ?assertEqual([#{has_body => false}, #{action => <<"drop">>}], rules_rig:rules(Tables, Config)),
    ?assertEqual(rules_rig:rules(Tables, Config), rules_rig:rules(List, Config)).

%% Confirms option, what is allowed and what there is.
each_mistake_is_told_with_the_number_of_the_rule(Config) ->
    Table = [{"action = \"dorp\"", "action: must be \"keep\" or \"drop\", got \"dorp\""},
             {"recipient = \"away\"", "recipient: must be \"offline\" or \"online\", got \"away\""},
             {"events = [\"chat_sent\", \"online\"]",
              "events: must be \"presence_online\" or \"presence_offline\" or \"chat_sent\" or \"chat_received\" or "
              "\"groupchat_sent\" or \"groupchat_received\" or \"normal_sent\" or \"normal_received\" or "
              "\"headline_sent\" or \"headline_received\" or \"unacknowledged\", got \"online\""},
             {"backends = [\"rabbitmq\"]",
              "backends: must be \"sns\" or \"http\" or \"rabbit\" or \"push\", got \"rabbitmq\""},
             {"hints = [\"nostore\"]",
              "hints: must be \"no-store\" or \"no-copy\" or \"no-permanent-store\" or \"store\", got \"nostore\""},
             {"hosts = [\"a@example.com\"]",
              "hosts: must be a domain, also with *, got \"a@example.com\": this is for domains, without users"},
             {"from = [\"@example.com\"]",
              "from: must be a domain or a bare JID, also with *, got \"@example.com\": "
              "write \"example.com\" for all of the domain"},
             {"to = [\"bob@example.com/phone\"]",
              "to: must be a domain or a bare JID, also with *, got \"bob@example.com/phone\": "
              "rules know no resources"},
             {"events = []", "events: must not be empty"}, {"from = []", "from: must not be empty"},
             {"", "must have an option at least, got none"},
             {"metadata.a = 1\nmetadata_floats.a = 1.0", "a: must be in one of the tables of metadata, got in several"},
             {"metadata.a = 1\naction = \"drop\"", "metadata: must not be beside action \"drop\""}],
    [begin
         [Error] = rules_rig:errors(["[[modules.mod_event_pusher.rules]]\naction = \"keep\"\n"
                                     "[[modules.mod_event_pusher.rules]]\n", Toml, "\n"], Config),
         ?assertEqual(#{what => event_pusher_bad_rule, class => error, toml_path => <<"modules.mod_event_pusher.rules">>,
                        text => iolist_to_binary(["rule 2: ", Text])}, Error)
     end || {Toml, Text} <- Table].

%% Confirms it within a rule and for several.
all_mistakes_are_told_at_once(Config) ->
    Toml = "[[modules.mod_event_pusher.rules]]\naction = \"a\"\nevents = [\"b\", \"chat_sent\", \"c\"]\n"
           "[[modules.mod_event_pusher.rules]]\nhas_body = true\n"
           "[[modules.mod_event_pusher.rules]]\nfrom = [\"\"]\n",
    ?assertMatch([<<"rule 1: events: must be ", _/binary>>, <<"rule 1: events: must be ", _/binary>>,
                  <<"rule 1: action: must be ", _/binary>>, <<"rule 3: from: must be ", _/binary>>],
                 [Text || #{text := Text} <- rules_rig:errors(Toml, Config)]).

%% Confirms that the option is named, for wrong types, and for a key that is none.
what_the_server_finds_itself_is_told_by_it(Config) ->
    [begin
         [#{toml_path := Path}] = rules_rig:errors(["[[modules.mod_event_pusher.rules]]\n", Key, " = ", Value], Config),
         ?assertEqual(iolist_to_binary(["modules.mod_event_pusher.rules.", Key]), Path)
     end || {Key, Value} <- [{"events", "\"chat_sent\""}, {"has_body", "\"yes\""}, {"action", "true"},
                             {"backends", "[1]"}, {"metadata", "[\"a\"]"}, {"metadata.a", "true"},
                             {"metadata_booleans.a", "1"}, {"metadata_floats.a", "1"}]],
    [#{text := Text}] = rules_rig:errors("[[modules.mod_event_pusher.rules]]\nevent = [\"chat_sent\"]", Config),
    [?assertMatch({_, _}, binary:match(Text, Word)) || Word <- [<<"events">>, <<"backends">>, <<"got event">>]].

%% Confirms that an empty list is allowed, as programs write it.
no_rules_are_no_rules(Config) ->
    ?assertEqual([], rules_rig:rules("[modules.mod_event_pusher]\nrules = []", Config)),
    ?assertEqual({ok, []}, event_pusher_rules_options:read([])).
