-module(event_pusher_probe_SUITE).
-moduledoc "What a check says of receivers that it tries, with real ones, and that nothing reaches them.".

-compile([export_all, nowarn_export_all]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(GENERAL, "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n").
-define(PM, "arn:aws:sns:eu-west-1:123456789012:pm").

all() ->
    [a_backend_that_is_not_configured_is_no_warning,
     sns_knows_the_key_and_the_topics,
     a_topic_that_is_not_there_is_named,
     a_wrong_secret_or_region_is_told,
     a_key_that_may_not_look_is_right_nevertheless,
     a_wrong_clock_is_told,
     a_connection_is_made_to_a_receiver_of_http,
     a_certificate_that_nobody_trusts_is_told,
     a_broker_knows_the_user_and_the_exchanges,
     a_wrong_password_is_told_without_it,
     an_exchange_that_has_to_be_there_is_named,
     what_does_not_answer_has_failed].

suite() ->
    [{timetrap, {minutes, 1}}].

%% The configuration is read in a VM of its own, in which nothing runs.
init_per_suite(Config) ->
    {ok, Sns} = sns_service:start(),
    _ = sns_service:topic(Sns, "pm"),
    _ = sns_service:topic(Sns, "presence"),
    #{cert := Cert, key := Key, ca := Ca} = Certs = test_certs:make(?config(priv_dir, Config)),
    {ok, Http} = http_service:start(#{cert => Cert, key => Key}),
    {ok, Broker} = rabbit_service:start(#{cert => Cert, key => Key, cacert => Ca}),
    [{sns, Sns}, {http, Http}, {broker, Broker}, {certs, Certs}, {peer, child_node:start()} | Config].

end_per_suite(Config) ->
    child_node:stop(?config(peer, Config)),
    rabbit_service:stop(?config(broker, Config)),
    http_service:stop(?config(http, Config)),
    sns_service:stop(?config(sns, Config)).

a_backend_that_is_not_configured_is_no_warning(Config) ->
    [?assertEqual({ok, ["not configured"]}, probe(Backend, "", Config)) || Backend <- [sns, http, rabbit]].

%% SNS

%% Confirms also that no event has come.
sns_knows_the_key_and_the_topics(Config) ->
    {ok, [Pm, Presence]} = probe(sns, sns(#{}, ["pm_messages_topic = \"pm\"\n",
                                               "presence_updates_topic = \"presence\"\n",
                                               "muc_messages_topic = \"pm\"\n"], Config), Config),
    ?assertMatch({match, _}, re:run(Pm, "^localhost, http://127.0.0.1:[0-9]+: " ?PM " is there, and the key is right$")),
    ?assertNotEqual(nomatch, string:find(Presence, ":presence is there")),
    ?assertEqual(0, lists:sum(maps:values(sns_service:count(?config(sns, Config))))).

a_topic_that_is_not_there_is_named(Config) ->
    More = ["pm_messages_topic = \"pm\"\n", "muc_messages_topic = \"other\"\n"],
    {failed, [Line]} = probe(sns, sns(#{}, More, Config), Config),
    ?assertNotEqual(nomatch, string:find(Line, "there is no topic arn:aws:sns:eu-west-1:123456789012:other")).

a_wrong_secret_or_region_is_told(Config) ->
    [begin
         {failed, [Line]} = probe(sns, sns(Change, both(), Config), Config),
         ?assertNotEqual(nomatch, string:find(Line, Text), Line),
         ?assertEqual(nomatch, string:find(Line, "wrongsecret"))
     end || {Change, Text} <- [{#{secret_access_key => <<"wrongsecret">>}, "secret_access_key is not that"},
                               {#{region => <<"eu-central-1">>}, "region is not that of sns_host"},
                               {#{access_key_id => <<"AKIAUNKNOWN">>}, "access_key_id is unknown"}]].

a_key_that_may_not_look_is_right_nevertheless(Config) ->
    Stranger = maps:with([access_key_id, secret_access_key],
                         sns_service:stranger(?config(sns, Config), "stranger")),
    {warning, [Line]} = probe(sns, sns(Stranger, pm(), Config), Config),
    ?assertNotEqual(nomatch, string:find(Line, "the key is right, but may not do sns:GetTopicAttributes")).

%% Confirms that the signature is corrected, as for events.
a_wrong_clock_is_told(Config) ->
    ok = sns_service:clock(?config(sns, Config), 1200),
    {warning, [Line]} = probe(sns, sns(#{}, pm(), Config), Config),
    ok = sns_service:clock(?config(sns, Config), 0),
    ?assertMatch({match, _}, re:run(Line, "the clock of this machine is (1199|1200|1201) s slow$")).

%% HTTP

%% Confirms that no request has come.
a_connection_is_made_to_a_receiver_of_http(Config) ->
    #{ca := Ca} = ?config(certs, Config),
    {ok, [Line]} = probe(http, http(Ca, Config), Config),
    ?assertMatch({match, _}, re:run(Line, "^localhost, https://.*: connections can be made$")),
    ?assertEqual(0, http_service:count(?config(http, Config))).

a_certificate_that_nobody_trusts_is_told(Config) ->
    #{foreign_ca := Foreign} = ?config(certs, Config),
    {failed, [Line]} = probe(http, http(Foreign, Config), Config),
    ?assertNotEqual(nomatch, string:find(Line, "the receiver's certificate ")).

%% RabbitMQ

%% Confirms that none is made that was not there.
a_broker_knows_the_user_and_the_exchanges(Config) ->
    Broker = ?config(broker, Config),
    ok = rabbit_service:declare(Broker, "there", topic, false),
    Before = rabbit_service:exchanges(Broker),
    {ok, [User, There, Later]} = probe(rabbit, rabbit(#{}, "", ["there", "later"], Config), Config),
    ?assertNotEqual(nomatch, string:find(User, " is let into virtual host ")),
    ?assertNotEqual(nomatch, string:find(There, "exchange \"there\" is there")),
    ?assertNotEqual(nomatch, string:find(Later, "exchange \"later\" is not there yet: it will be declared")),
    ?assertEqual(Before, rabbit_service:exchanges(Broker)).

a_wrong_password_is_told_without_it(Config) ->
    {failed, [Line]} = probe(rabbit, rabbit(#{password => <<"wrongsecret">>}, "", ["there"], Config), Config),
    ?assertNotEqual(nomatch, string:find(Line, "403 ACCESS_REFUSED")),
    ?assertEqual(nomatch, string:find(Line, "wrongsecret")).

%% Confirms that the others are asked for nevertheless.
an_exchange_that_has_to_be_there_is_named(Config) ->
    Passive = "[modules.mod_event_pusher.rabbit]\ndeclare = \"passive\"\n",
    {failed, Lines} = probe(rabbit, rabbit(#{}, Passive, ["no1", "no2"], Config), Config),
    ?assertMatch([_, _], Lines),
    [?assertNotEqual(nomatch, string:find(Line, "404 NOT_FOUND")) || Line <- Lines].

%% All

%% Confirms that it is told once.
what_does_not_answer_has_failed(Config) ->
    Port = rig:free_port(),
    Nobody = iolist_to_binary(io_lib:format("http://127.0.0.1:~b", [Port])),
    Toml = [sns(#{endpoint => Nobody}, both(), Config), rabbit(#{port => Port}, "", ["there"], Config),
            "[[modules.mod_event_pusher.http.handlers]]\n",
            "[outgoing_pools.http.http_pool.connection]\nhost = \"", Nobody, "\"\n"],
    [begin
         {failed, [Line]} = probe(Backend, Toml, Config),
         ?assertNotEqual(nomatch, string:find(Line, "refused"), Line)
     end || Backend <- [sns, http, rabbit]].

%% Helpers

both() ->
    [pm(), "muc_messages_topic = \"other\"\n"].

pm() ->
    "pm_messages_topic = \"pm\"\n".

sns(Change, More, Config) ->
    #{endpoint := Endpoint, region := Region, account_id := Account, access_key_id := KeyId,
      secret_access_key := Secret} = maps:merge(sns_service:info(?config(sns, Config)), Change),
    ["[modules.mod_event_pusher.sns]\n",
     [[Key, " = \"", Value, "\"\n"]
      || {Key, Value} <- [{"sns_host", Endpoint}, {"region", Region}, {"account_id", Account},
                          {"access_key_id", KeyId}, {"secret_access_key", Secret}]], More].

http(Ca, Config) ->
    #{url := Url} = http_service:info(?config(http, Config)),
    ["[[modules.mod_event_pusher.http.handlers]]\n[outgoing_pools.http.http_pool.connection]\nhost = \"",
     Url, "\"\ntls.cacertfile = \"", Ca, "\"\n"].

rabbit(Change, More, [_ | _] = Exchanges, Config) ->
    #{host := Host, port := Port, username := User, password := Password, vhost := VirtualHost} =
        maps:merge(rabbit_service:info(?config(broker, Config)), Change),
    Sections = ["presence_exchange", "chat_msg_exchange", "groupchat_msg_exchange"],
    [More, [["[modules.mod_event_pusher.rabbit.", Section, "]\nname = \"", Name, "\"\n"]
            || {Section, Name} <- lists:zip(lists:sublist(Sections, length(Exchanges)), Exchanges)],
     "[modules.mod_event_pusher.rabbit.connection]\nhost = \"", Host, "\"\nport = ", integer_to_list(Port),
     "\nusername = \"", User, "\"\npassword = \"", Password, "\"\nvirtual_host = \"", VirtualHost, "\"\n"].

%% The outcome, with lines of plain text.
probe(Backend, Toml, Config) ->
    File = filename:join(?config(priv_dir, Config), "mongooseim.toml"),
    ok = file:write_file(File, [?GENERAL, Toml]),
    Peer = ?config(peer, Config),
    {ok, _} = child_node:call(Peer, event_pusher_check_config, accept, [File]),
    {Result, Lines} = child_node:call(Peer, event_pusher_check_probe, receivers_answer, [Backend]),
    {Result, [unicode:characters_to_list(Line) || Line <- Lines]}.
