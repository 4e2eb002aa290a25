-module(bench_host).
-moduledoc "The stand-in with the modules of one measurement, in the node that is measured.".

-export([start_application/0, start/1, start_http/4, start_sns/4, stop/0]).
-export([await_delivered/2, await_none_waits/1, set_report_interval/0]).
%% A receiver of push notifications that does not answer
-export([hang/3]).
-export_type([setup/0]).

-type url() :: string().
%% More are options of the section, or of the connection.
-type setup() :: {sns, url(), PoolSize :: pos_integer(), More :: map()}
               | {spooled_sns, url(), Folder :: file:filename(), More :: map()}
               | {ruled_sns, url(), Rules :: [map()]}
               | {http, url(), Workers :: pos_integer(), More :: map()}
               | {rabbit, rabbit_service:info(), More :: map()}
               | {push, online | fast | slow, Folder :: file:filename()}.

-define(HT, <<"localhost">>).
-define(BOB, <<"bob@localhost/laptop">>).
-define(SETTLE_MS, 120000).
-define(SPOOL_BYTES, (4 bsl 30)).

-spec start_application() -> ok.
start_application() ->
    ok = rig:start_application(),
    set_report_interval().

%% Reports come often enough to be awaited.
-spec set_report_interval() -> ok.
set_report_interval() ->
    application:set_env(event_pusher, report_interval_ms, 20).

%% Returns the name of the pool.
-spec start(setup()) -> event_pusher:name().
start(Setup) ->
    ok = stop_former(),
    start_host(Setup).

%% What failed has not stopped.
stop_former() ->
    case lists:keymember(host, 1, application:which_applications()) of
        true -> stop();
        false -> ok
    end.

start_host({sns, Url, PoolSize, More}) ->
    ok = start_sns([?HT], Url, PoolSize, More),
    {sns, ?HT};
