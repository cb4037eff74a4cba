"""Find the test breasts that every compared search scored: heads are compared on these."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import DatasetError, StoreError
from tilebank.evaluation.metrics import roc_auc
from tilebank.evaluation.scores import ScoredBreasts
from tilebank.flows.compare.runs import FoundSearch
from tilebank.flows.settings.settings import Settings
from tilebank.store.predictions import Predicted, read_predictions
from tilebank.terms import Split


@dataclass(frozen=True)
class CommonBreasts:
    """The test breasts of all the searches.

    breast_ids: sorted; left_out: how many breasts only some of the searches scored; val_aucs: by run id, on each
    search's own validation breasts; val_differs: whether these differ between searches.
    """

    breast_ids: tuple[str, ...]
    left_out: int
    val_aucs: dict[str, float]
    val_differs: bool


def find_common_breasts(settings: Settings, searches: Sequence[FoundSearch]) -> CommonBreasts:
    """The test breasts that all searches scored; one search is in memory at a time.

    Raises StoreError where a search left no predictions of a split, DatasetError where two saw different labels or
    patients, or where no test breasts of both classes are common to all.
    """
    truth: dict[str, tuple[int, str]] = {}
    told_by: dict[str, str] = {}
    tested: set[str] = set()
    common: set[str] | None = None
    val_ids: set[tuple[str, ...]] = set()
    val_aucs = {}
    for search in searches:
        parts = read_parts(settings, search)
        for part in parts.values():
            _assert_agrees(part, search, truth=truth, told_by=told_by)
        val, test = parts[Split.VAL], parts[Split.TEST]
        val_aucs[search.run_id] = float(roc_auc(val.scores, val.labels))
        val_ids.add(val.breast_ids)
        tested |= set(test.breast_ids)
        common = set(test.breast_ids) if common is None else common & set(test.breast_ids)
    kept = tuple(sorted(common or ()))
    _assert_both_classes([truth[breast_id][0] for breast_id in kept], searches)
    return CommonBreasts(kept, len(tested) - len(kept), val_aucs, len(val_ids) > 1)


def read_parts(settings: Settings, search: FoundSearch) -> dict[Split, Predicted]:
    """The validation and test predictions of one search. Raises StoreError where one is not there."""
    parts = read_predictions(
        settings.store, dataset=settings.dataset.name, encoder=search.encoder, run_id=search.run_id
    )
    missing = [split.value for split in (Split.VAL, Split.TEST) if split.value not in parts]
    if missing:
        raise StoreError(
            f"{settings.store} holds no {' and no '.join(missing)} predictions of {search.name} (run {search.run_id});"
            " search it again, name the store that it wrote to with --store, or leave it out with --runs"
        )
    return {split: parts[split.value] for split in (Split.VAL, Split.TEST)}


def as_scored(part: Predicted, *, among: Sequence[str] = ()) -> ScoredBreasts:
    """The predictions as scores, of `among` alone where breasts are named, in their order."""
    whole = ScoredBreasts(part.scores, part.labels, part.patient_ids, part.breast_ids)
    if not among:
        return whole
    row = {breast_id: place for place, breast_id in enumerate(part.breast_ids)}
    kept: NDArray[np.int64] = np.asarray([row[breast_id] for breast_id in among], dtype=np.int64)
    patients = tuple(part.patient_ids[place] for place in kept)
    return ScoredBreasts(part.scores[kept], part.labels[kept], patients, tuple(among))


def _assert_agrees(
    part: Predicted, search: FoundSearch, *, truth: dict[str, tuple[int, str]], told_by: dict[str, str]
) -> None:
    """Hold labels and patients against those of the searches before, and remember the new ones."""
    here = dict(zip(part.breast_ids, zip(part.labels.tolist(), part.patient_ids, strict=True), strict=True))
    apart = sorted(breast_id for breast_id in here.keys() & truth.keys() if here[breast_id] != truth[breast_id])
    if apart:
        raise DatasetError(
            f"{search.name} (run {search.run_id}) and {told_by[apart[0]]} saw other labels or patients for"
            f" {len(apart)} breasts, such as {apart[:3]}: the labels changed between them; search the older one again,"
            " or choose searches with --runs"
        )
    truth |= here
    told_by |= dict.fromkeys(here.keys() - told_by.keys(), f"{search.name} (run {search.run_id})")


def _assert_both_classes(labels: Sequence[int], searches: Sequence[FoundSearch]) -> None:
    positives = sum(labels)
    if min(positives, len(labels) - positives) >= 2:
        return
    schemes = sorted({search.run.tags["split_scheme"] for search in searches})
    raise DatasetError(
        f"{len(labels)} test breasts are common to all {len(searches)} searches, {positives} of them positive: too few"
        f" of a class to compare on (patients were split by {'; '.join(schemes)}); choose searches with --runs"
    )
