"""What the reader of webhooks makes of requests: `python -m unittest` in this folder."""

import base64
import json
import re
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

from standardwebhooks.webhooks import Webhook

from webhook_reader import command

SECRET = "whsec_" + base64.b64encode(b"a" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"b" * 24).decode()
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
TIME = "2026-11-30T12:00:00.123456Z"
DOCUMENT = {
    "version": 1,
    "id": ID,
    "time": TIME,
    "event": "message.sent",
    "host": "localhost",
    "from": "alice@localhost/phone",
    "to": "garden@muc.localhost",
    "type": "groupchat",
    "direction": "in",
    "body": "Hi",
    "room": "garden@muc.localhost",
}
HEADERS = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": ID,
    "ce-source": "xmpp:%25C5%25BC",
    "ce-type": "event_pusher.message.sent",
    "ce-subject": "%C5%BC@localhost",
    "ce-time": TIME,
}


def read(word, body, headers, *more):
    words = [part for pair in headers.items() for part in pair]
    return command([word, *more, base64.b64encode(body).decode(), *words])


def document(**changes):
    return {name: value for name, value in (DOCUMENT | changes).items() if value is not None}


class Signatures(unittest.TestCase):
    def verify(self, body, secret=SECRET, age=timedelta(), **more):
        at = datetime.now(tz=timezone.utc) - age
        signature = Webhook(SECRET).sign("msg_1", at, "a=b&c=%20")
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
        return read("verify", body, headers | more, secret)

    def test_a_request_is_verified_whatever_its_body_is(self):
        self.assertEqual("ok", self.verify(b"a=b&c=%20"))

    def test_another_body_secret_id_or_time_is_refused(self):
        for refused in (
            self.verify(b"a=b&c=+"),
            self.verify(b"a=b&c=%20", secret=OTHER),
            self.verify(b"a=b&c=%20", **{"webhook-id": "msg_2"}),
        ):
            self.assertEqual(("refused", "No matching signature found"), refused)
        self.assertEqual(("refused", "Message timestamp too old"), self.verify(b"a=b&c=%20", age=timedelta(hours=1)))


class Documents(unittest.TestCase):
    def read(self, **changes):
        return read("document", json.dumps(document(**changes)).encode(), {})

    def test_a_document_is_read_by_its_schema(self):
        self.assertEqual(("ok", DOCUMENT), self.read())
        for event in ("presence.online", "message.unacknowledged"):
            few = {"event": event, **dict.fromkeys(("type", "direction", "body", "room"))}
            lacking = {"to": None} if event == "presence.online" else {"from": None}
            self.assertEqual("ok", self.read(**few, **lacking)[0])

    def test_the_example_of_the_documentation_is_a_document(self):
        page = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
        example = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
        self.assertEqual(("ok", json.loads(example)), read("document", example.encode(), {}))

    def test_what_is_not_as_the_schema_says_is_refused(self):
        for changes in (
            {"version": 2},
            {"id": None},
            {"id": "1"},
            {"time": "2026-11-30 12:00:00"},
            {"event": "message.read"},
            {"from": None},
            {"direction": None},
            {"room": None},
            {"type": "chat"},
            {"event": "message.unacknowledged"},
            {"event": "presence.online"},
            {"metadata": {}},
            {"metadata": {"a": {}}},
            {"more": 1},
        ):
            self.assertEqual("refused", self.read(**changes)[0], changes)


class CloudEvents(unittest.TestCase):
    def binary(self, **changes):
        headers = {name: value for name, value in (HEADERS | changes).items() if value}
        return read("cloudevent", json.dumps(DOCUMENT).encode(), headers)

    def structured(self, **changes):
        attributes = {name.removeprefix("ce-"): value for name, value in HEADERS.items() if name.startswith("ce-")}
        event = attributes | {"datacontenttype": "application/json", "data": DOCUMENT} | changes
        body = json.dumps({name: value for name, value in event.items() if value}).encode()
        return read("cloudevent", body, {"content-type": "application/cloudevents+json"})

    def test_an_event_is_read_in_both_modes(self):
        for name, (ok, attributes, data) in (("binary", self.binary()), ("structured", self.structured())):
            self.assertEqual(("ok", DOCUMENT, ID), (ok, data, attributes["id"]), name)
            self.assertEqual(datetime.fromisoformat(TIME), datetime.fromisoformat(attributes["time"]))
        self.assertEqual(("xmpp:%C5%BC", "\u017c@localhost"), tuple(self.binary()[1][k] for k in ("source", "subject")))

    def test_what_the_library_would_make_up_is_refused(self):
        for lacking in ("id", "time", "specversion"):
            self.assertEqual(("refused", f"without {lacking}"), self.binary(**{f"ce-{lacking}": None}))
            self.assertEqual("refused", self.structured(**{lacking: None})[0])

    def test_what_is_not_as_the_schema_says_is_refused(self):
        for changes in ({"source": "localhost"}, {"type": "message.sent"}, {"data": document(room=None)}):
            self.assertEqual("refused", self.structured(**changes)[0], changes)


if __name__ == "__main__":
    unittest.main()
