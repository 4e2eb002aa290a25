"""What a node of MongooseIM and its receivers are in the tests of a release: configuration, receivers, arrivals."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parent.parent / "receivers"))

import http_receiver
import rabbit_service
import sns_service
from loopback import free_port
from rabbit_broker import Broker

from mongooseim import Failed

PASSWORD, PATIENCE_SECONDS = "a test's own", 30
TOPICS = {"presence": "presence", "pm": "private-messages", "muc": "room-messages"}
ROOM = "garden@conference.localhost"
SERVICE = "push.example"


class Arrivals:
    """What each receiver has got."""

    def __init__(self):
        self.of = {name: [] for name in ("SNS", "HTTP", "RabbitMQ", "push")}

    def reporter(self, name):
        return lambda message: self.of[name].append(message[1])

    async def find(self, name, what, wanted):
        """Waits until there is one that `wanted` holds for."""
        await self.settle(name, what, lambda messages: any(map(wanted, messages)))

    async def settle(self, name, what, reached):
        """Waits until `reached` holds for all of them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached(self.of[name]):
            if time.monotonic() > deadline:
                raise Failed(f"{name} did not get {what}; it got {len(self.of[name])}: {self.of[name][-5:]}")
            await asyncio.sleep(0.05)
        told(f"{name} got {what}")


def told(text):
    print(f"ok  {text}", flush=True)


def expect(condition, text, seen=""):
    if not condition:
        raise Failed(f"not so: {text}. {seen}")
    told(text)


class Receivers:
    def __init__(self, arrivals):
        self.sns = sns_service.Service("123456789012", "eu-west-1", arrivals.reporter("SNS"))
        self.key = self.sns.user("event-pusher")
        self.endpoint = self.sns.serve(self.key.access_key_id, None)
        # Nobody listens there at first.
        self.second_port = free_port()
        self.second_endpoint = f"http://127.0.0.1:{self.second_port}"
        for topic in TOPICS.values():
            self.sns.topic(topic)
        self.http = http_receiver.Service(arrivals.reporter("HTTP"))
        self.broker = Broker()
        try:
            self.rabbit = rabbit_service.Service(self.broker, arrivals.reporter("RabbitMQ"))
            for exchange in ("presence", "chat_msg", "groupchat_msg"):
                self.rabbit.bind(exchange, "topic", "true", "#")
        except BaseException:
            self.broker.remove()
            raise

    def away(self):
        self.http.down()
        self.rabbit.down()

    def back(self):
        """SNS as well, at the second endpoint."""
        self.sns.serve(self.key.access_key_id, None, self.second_port)
        self.http.up()
        self.rabbit.up()
        self.rabbit.await_consumers()

    def stop(self):
        self.http.down()
        self.broker.remove()


def configuration(receivers, ports, endpoint, more=""):
    """Without more, it has options that MongooseIM's own modules know, too: the same file is for both."""
    return f"""
[general]
  loglevel = "warning"
  hosts = ["localhost"]
  default_server_domain = "localhost"

[[listen.c2s]]
  ip_address = "127.0.0.1"
  port = {ports["c2s"]}
  access = "c2s"
  shaper = "fast"

[[listen.component]]
  ip_address = "127.0.0.1"
  port = {ports["component"]}
  access = "all"
  shaper = "fast"
  password = "{PASSWORD}"

[[listen.http]]
  ip_address = "127.0.0.1"
  port = {ports["metrics"]}
  [[listen.http.handlers.mongoose_prometheus_handler]]
    host = "_"
    path = "/metrics"

[instrumentation.prometheus]

[auth]
  [auth.internal]

[internal_databases.mnesia]

[outgoing_pools.http.http_pool]
  workers = 5
  [outgoing_pools.http.http_pool.connection]
    host = "{receivers.http.url}"

[outgoing_pools.rabbit.event_pusher]
  workers = 2
  [outgoing_pools.rabbit.event_pusher.connection]
    host = "127.0.0.1"
    port = {receivers.broker.port}
    username = "{rabbit_service.USER}"
    password = "{receivers.broker.password}"
    confirms_enabled = true

[modules.mod_disco]
[modules.mod_presence]
[modules.mod_muc]
  host = "conference.@HOST@"

[modules.mod_event_pusher.sns]
  presence_updates_topic = "{TOPICS["presence"]}"
  pm_messages_topic = "{TOPICS["pm"]}"
  muc_messages_topic = "{TOPICS["muc"]}"
  sns_host = "{endpoint}"
  region = "eu-west-1"
  access_key_id = "{receivers.key.access_key_id}"
  secret_access_key = "{receivers.key.secret_access_key}"
  account_id = "123456789012"

[[modules.mod_event_pusher.http.handlers]]
  path = "/notifications"

[modules.mod_event_pusher.rabbit.presence_exchange]
  durable = true
[modules.mod_event_pusher.rabbit.chat_msg_exchange]
  durable = true
[modules.mod_event_pusher.rabbit.groupchat_msg_exchange]
  durable = true

[modules.mod_event_pusher.push]
{more}
[shaper.fast]
  max_rate = 5_000_000

[acl]
  local = [{{}}]

[access]
  c2s = [{{acl = "all", value = "allow"}}]
  all = [{{acl = "all", value = "allow"}}]
  muc_create = [{{acl = "local", value = "allow"}}]
  muc = [{{acl = "all", value = "allow"}}]
  muc_admin = [{{acl = "local", value = "allow"}}]

[s2s]
  default_policy = "deny"
"""


def fields(message):
    return json.loads(message["body"])


def form(message):
    return {
        name: values[0]
        for name, values in parse_qs(
            message["body"].decode() if isinstance(message["body"], bytes) else message["body"]
        ).items()
    }


def script(package, *words):
    done = subprocess.run([package / "event-pusher", *words], capture_output=True, text=True)
    print("".join(f"      {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="")
    expect(done.returncode == 0, f"event-pusher {words[0]} succeeds", f"status {done.returncode}")


async def reach(ports, metric, wanted):
    """Waits until the server's metric is as wanted for each type of pool."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := {name: of_pools(ports, metric, name) for name in wanted}) != wanted:
        if time.monotonic() > deadline:
            raise Failed(f"{metric} should be {wanted}, but is {seen}")
        await asyncio.sleep(0.2)
    told(f"{metric}: {', '.join(f'{name} {count}' for name, count in wanted.items())}")


def of_pools(ports, metric, pool_type):
    """What the pools of a type have together, None if there is no such metric."""
    with urlopen(f"http://127.0.0.1:{ports['metrics']}/metrics", timeout=PATIENCE_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    values = [
        int(line.split()[-1])
        for line in lines
        if line.startswith(f"{metric}{{") and f'pool_type="{pool_type}"' in line
    ]
    return sum(values) if values else None
