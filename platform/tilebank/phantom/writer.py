"""Write the phantom study to disk, DICOM files and truth tables, in any number of processes.

The bytes depend only on the config, on one kind of machine.

    <root>/<patient_id>/<exam_id>/<exam_id>_<L|R>_<CC|MLO>.dcm
    <root>/images.csv breasts.csv findings.csv
    <root>/phantom.json        the config and the writer's version; written last, so it marks a whole study
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from multiprocessing import get_context

import cv2
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from tilebank.errors import DatasetError
from tilebank.files import exists, join_uri, read_bytes, write_bytes
from tilebank.phantom.anatomy import VIEWS, View
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.header import describe_image
from tilebank.phantom.plan import PhantomBreast, PhantomExam, count_images, plan_exams
from tilebank.phantom.truth import FindingTruth, ImageTruth, WrittenImage, truth_tables
from tilebank.phantom.view import PhantomView, render_view
from tilebank.storage_errors import storage_reason
from tilebank.terms import breast_id_of

__all__ = ["PhantomConfig", "PhantomExam", "PhantomSummary", "plan_exams", "write_exam", "write_phantoms"]

WRITER_VERSION = 2  # raise it whenever the same config gives other bytes
_MARKER = "phantom.json"


@dataclass(frozen=True)
class PhantomSummary:
    """The study at `root`, and whether this call wrote it."""

    root: str
    patients: int
    exams: int
    images: int
    written: bool

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """One line of text."""
        state = "written to" if self.written else "are already at"
        return f"{self.images} images of {self.exams} exams and {self.patients} patients {state} {self.root}"


def write_phantoms(
    root: str,
    config: PhantomConfig,
    *,
    compress: bool = True,
    processes: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> PhantomSummary:
    """Write the whole study, or nothing if `root` holds it already; `progress` is called with numbers of new images.

    `compress` False leaves out JPEG 2000, which takes a third of the time; the pixels are the same. `processes` None is
    one a core, 1 is the calling one. Raises DatasetError if `root` holds a study of another config,
    or cannot be written.
    """
    try:
        return _write_study(root, config, compress=compress, processes=processes, progress=progress)
    except OSError as error:
        raise DatasetError(
            f"cannot write phantoms to {root}: {storage_reason(error, root)}; choose another place with --root"
        ) from error


def _write_study(
    root: str,
    config: PhantomConfig,
    *,
    compress: bool,
    processes: int | None,
    progress: Callable[[int], None] | None,
) -> PhantomSummary:
    standing = _stands(root, config)
    exams = plan_exams(config)
    summary = PhantomSummary(root, config.patients, len(exams), count_images(exams), written=not standing)
    if standing:
        return summary
    done: dict[str, list[WrittenImage]] = {}
    for records in _written(root, exams, config=config, compress=compress, processes=processes):
        done[records[0].image.exam_id] = records
        if progress is not None:
            progress(len(records))
    in_order = [written for exam in exams for written in done[exam.exam_id]]
    for name, content in truth_tables(exams, in_order).items():
        write_bytes(join_uri(root, name), content)
    write_bytes(join_uri(root, _MARKER), json.dumps(_marker(config), indent=1).encode())
    return summary


def write_exam(root: str, exam: PhantomExam, config: PhantomConfig, *, compress: bool = True) -> list[WrittenImage]:
    """Render and write the four images of one exam; a function of `exam` and `config`, in any order and process."""
    records = []
    for breast in exam.breasts:
        for view in VIEWS:
            rendered = render_view(exam, breast, view=view, config=config)
            dataset = describe_image(exam, breast, view, rendered=rendered, config=config, compress=compress)
            record = _truth(exam, breast, view, rendered=rendered, dataset=dataset)
            buffer = BytesIO()
            dcmwrite(buffer, dataset, enforce_file_format=True)
            write_bytes(join_uri(root, record.image.file), buffer.getvalue())
            records.append(record)
    return records


def _written(
    root: str, exams: Sequence[PhantomExam], *, config: PhantomConfig, compress: bool, processes: int | None
) -> Iterator[list[WrittenImage]]:
    write = partial(write_exam, root, config=config, compress=compress)
    if processes == 1:
        yield from map(write, exams)
        return
    # Spawned, not forked: a caller with threads (Ray, pyarrow) cannot be forked safely.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        for future in as_completed([pool.submit(write, exam) for exam in exams]):
            yield future.result()


def _stands(root: str, config: PhantomConfig) -> bool:
    """Whether the study of this config is complete at `root`."""
    marker = join_uri(root, _MARKER)
    if not exists(marker):
        return False
    try:
        found = json.loads(read_bytes(marker))
    except ValueError as error:
        raise DatasetError(f"{marker} is not JSON; delete the folder and write the study again") from error
    wanted = _marker(config)
    if found != wanted:
        differ = [name for name, value in wanted["config"].items() if found.get("config", {}).get(name) != value]
        what = f"settings {differ}" if differ else f"writer version {found.get('writer')} (now {WRITER_VERSION})"
        raise DatasetError(
            f"{root} holds another phantom study: it differs in {what}; choose another root or delete it"
        )
    return True


def _marker(config: PhantomConfig) -> dict[str, dict[str, object]]:
    plain: dict[str, dict[str, object]] = json.loads(json.dumps({"writer": WRITER_VERSION, "config": asdict(config)}))
    return plain


def _truth(
    exam: PhantomExam, breast: PhantomBreast, view: View, *, rendered: PhantomView, dataset: Dataset
) -> WrittenImage:
    breast_id = breast_id_of(exam.exam_id, breast.laterality)
    image = ImageTruth(
        image_id=str(dataset.SOPInstanceUID),
        patient_id=exam.patient_id,
        exam_id=exam.exam_id,
        breast_id=breast_id,
        laterality=breast.laterality.value,
        view=view,
        file=f"{exam.patient_id}/{exam.exam_id}/{breast_id}_{view}.dcm",
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        manufacturer=exam.vendor,
        photometric=str(dataset.PhotometricInterpretation),
        transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
    )
    findings = [
        FindingTruth(
            image.image_id, breast_id, finding.kind, int(finding.malignant), box.x, box.y, box.width, box.height
        )
        for finding, box in zip(breast.findings, rendered.boxes, strict=True)
    ]
    return WrittenImage(image, tuple(findings))
