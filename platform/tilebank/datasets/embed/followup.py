"""Compute the whole years from an exam to the patient's cancer and to her last exam.

The two numbers are what Mirai's tables hold (yala/Mirai, MIT): 0 years for a cancer on the exam itself, 100 for none.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from tilebank.terms import Laterality

YEAR_DAYS = 365  # so that an exam on the same day of the next year is one year later, leap year or not
INTERVAL_DAYS = 365  # a cancer within them shows that a negative exam missed it
NEVER = "100"


@dataclass(frozen=True)
class Cancer:
    """A cancer that pathology found: recorded on which exam, in which breasts, dated when (None: not dated)."""

    patient_id: str
    exam_id: str
    sides: tuple[Laterality, ...]
    day: date | None


@dataclass(frozen=True)
class Years:
    """Whole years from an exam to the patient's cancer and to her last exam; empty where there is no answer."""

    to_cancer: str
    to_last: str


class FollowUp:
    """All exams and cancers of a table, by patient: made by `plan_followup`."""

    def __init__(self, exam_days: dict[str, date], last_days: dict[str, date], cancers: Sequence[Cancer]) -> None:
        self._exam_days = exam_days
        self._last_days = last_days
        self._cancers: dict[str, list[Cancer]] = defaultdict(list)
        for cancer in cancers:
            self._cancers[cancer.patient_id].append(cancer)

    def years(self, patient_id: str, exam_id: str) -> Years:
        """Years after an exam; none after an earlier cancer, or where a date is missing."""
        cancers = self._cancers.get(patient_id, [])
        day = self._exam_days.get(exam_id)
        last = _years(day, self._last_days[patient_id]) if day else ""
        if any(cancer.exam_id == exam_id for cancer in cancers):
            return Years("0", last)
        days = [cancer.day for cancer in cancers]
        if day is None or any(other is None or other < day for other in days):
            return Years("", "")
        following = min((other for other in days if other), default=None)
        return Years(_years(day, following) if following else NEVER, last)

    def has_interval_cancer(self, patient_id: str, exam_id: str, side: Laterality) -> bool:
        """Whether a cancer of that breast is dated within a year after the exam, or may be for want of a date."""
        day = self._exam_days.get(exam_id)
        others = [cancer.day for cancer in self._cancers.get(patient_id, []) if side in cancer.sides]
        return any(not (day and other) or 0 <= (other - day).days <= INTERVAL_DAYS for other in others)


def plan_followup(exams: Iterable[tuple[str, str, date | None]], cancers: Sequence[Cancer]) -> FollowUp:
    """`exams` gives patient, exam and day of each row; an exam's day is the earliest that its rows name."""
    exam_days: dict[str, date] = {}
    last_days: dict[str, date] = {}
    for patient_id, exam_id, day in exams:
        if day:
            exam_days[exam_id] = min(day, exam_days.get(exam_id, day))
            last_days[patient_id] = max(day, last_days.get(patient_id, day))
    return FollowUp(exam_days, last_days, cancers)


def _years(since: date, until: date) -> str:
    return str((until - since).days // YEAR_DAYS)
