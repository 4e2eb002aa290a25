-module(rules_rig).
-moduledoc "What suites about rules share: a server with all backends, and which of them take an event.".

-export([start_suite/1, stop_suite/1, start_host/3, stop_host/0, rules/2, errors/2]).
-export([message/1, act/4, pushed/2, metadata/1]).

-include("exml.hrl").

-define(WAIT, 30000).

%% A receiver of HTTP that answers, and the tables of push notifications.
-spec start_suite(list()) -> list().
start_suite(Config) ->
    {ok, Http} = http_service:start(),
    [{http, Http} | push_rig:start_suite(Config)].

-spec stop_suite(list()) -> ok.
stop_suite(Config) ->
    ok = http_service:stop(proplists:get_value(http, Config)),
    push_rig:stop_suite(Config).

%% Host types with these rules. SNS and RabbitMQ are away: what they are to get waits.
-spec start_host([binary()], [map()], list()) -> ok.
start_host(Hosts, Rules, Config) ->
    Http = proplists:get_value(http, Config),
    _ = http_service:flush(Http),
    Options = options(#{drain_timeout_ms => 0}),
    Modules = #{mod_event_pusher => maps:merge(Options, maps:from_list([{rules, Rules} || Rules =/= []]))},
    #{url := Url} = http_service:info(Http),
    Pool = #{type => http, scope => global, tag => http_pool, opts => #{workers => 2},
             conn_opts => #{host => binary_to_list(Url), path_prefix => <<"/">>, request_timeout => ?WAIT}},
    ok = rig:start_hosts(maps:from_keys(Hosts, Modules), #{outgoing_pools => [Pool]}).

options(Queue) ->
    Away = rig:free_port(),
    Sns = sns_rig:opts(#{endpoint => iolist_to_binary(io_lib:format("http://127.0.0.1:~b", [Away])),
                         region => <<"eu-west-1">>, account_id => <<"123456789012">>,
                         access_key_id => <<"A">>, secret_access_key => <<"S">>}, #{queue => Queue}),
    Broker = #{host => <<"127.0.0.1">>, port => Away, username => <<"u">>, password => <<"p">>, vhost => <<"/">>},
    Handler = #{pool_name => http_pool, path => <<>>, callback_module => mod_event_pusher_http_defaults},
    #{sns => Sns,
      http => #{handlers => [Handler], queue => Queue},
      rabbit => (rabbit_rig:exchanges())#{connection => rabbit_rig:connection(Broker), queue => Queue},
      push => push_rig:opts(#{queue => Queue})}.

-spec stop_host() -> ok.
stop_host() ->
    push_rig:stop_host().

%% The rules of a text of TOML, as the server reads them.
-spec rules(iodata(), list()) -> [map()].
rules(Toml, Config) ->
    #{{modules, <<"localhost">>} := #{mod_event_pusher := Opts}} = load(Toml, Config),
    maps:get(rules, Opts).

%% What is wrong with such a text.
-spec errors(iodata(), list()) -> [map(), ...].
errors(Toml, Config) ->
    try load(Toml, Config) of
        Opts -> ct:fail({no_error, Opts})
    catch
        error:{config_error, _Text, Errors} -> Errors
    end.

load(Toml, Config) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), "rules.toml"),
    General = "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n",
    ok = file:write_file(Path, [General, Toml]),
    host_config:load(Path).

%% Events

%% With a body, unless it says none, and with hints.
-spec message(#{type => binary(), body => binary() | none, hints => [binary()]}) -> exml:element().
message(How) ->
    Hints = [#xmlel{name = Hint, attrs = #{<<"xmlns">> => <<"urn:xmpp:hints">>}}
             || Hint <- maps:get(hints, How, [])],
    rig:message(maps:get(type, How, <<"chat">>), maps:get(body, How, <<"Hi">>), Hints).

%% Makes one event of this kind. Presence is of the first user.
-spec act(Kind :: binary(), From :: binary(), To :: binary(), exml:element()) -> ok.
act(<<"presence_online">>, User, _To, _Packet) -> ignore(host:user_available(session(User)));
act(<<"presence_offline">>, User, _To, _Packet) -> ignore(host:user_unavailable(session(User), <<>>));
act(<<"unacknowledged">>, From, To, Packet) ->
    ignore(host:unacknowledged_message(session(To), session(From), Packet));
act(Kind, From, To, Packet) ->
    case binary:split(Kind, <<"_">>) of
        [_Type, <<"sent">>] -> send(jid:from_binary(session(From)), jid:from_binary(To), Packet);
        [_Type, <<"received">>] -> ignore(host:route(From, To, Packet))
    end.

%% Without what follows when a message is sent to a user of this server.
send(From, To, Packet) ->
    {ok, HostType} = mongoose_domain_api:get_host_type(jid:lserver(From)),
    Acc = mongoose_acc:new(#{location => #{}, lserver => jid:lserver(From), host_type => HostType,
                             element => Packet, from_jid => From, to_jid => To}),
    ignore(mongoose_c2s_hooks:user_send_message(HostType, Acc, #{})).

session(Bare) -> <<Bare/binary, "/phone">>.

ignore(_Result) -> ok.

%% Which backends take an event while that is done.
-spec pushed([binary()], fun(() -> term())) -> [sns | http | rabbit | push].
pushed(Hosts, Act) ->
    Before = accepted(Hosts),
    Act(),
    After = accepted(Hosts),
    [Backend || {Backend, Count} <- After, Count > proplists:get_value(Backend, Before)].

accepted(Hosts) ->
    [{Backend, lists:sum([of_pool(Backend, Host) || Host <- Hosts])}
     || Backend <- [sns, http, rabbit, push]].

of_pool(push, Host) ->
    {ok, Stats} = event_pusher_push_pool:stats({push, Host}),
    maps:get(accepted, rig:together(Stats));
of_pool(http, Host) ->
    maps:get(accepted, rig:stats({http, Host, 1}));
of_pool(Backend, Host) ->
    maps:get(accepted, rig:stats({Backend, Host})).

%% The metadata that the next request to the receiver of HTTP has in its form.
-spec metadata(list()) -> [{binary(), binary()}].
metadata(Config) ->
    {ok, #{body := Body}} = http_service:await_message(proplists:get_value(http, Config), ?WAIT),
    [{<<"author">>, _}, {<<"server">>, _}, {<<"receiver">>, _}, {<<"message">>, _} | Metadata] =
        uri_string:dissect_query(Body),
    Metadata.
