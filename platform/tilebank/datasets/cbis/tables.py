"""Read the four tables of CBIS-DDSM into one record per lesion and full mammogram.

A row stands for one abnormality in one view, so an image with three of them has three rows. The tables of masses and
of calcifications name the density differently, and the last path of every row ends in a line break.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tilebank.datasets.listing import find_table
from tilebank.datasets.tables import read_table
from tilebank.errors import DatasetError
from tilebank.terms import Laterality

COLUMNS = (
    *("patient_id", "left or right breast", "image view", "abnormality id", "assessment", "pathology"),
    *("image file path", "cropped image file path", "ROI mask file path"),
)
DENSITY_COLUMNS = ("breast_density", "breast density")
SIDES: Mapping[str, Laterality] = {"LEFT": Laterality.L, "RIGHT": Laterality.R}
DENSITIES: Mapping[str, str] = {"": "", "0": "", "1": "A", "2": "B", "3": "C", "4": "D"}
PATHOLOGIES = ("BENIGN_WITHOUT_CALLBACK", "BENIGN", "MALIGNANT")  # the worst last
# The worst last: 0 asks for more images now, so it outranks what may wait and yields to what needs a biopsy.
ASSESSMENTS = ("1", "2", "3", "0", "4", "5")

Sort = Literal["mass", "calc"]
Part = Literal["train", "test"]
TABLES: tuple[tuple[str, Sort, Part], ...] = (
    ("mass_case_description_train_set.csv", "mass", "train"),
    ("mass_case_description_test_set.csv", "mass", "test"),
    ("calc_case_description_train_set.csv", "calc", "train"),
    ("calc_case_description_test_set.csv", "calc", "test"),
)


@dataclass(frozen=True)
class ImagePath:
    """An image's place in the owner's archive: `<case>/<study UID>/<series UID>/000000.dcm`."""

    case: str
    study_uid: str
    series_uid: str
    file: str


@dataclass(frozen=True)
class LesionRow:
    """One abnormality in one view. `number` tells the abnormalities of one sort in one breast apart."""

    patient_id: str
    laterality: Laterality
    view: str
    sort: Sort
    part: Part
    number: str
    assessment: str
    pathology: str
    density: str
    image: ImagePath
    lesion_cases: tuple[str, ...]  # the folders of its crop and its mask


def read_lesions(root: str) -> list[LesionRow]:
    """The rows of all four tables. Raises DatasetError when one is missing or holds what it never does."""
    lesions = []
    for name, sort, part in TABLES:
        uri = find_table(root, (name, f"cbis_{name}"), advice="put all four tables of the owner there")
        for row in read_table(uri, required=COLUMNS):
            lesions.append(_lesion(row, uri=uri, sort=sort, part=part))
    return lesions


def _lesion(row: Mapping[str, str], *, uri: str, sort: Sort, part: Part) -> LesionRow:
    density = next((row[name] for name in DENSITY_COLUMNS if name in row), None)
    if density is None:
        raise DatasetError(f"{uri} has no column {' or '.join(DENSITY_COLUMNS)}; download the table again")
    _assert_known(row["left or right breast"], SIDES, column="left or right breast", row=row, uri=uri)
    _assert_known(row["assessment"], ASSESSMENTS, column="assessment", row=row, uri=uri)
    _assert_known(row["pathology"], PATHOLOGIES, column="pathology", row=row, uri=uri)
    _assert_known(density, DENSITIES, column="breast density", row=row, uri=uri)
    crop, mask = (row[name].split("/")[0] for name in ("cropped image file path", "ROI mask file path"))
    return LesionRow(
        patient_id=row["patient_id"],
        laterality=SIDES[row["left or right breast"]],
        view=row["image view"].upper(),
        sort=sort,
        part=part,
        number=row["abnormality id"],
        assessment=row["assessment"],
        pathology=row["pathology"],
        density=DENSITIES[density],
        image=_path(row["image file path"], row=row, uri=uri),
        lesion_cases=(crop, mask),
    )


def _path(text: str, *, row: Mapping[str, str], uri: str) -> ImagePath:
    parts = text.split("/")
    if len(parts) != 4 or not all(parts):
        problem = f"image file path is {text!r}, not <case>/<study UID>/<series UID>/<file>"
        raise DatasetError(f"{uri}, patient {row['patient_id']}: {problem}; download the table again")
    return ImagePath(*parts)


def _assert_known(
    cell: str, known: Mapping[str, object] | tuple[str, ...], *, column: str, row: Mapping[str, str], uri: str
) -> None:
    if cell not in known:
        raise DatasetError(
            f"{uri}, patient {row['patient_id']}: {column} is {cell!r}, not one of {', '.join(known)}; correct it"
        )
