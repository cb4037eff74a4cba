"""Keep a lease in a bucket, by conditional requests (If-None-Match: *, If-Match) and the server's clock.

Credentials and endpoint come from the environment, as everywhere in the store.
"""

import os
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from tilebank.store.lease.backend import LeaseObject

REFUSED = 412  # the condition does not hold
BUSY = 409  # another conditional request was under way: S3 asks to try again
MISSING = 404
ATTEMPTS = 4
PAUSE_S = 0.2


class BucketBackend:
    """An object of an S3 bucket."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._bucket, self._key = parts.netloc, parts.path.lstrip("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._s3 = boto3.client(
            "s3",
            endpoint_url=endpoint or None,
            region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 4},
                connect_timeout=5,
                read_timeout=10,  # in all less than a lease's time to live
                request_checksum_calculation="when_required",  # some S3 servers refuse what the newer default sends
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        )

    def read(self) -> LeaseObject | None:
        """The object, and its age: the answer's Date less its Last-Modified, both of the server."""
        status, answer, content = self._ask("get_object")
        if status == MISSING:
            return None
        now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        now_s = parsedate_to_datetime(now).timestamp() if now else time.time()
        return LeaseObject(content, answer["ETag"], max(0.0, now_s - answer["LastModified"].timestamp()))

    def create(self, content: bytes) -> LeaseObject | None:
        """If-None-Match: of several that try, one succeeds."""
        return self._put(content, IfNoneMatch="*")

    def replace(self, content: bytes, *, found: LeaseObject) -> LeaseObject | None:
        """If-Match. Ceph's gateway (16) wants the ETag without quotes: its refusal of the standard form is doubted."""
        if written := self._put(content, IfMatch=found.tag):
            return written
        now = self.read()
        if now is None or now.tag != found.tag:
            return None
        return self._put(content, IfMatch=found.tag.strip('"'))

    def remove(self) -> None:
        """Delete it; one that is gone is no error."""
        self._ask("delete_object")

    def _put(self, content: bytes, **condition: str) -> LeaseObject | None:
        """A refused request may be a repetition of one that succeeded: the object's content tells."""
        status, answer, _ = self._ask("put_object", Body=content, **condition)
        if status not in (REFUSED, MISSING):
            return LeaseObject(content, answer["ETag"], 0.0)
        now = self.read()
        return now if now is not None and now.content == content else None

    def _ask(self, operation: str, **request: Any) -> tuple[int, Mapping[str, Any], bytes]:
        """One request to its answer. Raises OSError for what is neither an answer nor a refused condition."""
        try:
            for attempt in range(ATTEMPTS):
                try:
                    answer = getattr(self._s3, operation)(Bucket=self._bucket, Key=self._key, **request)
                    content = answer["Body"].read() if operation == "get_object" else b""
                    return answer["ResponseMetadata"]["HTTPStatusCode"], answer, content
                except ClientError as error:
                    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    if status in (REFUSED, MISSING) and error.response["Error"].get("Code") != "NoSuchBucket":
                        return status, error.response, b""
                    if status != BUSY or attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(PAUSE_S * 2**attempt)
        except (BotoCoreError, ClientError) as error:
            raise OSError(str(error)) from error
        raise OSError("the bucket did not answer")
