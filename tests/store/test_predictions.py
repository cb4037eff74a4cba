"""Predictions read back run by run, from a disk and from a bucket."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.store.conftest import LICENCE

from tilebank.errors import StoreError
from tilebank.store.predictions import answer_columns, read_predictions
from tilebank.store.tables import Store


def rows_of(run_id: str, split: str, scores: Mapping[str, float]) -> list[dict[str, object]]:
    """A row a breast; those of an id that ends in L are positive."""
    return [
        {
            "breast_id": breast_id,
            "exam_id": breast_id[:-2],
            "patient_id": f"P-{breast_id[:-2]}",
            "task": "malignancy",
            "split": split,
            "label": int(breast_id.endswith("L")),
            "score": score,
            "head": "dual_stream",
            "run_id": run_id,
            "fingerprint": "f1",
        }
        for breast_id, score in scores.items()
    ]


def test_a_run_is_read_back_alone_split_by_split_in_the_order_of_its_breasts(store_uri: str) -> None:
    store = Store(store_uri)
    one = rows_of("r1", "val", {"E1_L": 0.75}) + rows_of("r1", "test", {"E3_R": 0.125, "E2_L": 0.5})
    for rows in (one, rows_of("r2", "test", {"E2_L": 0.25})):
        store.write_predictions("study", "texture", rows, licence=LICENCE)
    found = read_predictions(store_uri, dataset="study", encoder="texture", run_id="r1")
    assert set(found) == {"val", "test"}
    assert found["test"].breast_ids == ("E2_L", "E3_R")
    assert found["test"].patient_ids == ("P-E2", "P-E3")
    np.testing.assert_array_equal(found["test"].labels, [1, 0])
    np.testing.assert_array_equal(found["test"].scores, np.array([0.5, 0.125], np.float32))
    assert found["val"].breast_ids == ("E1_L",)
    assert set(read_predictions(store_uri, dataset="study", encoder="texture", run_id="r2")) == {"test"}


def test_what_was_never_predicted_is_empty_and_makes_no_table(store_uri: str) -> None:
    for _ in range(2):
        assert read_predictions(store_uri, dataset="study", encoder="texture", run_id="r1") == {}
    Store(store_uri).write_predictions("study", "texture", rows_of("r1", "test", {"E1_L": 0.5}), licence=LICENCE)
    assert read_predictions(store_uri, dataset="study", encoder="texture", run_id="r'2") == {}


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    store_uri = str(tmp_path)
    Store(store_uri).write_predictions("study", "texture", rows_of("r1", "test", {"E1_L": 0.5}), licence=LICENCE)
    place = tmp_path / "predictions--study--texture.lance" / "_versions"
    for manifest in place.iterdir():
        manifest.write_bytes(b"torn")
    with pytest.raises(StoreError, match="cannot read table predictions--study--texture"):
        read_predictions(store_uri, dataset="study", encoder="texture", run_id="r1")


def test_one_answer_is_the_score_and_several_are_scores() -> None:
    assert answer_columns([0.25]) == {"score": 0.25, "scores": None}
    assert answer_columns((0.25, 0.75)) == {"score": None, "scores": [0.25, 0.75]}
