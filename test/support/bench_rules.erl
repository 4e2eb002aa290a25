-module(bench_rules).
-moduledoc "What rules cost the hook.".

-export([cases/0]).

-spec cases() -> [bench_case:bench_case()].
cases() ->
    [#{name => "rules", needs => [receiver],
       title => "SNS without and with ten rules: microseconds of the hook, one caller",
       figures => [{p50, "p50", 1}, {p99, "p99", 1}], rows => fun rows/1}].

%% What ten rules do is what the last one does.
rows(#{url := Url, events := Count}) ->
    Setups = [{"without", {sns, Url, 100, #{}}}
              | [{What, {ruled_sns, Url, others() ++ [Last]}}
                 || {What, Last} <- [{"none matches", #{to => [<<"carol@localhost">>], action => <<"drop">>}},
                                     {"metadata", #{metadata => #{tenant => acme, level => 3}}},
                                     {"dropped for HTTP", #{backends => [<<"http">>], action => <<"drop">>}},
                                     {"dropped", #{action => <<"drop">>}}]]],
    [#{row => "hook", subjects => [{node, What, {bench_hook, measure, [Setup, hook, 1, Count]}}
                                   || {What, Setup} <- Setups]}].

%% Of all kinds, and none matches the event of bench_event.
others() ->
    Users = [<<"user", (integer_to_binary(N))/binary, "@localhost">> || N <- lists:seq(1, 1000)],
    [Rule#{action => <<"drop">>}
     || Rule <- [#{events => [<<"presence_online">>, <<"presence_offline">>]},
                 #{from => [<<"*-bot@localhost">>, <<"bots.localhost">>]},
                 #{to => [<<"*@conference.localhost">>, <<"admin@*">>]},
                 #{hosts => [<<"*.acme.example">>]},
                 #{from => Users},
                 #{has_body => false},
                 #{hints => [<<"no-store">>, <<"no-permanent-store">>]},
                 #{events => [<<"groupchat_sent">>, <<"groupchat_received">>], backends => [<<"sns">>]},
                 #{from => [<<"example.com">>], has_body => true}]].
