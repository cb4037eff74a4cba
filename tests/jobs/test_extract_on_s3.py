"""Images, vectors and artifacts behind s3://: the same commands, the same rows, nothing on the local disk."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from tests.jobs.conftest import SETTINGS, Reference, User, assert_same_rows, read_rows, user_at
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
def summaries(remote: User, bucket: Bucket, phantom_root: Path, reference: Reference) -> dict[str, Any]:
    """A prefix of DICOMs extracted where it lies, twice; and a search on the vectors of the phantom study there."""
    for path in sorted(phantom_root.glob("*.csv")):
        bucket.s3.upload_file(str(path), BUCKET, f"phantom/{path.name}")
    for table in ("instances", "failures"):
        name = f"{table}--phantom--texture.lance"
        for path in sorted(Path(reference.store, name).rglob("*")):
            if path.is_file():
                key = path.relative_to(reference.store).as_posix()
                bucket.s3.upload_file(str(path), BUCKET, f"store/{key}")
    for path in sorted(phantom_root.rglob("*.dcm"))[:FEW]:
        bucket.s3.upload_file(str(path), BUCKET, f"clinic/deep/{path.stem}")
    bucket.s3.put_object(Bucket=BUCKET, Key="clinic/letter", Body=b"no image " * 100)
    bucket.s3.put_object(Bucket=BUCKET, Key="clinic/labels.csv", Body=b"exam_id,birads\n")
    folder = remote.home.parent
    clinic = ("--dataset", "folder", "--root", f"s3://{BUCKET}/clinic", *SETTINGS)
    study = ("--dataset", "phantom", "--root", f"s3://{BUCKET}/phantom", "--set", "splits.val=0.2")
    search = ("--trials", 4, "--pack", 4, "--set", "search.fit.max_epochs=40")
    finished = remote.run_jobs(
        ("extract", *clinic, "--json", folder / "first.json"),
        ("extract", *clinic, "--json", folder / "again.json"),
        ("tune_head", *study, *search, "--json", folder / "tune_head.json"),
    )
    assert finished.status == 0, finished.err
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("first", "again", "tune_head")}


def test_rows_on_s3_are_those_of_a_local_run_and_a_second_run_adds_none(
    remote: User, summaries: dict[str, Any], bucket: Bucket, reference: Reference
) -> None:
    store = f"s3://{BUCKET}/store"
    found = read_rows(store, dataset="folder", options=bucket.options)
    ids = found["image_id"].unique()
    assert summaries["first"]["images"] == len(ids) == FEW
    assert_same_rows(found, reference.instances.filter(pc.is_in(reference.instances["image_id"], value_set=ids)))
    (failure,) = read_rows(store, kind="failures", dataset="folder", options=bucket.options).to_pylist()
    assert (failure["uri"], failure["stage"]) == (f"s3://{BUCKET}/clinic/letter", "read")
    assert not (remote.home / "store").exists(), "nothing was kept on this machine"
    assert (summaries["again"]["images"], summaries["again"]["plan"]["done"]) == (0, FEW)
    assert summaries["again"]["version"] == summaries["first"]["version"]


def test_a_head_is_searched_on_s3_and_its_artifacts_stay_there(
    remote: User, summaries: dict[str, Any], bucket: Bucket
) -> None:
    summary = summaries["tune_head"]
    assert len(summary["val_aucs"]) == 4
    assert summary["registered"]
    artifacts = bucket.keys("artifacts/")
    assert [key for key in artifacts if key.endswith(".safetensors")], artifacts
    left = [key for key in artifacts if key.startswith("artifacts/search/") and not key.endswith("/")]
    assert not left, "what packs handed back is removed"
    assert [path.name for path in remote.home.iterdir()] == ["mlflow.db"]
