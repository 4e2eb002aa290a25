-module(event_pusher_secrets_SUITE).
-moduledoc "Where secrets and texts of users may be seen, and where not.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_suite/1, end_per_suite/1, end_per_testcase/2]).
-export([nothing_that_shows_terms_shows_a_secret_or_a_text/1,
         secrets_of_settings_are_where_the_documentation_says/1,
         what_waits_in_the_library_is_in_no_crash_dump/1]).
%% Callback module of an HTTP handler
-export([should_make_req/6, prepare_body/7, prepare_headers/7]).
%% In the other VM
-export([start_dumped/2, hand_over/2, ignore/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(ALICE, <<"alice@localhost/phone">>).
-define(BOB, <<"bob@localhost/laptop">>).

%% Each has this mark, and is long enough to look like a token.
-define(MARK, "pLaNtEd7").
-define(KEY_ID, "AKIA-key-" ?MARK "-5f2c9e1a7b").
-define(SECRET, "aws-secret-" ?MARK "-5f2c9e1a7b").
-define(PASSWORD, "rabbit-password-" ?MARK "-5f2c").
-define(TOKEN, "token-" ?MARK "-5f2c9e1a7b").
-define(USER, "user-" ?MARK).
-define(HEADER, "Bearer header-" ?MARK).
-define(FIXED, "fixed-header-" ?MARK).
-define(LOGIN, "login-" ?MARK).
-define(FILE_TOKEN, "token-of-a-file-" ?MARK).
%% Base64, with the mark in its text.
-define(SIGNING_SECRET, "whsec_pLaNtEd7pLaNtEd7pLaNtEd7pLaNtEd7").
-define(TEXT, "text-of-a-user-" ?MARK).

all() ->
    [nothing_that_shows_terms_shows_a_secret_or_a_text,
     secrets_of_settings_are_where_the_documentation_says,
     what_waits_in_the_library_is_in_no_crash_dump].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    {ok, Service} = http_service:start(),
    [{service, Service} | push_rig:start_suite(Config)].

end_per_suite(Config) ->
    _ = push_rig:stop_suite(Config),
    http_service:stop(?config(service, Config)).

end_per_testcase(_Case, _Config) ->
    ok = printed:stop(),
    push_rig:stop_host().

%% Confirms it of all lines of the log, of processes, tables, child specs and metrics, with events that
%% wait, are delivered, fail and are dropped, and after crashes of owners.
nothing_that_shows_terms_shows_a_secret_or_a_text(Config) ->
    ok = printed:start(),
    ok = start(Config, 1000),
    send(20),
    _ = rig:await_stats({sns, ?HT}, fun(#{exhausted := Exhausted}) -> Exhausted > 0 end),
    _ = rig:await_stats({http, ?HT, 1}, fun(#{delivered := Delivered}) -> Delivered > 0 end),
    _ = rig:await_stats({http, ?HT, 2}, fun(#{delivered := Delivered}) -> Delivered > 0 end),
    ?assertEqual([<<?HEADER>>, <<"Bearer ", ?FILE_TOKEN>>], bearers(Config)),
    [?assertEqual({Place, []}, {Place, shows(Term)}) || {Place, Term} <- places()],
    ok = http_service:answer(?config(service, Config), 403),
    [push_rig:kill(Owner) || Owner <- event_pusher_sup:owners(names())],
    %% New owners have new pools a moment later; until then, events are refused.
    _ = rig:await_stats({http, ?HT, 1}, fun(#{rejected := Rejected}) ->
        ok = send(1),
        Rejected > 0
    end),
    [?assertEqual({Place, []}, {Place, shows(Term)}) || {Place, Term} <- places()],
    ok = http_service:reset(?config(service, Config)),
    ok = push_rig:stop_host(),
    Lines = printed:lines(),
    ok = printed:stop(),
    Drops = [Text || {_, event_pusher_drops, Text} <- Lines],
    ?assertMatch([_ | _], Drops),
    ?assertMatch([_ | _], [Text || {_, _, Text} <- Lines, contains(Text, "killed")]),
    ?assertEqual([], [Text || {_, _, Text} <- Lines, contains(Text, ?MARK)]).

%% Confirms that the search above finds what can be seen; and where secrets have to be: in the options
%% of the server, and in a fun of supervisors.
secrets_of_settings_are_where_the_documentation_says(Config) ->
    ?assertMatch([_], shows({a, [#{b => <<"x", ?MARK, "y">>}]})),
    ?assertMatch([_], shows(#{["a" | ?SECRET] => 1})),
    ok = start(Config, 1000),
    {_, PoolSup, _, _} = lists:keyfind({sns, ?HT}, 1, supervisor:which_children(event_pusher_sup)),
    {ok, #{start := {event_pusher_pool, start_link, [PoolSup, _Name, Hidden, _ReportTo]}}} =
        supervisor:get_childspec(PoolSup, owner),
    ?assertMatch([_ | _], shows(erlang:fun_info(Hidden, env))),
    ?assertEqual({module, event_pusher_hidden}, erlang:fun_info(Hidden, module)),
    ?assertMatch([_ | _], shows(mongoose_config:get_opt({modules, ?HT}))),
    ok = push_rig:stop_host().

%% The host with all backends

start(Config, Timeout) ->
    #{url := Url} = http_service:info(?config(service, Config)),
    Host = re:replace(Url, "http://", "http://" ?USER ":" ?PASSWORD "@", [{return, list}]),
    Pool = #{type => http, scope => global, tag => hooks,
             opts => #{workers => 2, strategy => best_worker, call_timeout => 5000},
             conn_opts => #{host => Host, path_prefix => <<"/hooks">>, request_timeout => Timeout}},
    Handler = #{pool_name => hooks, path => <<"v1/", ?TOKEN, "?key=", ?TOKEN>>,
                callback_module => ?MODULE, retry_count => 1,
                signing_secrets => [<<?SIGNING_SECRET>>], headers => #{'x-api-key' => <<?FIXED>>},
                basic_auth => #{username => <<"u">>, password => <<?LOGIN>>}},
    Token = filename:join(?config(priv_dir, Config), "token"),
    ok = file:write_file(Token, <<?FILE_TOKEN>>),
    WithToken = #{pool_name => hooks, path => <<"v2/", ?TOKEN>>, retry_count => 1,
                  callback_module => mod_event_pusher_http_defaults,
                  bearer_token_file => unicode:characters_to_binary(Token)},
    Service = #{endpoint => Url, region => <<"eu-west-1">>, account_id => <<"123456789012">>,
                access_key_id => <<?KEY_ID>>, secret_access_key => <<?SECRET>>},
    Connection = #{host => "127.0.0.1", port => rig:free_port(), username => <<"guest">>,
                   password => <<?PASSWORD>>, virtual_host => <<"/">>, confirms_enabled => true,
                   reconnect => #{attempts => 0, delay => 100}},
    {module, _} = code:ensure_loaded(mod_event_pusher_push),
    rig:start_host(#{mod_event_pusher =>
                         #{sns => sns_rig:opts(Service, #{publish_retry_count => 1}),
                           http => #{handlers => [Handler, WithToken]},
                           rabbit => (rabbit_rig:exchanges())#{connection => Connection},
                           push => push_rig:opts(#{})}},
                   #{outgoing_pools => [Pool]}).

%% What arrived to show who posts, each once.
bearers(Config) ->
    lists:usort([Bearer || #{headers := Headers} <- http_service:flush(?config(service, Config)),
                           {<<"authorization">>, <<"Bearer ", _/binary>> = Bearer} <- Headers]).

send(Count) ->
    [_ = host:send_message(?ALICE, ?BOB, rig:message(<<"chat">>, <<?TEXT>>))
     || _ <- lists:seq(1, Count)],
    ok.

should_make_req(_Acc, _Dir, _Packet, _From, _To, _Opts) -> true.
prepare_body(_Acc, _Dir, _Domain, Message, _Sender, _Receiver, _Opts) -> Message.
prepare_headers(_Acc, _Dir, _Domain, _Message, _Sender, _Receiver, _Opts) ->
    [{<<"authorization">>, <<?HEADER>>}].

%% What shows terms

places() ->
    Pids = ours(),
    [{{state, Pid}, catch sys:get_state(Pid, 10000)} || Pid <- Pids]
        ++ [{{status, Pid}, catch sys:get_status(Pid, 10000)} || Pid <- Pids]
        ++ [{{info, Pid}, process_info(Pid, [messages, dictionary, links, current_stacktrace,
                                             registered_name, initial_call, backtrace])}
            || Pid <- Pids]
        ++ [{{table, Table}, catch ets:tab2list(Table)}
            || Table <- ets:all(), lists:member(ets:info(Table, owner), Pids)]
        ++ [{children, [supervisor:which_children(Sup) || Sup <- supervisors()]},
            {specs, [supervisor:get_childspec(Sup, Id)
                     || Sup <- supervisors(), {Id, _, _, _} <- supervisor:which_children(Sup)]},
            {metrics, host_metrics:latest()},
            {stats, [event_pusher:stats(Name) || Name <- names()]}].

%% All supervisors and owners, the application's own process and the owner of the push queue.
ours() ->
    [application_controller:get_master(event_pusher), push_rig:owner()
     | supervisors() ++ event_pusher_sup:owners(names())].

supervisors() ->
    Pools = supervisor:which_children(event_pusher_sup),
    [whereis(event_pusher_sup) | [PoolSup || {_, PoolSup, _, _} <- Pools]].

names() ->
    [{sns, ?HT}, {http, ?HT, 1}, {http, ?HT, 2}, {rabbit, ?HT}].

%% The texts with the mark in a term: binaries and lists, at any depth. What is in a fun is not shown
%% by anything that prints it.
shows(Term) when is_binary(Term) ->
    [Term || contains(Term, ?MARK)];
shows([]) ->
    [];
shows(List) when is_list(List) ->
    case is_text(List) andalso contains(List, ?MARK) of
        true -> [List];
        false -> in_list(List)
    end;
shows(Tuple) when is_tuple(Tuple) ->
    lists:append([shows(Element) || Element <- tuple_to_list(Tuple)]);
shows(Map) when is_map(Map) ->
    lists:append([shows(Key) ++ shows(Value) || {Key, Value} <- maps:to_list(Map)]);
shows(_Other) ->
    [].

in_list([Head | Tail]) when is_integer(Head) -> case is_list(Tail) of true -> shows(Tail); false -> [] end;
in_list([Head | Tail]) -> shows(Head) ++ shows(Tail).

is_text(List) ->
    io_lib:char_list(List).

contains(Text, Part) when is_list(Text) ->
    string:find(Text, Part) =/= nomatch;
contains(Text, Part) ->
    binary:match(Text, list_to_binary(Part)) =/= nomatch.

%% Crash dumps

%% Confirms it of texts that have been handed over, and of the settings of the pool: a dump leaves out
%% what is inside of funs. What a persistent term has, as the configuration of a server, is found.
what_waits_in_the_library_is_in_no_crash_dump(Config) ->
    {Listen, Url} = rig:silent_server(),
    Dump = filename:join(?config(priv_dir, Config), "erl_crash.dump"),
    ok = file:write_file(Dump, <<>>),
    ok = file:change_mode(Dump, 8#666),
    Node = child_node:start(["-env", "ERL_CRASH_DUMP", Dump]),
    true = unlink(Node),
    %% Not those above, which are in the code of this module and with it in the dump.
    [Secret, Text, Known] = [binary:encode_hex(crypto:strong_rand_bytes(20)) || _ <- [1, 2, 3]],
    ok = child_node:call(Node, persistent_term, put, [known, #{known => Known}]),
    ok = child_node:call(Node, ?MODULE, start_dumped, [list_to_binary(Url), Secret]),
    ok = child_node:call(Node, ?MODULE, hand_over, [100, Text]),
    {ok, #{levels := #{waiting := 100}}} = child_node:call(Node, event_pusher, stats, [{sns, ?HT}]),
    Monitor = monitor(process, Node),
    [] = os:cmd("kill -USR1 " ++ child_node:os_pid(Node)),
    receive {'DOWN', Monitor, process, Node, _} -> ok end,
    {ok, Written} = file:read_file(Dump),
    ?assertMatch({_, _}, binary:match(Written, <<"=end">>)),
    ?assert(is_in_dump(Known, Written)),
    ?assertNot(is_in_dump(Secret, Written)),
    ?assertNot(is_in_dump(Text, Written)),
    gen_tcp:close(Listen).

start_dumped(Url, Secret) ->
    ok = rig:start_application(),
    Sns = {sns, (pool_rig:sns(Url))#{secret_access_key := Secret}},
    Credentials = #{headers => [{<<"x-api-key">>, Secret}],
                    signing_secrets => [<<"whsec_", Secret/binary>>],
                    basic_auth => #{username => <<"u">>, password => Secret}},
    Http = {http, (pool_rig:http(Url))#{credentials => Credentials}},
    [ok = event_pusher:start_pool(Name, pool_rig:settings(Backend), {?MODULE, ignore, []})
     || {Name, Backend} <- [{{sns, ?HT}, Sns}, {{http, ?HT, 1}, Http}]],
    ok.

%% In a process that is gone afterwards, as a session may be.
hand_over(Count, Text) ->
    Message = #{destination => <<"arn:aws:sns:eu-west-1:123456789012:topic">>,
                body => {json, [{<<"message">>, Text}]}},
    {Pid, Monitor} = spawn_monitor(fun() ->
        [ok = event_pusher:push({sns, ?HT}, Message) || _ <- lists:seq(1, Count)]
    end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end.

ignore(_Report) ->
    ok.

%% Binaries are in Base64 there, of which a part depends on where the text begins.
is_in_dump(Text, Dump) ->
    lists:any(fun(Before) ->
        Encoded = base64:encode(<<0:Before/unit:8, Text/binary>>),
        First = (Before * 8 + 5) div 6,
        Whole = (Before + byte_size(Text)) * 8 div 6 - First,
        binary:match(Dump, binary:part(Encoded, First, Whole)) =/= nomatch
    end, [0, 1, 2]).
