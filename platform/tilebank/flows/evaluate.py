"""The one door to the test split: score the champion on it once, with thresholds frozen on validation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scored import Scored
from tilebank.evaluation.subgroups import Subgroup, evaluate_subgroups
from tilebank.flows.settings import EvaluationConfig
from tilebank.flows.study import LabelledBags
from tilebank.mil.heads import Head, score_bags
from tilebank.terms import LabelRow, Split


@dataclass(frozen=True)
class ScoredSplits:
    """The champion's scores on validation and test, and what follows from them."""

    val: Scored
    test: Scored
    val_rows: tuple[LabelRow, ...]
    test_rows: tuple[LabelRow, ...]
    evaluation: Evaluation
    subgroups: tuple[Subgroup, ...]

    def by_split(self) -> Iterator[tuple[Split, tuple[LabelRow, ...], NDArray[np.floating]]]:
        """(split, its labels, its scores) for both."""
        yield Split.VAL, self.val_rows, self.val.scores
        yield Split.TEST, self.test_rows, self.test.scores


def evaluate_champion(
    head: Head,
    *,
    val: tuple[LabelledBags, Sequence[LabelRow]],
    test: tuple[LabelledBags, Sequence[LabelRow]],
    groups: Mapping[str, Sequence[str]],
    config: EvaluationConfig,
) -> ScoredSplits:
    """Score both splits with a head of one trial; each is given with its label rows, in the order of its bags.

    groups: column name -> the value of each test breast, in the same order.
    """
    val_scored, test_scored = _score(head, *val), _score(head, *test)
    evaluation = evaluate(val_scored, test_scored, replicates=config.replicates, seed=config.seed)
    parts = (
        evaluate_subgroups(
            test_scored.scores,
            test_scored.labels,
            test_scored.patients,
            values,
            column=column,
            threshold=evaluation.at_sensitivity.threshold,
            minimum=config.subgroup_patients,
            replicates=config.replicates,
            seed=config.seed,
        )
        for column, values in groups.items()
    )
    return ScoredSplits(
        val=val_scored,
        test=test_scored,
        val_rows=tuple(val[1]),
        test_rows=tuple(test[1]),
        evaluation=evaluation,
        subgroups=tuple(part for found in parts for part in found),
    )


def _score(head: Head, part: LabelledBags, rows: Sequence[LabelRow]) -> Scored:
    return Scored(
        scores=score_bags(head, part.as_batch())[0],
        labels=part.labels,
        patients=tuple(row.patient_id for row in rows),
        breast_ids=tuple(row.breast_id for row in rows),
    )
