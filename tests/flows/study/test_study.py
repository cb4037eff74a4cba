"""A study laid over stored vectors: labels, splits that are kept, and what is refused before a vector is read."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from tests.flows.conftest import MakeSettings

from tilebank.datasets.splits import SplitConfig
from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_study, plan_study
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.store.schema import instances_schema
from tilebank.store.tables import Store
from tilebank.terms import Laterality, ManifestRow, Split


def breasts(patients: Sequence[int]) -> list[ManifestRow]:
    """Two images of one left breast a patient."""
    return [
        ManifestRow("folder", f"P{one}", f"E{one}", f"E{one}_L", f"{one}.{view}", Laterality.L, view, f"/{one}.{view}")
        for one in patients
        for view in ("CC", "MLO")
    ]


def label_table(patients: Sequence[int], *, extra: Sequence[str] = ()) -> str:
    """BI-RADS 4 for one in four, else 1; density A to D in turn; the owner's test is each fifth patient."""
    rows = [
        f"E{one}_L,{4 if one % 4 == 0 else 1},{'ABCD'[one % 4]},{'train' if one % 5 else 'test'}" for one in patients
    ]
    return "\n".join(["breast_id,birads,density,split", *rows, *extra]) + "\n"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    table = tmp_path / "labels.csv"
    table.write_text(label_table(range(60)))
    return table


@pytest.fixture
def settings(settings_for: MakeSettings, labels: Path, tmp_path: Path) -> Settings:
    return settings_for(f"dataset.labels={labels}", dataset="folder", root=str(tmp_path))


def with_splits(settings: Settings, splits: SplitConfig) -> Settings:
    return settings.model_copy(update={"splits": splits})


def store_views(settings: Settings, patients: Sequence[int]) -> None:
    """What an extraction leaves of these patients: a view row an image."""
    dim = settings.encoder.dim
    rows = [
        {name: getattr(row, name) for name in ("image_id", "breast_id", "exam_id", "patient_id", "view")}
        | {
            "instance_id": f"{row.image_id}#0",
            "laterality": "L",
            "kind": "view",
            "x": 0,
            "y": 0,
            "width": 4,
            "height": 4,
        }
        | {"tissue_fraction": 1.0, "flipped": False, "vector": np.ones(dim, np.float16)}
        | {"fingerprint": settings.fingerprint, "image_kind": row.image_kind.value, "special": ""}
        for row in breasts(patients)
    ]
    store = Store(settings.store)
    table = store.open_instances("folder", settings.encoder.name, dim=dim, licence=settings.licence)
    table.commit(pa.Table.from_pylist(rows, schema=instances_schema(dim)))


def written_splits(settings: Settings) -> dict[str, str]:
    return Store(settings.store).read_splits("folder", task="malignancy", scheme=settings.splits.scheme)


def test_a_plan_needs_no_vectors_and_writes_nothing(settings: Settings) -> None:
    labels, splits = plan_study(settings, breasts(range(60)), task="malignancy")
    assert Counter(row.label for row in labels) == {0: 45, 1: 15}
    assert Counter(splits.values()) == {Split.TRAIN: 42, Split.VAL: 6, Split.TEST: 12}
    assert not Path(settings.store).exists()


def test_labels_come_as_their_task_s_heads_want_them(settings: Settings) -> None:
    store_views(settings, range(60))
    wide = with_splits(settings, SplitConfig(val=0.2))
    study = open_study(wide, task="density")
    test = study.read(Split.TEST)
    assert test.outputs == Outputs("multiclass", 4)
    assert test.labels.tolist() == [row.label for row in study.rows[Split.TEST]]
    assert set(test.as_batch().labels.tolist()) == {0, 1, 2, 3}
    assert open_study(wide, task="malignancy").read(Split.TRAIN).outputs == BINARY
    with pytest.raises(ConfigError, match="unknown task 'malignant'"):
        open_study(settings, task="malignant")


def test_a_split_without_a_class_is_refused_and_nothing_is_written(settings: Settings, labels: Path) -> None:
    labels.write_text(label_table(range(60)).replace(",D,", ",,", 14))
    store_views(settings, range(60))
    with pytest.raises(DatasetError, match=r"task 'density': no breast of the \w+ split is D \("):
        open_study(settings, task="density")
    assert Store(settings.store).read_splits("folder", task="density", scheme=settings.splits.scheme) == {}


def test_a_study_that_grows_keeps_every_patient_where_it_was(settings: Settings) -> None:
    store_views(settings, range(40))
    first = open_study(settings, task="malignancy")
    before = written_splits(settings)
    store_views(settings, range(40, 60))
    second = open_study(settings, task="malignancy")
    after = written_splits(settings)
    assert before.items() <= after.items()
    assert (len(before), len(after)) == (40, 60)
    assert Counter(after.values()) == {"train": 42, "val": 6, "test": 12}
    for split in Split:
        assert {row.breast_id for row in first.rows[split]} <= {row.breast_id for row in second.rows[split]}
    assert plan_study(settings, breasts(range(60)), task="malignancy")[1] == {k: Split(v) for k, v in after.items()}


