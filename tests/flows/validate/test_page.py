"""The pure parts of the validation report: rows, tally, CSV and page, on rows made by hand."""

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.headers import HEADER

from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.labels import task_named
from tilebank.datasets.splits import SplitConfig
from tilebank.errors import DatasetError
from tilebank.flows.extract.thumbnail import veil_outside
from tilebank.flows.study.outputs import assert_every_answer
from tilebank.flows.validate.label_counts import StudySize, count_task, size_of
from tilebank.flows.validate.page import PageHead, PageStudy, Picture, render_page
from tilebank.flows.validate.rows import COLUMNS, FileRow, Outcome, relative_uri, row_of_header, stopped, write_csv
from tilebank.flows.validate.tally import LONGEST, UNREAD, summarise
from tilebank.terms import FailureRow, LabelRow, Laterality, ManifestRow, Split

HOSTILE = 'Fälle/<script>alert("x")</script>/a\'b&c\u202egnp.dcm\x1b[2J'
HEAD = PageHead(
    dataset="folder",
    root="/data/<b>root</b>",
    licence="unknown",
    facts={"made": "2025-01-02 03:04 UTC", "command": "tilebank validate"},
    pixels=False,
    tile_px=224,
    intake=IntakeConfig(),
)
NOTHING = PageStudy(StudySize(images=0, breasts=0, exams=0, patients=0, whole_breasts=0), (), "No labels.")


def file_row(uri: str, outcome: Outcome = Outcome.ACCEPT, **more: object) -> FileRow:
    return FileRow(uri, outcome, sop_class="Digital Mammography, For Presentation", **more)  # type: ignore[arg-type]


def refused(uri: str, error_class: str = "NotDicom", reason: str = "no DICOM") -> FileRow:
    return FileRow(uri, Outcome.REFUSE, "read", error_class, reason)


def csv_of(rows: Sequence[FileRow]) -> str:
    stream = io.StringIO(newline="")
    write_csv(rows, stream)
    return stream.getvalue()


