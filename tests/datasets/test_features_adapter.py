"""The adapter of features made elsewhere: whose a slide is, what is known of a bag, and tables that contradict."""

from pathlib import Path

import pytest

from tilebank.datasets.contract import DatasetConfig
from tilebank.datasets.features import Features
from tilebank.datasets.labels import label_breasts
from tilebank.errors import DatasetError, ImageError
from tilebank.terms import SlideOwner

CLAM = "case_id,slide_id,label\nP1,A.1,0\nP1,A.2,0\nP2,B.1,1\n"


def features(tmp_path: Path, table: str = "", **settings: str) -> Features:
    labels = tmp_path / "labels.csv"
    labels.write_text(table)
    known = {
        "name": "slides",
        "adapter": "features",
        "root": "/r",
        "licence": "CC0",
        "labels": str(labels) * bool(table),
    }
    return Features(DatasetConfig(**known, redistributable=True, **settings))  # type: ignore[arg-type]


def test_a_slide_is_a_bag_of_its_patient(tmp_path: Path) -> None:
    adapter = features(tmp_path, CLAM)
    assert adapter.read_owners()["A.2"] == SlideOwner("P1", "A.2", "A.2")
    assert {bag: facts["label"] for bag, facts in adapter.read_truth().items()} == {"A.1": "0", "A.2": "0", "B.1": "1"}


def test_a_patients_slides_are_one_bag(tmp_path: Path) -> None:
    adapter = features(tmp_path, CLAM, bag="patient")
    assert adapter.read_owners()["A.2"] == SlideOwner("P1", "P1", "P1")
    assert {bag: facts["label"] for bag, facts in adapter.read_truth().items()} == {"P1": "0", "P2": "1"}


@pytest.mark.parametrize("header", ["FILENAME,PATIENT,label", "wsi,case,LABEL", "slide,patient_id,label"])
def test_other_tools_names_of_columns_are_known(header: str, tmp_path: Path) -> None:
    adapter = features(tmp_path, f"{header}\nfolder/S.1.svs,P1,1\n")
    assert adapter.read_owners() == {"S.1": SlideOwner("P1", "S.1", "S.1")}
    assert adapter.read_truth()["S.1"]["label"] == "1"


def test_without_a_table_of_patients_each_slide_is_its_own(tmp_path: Path) -> None:
    for table in ("", "slide_id,label\nS,1\n"):
        adapter = features(tmp_path, table)
        owners = adapter.read_owners()
        assert adapter.find_owner("S", owners) == SlideOwner("S", "S", "S")
    with pytest.raises(DatasetError, match="has one bag per patient, and no table names the patients"):
        features(tmp_path, "slide_id,label\nS,1\n", bag="patient").read_owners()


def test_a_slide_that_the_table_does_not_name_has_no_owner(tmp_path: Path) -> None:
    adapter = features(tmp_path, CLAM)
    with pytest.raises(ImageError, match="has no row for the slide"):
        adapter.find_owner("C.1", adapter.read_owners())


@pytest.mark.parametrize(
    ("table", "bag", "says"),
    [
        ("case_id,slide_id,label\nP1,A,0\nP1,A.svs,1\n", "slide", "two different things about slide A"),
        ("case_id,slide_id,label\n,A,0\n", "slide", "slide A names no patient"),
        ("case_id,label\nP1,0\n", "slide", "a row names no slide; give the column slide_id"),
    ],
)
def test_tables_that_contradict_or_leave_out_are_refused(table: str, bag: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=says):
        features(tmp_path, table, bag=bag).read_truth()


def test_slides_of_a_patient_that_differ_in_a_label_raise_where_it_is_asked_for(tmp_path: Path) -> None:
    table = "case_id,slide_id,label,scanner,cancer\nP1,A,0,x,1\nP1,B,0,y,0\nP1,C,,y,0\n"
    adapter = features(tmp_path, table, bag="patient")
    truth = adapter.read_truth()
    assert truth == {"P1": {"label": "0", "scanner": "x and y", "cancer": "0 and 1"}}
    breasts = list(adapter.read_owners().values())
    assert [row.label for row in label_breasts("label", breasts, truth=truth, dataset="slides")] == [0]
    with pytest.raises(DatasetError, match="breast P1: cancer is '0 and 1', not 0 or 1; correct the table"):
        label_breasts("cancer", breasts, truth=truth, dataset="slides")


def test_there_are_no_images_to_extract_and_no_labels_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"tilebank exchange import --dataset slides"):
        features(tmp_path).read_manifest(lambda uris: [])
    with pytest.raises(DatasetError, match=r"--set dataset.labels=PATH"):
        features(tmp_path).read_truth()


def test_ids_stay_the_names_of_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="adapter features takes ids: plain"):
        features(tmp_path, ids="keyed-hash")
