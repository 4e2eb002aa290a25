"""Three nodes of RabbitMQ on loopback that are a cluster, for tests, and a consumer of one quorum queue.

    python rabbit_cluster.py

It speaks with its parent as `erlang_port` says. First, when clients can connect, {ready, #{ports, username, password}},
with the ports of the nodes in their order; then one term for each delivery and one answer per command, in order:

    {message, #{routing_key, body}}
    bind EXCHANGE      -> ok        a quorum queue has all that is published to that topic exchange, and is consumed
    stop NODE          -> ok        in order; nodes are numbered from 1
    kill NODE          -> ok
    up NODE            -> ok        when clients can connect to it
    drain NODE         -> ok        for maintenance: its clients are sent away, and no new ones are let in
    revive NODE        -> ok        after maintenance
    lead NODE          -> ok        it has the leader of the queue from now on
    connections NODE   -> Number    of open ones to it that are not the consumer's
"""

import contextlib
import logging
import os
import re
import threading
import time

import pika
from pika.exceptions import AMQPError

from erlang_port import parent, serve_commands
from erlang_term import Atom, Text, atoms, term
from rabbit_broker import Broker

USER, QUEUE = "event-pusher", "all"
COMMANDS = set("bind stop kill up drain revive lead connections".split())
RETRY_SECONDS, PATIENCE_SECONDS = 0.1, 30


class Consumer(threading.Thread):
    """Of the queue, at whichever node lets it in."""

    def __init__(self, brokers, exchange, report):
        super().__init__(daemon=True)
        self.brokers, self.exchange, self.report, self.consuming = brokers, exchange, report, threading.Event()

    def run(self):
        pause = threading.Event()
        while True:
            for broker in self.brokers:
                with contextlib.suppress(AMQPError, OSError):
                    self._consume(broker)
                pause.wait(RETRY_SECONDS)

    def _consume(self, broker):
        credentials = pika.PlainCredentials(broker.username, broker.password)
        with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, "/", credentials)) as connection:
            channel = connection.channel()
            channel.exchange_declare(self.exchange, "topic", durable=True)
            channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(QUEUE, self.exchange, "#")
            channel.basic_consume(QUEUE, self._arrived)
            self.consuming.set()
            channel.start_consuming()

    def _arrived(self, channel, delivery, _properties, body):
        self.report((Atom("message"), atoms(routing_key=delivery.routing_key, body=body)))
        channel.basic_ack(delivery.delivery_tag)


class Cluster:
    """Arguments are the words of commands, the results what they are answered with."""

    def __init__(self, report):
        self.report, first = report, Broker(name="mq1")
        self.brokers = [first, *(Broker(name=f"mq{number}", beside=first) for number in (2, 3))]

    def start(self):
        first = self.brokers[0]
        # One after the other: two that join at the same time may miss each other.
        for broker in self.brokers:
            broker.start()
        running = first.ask("length(rabbit_nodes:all_running())")
        if int(running) != len(self.brokers):
            raise RuntimeError(f"{running} nodes are a cluster")
        words = term(USER), term(first.password)
        first.ask(f"ok = rabbit_auth_backend_internal:add_user({', '.join(words)}, <<>>)")
        words = ", ".join(map(term, [USER, "/", ".*", ".*", ".*", ""]))
        first.ask(f"ok = rabbit_auth_backend_internal:set_permissions({words})")

    def bind(self, exchange):
        consumer = Consumer(self.brokers, exchange, self.report)
        consumer.start()
        consumer.consuming.wait()

    def stop(self, node):
        self._broker(node).stop()

    def kill(self, node):
        self._broker(node).kill()

    def up(self, node):
        self._broker(node).start()

    def drain(self, node):
        self._broker(node).ask("rabbit_maintenance:drain()")

    def revive(self, node):
        self._broker(node).ask("rabbit_maintenance:revive()")

    def lead(self, node):
        broker = self._broker(node)
        name = f"rabbit_misc:r({term('/')}, queue, {term(QUEUE)})"
        question = (
            f"{{ok, Queue}} = rabbit_amqqueue:lookup({name}), "
            f"rabbit_quorum_queue:transfer_leadership(Queue, {_atom(broker.name)})"
        )
        # A broker that is busy may not answer itself in time.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not re.match(r"{migrated,|{not_migrated,already_leader}", answer := broker.ask(question)):
            if time.monotonic() > deadline:
                raise TimeoutError(answer)
            time.sleep(RETRY_SECONDS)

    def connections(self, node):
        names = "[rabbit_networking:connection_info(Pid, [user]) || Pid <- rabbit_networking:local_connections()]"
        return Text(self._broker(node).ask(f"length([1 || [{{user, {term(USER)}}}] <- {names}])"))

    def _broker(self, node):
        return self.brokers[int(node) - 1]

    def remove(self):
        for broker in reversed(self.brokers):
            broker.remove()


def _atom(name):
    return f"'{name}'"


def command(cluster, words):
    if words[0] not in COMMANDS:
        raise ValueError(f"unknown command {words[0]}")
    answer = getattr(cluster, words[0])(*words[1:])
    return Atom("ok") if answer is None else answer


def main():
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    report = parent()
    cluster = Cluster(report)
    try:
        cluster.start()
        first = cluster.brokers[0]
        ports = [broker.port for broker in cluster.brokers]
        report((Atom("ready"), atoms(ports=ports, username=USER, password=first.password)))
        serve_commands(report, lambda words: command(cluster, words))
    finally:
        cluster.remove()
    os._exit(0)  # the consumer still tries to connect, and there is nothing to put in order


if __name__ == "__main__":
    main()
