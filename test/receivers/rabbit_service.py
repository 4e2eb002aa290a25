"""A real RabbitMQ on loopback for tests and the demo, and consumers that tell at once what arrives.

    python rabbit_service.py [--cert FILE --key FILE [--cacert FILE]]

With --cert there is a TLS listener beside the plain one; with --cacert it asks clients for a certificate signed by
that authority, and refuses those without. It speaks with its parent as `erlang_port` says. First, when clients can
connect, {ready, #{host, port, tls_port, username, password, vhost, folder}}; then one term for each delivery and one
answer per command, in order:

    {message, #{exchange, routing_key, body, redelivered, received_at_ms,
                properties => #{content_type, message_id, timestamp, delivery_mode}}}.
    bind EXCHANGE TYPE DURABLE ROUTING_KEY      -> Queue    a durable queue that is consumed from now on
    bind_full EXCHANGE ROUTING_KEY LIMIT        -> Queue    a durable queue that is not, and refuses more than LIMIT
    purge QUEUE                                 -> Number   of messages that were in it
    unbind QUEUE                                -> ok       the queue and its consumer are no more
    publish EXCHANGE ROUTING_KEY BODY           -> ok | refused      a persistent message, confirmed or not
    await_consumers                             -> ok       when every queue of `bind` is bound and consumed again
    declare EXCHANGE TYPE DURABLE               -> ok
    declare_with EXCHANGE TYPE DURABLE WHAT     -> ok       WHAT is auto_delete, internal or alternate (an argument)
    delete EXCHANGE                             -> ok
    catch_all EXCHANGE                          -> ok       what finds no queue there goes to those of `bind` nevertheless
    await_exchange EXCHANGE                     -> ok       when it exists
    exchanges                                   -> #{Name => #{type, durable}}      without those of the broker itself
    restart | kill | down | up                  -> ok       down and restart end the node in order, kill does not
    reset                                       -> ok       up, unblocked, without queues and exchanges; users stay, that
                                                         of `ready` has its password and permissions again
    block | unblock                             -> ok       an alarm: memory is short, who publishes must wait
    max_message_size BYTES                      -> ok       the largest message, for channels opened from now on
    channel_max NUMBER                          -> ok       of channels on one connection, for those opened from now on
    add_user NAME PASSWORD                      -> ok       who may do nothing until he has permissions
    password USER PASSWORD                      -> ok
    permissions USER VHOST CONFIGURE WRITE READ -> ok       three patterns of names
    topic_permissions USER EXCHANGE WRITE       -> ok       a pattern of routing keys
    max_channels USER NUMBER                    -> ok       of channels on all connections of the user
    add_vhost NAME                              -> ok
    connections USER                            -> Number   of open ones
    close_connections USER                      -> Number   of those that the broker closed

DURABLE is true or false. `bind` declares the exchange if it does not exist. Later it only waits for it: a consumer that
lost its connection, its exchange or its broker begins anew as soon as there are both, so what a durable queue holds
arrives after a restart. An exchange that is not durable loses its bindings with the broker, and what is published
between its declaration and `await_consumers` has no queue to go to. Commands that name an exchange are for the
virtual host of `ready`, or for the one named by a further word. Consumers have a user of their own.
"""

import argparse
import contextlib
import json
import logging
import os
import re
import threading
import time

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, NackError

from erlang_port import parent, serve_commands
from erlang_term import Atom, Text, atoms, term
from rabbit_broker import Broker

USER, VHOST = "event-pusher", "/"
MAX_MESSAGE_SIZE, CHANNEL_MAX = 128 * 1024 * 1024, 2047  # the defaults of the broker
PERSISTENT = pika.BasicProperties(delivery_mode=2)
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 30
COMMANDS = set(
    "bind bind_full catch_all purge unbind publish await_consumers declare declare_with delete await_exchange exchanges restart "
    "kill down up reset block unblock max_message_size channel_max add_user password permissions topic_permissions "
    "max_channels add_vhost connections close_connections".split()
)


