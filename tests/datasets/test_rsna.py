"""RSNA: images and facts of breasts from train.csv; a small replica with the quirks of the real table."""

from pathlib import Path

import pytest

from tilebank.datasets.contract import DatasetConfig, Manifest
from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.rsna import Rsna
from tilebank.errors import DatasetError
from tilebank.terms import Laterality

HEADER = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
    "difficult_negative_case\n"
)
# Two patients, three breasts, seven images. 10006 R has three images, one of them an ML. 20001 is of site 2: no density
# and no BI-RADS.
ROWS = (
    "1,10006,462822612,L,CC,61.0,0,0,0,,0,B,29,False\n"
    "1,10006,1459541791,L,MLO,61.0,0,0,0,1.0,0,,29,False\n"
    "1,10006,1864590858,R,CC,61.0,0,1,0,0.0,0,B,29,True\n"
    "1,10006,1874946579,R,MLO,61.0,0,1,0,0.0,0,B,48,True\n"
    "1,10006,1874946580,R,ML,61.0,0,1,0,0.0,0,B,29,True\n"
    "2,20001,9007199254740993,L,CC,,1,1,1,,0,,21,False\n"
    "2,20001,9007199254740995,L,MLO,,1,1,1,,0,,21,False\n"
)


def rsna_at(root: Path, text: str = HEADER + ROWS, *, intake: IntakeConfig | None = None) -> Rsna:
    (root / "train_images").mkdir(exist_ok=True)
    (root / "train.csv").write_text(text)
    config = DatasetConfig(
        name="rsna", adapter="rsna", root=str(root), licence="x", redistributable=False, intake=intake or IntakeConfig()
    )
    return Rsna(config)


def scan_nothing(uris: object) -> list[object]:
    raise AssertionError("the manifest is in the table: no header is read")


def manifest_of(rsna: Rsna) -> Manifest:
    return rsna.read_manifest(scan_nothing)  # type: ignore[arg-type]


def test_the_table_names_the_images_and_where_they_lie(tmp_path: Path) -> None:
    images = {row.image_id: row for row in manifest_of(rsna_at(tmp_path)).images}
    assert len(images) == 6
    row = images["9007199254740993"]  # beyond what a float can hold: 2^53 + 1
    assert row.uri == f"{tmp_path}/train_images/20001/9007199254740993.dcm"
    assert (row.patient_id, row.exam_id, row.breast_id) == ("20001", "20001", "20001_L")
    assert (row.laterality, row.view, row.sop_instance_uid) == (Laterality.L, "CC", "")


def test_a_view_that_is_not_asked_for_is_filtered_and_taken_when_it_is(tmp_path: Path) -> None:
    (failure,) = manifest_of(rsna_at(tmp_path)).failures
    assert (failure.image_id, failure.stage, failure.error_class) == ("1874946580", "filter", "view-ML")
    everything = manifest_of(rsna_at(tmp_path, intake=IntakeConfig(views=())))
    assert (len(everything.images), everything.failures) == (7, ())


def test_facts_are_those_of_the_breast(tmp_path: Path) -> None:
    truth = rsna_at(tmp_path).read_truth()
    assert sorted(truth) == ["10006_L", "10006_R", "20001_L"]
    assert truth["10006_R"] == {
        "cancer": "0",
        "birads": "0",
        "density": "B",
        "biopsy": "1",
        "invasive": "0",
        "difficult_negative": "1",
        "implant": "0",
        "age": "61.0",
        "site_id": "1",
        "machine_id": "",  # two machines: not a fact about the breast
    }


def test_a_missing_fact_stays_missing_and_does_not_contradict(tmp_path: Path) -> None:
    truth = rsna_at(tmp_path).read_truth()
    assert (truth["10006_L"]["birads"], truth["10006_L"]["density"]) == ("1", "B")
    assert (truth["20001_L"]["cancer"], truth["20001_L"]["birads"], truth["20001_L"]["density"]) == ("1", "", "")
    assert truth["20001_L"]["age"] == ""


def test_the_owner_states_no_split_and_no_boxes(tmp_path: Path) -> None:
    rsna = rsna_at(tmp_path)
    assert all("split" not in facts for facts in rsna.read_truth().values())
    assert list(rsna.read_findings()) == []


def test_a_contradiction_in_a_label_names_the_breast(tmp_path: Path) -> None:
    text = HEADER + ROWS.replace("R,MLO,61.0,0,1", "R,MLO,61.0,1,1")
    with pytest.raises(DatasetError, match="breast 10006_R: cancer is 0 and 1 in two rows"):
        rsna_at(tmp_path, text).read_truth()


def test_images_of_the_test_table_come_without_labels(tmp_path: Path) -> None:
    rsna = rsna_at(tmp_path)
    (tmp_path / "test.csv").write_text("patient_id,image_id,laterality,view\n30001,77,R,CC\n")
    assert len(manifest_of(rsna).images) == 6  # a table without its images adds nothing
    (tmp_path / "test_images").mkdir()
    added = manifest_of(rsna).images[-1]
    assert added.uri == f"{tmp_path}/test_images/30001/77.dcm"
    assert added.breast_id not in rsna.read_truth()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("9007199254740993", "9.007199254740992e+15", "image_id '9.007199254740992e\\+15' was written from a floating"),
        ("10006", "P6", "patient_id is 'P6', not a whole number"),
        ("R,CC", "B,CC", "image 1864590858: laterality is 'B', not L or R"),
        ("61.0,0,1,0,0.0", "61.0,0,1,0,7.0", "BIRADS is '7.0', which the owner's table never holds"),
        ("61.0,0,1,0,0.0", "61.0,maybe,1,0,0.0", "cancer is 'maybe', which the owner's table never holds"),
        ("0,B,29,True", "0,E,29,True", "density is 'E', which the owner's table never holds"),
        ("difficult_negative_case", "difficult", "train.csv has no column difficult_negative_case"),
        ("0,B,29,True\n", "0,B\n", "line 4 has a different number of cells"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        rsna_at(tmp_path, (HEADER + ROWS).replace(old, new)).read_truth()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    rsna = rsna_at(tmp_path, HEADER + ROWS + ROWS.splitlines()[0] + "\n")
    with pytest.raises(DatasetError, match="names the image 462822612 twice"):
        manifest_of(rsna)
    (tmp_path / "train_images").rmdir()
    with pytest.raises(DatasetError, match="no folder train_images in .*unpack it there"):
        manifest_of(rsna)
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DatasetError, match=r"cannot read the table .*train\.csv"):
        rsna.read_truth()
