"""Drops the package into a copy of a MongooseIM release, boots it, and talks to it with real XMPP clients.

    python release_test.py PACKAGE MONGOOSEIM

PACKAGE is a folder that `make package` has packed, MONGOOSEIM a release. Receivers are those of the other tests: moto
that verifies signatures, an HTTP receiver, RabbitMQ; and a component for push notifications. All listen on loopback.
Each line tells what was seen. The status is 0 if all of it was as it should be.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
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

import chat
from mongooseim import Failed, Release

PASSWORD, PATIENCE_SECONDS = "a test's own", 30
WAITING = [f"waits {number}" for number in range(20)]
DISCREET = "not to be stored"
METADATA = {"tenant": "acme", "level": 3, "urgent": False, "weight": 0.5}
TOPICS = {"presence": "presence", "pm": "private-messages", "muc": "room-messages"}
ODD = 'Hi <Bob> & "all" \u2615 \U0001f36a \u0414\u0432\u0435\u0440\u044c'
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


def spool(folder):
    """Without the retries by age, the outage would cost the first events."""
    tries = "".join(
        f"[modules.mod_event_pusher.{backend}.retry]\n  max_age_ms = 3600000\n" for backend in ("sns", "http", "rabbit")
    )
    return f'[modules.mod_event_pusher.spool]\n  dir = "{folder}"\n{tries}'


RULES = """
[[modules.mod_event_pusher.rules]]
  hosts = ["local*"]
  from = ["Alice@localhost"]
  hints = ["no-store"]
  action = "drop"

[[modules.mod_event_pusher.rules]]
  events = ["chat_sent"]
  to = ["*@localhost", "example.com"]
  recipient = "offline"
  has_body = true
  backends = ["sns", "http", "rabbit"]
  metadata = {tenant = "acme", level = 3}
  metadata_booleans = {urgent = false}
  metadata_floats = {weight = 0.5}
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


