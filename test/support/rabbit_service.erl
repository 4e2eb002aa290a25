-module(rabbit_service).
-moduledoc "A real RabbitMQ for tests, behind a Python port; each delivery is a message here.".

-export([start/0, start/1, stop/1, info/1]).
-export([bind/5, bind_full/4, purge/2, unbind/2, publish/4, await_consumers/1]).
-export([declare/4, declare/5, delete/2, await_exchange/2, exchanges/1, exchanges/2]).
-export([catch_all/2]).
-export([restart/1, kill/1, down/1, up/1, reset/1, block/1, unblock/1]).
-export([max_message_size/2, channel_max/2]).
-export([add_user/3, password/3, permissions/6, topic_permissions/4, max_channels/3, add_vhost/2]).
-export([connections/2, close_connections/2]).
-export([await_message/2, await_messages/3, flush/1]).
-export_type([options/0, info/0, exchange/0, message/0]).

-type options() :: #{cert => file:filename(), key => file:filename(), cacert => file:filename()}.
-type info() :: #{host := binary(), port := inet:port_number(),
                  tls_port := inet:port_number() | undefined,
                  username := binary(), password := binary(), vhost := binary(),
                  folder := binary()}.
-type exchange() :: Name :: iodata() | {VHost :: iodata(), Name :: iodata()}.
-type type() :: direct | fanout | headers | topic.
-type queue() :: binary().
-type message() :: #{exchange := binary(), routing_key := binary(), body := binary(),
                     properties := #{content_type := binary() | undefined,
                                     message_id := binary() | undefined,
                                     timestamp := non_neg_integer() | undefined,
                                     delivery_mode := 1 | 2 | undefined},
                     redelivered := boolean(), received_at_ms := integer()}.

