#!/usr/bin/env bash
# The Python client of AWS, on which its command line is built, does not correct a wrong clock.
#
# One would guess: all of AWS's clients take over the service's time from the header Date of an answer that
# refuses a signature for its time, as AWS tells of one of them
# (https://aws.amazon.com/blogs/developer/clock-skew-correction/) and its clients for Java and
# JavaScript do as well; botocore knows the error code, and may retry five times.
# What happens: botocore raises the error after one request, and the next call fails in the same way.
# Why it matters here: whoever tries the key with Python on a server whose clock is wrong sees
# SignatureDoesNotMatch, while event_pusher delivers to the same topic with the same key. The key is
# right: look at the line event_pusher_clock in the log (docs/sns.md).
#
# Needs Python 3.10 or later, and pip. Seen with botocore 1.44.8:
#   first call: SignatureDoesNotMatch, 1 request(s), signed 20 minutes before the service's time
#   second call: SignatureDoesNotMatch, 1 request(s), signed 20 minutes before the service's time
#   a service with the right time: published, 1 request(s)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check botocore==1.44.8 urllib3==2.8.0 \
    jmespath==1.1.0 python-dateutil==2.9.0.post0 six==1.17.0

cat >told.py <<'PYTHON'
import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"
DONE = f'<PublishResponse xmlns="{NAMESPACE}"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>'
EXPIRED = (
    f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>'
    "<Message>Signature expired: {0} is now earlier than {1}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
)


class Service(BaseHTTPRequestHandler):
    """Refuses what was signed more than 15 minutes ago, by its own clock."""

    ahead = timedelta()
    ages = []

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        now = datetime.now(timezone.utc) + self.ahead
        signed = datetime.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        self.ages.append(now - signed)
        refused = now - signed > timedelta(minutes=15)
        body = (EXPIRED.format(signed, now) if refused else DONE).encode()
        self.send_response_only(403 if refused else 200)
        self.send_header("Date", format_datetime(now, usegmt=True))
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def call():
    Service.ages.clear()
    try:
        client.publish(TopicArn="arn:aws:sns:eu-west-1:123456789012:topic", Message="x")
        return f"published, {len(Service.ages)} request(s)"
    except ClientError as error:
        minutes = round(Service.ages[-1] / timedelta(minutes=1))
        code = error.response["Error"]["Code"]
        return f"{code}, {len(Service.ages)} request(s), signed {minutes} minutes before the service's time"


server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = botocore.session.Session().create_client(
    "sns", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}",
    aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret",
    config=Config(retries={"mode": "standard", "max_attempts": 6}),
)
refused = "SignatureDoesNotMatch, 1 request(s), signed 20 minutes before the service's time"
print("botocore", botocore.__version__)
for name, ahead, wanted in [
    ("first call", 20, refused), ("second call", 20, refused),
    ("a service with the right time", 0, "published, 1 request(s)"),
]:
    Service.ahead = timedelta(minutes=ahead)
    told = call()
    print(f"{name}: {told}")
    assert told == wanted, wanted
print("as described")
PYTHON
venv/bin/python told.py
