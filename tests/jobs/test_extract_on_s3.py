"""Images, vectors and artifacts behind s3://: the same commands, the same rows, nothing on the local disk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from tests.jobs.conftest import IMAGES, SETTINGS, Reference, User, assert_same_rows, read_rows, user_at
from tests.s3_server import S3Server, s3_server

pytestmark = pytest.mark.slow

BUCKET = "mammograms"
FEW = 8


@dataclass(frozen=True)
class Bucket:
    """A bucket on a server of this machine: its objects, and how Lance reaches it."""

    s3: Any
    options: dict[str, str]

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """An S3 server."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(server: S3Server) -> Bucket:
    """One empty bucket."""
    s3 = server.client()
    for entry in s3.list_buckets()["Buckets"]:
        if entry["Name"] == BUCKET:  # of an earlier run, on a server that outlives the tests
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
                for held in page.get("Contents", []):
                    s3.delete_object(Bucket=BUCKET, Key=held["Key"])
    s3.create_bucket(Bucket=BUCKET)
    return Bucket(s3, server.lance_options())


@pytest.fixture(scope="module")
def remote(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user who keeps everything but the MLflow database in the bucket, told by the environment alone."""
    user = user_at(
        tmp_path_factory.mktemp("remote") / "home",
        **server.environment(),
        MLFLOW_S3_ENDPOINT_URL=server.endpoint,
        TILEBANK_STORE=f"s3://{BUCKET}/store",
        TILEBANK_ARTIFACTS=f"s3://{BUCKET}/artifacts",
    )
    yield user
    user.leave()


@pytest.fixture(scope="module")
def extracted(remote: User, bucket: Bucket, phantom_root: Path) -> User:
    """The phantom study uploaded, and extracted where it lies."""
    for path in sorted(phantom_root.rglob("*")):
        if path.is_file():
            bucket.s3.upload_file(str(path), BUCKET, f"phantom/{path.relative_to(phantom_root)}")
    finished = remote.run_job("extract", "--dataset", "phantom", "--root", f"s3://{BUCKET}/phantom", *SETTINGS)
    assert finished.status == 0, finished.err
    return remote


def test_rows_on_s3_are_those_of_a_local_run_and_a_second_run_adds_none(
    extracted: User, bucket: Bucket, reference: Reference, tmp_path: Path
) -> None:
    store = f"s3://{BUCKET}/store"
    assert_same_rows(read_rows(store, options=bucket.options), reference.instances)
    assert read_rows(store, kind="failures", options=bucket.options).num_rows == 0
    assert not (extracted.home / "store").exists(), "nothing was kept on this machine"

    before = bucket.keys("store/")
    again = extracted.run_job(
        "extract", "--dataset", "phantom", "--root", f"s3://{BUCKET}/phantom", *SETTINGS, "--json", tmp_path / "s.json"
    )
    assert again.status == 0, again.err
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["images"], summary["plan"]["done"]) == (0, IMAGES)
    assert bucket.keys("store/") == before


def test_a_head_is_searched_on_s3_and_its_artifacts_stay_there(extracted: User, bucket: Bucket, tmp_path: Path) -> None:
    finished = extracted.run_job(
        *("tune_head", "--dataset", "phantom", "--root", f"s3://{BUCKET}/phantom", *SETTINGS, "--trials", "4"),
        *("--set", "search.fit.max_epochs=40", "--set", "splits.val=0.2", "--json", tmp_path / "summary.json"),
    )
    assert finished.status == 0, finished.err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["val_aucs"]) == 4
    assert summary["registered"]
    artifacts = bucket.keys("artifacts/")
    assert [key for key in artifacts if key.endswith(".safetensors")], artifacts
    left = [key for key in artifacts if key.startswith("artifacts/search/") and not key.endswith("/")]
    assert not left, "what packs handed back is removed"
    assert [path.name for path in extracted.home.iterdir()] == ["mlflow.db"]


def test_a_prefix_of_dicoms_is_a_dataset(
    extracted: User, bucket: Bucket, phantom_root: Path, reference: Reference
) -> None:
    files = sorted(phantom_root.rglob("*.dcm"))[:FEW]
    for path in files:
        bucket.s3.upload_file(str(path), BUCKET, f"clinic/deep/{path.stem}")
    bucket.s3.put_object(Bucket=BUCKET, Key="clinic/letter", Body=b"no image " * 100)
    bucket.s3.put_object(Bucket=BUCKET, Key="clinic/labels.csv", Body=b"exam_id,birads\n")
    finished = extracted.run_job("extract", "--dataset", "folder", "--root", f"s3://{BUCKET}/clinic", *SETTINGS)
    assert finished.status == 0, finished.err

    found = read_rows(f"s3://{BUCKET}/store", dataset="folder", options=bucket.options)
    ids = found["image_id"].unique()
    assert len(ids) == FEW
    wanted = reference.instances.filter(pc.is_in(reference.instances["image_id"], value_set=ids))
    assert_same_rows(found, wanted)
    (failure,) = read_rows(
        f"s3://{BUCKET}/store", kind="failures", dataset="folder", options=bucket.options
    ).to_pylist()
    assert (failure["uri"], failure["stage"]) == (f"s3://{BUCKET}/clinic/letter", "read")
