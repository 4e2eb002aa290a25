"""An HTTP/1.1 server on loopback for tests and the demo: tells every request at once and answers as it is asked to.

    python http_receiver.py [--cert FILE --key FILE]

It speaks with its parent as `erlang_port` says. First, when requests are served, {ready, #{url}}; then one term for
each request, when its body is complete and before it is answered, and one answer per command, in order:

    {message, #{method, path, headers => [{Name, Value}], body, received_at_ms}}.      names of headers in lower case
    answer STATUS [RETRY_AFTER]  -> ok         what a request gets from now on, at first 200
    answer_path PREFIX STATUS    -> ok         what a request gets whose path begins so; the longest prefix wins
    script STATUS ...            -> ok         what the next requests get, one by one, except those of a prefix
    hold PREFIX                  -> ok         requests whose path begins so get no answer
    release                      -> ok         until now
    down                         -> ok         every connection is cut, new ones are refused
    up                           -> ok         at the same port
    max_in_flight                -> Number     the most requests that were without an answer at a time
    count                        -> Number     requests that came
    reset                        -> ok         as at the start: nothing scripted, held or counted; up if it was down

What a request gets is decided when it comes. A body needs a Content-Length; a chunked one is refused with 411.
"""

import argparse
import contextlib
import os
import socket
import ssl
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from erlang_port import parent, serve_commands
from erlang_term import Atom, atoms
from loopback import free_port

OK = Atom("ok")


class Plan:
    """What requests get, and how many there are."""

    def __init__(self):
        self.changed, self.in_flight = threading.Condition(), 0
        self.reset()

    def reset(self):
        with self.changed:
            self.standing, self.of_paths, self.script, self.held = (200, None), {}, deque(), set()
            self.max_in_flight, self.count = self.in_flight, 0
            self.changed.notify_all()

    def answer(self, status, retry_after=None):
        with self.changed:
            self.standing = (status, retry_after)

    def answer_path(self, prefix, status):
        with self.changed:
            self.of_paths[prefix] = (status, None)

    def answer_next(self, statuses):
        with self.changed:
            self.script.extend((status, None) for status in statuses)

    def hold(self, prefix):
        with self.changed:
            self.held.add(prefix)

    def release(self):
        with self.changed:
            self.held.clear()
            self.changed.notify_all()

    @contextlib.contextmanager
    def request(self, path):
        """A request that is in flight, until just before its answer: that may bring the next one at once."""
        with self.changed:
            self.count += 1
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            answer = self._answer(path)
        try:
            yield answer
        finally:
            with self.changed:
                self.in_flight -= 1

    def _answer(self, path):
        if prefixes := [prefix for prefix in self.of_paths if path.startswith(prefix)]:
            return self.of_paths[max(prefixes, key=len)]
        return self.script.popleft() if self.script else self.standing

    def wait_while_held(self, path, is_cut):
        with self.changed:
            self.changed.wait_for(lambda: is_cut() or not any(map(path.startswith, self.held)))


class Service:
    """The plan, and the server that follows it."""

    def __init__(self, report, tls=None):
        """tls: the names of a certificate file and a key file."""
        self.report, self.plan, self.port, self.server = report, Plan(), free_port(), None
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
        if tls:
            self.context.load_cert_chain(*tls)
        self.up()

    def up(self):
        if not self.server:
            self.server = Server(self)
            threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server.cut()
            self.server = None

    def reset(self):
        self.plan.reset()
        self.up()


class Server(ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 512

    def __init__(self, service):
        self.service, self.connections, self.is_cut = service, set(), False
        super().__init__(("127.0.0.1", service.port), Handler)

    def get_request(self):
        connection, address = super().get_request()
        if self.service.context:
            # The handshake waits for the client, so it belongs to the connection's own thread.
            connection = self.service.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self.service.plan.changed:
            self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request):
        with self.service.plan.changed:
            self.connections.discard(request)
        super().shutdown_request(request)

    def cut(self):
        with self.service.plan.changed:
            self.is_cut = True
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    # The socket's own shutdown, without a farewell of TLS.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self.service.plan.changed.notify_all()

    def handle_error(self, request, client_address):
        pass  # a client that breaks off is nobody's error


class Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def setup(self):
        if self.server.service.context:
            self.request.do_handshake()
        super().setup()

    def _serve(self):
        received_at_ms = time.time_ns() // 1_000_000
        if "Transfer-Encoding" in self.headers:
            return self.send_error(411)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service = self.server.service
        with service.plan.request(self.path) as (status, retry_after):
            service.report((Atom("message"), self._message(body, received_at_ms)))
            service.plan.wait_while_held(self.path, lambda: self.server.is_cut)
        if self.server.is_cut:
            self.close_connection = True
        else:
            self._answer(status, retry_after)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _message(self, body, received_at_ms):
        headers = [(name.lower(), value.encode("latin-1")) for name, value in self.headers.items()]
        return atoms(method=self.command, path=self.path, headers=headers, body=body, received_at_ms=received_at_ms)

    def _answer(self, status, retry_after):
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", "0")
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()

    def log_message(self, *_):
        pass


def command(service, words):
    plan = service.plan
    match words:
        case ["answer", status, *retry_after] if len(retry_after) <= 1:
            plan.answer(int(status), *retry_after)
        case ["answer_path", prefix, status]:
            plan.answer_path(prefix, int(status))
        case ["script", *statuses]:
            plan.answer_next(map(int, statuses))
        case ["hold", prefix]:
            plan.hold(prefix)
        case ["release" | "down" | "up" | "reset" as word]:
            {"release": plan.release, "down": service.down, "up": service.up, "reset": service.reset}[word]()
        case ["max_in_flight"]:
            return plan.max_in_flight
        case ["count"]:
            return plan.count
        case _:
            raise ValueError(f"unknown command: {' '.join(words)}")
    return OK


def arguments():
    parser = argparse.ArgumentParser(description="An HTTP server on loopback, for an Erlang port or a shell")
    parser.add_argument("--cert", help="serve TLS with this certificate file")
    parser.add_argument("--key", help="the certificate's private key file")
    return parser.parse_args()


def main():
    options, report = arguments(), parent()
    service = Service(report, (options.cert, options.key) if options.cert else None)
    report((Atom("ready"), atoms(url=service.url)))
    serve_commands(report, lambda words: command(service, words))
    os._exit(0)  # threads may still hold a request, and there is nothing to put in order


if __name__ == "__main__":
    main()
