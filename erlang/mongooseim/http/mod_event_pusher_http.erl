-module(mod_event_pusher_http).
-moduledoc "Posts messages to HTTP receivers, as callback modules decide.".

-behaviour(gen_mod).
-behaviour(mongoose_module_metrics).
-behaviour(event_pusher_backend).

%% gen_mod callbacks
-export([start/2, stop/1, hooks/1, config_spec/0, supported_features/0, instrumentation/1]).
%% For the check of a configuration
-export([complaints/2]).
%% Hook handler
-export([push_event/3]).
%% event_pusher_backend callbacks
-export([pools/2, message/3]).
%% Option processors
-export([fix_path/1, unique_handlers/2, old_config_spec/0, handler_in_list/1]).
%% Called by the owners of the pools
-export([report/3]).

-export_type([opts/0, headers/0]).

-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").

-doc "The options of the handler, and the metadata that filters added to the event.".
-type opts() :: #{pool_name := atom(), path := binary(), callback_module := module(),
                  metadata := mod_event_pusher:metadata(), _ => _}.
-type headers() :: [{Name :: binary(), Value :: binary()}].

-doc "Whether an event is posted: only if exactly `true`.".
-callback should_make_req(mongoose_acc:t(), in | out, Packet :: exml:element(),
                          From :: jid:jid(), To :: jid:jid(), opts()) -> boolean().
-callback prepare_headers(mongoose_acc:t(), in | out, Domain :: jid:lserver(),
                          Message :: binary(), Sender :: jid:luser(), Receiver :: jid:luser(),
                          opts()) -> headers().
-callback prepare_body(mongoose_acc:t(), in | out, Domain :: jid:lserver(),
                       Message :: binary(), Sender :: jid:luser(), Receiver :: jid:luser(),
                       opts()) -> binary().
-doc "The same as of the arity 6, about events of all kinds. Only of documents, and in place of that.".
-callback should_make_req(mongoose_acc:t(), mod_event_pusher:event(), opts()) -> boolean().

-optional_callbacks([should_make_req/3]).

%% What is known of a handler at each event: no secrets.
-type context() :: #{opts := map(), format := event_pusher_http_document:format(),
                     callbacks := event_pusher_http_callback:callbacks(),
                     is_signed := boolean(), is_ordered := boolean()}.

%% A handler with the pool that delivers for it.
-type handler() :: #{name := event_pusher:name(), labels := event_pusher_backend:labels(),
                     opts := map()}.

-define(SENT, mod_event_pusher_http_sent).
-define(CONNECT_TIMEOUT_MS, 5000).
-define(RETRY_COUNT, 2).
-define(RETRY_TIME_MS, 50).

%% gen_mod callbacks

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(HostType, Opts) ->
    event_pusher_backend:start(?MODULE, HostType, Opts).

%% What start/2 would complain about, without a start.
-spec complaints(mongooseim:host_type(), gen_mod:module_opts()) -> [binary()].
complaints(HostType, Opts) ->
    event_pusher_backend:complaints(?MODULE, HostType, Opts).

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    event_pusher_backend:stop(?MODULE, HostType).

-spec hooks(mongooseim:host_type()) -> gen_hook:hook_list().
hooks(HostType) ->
    event_pusher_backend:hooks(?MODULE, HostType).

-spec config_spec() -> #section{}.
config_spec() ->
    #section{items = #{<<"handlers">> => #list{items = handler_spec(),
                                                   process = fun ?MODULE:unique_handlers/2},
                       <<"queue">> => event_pusher_queue_options:spec(),
                       <<"retry">> => event_pusher_retry_options:spec()},
             defaults = #{<<"handlers">> => []}}.

%% The section of older manuals: one handler, whose options stand where handlers is today. The
%% server's parser cannot read an array of tables in this place; of the spec in its error message,
%% the atom is what the reader needs. No key in a file can be an atom.
-spec old_config_spec() -> #section{}.
old_config_spec() ->
    #section{items = Items} = Handler = handler_spec(),
    Hint = 'several handlers go to modules.mod_event_pusher.http.handlers',
    Handler#section{items = Items#{Hint => #option{type = boolean}},
                    process = fun ?MODULE:handler_in_list/1}.

-spec handler_spec() -> #section{}.
handler_spec() ->
    Path = #option{type = binary, process = fun ?MODULE:fix_path/1},
    Number = #option{type = integer, validate = non_negative},
    Items = #{<<"pool_name">> => #option{type = atom, validate = pool_name},
              <<"path">> => Path,
              <<"callback_module">> => #option{type = atom, validate = module},
              <<"http_version">> => #option{type = atom, validate = {enum, [auto, '1.1']}},
              <<"ordered">> => #option{type = boolean},
              <<"retry_count">> => Number,
              <<"retry_time_ms">> => Number,
              <<"circuit_breaker_failures">> => Number},
    More = maps:merge(event_pusher_http_document:spec(), event_pusher_http_credentials:spec()),
    #section{items = maps:merge(Items, More),
             defaults = #{<<"pool_name">> => http_pool,
                          <<"path">> => <<>>,
                          <<"callback_module">> => mod_event_pusher_http_defaults}}.

