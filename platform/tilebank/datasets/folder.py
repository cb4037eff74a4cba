"""Any folder or bucket prefix of DICOMs: the manifest comes from headers alone, labels from an optional CSV."""

import hashlib
import logging
from collections.abc import Sequence

from tilebank.datasets.study import Breast, DatasetConfig, Manifest, Scan, ScannedImage, Truth
from tilebank.datasets.tables import read_table
from tilebank.errors import DatasetError
from tilebank.files import list_files
from tilebank.terms import FailureRow, Laterality, ManifestRow, breast_id_of

logger = logging.getLogger(__name__)

EXAM_KEYS = ("accession_number", "study_uid")
# DICOM files often have no suffix, or one that is part of a UID: so known others are left out, not known ones let in.
NOT_IMAGES: tuple[str, ...] = (
    *(".csv", ".tsv", ".txt", ".json", ".xlsx", ".xls", ".xml", ".pdf", ".html", ".md", ".yaml", ".yml"),
    *(".png", ".jpg", ".jpeg", ".zip", ".gz", ".py", ".log"),
)


class Folder:
    """Adapter `folder`."""

    def __init__(self, config: DatasetConfig) -> None:
        if config.exam_key not in EXAM_KEYS:
            raise DatasetError(f"exam_key {config.exam_key!r} is unknown; use one of {', '.join(EXAM_KEYS)}")
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:
        """Every file that may be DICOM, placed by its header; what cannot be placed is a failure."""
        uris = self._candidates()
        images: dict[str, ManifestRow] = {}
        failures = []
        for found in sorted(scan(uris), key=lambda row: row.uri):
            row = self._place(found) if isinstance(found, ScannedImage) else found
            if isinstance(row, ManifestRow) and row.image_id in images:
                reason = f"the same image (SOP Instance UID) as {images[row.image_id].uri}: kept once"
                row = FailureRow(unplaced_id(self.config.root, row.uri), row.uri, "identify", "DuplicateImage", reason)
            if isinstance(row, ManifestRow):
                images[row.image_id] = row
            else:
                failures.append(row)
        return Manifest(tuple(images.values()), tuple(failures))

    def read_truth(self, breasts: Sequence[Breast]) -> Truth:
        """The label CSV by breast: keyed by `breast_id`, or by `exam_id` and `laterality`; other columns are facts."""
        if not self.config.labels:
            raise DatasetError(
                f"dataset {self.config.name!r} has no labels; give a CSV with the columns exam_id, laterality and"
                " birads (or breast_id and birads) as --set dataset.labels=PATH"
            )
        rows = read_table(self.config.labels, required=())
        known = {breast.breast_id for breast in breasts}
        truth: dict[str, dict[str, str]] = {}
        for row in rows:
            breast_id = _breast_of(row, uri=self.config.labels)
            if truth.get(breast_id, row) != row:
                raise DatasetError(f"{self.config.labels} says two different things about breast {breast_id}")
            truth[breast_id] = row
        if not known & truth.keys():
            example = next(iter(truth), "nothing")
            raise DatasetError(
                f"{self.config.labels} names no breast of the store (it names {example}, the store holds"
                f" {min(known, default='none')}); check the exam ids, or --set dataset.exam_key=study_uid"
            )
        unknown = len(truth.keys() - known)
        if unknown:
            logger.warning("%d of %d breasts in %s are not in the store", unknown, len(truth), self.config.labels)
        return truth

    def _candidates(self) -> list[str]:
        root = self.config.root
        try:
            uris = [uri for uri in list_files(root) if not _is_other(uri)]
        except OSError as error:
            raise DatasetError(f"cannot list {root}: {error}; check --root") from error
        if not uris:
            raise DatasetError(f"no DICOM file below {root}; check --root")
        return uris

    def _place(self, image: ScannedImage) -> ManifestRow | FailureRow:
        exam_id = image.accession_number if self.config.exam_key == "accession_number" else image.study_uid
        if not exam_id:
            reason = f"the header has no {self.config.exam_key}: choose the other with --set dataset.exam_key"
            return FailureRow(image.image_id, image.uri, "identify", "MissingExam", reason)
        return ManifestRow(
            dataset=self.config.name,
            patient_id=image.patient_id,
            exam_id=exam_id,
            breast_id=breast_id_of(exam_id, image.laterality),
            image_id=image.image_id,
            laterality=image.laterality,
            view=image.view,
            uri=image.uri,
            manufacturer=image.manufacturer,
        )


def unplaced_id(root: str, uri: str) -> str:
    """An id for a file that has none of its own: stable for its place below the root, and no path itself."""
    return "file-" + hashlib.sha256(uri.removeprefix(root).encode()).hexdigest()[:16]


def _is_other(uri: str) -> bool:
    name = uri.rsplit("/", 1)[-1].lower()
    return name == "dicomdir" or name.endswith(NOT_IMAGES)


def _breast_of(row: dict[str, str], *, uri: str) -> str:
    if row.get("breast_id"):
        return row["breast_id"]
    side = row.get("laterality", "").upper()[:1]
    if row.get("exam_id") and side in ("L", "R"):
        return breast_id_of(row["exam_id"], Laterality(side))
    raise DatasetError(f"{uri}: a row names no breast; give breast_id, or exam_id and laterality (L or R)")
