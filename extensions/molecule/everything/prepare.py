# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account's owner gives to who deploys: ``python prepare.py FILE`` makes it, and writes down what it has made.

A policy that bounds every role, and an object with the weights of a model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import boto3

BUCKET = "models-of-our-own"
BOUNDARY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["iam:*", "organizations:*"], "Resource": "*"},
    ],
}

if __name__ == "__main__":
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=BUCKET, Key="letters.gguf", Body=b"GGUF")
    boundary = boto3.client("iam").create_policy(
        PolicyName="bounds-of-projects", PolicyDocument=json.dumps(BOUNDARY)
    )["Policy"]["Arn"]
    made = {"boundary": boundary, "weights": f"s3://{BUCKET}/letters.gguf"}
    Path(sys.argv[1]).write_text(json.dumps(made), encoding="utf-8")
