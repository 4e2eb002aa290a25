-module(prometheus_service).
-moduledoc "A real Prometheus for tests, a Python port, and what its HTTP API says.".

-export([start/2, stop/1, url/1]).
-export([query/2, rules/1, names/1, await_scrape/1]).
-export_type([sample/0, rule/0]).

-type sample() :: {Labels :: #{binary() => binary()}, Value :: binary()}.
%% As the API has it: name, query, state, lastError and so on.
-type rule() :: #{binary() => term()}.

-define(WITHIN_MS, 30000).
-define(LOOK_MS, 50).
%% By which Prometheus may shift the time of a scrape, and more.
-define(TOLERANCE_MS, 10).

%% Scrapes the address from now on, and evaluates the rules of the file.
-spec start(Target :: string(), Rules :: file:filename()) -> {ok, pid()} | {error, term()}.
start(Target, Rules) ->
    receiver:start("prometheus_service.py", [{"--target", Target}, {"--rules", Rules}]).

-spec stop(pid()) -> ok.
stop(Service) ->
    receiver:stop(Service).

-spec url(pid()) -> binary().
url(Service) ->
    maps:get(url, receiver:info(Service)).

%% What the query gives at the moment; an error says what is wrong with it.
-spec query(pid(), Query :: unicode:chardata()) -> {ok, [sample()]} | {error, binary()}.
query(Service, Query) ->
    case api(Service, ["query", "query", unicode:characters_to_binary(Query)]) of
        {ok, #{<<"resultType">> := <<"vector">>, <<"result">> := Samples}} ->
            {ok, [{Labels, Value}
                  || #{<<"metric">> := Labels, <<"value">> := [_Time, Value]} <- Samples]};
        {error, Text} ->
            {error, Text}
    end.

-spec rules(pid()) -> [rule()].
rules(Service) ->
    {ok, #{<<"groups">> := Groups}} = api(Service, ["rules"]),
    lists:append([Rules || #{<<"rules">> := Rules} <- Groups]).

%% Of all metrics that were ever scraped.
-spec names(pid()) -> [binary()].
names(Service) ->
    {ok, Names} = api(Service, ["label/__name__/values"]),
    Names.

%% Returns once all of a scrape is stored that began after the call.
-spec await_scrape(pid()) -> ok.
await_scrape(Service) ->
    Since = erlang:system_time(millisecond) + ?TOLERANCE_MS,
    await_scrape(Service, Since, erlang:monotonic_time(millisecond) + ?WITHIN_MS).

%% What a scrape tells of itself is stored together with what it found.
await_scrape(Service, Since, Deadline) ->
    case {query(Service, "up"), query(Service, "timestamp(up) * 1000")} of
        {{ok, [{_, <<"1">>}]}, {ok, [{_, At}]}} ->
            number(At) > Since orelse look_again(Service, Since, Deadline);
        _ ->
            look_again(Service, Since, Deadline)
    end,
    ok.

look_again(Service, Since, Deadline) ->
    erlang:monotonic_time(millisecond) < Deadline orelse error({not_scraped, api(Service, ["targets"])}),
    timer:sleep(?LOOK_MS),
    await_scrape(Service, Since, Deadline).

api(Service, Words) ->
    case jiffy:decode(receiver:command(Service, ["api" | Words]), [return_maps]) of
        #{<<"status">> := <<"success">>, <<"data">> := Data} -> {ok, Data};
        #{<<"status">> := <<"error">>, <<"error">> := Text} -> {error, Text}
    end.

number(Text) ->
    try binary_to_float(Text) catch error:badarg -> binary_to_integer(Text) end.
