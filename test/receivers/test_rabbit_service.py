"""What the RabbitMQ receiver tells and does, with a broker that runs: `python -m unittest` in this folder."""

import contextlib
import logging
import queue
import time
import unittest

import pika
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ChannelClosedByBroker,
    ConnectionClosed,
    ConnectionClosedByBroker,
    NackError,
    NoFreeChannels,
    ProbableAuthenticationError,
)

from rabbit_broker import Broker
from rabbit_service import USER, VHOST, Service, command

PERSISTENT = pika.BasicProperties(content_type="application/json", message_id="1", timestamp=2, delivery_mode=2)


class RabbitService(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        cls.broker = Broker()
        cls.addClassCleanup(cls.broker.remove)
        cls.arrivals = queue.Queue()
        cls.service = Service(cls.broker, lambda message: cls.arrivals.put(message[1]))

    def tearDown(self):
        self.tell("reset")
        while not self.arrivals.empty():
            self.arrivals.get()

    def tell(self, *words):
        return command(self.service, list(words))

    def connect(self, user=USER, password=None, vhost=VHOST):
        credentials = pika.PlainCredentials(user, password or self.broker.password)
        connection = pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", self.broker.port, vhost, credentials)
        )
        self.addCleanup(self.close, connection)
        return connection

    def close(self, connection):
        with contextlib.suppress(AMQPError):  # it has not seen yet that the broker has closed it
            connection.close()

    def publisher(self, **where):
        channel = self.connect(**where).channel()
        channel.confirm_delivery()
        return channel

    def arrival(self):
        return self.arrivals.get(timeout=20)

    def test_a_delivery_is_told_with_its_properties(self):
        self.tell("bind", "chat", "topic", "true", "alice.#")
        self.publisher().basic_publish("chat", "alice.phone", b"\x00hello", PERSISTENT)
        arrival = self.arrival()
        self.assertLess(abs(arrival.pop("received_at_ms") / 1000 - time.time()), 20)
        properties = {"content_type": "application/json", "message_id": "1", "timestamp": 2, "delivery_mode": 2}
        self.assertEqual({"exchange": "chat", "routing_key": "alice.phone", "body": b"\x00hello",
                          "properties": properties, "redelivered": False}, arrival)

    def test_what_finds_no_queue_goes_to_those_of_the_exchange_nevertheless(self):
        self.tell("bind", "chat", "topic", "true", "alice.#")
        self.tell("catch_all", "chat")
        publisher = self.publisher()
        publisher.basic_publish("chat", "alice.phone", b"1", PERSISTENT)
        publisher.basic_publish("chat", "bob.phone", b"2", PERSISTENT)
        self.assertEqual([b"1", b"2"], [self.arrival()["body"], self.arrival()["body"]])
        self.tell("reset")
        self.assertEqual("[]", self.broker.ask("rabbit_policy:list()"))

    def test_exchanges_are_listed_by_type_and_durability(self):
        self.assertEqual("#{}", self.tell("exchanges"))
        self.tell("declare", "chat", "topic", "false")
        self.assertEqual("#{<<99,104,97,116>> => #{durable => false,type => topic}}", self.tell("exchanges"))
        self.tell("await_exchange", "chat")
        self.tell("delete", "chat")
        self.assertEqual("#{}", self.tell("exchanges"))

    def test_a_restart_keeps_what_is_durable_and_its_consumer(self):
        self.tell("bind", "kept", "topic", "true", "#")
        self.tell("bind", "lost", "topic", "false", "#")
        full = self.tell("bind_full", "kept", "#", "10")
        self.publisher().basic_publish("kept", "key", b"before", PERSISTENT)
        self.assertEqual(b"before", self.arrival()["body"])
        self.tell("kill")
        self.assertRaises(AMQPConnectionError, self.connect)
        self.tell("up")
        self.assertEqual(1, self.tell("purge", full))
        self.tell("declare", "lost", "topic", "false")
        self.tell("await_consumers")
        for exchange in "kept", "lost":
            self.publisher().basic_publish(exchange, "key", b"after", PERSISTENT)
            arrival = self.arrival()
            while arrival["redelivered"]:  # the broker may have been killed before it knew what had been consumed
                arrival = self.arrival()
            self.assertEqual((exchange, b"after"), (arrival["exchange"], arrival["body"]))

    def test_an_exchange_that_comes_back_is_bound_again(self):
        self.tell("bind", "chat", "topic", "true", "#")
        self.tell("delete", "chat")
        self.tell("declare", "chat", "topic", "true")
        self.tell("await_consumers")
        self.publisher().basic_publish("chat", "key", b"hello")
        self.assertEqual(b"hello", self.arrival()["body"])

    def test_a_full_queue_refuses_until_it_is_purged(self):
        self.tell("declare", "chat", "topic", "true")
        full, channel = self.tell("bind_full", "chat", "#", "1"), self.publisher()
        channel.basic_publish("chat", "key", b"fits")
        self.assertRaises(NackError, channel.basic_publish, "chat", "key", b"does not fit")
        self.assertEqual(1, self.tell("purge", full))
        channel.basic_publish("chat", "key", b"fits again")

    def test_an_alarm_blocks_who_publishes_until_it_is_over(self):
        self.tell("bind", "chat", "topic", "true", "#")
        channel, told = self.connect().channel(), []
        channel.connection.add_on_connection_blocked_callback(lambda *_: told.append("blocked"))
        channel.connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
        for word, expected in ("block", ["blocked"]), ("unblock", ["blocked", "unblocked"]):
            self.tell(word)
            channel.basic_publish("chat", "key", word.encode())
            deadline = time.monotonic() + 20
            while told != expected and time.monotonic() < deadline:
                channel.connection.process_data_events(1)
            self.assertEqual(expected, told)
        self.assertEqual(b"block", self.arrival()["body"])
        self.assertEqual(b"unblock", self.arrival()["body"])

    def test_users_have_their_password_permissions_and_virtual_host(self):
        self.tell("add_vhost", "other")
        self.tell("add_user", "bob", "first")
        self.tell("permissions", "bob", "other", "", "chat", "")
        self.tell("bind", "chat", "fanout", "false", "", "other")
        self.tell("password", "bob", "second")
        self.assertRaises(ProbableAuthenticationError, self.connect, "bob", "first", "other")
        self.publisher(user="bob", password="second", vhost="other").basic_publish("chat", "", b"hello")
        self.assertEqual(b"hello", self.arrival()["body"])
        self.tell("delete", "chat", "other")

    def test_a_reset_admits_the_user_again(self):
        self.tell("password", USER, "other")
        self.tell("permissions", USER, VHOST, "", "", "")
        self.assertRaises(ProbableAuthenticationError, self.connect)
        self.tell("reset")
        self.publisher().exchange_declare("chat", "topic")

    def test_connections_of_one_user_are_closed_and_consumers_are_spared(self):
        self.tell("bind", "chat", "topic", "true", "#")
        connection = self.connect()
        self.assertEqual("1", self.tell("connections", USER))
        self.assertEqual("1", self.tell("close_connections", USER))
        with self.assertRaises(ConnectionClosed):
            connection.process_data_events(20)
        # The client is told before the broker forgets the connection, and nobody tells of that.
        deadline = time.monotonic() + 20
        while (left := self.tell("connections", USER)) != "0" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual("0", left)
        self.publisher().basic_publish("chat", "key", b"hello")
        self.assertEqual(b"hello", self.arrival()["body"])

    def test_a_user_may_use_some_topics_only(self):
        self.tell("add_user", "topical", "secret")
        self.tell("permissions", "topical", "/", ".*", ".*", ".*")
        self.tell("topic_permissions", "topical", "chat", "^good")
        self.tell("declare", "chat", "topic", "true")
        channel = self.publisher(user="topical", password="secret")
        channel.basic_publish("chat", "good.1", b"")
        with self.assertRaisesRegex(ChannelClosedByBroker, "access to topic 'bad.1' in exchange 'chat'"):
            channel.basic_publish("chat", "bad.1", b"")

    def test_a_user_may_have_some_channels_only(self):
        self.tell("add_user", "narrow", "secret")
        self.tell("permissions", "narrow", "/", ".*", ".*", ".*")
        self.tell("max_channels", "narrow", "2")
        connection = self.connect(user="narrow", password="secret")
        self.assertEqual([connection.channel().is_open for _ in range(2)], [True, True])
        # The broker counts a moment late.
        with self.assertRaisesRegex(ConnectionClosedByBroker, "reached the maximum allowed"):
            for _ in range(100):
                connection.channel()

    def test_a_connection_has_as_many_channels_as_the_broker_says(self):
        self.tell("channel_max", "1")
        connection = self.connect()
        connection.channel()
        with self.assertRaises(NoFreeChannels):
            connection.channel()

    def test_an_exchange_has_what_it_was_declared_with(self):
        for what in ("auto_delete", "internal", "alternate"):
            self.tell("declare_with", what, "topic", "true", what)
            with self.assertRaisesRegex(ChannelClosedByBroker, "PRECONDITION_FAILED"):
                self.connect().channel().exchange_declare(what, "topic", durable=True)

    def test_a_wrong_command_is_an_error_and_nothing_else(self):
        for words in ["unknown"], ["bind"], ["purge", "none"], ["delete", "x", "no vhost"], ["add_user", USER, "x"]:
            self.assertRaises(Exception, self.tell, *words)
        self.assertEqual("#{}", self.tell("exchanges"))


if __name__ == "__main__":
    unittest.main()