-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    start(#{}).

%% With a certificate it serves TLS, too; with cacert it refuses clients there that have no
%% certificate of that authority.
-spec start(options()) -> {ok, pid()} | {error, term()}.
start(Options) ->
    receiver:start("rabbit_service.py", [{"--" ++ atom_to_list(Option), Value}
                                         || {Option, Value} <- maps:to_list(Options)]).

-spec stop(pid()) -> ok.
stop(Service) ->
    receiver:stop(Service).

-spec info(pid()) -> info().
info(Service) ->
    receiver:info(Service).

%% Queues

%% A durable queue that is consumed from now on, through restarts of the broker as well. An
%% exchange that exists is taken as it is.
-spec bind(pid(), exchange(), type(), Durable :: boolean(), RoutingKey :: iodata()) -> queue().
bind(Service, Exchange, Type, Durable, RoutingKey) ->
    in(Service, Exchange, fun(Name) -> ["bind", Name, atom_to_list(Type), Durable, RoutingKey] end).

%% A queue that is not consumed and refuses what does not fit, so that it is not confirmed.
-spec bind_full(pid(), exchange(), RoutingKey :: iodata(), Limit :: non_neg_integer()) -> queue().
bind_full(Service, Exchange, RoutingKey, Limit) ->
    in(Service, Exchange, fun(Name) -> ["bind_full", Name, RoutingKey, Limit] end).

%% Returns how many messages were in the queue.
-spec purge(pid(), queue()) -> non_neg_integer().
purge(Service, Queue) ->
    receiver:command(Service, ["purge", Queue]).

-spec unbind(pid(), queue()) -> ok.
unbind(Service, Queue) ->
    receiver:command(Service, ["unbind", Queue]).

-spec publish(pid(), exchange(), RoutingKey :: iodata(), Body :: iodata()) -> ok | refused.
publish(Service, Exchange, RoutingKey, Body) ->
    in(Service, Exchange, fun(Name) -> ["publish", Name, RoutingKey, Body] end).

%% Returns when every queue of bind/5 is bound and consumed, as it is some time after a restart,
%% or after its exchange has come back.
-spec await_consumers(pid()) -> ok.
await_consumers(Service) ->
    receiver:command(Service, ["await_consumers"]).

%% Exchanges

-spec declare(pid(), exchange(), type(), Durable :: boolean()) -> ok.
declare(Service, Exchange, Type, Durable) ->
    in(Service, Exchange, fun(Name) -> ["declare", Name, atom_to_list(Type), Durable] end).

%% With something that no configuration of ours has; alternate is an argument.
-spec declare(pid(), exchange(), type(), Durable :: boolean(),
              auto_delete | internal | alternate) -> ok.
declare(Service, Exchange, Type, Durable, What) ->
    in(Service, Exchange, fun(Name) ->
        ["declare_with", Name, atom_to_list(Type), Durable, atom_to_list(What)]
    end).

-spec delete(pid(), exchange()) -> ok.
delete(Service, Exchange) ->
    in(Service, Exchange, fun(Name) -> ["delete", Name] end).

%% What finds no queue at the exchange, as while that is made anew after delete/2, goes to its queues
%% nevertheless, in order: they are bound to an alternate exchange as well, which a policy names.
-spec catch_all(pid(), Name :: iodata()) -> ok.
catch_all(Service, Exchange) ->
    receiver:command(Service, ["catch_all", Exchange]).

%% Returns when somebody has declared it.
-spec await_exchange(pid(), exchange()) -> ok.
await_exchange(Service, Exchange) ->
    in(Service, Exchange, fun(Name) -> ["await_exchange", Name] end).

-spec exchanges(pid()) -> #{Name :: binary() => #{type := type(), durable := boolean()}}.
exchanges(Service) ->
    receiver:command(Service, ["exchanges"]).

-spec exchanges(pid(), VHost :: iodata()) ->
    #{Name :: binary() => #{type := type(), durable := boolean()}}.
exchanges(Service, VHost) ->
    receiver:command(Service, ["exchanges", VHost]).

%% The broker

-spec restart(pid()) -> ok.
restart(Service) ->
    receiver:command(Service, ["restart"]).

%% Ends it in the middle of whatever it does, until up/1.
-spec kill(pid()) -> ok.
kill(Service) ->
    receiver:command(Service, ["kill"]).

-spec down(pid()) -> ok.
down(Service) ->
    receiver:command(Service, ["down"]).

-spec up(pid()) -> ok.
up(Service) ->
    receiver:command(Service, ["up"]).

%% Up, unblocked, without exchanges and queues, and the user of info/1 as at the start. Further
%% users and virtual hosts stay.
-spec reset(pid()) -> ok.
reset(Service) ->
    receiver:command(Service, ["reset"]).

%% Raises the alarm about memory, so that who publishes is made to wait.
-spec block(pid()) -> ok.
block(Service) ->
    receiver:command(Service, ["block"]).

-spec unblock(pid()) -> ok.
unblock(Service) ->
    receiver:command(Service, ["unblock"]).

%% The largest message that channels take which are opened from now on, in bytes.
-spec max_message_size(pid(), pos_integer()) -> ok.
max_message_size(Service, Size) ->
    receiver:command(Service, ["max_message_size", Size]).

%% How many channels a connection may have that is opened from now on.
-spec channel_max(pid(), pos_integer()) -> ok.
channel_max(Service, Number) ->
    receiver:command(Service, ["channel_max", Number]).

%% Users

-spec add_user(pid(), Name :: iodata(), Password :: iodata()) -> ok.
add_user(Service, Name, Password) ->
    receiver:command(Service, ["add_user", Name, Password]).

-spec password(pid(), User :: iodata(), Password :: iodata()) -> ok.
password(Service, User, Password) ->
    receiver:command(Service, ["password", User, Password]).

-spec permissions(pid(), User :: iodata(), VHost :: iodata(),
                  Configure :: iodata(), Write :: iodata(), Read :: iodata()) -> ok.
permissions(Service, User, VHost, Configure, Write, Read) ->
    receiver:command(Service, ["permissions", User, VHost, Configure, Write, Read]).

%% The pattern of routing keys that the user may publish with to a topic exchange.
-spec topic_permissions(pid(), User :: iodata(), Exchange :: iodata(), Write :: iodata()) -> ok.
topic_permissions(Service, User, Exchange, Write) ->
    receiver:command(Service, ["topic_permissions", User, Exchange, Write]).

%% How many channels all connections of the user may have together.
-spec max_channels(pid(), User :: iodata(), pos_integer()) -> ok.
max_channels(Service, User, Number) ->
    receiver:command(Service, ["max_channels", User, Number]).

-spec add_vhost(pid(), Name :: iodata()) -> ok.
add_vhost(Service, Name) ->
    receiver:command(Service, ["add_vhost", Name]).

-spec connections(pid(), User :: iodata()) -> non_neg_integer().
connections(Service, User) ->
    receiver:command(Service, ["connections", User]).

%% Returns how many there were. The consumers, who have a user of their own, stay.
-spec close_connections(pid(), User :: iodata()) -> non_neg_integer().
close_connections(Service, User) ->
    receiver:command(Service, ["close_connections", User]).

%% Arrivals

-spec await_message(pid(), timeout()) -> {ok, message()} | timeout.
await_message(Service, Timeout) ->
    receiver:await_message(Service, Timeout).

%% In order of arrival; fewer than wanted after the timeout.
-spec await_messages(pid(), Wanted :: pos_integer(), timeout()) -> [message()].
await_messages(Service, Wanted, Timeout) ->
    receiver:await_messages(Service, Wanted, Timeout).

%% What arrived and nobody has awaited.
-spec flush(pid()) -> [message()].
flush(Service) ->
    receiver:flush(Service).

%% The virtual host is the last word of a command.
in(Service, {VHost, Name}, Words) ->
    receiver:command(Service, Words(Name) ++ [VHost]);
in(Service, Name, Words) ->
    receiver:command(Service, Words(Name)).
