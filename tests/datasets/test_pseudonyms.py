"""Keyed ids: the same study under other names, which nobody can turn back or link without the key."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import pytest

from tilebank.datasets.contract import Dataset, DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.folder import Folder
from tilebank.datasets.phantom import Phantom
from tilebank.datasets.pseudonyms import FACTS, Pseudonymised, read_key
from tilebank.datasets.registry import open_dataset
from tilebank.errors import ConfigError
from tilebank.terms import FailureRow, Finding, Laterality, ManifestRow, TileBox

KEY, OTHER = b"a key of sixteen or more", b"another key of that length"


@dataclass(frozen=True)
class Small:
    """A study of two images, with ids that are easy to find again."""

    images: tuple[ManifestRow, ...] = (
        ManifestRow(
            "d", "PAT7", "EX9", "EX9_L", "1.2.3", Laterality.L, "CC", "/data/PAT7/a.dcm", sop_instance_uid="1.2.3"
        ),
        ManifestRow(
            "d", "PAT7", "EX9", "EX9_R", "1.2.4", Laterality.R, "CC", "/data/PAT7/b.dcm", sop_instance_uid="1.2.4"
        ),
    )
    failures: tuple[FailureRow, ...] = (
        FailureRow(
            "1.2.5", "/data/PAT7/c.dcm", "identify", "Odd", "exam EX9: not 1.2.3, see /data/PAT7/a.dcm. Mend 2 of 3"
        ),
    )
    truth: Truth = field(
        default_factory=lambda: {
            "EX9_L": {"birads": "4", "density": "B", "age": "61", "patient_id": "PAT7", "study_date": "2019-03-01"},
            "EX9_R": {"birads": "1", "split": "test", "years_to_cancer": "100", "breast_id": "EX9_R"},
            "odd": {"birads": "1"},
        }
    )

    def read_manifest(self, scan: Scan) -> Manifest:
        return Manifest(self.images, self.failures)

    def read_truth(self) -> Truth:
        return self.truth

    def read_findings(self) -> Sequence[Finding]:
        return [Finding("1.2.3", ("mass",), TileBox(1, 2, 3, 4), birads="4", note="clipped")]


def manifest(dataset: Dataset) -> Manifest:
    return dataset.read_manifest(lambda uris: [])


def test_the_same_key_gives_the_same_ids_and_another_key_others() -> None:
    first, again, other = (manifest(Pseudonymised(Small(), key)) for key in (KEY, KEY, OTHER))
    assert first == again
    for one, two in zip(first.images, other.images, strict=True):
        assert one.patient_id != two.patient_id
        assert one.exam_id != two.exam_id
        assert one.breast_id != two.breast_id
        assert one.image_id != two.image_id
    assert first.failures[0].image_id != other.failures[0].image_id


def test_ids_are_hmac_sha256_of_kind_and_id() -> None:
    row = manifest(Pseudonymised(Small(), KEY)).images[0]
    for kind, plain, hashed in (
        ("patient", "PAT7", row.patient_id),
        ("exam", "EX9", row.exam_id),
        ("image", "1.2.3", row.image_id),
    ):
        assert hashed == hmac.new(KEY, f"{kind}/{plain}".encode(), hashlib.sha256).hexdigest()[:16]


def test_one_number_used_as_patient_and_exam_gives_two_ids() -> None:
    row = replace(Small().images[0], patient_id="5", exam_id="5", breast_id="5_L", image_id="5")
    hashed = manifest(Pseudonymised(Small(images=(row,)), KEY)).images[0]
    assert len({hashed.patient_id, hashed.exam_id, hashed.image_id}) == 3


def test_breasts_stay_together_and_apart_and_everything_else_stays() -> None:
    left, right = manifest(Pseudonymised(Small(), KEY)).images
    assert left.patient_id == right.patient_id
    assert left.exam_id == right.exam_id
    assert (left.breast_id, right.breast_id) == (f"{left.exam_id}_L", f"{left.exam_id}_R")
    plain = Small().images[0]
    ids = {name: getattr(plain, name) for name in ("patient_id", "exam_id", "breast_id", "image_id")}
    assert replace(left, **ids) == plain


def test_failures_lose_the_ids_and_paths_in_their_reasons() -> None:
    (failure,) = manifest(Pseudonymised(Small(), KEY)).failures
    assert failure.reason == "exam (id): not (id), see (id) Mend 2 of 3"
    assert failure.image_id == hmac.new(KEY, b"image/1.2.5", hashlib.sha256).hexdigest()[:16]
    assert (failure.stage, failure.error_class) == ("identify", "Odd")


def test_truth_and_findings_join_the_manifest_under_its_new_ids() -> None:
    dataset = Pseudonymised(Small(), KEY)
    left, right = manifest(dataset).images
    truth = dataset.read_truth()
    assert (truth[left.breast_id]["birads"], truth[right.breast_id]["split"]) == ("4", "test")
    (finding,) = dataset.read_findings()
    assert finding == Finding(left.image_id, ("mass",), TileBox(1, 2, 3, 4), birads="4", note="clipped")


def test_only_listed_facts_pass_and_no_plain_id_is_left() -> None:
    dataset = Pseudonymised(Small(), KEY)
    truth = dataset.read_truth()
    left = manifest(dataset).images[0].breast_id
    assert truth[left] == {"birads": "4", "density": "B", "age": "61"}
    assert {name for facts in truth.values() for name in facts} <= FACTS
    assert not FACTS & {"patient_id", "exam_id", "breast_id", "image_id", "study_date", "laterality"}
    assert not any(plain in str(truth) for plain in ("PAT7", "EX9", "odd", "2019"))


def test_every_fact_that_a_task_is_answered_from_passes() -> None:
    from tilebank.datasets.labels import TASKS

    assert {fact for task in TASKS.values() for fact in task.facts} | {"birads", "split"} <= FACTS


def test_a_whole_phantom_study_keeps_its_shape(phantom_root: Path) -> None:
    config = DatasetConfig(
        name="phantom", adapter="phantom", root=str(phantom_root), licence="CC0-1.0", redistributable=True
    )
    plain, hashed = Phantom(config), Pseudonymised(Phantom(config), KEY)
    before, after = manifest(plain).images, manifest(hashed).images
    for name in ("patient_id", "exam_id", "breast_id", "image_id"):
        pairs = {(getattr(one, name), getattr(two, name)) for one, two in zip(before, after, strict=True)}
        assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}), f"{name} is one to one"
    assert {row.breast_id for row in after} == hashed.read_truth().keys()
    assert {finding.image_id for finding in hashed.read_findings()} <= {row.image_id for row in after}
    plain_ids = {value for row in before for value in astuple(row)[1:5]}
    assert not plain_ids & {value for row in after for value in astuple(row)[1:5]}


def test_open_dataset_asks_for_a_key_only_where_ids_are_keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DatasetConfig(name="d", adapter="folder", root=str(tmp_path), licence="own", redistributable=False)
    monkeypatch.delenv("TILEBANK_ID_KEY", raising=False)
    assert isinstance(open_dataset(config), Folder)
    with pytest.raises(ConfigError, match="TILEBANK_ID_KEY is not set"):
        open_dataset(replace(config, ids="keyed-hash"))
    monkeypatch.setenv("TILEBANK_ID_KEY", secrets.token_hex(32))
    assert isinstance(open_dataset(replace(config, ids="keyed-hash")), Pseudonymised)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "is not set"),
        ({"TILEBANK_ID_KEY": " "}, "is not set"),
        ({"TILEBANK_ID_KEY": "123456789012345"}, "has 15 char"),
    ],
)
def test_a_missing_or_short_key_says_how_to_make_one(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=rf"TILEBANK_ID_KEY {says}.*python -c \"import secrets"):
        read_key(environ)


def test_a_key_is_read_without_the_line_end_of_its_file() -> None:
    assert read_key({"TILEBANK_ID_KEY": "1234567890123456\n"}) == b"1234567890123456"
