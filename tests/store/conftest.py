"""What tests of the store share: rows of whole images, and a store on a disk or in a bucket."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.s3_server import S3Server, s3_server

from tilebank.store.schema import instances_schema

DIM = 4
LICENCE = {"licence": "CC0-1.0", "redistributable": "true"}


def rows_of(image_id: str, breast_id: str = "E1_L", *, tiles: int = 2, fingerprint: str = "f1") -> pa.Table:
    """A view and its tiles, vectors of length 1."""
    rows = [
        {
            "instance_id": f"{image_id}#{place}",
            "image_id": image_id,
            "breast_id": breast_id,
            "exam_id": breast_id[:-2],
            "patient_id": f"P-{breast_id[:-2]}",
            "laterality": breast_id[-1],
            "view": "CC",
            "kind": "tile" if place else "view",
            "instances": tiles + 1,
            "x": 0,
            "y": 10 * place,
            "width": 10,
            "height": 10,
            "tissue_fraction": 0.5,
            "flipped": False,
            "vector": np.full(DIM, 0.5, np.float16),
            "fingerprint": fingerprint,
        }
        for place in range(tiles + 1)
    ]
    return pa.Table.from_pylist(rows, schema=instances_schema(DIM))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server."""
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket_store(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in a bucket of its own, which this process reaches by its environment."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.make_bucket()}/store"


@pytest.fixture(params=["disk", "bucket"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store, on a disk and in a bucket."""
    return str(tmp_path / "store") if request.param == "disk" else str(request.getfixturevalue("bucket_store"))
