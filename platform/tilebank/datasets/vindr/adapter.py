"""Read VinDr-Mammo (PhysioNet): manifest, facts and findings from its annotation tables.

The root holds what PhysioNet ships: `breast-level_annotations.csv`, `finding_annotations.csv`, `metadata.csv` (may be
missing) and `images/<study_id>/<image_id>.dicom`. The dataset names no patients, only studies: each study is taken for
a patient of its own, so that two studies of one woman, should there be any, cannot be kept in one split. A breast with
two CC views and no MLO is one of the 10,000, not a fault.
"""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.intake import assert_included, place_by_table
from tilebank.datasets.listing import uri_exists
from tilebank.datasets.tables import read_table
from tilebank.datasets.vindr.findings import BOX_COLUMNS, categories_of, collect_findings
from tilebank.errors import DatasetError, ImageError
from tilebank.files import join_uri
from tilebank.terms import FailureRow, Finding, ImageKind, Laterality, ManifestRow, breast_id_of

logger = logging.getLogger(__name__)

BREASTS = "breast-level_annotations.csv"
FINDINGS = "finding_annotations.csv"
METADATA = "metadata.csv"
PLACE_COLUMNS = ("study_id", "image_id", "laterality", "view_position")
BREAST_COLUMNS = (*PLACE_COLUMNS, "height", "width", "breast_birads", "breast_density", "split")
FINDING_COLUMNS = ("image_id", *BOX_COLUMNS)
UID, AGE, MAKER = "SOP Instance UID", "Patient's Age", "Manufacturer"
SPLITS = {"training": "train", "test": "test"}
COUNTED = {
    "masses": "mass",
    "calcifications": "calcification",
    "asymmetries": "asymmetry",
    "distortions": "distortion",
}

RULES: Mapping[str, str] = {
    "birads": "`breast_birads` of the breast's images, a radiologist's 1 to 5; there is no pathology and no `cancer`",
    "density": "`breast_density` of the breast's images, A to D",
    "masses": "findings of category Mass on the breast's images, both views together: one lesion may count twice",
    "calcifications": "findings of category Suspicious Calcification, counted likewise",
    "asymmetries": "findings of category Asymmetry, Focal Asymmetry or Global Asymmetry, counted likewise",
    "distortions": "findings of category Architectural Distortion, counted likewise",
    "split": "the owner's: training is train, test is test",
    "age": "`Patient's Age` of metadata.csv in years, where it is given",
}


class Vindr:
    """Adapter `vindr`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:  # noqa: ARG002 - the contract's scan is not needed: a table says it
        """Every row of the breast-level table: an image, or a failure that is refused or not included."""
        headers = self._headers()
        images: list[ManifestRow] = []
        failures: list[FailureRow] = []
        seen: set[str] = set()
        for number, row in enumerate(self._breast_rows(), start=2):
            image_id = row["image_id"]
            try:
                if image_id in seen:
                    image_id = f"line-{number}"
                    raise ImageError("identify", "the table names this image twice: kept once", "DuplicateImage")
                images.append(_place(row, headers.get(image_id), config=self.config))
            except ImageError as error:
                uri = _uri_of(row, root=self.config.root)
                failures.append(FailureRow(image_id, uri, error.stage, error.error_class, error.reason))
            seen.add(image_id)
        return Manifest(tuple(images), tuple(failures))

    def read_truth(self) -> Truth:
        """The facts of `RULES` about every breast. Raises DatasetError where the images of a breast disagree."""
        rows, headers = self._breast_rows(), self._headers()
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for finding in self._finding_rows(rows):
            counts[finding["image_id"]].update(categories_of(finding))
        truth: dict[str, dict[str, str]] = {}
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for row in rows:
            breast_id = _breast_of(row)
            facts = _facts(row, headers.get(row["image_id"]))
            if truth.setdefault(breast_id, facts) != facts:
                raise DatasetError(f"{BREASTS} says two different things about breast {breast_id}; download it again")
            found[breast_id].update(counts[row["image_id"]])
        for breast_id, facts in truth.items():
            facts.update({name: str(found[breast_id][category]) for name, category in COUNTED.items()})
        return truth

    def read_findings(self) -> Sequence[Finding]:
        """All boxes, kept within their images."""
        rows = self._breast_rows()
        sizes = {row["image_id"]: (_whole(row, "width"), _whole(row, "height")) for row in rows}
        return collect_findings(self._finding_rows(rows), sizes=sizes, uri=join_uri(self.config.root, FINDINGS))

    def _breast_rows(self) -> list[dict[str, str]]:
        uri = join_uri(self.config.root, BREASTS)
        rows = read_table(uri, required=BREAST_COLUMNS, columns=())
        if not rows:
            raise DatasetError(f"{uri} holds no row; download the owner's table again")
        for number, row in enumerate(rows, start=2):
            if not row["study_id"] or not row["image_id"]:
                raise DatasetError(f"{uri} line {number} names no study or no image; download the owner's table again")
        return rows

    def _finding_rows(self, breast_rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        uri = join_uri(self.config.root, FINDINGS)
        rows = read_table(uri, required=FINDING_COLUMNS, columns=())
        known = {row["image_id"] for row in breast_rows}
        strangers = [row["image_id"] for row in rows if row["image_id"] not in known]
        if strangers:
            what = f"names {len(strangers)} images that {BREASTS} lacks, such as {strangers[0]!r}"
            raise DatasetError(f"{uri} {what}; download both tables of one release")
        return rows

    def _headers(self) -> dict[str, dict[str, str]]:
        """What metadata.csv, the owner's dump of the DICOM headers, says of each image; nothing without it."""
        uri = join_uri(self.config.root, METADATA)
        if not uri_exists(uri):
            logger.info("no %s: ages and makers stay unknown, and files are not held against their ids", uri)
            return {}
        return {row[UID]: row for row in read_table(uri, required=(UID,), columns=(AGE, MAKER))}


