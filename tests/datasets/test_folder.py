"""The folder adapter: filtering, placing, refusing, and reading a label table, with headers handed in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from tests.headers import HEADER

from tilebank.datasets.contract import DatasetConfig, Manifest, ScannedImage
from tilebank.datasets.folder import Folder, id_from_path
from tilebank.datasets.intake import IntakeConfig
from tilebank.errors import ConfigError, DatasetError
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.terms import FailureRow, ImageHeader, ImageKind, Laterality

PLAIN = replace(
    HEADER,
    sop_instance_uid="1",
    patient_id="0007",
    study_uid="2.25.9",
    laterality="R",
    view_from="ViewCodeSequence",
    manufacturer="ACME",
    rows=4,
    columns=3,
)
Read = Callable[..., Manifest]


def adapter(
    root: Path,
    *,
    labels: str = "",
    exam_key: Literal["accession_number", "study_uid"] = "accession_number",
    intake: IntakeConfig | None = None,
) -> Folder:
    return Folder(
        DatasetConfig(
            name="mine",
            adapter="folder",
            root=str(root),
            licence="own",
            redistributable=False,
            labels=labels,
            exam_key=exam_key,
            intake=intake or IntakeConfig(),
        )
    )


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read({"a.dcm": header, ...}, exam_key=..., intake=...)`: the manifest of a folder of such files."""

    def of(headers: dict[str, ImageHeader], **settings: object) -> Manifest:
        for name in headers:
            (tmp_path / name).write_bytes(b"x")
        return adapter(tmp_path, **settings).read_manifest(  # type: ignore[arg-type]
            # backwards: headers come in any order
            lambda uris: [ScannedImage(uri, headers[uri.rsplit("/", 1)[-1]]) for uri in reversed(uris)]
        )

    return of


def said(manifest: Manifest) -> list[tuple[str, str, str]]:
    """(file, stage, class) of the failures."""
    return sorted((row.uri.rsplit("/", 1)[-1], row.stage, row.error_class) for row in manifest.failures)


