"""The folder adapter: placing, refusing, and joining a label table, with headers handed in."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tilebank.datasets.folder import Folder, unplaced_id
from tilebank.datasets.study import Breast, DatasetConfig, ScannedImage
from tilebank.errors import DatasetError
from tilebank.terms import FailureRow, Laterality


def adapter(root: Path, *, labels: str = "", exam_key: str = "accession_number") -> Folder:
    return Folder(
        DatasetConfig(
            name="mine",
            adapter="folder",
            root=str(root),
            licence="own",
            redistributable=False,
            labels=labels,
            exam_key=exam_key,
        )
    )


def image(uri: str, *, image_id: str, accession: str = "A1") -> ScannedImage:
    return ScannedImage(
        uri=uri,
        image_id=image_id,
        patient_id="0007",
        study_uid="2.25.9",
        accession_number=accession,
        laterality=Laterality.R,
        view="CC",
        manufacturer="",
    )


def test_only_what_may_be_dicom_is_scanned_and_names_without_suffix_are(tmp_path: Path) -> None:
    for name in ("a.dcm", "sub/1.2.840.99", "sub/noext", "labels.csv", "notes.txt", "DICOMDIR", ".hidden.dcm", "b.PNG"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    seen: list[str] = []

    def scan(uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
        seen.extend(uris)
        return (image(uri, image_id=uri) for uri in uris)

    manifest = adapter(tmp_path).read_manifest(scan)
    assert [uri.removeprefix(f"{tmp_path}/") for uri in seen] == ["a.dcm", "sub/1.2.840.99", "sub/noext"]
    assert {row.breast_id for row in manifest.images} == {"A1_R"}
    assert manifest.images[0].patient_id == "0007", "ids stay text"


def test_duplicates_and_missing_exams_are_named_failures(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm", "c.dcm"):
        (tmp_path / name).write_bytes(b"x")

    def scan(uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
        a, b, c = uris
        yield image(c, image_id="3", accession="")
        yield image(b, image_id="1")
        yield image(a, image_id="1")

    manifest = adapter(tmp_path).read_manifest(scan)
    assert [row.image_id for row in manifest.images] == ["1"]
    assert manifest.images[0].uri.endswith("a.dcm"), "the first by name is kept, whatever order headers come in"
    assert sorted((row.error_class, row.uri[-5:]) for row in manifest.failures) == [
        ("DuplicateImage", "b.dcm"),
        ("MissingExam", "c.dcm"),
    ]


def test_study_uid_can_name_the_exam(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    manifest = adapter(tmp_path, exam_key="study_uid").read_manifest(
        lambda uris: [image(uris[0], image_id="1", accession="")]
    )
    assert manifest.images[0].breast_id == "2.25.9_R"


def test_an_empty_or_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no DICOM file below"):
        adapter(tmp_path).read_manifest(lambda uris: [])
    with pytest.raises(DatasetError, match="cannot list"):
        adapter(tmp_path / "nowhere").read_manifest(lambda uris: [])


def test_an_id_for_what_has_none_is_stable_below_the_root_and_no_path() -> None:
    assert unplaced_id("/data", "/data/x/y.dcm") == unplaced_id("s3://b", "s3://b/x/y.dcm")
    assert "y.dcm" not in unplaced_id("/data", "/data/x/y.dcm")


BREASTS = [Breast("P", "0012", "0012_L", Laterality.L), Breast("P", "0012", "0012_R", Laterality.R)]


@pytest.mark.parametrize(
    "table",
    ["exam_id,laterality,birads\n0012,LEFT,4\n0012,r,1\n", "breast_id,birads\n0012_L,4\n0012_R,1\n"],
)
def test_truth_is_joined_by_breast_with_ids_as_text(tmp_path: Path, table: str) -> None:
    (tmp_path / "truth.csv").write_text(table)
    truth = adapter(tmp_path, labels=str(tmp_path / "truth.csv")).read_truth(BREASTS)
    assert {breast_id: row["birads"] for breast_id, row in truth.items()} == {"0012_L": "4", "0012_R": "1"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("exam_id,birads\n0012,4\n", "names no breast"),
        ("breast_id,birads\n0012_L,4\n0012_L,1\n", "two different things about breast 0012_L"),
        ("breast_id,birads\n99_L,4\n", "names no breast of the store"),
        ("breast_id;birads\n0012_L;4\n", "separated by semicolons"),
        ("breast_id,birads\n0012_L\n", "line 2 has another number of cells"),
    ],
)
def test_a_broken_label_table_says_what_is_wrong(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "truth.csv").write_text(table)
    with pytest.raises(DatasetError, match=says):
        adapter(tmp_path, labels=str(tmp_path / "truth.csv")).read_truth(BREASTS)


def test_no_labels_tells_how_to_give_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--set dataset.labels=PATH"):
        adapter(tmp_path).read_truth(BREASTS)
