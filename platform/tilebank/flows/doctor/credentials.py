"""Credentials for object storage, by the names of the variables that hold them."""

import os
from collections.abc import Iterator
from pathlib import Path

from tilebank.files import exists
from tilebank.flows.doctor.check import Check, failed, passed, warned
from tilebank.flows.settings.settings import Settings

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OTHER_WAYS = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


def check_credentials(settings: Settings) -> Iterator[Check]:
    """What the environment offers where a root is in a bucket."""
    places = {"dataset.root": settings.dataset.root, "store": settings.store, "artifacts": settings.artifacts}
    buckets = [name for name, uri in places.items() if uri.startswith("s3://")]
    if not buckets:
        yield passed("s3 credentials", "not needed: no root is in a bucket")
        return
    yield _keys(", ".join(buckets))
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith("http://") and os.environ.get("AWS_ALLOW_HTTP", "").lower() != "true":
        yield failed(
            "s3 endpoint", f"{endpoint} has no TLS", fix="set AWS_ALLOW_HTTP=true, or use an https:// endpoint"
        )
    if "artifacts" in buckets and endpoint and not os.environ.get("MLFLOW_S3_ENDPOINT_URL"):
        fix = f"set MLFLOW_S3_ENDPOINT_URL={endpoint}"
        yield failed("s3 endpoint", "MLflow is not told the endpoint of its artifacts", fix=fix)


def check_root(settings: Settings) -> Iterator[Check]:
    """Whether the dataset's root can be read."""
    root = settings.dataset.root
    try:
        there = exists(root)
    except OSError as error:
        fix = "correct endpoint and credentials (AWS_...), or --root"
        yield failed("dataset root", f"{root}: {error}", fix=fix)
        return
    if there:
        yield passed("dataset root", root)
    elif settings.dataset.adapter == "phantom":
        yield passed("dataset root", f"{root} is not there yet; `tilebank phantom` or `tilebank demo` writes phantoms")
    else:
        fix = f"give --root, or make a dataset of your own: tilebank init; {settings.dataset.name} has no files yet"
        yield warned("dataset root", f"{root} is not there", fix=fix)


def _keys(which: str) -> Check:
    if all(os.environ.get(name) for name in KEYS):
        return passed("s3 credentials", f"{' and '.join(KEYS)} are set, for {which}")
    others = [name for name in OTHER_WAYS if os.environ.get(name)]
    if (Path.home() / ".aws" / "credentials").is_file():
        others.append("~/.aws/credentials")
    missing = ", ".join(name for name in KEYS if not os.environ.get(name))
    fix = f"set {' and '.join(KEYS)} (and AWS_REGION or AWS_ENDPOINT_URL)"
    if others:
        return warned("s3 credentials", f"{missing} not set; found {', '.join(others)}, for {which}", fix=fix)
    return failed("s3 credentials", f"{missing} not set, for {which}", fix=fix)