class Page(HTMLParser):
    """What a browser would make of the page: the names of its elements, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(rows: Sequence[FileRow], *, study: PageStudy = NOTHING, pictures: Sequence[Picture] = ()) -> Page:
    return Page(render_page(HEAD, summarise(rows), study=study, pictures=pictures))


def test_counts_are_by_outcome_and_the_order_of_rows_does_not_matter() -> None:
    rows = [file_row(f"{i}.dcm", manufacturer="A" if i % 3 else "B") for i in range(6)]
    rows += [file_row("t.dcm", Outcome.FILTER, stage="filter", error_class="tomosynthesis", manufacturer="A")]
    rows += [refused("x.txt"), refused("y.txt"), refused("z.dcm", "SideMissing")]
    report = summarise(rows)
    assert (report.all.accept, report.all.filter, report.all.refuse, report.all.total) == (6, 1, 3, 10)
    vendors = next(by for by in report.breakdowns if by.title == "Vendor")
    assert [(line.value, line.accept, line.filter, line.refuse) for line in vendors.lines] == [
        ("A", 4, 1, 0),
        (UNREAD, 0, 0, 3),
        ("B", 2, 0, 0),
    ]
    assert all(sum(line.total for line in by.lines) == 10 for by in report.breakdowns)
    random.Random(0).shuffle(rows)
    assert summarise(rows) == report


def test_the_commonest_reasons_stand_first_with_a_few_files_of_each() -> None:
    rows = [refused(f"{i}.txt", reason=f"no DICOM at byte {i}") for i in range(5)]
    rows += [refused("a.dcm", "SideMissing", "no side")]
    first, second = summarise(rows).causes
    assert (first.error_class, first.count, first.wordings) == ("NotDicom", 5, 5)
    assert first.examples == ("0.txt", "1.txt", "2.txt")
    assert (second.error_class, second.count, second.wordings) == ("SideMissing", 1, 1)


def test_a_warning_is_counted_once_a_file_and_leaves_it_accepted() -> None:
    report = summarise([file_row("a", warnings=("odd", "odd", "older")), file_row("b", warnings=("odd",))])
    assert [(cause.reason, cause.count) for cause in report.warnings] == [("odd", 2), ("older", 1)]
    assert (report.all.accept, report.causes) == (2, ())


def test_rare_values_become_one_line_and_none_is_lost() -> None:
    rows = [file_row(f"{i}", rows=100 + i, columns=50) for i in range(40)]
    sizes = next(by for by in summarise(rows).breakdowns if by.title == "Rows × columns")
    assert len(sizes.lines) == LONGEST
    assert sizes.lines[-1].value == f"{40 - LONGEST + 1} others"
    assert sum(line.accept for line in sizes.lines) == 40


def test_a_header_becomes_a_row_in_words_and_without_ids() -> None:
    header = replace(
        HEADER,
        sop_instance_uid="1.2.3.SECRET",
        patient_id="SECRET-P",
        study_uid="1.2.SECRET",
        accession_number="SECRET-A",
        view="MLO",
        special=("spot",),
        transfer_syntax="1.2.840.10008.1.2.4.90",
        manufacturer="ACME",
        rows=3,
        columns=2,
        intensity="sigmoid",
        windows=3,
        warnings=("odd",),
    )
    row = row_of_header(header, "a/b.dcm")
    assert (row.sop_class, row.transfer_syntax) == ("Digital Mammography, For Presentation", "JPEG 2000 Lossless")
    assert (row.outcome, row.view, row.laterality_from, row.bits_stored) == ("accept", "MLO", "ImageLaterality", 12)
    assert "SECRET" not in csv_of([row])


def test_a_failure_at_stage_filter_is_filtered_any_other_refused_and_the_root_is_cut_off() -> None:
    row = file_row("a.dcm", manufacturer="ACME")
    filtered = stopped(row, FailureRow("id", "/r/a.dcm", "filter", "film", "digitised film"), root="/r")
    assert (filtered.outcome, filtered.manufacturer) == (Outcome.FILTER, "ACME")
    same = stopped(row, FailureRow("id", "/r/a.dcm", "identify", "DuplicateImage", "as /r/sub/b.dcm"), root="/r/")
    assert (same.outcome, same.reason) == (Outcome.REFUSE, "as sub/b.dcm")
    assert relative_uri("s3://bucket/p/a/b.dcm", root="s3://bucket/p") == "a/b.dcm"
    assert relative_uri("/elsewhere/b.dcm", root="/r") == "/elsewhere/b.dcm"


def test_the_csv_reads_back_and_holds_no_formula() -> None:
    hostile = 'a,"b"\nc;d.dcm'
    rows = [file_row(hostile, special=("spot", "rolled"), rows=7), file_row("=HYPERLINK(1)", manufacturer="@SUM(A1)")]
    first, second = csv.DictReader(io.StringIO(csv_of(rows), newline=""))
    assert tuple(first) == COLUMNS
    assert COLUMNS[:6] == ("uri", "outcome", "stage", "error_class", "reason", "warnings")
    assert (first["uri"], first["special"], first["rows"]) == (hostile, "spot; rolled", "7")
    assert (second["uri"], second["manufacturer"]) == ("'=HYPERLINK(1)", "'@SUM(A1)")


def test_hostile_text_is_shown_and_never_acts() -> None:
    rows = [refused(HOSTILE, "<i>", f"reason {HOSTILE}"), file_row("v", manufacturer="<img src=http://x>")]
    pictures = [Picture(HOSTILE, "L <u>CC</u>", b"\x89PNG")]
    page = page_of([*rows, file_row("w", warnings=(HOSTILE,))], pictures=pictures)
    assert not {"script", "u", "link"} & set(page.elements)
    assert page.elements.count("b") == 3, "the three counts, and none of the root"
    assert page.elements.count("img") == 1
    assert page.sources == ["data:image/png;base64,iVBORw=="]
    assert '<script>alert("x")</script>/a\'b&c' in page.text, "a person reads the name as it is"
    assert "Fälle/" in page.text
    assert r"\u202egnp.dcm\x1b[2J" in page.text
    assert not {"\u202e", "\x1b"} & set(page.text)


def test_the_page_needs_nothing_beside_it() -> None:
    html = render_page(HEAD, summarise([file_row("a")]), study=NOTHING, pictures=[Picture("a", "L CC", b"png")])
    assert "http://" not in html
    assert "https://" not in html
    assert "Every file is accepted." in html


def test_the_page_survives_an_empty_study_and_counts_tasks_by_split() -> None:
    assert "0.0 %" in page_of([]).text
    labels = [
        LabelRow("d", "cancer", patient, f"e{patient}", f"e{patient}_{side}", label, str(label), "the rule")
        for patient, label in (("1", 0), ("2", 1), ("3", 1))
        for side in "LR"
    ]
    task = count_task("cancer", labels, {"1": Split.TRAIN, "2": Split.TEST}, config=SplitConfig())
    assert [(line.split, line.patients, line.breasts, line.by_class) for line in task.lines] == [
        ("train", 1, 2, (2, 0)),
        ("val", 0, 0, (0, 0)),
        ("test", 1, 2, (0, 2)),
    ]
    page = page_of([], study=PageStudy(NOTHING.size, (task,)))
    assert "the rule" in page.text
    assert "class 1" in page.text
    assert page.text.count("cannot be searched") == 2, "in the list and beside the table"
    assert task.refusal in page.text


def test_splits_are_refused_with_the_words_of_a_search() -> None:
    def row(patient: str, label: int) -> LabelRow:
        return LabelRow("d", "cancer", patient, f"e{patient}", f"e{patient}_L", label, str(label), "the rule")

    labels = [row(str(number), number % 2) for number in range(12)]
    by_split = {Split.TRAIN: labels[:6], Split.VAL: labels[6:8], Split.TEST: labels[8:9]}
    splits = {one.patient_id: split for split, part in by_split.items() for one in part}
    with pytest.raises(DatasetError) as refused_by_search:
        assert_every_answer(task_named("cancer"), by_split, SplitConfig())
    assert count_task("cancer", labels, splits, config=SplitConfig()).refusal == str(refused_by_search.value)
    assert "no breast of the test split is" in str(refused_by_search.value)

    whole = splits | {one.patient_id: Split.TEST for one in labels[8:]}
    task = count_task("cancer", labels, whole, config=SplitConfig())
    assert task.refusal == ""
    assert "cannot be searched" not in page_of([], study=PageStudy(NOTHING.size, (task,))).text


def test_a_breast_is_whole_with_both_views_and_large_counts_are_grouped() -> None:
    def image(name: str, breast: str, view: str) -> ManifestRow:
        return ManifestRow("d", "p", "e", breast, name, Laterality.L, view, f"/{name}")

    size = size_of(
        [image("1", "e_L", "CC"), image("2", "e_L", "MLO"), image("3", "e_R", "CC"), image("4", "e_R", "CC")]
    )
    assert (size.images, size.breasts, size.exams, size.patients, size.whole_breasts) == (4, 2, 1, 1, 1)
    many = StudySize(images=480323, breasts=2, exams=1, patients=1, whole_breasts=1)
    assert "480\u202f323 images" in page_of([], study=PageStudy(many, ())).text


def test_fine_print_outside_the_breast_cannot_be_read_in_a_picture() -> None:
    breast = np.zeros((960, 700), np.bool_)
    breast[:, :300] = True
    pixels = np.where(breast, 3000, 0).astype(np.uint16)
    pixels[100:140, 500:600:4] = 4000  # strokes of a letter
    pixels[400, 100] = 123
    veiled = veil_outside(pixels, breast)
    np.testing.assert_array_equal(veiled[breast], pixels[breast])
    assert 0 < veiled[:, 300:].max() <= 1000, "the strokes are thinned out to their share of a block"
    blocks = veiled[:960, 300:700].reshape(48, 20, 20, 20)
    assert (blocks == blocks[:, :1, :, :1]).all(), "nothing finer than a block is left"
    assert veiled[:, 300:320].max() == 0, "no breast bleeds into what is outside it"
