"""The S3 server that tests talk to: moto on this machine, or the one that TILEBANK_TEST_S3_ENDPOINT names."""

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """A server and one who may do everything there."""

    endpoint: str
    key: str
    secret: str

    def environment(self, endpoint: str = "") -> dict[str, str]:
        """All that a process has to be told; `endpoint` where the server is reached another way, as through a proxy."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # Ceph's gateway knows no other
        }

    def client(self) -> Any:
        """A boto3 client of the server itself."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"}),
        )

    def lance_options(self) -> dict[str, str]:
        """How Lance reaches the server itself."""
        return {
            "aws_access_key_id": self.key,
            "aws_secret_access_key": self.secret,
            "aws_endpoint": self.endpoint,
            "aws_region": REGION,
            "allow_http": "true",
        }

    def make_bucket(self) -> str:
        """A new bucket, and its name; no two tests share one, so no client's memory of one misleads another."""
        name = f"tests-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """The server, for as long as it is used."""
    if endpoint := os.environ.get("TILEBANK_TEST_S3_ENDPOINT"):
        yield S3Server(endpoint, os.environ["TILEBANK_TEST_S3_KEY"], os.environ["TILEBANK_TEST_S3_SECRET"])
        return
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request would bury everything else
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server(f"http://{host}:{port}", "testing", "testing")
    finally:
        server.stop()
