"""What the reader of webhooks makes of requests: `python -m unittest` in this folder."""

import base64
import unittest
from datetime import datetime, timedelta, timezone

from standardwebhooks.webhooks import Webhook

from webhook_reader import command

SECRET = "whsec_" + base64.b64encode(b"a" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"b" * 24).decode()


class WebhookReader(unittest.TestCase):
    def verify(self, body, secret=SECRET, age=timedelta(), **more):
        at = datetime.now(tz=timezone.utc) - age
        signature = Webhook(SECRET).sign("msg_1", at, "a=b&c=%20")
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
        words = [word for pair in (headers | more).items() for word in pair]
        return command(["verify", secret, base64.b64encode(body).decode(), *words])

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


if __name__ == "__main__":
    unittest.main()
