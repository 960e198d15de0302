"""A bucket that speaks S3, served on this machine, and settings that keep files in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import boto3
from moto.server import ThreadedMotoServer

ACCESS_KEY, SECRET_KEY, REGION = "AKIATESTTESTTESTTEST", "a secret key for tests", "eu-central-1"


@contextmanager
def bucket_server() -> Iterator[str]:
    """Where S3 is spoken; the environment of this process leads there meanwhile."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    os.environ.update(variables)
    try:
        yield variables["AWS_ENDPOINT"]
    finally:
        for name in variables:
            del os.environ[name]
        server.stop()


def new_bucket(endpoint: str) -> str:
    """The storage URL of an empty bucket, with a prefix."""
    name = f"tests-{uuid4()}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return f"s3://{name}/some/prefix"
