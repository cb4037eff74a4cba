"""Train, validation and test by patient, stratified. Works on label rows; a leak raises."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilebank.errors import DatasetError, LeakageError
from tilebank.terms import LabelRow, Split


@dataclass(frozen=True)
class SplitConfig:
    """Shares of the patients in validation and test (the rest is train) and the seed of their order."""

    val: float = 0.10
    test: float = 0.20
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.val < 1 and 0 < self.test < 1 and self.val + self.test < 1):
            raise ValueError("val and test are shares above 0 that leave something to train on")


def plan_splits(labels: Sequence[LabelRow], config: SplitConfig) -> dict[str, Split]:
    """patient_id -> split: the same patients, labels and seed give the same answer, in any order of rows.

    A patient's stratum is the highest of its breasts' strata. Within a stratum patients are ordered by a hash of seed
    and id and cut by the shares; what rounding leaves over is carried to the next stratum, so that the whole keeps the
    shares. Raises DatasetError when a split would be empty.
    """
    strata: dict[str, str] = {}
    for row in labels:
        strata[row.patient_id] = max(strata.get(row.patient_id, ""), row.stratum)
    by_stratum: dict[str, list[str]] = defaultdict(list)
    for patient_id, stratum in strata.items():
        by_stratum[stratum].append(patient_id)

    splits: dict[str, Split] = {}
    owed = {Split.TEST: 0.0, Split.VAL: 0.0}
    for stratum in sorted(by_stratum):
        patients = sorted(by_stratum[stratum], key=lambda patient_id: _order(patient_id, config.seed))
        for split, share in ((Split.TEST, config.test), (Split.VAL, config.val)):
            owed[split] += share * len(by_stratum[stratum])
            count = min(round(owed[split]), len(patients))
            owed[split] -= count
            splits.update(dict.fromkeys(patients[:count], split))
            patients = patients[count:]
        splits.update(dict.fromkeys(patients, Split.TRAIN))
    empty = [split.value for split in Split if split not in splits.values()]
    if empty:
        least = math.ceil(1 / min(config.val, config.test, 1 - config.val - config.test))
        raise DatasetError(
            f"too few patients with a label, {len(strata)}: {', '.join(empty)} would be empty; label {least} or more"
        )
    return splits


def assert_no_leak(parts: Mapping[Split, Sequence[str]]) -> None:
    """Raise LeakageError, with the patients, when one stands in two splits. `parts` gives patient ids by split."""
    seen: dict[str, Split] = {}
    leaked = set()
    for split, patients in parts.items():
        for patient_id in patients:
            if seen.setdefault(patient_id, split) is not split:
                leaked.add(patient_id)
    if leaked:
        raise LeakageError(f"{len(leaked)} patients in more than one split: {sorted(leaked)[:5]}; split by patient_id")


def _order(patient_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{patient_id}".encode()).hexdigest()
