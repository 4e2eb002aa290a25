"""Ports for receivers that go down and come back at the same place.

The system gives outgoing connections a port of its own range, 32768 and above by default. A receiver that is down must
not have its port there: someone who keeps trying to connect may get that very port to connect from, and then reaches
himself, and keeps the receiver from coming back.
"""

import random
import socket

BELOW_THE_RANGE_OF_THE_SYSTEM = range(20000, 32768)


def free_port():
    while True:
        port = random.choice(BELOW_THE_RANGE_OF_THE_SYSTEM)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
