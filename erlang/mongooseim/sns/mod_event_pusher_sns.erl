-module(mod_event_pusher_sns).
-moduledoc "Publishes presence and messages to Amazon SNS.".

-behaviour(gen_mod).
-behaviour(event_pusher_backend).

%% gen_mod callbacks
-export([start/2, stop/1, hooks/1, config_spec/0, supported_features/0, instrumentation/1]).
%% For the check of a configuration
-export([complaints/2]).
%% Hook handler
-export([push_event/3]).
%% event_pusher_backend callbacks
-export([pools/2, message/3]).
%% Option processor
-export([require_keys/2]).
%% For code that publishes by itself
-export([try_publish/5]).

-export_type([user_guid/0, topic_arn/0, topic/0, attributes/0]).

-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").

-doc "The name by which receivers know a user.".
-type user_guid() :: binary().
-type topic_arn() :: string().
-type topic() :: string().
-doc "Strings are sent as String, binaries as Binary, numbers as Number.".
-type attributes() :: #{string() => string() | binary() | number()}.

-callback user_guid(jid:jid()) -> user_guid().
-callback message_attributes(topic_arn(), jid:jid(), IsOnline :: boolean()) -> attributes().
-callback message_attributes(topic_arn(), From :: jid:jid(), To :: jid:jid(), pm | muc,
                             exml:element()) -> attributes().

%% What the options mean for each event: the ARN of each kind of notification that has a topic, as
%% text for plugins and as binary.
-type context() :: #{host_type := mongooseim:host_type(), plugin := module(),
                     topics := #{presence | pm | muc => {topic_arn(), binary()}}}.