start_host({spooled_sns, Url, Folder, More}) ->
    %% New each time.
    _ = file:del_dir_r(Folder),
    ok = knows(mod_event_pusher, [spool]),
    Spool = #{dir => list_to_binary(Folder), max_bytes => ?SPOOL_BYTES, sync => 500},
    ok = rig:start_host(#{mod_event_pusher => #{sns => sns_opts(Url, 100, More), spool => Spool}}),
    {sns, ?HT};
start_host({ruled_sns, Url, Rules}) ->
    ok = knows(mod_event_pusher, [rules]),
    ok = rig:start_host(#{mod_event_pusher => #{sns => sns_opts(Url, 100, #{}), rules => Rules}}),
    {sns, ?HT};
start_host({http, Url, Workers, More}) ->
    ok = start_http(Url, Workers, 1, More),
    {http, ?HT, 1};
start_host({rabbit, Info, More}) ->
    Exchanges = maps:with([chat_msg_exchange], rabbit_rig:exchanges()),
    Connection = rabbit_rig:connection(Info, maps:without([queue], More)),
    %% No queue is bound: the bare loops and the broker have the same to do.
    ok = rabbit_rig:start_host(Exchanges#{connection => Connection, mandatory => false,
                                          queue => queue(More)}),
    {rabbit, ?HT};
start_host({push, Receiver, Folder}) ->
    _ = file:del_dir_r(Folder),
    ok = host_mnesia:start(Folder),
    ok = push_rig:start_host(#{virtual_pubsub_hosts => [{prefix, <<"virtual.">>}], queue => queue(#{})}),
    ok = push_receiver(Receiver),
    {push, ?HT}.

%% With so many handlers of one outgoing pool. More: the option queue, others of each handler, and those of the
%% connection.
-spec start_http(url(), Workers :: pos_integer(), Handlers :: pos_integer(), More :: map()) -> ok.
start_http(Url, Workers, Handlers, More) ->
    Connection = maps:merge(#{host => Url, path_prefix => <<"/">>, request_timeout => 10000},
                            maps:without([queue, handler], More)),
    Pool = #{type => http, scope => global, tag => http_pool, opts => #{workers => Workers},
             conn_opts => Connection},
    ok = knows(mod_event_pusher_http, maps:keys(maps:get(handler, More, #{}))),
    Handler = (maps:get(handler, More, #{}))#{pool_name => http_pool,
                                               callback_module => mod_event_pusher_http_defaults},
    Http = #{handlers => [Handler#{path => integer_to_binary(N)} || N <- lists:seq(1, Handlers)],
             queue => queue(More)},
    rig:start_host(#{mod_event_pusher => #{http => Http}}, #{outgoing_pools => [Pool]}).

-spec start_sns([binary()], url(), PoolSize :: pos_integer(), More :: map()) -> ok.
start_sns(HostTypes, Url, PoolSize, More) ->
    ok = knows(mod_event_pusher_sns, maps:keys(More)),
    Modules = #{mod_event_pusher => #{sns => sns_opts(Url, PoolSize, More)}},
    rig:start_hosts(maps:from_list([{HostType, Modules} || HostType <- HostTypes]), #{}).

sns_opts(Url, PoolSize, More) ->
    Info = #{endpoint => iolist_to_binary(Url), region => <<"eu-west-1">>,
             account_id => <<"123456789012">>, access_key_id => <<"AKIDEXAMPLE">>,
             secret_access_key => <<"secret">>},
    sns_rig:opts(Info, More#{pool_size => PoolSize, queue => queue(More)}).

%% An older build may not know an option, and would not do what it is for, without a word.
knows(Module, Options) ->
    Spec = Module:config_spec(),
    case [Option || Option <- Options, not has_key(atom_to_binary(Option), Spec)] of
        [] -> ok;
        Unknown -> error({unknown_options, Unknown})
    end.

%% In any section of it.
has_key(Key, Spec) when is_map(Spec) ->
    is_map_key(Key, Spec) orelse has_key(Key, maps:values(Spec));
has_key(Key, Spec) when is_tuple(Spec) ->
    has_key(Key, tuple_to_list(Spec));
has_key(Key, [First | Others]) ->
    has_key(Key, First) orelse has_key(Key, Others);
has_key(_Key, _Spec) ->
    false.

queue(More) ->
    maps:merge(#{drain_timeout_ms => 0}, maps:get(queue, More, #{})).

%% The recipient is online, or has one registration.
push_receiver(online) ->
    _ = host:user_available(?BOB),
    ok;
push_receiver(fast) ->
    {ok, _} = push_service:start(<<"push.example">>),
    push_rig:enable(?BOB, <<"push.example">>);
push_receiver(slow) ->
    %% The handler of a virtual host keeps each worker for good.
    ok = gen_hook:add_handler(push_notifications, ?HT, fun ?MODULE:hang/3, #{}, 50),
    ok = gen_hook:reload_hooks(),
    push_rig:enable(?BOB, <<"virtual.localhost">>).

-spec hang(term(), map(), map()) -> no_return().
hang(_Acc, _Params, _Extra) ->
    receive after infinity -> ok end.

-spec stop() -> ok.
stop() ->
    ok = host:stop(),
    case mnesia:system_info(is_running) of
        yes -> host_mnesia:stop();
        no -> ok
    end.

%% Fails if something was dropped.
-spec await_delivered(event_pusher:name(), Count :: non_neg_integer()) -> ok.
await_delivered(Name, Count) ->
    ok = await_none_waits(Name),
    #{delivered := Count} = rig:stats(Name),
    ok.

-spec await_none_waits(event_pusher:name()) -> ok.
await_none_waits(Name) ->
    host_metrics:await(event_pusher_queue, fun() -> maps:get(waiting, stats(Name)) =:= 0 end, ?SETTLE_MS).

stats({push, _}) -> push_rig:stats();
stats(Name) -> rig:stats(Name).
