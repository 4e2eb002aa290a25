-module(event_pusher_receiver_SUITE).
-moduledoc "How log lines name receivers.".

-behaviour(ct_suite).

-export([all/0]).
-export([an_sns_endpoint_is_named_by_its_url/1,
         a_handler_is_named_by_the_url_it_posts_to/1,
         nothing_before_the_host_and_no_query_is_shown/1,
         what_looks_like_a_token_in_a_path_is_not_shown/1,
         a_broker_is_named_by_address_and_virtual_host/1,
         a_name_may_have_any_characters/1]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

%% Confirms the default scheme, and that port and path stay.
an_sns_endpoint_is_named_by_its_url(_Config) ->
    [?assertEqual(Named, event_pusher_receiver:url(Host))
     || {Host, Named} <- [{"sns.example.com", <<"https://sns.example.com">>},
                          {"localhost:4566", <<"https://localhost:4566">>},
                          {"http://localhost:4566/sns", <<"http://localhost:4566/sns">>},
                          {"HTTPS://[::1]:4566/", <<"https://[::1]:4566/">>}]].

%% Confirms that they are joined as for the request.
a_handler_is_named_by_the_url_it_posts_to(_Config) ->
    [?assertEqual(<<"https://h:8443", Joined/binary>>,
                  event_pusher_receiver:url("https://h:8443/unused", Prefix, Path))
     || {Prefix, Path, Joined} <- [{<<"/">>, <<>>, <<"/">>},
                                   {<<"/">>, <<"a/b">>, <<"/a/b">>},
                                   {<<"/web/">>, <<"/a/">>, <<"/web/a/">>},
                                   {<<"web">>, <<"a">>, <<"/web/a">>},
                                   {<<"/web">>, <<"?token=t">>, <<"/web">>}]].

%% Confirms it for all ways in which a URL can be written.
nothing_before_the_host_and_no_query_is_shown(_Config) ->
    [begin
         Named = event_pusher_receiver:url(Host, <<"/p?t=secret">>, <<"q?t=secret#secret">>),
         ?assertEqual({Host, <<"https://h:1/p/q">>}, {Host, Named}),
         ?assertEqual({Host, <<"https://h:1/">>}, {Host, event_pusher_receiver:url(Host)})
     end || Host <- ["https://user:secret@h:1/", "https://user:se@cret@h:1/", "https:secret@h:1/",
                     "https:\\\\secret@h:1/", "  https:///secret@h:1/?secret",
                     "https://h:1/#secret"]],
    ?assertEqual(<<"unknown">>, event_pusher_receiver:url("://secret", <<>>, <<>>)).

%% Confirms it for the webhooks of known services, and that words are left.
what_looks_like_a_token_in_a_path_is_not_shown(_Config) ->
    [?assertEqual(<<"https://h", Named/binary>>, event_pusher_receiver:url("https://h", Prefix, Path))
     || {Prefix, Path, Named} <- [{<<"/services">>, <<"T024/B024/a1b2c3d4e5f6g7h8i9j0">>,
                                   <<"/services/T024/B024/***">>},
                                  {<<"/0123456789abcdef/">>, <<"v1/messages">>, <<"/***/v1/messages">>},
                                  {<<"/">>, <<"0123456789abcde/notifications-of-messages">>,
                                   <<"/0123456789abcde/notifications-of-messages">>}]],
    ?assertEqual(<<"v1/***">>, event_pusher_receiver:path(<<"v1/0123456789abcdef?token=t">>)),
    ?assertEqual(<<"https://h:1/***/b">>, event_pusher_receiver:url("h:1/0123456789abcdef/b")).

%% Confirms brackets around IPv6 addresses.
a_broker_is_named_by_address_and_virtual_host(_Config) ->
    [?assertEqual(Named, event_pusher_receiver:broker(Host, 5672, <<"/ä"/utf8>>))
     || {Host, Named} <- [{<<"mq">>, <<"mq:5672, virtual host \"/ä\""/utf8>>},
                          {<<"::1">>, <<"[::1]:5672, virtual host \"/ä\""/utf8>>},
                          {<<"user:secret@mq">>, <<"mq:5672, virtual host \"/ä\""/utf8>>}]].

%% Confirms it for the bytes that the server reads from its file, and for characters.
a_name_may_have_any_characters(_Config) ->
    [begin
         Host = "http://żółw.pl",
         ?assertEqual(<<"http://żółw.pl"/utf8>>, event_pusher_receiver:url(As(Host))),
         ?assertEqual(<<"https://żółw.pl"/utf8>>, event_pusher_receiver:url(As("żółw.pl"))),
         ?assertEqual(<<"http://żółw.pl/ä/ö"/utf8>>,
                      event_pusher_receiver:url(As(Host), <<"/ä"/utf8>>, <<"ö"/utf8>>))
     end || As <- [fun(Text) -> Text end,
                   fun(Text) -> binary_to_list(unicode:characters_to_binary(Text)) end]].