-define(REQUIRED, [sns_host, region, access_key_id, secret_access_key, account_id]).
-define(CONNECT_TIMEOUT_MS, 5000).
-define(REQUEST_TIMEOUT_MS, 10000).
-define(DROPPED_ATTRIBUTES, event_pusher_sns_dropped_attributes).
-define(TOPICS, [{presence, presence_updates_topic}, {pm, pm_messages_topic},
                 {muc, muc_messages_topic}]).

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
    String = #option{type = string},
    #section{items = #{<<"presence_updates_topic">> => String,
                       <<"pm_messages_topic">> => String,
                       <<"muc_messages_topic">> => String,
                       <<"plugin_module">> => #option{type = atom, validate = module},
                       <<"sns_host">> => String,
                       <<"region">> => String,
                       <<"partition">> => String,
                       <<"access_key_id">> => String,
                       <<"secret_access_key">> => String,
                       <<"account_id">> => String,
                       <<"pool_size">> => #option{type = integer, validate = positive},
                       <<"publish_retry_count">> =>
                           #option{type = integer, validate = non_negative},
                       <<"publish_retry_time_ms">> =>
                           #option{type = integer, validate = non_negative},
                       <<"circuit_breaker_failures">> =>
                           #option{type = integer, validate = non_negative},
                       <<"publish_batch">> => #option{type = boolean},
                       <<"queue">> => event_pusher_queue_options:spec(),
                       <<"retry">> => event_pusher_retry_options:spec()},
             %% Not as `required', because the error would show the others.
             process = fun ?MODULE:require_keys/2,
             defaults = #{<<"plugin_module">> => mod_event_pusher_sns_defaults,
                          <<"pool_size">> => 100,
                          <<"publish_retry_count">> => 2,
                          <<"publish_retry_time_ms">> => 50}}.

-spec require_keys(event_pusher_config:path(), gen_mod:module_opts()) ->
    gen_mod:module_opts() | event_pusher_config:errors().
require_keys(Path, Opts) ->
    event_pusher_config:require(?REQUIRED, Path, Opts).

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec instrumentation(mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(HostType) ->
    [{?DROPPED_ATTRIBUTES, #{host_type => HostType}, #{metrics => #{count => spiral}}}
     | event_pusher_metrics:instrumentation(labels(HostType))].

%% The pool

-spec pools(mongooseim:host_type(), gen_mod:module_opts()) -> [event_pusher_backend:pool()].
pools(HostType, Opts) ->
    #{pool_size := PoolSize, publish_retry_count := RetryCount, publish_retry_time_ms := RetryTime,
      sns_host := Host} = Opts,
    Settings = #{pool_size => PoolSize,
                 retry_count => RetryCount,
                 retry_time_ms => RetryTime,
                 circuit_breaker_failures => event_pusher_backend:circuit_breaker_failures(Opts),
                 backend => backend(Opts)},
    Name = name(HostType),
    Labels = labels(HostType),
    Fields = Labels#{receiver => event_pusher_receiver:url(Host)},
    [#{name => Name,
       log => <<"sns ", HostType/binary>>,
       labels => Labels,
       settings => Settings,
       complaints => plugin_complaints(Opts),
       fields => Fields, report_to => {event_pusher_backend, report, [Fields, [Name]]},
       context => context(HostType, Opts)}].

%% The plugin needs what it will be called for.
-spec plugin_complaints(gen_mod:module_opts()) -> [binary()].
plugin_complaints(#{plugin_module := Plugin} = Opts) ->
    Has = fun(Keys) -> map_size(maps:with(Keys, Opts)) > 0 end,
    Messages = [pm_messages_topic, muc_messages_topic],
    Callbacks = [{user_guid, 1} || Has([presence_updates_topic | Messages])]
        ++ [{message_attributes, 3} || Has([presence_updates_topic])]
        ++ [{message_attributes, 5} || Has(Messages)],
    event_pusher_callbacks:complaints(plugin_module, Plugin, {all, Callbacks}).

-spec backend(gen_mod:module_opts()) -> event_pusher:backend().
backend(#{sns_host := Host, region := Region, account_id := AccountId, access_key_id := KeyId,
         secret_access_key := Secret} = Opts) ->
    Topics = [{atom_to_binary(Key), to_binary(Topic)} || {_, Key, Topic} <- topics(Opts)],
    {sns, #{sns_host => to_binary(Host),
            region => to_binary(Region),
            partition => to_binary(partition(Opts)),
            account_id => to_binary(AccountId),
            topics => Topics,
            access_key_id => to_binary(KeyId),
            secret_access_key => to_binary(Secret),
            publish_batch => maps:get(publish_batch, Opts, true),
            connect_timeout_ms => ?CONNECT_TIMEOUT_MS,
            request_timeout_ms => ?REQUEST_TIMEOUT_MS}}.

-spec context(mongooseim:host_type(), gen_mod:module_opts()) -> context().
context(HostType, #{plugin_module := Plugin} = Opts) ->
    Topics = [{Kind, topic_arn(Topic, Opts)} || {Kind, _, Topic} <- topics(Opts)],
    #{host_type => HostType,
      plugin => Plugin,
      topics => maps:from_list([{Kind, {Arn, to_binary(Arn)}} || {Kind, Arn} <- Topics])}.

-spec topics(gen_mod:module_opts()) -> [{presence | pm | muc, Key :: atom(), topic()}].
topics(Opts) ->
    [{Kind, Key, maps:get(Key, Opts)} || {Kind, Key} <- ?TOPICS, is_map_key(Key, Opts)].

%% Events

-spec push_event(mod_event_pusher:push_event_acc(), mod_event_pusher:push_event_params(),
                 #{host_type := mongooseim:host_type(), _ => _}) ->
    {ok, mod_event_pusher:push_event_acc()}.
push_event(HookAcc, Params, Extra) ->
    event_pusher_backend:push_event(?MODULE, HookAcc, Params, Extra).

-spec message(mod_event_pusher:event(), mod_event_pusher:push_event_acc(), context()) ->
    event_pusher:message() | skip.
message(Event, HookAcc, #{host_type := HostType} = Context) ->
    case notification(Event, Context) of
        skip ->
            skip;
        #{attributes := Own} = Notification ->
            Metadata = maps:get(metadata, HookAcc, #{}),
            Notification#{attributes := attributes(HostType, Own, Metadata)}
    end.

%% What SNS can take of them. The rest is counted.
-spec attributes(mongooseim:host_type(), attributes(), mod_event_pusher:metadata()) ->
    [event_pusher:attribute()].
attributes(HostType, Own, Metadata) ->
    {Attributes, LeftOut} = event_pusher_sns_attributes:select(Own, Metadata),
    _ = [mongoose_instrument:execute(?DROPPED_ATTRIBUTES, #{host_type => HostType},
                                     #{count => LeftOut}) || LeftOut > 0],
    Attributes.

%% Publishes a notification of the caller's own. The pool tries as often as the options say, whatever
%% the last argument does: it counted the attempts left in the server's own module.
-spec try_publish(mongooseim:host_type(), topic_arn(), Content :: #{atom() | binary() => term()},
                  attributes(), Retry :: integer()) -> scheduled | dropped.
try_publish(HostType, TopicArn, Content, Attributes, _Retry) ->
    Message = notification({TopicArn, to_binary(TopicArn)}, to_binary(TopicArn), maps:to_list(Content),
                           Attributes),
    Selected = attributes(HostType, Attributes, #{}),
    case event_pusher:push(name(HostType), Message#{attributes := Selected}) of
        ok -> scheduled;
        {error, _FullOrClosed} -> dropped
    end.

-spec name(mongooseim:host_type()) -> event_pusher:name().
name(HostType) ->
    {sns, HostType}.

%% The server calls the pool of this backend pusher_sns.
-spec labels(mongooseim:host_type()) -> event_pusher_backend:labels().
labels(HostType) ->
    #{host_type => HostType, pool_type => sns, pool_tag => pusher_sns}.

%% Notifications

%% A message whose attributes are still those of the plugin.
-type notification() :: #{destination := binary(), body := event_pusher:json(),
                          attributes := attributes(), group => binary()}.

-spec notification(mod_event_pusher:event(), context()) -> notification() | skip.
notification(#user_status_event{jid = User, status = Status},
             #{topics := #{presence := {Arn, _} = Topic}, plugin := Plugin}) ->
    Guid = user_guid(Plugin, User),
    Online = Status =:= online,
    Attributes = Plugin:message_attributes(Arn, User, Online),
    notification(Topic, Guid, [{<<"user_id">>, Guid}, {<<"present">>, Online}], Attributes);
notification(#chat_event{direction = in, packet = Packet} = Event, #{topics := Topics} = Context) ->
    Kind = kind(exml_query:attr(Packet, <<"type">>)),
    case {Topics, event_pusher_packet:body(Packet)} of
        {#{Kind := Topic}, Body} when is_binary(Body) ->
            chat_notification(Event, Kind, Topic, Body, Context);
        _ ->
            skip
    end;
notification(_Event, _Context) ->
    skip.

chat_notification(#chat_event{from = From, to = To, packet = Packet}, Kind, {Arn, _} = Topic, Body,
                  #{plugin := Plugin}) ->
    FromGuid = user_guid(Plugin, From),
    ToGuid = user_guid(Plugin, To),
    Attributes = Plugin:message_attributes(Arn, From, To, Kind, Packet),
    Fields = [{<<"from_user_id">>, FromGuid}, {<<"to_user_id">>, ToGuid}, {<<"message">>, Body}],
    notification(Topic, FromGuid, Fields, Attributes).

-spec kind(binary() | undefined) -> pm | muc | none.
kind(<<"chat">>) -> pm;
kind(<<"groupchat">>) -> muc;
kind(_Type) -> none.

%% In FIFO topics the events of one user stay in order. Which ones these are, the library says by
%% the same rule: native/delivery/src/sns/topic.rs.
-spec notification({topic_arn(), binary()}, user_guid(), [{atom() | binary(), term()}],
                   attributes()) ->
    notification().
notification({Arn, Destination}, Sender, Fields, Attributes) ->
    Message = #{destination => Destination, body => event_pusher_fields:json(Fields),
                attributes => Attributes},
    case lists:suffix(".fifo", Arn) of
        true -> Message#{group => Sender};
        false -> Message
    end.

-spec topic_arn(topic(), gen_mod:module_opts()) -> topic_arn().
topic_arn(Topic, #{region := Region, account_id := AccountId} = Opts) ->
    lists:append(["arn:", partition(Opts), ":sns:", Region, ":", AccountId, ":", Topic]).

%% https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
-spec partition(gen_mod:module_opts()) -> string().
partition(#{partition := Partition}) -> Partition;
partition(#{region := "cn-" ++ _}) -> "aws-cn";
partition(#{region := "eu-isoe-" ++ _}) -> "aws-iso-e";
partition(#{region := "eusc-" ++ _}) -> "aws-eusc";
partition(#{region := "us-gov-" ++ _}) -> "aws-us-gov";
partition(#{region := "us-iso-" ++ _}) -> "aws-iso";
partition(#{region := "us-isob-" ++ _}) -> "aws-iso-b";
partition(#{region := "us-isof-" ++ _}) -> "aws-iso-f";
partition(_Opts) -> "aws".

%% The plugin's answers

-spec user_guid(module(), jid:jid()) -> user_guid().
user_guid(Plugin, User) ->
    case Plugin:user_guid(User) of
        Guid when is_binary(Guid) -> Guid;
        _ -> error({bad_plugin_result, user_guid})
    end.

-spec to_binary(string()) -> binary().
to_binary(String) ->
    event_pusher_config:text(String).
