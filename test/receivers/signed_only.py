"""A WSGI middleware that lets a request pass only if its AWS Signature Version 4 is right in every respect.

The signature is computed again with botocore over what was received: method, path, query, the headers named in
SignedHeaders, and the SHA-256 of the body itself. Beyond an equal signature it asks for: the region and the service it
stands for; the day of the scope equal to that of x-amz-date, and that within 15 minutes; host and every x-amz-* header
signed; an x-amz-content-sha256, where there is one, that fits the body (so no UNSIGNED-PAYLOAD); no session token and
no presigned URL. A refusal is an error document as SNS writes it, with the status 403.

It can be told to have another clock, and not to know an action.

Not checked: botocore leaves user-agent and hop-by-hop headers out of its own signatures, so a client that signs one of
those is refused, although AWS would take it.
"""

import hashlib
import hmac
import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from uuid import uuid4
from xml.sax.saxutils import escape

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TOLERANCE = timedelta(minutes=15)
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request, *SignedHeaders=(?P<signed>[^,\s]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


class Refused(Exception):
    def __init__(self, code, message, status="403 Forbidden"):
        super().__init__(message)
        self.code, self.status = code, status


class SignedOnly:
    def __init__(self, app, service, region, secret_of):
        """secret_of: access key id -> secret, None for a key that does not exist."""
        self.app, self.service, self.region, self.secret_of = app, service, region, secret_of
        self.ahead, self.unknown = timedelta(0), set()

    def __call__(self, environ, start_response):
        body = _take_body(environ)
        try:
            self._check(environ, body)
        except Refused as refused:
            return _answer(refused, start_response)
        return self.app(environ, start_response)

    def now(self):
        return datetime.now(UTC) + self.ahead

    def _check(self, environ, body):
        authorization = self._authorization(environ)
        headers = _headers(environ)
        signed = _signed_headers(headers, authorization["signed"].split(";"))
        timestamp = _timestamp(signed, authorization["day"], self.now())
        if headers.get("x-amz-content-sha256", digest := hashlib.sha256(body).hexdigest()) != digest:
            raise _mismatch("The x-amz-content-sha256 header does not fit the body.")
        secret = self.secret_of(authorization["key"])
        if secret is None or "x-amz-security-token" in headers:
            raise Refused("InvalidClientTokenId", "The security token included in the request is invalid.")
        url = f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}"
        request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, data=body, headers=signed)
        request.context["timestamp"] = timestamp
        auth = SigV4Auth(Credentials(authorization["key"], secret), self.service, self.region)
        expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        if not hmac.compare_digest(expected, authorization["signature"]):
            raise _mismatch("The request signature we calculated does not match the signature you provided.")
        for action in self.unknown.intersection(parse_qs(body.decode()).get("Action", [])):
            raise Refused("InvalidAction", f"Could not find operation {action}", "400 Bad Request")

    def _authorization(self, environ):
        if "HTTP_AUTHORIZATION" not in environ:
            raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token")
        found = AUTHORIZATION.fullmatch(environ["HTTP_AUTHORIZATION"])
        if not found:
            raise Refused("IncompleteSignature", "The Authorization header is not a complete AWS4-HMAC-SHA256 one.")
        if found["region"] != self.region:
            raise _mismatch(f"Credential should be scoped to a valid region, not '{found['region']}'.")
        if found["service"] != self.service:
            raise _mismatch(f"Credential should be scoped to correct service: '{self.service}'.")
        return found


def _signed_headers(headers, names):
    """The signed headers with their values; refused if one is absent, or one is unsigned that has to be signed."""
    if names != sorted(set(names)) or any(name not in headers for name in names):
        raise _mismatch("SignedHeaders must name received headers, in lower case, sorted, each once.")
    required = {"host", "x-amz-date"} | {name for name in headers if name.startswith("x-amz-")}
    if missing := required.difference(names):
        raise _mismatch(f"These headers must be signed: {', '.join(sorted(missing))}.")
    return {name: headers[name] for name in names}


def _timestamp(signed, day, now):
    timestamp = signed["x-amz-date"]
    try:
        when = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("IncompleteSignature", "x-amz-date must be in ISO-8601 basic format.") from None
    if timestamp[:8] != day:
        raise _mismatch(f"Date in Credential scope does not match YYYYMMDD from x-amz-date: '{day}' != '{timestamp}'.")
    if abs(now - when) > TOLERANCE:
        raise _mismatch(f"Signature expired: {timestamp} is not within 15 minutes of the present time.")
    return timestamp


def _take_body(environ):
    """The whole body, which stays readable for the application."""
    stream = environ["wsgi.input"]
    chunked = environ.pop("HTTP_TRANSFER_ENCODING", None)
    body = stream.read() if chunked else stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    return body


def _headers(environ):
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    content = {"content-type": environ.get("CONTENT_TYPE"), "content-length": environ["CONTENT_LENGTH"]}
    return headers | {name: value for name, value in content.items() if value}


def _mismatch(message):
    return Refused("SignatureDoesNotMatch", message)


def _answer(refused, start_response):
    document = (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
        f"<Code>{refused.code}</Code><Message>{escape(str(refused))}</Message></Error>"
        f"<RequestId>{uuid4()}</RequestId></ErrorResponse>"
    ).encode()
    start_response(refused.status, [("Content-Type", "text/xml"), ("Content-Length", str(len(document)))])
    return [document]
