"""Reads requests as receivers of webhooks do, with the libraries that these have.

    python webhook_reader.py

It speaks with its parent as `erlang_port` says. First {ready, #{}}; then an answer to each command. A request is its
body in Base64, and a word for the name and one for the value of each of its headers:

    verify SECRET REQUEST  -> ok | {refused, Text}              by the Python library of Standard Webhooks
    document REQUEST       -> {ok, Document} | {refused, Text}  a JSON document by its schema, without unknown fields
    cloudevent REQUEST     -> {ok, Attributes, Document} | {refused, Text}  by the Python library of CloudEvents

Schemas are those in docs/schemas, named by their files.
"""

import base64
import json
import os
from datetime import datetime
from pathlib import Path

from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from erlang_port import parent, serve_commands
from erlang_term import Atom, atoms

OK, REFUSED = Atom("ok"), Atom("refused")
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parents[2].glob("docs/schemas/*.json")}
REGISTRY = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values())


class Refused(Exception):
    pass


def request(body, *headers):
    names, values = headers[::2], headers[1::2]
    return base64.b64decode(body), dict(zip(names, values, strict=True))


def verify(secret, body, headers):
    try:
        # What the body is does not matter to a signature; by itself, the library reads it as JSON.
        Webhook(secret).verify(body, headers, json_parse=False)
    except WebhookVerificationError as error:
        raise Refused(str(error)) from error
    return OK


def document(body):
    return OK, fitting("event-1", json.loads(body))


def cloudevent(body, headers):
    """The library goes by headers `ce-*`, and makes up an id, a time and a version where there are none; what counts is
    the content type, https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3-http-message-mapping"""
    message = HTTPMessage(headers, body)
    if headers["content-type"].startswith("application/cloudevents"):
        given = fitting("cloudevent-1", json.loads(body)).keys() - {"data"}
        event = from_structured(message, JSONFormat())
    else:
        given = {name.removeprefix("ce-") for name in headers if name.startswith("ce-")} | {"datacontenttype"}
        event = from_binary(message, JSONFormat())
    attributes = {name: text(value) for name, value in event.get_attributes().items()}
    if made_up := attributes.keys() - given:
        raise Refused(f"without {', '.join(sorted(made_up))}")
    return OK, attributes, fitting("event-1", event.get_data())


def text(value):
    return value.isoformat() if isinstance(value, datetime) else value


def fitting(name, value):
    """The value, if it is as its schema says and has nothing that the schema does not describe."""
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, registry=REGISTRY, format_checker=FormatChecker())
    if errors := [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]:
        raise Refused("; ".join(errors))
    if unknown := value.keys() - schema["properties"].keys():
        raise Refused(f"unknown: {', '.join(sorted(unknown))}")
    return value


def answer(words):
    match words:
        case ["verify", secret, *rest]:
            return verify(secret, *request(*rest))
        case ["document", *rest]:
            return document(request(*rest)[0])
        case ["cloudevent", *rest]:
            return cloudevent(*request(*rest))
        case _:
            raise ValueError(f"unknown command: {' '.join(words)}")


def command(words):
    try:
        return answer(words)
    except Refused as refused:
        return REFUSED, str(refused)


def main():
    report = parent()
    report((Atom("ready"), atoms()))
    serve_commands(report, command)
    os._exit(0)


if __name__ == "__main__":
    main()
