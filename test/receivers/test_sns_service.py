"""What the SNS receiver takes and what it refuses: `python -m unittest` in this folder."""

import hashlib
import http.client
import queue
import re
import unittest
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from unittest import mock
from urllib.parse import quote, urlencode

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from erlang_term import Atom, atoms, term
from sns_service import Service

REGION = "eu-west-1"


def form(**fields):
    return urlencode({"Version": "2010-03-31", **fields}, quote_via=quote).encode()


def with_fields(fields, prefix, *attributes):
    for number, (name, kind, member, value) in enumerate(attributes, 1):
        entry = f"{prefix}MessageAttributes.entry.{number}."
        fields |= {entry + "Name": name, entry + "Value.DataType": kind, entry + f"Value.{member}Value": value}
    return fields


class SnsService(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.arrivals = queue.Queue()
        cls.service = Service("123456789012", REGION, lambda message: cls.arrivals.put(message[1]))
        cls.key = cls.service.user("test")
        cls.host = cls.service.serve(cls.key.access_key_id, None).removeprefix("http://")
        cls.standard, cls.fifo = cls.service.topic("events"), cls.service.topic("events.fifo")
        cls.connection = http.client.HTTPConnection(cls.host)

    def send(self, body, region=REGION, service="sns", secret=None, age=timedelta(), sent=None, after={}, **headers):
        """Signs `body`, posts `sent` (the same unless told) with headers changed to `after`; (status, text)."""
        headers = {"host": self.host, "content-type": "application/x-www-form-urlencoded"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        request = AWSRequest(method="POST", url=f"http://{self.host}/", data=body, headers=headers)
        credentials = Credentials(self.key.access_key_id, secret or self.key.secret_access_key)
        with mock.patch.object(auth, "get_current_datetime", lambda: datetime.now(UTC) - age):
            auth.SigV4Auth(credentials, service, region).add_auth(request)
        self.connection.request("POST", "/", sent or body, dict(request.headers.items()) | after)
        response = self.connection.getresponse()
        return response.status, response.read().decode()

    def assert_refused(self, answer, code="SignatureDoesNotMatch"):
        status, text = answer
        self.assertEqual((status, code), (403, re.search("<Code>(.*?)</Code>", text)[1]), text)
        with self.assertRaises(queue.Empty):
            self.arrivals.get_nowait()

    def assert_accepted(self, answer):
        self.assertEqual(200, answer[0], answer[1])
        return re.findall("<MessageId>(.*?)</MessageId>", answer[1])

    def arrival(self):
        return self.arrivals.get(timeout=5)

    def publish(self, message="hello", **fields):
        return form(Action="Publish", TopicArn=self.standard, Message=message, **fields)

    def test_good_signature_is_accepted_with_and_without_payload_header(self):
        body = self.publish("two words, *, ~ and \U0001f600\n")
        digest = hashlib.sha256(body).hexdigest()
        for headers in {}, {"x_amz_content_sha256": digest}:
            [message_id] = self.assert_accepted(self.send(body, **headers))
            arrival = self.arrival()
            self.assertEqual("two words, *, ~ and \U0001f600\n", arrival["body"])
            self.assertEqual((message_id, "events"), (arrival["message_id"], arrival["topic"]))

    def test_wrong_secret_region_service_or_date_is_refused(self):
        self.assert_refused(self.send(self.publish(), secret="wrong"))
        self.assert_refused(self.send(self.publish(), region="us-east-1"))
        self.assert_refused(self.send(self.publish(), service="sqs"))
        self.assert_refused(self.send(self.publish(), age=timedelta(minutes=16)))
        self.assert_refused(self.send(self.publish(), age=timedelta(minutes=-16)))
        self.assert_accepted(self.send(self.publish(), age=timedelta(minutes=14)))
        self.arrival()

    def test_unknown_key_and_missing_signature_are_refused(self):
        with mock.patch.object(self.key, "access_key_id", "AKIAAAAAAAAAAAAAAAAA"):
            self.assert_refused(self.send(self.publish()), "InvalidClientTokenId")
        self.assert_refused(self.send(self.publish(), after={"Authorization": "Bearer x"}), "IncompleteSignature")
        self.connection.request("POST", "/moto-api/reset", b"")
        response = self.connection.getresponse()
        self.assert_refused((response.status, response.read().decode()), "MissingAuthenticationToken")

    def test_another_clock_refuses_what_is_signed_for_the_right_time_and_says_which_time_it_is(self):
        self.addCleanup(setattr, self.service.app, "ahead", timedelta(0))
        self.service.app.ahead = timedelta(hours=1)
        self.assert_refused(self.send(self.publish()))
        self.connection.request("GET", "/")
        response = self.connection.getresponse()
        response.read()
        ahead = parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)
        self.assertEqual(3600, round(ahead / timedelta(minutes=1)) * 60)
        self.assertEqual(1, len(response.headers.get_all("Date")))
        self.assert_accepted(self.send(self.publish(), age=timedelta(hours=-1)))
        self.arrival()

    def test_an_action_may_be_unknown(self):
        self.addCleanup(setattr, self.service.app, "unknown", set())
        self.service.app.unknown = {"Publish"}
        status, text = self.send(self.publish())
        self.assertEqual((400, "InvalidAction"), (status, re.search("<Code>(.*?)</Code>", text)[1]))

    def test_a_stranger_may_not_publish(self):
        with mock.patch.object(self, "key", self.service.stranger("stranger")):
            status, text = self.send(self.publish())
        self.assertEqual(403, status, text)
        self.assertIn("not authorized", text)

    def test_anything_changed_after_signing_is_refused(self):
        body = self.publish()
        digest = hashlib.sha256(body).hexdigest()
        for headers in {}, {"x_amz_content_sha256": digest}:
            self.assert_refused(self.send(body, sent=body + b"!", **headers))
        self.assert_refused(self.send(body, x_amz_content_sha256="UNSIGNED-PAYLOAD"))
        self.assert_refused(self.send(body, after={"content-type": "application/x-www-form-urlencoded; charset=x"}))
        self.assert_refused(self.send(body, after={"x-amz-meta": "not signed"}))

    def test_batch_is_accepted(self):
        fields = {}
        for number in range(1, 11):
            entry = f"PublishBatchRequestEntries.member.{number}."
            fields |= {entry + "Id": str(number), entry + "Message": f"message {number}"}
            with_fields(fields, entry, ("n", "Number", "String", number))
        body = form(Action="PublishBatch", TopicArn=self.standard, **fields)
        ids = self.assert_accepted(self.send(body))
        arrivals = [self.arrival() for _ in range(10)]
        self.assertEqual(ids, [arrival["message_id"] for arrival in arrivals])
        self.assertEqual(("message 10", {"n": ("Number", "10")}), (arrivals[9]["body"], arrivals[9]["attributes"]))
        self.assert_refused(self.send(body, sent=body.replace(b"10", b"11")))

    def test_attributes_arrive_with_type_and_value(self):
        attributes = ("s", "String", "String", "é"), ("n", "Number", "String", "1.5"), ("b", "Binary", "Binary", "AP8=")
        self.assert_accepted(self.send(self.publish(**with_fields({}, "", *attributes))))
        expected = {"s": ("String", "é"), "n": ("Number", "1.5"), "b": ("Binary", b"\x00\xff")}
        self.assertEqual(expected, self.arrival()["attributes"])

    def test_fifo_keeps_order_and_drops_duplicates(self):
        def publish(deduplication):
            fields = {"MessageGroupId": "alice", "MessageDeduplicationId": deduplication}
            body = form(Action="Publish", TopicArn=self.fifo, Message="hello", **fields)
            self.assert_accepted(self.send(body))

        for deduplication in "1", "2", "1", "3":
            publish(deduplication)
        arrivals = [self.arrival() for _ in range(3)]
        self.assertEqual([("alice", "1"), ("alice", "2"), ("alice", "3")],
                         [(arrival["group"], arrival["deduplication"]) for arrival in arrivals])

    def test_largest_message_arrives(self):
        self.assert_accepted(self.send(self.publish('"' * 262144)))
        self.assertEqual(262144, len(self.arrival()["body"]))


class ErlangTerm(unittest.TestCase):
    def test_terms_are_ascii_text_of_one_line(self):
        value = atoms(a=[None, True, 1, 1.5, 1e22, -2e-7], b=("é\n\"\\", b"\x00\xff"), c={"k": Atom("it's")})
        self.assertEqual(
            r'#{a => [undefined, true, 1, 1.5, 1.0e+22, -2.0e-07], b => {<<"\x{c3}\x{a9}\x{a}\x{22}\x{5c}">>, '
            r'<<"\x{0}\x{ff}">>}, c => #{<<"k">> => ' + r"'it\x{27}s'}}",
            term(value),
        )

    def test_values_without_an_erlang_term_raise(self):
        for value in float("nan"), {1, 2}, object():
            self.assertRaises(TypeError, term, value)


if __name__ == "__main__":
    unittest.main()
