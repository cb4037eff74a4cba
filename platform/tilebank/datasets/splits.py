"""Split patients into train, validation and test, stratified, and raise on a leak.

`plan_splits` gives every labelled patient a split. The plan is stored, and passed in again as `held`, so that no
patient moves when others are added; a hash by itself could keep either the shares or the patients' places, not both.
`keep_fraction` reduces the training patients afterwards, so the stored plan is always complete.
"""

import hashlib
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tilebank.datasets.contract import Truth
from tilebank.datasets.labels import Breast
from tilebank.errors import DatasetError, LeakageError, TooFewLabelsError
from tilebank.terms import LabelRow, Split

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitConfig:
    """How patients are split.

    val, test: shares of the patients (the rest is train); seed: of their order; official: the owner's test patients are
    the test, and `val` is the share of all others; fraction: share of the train patients that is used, smaller ones
    nested in larger.
    """

    val: float = 0.10
    test: float = 0.20
    seed: int = 0
    official: bool = False
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.val < 1 and 0 < self.test < 1 and self.val + self.test < 1):
            raise ValueError("val and test are shares above 0 that leave something to train on")
        if not 0 < self.fraction <= 1:
            raise ValueError("fraction is a share of the train patients, above 0 and up to 1")

    @property
    def scheme(self) -> str:
        """What must be the same for a kept split to be taken up again; not the fraction, which is applied later."""
        test = "official" if self.official else repr(float(self.test))
        return f"val={float(self.val)!r} test={test} seed={self.seed}"


