"""Read any folder or bucket prefix of DICOMs: the manifest from headers, labels from an optional CSV by breast.

Nothing is guessed: a file whose header lacks patient, exam, side or view becomes a failure.

Of several files of one image (SOP Instance UID) the first by name with a complete header is used. Headers do not show
whether the pixels are intact: if those are damaged the image is a failure, even if another copy is intact.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, ScannedImage, Truth
from tilebank.datasets.intake import assert_included, place_image
from tilebank.datasets.listing import NOT_IMAGES, failure_row, list_candidates
from tilebank.datasets.tables import read_table
from tilebank.errors import DatasetError, ImageError
from tilebank.terms import FailureRow, Finding, ImageHeader, Laterality, ManifestRow, breast_id_of

SIDES = {"L": Laterality.L, "LEFT": Laterality.L, "R": Laterality.R, "RIGHT": Laterality.R}
DUPLICATE = "the same image (SOP Instance UID) as another file that comes first by name: kept once"
TWO_PATIENTS = (
    "its exam id stands for several patients, so their breasts cannot be told apart; choose another tag for it with"
    " --set dataset.exam_key, or correct the headers"
)


class Folder:
    """Adapter `folder`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:
        """Every file that may be DICOM, placed by its header; what is not included or lacks an id is a failure."""
        found = sorted(scan(self._candidates()), key=lambda row: row.uri)
        rows = [self._place(row) if isinstance(row, ScannedImage) else row for row in found]
        images, failures = drop_duplicates([row for row in rows if isinstance(row, ManifestRow)])
        images, mixed = _of_one_patient(images)
        failures += mixed + [row for row in rows if isinstance(row, FailureRow)]
        return Manifest(tuple(images), tuple(with_unique_ids(self.config.root, images, failures)))

    def read_truth(self) -> Truth:
        """The label CSV by breast: keyed by `breast_id`, or by `exam_id` and `laterality`; other columns are facts."""
        if not self.config.labels:
            raise DatasetError(
                f"dataset {self.config.name!r} has no labels; give a CSV with the columns exam_id, laterality and"
                " birads (or breast_id and birads) as --set dataset.labels=PATH"
            )
        truth: dict[str, dict[str, str]] = {}
        for row in read_table(self.config.labels, required=()):
            breast_id = _breast_of(row, uri=self.config.labels)
            if truth.get(breast_id, row) != row:
                raise DatasetError(f"{self.config.labels} says two different things about breast {breast_id}; fix one")
            truth[breast_id] = row
        return truth

    def read_findings(self) -> Sequence[Finding]:
        """None: a folder has no boxes."""
        return ()

    def _candidates(self) -> list[str]:
        root = self.config.root
        uris = list_candidates(root, may_be_image=lambda name: name != "dicomdir" and not name.endswith(NOT_IMAGES))
        if not uris:
            raise DatasetError(f"no DICOM file below {root}; check --root or --folder")
        return uris

    def _place(self, image: ScannedImage) -> ManifestRow | FailureRow:
        header = image.header
        try:
            assert_included(header.kind, view=header.view, special=header.special, intake=self.config.intake)
            exam_id = _exam_of(header, exam_key=self.config.exam_key)
            return placed_by_header(image, dataset=self.config.name, exam_id=exam_id)
        except ImageError as error:
            return failure_row(header.sop_instance_uid or id_from_path(self.config.root, image.uri), image.uri, error)


def placed_by_header(image: ScannedImage, *, dataset: str, exam_id: str) -> ManifestRow:
    """The manifest row of an image, from its header and the exam's id. Raises ImageError, as `place_image` does."""
    header, placement = image.header, place_image(image.header)
    return ManifestRow(
        dataset=dataset,
        patient_id=header.patient_id,
        exam_id=exam_id,
        breast_id=breast_id_of(exam_id, placement.laterality),
        image_id=header.sop_instance_uid,
        laterality=placement.laterality,
        view=placement.view,
        uri=image.uri,
        image_kind=header.kind,
        special=header.special,
        laterality_from=placement.laterality_from,
        view_from=placement.view_from,
        manufacturer=header.manufacturer,
        sop_instance_uid=header.sop_instance_uid,
    )


def id_from_path(root: str, uri: str) -> str:
    """An id for a file that has none: a hash of its path below the root, so that it is stable and reveals no path."""
    return "file-" + hashlib.sha256(uri.removeprefix(root).encode()).hexdigest()[:16]


def with_unique_ids(root: str, images: Iterable[ManifestRow], failures: Iterable[FailureRow]) -> Iterator[FailureRow]:
    """The failures with unique ids: a second file of one id gets an id from its path below `root`."""
    taken = {row.image_id for row in images}
    for row in failures:
        image_id = id_from_path(root, row.uri) if row.image_id in taken else row.image_id
        taken.add(image_id)
        yield replace(row, image_id=image_id)


def drop_duplicates(images: Iterable[ManifestRow]) -> tuple[list[ManifestRow], list[FailureRow]]:
    """The first file of each image, and failures for its other files. Pass no failed files: a copy can replace them."""
    first: dict[str, ManifestRow] = {}
    failures = []
    for row in images:
        if first.setdefault(row.image_id, row) is not row:
            failures.append(FailureRow(row.image_id, row.uri, "identify", "DuplicateImage", DUPLICATE))
    return list(first.values()), failures


def _of_one_patient(images: Sequence[ManifestRow]) -> tuple[list[ManifestRow], list[FailureRow]]:
    """The images of exams with one patient, and failures for exams that name several patients."""
    patients: dict[str, set[str]] = defaultdict(set)
    for row in images:
        patients[row.exam_id].add(row.patient_id)
    kept = [row for row in images if len(patients[row.exam_id]) == 1]
    mixed = [
        FailureRow(row.image_id, row.uri, "identify", "ExamOfTwoPatients", TWO_PATIENTS)
        for row in images
        if len(patients[row.exam_id]) > 1
    ]
    return kept, mixed


def _exam_of(header: ImageHeader, *, exam_key: str) -> str:
    """The exam's id. Raises ImageError for a header without ids."""
    if not header.sop_instance_uid:
        raise ImageError(
            "identify", "the header has no SOP Instance UID: it is not a valid DICOM object", "MissingImageId"
        )
    if not header.patient_id:
        reason = "the header has no Patient ID, and without one splits cannot be by patient; give it one"
        raise ImageError("identify", reason, "MissingPatient")
    exam_id = header.accession_number if exam_key == "accession_number" else header.study_uid
    if not exam_id:
        reason = f"the header has no {exam_key}: choose the other with --set dataset.exam_key"
        raise ImageError("identify", reason, "MissingExam")
    return exam_id


def _breast_of(row: dict[str, str], *, uri: str) -> str:
    if row.get("breast_id"):
        return row["breast_id"]
    exam_id, side = row.get("exam_id", ""), row.get("laterality", "").strip().upper()
    if not exam_id or not side:
        raise DatasetError(
            f"{uri}: a row identifies no breast; give breast_id, or exam_id and laterality (L or R). Its columns:"
            f" {', '.join(row)}"
        )
    if side not in SIDES:
        raise DatasetError(f"{uri}: the laterality of exam {exam_id} is none of {', '.join(SIDES)}; correct the row")
    return breast_id_of(exam_id, SIDES[side])
