"""Drops the package into a copy of a MongooseIM release, boots it, and talks to it with real XMPP clients.

    python release_test.py PACKAGE MONGOOSEIM

PACKAGE is a folder that `make package` has packed, MONGOOSEIM a release. Receivers are those of the other tests: moto
that verifies signatures, an HTTP receiver, RabbitMQ; and a component for push notifications. All listen on loopback.
Each line tells what was seen. The status is 0 if all of it was as it should be.
"""

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import chat
from mongooseim import Failed, Release
from scene import (
    PASSWORD,
    ROOM,
    SERVICE,
    TOPICS,
    Arrivals,
    Receivers,
    configuration,
    expect,
    fields,
    form,
    free_port,
    reach,
    script,
)

WAITING = [f"waits {number}" for number in range(20)]
DISCREET = "not to be stored"
METADATA = {"tenant": "acme", "level": 3, "urgent": False, "weight": 0.5}
ODD = 'Hi <Bob> & "all" \u2615 \U0001f36a \u0414\u0432\u0435\u0440\u044c'


def spool(folder):
    return f'[modules.mod_event_pusher.spool]\n  dir = "{folder}"\n'


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