class Consumer(threading.Thread):
    """One queue, and whatever it takes to have it bound to its exchange."""

    def __init__(self, parameters, queue, exchange, routing_key, report):
        super().__init__(daemon=True)
        self.parameters, self.queue, self.exchange, self.routing_key = parameters, queue, exchange, routing_key
        self.report, self.consuming, self.ended, self.channel = report, threading.Event(), False, None

    def run(self):
        while not self.ended:
            try:
                with pika.BlockingConnection(self.parameters) as connection:
                    while not self.ended:
                        self._consume(connection)
            except AMQPError:
                self.consuming.clear()
                time.sleep(POLL_SECONDS)

    def _consume(self, connection):
        channel = await_exchange(connection, self.exchange, lambda: self.ended)
        if not channel:
            return
        channel.queue_declare(self.queue, durable=True)
        channel.queue_bind(self.queue, self.exchange, self.routing_key)
        channel.basic_consume(self.queue, self._arrived)
        self.channel = channel
        self.consuming.set()
        if not self.ended:
            channel.start_consuming()
        channel.close()

    def _arrived(self, channel, delivery, properties, body):
        # First, so that a message which was told is seldom delivered again when the broker is killed next.
        channel.basic_ack(delivery.delivery_tag)
        self.report((Atom("message"), _message(delivery, properties, body)))

    def wait(self, seconds):
        if not self.consuming.wait(seconds):
            raise TimeoutError(f"nothing to consume at exchange {self.exchange}")

    def begin_anew(self):
        """For when the exchange has been deleted, and the binding with it: the broker tells no consumer."""
        if self.consuming.is_set():
            self.consuming.clear()
            with contextlib.suppress(AMQPError):
                self.channel.connection.add_callback_threadsafe(self.channel.stop_consuming)

    def end(self):
        self.ended = True
        self.begin_anew()
        self.join(PATIENCE_SECONDS)


