#!/usr/bin/env bash
# moto takes message attributes that SNS refuses, whatever their names and values.
#
# One would guess: moto, which many use in place of SNS in tests and which refuses a number that is none,
# refuses the names and values that the manual of SNS forbids:
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
# What happens: it publishes names with other characters, with a dot in front or with the prefix that is
# reserved, text beyond the Basic Multilingual Plane, and "nan" and "inf" as numbers. The one thing that
# it refuses here is a number without digits.
# Why it matters here: a plugin or filter that works with moto may cost every event at SNS. event_pusher
# leaves such attributes out and counts them (docs/sns.md), so with moto one misses what would have
# been taken.
#
# Needs Python 3.10 or later, and pip. Seen with moto 5.2.5:
#   .dot = 'x' (String): taken
#   trace:id = 'x' (String): taken
#   AWS.x = 'x' (String): taken
#   emoji = '\U0001f600' (String): taken
#   number = 'nan' (Number): taken
#   number = 'inf' (Number): taken
#   number = 'one' (Number): InvalidParameter
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "moto==5.2.5" "boto3==1.44.5" "botocore==1.44.5"

cat >told.py <<'PYTHON'
import os

os.environ |= {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}

import boto3
import moto
from botocore.exceptions import ClientError

CASES = {
    (".dot", "String", "x"): "taken",
    ("trace:id", "String", "x"): "taken",
    ("AWS.x", "String", "x"): "taken",
    ("emoji", "String", "\U0001f600"): "taken",
    ("number", "Number", "nan"): "taken",
    ("number", "Number", "inf"): "taken",
    ("number", "Number", "one"): "InvalidParameter",
}


@moto.mock_aws
def told():
    client = boto3.client("sns", region_name="eu-west-1")
    topic = client.create_topic(Name="topic")["TopicArn"]
    for (name, kind, value), wanted in CASES.items():
        try:
            attributes = {name: {"DataType": kind, "StringValue": value}}
            client.publish(TopicArn=topic, Message="x", MessageAttributes=attributes)
            answer = "taken"
        except ClientError as error:
            answer = error.response["Error"]["Code"]
        print(f"{name} = {ascii(value)} ({kind}): {answer}")
        assert answer == wanted, wanted


print("moto", moto.__version__)
told()
print("as described")
PYTHON
venv/bin/python told.py
