"""Derive facts about breasts from EMBED's clinical rows, by the rules in `RULES`.

They follow the owner's notebooks except where they say so. Dates go no further: what leaves are whole years.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tilebank.datasets.contract import Truth
from tilebank.datasets.embed.clinical import BOTH, NEGATIVE, ClinicalRow
from tilebank.datasets.embed.followup import Cancer, FollowUp, plan_followup
from tilebank.errors import DatasetError
from tilebank.terms import Laterality, breast_id_of

BIRADS = {"A": "0", "N": "1", "B": "2", "P": "3", "S": "4", "M": "5", "K": "6"}
SCREENING_ORDER = "ABN"  # worst first
DIAGNOSTIC_ORDER = "KMSPABN"
INVALID_AT_SCREENING = ("P", "S", "M", "K")
BENIGN = "B"
DENSITIES = {1: "A", 2: "B", 3: "C", 4: "D"}
NORMAL_MALE = 5
CANCERS = (0, 1)  # invasive, in situ
NOT_BREAST_CANCER = 6
COUNTED = ("masses", "calcifications", "asymmetries", "distortions")

RULES: Mapping[str, str] = {
    "breasts": (
        "a row is about the breast in `side`, blank and B about both; in an exam whose `desc` says `bilat`, a breast"
        " without a row beside one with rows is negative (N)"
    ),
    "birads": (
        "worst `asses` of the breast in the exam, screening A > B > N, else K > M > S > P > A > B > N; A N B P S M K"
        " are 0 to 6, X none. N or B with pathology on that breast of a screening exam was addended and is 0; none for"
        " a screening exam that holds P, S, M or K, which the owner calls invalid. A at other exams has no place in"
        " the owner's order; here it stands between P and B"
    ),
    "density": "`tissueden` 1 to 4 of the exam is A to D; none where its rows differ",
    "normal_male": "1 where `tissueden` is 5: such an exam has no other fact than exam_kind and age",
    "findings": "counted by `numfind`, not by row; a finding assessed N counts nowhere",
    "masses": "findings with `massshape` G R O X N Y, or another or no shape and a mass margin or density",
    "calcifications": "findings with any `calcdistri`, `calcfind` or `calcnumber` that is neither blank nor 0",
    "asymmetries": "findings with `massshape` T B S F V",
    "distortions": "findings with `massshape` Q A",
    "cancer": (
        "1: lowest `path_severity` of the breast in the exam is 0 or 1, its side by `bside`, else by a `side` L or R."
        " 0: else, lowest is 2 to 5, or no pathology and the assessment is N or B, unless a cancer of that breast is"
        " dated within the 365 days after the exam. Left out: severity 6, pathology without a side in the exam, other"
        " assessments without pathology, interval cancers"
    ),
    "years_to_cancer": (
        "of the patient, in whole years of 365 days: 0 where the exam holds a cancer, 100 where none follows; none"
        " after an earlier cancer. A cancer is dated by the earlier of `procdate_anon` and `pdate_anon`, else by its"
        " exam"
    ),
    "years_to_last_followup": "of the patient, whole years of 365 days from the exam to the last exam in the table",
    "age": "`age_at_study` in whole years",
    "exam_kind": "screening where `desc` says `screen`, diagnostic where it says `diag`, else other",
}


def facts_of(rows: Sequence[ClinicalRow]) -> Truth:
    """breast_id -> fact -> text by `RULES`. Raises DatasetError for an exam of two patients."""
    exams: dict[str, list[ClinicalRow]] = defaultdict(list)
    for row in rows:
        exams[row.exam_id].append(row)
    mixed = [exam_id for exam_id, found in exams.items() if len({row.patient_id for row in found}) > 1]
    if mixed:
        raise DatasetError(
            f"{len(mixed)} exams belong to two patients each: {mixed[:5]}; download the owner's table again"
        )
    followup = plan_followup(
        ((row.patient_id, row.exam_id, row.day) for row in rows),
        [
            Cancer(row.patient_id, row.exam_id, row.specimen_sides or BOTH, row.specimen_day or row.day)
            for row in rows
            if row.severity in CANCERS
        ],
    )
    truth: dict[str, dict[str, str]] = {}
    for exam_id, found in exams.items():
        for side in _breasts_in(found):
            facts = _facts(found, side, followup=followup)
            truth[breast_id_of(exam_id, side)] = {name: text for name, text in facts.items() if text}
    return truth


def _facts(exam: Sequence[ClinicalRow], side: Laterality, *, followup: FollowUp) -> dict[str, str]:
    first = exam[0]
    general = {"exam_kind": _kind(first.description), "age": next((row.age for row in exam if row.age), "")}
    densities = {row.density for row in exam if row.density is not None}
    if NORMAL_MALE in densities:
        return general | {"normal_male": "1"}
    own = [row for row in exam if side in row.sides]
    worst = _worst(own, screening=general["exam_kind"] == "screening")
    if general["exam_kind"] == "screening":
        if any(row.assessment in INVALID_AT_SCREENING for row in exam):
            worst = ""
        elif worst in (NEGATIVE, BENIGN) and any(side in row.specimen_sides for row in exam):
            worst = "A"
    years = followup.years(first.patient_id, first.exam_id)
    return {
        **general,
        **{name: str(count) for name, count in _counts(own).items()},
        "birads": BIRADS.get(worst, ""),
        "density": DENSITIES.get(densities.pop(), "") if len(densities) == 1 else "",
        "cancer": _cancer(exam, side, worst=worst, followup=followup),
        "years_to_cancer": years.to_cancer,
        "years_to_last_followup": years.to_last,
    }


def _breasts_in(exam: Sequence[ClinicalRow]) -> tuple[Laterality, ...]:
    if any("bilat" in row.description for row in exam):
        return BOTH
    return tuple(side for side in BOTH if any(side in row.sides for row in exam))


def _worst(own: Sequence[ClinicalRow], *, screening: bool) -> str:
    """The worst assessment; N for a breast without a row in an exam that it is part of."""
    if not own:
        return NEGATIVE
    order = SCREENING_ORDER if screening else DIAGNOSTIC_ORDER
    return next((letter for letter in order if any(row.assessment == letter for row in own)), "")


def _counts(own: Sequence[ClinicalRow]) -> dict[str, int]:
    """Findings of each sort; a finding with several specimens has several rows and counts once."""
    return {name: len({row.finding for row in own if name in row.seen}) for name in COUNTED}


def _cancer(exam: Sequence[ClinicalRow], side: Laterality, *, worst: str, followup: FollowUp) -> str:
    taken = [row for row in exam if row.severity is not None]
    severities = {row.severity for row in taken if side in row.specimen_sides}
    if severities.intersection(CANCERS):
        return "1"
    unsure = NOT_BREAST_CANCER in severities or any(not row.specimen_sides for row in taken)
    if unsure or not (severities or worst in (NEGATIVE, BENIGN)):
        return ""
    return "" if followup.has_interval_cancer(exam[0].patient_id, exam[0].exam_id, side) else "0"


def _kind(description: str) -> str:
    return "screening" if "screen" in description else "diagnostic" if "diag" in description else "other"