class Service:
    """The broker and its queues. Arguments are the words of commands, the results what they are answered with."""

    def __init__(self, broker, report):
        self.broker, self.report, self.number = broker, report, 0
        self.queues, self.consumers = {}, {}  # the virtual host of each queue, the consumer of those that have one
        broker.start()
        self.add_user(USER, "")
        self._admit_user()

    def bind(self, exchange, kind, durable, routing_key, vhost=VHOST):
        found = self.broker.ask(f"element(1, rabbit_exchange:lookup({_resource(exchange, vhost)}))")
        if found != "ok":
            self.declare(exchange, kind, durable, vhost)
        queue = self._new_queue(vhost)
        self.consumers[queue] = Consumer(self._parameters(vhost), queue, exchange, routing_key, self.report)
        self.consumers[queue].start()
        self.consumers[queue].wait(PATIENCE_SECONDS)
        return queue

    def bind_full(self, exchange, routing_key, limit, vhost=VHOST):
        queue, limited = self._new_queue(vhost), {"x-max-length": int(limit), "x-overflow": "reject-publish"}
        with self._channel(vhost) as channel:
            channel.queue_declare(queue, durable=True, arguments=limited)
            channel.queue_bind(queue, exchange, routing_key)
        return queue

    def catch_all(self, exchange):
        """A policy is no argument of the exchange, so whoever declares it need not know."""
        rest = f"{exchange}.rest"
        with self._channel(VHOST) as channel:
            channel.exchange_declare(rest, "fanout", durable=True)
            for queue, consumer in self.consumers.items():
                if (consumer.exchange, consumer.parameters.virtual_host) == (exchange, VHOST):
                    channel.queue_bind(queue, rest)
        pattern, definition = f"^{re.escape(exchange)}$", f"[{{{term('alternate-exchange')}, {term(rest)}}}]"
        words = ", ".join([term(VHOST), term(rest), term(pattern), definition, "0", term("exchanges"), term("")])
        self._ask(f"ok = rabbit_policy:set({words})")

    def purge(self, queue):
        with self._channel(self.queues[queue]) as channel:
            return channel.queue_purge(queue).method.message_count

    def unbind(self, queue):
        if consumer := self.consumers.pop(queue, None):
            consumer.end()
        with self._channel(self.queues.pop(queue)) as channel:
            channel.queue_delete(queue)

    def publish(self, exchange, routing_key, body, vhost=VHOST):
        with self._channel(vhost) as channel:
            channel.confirm_delivery()
            try:
                channel.basic_publish(exchange, routing_key, body.encode(), PERSISTENT)
            except NackError:
                return Atom("refused")

    def await_consumers(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        for consumer in self.consumers.values():
            consumer.wait(max(0, deadline - time.monotonic()))

    def declare(self, exchange, kind, durable, vhost=VHOST, **more):
        with self._channel(vhost) as channel:
            channel.exchange_declare(exchange, kind, durable=durable == "true", **more)

    def declare_with(self, exchange, kind, durable, what, vhost=VHOST):
        alternate = {"arguments": {"alternate-exchange": "amq.fanout"}}
        self.declare(exchange, kind, durable, vhost, **(alternate if what == "alternate" else {what: True}))

    def delete(self, exchange, vhost=VHOST):
        with self._channel(vhost) as channel:
            channel.exchange_delete(exchange)
        for consumer in self.consumers.values():
            if (consumer.exchange, consumer.parameters.virtual_host) == (exchange, vhost):
                consumer.begin_anew()

    def await_exchange(self, exchange, vhost=VHOST):
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._channel(vhost) as channel:
            if not await_exchange(channel.connection, exchange, lambda: time.monotonic() > deadline):
                raise TimeoutError(f"no exchange {exchange}")

    def exchanges(self, vhost=VHOST):
        entry = "{element(4, Name), #{type => Type, durable => Durable}}"
        return self._ask(f"maps:from_list([{entry} || {_exchanges(vhost)}])")

    def down(self):
        self._lose_consumers()
        self.broker.stop()

    def kill(self):
        self._lose_consumers()
        self.broker.kill()

    def up(self):
        self.broker.start()

    def restart(self):
        self.down()
        self.up()

    def reset(self):
        self.up()
        self.unblock()
        self.max_message_size(MAX_MESSAGE_SIZE)
        self.channel_max(CHANNEL_MAX)
        for queue in list(self.queues):
            self.unbind(queue)
        self._admit_user()
        self._ask(f"[rabbit_exchange:delete(Name, false, <<>>) || {_exchanges(VHOST)}]")
        policies = f"[Name || Policy <- rabbit_policy:list({term(VHOST)}), {{name, Name}} <- Policy]"
        self._ask(f"[ok = rabbit_policy:delete({term(VHOST)}, Name, <<>>) || Name <- {policies}]")

    def block(self):
        self._set_memory_high_watermark("0")

    def unblock(self):
        self._set_memory_high_watermark("0.4")

    def _set_memory_high_watermark(self, fraction):
        # The question makes sure that the alarm has been raised or cleared when this returns.
        self._ask(f"vm_memory_monitor:set_vm_memory_high_watermark({fraction}), rabbit_alarm:get_alarms()")

    def max_message_size(self, size):
        """For channels that are opened from now on."""
        self._ask(f"ok = application:set_env(rabbit, max_message_size, {int(size)})")

    def channel_max(self, number):
        """For connections that are opened from now on."""
        self._ask(f"ok = application:set_env(rabbit, channel_max, {int(number)})")

    def add_user(self, name, password):
        self._ask(f"ok = rabbit_auth_backend_internal:add_user({term(name)}, {term(password)}, <<>>)")

    def password(self, user, password):
        self._ask(f"ok = rabbit_auth_backend_internal:change_password({term(user)}, {term(password)}, <<>>)")

    def permissions(self, user, vhost, configure, write, read):
        words = ", ".join(map(term, [user, vhost, configure, write, read, ""]))
        self._ask(f"ok = rabbit_auth_backend_internal:set_permissions({words})")

    def topic_permissions(self, user, exchange, write, vhost=VHOST):
        words = ", ".join(map(term, [user, vhost, exchange, write, ".*", ""]))
        self._ask(f"ok = rabbit_auth_backend_internal:set_topic_permissions({words})")

    def max_channels(self, user, number):
        limits = json.dumps({"max-channels": int(number)})
        self._ask(f"ok = rabbit_auth_backend_internal:set_user_limits({term(user)}, {term(limits)}, <<>>)")

    def add_vhost(self, name):
        self._ask(f"ok = rabbit_vhost:add({term(name)}, <<>>)")
        self.permissions(self.broker.username, name, ".*", ".*", ".*")

    def connections(self, user):
        return self._ask(f"length({_connections_of(user)})")

    def close_connections(self, user):
        close = 'rabbit_networking:close_connection(Pid, "closed by the operator")'
        return self._ask(f"length([{close} || Pid <- {_connections_of(user)}])")

    def _admit_user(self):
        self.password(USER, self.broker.password)
        self.permissions(USER, VHOST, ".*", ".*", ".*")

    def _lose_consumers(self):
        """Nobody is to take a consumer for one of the next node that has not noticed the end of this one."""
        for consumer in self.consumers.values():
            consumer.consuming.clear()

    def _ask(self, expression):
        return Text(self.broker.ask(expression))

    def _new_queue(self, vhost):
        self.number += 1
        queue = f"receiver.{self.number}"
        self.queues[queue] = vhost
        return queue

    @contextlib.contextmanager
    def _channel(self, vhost):
        with pika.BlockingConnection(self._parameters(vhost)) as connection:
            yield connection.channel()

    def _parameters(self, vhost):
        credentials = pika.PlainCredentials(self.broker.username, self.broker.password)
        return pika.ConnectionParameters(
            "127.0.0.1", self.broker.port, vhost, credentials, blocked_connection_timeout=PATIENCE_SECONDS
        )


def await_exchange(connection, exchange, is_enough):
    """A channel where the exchange is known to exist, None if there has been enough waiting."""
    while not is_enough():
        channel = connection.channel()
        try:
            channel.exchange_declare(exchange, passive=True)
            return channel
        except ChannelClosedByBroker:
            connection.sleep(POLL_SECONDS)


def _exchanges(vhost):
    """The generator of a comprehension, without the exchanges that the broker has of its own."""
    fields = "[{name, Name}, {type, Type}, {durable, Durable}]"
    every = f"rabbit_exchange:info_all({term(vhost)}, [name, type, durable])"
    return f'{fields} <- {every}, re:run(element(4, Name), "^(amq[.]|$)") =:= nomatch'


def _resource(exchange, vhost):
    return f"rabbit_misc:r({term(vhost)}, exchange, {term(exchange)})"


def _connections_of(user):
    # One that is just ending has no answer.
    is_of_user = f"(catch rabbit_reader:info(Pid, [user])) =:= [{{user, {term(user)}}}]"
    return f"[Pid || Pid <- rabbit_networking:connections(), {is_of_user}]"


def _message(delivery, properties, body):
    names = ("content_type", "message_id", "timestamp", "delivery_mode")
    return atoms(
        exchange=delivery.exchange,
        routing_key=delivery.routing_key,
        body=body,
        properties=atoms(**{name: getattr(properties, name) for name in names}),
        redelivered=delivery.redelivered,
        received_at_ms=time.time_ns() // 1_000_000,
    )


def command(service, words):
    name, *arguments = words
    if name not in COMMANDS:
        raise ValueError(f"unknown command: {name}")
    answer = getattr(service, name)(*arguments)
    return Atom("ok") if answer is None else answer


def arguments():
    parser = argparse.ArgumentParser(description="RabbitMQ on loopback, for an Erlang port or a shell")
    parser.add_argument("--cert", help="serve TLS, too, with this certificate file")
    parser.add_argument("--key", help="the certificate's private key file")
    parser.add_argument("--cacert", help="ask for certificates of clients, signed by this authority")
    return parser.parse_args()


def main():
    options, report = arguments(), parent()
    # Consumers lose their connections as a matter of course.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    broker = Broker((options.cert, options.key) if options.cert else None, options.cacert)
    try:
        service = Service(broker, report)
        place = atoms(host="127.0.0.1", port=broker.port, tls_port=broker.tls_port, folder=str(broker.folder))
        report((Atom("ready"), place | atoms(username=USER, password=broker.password, vhost=VHOST)))
        serve_commands(report, lambda words: command(service, words))
    finally:
        broker.remove()
    os._exit(0)  # consumers still try to connect, and there is nothing to put in order


if __name__ == "__main__":
    main()