async def talk(release, arrivals, ports):
    """Login, presence, chat, a room, a device that registers, an offline message, modules that start again."""
    push = await chat.push_service(SERVICE, PASSWORD, ports["component"], arrivals.of["push"].append)
    alice = await chat.login("alice", "phone", PASSWORD, ports["c2s"])
    bob = await chat.login("bob", "laptop", PASSWORD, ports["c2s"])
    for user, full in (("alice@localhost", "alice@localhost/phone"), ("bob@localhost", "bob@localhost/laptop")):
        await arrivals.find(
            "SNS",
            f"presence of {user}",
            lambda m: m["topic"] == TOPICS["presence"] and fields(m) == {"user_id": user, "present": True},
        )
        await arrivals.find(
            "RabbitMQ",
            f"presence of {user}",
            lambda m: m["routing_key"] == user and fields(m) == {"user_id": full, "present": True},
        )

    alice.send_message(mto="bob@localhost/laptop", mbody=ODD, mtype="chat")
    message = {"from_user_id": "alice@localhost/phone", "to_user_id": "bob@localhost/laptop", "message": ODD}
    await arrivals.find(
        "SNS",
        "the message with odd characters",
        lambda m: m["topic"] == TOPICS["pm"]
        and fields(m) == {"from_user_id": "alice@localhost", "to_user_id": "bob@localhost", "message": ODD},
    )
    await arrivals.find(
        "HTTP",
        "the message with odd characters",
        lambda m: m["path"] == "/notifications"
        and form(m) == {"author": "alice", "server": "localhost", "receiver": "bob", "message": ODD},
    )
    for key in ("alice@localhost.chat_msg_sent", "bob@localhost.chat_msg_recv"):
        await arrivals.find(
            "RabbitMQ",
            f"the message with odd characters as {key}",
            lambda m: m["routing_key"] == key and fields(m) == message,
        )

    answer = await chat.open_room(alice, ROOM, "Alice")
    expect(answer == ("result", None), "alice can open a room", answer)
    alice.send_message(mto=ROOM, mbody="Who else?", mtype="groupchat")
    await arrivals.find(
        "SNS",
        "the message in a room",
        lambda m: m["topic"] == TOPICS["muc"]
        and fields(m) == {"from_user_id": "alice@localhost", "to_user_id": ROOM, "message": "Who else?"},
    )
    await arrivals.find(
        "RabbitMQ",
        "the message in a room, sent",
        lambda m: m["routing_key"] == "alice@localhost.groupchat_msg_sent" and fields(m)["message"] == "Who else?",
    )
    await arrivals.find(
        "RabbitMQ",
        "the message in a room, received",
        lambda m: m["routing_key"] == "alice@localhost.groupchat_msg_recv"
        and fields(m)["from_user_id"] == f"{ROOM}/Alice",
    )

    answer = await chat.request(bob, "set", f"<enable xmlns='{chat.PUSH}' jid='{SERVICE}'/>")
    expect(answer == ("error", "bad-request"), "a registration without a node is refused", answer)
    answer = await chat.request(bob, "set", chat.enable(SERVICE, "bob's phone".replace("'", "&apos;")))
    expect(answer == ("result", None), "a device can register for push notifications", answer)
    await chat.leave(bob)
    await arrivals.find(
        "SNS",
        "that bob is offline",
        lambda m: m["topic"] == TOPICS["presence"] and fields(m) == {"user_id": "bob@localhost", "present": False},
    )
    alice.send_message(mto="bob@localhost", mbody=ODD, mtype="chat")
    await arrivals.find("push", "the message to a user who is offline", is_notification)

    restart_modules(release)
    alice.send_message(mto="bob@localhost", mbody="again", mtype="chat")
    await arrivals.find(
        "SNS", "a message after the restart", lambda m: m["topic"] == TOPICS["pm"] and fields(m)["message"] == "again"
    )
    await arrivals.find("HTTP", "a message after the restart", lambda m: form(m)["message"] == "again")
    await arrivals.find("RabbitMQ", "a message after the restart", lambda m: fields(m).get("message") == "again")
    await arrivals.find("push", "a message after the restart", lambda iq: "again" in iq.itertext())
    await chat.leave(alice, push)


async def crash_while_all_are_away(release, arrivals, receivers, ports):
    """What waits for receivers is on disk when the node is killed; the next node delivers it."""
    release.boot()
    receivers.away()
    alice = await chat.login("alice", "phone", PASSWORD, ports["c2s"])
    chat.send_discreetly(alice, "bob@localhost", DISCREET)
    for text in WAITING:
        alice.send_message(mto="bob@localhost", mbody=text, mtype="chat")
    # SNS and RabbitMQ are also told of her presence, and RabbitMQ of both ends of each message.
    waiting = {"sns": len(WAITING) + 1, "http": len(WAITING), "rabbit": 2 * len(WAITING) + 1}
    await reach(ports, "event_pusher_spool_events", waiting)
    release.kill()
    alice.abort()

    receivers.back()
    release.boot()
    await reach(ports, "event_pusher_spool_restored", waiting)
    texts = {
        "SNS": lambda m: fields(m).get("message"),
        "HTTP": lambda m: form(m)["message"],
        "RabbitMQ": lambda m: m["routing_key"] == "alice@localhost.chat_msg_sent" and fields(m)["message"],
    }
    for name, text in texts.items():
        await arrivals.settle(name, "all that was on disk", lambda messages: set(WAITING) <= set(map(text, messages)))
    # At least once: only the first of each has to be in order.
    arrived = [text for text in dict.fromkeys(map(texts["RabbitMQ"], arrivals.of["RabbitMQ"])) if text in WAITING]
    expect(arrived == WAITING, "RabbitMQ got it in the order in which it was sent", arrived)
    sent = [fields(m) for m in arrivals.of["RabbitMQ"] if texts["RabbitMQ"](m) in WAITING]
    expect(all(METADATA.items() <= of.items() for of in sent), "with the metadata of a rule", sent[:2])
    discreet = [name for name, text in texts.items() if DISCREET in map(text, arrivals.of[name])]
    expect(discreet == [], "nobody got what a rule drops", discreet)
    await reach(ports, "event_pusher_spool_events", dict.fromkeys(waiting, 0))


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


