"""Write an explanation to disk: boxes, breasts, images without a map, and the files of each exam.

`boxes.csv`: a row a box; `breasts.csv`: a row a breast, with what contributes to its score; `not_mapped.csv`: a row an
image without a map; `figures/`, `pages/`, `maps/` and `dicom/` as asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from tilebank.errors import ConfigError
from tilebank.flows.explain.records import ExplainedExam
from tilebank.flows.explain.rows import BreastMaps
from tilebank.flows.reporting.atomic_files import finished, write_row
from tilebank.flows.reporting.job import assert_writable
from tilebank.terms import FailureRow

IDS = ("patient_id", "exam_id", "breast_id", "laterality", "split")


class ExplainFiles:
    """The files of one run, while it lasts."""

    def __init__(self, folder: Path, tables: Sequence[TextIO], *, columns: Sequence[str]) -> None:
        self._folder = folder
        self._boxes, self._breasts, self._not_mapped = tables
        adds = [
            f"{name}{column.removeprefix('score')}" for name in ("logit", "of_views", "of_tiles") for column in columns
        ]
        write_row(self._breasts, (*IDS, *columns, "at_or_above_threshold", *adds, "views", "flag"))
        write_row(self._boxes, ("breast_id", "image_id", "view", "rank", "x", "y", "width", "height", "score"))
        write_row(self._not_mapped, ("breast_id", "image_id", "view", "file", "reason"))

    def add_refused(self, refused: Sequence[FailureRow]) -> None:
        """Files of a folder that are in no breast."""
        for row in refused:
            write_row(self._not_mapped, ("", row.image_id, "", row.uri, row.reason))

    def add(self, breasts: Sequence[BreastMaps], exam: ExplainedExam) -> None:
        """Write one exam's rows and files."""
        for one in breasts:
            row = one.score
            decision = "" if row.at_or_above is None else int(row.at_or_above)
            who = [getattr(row, name) for name in IDS]
            adds = (*one.logits, *one.of_views, *one.of_tiles)
            write_row(self._breasts, (*who, *row.scores, decision, *adds, " ".join(row.views), row.flag))
        for image in exam.images:
            known = (image.breast_id, image.image_id, image.view)
            if image.failure or image.no_marks:
                said = image.failure or f"mapped, but no DICOM marks: {image.no_marks}"
                write_row(self._not_mapped, (*known, "", said))
            for rank, found in enumerate(image.boxes, start=1):
                box = (found.box.x, found.box.y, found.box.width, found.box.height)
                write_row(self._boxes, (*known, rank, *box, found.score))
        for name, content in exam.files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@contextmanager
def open_files(folder: Path, *, columns: Sequence[str]) -> Iterator[ExplainFiles]:
    """The tables of a run in `folder`; they take their names when the block ends. columns: what scores stand in."""
    with ExitStack() as stack:
        tables = [stack.enter_context(finished(folder / f"{name}.csv")) for name in ("boxes", "breasts", "not_mapped")]
        yield ExplainFiles(folder, tables, columns=columns)


def assert_folder(folder: Path) -> None:
    """Raise ConfigError, before any work, for a folder that cannot be written."""
    if folder.is_file():
        raise ConfigError(f"--out {folder} is a file; name a folder")
    assert_writable("--out", folder / "explain.html")