def test_only_what_may_be_dicom_is_scanned_and_names_without_suffix_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.dcm", "sub/1.2.840.99", "sub/noext", "labels.csv", "notes.txt", "DICOMDIR", ".hidden.dcm", "b.PNG"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    seen: list[str] = []

    def scan(uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
        seen.extend(uris)
        return (ScannedImage(uri, replace(PLAIN, sop_instance_uid=uri)) for uri in uris)

    manifest = adapter(tmp_path).read_manifest(scan)
    assert [uri.removeprefix(f"{tmp_path}/") for uri in seen] == ["a.dcm", "sub/1.2.840.99", "sub/noext"]
    assert len(manifest.images) == 3
    assert sorted(caplog.messages[0].partition("5 files are not read as images: ")[2].split(", ")) == [
        "1 .csv",
        "1 .png",
        "1 .txt",
        "1 hidden",
        "1 of another suffix or none",
    ]


def test_a_row_holds_what_the_header_says_and_which_tag_said_it(read: Read) -> None:
    (row,) = read({"a.dcm": replace(PLAIN, special=("spot",))}, intake=IntakeConfig(special=("spot",))).images
    assert (row.dataset, row.patient_id, row.exam_id, row.breast_id) == ("mine", "0007", "A1", "A1_R")
    assert (row.laterality, row.view) == (Laterality.R, "CC")
    assert (row.laterality_from, row.view_from) == ("ImageLaterality", "ViewCodeSequence")
    assert (row.image_kind, row.special, row.manufacturer) == (ImageKind.FFDM, ("spot",), "ACME")
    assert row.image_id == row.sop_instance_uid == "1"
    assert row.uri.endswith("/a.dcm")


def test_what_is_not_asked_for_is_filtered_before_anything_is_asked_of_it(read: Read) -> None:
    headers = {
        # a dose report has no side, no view and here no ids either: that is no fault of it
        "report": replace(
            PLAIN, kind=ImageKind.NOT_AN_IMAGE, laterality="", view="", patient_id="", sop_instance_uid=""
        ),
        "synthetic": replace(PLAIN, kind=ImageKind.SYNTHETIC, sop_instance_uid="2"),
        "lateral": replace(PLAIN, view="ML", sop_instance_uid="3"),
        "spot": replace(PLAIN, special=("spot",), sop_instance_uid="4"),
    }
    manifest = read(headers)
    assert said(manifest) == [
        ("lateral", "filter", "view-ML"),
        ("report", "filter", "not_an_image"),
        ("spot", "filter", "spot"),
        ("synthetic", "filter", "synthetic"),
    ]
    assert not manifest.images
    ids = {row.uri.rsplit("/", 1)[-1]: row.image_id for row in manifest.failures}
    assert (ids["synthetic"], ids["lateral"], ids["report"][:5]) == ("2", "3", "file-")
    wide = read(headers, intake=IntakeConfig(kinds=("ffdm", "synthetic"), views=(), special=("spot",)))
    assert [row.image_id for row in wide.images] == ["3", "4", "2"]


def test_headers_without_ids_side_or_view_are_named_failures(read: Read) -> None:
    manifest = read(
        {
            "a": replace(PLAIN, patient_id=""),
            "b": replace(PLAIN, sop_instance_uid=""),
            "c": replace(PLAIN, sop_instance_uid="3", accession_number=""),
            "d": replace(PLAIN, sop_instance_uid="4", laterality=""),
            "e": replace(PLAIN, sop_instance_uid="5", view=""),
            "f": replace(PLAIN, sop_instance_uid="6", conflict="ImageLaterality R, ViewPosition LEFT"),
        }
    )
    assert said(manifest) == [
        ("a", "identify", "MissingPatient"),
        ("b", "identify", "MissingImageId"),
        ("c", "identify", "MissingExam"),
        ("d", "identify", "SideMissing"),
        ("e", "identify", "ViewMissing"),
        ("f", "identify", "SelfContradiction"),
    ]
    reasons = {row.error_class: row.reason for row in manifest.failures}
    assert "--set dataset.exam_key" in reasons["MissingExam"]
    assert "splits cannot be by patient" in reasons["MissingPatient"]
    assert "ViewPosition LEFT" in reasons["SelfContradiction"]


def test_an_image_that_lies_there_twice_is_taken_once_the_first_by_name(read: Read) -> None:
    manifest = read({"b.dcm": PLAIN, "a.dcm": PLAIN})
    assert [row.uri[-5:] for row in manifest.images] == ["a.dcm"]
    assert said(manifest) == [("b.dcm", "identify", "DuplicateImage")]
    assert manifest.failures[0].image_id not in {"1", ""}, "its failure must not count as the image's own"


def test_a_copy_stands_in_for_a_first_file_whose_header_cannot_be_read_or_placed(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()

    def scan(uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
        first, second, third = sorted(uris)
        yield FailureRow("1", first, "read", "HeaderDamaged", "it is cut off")
        yield ScannedImage(second, replace(PLAIN, laterality=""))
        yield ScannedImage(third, PLAIN)

    manifest = adapter(tmp_path).read_manifest(scan)
    assert [(row.image_id, row.uri[-2:]) for row in manifest.images] == [("1", "/c")]
    assert said(manifest) == [("a", "read", "HeaderDamaged"), ("b", "identify", "SideMissing")]
    assert len({"1"} | {row.image_id for row in manifest.failures}) == 3


def test_failures_never_share_an_id(read: Read) -> None:
    nobody = replace(PLAIN, laterality="")
    manifest = read({"a": nobody, "b": nobody, "c": replace(PLAIN, sop_instance_uid="2")})
    assert [row.image_id for row in manifest.images] == ["2"]
    assert len({row.image_id for row in manifest.failures}) == 2
    assert read({"a": nobody, "b": nobody, "c": PLAIN}).images[0].image_id not in {
        row.image_id for row in read({"a": nobody, "b": nobody, "c": PLAIN}).failures
    }


def test_an_exam_id_that_several_patients_share_is_refused(read: Read) -> None:
    manifest = read(
        {
            "a": PLAIN,
            "b": replace(PLAIN, sop_instance_uid="2", patient_id="0008"),
            "c": replace(PLAIN, sop_instance_uid="3", patient_id="0009", accession_number="A2"),
        }
    )
    assert [row.image_id for row in manifest.images] == ["3"]
    assert said(manifest) == [("a", "identify", "ExamOfTwoPatients"), ("b", "identify", "ExamOfTwoPatients")]
    assert "--set dataset.exam_key" in manifest.failures[0].reason
    assert not any(word in row.reason for row in manifest.failures for word in ("0007", "0008", "A1"))


def test_study_uid_can_name_the_exam(read: Read) -> None:
    manifest = read({"a": replace(PLAIN, accession_number="")}, exam_key="study_uid")
    assert manifest.images[0].breast_id == "2.25.9_R"


def test_files_that_the_scan_cannot_read_stay_failures(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    failure = FailureRow("file-1", f"{tmp_path}/a", "read", "NotDicom", "no DICOM")
    assert adapter(tmp_path).read_manifest(lambda uris: [failure]).failures == (failure,)


def test_an_unknown_exam_key_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    choices = Choices(dataset="folder", root=str(tmp_path), set=("dataset.exam_key=study",))
    with pytest.raises(ConfigError, match="'dataset.exam_key' is 'study': .*'accession_number' or 'study_uid'"):
        load_settings(choices)


def test_an_empty_or_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no DICOM file below"):
        adapter(tmp_path).read_manifest(lambda uris: [])
    with pytest.raises(DatasetError, match="cannot list"):
        adapter(tmp_path / "nowhere").read_manifest(lambda uris: [])


def test_an_id_for_what_has_none_is_stable_below_the_root_and_no_path() -> None:
    assert id_from_path("/data", "/data/x/y.dcm") == id_from_path("s3://b", "s3://b/x/y.dcm")
    assert "y.dcm" not in id_from_path("/data", "/data/x/y.dcm")


@pytest.mark.parametrize(
    "table",
    [
        "exam_id,laterality,birads\n0012,LEFT,4\n0012,r,1\n",
        "exam_id,laterality,birads\n0012,l,4\n0012,Right,1\n",
        "breast_id,birads\n0012_L,4\n0012_R,1\n",
    ],
)
def test_truth_is_read_by_breast_with_ids_as_text(tmp_path: Path, table: str) -> None:
    (tmp_path / "truth.csv").write_text(table)
    truth = adapter(tmp_path, labels=str(tmp_path / "truth.csv")).read_truth()
    assert {breast_id: row["birads"] for breast_id, row in truth.items()} == {"0012_L": "4", "0012_R": "1"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("exam_id,birads\n0012,4\n", "identifies no breast"),
        ("exam_id,laterality,birads\n0012,,4\n", "identifies no breast"),
        ("exam_id,laterality,birads\n0012,R/L,4\n", "the laterality of exam 0012 is none of L, LEFT, R, RIGHT"),
        ("exam_id,laterality,birads\n0012,Lesion,4\n", "the laterality of exam 0012 is none of"),
        ("breast_id,birads\n0012_L,4\n0012_L,1\n", "two different things about breast 0012_L"),
        ("breast_id;birads\n0012_L;4\n", "separated by semicolons"),
        ("breast_id,birads\n0012_L\n", "line 2 has a different number of cells"),
    ],
)
def test_a_broken_label_table_says_what_is_wrong(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "truth.csv").write_text(table)
    with pytest.raises(DatasetError, match=says):
        adapter(tmp_path, labels=str(tmp_path / "truth.csv")).read_truth()


def test_no_labels_tells_how_to_give_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--set dataset.labels=PATH"):
        adapter(tmp_path).read_truth()


def test_a_folder_has_no_boxes(tmp_path: Path) -> None:
    assert list(adapter(tmp_path).read_findings()) == []