def is_notification(iq):
    publish = iq.find(".//{http://jabber.org/protocol/pubsub}publish")
    values = {field.get("var"): "".join(field.itertext()) for field in iq.iter("{jabber:x:data}field")}
    return publish.get("node") == "bob's phone" and values == {
        "FORM_TYPE": "urn:xmpp:push:summary",
        "message-count": "1",
        "last-message-sender": "alice@localhost",
        "last-message-body": ODD,
    }


def restart_modules(release):
    """Through the interface that the server has for it."""
    names = [
        "mod_event_pusher_sns",
        "mod_event_pusher_http",
        "mod_event_pusher_rabbit",
        "mod_event_pusher_push",
        "mod_event_pusher",
    ]
    seen = release.ask(
        '[begin Opts = gen_mod:get_module_opts(<<"localhost">>, Module),'
        ' {stopped, _} = mongoose_modules:ensure_stopped(<<"localhost">>, Module),'
        ' element(1, mongoose_modules:ensure_started(<<"localhost">>, Module, Opts))'
        f" end || Module <- [{', '.join(names)}]]"
    )
    expect(seen == f"[{','.join(['started'] * len(names))}]", "the node starts the modules again", seen)


def loaded_from(release):
    return release.ask("code:which(mod_event_pusher)")


def script(package, *words):
    done = subprocess.run([package / "event-pusher", *words], capture_output=True, text=True)
    print("".join(f"      {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="")
    expect(done.returncode == 0, f"event-pusher {words[0]} succeeds", f"status {done.returncode}")


def script_refuses(package, reason, *words):
    done = subprocess.run([package / "event-pusher", *words], capture_output=True, text=True)
    expect(
        done.returncode == 1 and reason in done.stdout,
        f"event-pusher {words[0]} fails with: {reason}",
        f"status {done.returncode}: {done.stdout}{done.stderr}",
    )


def run(package, original):
    arrivals = Arrivals()
    with tempfile.TemporaryDirectory(prefix="release-test-") as folder:
        os.chmod(folder, 0o755)
        release = Release(original, folder, free_port())
        receivers = Receivers(arrivals)
        try:
            ports = {name: free_port() for name in ("c2s", "component", "metrics")}
            ordinary = configuration(receivers, ports, receivers.endpoint)
            release.configure(ordinary)
            print(f"    MongooseIM {release.version}, erts {release.erts}")
            untouched = release.digest()
            script(package, "install", "--release", str(release.root))
            script(package, "check", "--release", str(release.root))
            release.boot()
            expect(
                "/lib/event_pusher-" in (found := loaded_from(release)),
                "the node runs the modules of the package",
                found,
            )
            for user in ("alice", "bob"):
                release.register(user, PASSWORD)
            asyncio.run(talk(release, arrivals, ports))
            release.stop()
            durable = lambda kept: configuration(receivers, ports, receivers.second_endpoint, spool(kept) + RULES)
            release.configure(durable("kept"))
            reason = 'spool.dir: must be an absolute path, got "kept"'
            script_refuses(package, reason, "check", "--release", str(release.root))
            release.configure(durable(f"{folder}/kept"))
            script(package, "check", "--release", str(release.root))
            asyncio.run(crash_while_all_are_away(release, arrivals, receivers, ports))
            release.stop()
            release.configure(ordinary)
            script(package, "uninstall", "--release", str(release.root))
            expect(release.digest() == untouched, "the release is as it was")
            release.boot()
            expect("/lib/mongooseim-" in (found := loaded_from(release)), "the node runs its own modules again", found)
        finally:
            release.stop()
            receivers.stop()


def main():
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    package, original = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    try:
        run(package, original)
    except Failed as failure:
        print(f"FAILED  {failure}")
        return 1
    print("release-test: passed")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the threads that serve have nothing to put in order
