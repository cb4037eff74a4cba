"""Read EMBED Open Data (Emory): the manifest from its image table, facts about breasts from its clinical table.

The root holds what the owner ships: `tables/EMBED_OpenData_clinical.csv`, `tables/EMBED_OpenData_metadata.csv` and
`images/cohort_<n>/<patient>/<study>/<series>/<image>.dcm`. Patient is `empi_anon`, exam is `acc_anon`, an image is
called as its file. That the file's own SOP Instance UID equals its name is not documented, so the manifest claims none.
"""

import re
import sys
from collections.abc import Mapping, Sequence

from tilebank.datasets.contract import DatasetConfig, Manifest, Scan, Truth
from tilebank.datasets.embed.clinical import COLUMNS as CLINICAL_COLUMNS
from tilebank.datasets.embed.clinical import read_clinical
from tilebank.datasets.embed.findings import ROI_COLUMNS, collect_findings
from tilebank.datasets.embed.truth import facts_of
from tilebank.datasets.intake import assert_included, place_by_table
from tilebank.datasets.tables import exact_id, null_to_empty, read_rows
from tilebank.errors import DatasetError, ImageError
from tilebank.files import join_uri
from tilebank.terms import FailureRow, Finding, ImageKind, ManifestRow, breast_id_of

CLINICAL = "tables/EMBED_OpenData_clinical.csv"
METADATA = "tables/EMBED_OpenData_metadata.csv"
IMAGE_COLUMNS = (
    *("empi_anon", "acc_anon", "anon_dicom_path", "FinalImageType"),
    *("ImageLateralityFinal", "ViewPosition", "spot_mag"),
)
KINDS = {
    "2d": ImageKind.FFDM,
    "cview": ImageKind.SYNTHETIC,  # the table's word; the owner's text says "C-view"
    "3d": ImageKind.TOMOSYNTHESIS,
    "roissc": ImageKind.SCREENSAVE,
    "roiss": ImageKind.SCREENSAVE,
}
TWO_DIMENSIONAL = (ImageKind.FFDM, ImageKind.SYNTHETIC)
# The table says that a view is spot compression or magnification, not which: it gets the name of the commoner one, and
# whoever lets `spot` in gets both. The header, which can tell them apart, is asked when the image is read.
SPECIAL = {"": (), "0": (), "0.0": (), "1": ("spot",), "1.0": ("spot",)}
# Paths begin with the owner's mount (/mnt/NAS2/mammo/anon_dicom/), with ./images/ or with the bucket's address.
BELOW_IMAGES = re.compile(r"(?:^|/)(cohort_\d+/.+)$")


class Embed:
    """Adapter `embed`."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    def read_manifest(self, scan: Scan) -> Manifest:  # noqa: ARG002 - the contract's scan is not needed: a table says it
        """Every row of the image table: an image, or a failure that is refused or not included."""
        uri = join_uri(self.config.root, METADATA)
        images: list[ManifestRow] = []
        failures: list[FailureRow] = []
        seen: set[str] = set()
        for number, row in enumerate(read_rows(uri, required=IMAGE_COLUMNS, columns=("Manufacturer",)), start=2):
            path = _path_of(row)
            image_id = _image_id_of(path)
            try:
                if image_id in seen:
                    image_id = ""
                    raise ImageError("identify", "the table names this file twice: kept once", "DuplicateImage")
                images.append(_place(row, image_id, path=path, config=self.config, table=uri))
            except ImageError as error:
                image_id = image_id or f"line-{number}"
                where = join_uri(self.config.root, "images", path) if path else ""
                failures.append(FailureRow(image_id, where, error.stage, error.error_class, error.reason))
            seen.add(image_id)
        if not seen:
            raise DatasetError(f"{uri} names no image; download the owner's table again")
        return Manifest(tuple(images), tuple(failures))

    def read_truth(self) -> Truth:
        """The facts of `embed_truth.RULES` about every breast that the clinical table speaks of."""
        uri = join_uri(self.config.root, CLINICAL)
        return facts_of(read_clinical(read_rows(uri, required=CLINICAL_COLUMNS), uri=uri))

    def read_findings(self) -> Sequence[Finding]:
        """The regions of interest of 2D and synthetic images; the tables do not say which finding a region marks."""
        uri = join_uri(self.config.root, METADATA)
        rows = read_rows(uri, required=("anon_dicom_path", "FinalImageType", *ROI_COLUMNS), columns=("Rows", "Columns"))
        # A region on a screen save is where the circle was burned in; its image carries it too, mapped by the owner.
        marked = ((_image_id_of(_path_of(row)), row) for row in rows if _kind_of(row) in TWO_DIMENSIONAL)
        return collect_findings(((image_id, row) for image_id, row in marked if image_id), uri=uri)


def _place(row: Mapping[str, str], image_id: str, *, path: str, config: DatasetConfig, table: str) -> ManifestRow:
    """Raises ImageError for what is not asked for or cannot be placed, DatasetError for a spoilt id."""
    patient_id = exact_id(null_to_empty(row["empi_anon"]), column="empi_anon", uri=table)
    exam_id = exact_id(null_to_empty(row["acc_anon"]), column="acc_anon", uri=table)
    kind = _kind_of(row)
    if kind is None:
        raise ImageError("identify", f"FinalImageType {row['FinalImageType']!r} is not known", "KindUnknown")
    special = SPECIAL.get(null_to_empty(row["spot_mag"]))
    if special is None:
        raise ImageError("identify", f"spot_mag {row['spot_mag']!r} is neither 0 nor 1", "SpecialUnknown")
    view = null_to_empty(row["ViewPosition"]).upper()
    assert_included(kind, view=view, special=special, intake=config.intake)
    placement = place_by_table(null_to_empty(row["ImageLateralityFinal"]).upper(), view)
    for name, value, error_class in (("patient", patient_id, "MissingPatient"), ("exam", exam_id, "MissingExam")):
        if not value:
            raise ImageError("identify", f"the table names no {name}", error_class)
    if not path:
        raise ImageError("identify", "anon_dicom_path names no file below images/cohort_<n>/", "MissingPath")
    return ManifestRow(
        dataset=config.name,
        patient_id=sys.intern(patient_id),  # half a million rows repeat their patients, exams and makers
        exam_id=sys.intern(exam_id),
        breast_id=sys.intern(breast_id_of(exam_id, placement.laterality)),
        image_id=image_id,
        laterality=placement.laterality,
        view=sys.intern(view),
        uri=join_uri(config.root, "images", path),
        image_kind=kind,
        special=special,
        laterality_from=placement.laterality_from,
        view_from=placement.view_from,
        manufacturer=sys.intern(null_to_empty(row["Manufacturer"])),
    )


def _kind_of(row: Mapping[str, str]) -> ImageKind | None:
    return KINDS.get(re.sub(r"[^a-z0-9]", "", row["FinalImageType"].lower()))


def _path_of(row: Mapping[str, str]) -> str:
    """Where the file lies below `images/`, whatever the path in the table began with; empty where it names none."""
    found = BELOW_IMAGES.search(row["anon_dicom_path"].replace("\\", "/"))
    return found.group(1) if found else ""


def _image_id_of(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".dcm")
