"""Parse EMBED's clinical table: one row per finding, or per specimen of a finding.

The owner's legend (AWS_Open_Data_Clinical_Legend.csv) names the codes; pandas' ways to write them (`1.0`, `nan`) are
read too. What cannot be read stops the reading: a wrong truth is worse than none.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from tilebank.datasets.tables import exact_id, null_to_empty
from tilebank.errors import DatasetError
from tilebank.terms import Laterality

logger = logging.getLogger(__name__)

COLUMNS = (
    *("empi_anon", "acc_anon", "study_date_anon", "desc", "tissueden", "asses", "numfind", "side", "age_at_study"),
    *("massshape", "massmargin", "massdens", "calcfind", "calcdistri", "calcnumber"),
    *("bside", "procdate_anon", "pdate_anon", "path_severity"),
)
ASSESSMENTS = ("A", "N", "B", "P", "S", "M", "K", "X", "")
NEGATIVE = "N"
BOTH = (Laterality.L, Laterality.R)
SIDES = {"": BOTH, "B": BOTH, "L": (Laterality.L,), "R": (Laterality.R,)}
SHAPES = dict.fromkeys("GROXNY", "masses") | dict.fromkeys("TBSFV", "asymmetries") | dict.fromkeys("QA", "distortions")
MARGINS, MASS_DENSITIES = tuple("DUMIS"), tuple("+-=")
HIGHEST = {"path_severity": 6, "tissueden": 5}


@dataclass(frozen=True)
class ClinicalRow:
    """One row: patient and exam, breasts, findings, and the pathology of the specimen.

    day: of the exam; seen: `masses`, `calcifications`, ...; severity: of the pathology, None without a specimen;
    specimen_sides: empty where the table does not say; specimen_day: the earlier of procedure and report.
    """

    patient_id: str
    exam_id: str
    day: date | None
    description: str
    sides: tuple[Laterality, ...]
    finding: str
    assessment: str
    seen: tuple[str, ...]
    density: int | None
    age: str
    severity: int | None
    specimen_sides: tuple[Laterality, ...]
    specimen_day: date | None


def read_clinical(rows: Iterable[Mapping[str, str]], *, uri: str) -> list[ClinicalRow]:
    """The clinical table's rows. Raises DatasetError for ids, numbers, sides or dates that cannot be read."""
    found = [_row(row, number, uri=uri) for number, row in enumerate(rows, start=2)]
    if not found:
        raise DatasetError(f"{uri} holds no row; download the owner's table again")
    unknown = Counter(row.assessment for row in found if row.assessment not in ASSESSMENTS)
    if unknown:
        logger.warning("%s: assessments that the owner's legend lacks, taken as none: %s", uri, dict(unknown))
    return found


def _row(row: Mapping[str, str], number: int, *, uri: str) -> ClinicalRow:
    cells = {name: null_to_empty(row[name]) for name in COLUMNS}
    where = f"{uri} line {number}"
    severity = _code(cells, "path_severity", where=where)
    procedure = _day(cells["procdate_anon"], "procdate_anon", where=where)
    report = _day(cells["pdate_anon"], "pdate_anon", where=where)
    sides = _sides(cells["side"], "side", where=where)
    one_side = sides if len(sides) == 1 else ()  # that a finding is of both breasts does not say where it was biopsied
    specimen_sides = _sides(cells["bside"], "bside", where=where) if cells["bside"] else one_side
    for name in ("empi_anon", "acc_anon"):
        if not cells[name]:
            raise DatasetError(f"{where}: {name} is empty, so its finding belongs to nobody; repair or drop the line")
    assessment = cells["asses"].upper()
    age = re.fullmatch(r"(\d{1,3})(\.\d*)?", cells["age_at_study"])
    if cells["age_at_study"] and not age:
        raise DatasetError(f"{where}: age_at_study is not an age in years; repair the cell")
    return ClinicalRow(
        patient_id=exact_id(cells["empi_anon"], column="empi_anon", uri=uri),
        exam_id=exact_id(cells["acc_anon"], column="acc_anon", uri=uri),
        day=_day(cells["study_date_anon"], "study_date_anon", where=where),
        description=cells["desc"].lower(),
        sides=sides,
        finding=cells["numfind"].removesuffix(".0") or f"line {number}",
        assessment=assessment,
        seen=() if assessment == NEGATIVE else _seen(cells),
        density=_code(cells, "tissueden", where=where),
        age=age.group(1) if age else "",
        severity=severity,
        specimen_sides=specimen_sides if severity is not None else (),
        specimen_day=min((day for day in (procedure, report) if day), default=None),
    )


def _seen(cells: Mapping[str, str]) -> tuple[str, ...]:
    shape = cells["massshape"].upper()
    mass = cells["massmargin"].upper() in MARGINS or cells["massdens"] in MASS_DENSITIES
    sorts = [SHAPES[shape]] if shape in SHAPES else ["masses"] if mass else []
    if any(cells[name].removesuffix(".0") not in ("", "0") for name in ("calcfind", "calcdistri", "calcnumber")):
        sorts.append("calcifications")
    return tuple(sorts)


def _sides(text: str, column: str, *, where: str) -> tuple[Laterality, ...]:
    if text.upper() not in SIDES:
        raise DatasetError(f"{where}: {column} {text!r} is not L, R, B or empty; repair the cell")
    return SIDES[text.upper()]


def _code(cells: Mapping[str, str], column: str, *, where: str) -> int | None:
    text = cells[column]
    if text and not (re.fullmatch(r"\d(\.0*)?", text) and int(text[0]) <= HIGHEST[column]):
        raise DatasetError(f"{where}: {column} {text!r} is not a code of the owner's legend; repair the cell")
    return int(text[0]) if text else None


def _day(text: str, column: str, *, where: str) -> date | None:
    """A date, with or without a time after it; the text itself is not repeated in the error."""
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError as error:
        raise DatasetError(f"{where}: {column} is not a date written as 2015-02-22; repair the cell") from error