def test_a_patient_who_loses_its_label_and_gets_it_back_returns_to_its_split(settings: Settings, labels: Path) -> None:
    store_views(settings, range(60))
    open_study(settings, task="malignancy")
    before = written_splits(settings)
    labels.write_text(label_table(range(20, 60)))
    study = open_study(settings, task="malignancy")
    assert sum(len(rows) for rows in study.rows.values()) == 40
    assert written_splits(settings) == before
    labels.write_text(label_table(range(60)))
    open_study(settings, task="malignancy")
    assert written_splits(settings) == before


def test_other_schemes_are_kept_beside_each_other(settings: Settings) -> None:
    store_views(settings, range(60))
    other = with_splits(settings, SplitConfig(seed=1))
    for each in (settings, other, settings):
        open_study(each, task="malignancy")
    assert written_splits(settings) != written_splits(other)
    table = lance.dataset(f"{settings.store}/splits--folder.lance").to_table().to_pylist()
    assert Counter(row["scheme"] for row in table) == {"val=0.1 test=0.2 seed=0": 60, "val=0.1 test=0.2 seed=1": 60}


def test_a_fraction_thins_what_is_fitted_and_not_what_is_kept(settings: Settings) -> None:
    store_views(settings, range(60))
    thin = with_splits(settings, SplitConfig(fraction=0.5))
    study = open_study(thin, task="malignancy")
    assert {split: len(rows) for split, rows in study.rows.items()} == {Split.TRAIN: 21, Split.VAL: 6, Split.TEST: 12}
    assert Counter(written_splits(thin).values()) == {"train": 42, "val": 6, "test": 12}
    whole = open_study(settings, task="malignancy")
    for split in (Split.VAL, Split.TEST):
        assert study.rows[split] == whole.rows[split]
    assert {row.breast_id for row in study.rows[Split.TRAIN]} < {row.breast_id for row in whole.rows[Split.TRAIN]}
    assert study.read(Split.TRAIN).labels.sum() == sum(row.label for row in study.rows[Split.TRAIN]) > 0


def test_the_owners_test_can_be_the_test(settings: Settings) -> None:
    store_views(settings, range(60))
    study = open_study(with_splits(settings, SplitConfig(official=True)), task="malignancy")
    assert {row.patient_id for row in study.rows[Split.TEST]} == {f"P{one}" for one in range(0, 60, 5)}
    assert len(study.rows[Split.VAL]) == 5  # a tenth of the other 48


def test_labels_of_breasts_without_images_are_normal(
    settings: Settings, labels: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels.write_text(label_table(range(60), extra=["E99_L,1,A,train"]))
    with caplog.at_level(logging.INFO, logger="tilebank"):
        found, _ = plan_study(settings, breasts(range(50)), task="malignancy")
    assert len(found) == 50
    assert "labels of 11 of 61 breasts have no images here" in caplog.text


@pytest.mark.parametrize("ids", ["plain", "keyed-hash"])
def test_labels_that_are_about_none_of_the_images_name_one_of_each(
    settings: Settings, labels: Path, monkeypatch: pytest.MonkeyPatch, ids: str
) -> None:
    monkeypatch.setenv("TILEBANK_ID_KEY", "0123456789abcdef")
    settings = settings.model_copy(update={"dataset": replace(settings.dataset, ids=ids)})
    labels.write_text("breast_id,birads\n2.25.7_L,4\n")
    advice = {"plain": "dataset.exam_key=study_uid (it is accession_number)", "keyed-hash": "set TILEBANK_ID_KEY"}
    with pytest.raises(DatasetError) as raised:
        plan_study(settings, breasts(range(3)), task="malignancy")
    assert advice[ids] in str(raised.value)
    assert "the images are of E0_L" in str(raised.value)
    assert ("they name 2.25.7_L" in str(raised.value)) is (ids == "plain")


def test_a_splits_table_that_gives_a_patient_two_splits_is_refused(settings: Settings) -> None:
    row = {"dataset": "folder", "task": "malignancy", "scheme": settings.splits.scheme, "seed": 0, "patient_id": "P1"}
    store = Store(settings.store)
    store.write_splits("folder", [row | {"split": "train"}, row | {"split": "test"}], licence=settings.licence)
    with pytest.raises(StoreError, match="gives a patient two splits of malignancy"):
        plan_study(settings, breasts(range(60)), task="malignancy")


def test_a_splits_table_of_an_earlier_version_says_what_to_do(settings: Settings) -> None:
    old = pa.table({"dataset": ["folder"], "task": ["malignancy"], "seed": [0], "patient_id": ["P1"], "split": ["val"]})
    Path(settings.store).mkdir(parents=True)
    lance.write_dataset(old, f"{settings.store}/splits--folder.lance")
    with pytest.raises(StoreError, match="splits--folder.lance comes from an earlier version; delete it"):
        plan_study(settings, breasts(range(60)), task="malignancy")
