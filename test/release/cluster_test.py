"""Two copies of a MongooseIM release, each with the package, as one cluster with users on both nodes.

    python cluster_test.py PACKAGE MONGOOSEIM

PACKAGE is a folder that `make package` has packed, MONGOOSEIM a release. The nodes share their receivers. Each event
has to arrive once, from the pools of the node where it happened; also while a node is away, and after it is back.
"""

import asyncio
import logging
import os
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
    told,
)

ALICE, BOB = "alice@localhost", "bob@localhost"
POOLS = ("sns", "http", "rabbit")


class Node:
    """A copy of the release with the package, and how many events its pools have delivered."""

    def __init__(self, original, folder, package, receivers, beside=None):
        self.ports = {name: free_port() for name in ("c2s", "component", "metrics")}
        epmd = beside.release.env["ERL_EPMD_PORT"] if beside else free_port()
        os.mkdir(folder)
        self.release = Release(original, folder, epmd, beside and beside.release.cookie)
        self.release.configure(configuration(receivers, self.ports, receivers.endpoint))
        self.delivered = dict.fromkeys(POOLS, 0)
        script(package, "install", "--release", str(self.release.root))

    async def has_delivered(self, **more):
        """Waits until its pools have delivered so many more, and nothing else."""
        self.delivered = {pool: count + more.get(pool, 0) for pool, count in self.delivered.items()}
        await reach(self.ports, "event_pusher_events_delivered", self.delivered)
        for level in ("events", "in_flight"):
            await reach(self.ports, f"event_pusher_queue_{level}", dict.fromkeys(POOLS, 0))

    def is_new(self):
        """It counts from the start."""
        self.delivered = dict.fromkeys(POOLS, 0)


def texts(arrivals):
    """Each message that has arrived: the receiver, what kind of event it was, and its text."""
    for message in arrivals.of["SNS"]:
        yield "SNS", message["topic"], fields(message).get("message")
    for message in arrivals.of["HTTP"]:
        yield "HTTP", message["path"], form(message)["message"]
    for message in arrivals.of["RabbitMQ"]:
        yield "RabbitMQ", message["routing_key"], fields(message).get("message")


def once(arrivals, text, wanted):
    seen = sorted((receiver, kind) for receiver, kind, found in texts(arrivals) if found == text)
    expect(seen == sorted(wanted), f"'{text}' has arrived once wherever it should", seen)


def of_chat(sender, recipient):
    return [
        ("SNS", TOPICS["pm"]),
        ("HTTP", "/notifications"),
        ("RabbitMQ", f"{sender}.chat_msg_sent"),
        ("RabbitMQ", f"{recipient}.chat_msg_recv"),
    ]


async def chats(arrivals, sender, recipient, text):
    """A message from a client on one node to a client on another: both its events are of the sender's node."""
    (client, node), (other, its_node) = sender, recipient
    client.send_message(mto=other.boundjid.full, mbody=text, mtype="chat")
    await node.has_delivered(sns=1, http=1, rabbit=2)
    await its_node.has_delivered()
    once(arrivals, text, of_chat(client.boundjid.bare, other.boundjid.bare))


async def login(user, node):
    client = await chat.login(user, "phone", PASSWORD, node.ports["c2s"])
    await node.has_delivered(sns=1, rabbit=1)
    return client


async def rooms(arrivals, alice, first, bob, second):
    """A room lives on the node where it was made, and has occupants on both."""
    answer = await chat.open_room(alice, ROOM, "Alice")
    expect(answer == ("result", None), "alice can open a room", answer)
    await bob.plugin["xep_0045"].join_muc_wait(ROOM, "Bob", timeout=chat.PATIENCE_SECONDS)
    # Each occupant is told the subject, which is empty.
    await first.has_delivered(rabbit=2)
    bob.send_message(mto=ROOM, mbody="to the room", mtype="groupchat")
    # It is sent, and the room receives it.
    await second.has_delivered(sns=1, rabbit=2)
    await first.has_delivered(rabbit=2)
    wanted = [
        ("SNS", TOPICS["muc"]),
        ("RabbitMQ", f"{BOB}.groupchat_msg_sent"),
        ("RabbitMQ", f"{ROOM}.groupchat_msg_recv"),
        ("RabbitMQ", f"{ALICE}.groupchat_msg_recv"),
        ("RabbitMQ", f"{BOB}.groupchat_msg_recv"),
    ]
    once(arrivals, "to the room", wanted)


async def notifies(arrivals, alice, node, text):
    """Bob has a device and is away; who writes to him is told nothing of where it was registered."""
    alice.send_message(mto=BOB, mbody=text, mtype="chat")
    await arrivals.settle(
        "push", f"'{text}' once", lambda iqs: [text in iq.itertext() for iq in iqs].count(True) == 1
    )
    await node.has_delivered(sns=1, http=1, rabbit=2)


async def talk(arrivals, first, second):
    push = await chat.push_service(SERVICE, PASSWORD, first.ports["component"], arrivals.of["push"].append)
    alice, bob = await login("alice", first), await login("bob", second)
    await chats(arrivals, (alice, first), (bob, second), "from the first node")
    await chats(arrivals, (bob, second), (alice, first), "from the second node")
    await rooms(arrivals, alice, first, bob, second)
    answer = await chat.request(bob, "set", chat.enable(SERVICE, "phone"))
    expect(answer == ("result", None), "a device can register on the second node", answer)

    second.release.kill()
    bob.abort()
    told("the second node is killed")
    await notifies(arrivals, alice, first, "while a node is away")

    second.release.boot()
    second.is_new()
    told("the second node is back")
    bob = await login("bob", second)
    await chats(arrivals, (alice, first), (bob, second), "to who is back")
    await chats(arrivals, (bob, second), (alice, first), "from who is back")
    await chat.leave(alice, bob, push)


def run(package, original):
    arrivals = Arrivals()
    nodes = []
    with tempfile.TemporaryDirectory(prefix="cluster-test-") as folder:
        os.chmod(folder, 0o755)
        receivers = Receivers(arrivals)
        try:
            nodes.append(Node(original, f"{folder}/first", package, receivers))
            nodes.append(Node(original, f"{folder}/second", package, receivers, nodes[0]))
            first, second = nodes
            print(f"    MongooseIM {first.release.version}, erts {first.release.erts}")
            first.release.boot()
            second.release.boot()
            second.release.ctl("join_cluster", first.release.node, "-f")
            running = first.release.ask("length(mnesia:system_info(running_db_nodes))")
            expect(running == "2", "two nodes are one cluster", running)
            for user in ("alice", "bob"):
                first.release.register(user, PASSWORD)
            asyncio.run(talk(arrivals, first, second))
        finally:
            for node in reversed(nodes):
                node.release.stop()
            receivers.stop()


def main():
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    package, original = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    try:
        run(package, original)
    except Failed as failure:
        print(f"FAILED  {failure}")
        return 1
    print("cluster-test: passed")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the threads that serve have nothing to put in order
