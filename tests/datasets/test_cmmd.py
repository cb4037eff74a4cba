"""CMMD: images from headers, both breasts of every listed patient from the sheet; a replica, and the real tables."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.headers import HEADER

from tilebank.datasets.cmmd import Cmmd
from tilebank.datasets.contract import DatasetConfig, Manifest, ScannedImage
from tilebank.errors import DatasetError
from tilebank.terms import FailureRow, ImageHeader, ImageKind

TABLES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "tables"
SHEET = (
    "ID1,LeftRight,Age,number,abnormality,classification,subtype\n"
    "D1-0001,R,44,2,calcification,Benign,\n"
    "D2-0002,L,51,2,both,Malignant,Luminal A\n"
    "D2-0002,R,51,2,mass,Benign,\n"
)


def header_of(uid: str, patient_id: str, laterality: str, view: str) -> ImageHeader:
    """What a file of CMMD says: a mammogram for reading, with no accession number and no vendor."""
    return replace(
        HEADER,
        sop_instance_uid=uid,
        patient_id=patient_id,
        study_uid="1.2",
        accession_number="",
        laterality=laterality,
        view=view,
        view_from="ViewCodeSequence",
        manufacturer="",
        rows=2294,
        columns=1914,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        intensity="sigmoid",
        spacing_mm=(0.094, 0.094),
    )


def cmmd_at(root: Path, sheet: str = SHEET) -> Cmmd:
    (root / "CMMD_clinicaldata_revision.csv").write_text(sheet)
    return Cmmd(DatasetConfig(name="cmmd", adapter="cmmd", root=str(root), licence="x", redistributable=True))


def manifest_of(cmmd: Cmmd, headers: dict[str, ImageHeader | FailureRow]) -> Manifest:
    """The manifest when the files below the root have these headers, by their path from there."""
    root = Path(cmmd.config.root)
    for name in headers:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    def scan(uris: Sequence[str]) -> Iterable[ScannedImage | FailureRow]:
        for uri in reversed(uris):  # in any order
            header = headers[str(Path(uri).relative_to(root))]
            yield replace(header, uri=uri) if isinstance(header, FailureRow) else ScannedImage(uri, header)

    return cmmd.read_manifest(scan)


def test_headers_say_whose_image_it_is(tmp_path: Path) -> None:
    headers = {
        "CMMD/D1-0001/s/1-1.dcm": header_of("1.1", "D1-0001", "R", "CC"),
        "CMMD/D1-0001/s/1-2.dcm": header_of("1.2", "D1-0001", "R", "MLO"),
    }
    first, second = manifest_of(cmmd_at(tmp_path), headers).images
    assert (first.image_id, first.sop_instance_uid, first.uri) == ("1.1", "1.1", f"{tmp_path}/CMMD/D1-0001/s/1-1.dcm")
    assert (first.patient_id, first.exam_id, first.breast_id) == ("D1-0001", "D1-0001", "D1-0001_R")
    assert (second.view, second.view_from, second.laterality_from) == ("MLO", "ViewCodeSequence", "ImageLaterality")


def test_what_cannot_be_placed_is_a_failure_that_says_why(tmp_path: Path) -> None:
    headers: dict[str, ImageHeader | FailureRow] = {
        "a.dcm": header_of("1.1", "D1-0001", "R", "CC"),
        "b.dcm": header_of("1.1", "D1-0001", "R", "CC"),
        "c.dcm": header_of("1.3", "D1-0001", "R", ""),
        "d.dcm": header_of("1.4", "", "R", "CC"),
        "e.dcm": replace(header_of("1.5", "D1-0001", "R", "CC"), kind=ImageKind.SYNTHETIC),
        "f.dcm": FailureRow("file-1", "", "read", "NotDicom", "not DICOM"),
        "note.txt": header_of("1.9", "D1-0001", "R", "CC"),
    }
    manifest = manifest_of(cmmd_at(tmp_path), headers)
    assert [row.image_id for row in manifest.images] == ["1.1"]
    assert [(row.stage, row.error_class) for row in manifest.failures] == [
        ("identify", "DuplicateImage"),
        ("identify", "ViewMissing"),
        ("identify", "MissingId"),
        ("filter", "synthetic"),
        ("read", "NotDicom"),
    ]
    assert len({row.image_id for row in (*manifest.failures, *manifest.images)}) == 6


def test_the_breast_that_the_sheet_does_not_name_is_an_implied_normal_one(tmp_path: Path) -> None:
    truth = cmmd_at(tmp_path).read_truth()
    assert sorted(truth) == ["D1-0001_L", "D1-0001_R", "D2-0002_L", "D2-0002_R"]
    assert truth["D1-0001_L"] == {
        "cancer": "0",
        "masses": "0",
        "calcifications": "0",
        "implied_normal": "1",
        "subtype": "",
        "age": "44",
    }
    assert truth["D2-0002_L"] == {
        "cancer": "1",
        "masses": "1",
        "calcifications": "1",
        "implied_normal": "0",
        "subtype": "Luminal A",
        "age": "51",
    }
    assert (truth["D1-0001_R"]["masses"], truth["D1-0001_R"]["calcifications"]) == ("0", "1")
    assert (truth["D2-0002_R"]["cancer"], truth["D2-0002_R"]["implied_normal"]) == ("0", "0")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("D1-0001,R", "D1-0001,B", "LeftRight 'B'"),
        ("D1-0001,R", ",R", "ID1 ''"),
        ("calcification,Benign", "calcification,Unsure", "classification 'Unsure' \\(Benign or Malignant\\)"),
        ("calcification,Benign", "cyst,Benign", "breast D1-0001 R: abnormality is 'cyst'"),
        ("D2-0002,R", "D2-0002,L", "two different things about breast D2-0002 L"),
        ("LeftRight", "Side", "no column LeftRight"),
    ],
)
def test_a_sheet_that_cannot_be_read_says_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        cmmd_at(tmp_path, SHEET.replace(old, new)).read_truth()


def test_without_a_sheet_as_csv_the_message_says_how_to_get_one(tmp_path: Path) -> None:
    cmmd = cmmd_at(tmp_path)
    (tmp_path / "CMMD_clinicaldata_revision.csv").rename(tmp_path / "label.csv")
    assert cmmd.read_truth()
    (tmp_path / "label.csv").unlink()
    with pytest.raises(
        DatasetError, match="no table CMMD_clinicaldata_revision.csv or label.csv .*put the clinical sheet"
    ):
        cmmd.read_truth()
    (tmp_path / "CMMD_clinicaldata_revision.xlsx").touch()
    with pytest.raises(DatasetError, match="convert the sheet: libreoffice --headless --convert-to csv"):
        cmmd.read_truth()


def test_a_root_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no file \\*\\.dcm below"):
        manifest_of(cmmd_at(tmp_path), {})


def test_the_real_tables_give_every_image_its_breast_and_label(tmp_path: Path) -> None:
    if not (TABLES / "cmmd_cleaned_label.csv").is_file():
        pytest.skip("the tables of CMMD (../shared/data/tables) are not on this machine")
    with (TABLES / "cmmd_cleaned_label.csv").open(newline="") as stream:
        dump = list(csv.DictReader(stream))
    views = {"cranio-caudal": "CC", "medio-lateral oblique": "MLO"}
    headers: dict[str, ImageHeader | FailureRow] = {}
    for row in dump:
        header = header_of(row["__SOPInstanceUID"], row["__PatientID"], row["laterality"], views[row["__CodeMeaning"]])
        headers[f"CMMD/{row['patient_id']}/{row['image_id'].partition('_')[2]}.dcm"] = header
    cmmd = cmmd_at(tmp_path, (TABLES / "cmmd_raw_label.csv").read_text())
    images, truth = manifest_of(cmmd, headers).images, cmmd.read_truth()

    # The dump names 5,202 images of 1,775 patients, half of them CC; by its own columns 1,458 are `Normal` and 2,632 of
    # cancer. The sheet names 1,872 breasts (556 benign, 1,316 malignant), so 2 x 1,775 - 1,872 = 1,678 are implied.
    assert len(images) == len({row.image_id for row in images}) == 5202
    assert Counter(row.view for row in images) == {"CC": 2601, "MLO": 2601}
    assert len(truth) == 2 * 1775
    assert Counter(facts["implied_normal"] for facts in truth.values()) == {"0": 1872, "1": 1678}
    assert Counter(facts["cancer"] for facts in truth.values()) == {"0": 556 + 1678, "1": 1316}
    # The sheet: 1,149 mass, 461 both, 262 calcification.
    assert Counter(facts["masses"] for facts in truth.values())["1"] == 1149 + 461
    assert Counter(facts["calcifications"] for facts in truth.values())["1"] == 262 + 461
    assert all(row.breast_id in truth for row in images)
    assert sum(truth[row.breast_id]["implied_normal"] == "1" for row in images) == 1458
    shown = {row.breast_id: truth[row.breast_id] for row in images}
    assert Counter((facts["cancer"], facts["implied_normal"]) for facts in shown.values()) == {
        ("1", "0"): 1316,
        ("0", "0"): 556,
        ("0", "1"): 1458 // 2,  # two views each
    }
    by_uid = {row["__SOPInstanceUID"]: row["cancer"] for row in dump}
    assert all(truth[row.breast_id]["cancer"] == by_uid[row.image_id] for row in images)


def test_a_copy_stands_in_for_a_first_file_that_has_no_place(tmp_path: Path) -> None:
    headers: dict[str, ImageHeader | FailureRow] = {
        "a.dcm": FailureRow("1.1", "", "read", "HeaderDamaged", "it is cut off"),
        "b.dcm": header_of("1.1", "D1-0001", "", "CC"),
        "c.dcm": header_of("1.1", "D1-0001", "R", "CC"),
        "d.dcm": header_of("1.1", "D1-0001", "R", "CC"),
    }
    manifest = manifest_of(cmmd_at(tmp_path), headers)
    assert [(row.image_id, row.uri[-5:]) for row in manifest.images] == [("1.1", "c.dcm")]
    found = [(row.uri[-5:], row.error_class) for row in manifest.failures]
    assert sorted(found) == [("a.dcm", "HeaderDamaged"), ("b.dcm", "SideMissing"), ("d.dcm", "DuplicateImage")]
    assert len({row.image_id for row in (*manifest.failures, *manifest.images)}) == 4
