-module(monitoring_SUITE).
-moduledoc "Holds dashboard and alerts to a real Prometheus, which scrapes what the backends measure.".

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([the_dashboard_shows_what_there_is/1,
         choices_of_the_dashboard_are_those_that_there_are/1,
         each_metric_has_its_place_on_the_dashboard/1,
         alerts_are_about_metrics_that_there_are/1,
         nothing_is_reported_while_all_is_well/1,
         an_outage_is_reported/1,
         a_stop_leaves_nothing_to_report/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
%% In the folder of the repository.
-define(DASHBOARD, "docs/grafana/event_pusher.json").
-define(ALERTS, "docs/alerts.yml").
%% More than an HTTP receiver may fail in a row before its circuit is open.
-define(CALLS, 10).
-define(WAIT, 30000).
%% It is valid for a week.
-define(CERTIFICATE, {<<"EventPusherCertificate">>, [<<"http">>]}).
-define(METRIC, "event_pusher_[a-z_]+").

%% In this order: the last ones end what the first ones look at.
all() ->
    [the_dashboard_shows_what_there_is, choices_of_the_dashboard_are_those_that_there_are,
     each_metric_has_its_place_on_the_dashboard, alerts_are_about_metrics_that_there_are,
     nothing_is_reported_while_all_is_well, an_outage_is_reported, a_stop_leaves_nothing_to_report].

%% The conversation of the demo, and something for each receiver once that is scraped: a histogram is
%% there with its first times, and only shows what comes then.
init_per_suite(Config) ->
    ok = rig:start_application(),
    {ok, Endpoint} = metrics_endpoint:start(),
    {ok, Prometheus} = prometheus_service:start(metrics_endpoint:url(Endpoint), path(?ALERTS)),
    Certs = test_certs:make(?config(priv_dir, Config)),
    {ok, Secure} = http_service:start(maps:with([cert, key], Certs)),
    More = [secure_handler(http_service:info(Secure), Certs), spool(Config), rule()],
    Services = in_root(fun() -> demo_receivers:start(More) end),
    _ = host:send_message(<<"bot@localhost">>, <<"bob@localhost">>, rig:message(<<"chat">>, <<"Hi">>)),
    ok = prometheus_service:await_scrape(Prometheus),
    ?assertMatch({All, All}, demo_conversation:play(Services)),
    settle(Prometheus),
    {_, _, Wanted} = Step = demo_conversation:to_offline(<<"And boots">>),
    ?assertEqual(length(Wanted), demo_conversation:step(Services, Step)),
    ok = await_that(event_pusher_receiver, https, certificate_days, fun is_integer/1),
    settle(Prometheus),
    [{secure, Secure}, {endpoint, Endpoint}, {prometheus, Prometheus}, {services, Services} | Config].

end_per_suite(Config) ->
    ok = in_root(fun() -> demo_receivers:stop(?config(services, Config)) end),
    ok = http_service:stop(?config(secure, Config)),
    ok = prometheus_service:stop(?config(prometheus, Config)),
    ok = metrics_endpoint:stop(?config(endpoint, Config)),
    application:stop(event_pusher).

%% A second receiver of HTTP, for what there is with TLS only.
secure_handler(#{url := Url}, #{ca := Ca}) ->
    ["\n[outgoing_pools.http.https_pool.connection]\n  host = \"", Url, "\"\n",
     "  tls.cacertfile = \"", Ca, "\"\n",
     "\n[[modules.mod_event_pusher.http.handlers]]\n  pool_name = \"https_pool\"\n"].

%% With a spool, HTTP would try for a day.
spool(Config) ->
    Dir = filename:join(?config(priv_dir, Config), "spool"),
    ["\n[modules.mod_event_pusher.spool]\n  dir = \"", Dir, "\"\n"
     "\n[modules.mod_event_pusher.http.retry]\n  max_age_ms = 100\n"].

%% For what there is with rules only.
rule() ->
    "\n[[modules.mod_event_pusher.rules]]\n  from = [\"bot@localhost\"]\n  action = \"drop\"\n".

%% Each query of each panel has a result, and numbers in it, but for certificates where there is no TLS.
the_dashboard_shows_what_there_is(Config) ->
    Queries = queries(),
    ?assert(length(Queries) > 50),
    Answers = [{Query, prometheus_service:query(?config(prometheus, Config), filled_in(Query))}
               || Query <- Queries],
    {WithoutTls, Others} = lists:partition(fun({Query, _}) -> is_without_tls(Query) end, Answers),
    ?assertMatch([{_, {ok, []}}, {_, {ok, []}}], WithoutTls),
    ?assertEqual([], [Answer || {_, Result} = Answer <- Others, not has_numbers(Result)]).

is_without_tls(Query) ->
    re:run(Query, "certificate_days{pool_type=\"(sns|rabbit)\"") =/= nomatch.

has_numbers({ok, [_ | _] = Samples}) -> lists:all(fun({_, Value}) -> Value =/= <<"NaN">> end, Samples);
has_numbers(_) -> false.

%% Each names a metric and one of its labels.
choices_of_the_dashboard_are_those_that_there_are(Config) ->
    #{<<"templating">> := #{<<"list">> := Variables}} = dashboard(),
    Values = [{Name, values(Config, Query)}
              || #{<<"type">> := <<"query">>, <<"name">> := Name, <<"definition">> := Query}
                     <- Variables],
    Endpoint = list_to_binary(metrics_endpoint:url(?config(endpoint, Config))),
    ?assertEqual([{<<"host_type">>, [?HT]},
                  {<<"pool">>, [<<"event_pusher">>, <<"http_pool">>, <<"https_pool">>,
                                <<"pusher_push">>, <<"pusher_sns">>]},
                  {<<"instance">>, [Endpoint]}], Values).

values(Config, Query) ->
    {match, [Series, Label]} = re:run(Query, "^label_values\\((.*), ([a-z_]+)\\)$",
                                      [{capture, all_but_first, binary}]),
    {ok, Samples} = prometheus_service:query(?config(prometheus, Config),
                                             filled_in(<<"count by (", Label/binary, ") (",
                                                         Series/binary, ")">>)),
    lists:sort([maps:get(Label, Labels) || {Labels, _} <- Samples]).

%% One that was added has to be added there.
each_metric_has_its_place_on_the_dashboard(Config) ->
    Shown = metrics(queries()),
    ?assertEqual([], [Name || Name <- ours(Config), not is_shown(Name, Shown)]).

%% Count and sum of a histogram are left out.
is_shown(Name, Shown) ->
    Histogram = re:replace(Name, "_(count|sum)$", "_bucket", [{return, binary}]),
    lists:member(Name, Shown) orelse lists:member(Histogram, Shown).

%% What is misspelled would never be reported.
alerts_are_about_metrics_that_there_are(Config) ->
    Used = metrics([Query || #{<<"query">> := Query} <- alerts(Config)]),
    ?assert(length(Used) > 10),
    ?assertEqual([], Used -- ours(Config)).

%% Confirms that a conversation that arrives leads to no alert, but for the certificate of this suite.
nothing_is_reported_while_all_is_well(Config) ->
    ?assertEqual([?CERTIFICATE], reported(Config)).

%% Confirms what is told of an HTTP receiver that is away, and of a broker.
an_outage_is_reported(Config) ->
    #{http := Http, rabbit := Rabbit} = ?config(services, Config),
    ok = http_service:down(Http),
    ok = rabbit_service:down(Rabbit),
    talk(1),
    ok = await(event_pusher_events, http, exhausted, 1),
    talk(?CALLS),
    ok = await(event_pusher_queue, http, open_destinations, 1),
    ok = await(event_pusher_status, http, degraded, 1),
    ok = await(event_pusher_connection, rabbit, up, 0),
    ok = prometheus_service:await_scrape(?config(prometheus, Config)),
    ?assertEqual([?CERTIFICATE, {<<"EventPusherCircuitOpen">>, [<<"http">>]},
                  {<<"EventPusherDegraded">>, [<<"http">>]},
                  {<<"EventPusherDisconnected">>, [<<"rabbit">>]},
                  {<<"EventPusherExhausted">>, [<<"http">>]}], reported(Config)).

talk(Times) ->
    [Act() || N <- lists:seq(1, Times),
              {_, Act, _} <- [demo_conversation:private(integer_to_binary(N))]].

%% Confirms it with the levels that were told last: the server goes on showing them.
a_stop_leaves_nothing_to_report(_Config) ->
    ok = mongoose_modules:stop(),
    Levels = [{Key, Value} || {{Event, #{pool_type := _}, _} = Key, Value}
                                  <- maps:to_list(host_metrics:latest()),
                              lists:member(Event, [event_pusher_queue, event_pusher_status])],
    ?assert(length(Levels) > 20),
    ?assertEqual([], [Level || {_, Value} = Level <- Levels, Value =/= 0]).

%% What there is

%% The names of alerts that hold now, and of which backends.
reported(Config) ->
    Results = [{Name, prometheus_service:query(?config(prometheus, Config), Query)}
               || #{<<"name">> := Name, <<"query">> := Query} <- alerts(Config)],
    ?assertEqual([], [Failed || {_, {error, _}} = Failed <- Results]),
    lists:sort([{Name, lists:sort([maps:get(<<"pool_type">>, Labels, none) || {Labels, _} <- Samples])}
                || {Name, {ok, Samples}} <- Results, Samples =/= []]).

alerts(Config) ->
    prometheus_service:rules(?config(prometheus, Config)).

%% Our metrics that Prometheus knows.
ours(Config) ->
    Names = prometheus_service:names(?config(prometheus, Config)),
    [Name || Name <- Names, metrics([Name]) =:= [Name]].

%% Names of metrics in these texts.
metrics(Texts) ->
    lists:usort(lists:append([names(Text) || Text <- Texts])).

names(Text) ->
    case re:run(Text, ?METRIC, [global, {capture, all, binary}]) of
        {match, Found} -> lists:append(Found);
        nomatch -> []
    end.

%% Once all deliveries are measured and scraped.
settle(Prometheus) ->
    [ok = host_metrics:await(event_pusher_queue, fun() -> is_told(Pool) end, ?WAIT)
     || Pool <- [sns, http, https, rabbit, push]],
    prometheus_service:await_scrape(Prometheus).

is_told(Pool) ->
    #{delivered := Delivered, waiting := Waiting} = stats(Pool),
    Labels = labels(Pool),
    Times = [length(host_metrics:values(event_pusher_events, Labels, Metric))
             || Metric <- [time | [attempt_time || Pool =/= push]]],
    Waiting =:= 0 andalso host_metrics:total(event_pusher_events, Labels, delivered) =:= Delivered
        andalso lists:usort(Times) =:= [Delivered].

stats(sns) -> rig:stats({sns, ?HT});
stats(http) -> rig:stats({http, ?HT, 1});
stats(https) -> rig:stats({http, ?HT, 2});
stats(rabbit) -> rig:stats({rabbit, ?HT});
stats(push) -> push_rig:stats().

labels(Pool) ->
    {PoolType, Tag} = maps:get(Pool, #{sns => {sns, pusher_sns}, http => {http, http_pool},
                                       https => {http, https_pool}, rabbit => {rabbit, event_pusher},
                                       push => {push, pusher_push}}),
    #{host_type => ?HT, pool_type => PoolType, pool_tag => Tag}.

%% Returns once the metric has this value.
await(Event, Pool, Metric, Value) ->
    await_that(Event, Pool, Metric, fun(Is) -> Is =:= Value end).

await_that(Event, Pool, Metric, Holds) ->
    Key = {Event, labels(Pool), Metric},
    host_metrics:await(Event, fun() -> Holds(maps:get(Key, host_metrics:latest(), none)) end, ?WAIT).

%% The dashboard

queries() ->
    lists:append([queries_of(Panel) || Panel <- maps:get(<<"panels">>, dashboard())]).

queries_of(#{<<"type">> := <<"row">>, <<"panels">> := Panels}) ->
    lists:append([queries_of(Panel) || Panel <- Panels]);
queries_of(#{<<"targets">> := Targets}) ->
    [Query || #{<<"expr">> := Query} <- Targets].

dashboard() ->
    {ok, Json} = file:read_file(path(?DASHBOARD)),
    jiffy:decode(Json, [return_maps]).

%% As Grafana does it when all is chosen.
filled_in(Query) ->
    lists:foldl(fun({Variable, Value}, Text) -> string:replace(Text, Variable, Value, all) end, Query,
                [{"$__rate_interval", "1m"}, {"$host_type", ".*"}, {"$pool", ".*"},
                 {"$instance", ".*"}]).

%% Files

path(File) ->
    filename:join(root(), File).

%% Where the demo looks for its files.
in_root(Fun) ->
    {ok, Folder} = file:get_cwd(),
    ok = file:set_cwd(root()),
    try Fun() after ok = file:set_cwd(Folder) end.

%% The folder above this file's that has the dashboard.
root() ->
    root(filename:dirname(proplists:get_value(source, module_info(compile)))).

root(Folder) ->
    case filelib:is_regular(filename:join(Folder, ?DASHBOARD)) of
        true -> Folder;
        false -> root(filename:dirname(Folder))
    end.