def plan_splits(
    labels: Sequence[LabelRow],
    config: SplitConfig,
    *,
    held: Mapping[str, Split] | None = None,
    official: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """patient_id -> split of every labelled patient: the same input gives the same answer, in any order of rows.

    A patient's stratum is the highest of its breasts' strata. Patients in `held` stay where they are; new ones, ordered
    within their stratum by a hash of seed and id, fill it up to its shares. What rounding leaves over goes on to the
    next stratum, so that the whole keeps the shares too. With `config.official`, `official` (see `official_splits`)
    names the test patients and only the others are dealt. Raises DatasetError when a split would be empty, or when the
    owner has moved a held patient into or out of the test.
    """
    strata = _strata(labels)
    splits = {patient_id: split for patient_id, split in (held or {}).items() if patient_id in strata}
    shares = {Split.TEST: config.test, Split.VAL: config.val}
    dealt = strata
    if config.official:
        said = {patient_id: split for patient_id, split in (official or {}).items() if patient_id in strata}
        _assert_not_moved(splits, said)
        splits |= {patient_id: split for patient_id, split in said.items() if split is Split.TEST}
        shares[Split.TEST] = 0.0
        dealt = {key: stratum for key, stratum in strata.items() if splits.get(key) is not Split.TEST}
    splits |= _deal(dealt, splits, shares=shares, seed=config.seed)
    _assert_none_empty(splits, config)
    return splits


def official_splits(breasts: Iterable[Breast], truth: Truth) -> dict[str, Split]:
    """patient_id -> `test` or `train`, by the owner's fact `split` of its breasts.

    Patients of whom nothing is said are left out, and so are those whom an owner that splits by image or lesion names
    in both: neither counts as the owner's test, so that the test is a part of the owner's, and nobody stands in two.
    Raises DatasetError when the tables state no split at all, or something else than `train` or `test`.
    """
    said: dict[str, set[Split]] = defaultdict(set)
    for breast in breasts:
        text = truth.get(breast.breast_id, {}).get("split", "").strip()
        if text not in ("", Split.TRAIN.value, Split.TEST.value):
            raise DatasetError(f"breast {breast.breast_id}: split is {text!r}, not train or test; correct the table")
        if text:
            said[breast.patient_id].add(Split(text))
    if not said:
        raise DatasetError("the dataset's tables state no split; run without splits.official")
    clear = {patient_id: splits.pop() for patient_id, splits in said.items() if len(splits) == 1}
    if len(clear) < len(said):
        logger.warning(
            "the owner names %d of %d patients in both train and test; none of them goes to test",
            len(said) - len(clear),
            len(said),
        )
    return clear


def keep_fraction(splits: Mapping[str, Split], labels: Sequence[LabelRow], config: SplitConfig) -> dict[str, Split]:
    """`splits` without the train patients that `config.fraction` leaves out; validation and test stay whole.

    Of each stratum the first by a hash of seed and id are kept, at least one: so a smaller fraction is part of a larger
    one. Every labelled patient must have a split.
    """
    strata = _strata(labels)
    kept = {patient_id: splits[patient_id] for patient_id in strata if splits[patient_id] is not Split.TRAIN}
    train = {patient_id: stratum for patient_id, stratum in strata.items() if patient_id not in kept}
    for _, patients in _by_stratum(train):
        count = max(1, round(config.fraction * len(patients)))
        first = sorted(patients, key=lambda patient_id: _order(patient_id, f"fraction/{config.seed}"))[:count]
        kept |= dict.fromkeys(first, Split.TRAIN)
    return kept


def assert_no_leak(parts: Mapping[Split, Sequence[str]]) -> None:
    """Raise LeakageError, naming patients, if one is in two splits. `parts` gives patient ids by split."""
    seen: dict[str, Split] = {}
    leaked = set()
    for split, patients in parts.items():
        for patient_id in patients:
            if seen.setdefault(patient_id, split) is not split:
                leaked.add(patient_id)
    if leaked:
        raise LeakageError(f"{len(leaked)} patients in more than one split: {sorted(leaked)[:5]}; split by patient_id")


def _deal(
    strata: Mapping[str, str], held: Mapping[str, Split], *, shares: Mapping[Split, float], seed: int
) -> dict[str, Split]:
    """The splits of those in `strata` who are not held."""
    dealt: dict[str, Split] = {}
    owed = dict.fromkeys(shares, 0.0)
    for _, patients in _by_stratum(strata):
        counts = Counter(held[patient_id] for patient_id in patients if patient_id in held)
        new = sorted(set(patients) - held.keys(), key=lambda patient_id: _order(patient_id, str(seed)))
        owed = {split: owed[split] + share * len(patients) - counts[split] for split, share in shares.items()}
        wanted = {split: max(round(places), 0) for split, places in owed.items()}
        for split, count in _fit(wanted, len(new)).items():
            dealt |= dict.fromkeys(new[:count], split)
            new = new[count:]
            # Held patients may exceed or miss a share: beyond one of them, that is no debt of the next stratum.
            owed[split] = max(-1.0, min(1.0, owed[split] - count))
        dealt |= dict.fromkeys(new, Split.TRAIN)
    return dealt


def _fit(wanted: Mapping[Split, int], places: int) -> dict[Split, int]:
    """`wanted`, cut down in proportion to what there is."""
    total, left, counts = sum(wanted.values()), places, {}
    for split, count in wanted.items():
        counts[split] = min(count, left, math.ceil(places * count / total) if total > places else count)
        left -= counts[split]
    return counts


def _strata(labels: Sequence[LabelRow]) -> dict[str, str]:
    strata: dict[str, str] = {}
    for row in labels:
        strata[row.patient_id] = max(strata.get(row.patient_id, ""), row.stratum)
    return strata


def _by_stratum(strata: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    patients: dict[str, list[str]] = defaultdict(list)
    for patient_id, stratum in strata.items():
        patients[stratum].append(patient_id)
    return sorted(patients.items())


def _order(patient_id: str, seed: str) -> str:
    return hashlib.sha256(f"{seed}/{patient_id}".encode()).hexdigest()


def _assert_not_moved(held: Mapping[str, Split], said: Mapping[str, Split]) -> None:
    moved = sorted(
        patient_id
        for patient_id, split in said.items()
        if patient_id in held and (held[patient_id] is Split.TEST) is not (split is Split.TEST)
    )
    if moved:
        raise DatasetError(
            f"the owner's split has changed: {len(moved)} patients were moved into or out of the test, {moved[:5]};"
            " set another splits.seed for a new split"
        )


def _assert_none_empty(splits: Mapping[str, Split], config: SplitConfig) -> None:
    empty = [split.value for split in Split if split not in splits.values()]
    if empty:
        shares = (
            (config.val, 1 - config.val) if config.official else (config.val, config.test, 1 - config.val - config.test)
        )
        where = " outside the owner's test and one inside" if config.official else ""
        raise TooFewLabelsError(
            f"too few patients with a label, {len(splits)}: {', '.join(empty)} would be empty;"
            f" label {math.ceil(1 / min(shares))} or more{where}",
            short=f"too few patients with a label, {len(splits)}",
        )
