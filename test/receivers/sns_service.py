"""Amazon SNS on loopback for tests and the demo: moto, with every signature verified, and what arrives told at once.

    python sns_service.py [--region eu-west-1] [--account-id 123456789012] [--cert FILE --key FILE]

It speaks with its parent as `erlang_port` says. First, when requests are served:

    {ready, #{endpoint, region, account_id, access_key_id, secret_access_key}}.

then one for each message that reaches the SQS queue behind a topic, and one answer per command, in order:

    {message, #{topic, message_id, body, attributes => #{Name => {Type, Value}}, group, deduplication, received_at_ms}}.
    topic NAME  -> {topic, #{name, arn}}.      created with its queue unless it exists; FIFO if NAME ends in .fifo
    user NAME   -> {user, #{access_key_id, secret_access_key}}.      a new user who may do anything with SNS
    stranger NAME  -> {stranger, #{access_key_id, secret_access_key}}.      a new user who may do nothing
    clock SECONDS  -> {clock, ok}.      how far the clock of the service is ahead, at first 0
    unknown ACTION ...  -> {unknown, ok}.      actions that the service does not know, at first none
    count       -> {count, #{Topic => Number}}.      messages that arrived so far

Signatures are checked by `signed_only`, in front of moto. moto's own check is switched off, because it both passes and
refuses too much (5.2.5): it believes x-amz-content-sha256 without looking at the body, takes any region, any date and
any set of signed headers, serves /moto-api/ to everyone, fails with 500 on an unsigned request, and without
x-amz-content-sha256 it refuses a correct body that does not use its own form encoding (%20 instead of +). What stays
moto's: whether the access key exists and its user's policy allows the action.
"""

import argparse
import base64
import json
import os
import threading
from collections import Counter
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from moto import settings
from moto.iam.access_control import IAMRequest
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.utilities.utils import get_partition
from werkzeug.serving import make_server
from werkzeug.test import Client

from erlang_port import parent, serve_commands
from erlang_term import Atom, atoms
from signed_only import SignedOnly

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sns:*", "Resource": "*"}]}


class Service:
    """Topics, users and the HTTP server of one account in one region."""

    def __init__(self, account_id, region, report):
        self.account_id, self.region, self.report = account_id, region, report
        self.iam = iam_backends[account_id][get_partition(region)]
        self.sns = sns_backends[account_id][region]
        self.sqs = sqs_backends[account_id][region]
        self.arrived = Counter()
        # moto signs each notification; a key made once and small keeps that out of the latency.
        self.notification_key = rsa.generate_private_key(public_exponent=65537, key_size=1024)

    def user(self, name):
        self.iam.create_user(self.region, name)
        self.iam.put_user_policy(name, "publish", json.dumps(POLICY))
        return self.iam.create_access_key(name)

    def stranger(self, name):
        self.iam.create_user(self.region, name)
        return self.iam.create_access_key(name)

    def topic(self, name):
        """The topic's ARN; a new topic gets a queue of the same name, and a thread that reports what arrives there."""
        fifo = name.endswith(".fifo")
        topic = self.sns.create_topic(name, {"FifoTopic": True, "ContentBasedDeduplication": False} if fifo else {})
        if name not in self.arrived:
            queue = self.sqs.create_queue(name, **({"FifoQueue": "true"} if fifo else {}))
            # The notification around a message of the largest size SNS takes is larger than a queue takes.
            queue.maximum_message_size *= 8
            self.sns.subscribe(topic.arn, queue.queue_arn, "sqs").private_key = lambda: self.notification_key
            self.arrived[name] = 0
            threading.Thread(target=self._report_arrivals, args=(name, queue), daemon=True).start()
        return topic.arn

    def _report_arrivals(self, topic, queue):
        """Reads on without deleting: moto forgets a FIFO deduplication id once its message is deleted."""
        while True:
            with queue._messages_lock:
                queue._messages_lock.wait_for(lambda: len(queue._messages) > self.arrived[topic])
                messages = queue._messages[self.arrived[topic] :]
            for message in messages:
                self.report((Atom("message"), _message(topic, message)))
                self.arrived[topic] += 1

    def serve(self, access_key_id, tls, port=0):
        """Starts the server, by default on a free port; answers with its address."""
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        IAMRequest.check_signature = lambda request: None
        moto = DomainDispatcherApplication(create_backend_app)
        _warm_up(moto, access_key_id, self.region)
        self.app = SignedOnly(moto, "sns", self.region, self._secret)
        server = make_server("127.0.0.1", port, self.app, threaded=True, request_handler=Handler, ssl_context=tls)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"

    def _secret(self, access_key_id):
        key = self.iam.access_keys.get(access_key_id)
        return key and key.secret_access_key


class Handler(MotoRequestHandler):
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp=None):
        return super().date_time_string(timestamp or self.server.app.now().timestamp())

    def log_request(self, *_):
        pass


def _warm_up(moto, access_key_id, region):
    """moto loads SNS at the first request; this one spares the first test the wait."""
    authorization = f"AWS4-HMAC-SHA256 Credential={access_key_id}/20000101/{region}/sns/aws4_request"
    answer = Client(moto).post("/", data={"Action": "ListTopics"}, headers={"Authorization": authorization})
    assert answer.status_code == 200, answer.text


def _message(topic, message):
    notification = json.loads(message.body)
    return atoms(
        topic=topic,
        message_id=notification["MessageId"],
        body=notification["Message"],
        attributes={name: _attribute(**value) for name, value in notification.get("MessageAttributes", {}).items()},
        group=message.group_id,
        deduplication=message.deduplication_id,
        received_at_ms=message.sent_timestamp,
    )


def _attribute(Type, Value):
    return Type, base64.b64decode(Value) if Type.startswith("Binary") else Value


def command(service, words):
    match words:
        case ["topic", name]:
            return atoms(name=name, arn=service.topic(name))
        case ["user", name]:
            return _credentials(service.user(name))
        case ["stranger", name]:
            return _credentials(service.stranger(name))
        case ["clock", seconds]:
            service.app.ahead = timedelta(seconds=int(seconds))
            return Atom("ok")
        case ["unknown", *actions]:
            service.app.unknown = set(actions)
            return Atom("ok")
        case ["count"]:
            return dict(service.arrived)
    raise ValueError(f"unknown command: {' '.join(words)}")


def _credentials(key):
    return atoms(access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)


def arguments():
    parser = argparse.ArgumentParser(description="Amazon SNS on loopback, for an Erlang port or a shell")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--account-id", default="123456789012")
    parser.add_argument("--cert", help="serve TLS with this certificate file")
    parser.add_argument("--key", help="the certificate's private key file")
    return parser.parse_args()


def main():
    options, report = arguments(), parent()
    os.environ["MOTO_ACCOUNT_ID"] = options.account_id
    service = Service(options.account_id, options.region, report)
    key = service.user("event-pusher")
    endpoint = service.serve(key.access_key_id, (options.cert, options.key) if options.cert else None)
    place = atoms(endpoint=endpoint, region=options.region, account_id=options.account_id)
    report((Atom("ready"), place | _credentials(key)))
    serve_commands(report, lambda words: command(service, words))
    os._exit(0)  # the threads that serve and report are still at work, and there is nothing to put in order


if __name__ == "__main__":
    main()