%% Not as `validate', because the error would show them, and a path may have a token in it.
-spec unique_handlers(event_pusher_config:path(), [map()]) ->
    [map()] | event_pusher_config:errors().
unique_handlers(Path, Handlers) ->
    event_pusher_config:unique("handlers", Path, Handlers).

-spec handler_in_list(map()) -> gen_mod:module_opts().
handler_in_list(Handler) ->
    #{handlers => [Handler]}.

%% Drops one leading slash: prefix and path are joined with one.
-spec fix_path(binary()) -> binary().
fix_path(<<"/", Path/binary>>) -> Path;
fix_path(Path) -> Path.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec instrumentation(mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(HostType) ->
    Handlers = gen_mod:get_module_opt(HostType, ?MODULE, handlers, []),
    [{?SENT, #{host_type => HostType}, #{metrics => #{count => spiral, response_time => histogram,
                                                      failure_count => spiral}}}
     | [Spec || Tag <- lists:usort([Tag || #{pool_name := Tag} <- Handlers]),
                Spec <- event_pusher_metrics:instrumentation(labels(HostType, Tag))]].

%% Events

-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), _ => _}) ->
    {ok, mod_event_pusher:push_event_acc()}.
push_event(HookAcc, Params, Extra) ->
    event_pusher_backend:push_event(?MODULE, HookAcc, Params, Extra).

-spec message(mod_event_pusher:event(), mod_event_pusher:push_event_acc(), context()) ->
    event_pusher:message() | skip.
message(Event, HookAcc, #{opts := #{path := Path} = Handler} = Context) ->
    Opts = Handler#{metadata => maps:get(metadata, HookAcc, #{})},
    case content(Event, HookAcc, Opts, Context) of
        skip ->
            skip;
        {Id, Body, Headers} ->
            Message = #{destination => Path, body => Body,
                        attributes => with_id(Id, Headers, Context)},
            in_order(Message, Event, Context)
    end.

%% Events of one group go one after the other.
-spec in_order(event_pusher:message(), mod_event_pusher:event(), context()) -> event_pusher:message().
in_order(Message, Event, #{is_ordered := true}) ->
    Message#{group => event_pusher_http_document:subject(Event)};
in_order(Message, _Event, #{is_ordered := false}) ->
    Message.

-spec content(mod_event_pusher:event(), mod_event_pusher:push_event_acc(), opts(), context()) ->
    {Id :: binary() | none, binary() | event_pusher:json(), [event_pusher:attribute()]} | skip.
content(Event, HookAcc, Opts, #{format := form}) ->
    case event_pusher_http_callback:form(Event, HookAcc, Opts) of
        {Body, Headers} -> {none, Body, Headers};
        skip -> skip
    end;
content(Event, HookAcc, Opts, #{format := Format, callbacks := Callbacks}) ->
    case event_pusher_http_callback:is_wanted(Event, HookAcc, Opts, Callbacks) of
        true ->
            Id = event_pusher_http_id:new(),
            {Body, Headers} = event_pusher_http_document:content(Format, Id, Event, HookAcc),
            More = event_pusher_http_callback:headers(Event, HookAcc, Opts, Callbacks),
            {Id, Body, Headers ++ More};
        false ->
            skip
    end.

%% That of a signature is the same in each attempt, also after a restart. One that a callback gives comes
%% first, and counts.
-spec with_id(Id :: binary() | none, [event_pusher:attribute()], context()) ->
    [event_pusher:attribute()].
with_id(none, Headers, #{is_signed := true} = Context) ->
    with_id(event_pusher_http_id:new(), Headers, Context);
with_id(Id, Headers, #{is_signed := true}) ->
    Headers ++ [{<<"webhook-id">>, {binary, Id}}];
with_id(_Id, Headers, #{is_signed := false}) ->
    Headers.

%% Pools

%% Each handler has a queue and workers of its own; those of one outgoing pool share its limit.
-spec pools(mongooseim:host_type(), gen_mod:module_opts()) -> [event_pusher_backend:pool()].
pools(HostType, #{handlers := Options}) ->
    Handlers = handlers(HostType, Options),
    Outgoing = [outgoing_pool(HostType, Handler) || Handler <- Handlers],
    [pool(Handler, Pool, Handlers) || {Handler, Pool} <- lists:zip(Handlers, Outgoing)].

-spec handlers(mongooseim:host_type(), [map()]) -> [handler()].
handlers(HostType, Options) ->
    [#{name => {http, HostType, Number}, labels => labels(HostType, Tag), opts => Handler}
     || {Number, #{pool_name := Tag} = Handler} <- lists:enumerate(Options)].

-spec labels(mongooseim:host_type(), atom()) -> event_pusher_backend:labels().
labels(HostType, Tag) ->
    #{host_type => HostType, pool_type => http, pool_tag => Tag}.

-spec outgoing_pool(mongooseim:host_type(), handler()) -> event_pusher_outgoing:pool().
outgoing_pool(HostType, #{name := {http, _, Number}, labels := #{pool_tag := Tag}}) ->
    case event_pusher_outgoing:find(http, HostType, Tag) of
        {ok, Pool} ->
            Pool;
        {error, not_configured} ->
            Text = io_lib:format("The handler needs a section [outgoing_pools.http.~ts]", [Tag]),
            error(#{what => event_pusher_http_pool_not_configured, host_type => HostType,
                    pool_name => Tag, handler => Number,
                    text => unicode:characters_to_binary(Text)})
    end.

-spec pool(handler(), event_pusher_outgoing:pool(), [handler()]) -> event_pusher_backend:pool().
pool(#{name := Name, labels := Labels, opts := Handler}, Pool, Handlers) ->
    #{opts := #{workers := Workers}, conn_opts := #{host := Host} = ConnOpts} = Pool,
    #{path_prefix := Prefix, request_timeout := Timeout} = ConnOpts,
    #{path := Path, callback_module := Callbacks} = Handler,
    Format = event_pusher_http_document:format(Handler),
    Tls = event_pusher_tls:options(is_https(Host), ConnOpts),
    Credentials = event_pusher_http_credentials:settings(Handler),
    Backend = Credentials#{host => event_pusher_config:text(Host),
                           path_prefix => Prefix,
                           path => Path,
                           tls => Tls,
                           http2 => maps:get(http_version, Handler, auto) =:= auto,
                           connect_timeout_ms => ?CONNECT_TIMEOUT_MS,
                           request_timeout_ms => Timeout},
    Settings = #{pool_size => Workers,
                 limit => event_pusher_outgoing:limit_name(Pool),
                 retry_count => maps:get(retry_count, Handler, ?RETRY_COUNT),
                 retry_time_ms => maps:get(retry_time_ms, Handler, ?RETRY_TIME_MS),
                 circuit_breaker_failures => event_pusher_backend:circuit_breaker_failures(Handler),
                 backend => {http, Backend}},
    Siblings = [Sibling || #{name := Sibling, labels := L} <- Handlers, L =:= Labels],
    Fields = Labels#{receiver => event_pusher_receiver:url(Host, Prefix, Path)},
    #{name => Name,
      log => log(Labels, [Host, Prefix, Path, atom_to_binary(Callbacks) | log_suffix(Format)]),
      labels => Labels,
      settings => Settings,
      complaints => event_pusher_http_callback:complaints(Format, Callbacks)
                        ++ event_pusher_http_document:complaints(Handler),
      fields => Fields, report_to => {?MODULE, report, [Fields, Siblings]},
      context => #{opts => event_pusher_http_credentials:without(Handler),
                   format => Format,
                   callbacks => event_pusher_http_callback:of_module(Format, Callbacks),
                   is_signed => event_pusher_http_credentials:is_signed(Handler),
                   is_ordered => maps:get(ordered, Handler, false)}}.

%% Not by the number of the handler, which may move, and not by its URL, which may hold secrets: with
%% another receiver, it is another log.
-spec log(event_pusher_backend:labels(), iodata()) -> binary().
log(#{host_type := HostType}, Receiver) ->
    <<Digest:16/binary, _/binary>> =
        binary:encode_hex(crypto:hash(sha256, unicode:characters_to_binary(Receiver))),
    <<"http ", HostType/binary, " ", Digest/binary>>.

%% Handlers of forms have the name that they had before there were others.
log_suffix(form) -> [];
log_suffix(Format) -> [atom_to_binary(Format)].

-spec is_https(string()) -> boolean().
is_https(Host) ->
    string:prefix(string:lowercase(string:trim(Host)), "https:") =/= nomatch.

%% Feeds the server's own metric beside those that all backends have.
-spec report(event_pusher:report(), event_pusher_backend:fields(), [event_pusher:name()]) -> ok.
report(#{counts := Counts, recent := #{attempt_times_us := Times}} = Report, Fields, Names) ->
    ok = event_pusher_backend:report(Report, Fields, Names),
    Sent = maps:with([host_type], Fields),
    #{delivered := Delivered} = Fates = event_pusher_backend:fates(Counts),
    Failed = lists:sum(maps:values(maps:remove(delivered, Fates))),
    All = #{count => Delivered, failure_count => Failed},
    Measurements = [maps:filter(fun(_Key, Count) -> Count > 0 end, All)
                    | [#{response_time => Time} || Time <- event_pusher_metrics:samples(Times)]],
    lists:foreach(fun(Some) -> mongoose_instrument:execute(?SENT, Sent, Some) end,
                  [Some || Some <- Measurements, map_size(Some) > 0]).
