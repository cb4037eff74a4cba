"""Validation of real files through Ray: what an extraction would do with each, in the CSV, the page and the summary."""

import csv
import io
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import BreastTomosynthesisImageStorage, JPEG2000Lossless
from tests.conftest import half_disc, make_dicom
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError, DatasetError
from tilebank.flows.settings.settings import Settings
from tilebank.flows.validate.rows import FileRow, Outcome
from tilebank.flows.validate.sample import plan_sample
from tilebank.flows.validate.validate import ValidationSummary, validate

pytestmark = pytest.mark.slow

WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096"}
IDS = {"PatientID": "PATIENT77", "AccessionNumber": "ACCESSION77", "StudyInstanceUID": "2.25.7777"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good files, one not asked for, and of each way to be refused one; no file is named after its ids."""
    root = tmp_path / "Ordner ä"
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 4096, (700, 500), dtype=np.uint16)
    cut = make_dicom(noise, SOPInstanceUID="2.25.30", syntax=JPEG2000Lossless, **IDS, **WINDOW)
    good = {"left": ("L", "CC"), "right": ("R", "CC"), "<b>oblique</b>": ("L", "MLO")}
    for number, (name, (side, view)) in enumerate(good.items()):
        disc = half_disc(700, 500, right=side == "R")
        tags = {"ImageLaterality": side, "ViewPosition": view, "SOPInstanceUID": f"2.25.1{number}"}
        (root / f"{name}.dcm").parent.mkdir(exist_ok=True, parents=True)
        (root / f"{name}.dcm").write_bytes(make_dicom(disc, Manufacturer="Hologic", **tags, **IDS, **WINDOW))
    tomosynthesis = {"SOPClassUID": BreastTomosynthesisImageStorage, "SOPInstanceUID": "2.25.20"}
    (root / "tomo.dcm").write_bytes(make_dicom(half_disc(64, 48), **tomosynthesis, **IDS))
    (root / "truncated.dcm").write_bytes(cut[: len(cut) // 2])
    (root / "sideless.dcm").write_bytes(
        make_dicom(half_disc(64, 48), ImageLaterality=None, SOPInstanceUID="2.25.31", **IDS)
    )
    (root / "letter.dcm").write_text("this is a letter, not an image\n" * 20)
    return root


@pytest.fixture
def look(ray_session: None, tmp_path: Path):
    """`look(settings, pixels=..., sample=...)`: the summary, the rows of the CSV by uri, and the page."""

    def call(
        settings: Settings, *, pixels: bool = False, sample: int = 0
    ) -> tuple[ValidationSummary, dict[str, dict[str, str]], str]:
        html, rows = tmp_path / "out" / "report.html", tmp_path / "out" / "rows.csv"
        summary = validate(settings, pixels=pixels, sample=sample, html=html, csv=rows)
        lines = csv.DictReader(io.StringIO(rows.read_bytes().decode(), newline=""))
        return summary, {line["uri"]: line for line in lines}, html.read_text(encoding="utf-8")

    return call


def test_every_file_of_a_folder_has_one_row_with_its_outcome_and_reason(
    settings_for: MakeSettings, folder: Path, look
) -> None:
    summary, rows, page = look(settings_for(dataset="folder", root=str(folder)))
    outcomes = {uri: (row["outcome"], row["stage"]) for uri, row in rows.items()}
    assert outcomes == {
        "left.dcm": ("accept", ""),
        "right.dcm": ("accept", ""),
        "<b>oblique</b>.dcm": ("accept", ""),
        "truncated.dcm": ("accept", ""),
        "tomo.dcm": ("filter", "filter"),
        "sideless.dcm": ("refuse", "identify"),
        "letter.dcm": ("refuse", "read"),
    }
    assert (rows["tomo.dcm"]["error_class"], rows["sideless.dcm"]["error_class"]) == ("tomosynthesis", "SideMissing")
    left = rows["left.dcm"]
    assert (left["laterality"], left["view"], left["intensity"], left["bits_stored"]) == ("L", "CC", "linear", "12")
    assert (left["laterality_from"], left["transfer_syntax"]) == ("ImageLaterality", "Explicit VR Little Endian")
    assert (left["manufacturer"], left["rows"], left["columns"]) == ("Hologic", "700", "500")
    assert (summary.report.all.accept, summary.report.all.filter, summary.report.all.refuse) == (4, 1, 2)
    assert not summary.failed
    assert "No task has labels here" in page
    assert "has no labels" in summary.as_text()


def test_pixels_find_what_no_header_tells(settings_for: MakeSettings, folder: Path, look) -> None:
    summary, rows, _ = look(settings_for(dataset="folder", root=str(folder)), pixels=True)
    assert (rows["truncated.dcm"]["outcome"], rows["truncated.dcm"]["stage"]) == ("refuse", "decode")
    assert {uri for uri, row in rows.items() if row["outcome"] == "accept"} == {
        "left.dcm",
        "right.dcm",
        "<b>oblique</b>.dcm",
    }
    assert (summary.size.images, summary.size.breasts, summary.size.whole_breasts) == (3, 2, 1)


def test_the_intensity_in_use_replaces_the_one_on_offer(settings_for: MakeSettings, folder: Path, look) -> None:
    settings = settings_for("reader.intensity=minmax", dataset="folder", root=str(folder))
    assert look(settings, pixels=True)[1]["left.dcm"]["intensity"] == "minmax"
    assert look(settings)[1]["left.dcm"]["intensity"] == "linear"


def test_a_picture_that_cannot_be_drawn_refuses_its_file(settings_for: MakeSettings, folder: Path, look) -> None:
    summary, rows, page = look(settings_for(dataset="folder", root=str(folder)), sample=4)
    assert page.count("<img") == 3
    assert rows["truncated.dcm"]["outcome"] == "refuse"
    assert summary.report.all.accept == 3


def test_no_id_stands_in_page_csv_or_summary(settings_for: MakeSettings, folder: Path, look, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("exam_id,laterality,birads\nACCESSION77,L,nonsense\n")
    summary, rows, page = look(settings_for(f"dataset.labels={labels}", dataset="folder", root=str(folder)), sample=1)
    shown = page + str(rows) + str(summary.report)
    assert not [text for text in (*IDS.values(), "SECRET", "2.25.1", "2.25.3") if text in shown]
    assert "<b>oblique" not in page
    assert "nonsense" in summary.as_text(), "the person who runs the job is told which label is wrong"


def test_tables_and_headers_that_disagree_are_refused_and_missing_files_too(
    settings_for: MakeSettings, phantom_root: Path, tmp_path: Path, look
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(phantom_root, root)
    missing, swapped, copied, sidelong, *_ = sorted(root.glob("*/*/*.dcm"))
    missing.unlink()
    shutil.copy(sidelong, copied)
    dataset = pydicom.dcmread(swapped)
    dataset.ImageLaterality = "R" if dataset.ImageLaterality == "L" else "L"
    dataset.save_as(swapped)
    summary, rows, page = look(settings_for(root=str(root)))
    wrong = {uri: (row["stage"], row["error_class"]) for uri, row in rows.items() if row["outcome"] != "accept"}
    assert wrong == {
        missing.relative_to(root).as_posix(): ("read", "FileNotFoundError"),
        swapped.relative_to(root).as_posix(): ("identify", "SideConflict"),
        copied.relative_to(root).as_posix(): ("identify", "OtherImage"),
    }
    assert summary.report.all.total == len(rows) == 120
    assert summary.size.patients == 30
    assert str(root) not in re.sub(r"<dt>Root</dt>.*", "", page), "files are named from the root"


def test_labels_are_counted_as_a_search_would_split_them(settings_for: MakeSettings, look) -> None:
    summary, _, page = look(settings_for())
    tasks = {task.task: task for task in summary.tasks}
    malignancy = tasks["malignancy"]
    assert [line.split for line in malignancy.lines] == ["train", "val", "test"]
    assert sum(line.patients for line in malignancy.lines) <= 30
    assert all(line.breasts == sum(line.by_class) > 0 for line in malignancy.lines)
    assert malignancy.rule in page.replace("&gt;", ">")
    assert sum(line.breasts for line in tasks["mass"].lines) == 60
    assert list(summary.unlabelled) == ["cancer", "label"], "the phantom study has no such facts"
    for task in ("cancer", "label"):
        assert f"Cannot be searched: no usable column &#39;{task}&#39;." in page


def test_nothing_accepted_is_a_failed_job_with_a_report(
    settings_for: MakeSettings, folder: Path, look, tmp_path: Path
) -> None:
    for place in [*folder.rglob("*.dcm")]:
        if "letter" not in place.name:
            place.unlink()
    summary, rows, page = look(settings_for(dataset="folder", root=str(folder)), pixels=True, sample=3)
    assert summary.failed
    assert [row["outcome"] for row in rows.values()] == ["refuse"]
    assert "letter.dcm" in page


def test_what_cannot_work_is_said_before_any_work(settings_for: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"--csv .*choose another path"):
        validate(settings_for(), pixels=False, sample=0, html=tmp_path / "a.html", csv=tmp_path / "file" / "b.csv")
    settings = settings_for(dataset="folder", root=str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="check --root"):
        validate(settings, pixels=False, sample=0, html=tmp_path / "a.html")


def test_a_sample_shows_every_kind_before_a_second_of_any() -> None:
    def row(vendor: str, view: str) -> FileRow:
        return FileRow("u", Outcome.ACCEPT, manufacturer=vendor, view=view)

    rows = [(f"a{i}", row("A", "CC")) for i in range(9)] + [(f"b{i}", row("B", "CC")) for i in range(3)]
    rows += [("c", row("B", "MLO"))]
    sample = plan_sample(rows, 5)
    assert Counter(key[0] for key in sample[:3]) == Counter("abc")
    assert (sample[0][0], sample[3][0], sample[4][0]) == ("a", "a", "b")
    assert plan_sample(reversed(rows), 5) == sample
    assert plan_sample(rows, 0) == []
