-module(option_docs_SUITE).
-moduledoc "The pages of the backends name the options that there are, with the defaults they have.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([every_option_is_documented/1,
         every_documented_option_exists/1,
         every_documented_default_is_that_of_the_code/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").
-include("mongoose_config_spec.hrl").

-define(MODULES, [{<<"sns">>, mod_event_pusher_sns}, {<<"http">>, mod_event_pusher_http},
                  {<<"rabbit">>, mod_event_pusher_rabbit}, {<<"push">>, mod_event_pusher_push}]).
-define(PAGES, ["sns.md", "http.md", "webhooks.md", "rabbit.md", "push.md", "queue.md", "retry.md",
                "spool.md", "rules.md"]).

%% The words behind modules.mod_event_pusher, as in [<<"sns">>, <<"queue">>, <<"max_events">>].
-type path() :: [binary()].
-type default() :: none | {value, term()}.
%% Headings that follow each other have one text. In them, * stands for any characters in a word.
-type entry() :: #{page := string(), patterns := [path()], default := binary()}.

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Confirms it for all that config_spec/0 of a backend accepts. What TLS accepts is in tls.md, and a section
%% with keys of any names is one option.
every_option_is_documented(_Config) ->
    Documented = [Pattern || #{patterns := Patterns} <- entries(), Pattern <- Patterns],
    ?assertEqual([], [line("no page has ~s", [name(Path)])
                      || {Path, option, _Default} <- accepted(),
                         not lists:any(fun(Pattern) -> fits(Path, Pattern) end, Documented)]).

%% Confirms it for sections, too.
every_documented_option_exists(_Config) ->
    ?assertEqual([], [line("~s: there is no ~s", [Page, name(Pattern)])
                      || #{page := Page, patterns := Patterns} <- entries(), Pattern <- Patterns,
                         matches(Pattern) =:= []]).

%% Confirms it for defaults that a parsed configuration has, and for those that the backends add.
every_documented_default_is_that_of_the_code(Config) ->
    Added = added_defaults(Config),
    ?assertEqual([], lists:append([wrong_defaults(Entry, Added) || Entry <- entries()])).

wrong_defaults(#{page := Page, patterns := Patterns, default := Text}, Added) ->
    Paths = lists:append([matches(Pattern) || Pattern <- Patterns]),
    [line("~s: ~s has the default ~s, the page says ~ts", [Page, name(Path), Actual, Told])
     || {{Path, Default}, Told} <- lists:zip(Paths, told(Text, length(Paths))),
        Actual <- [shown(maps:get(Path, Added, Default))],
        Actual =/= Told].

%% The default that a page tells for each of so many options: one for all, or one for each.
told(<<"none", _/binary>>, Count) ->
    lists:duplicate(Count, <<"none">>);
told(Text, Count) ->
    case re:run(Text, "`([^`]*)`", [global, {capture, all_but_first, binary}]) of
        {match, [[Value]]} -> lists:duplicate(Count, Value);
        {match, Values} when length(Values) =:= Count -> lists:append(Values);
        _ -> lists:duplicate(Count, Text)
    end.

%% As it is written in TOML.
shown(none) -> <<"none">>;
shown({value, Text}) when is_binary(Text) -> <<$", Text/binary, $">>;
shown({value, Number}) when is_integer(Number) -> integer_to_binary(Number);
shown({value, Boolean}) when is_boolean(Boolean) -> atom_to_binary(Boolean);
shown({value, Atom}) when is_atom(Atom) -> <<$", (atom_to_binary(Atom))/binary, $">>;
shown({value, []}) -> <<"[]">>;
shown({value, Text}) -> <<$", (list_to_binary(Text))/binary, $">>;
shown({words, Words}) -> Words.

%% What the code accepts

-spec accepted() -> [{path(), section | option, default()}].
accepted() ->
    lists:append([accepted([<<"spool">>], event_pusher_spool_options:spec()),
                  item([<<"rules">>], event_pusher_rules_options:spec(), none)
                  | [accepted([Backend], Module:config_spec()) || {Backend, Module} <- ?MODULES]]).

accepted(Path, #section{items = Items, defaults = Defaults}) ->
    lists:append([item(Path ++ [Key], Item, default(Key, Defaults))
                  || {Key, Item} <- maps:to_list(Items)]).

item(Path, #list{items = #section{} = Section}, Default) ->
    [{Path, section, Default} | accepted(Path, Section)];
item(Path, #section{items = #{default := _}}, Default) ->
    [{Path, option, Default}];
item(Path, #section{} = Section, Default) ->
    case lists:last(Path) of
        <<"tls">> -> [{Path, option, Default}];
        _ -> [{Path, section, Default} | accepted(Path, Section)]
    end;
item(Path, _Option, Default) ->
    [{Path, option, Default}].

default(Key, Defaults) ->
    case Defaults of
        #{Key := Value} -> {value, Value};
        #{} -> none
    end.

%% Defaults that are not in config_spec/0, because a configuration that is parsed keeps the very
%% options that it has today.
-spec added_defaults(ct_suite:ct_config()) -> #{path() => default() | {words, binary()}}.
added_defaults(Config) ->
    Settings = settings_of_pools(Config),
    [{value, Http2}] = pool_value([<<"http">>], http2, Settings),
    Version = maps:get(Http2, #{true => auto, false => '1.1'}),
    #section{defaults = #{<<"iqdisc">> := IqDisc}} = mod_event_pusher_push:config_spec(),
    Queue = event_pusher_queue_options:values(#{}),
    maps:from_list(
      [{[Backend, <<"queue">>, atom_to_binary(Key)], {value, Value}}
       || {Backend, _Module} <- ?MODULES, {Key, Value} <- maps:to_list(Queue)]
      ++ [{Path, Value} || {Path, Key} <- added_options(),
                           Value <- pool_value(Path, Key, Settings)]
      ++ [{[<<"http">>, <<"handlers">>, <<"http_version">>], {value, Version}},
          {[<<"http">>, <<"handlers">>, <<"format">>], {value, event_pusher_http_document:format(#{})}},
          {[<<"http">>, <<"handlers">>, <<"ordered">>], {value, false}},
          {[<<"http">>, <<"handlers">>, <<"mode">>],
           {value, event_pusher_http_document:format(#{format => cloudevents})}},
          {[<<"push">>, <<"iqdisc">>, <<"type">>], {value, IqDisc}},
          {[<<"sns">>, <<"partition">>], {words, <<"by the region, see below">>}}]).

%% Options, and what the settings of a pool call them.
added_options() ->
    [{[<<"sns">>, <<"publish_batch">>], publish_batch},
     {[<<"sns">>, <<"circuit_breaker_failures">>], circuit_breaker_failures},
     {[<<"http">>, <<"handlers">>, <<"circuit_breaker_failures">>], circuit_breaker_failures},
     {[<<"http">>, <<"handlers">>, <<"retry_count">>], retry_count},
     {[<<"http">>, <<"handlers">>, <<"retry_time_ms">>], retry_time_ms},
     {[<<"rabbit">>, <<"declare">>], declare},
     {[<<"rabbit">>, <<"nack_retry_count">>], nack_retry_count},
     {[<<"rabbit">>, <<"connection">>, <<"reconnect">>, <<"delay">>], reconnect_delay_ms}].

pool_value([Backend | _], Key, Settings) ->
    find(Key, maps:get(Backend, Settings)).

%% With the least that has a pool for each backend.
settings_of_pools(Config) ->
    Toml = "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n"
           "[outgoing_pools.http.http_pool.connection]\nhost = \"http://127.0.0.1:1\"\n"
           "[modules.mod_event_pusher.http]\nhandlers = [{path = \"\"}]\n"
           "[modules.mod_event_pusher.rabbit.presence_exchange]\n"
           "[modules.mod_event_pusher.rabbit.connection]\nhost = \"127.0.0.1\"\nport = 1\n"
           "[modules.mod_event_pusher.sns]\nsns_host = \"http://127.0.0.1:1\"\n"
           "region = \"eu-west-1\"\naccount_id = \"123456789012\"\n"
           "access_key_id = \"A\"\nsecret_access_key = \"S\"\n",
    Path = filename:join(?config(priv_dir, Config), "mongooseim.toml"),
    ok = file:write_file(Path, Toml),
    {module, _} = code:ensure_loaded(event_pusher),
    1 = erlang:trace_pattern({event_pusher, start_pool, 3}, true, []),
    {Starter, Monitor} = spawn_monitor(fun() -> receive go -> ok = host:start(Path) end end),
    1 = erlang:trace(Starter, true, [call]),
    Starter ! go,
    receive {'DOWN', Monitor, process, Starter, Reason} -> normal = Reason end,
    ok = host:stop(),
    Settings = traced(Starter),
    [<<"http">>, <<"rabbit">>, <<"sns">>] = lists:sort(maps:keys(Settings)),
    Settings.

traced(Starter) ->
    Delivered = erlang:trace_delivered(Starter),
    receive {trace_delivered, Starter, Delivered} -> ok end,
    traced(Starter, #{}).

traced(Starter, Settings) ->
    receive
        {trace, Starter, call, {event_pusher, start_pool, [Name, Pool, _ReportTo]}} ->
            traced(Starter, Settings#{atom_to_binary(element(1, Name)) => Pool})
    after 0 ->
        Settings
    end.

find(Key, #{} = Map) ->
    case Map of
        #{Key := Value} -> [{value, Value}];
        #{} -> find(Key, maps:values(Map))
    end;
find(Key, [_ | _] = List) -> lists:append([find(Key, Term) || Term <- List]);
find(Key, Tuple) when is_tuple(Tuple) -> find(Key, tuple_to_list(Tuple));
find(_Key, _Term) -> [].

%% What the pages say

-spec entries() -> [entry()].
entries() ->
    lists:append([entries(Page, read(Page)) || Page <- ?PAGES]).

read(Page) ->
    Docs = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "docs"]),
    {ok, Text} = file:read_file(filename:join(Docs, Page)),
    Text.

entries(Page, Text) ->
    Expression = "((?:^### `modules\\.mod_event_pusher\\.[^`]+`\n)+)(?:^\\* .*\n(?:  .*\n)*?)*?"
                 "^\\* \\*\\*Default:\\*\\* (.*)$",
    case re:run(Text, Expression, [global, multiline, {capture, all_but_first, binary}]) of
        {match, Found} ->
            [#{page => Page, patterns => patterns(Headings), default => Default}
             || [Headings, Default] <- Found];
        nomatch ->
            ct:fail({no_options, Page})
    end.

patterns(Headings) ->
    {match, Found} = re:run(Headings, "`modules\\.mod_event_pusher\\.([^`]+)`",
                            [global, {capture, all_but_first, binary}]),
    [binary:split(Heading, <<".">>, [global]) || [Heading] <- Found].

%% The options and sections that a heading is about, in the order in which the pages have them.
matches(Pattern) ->
    Order = [First || #{patterns := [First | _]} <- entries()],
    Place = fun(Path) -> [length(lists:takewhile(fun(Other) -> not lists:prefix(Other, Path) end,
                                                 Order)) | Path]
            end,
    Found = [{Place(Path), Path, Default}
             || {Path, _Kind, Default} <- accepted(), fits(Path, Pattern)],
    [{Path, Default} || {_Place, Path, Default} <- lists:sort(Found)].

fits(Path, Pattern) when length(Path) =:= length(Pattern) ->
    lists:all(fun({Word, Mask}) -> is_like(Word, Mask) end, lists:zip(Path, Pattern));
fits(_Path, _Pattern) ->
    false.

is_like(Word, Mask) ->
    case binary:split(Mask, <<"*">>) of
        [Whole] -> Word =:= Whole;
        [Begin, End] ->
            re:run(Word, ["^\\Q", Begin, "\\E.+\\Q", End, "\\E$"], [{capture, none}]) =:= match
    end.

name(Path) ->
    lists:join($., [<<"modules">>, <<"mod_event_pusher">> | Path]).

line(Format, Arguments) ->
    unicode:characters_to_binary(io_lib:format(Format, Arguments)).