def _place(row: Mapping[str, str], header: Mapping[str, str] | None, *, config: DatasetConfig) -> ManifestRow:
    """Raises ImageError for an image that is not asked for or has no side or view."""
    view = row["view_position"].upper()
    assert_included(ImageKind.FFDM, view=view, special=(), intake=config.intake)
    placement = place_by_table(row["laterality"].upper(), view)
    return ManifestRow(
        dataset=config.name,
        patient_id=row["study_id"],
        exam_id=row["study_id"],
        breast_id=breast_id_of(row["study_id"], placement.laterality),
        image_id=row["image_id"],
        laterality=placement.laterality,
        view=placement.view,
        uri=_uri_of(row, root=config.root),
        laterality_from=placement.laterality_from,
        view_from=placement.view_from,
        manufacturer=header[MAKER] if header else "",
        sop_instance_uid=row["image_id"] if header else "",  # only a header can say that it is the DICOM's own id
    )


def _facts(row: Mapping[str, str], header: Mapping[str, str] | None) -> dict[str, str]:
    if row["split"] not in SPLITS:
        raise DatasetError(f"{BREASTS}: image {row['image_id']} is in split {row['split']!r}, not training or test")
    age = re.fullmatch(r"0*(\d+)Y", header[AGE]) if header else None
    return {
        "birads": _after("BI-RADS ", "[1-5]", row=row, column="breast_birads"),
        "density": _after("DENSITY ", "[A-D]", row=row, column="breast_density"),
        "split": SPLITS[row["split"]],
        "age": age.group(1) if age else "",
    }


def _after(word: str, what: str, *, row: Mapping[str, str], column: str) -> str:
    found = re.fullmatch(f"{word}({what})", row[column])
    if not found:
        where = f"{BREASTS}: {column} of image {row['image_id']}"
        raise DatasetError(f"{where} is {row[column]!r}, not {word}{what}; download the owner's table again")
    return found.group(1)


def _breast_of(row: Mapping[str, str]) -> str:
    side = row["laterality"].upper()
    if side not in tuple(Laterality):
        raise DatasetError(f"{BREASTS}: image {row['image_id']} has laterality {side!r}, not L or R; download it again")
    return breast_id_of(row["study_id"], Laterality(side))


def _whole(row: Mapping[str, str], column: str) -> int:
    if not row[column].isdecimal():
        where = f"{BREASTS}: {column} of image {row['image_id']}"
        raise DatasetError(f"{where} is {row[column]!r}, not a number of pixels; download the owner's table again")
    return int(row[column])


def _uri_of(row: Mapping[str, str], *, root: str) -> str:
    return join_uri(root, "images", row["study_id"], f"{row['image_id']}.dicom")
