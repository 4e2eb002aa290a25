"""Reads requests as receivers of webhooks do, with the libraries that these have.

    python webhook_reader.py

It speaks with its parent as `erlang_port` says. First {ready, #{}}; then an answer to each command. A request is its
body in Base64, and a word for the name and one for the value of each of its headers:

    verify SECRET REQUEST        -> ok | {refused, Text}     by the Python library of Standard Webhooks
"""

import base64
import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from erlang_port import parent, serve_commands
from erlang_term import Atom, atoms

OK = Atom("ok")


def request(body, *headers):
    names, values = headers[::2], headers[1::2]
    return base64.b64decode(body), dict(zip(names, values, strict=True))


def verify(secret, body, headers):
    try:
        # What the body is does not matter to a signature; by itself, the library reads it as JSON.
        Webhook(secret).verify(body, headers, json_parse=False)
    except WebhookVerificationError as error:
        return (Atom("refused"), str(error))
    return OK


def command(words):
    match words:
        case ["verify", secret, *rest]:
            return verify(secret, *request(*rest))
        case _:
            raise ValueError(f"unknown command: {' '.join(words)}")


def main():
    report = parent()
    report((Atom("ready"), atoms()))
    serve_commands(report, command)
    os._exit(0)


if __name__ == "__main__":
    main()
