"""Evaluate the champion: the one place where a search reads the test split. Thresholds come from validation.

The metrics depend on the task: yes or no, one of several classes, or several labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilebank.evaluation.class_scores import ScoredClasses
from tilebank.evaluation.multiclass import ClassEvaluation, evaluate_classes
from tilebank.evaluation.multilabel import LabelEvaluation, evaluate_labels
from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scores import ScoredBreasts
from tilebank.evaluation.subgroups import Subgroup, evaluate_subgroups
from tilebank.flows.settings.settings import EvaluationConfig
from tilebank.flows.study.labelled_bags import LabelledBags
from tilebank.mil.heads.registry import Head, score_bags
from tilebank.terms import LabelRow, Split

AnyEvaluation = Evaluation | ClassEvaluation | LabelEvaluation


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """The champion's scores of one split, (B,) or (B, C), beside its labels and label rows."""

    rows: tuple[LabelRow, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.floating[Any]]

    def as_yes_no(self) -> ScoredBreasts:
        """One score a breast."""
        return ScoredBreasts(self.scores, self.labels, *self._whose())

    def as_classes(self) -> ScoredClasses:
        """A probability of each class."""
        return ScoredClasses(self.scores, self.labels, *self._whose())

    def as_labels(self, names: Sequence[str]) -> dict[str, ScoredBreasts]:
        """Each label by itself, by name."""
        columns = zip(names, self.scores.T, self.labels.T, strict=True)
        return {name: ScoredBreasts(scores, labels, *self._whose()) for name, scores, labels in columns}

    def _whose(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Patient and breast of each score."""
        return tuple(row.patient_id for row in self.rows), tuple(row.breast_id for row in self.rows)


@dataclass(frozen=True, eq=False)
class ScoredSplits:
    """The champion's scores on validation and test, and what follows from them; no subgroups of classes."""

    val: ScoredSplit
    test: ScoredSplit
    evaluation: AnyEvaluation
    subgroups: tuple[Subgroup, ...]

    def by_split(self) -> Iterator[tuple[Split, tuple[LabelRow, ...], NDArray[np.floating[Any]]]]:
        """(split, its labels, its scores) for both."""
        yield Split.VAL, self.val.rows, self.val.scores
        yield Split.TEST, self.test.rows, self.test.scores


def evaluate_champion(
    head: Head,
    *,
    answers: Sequence[str],
    val: tuple[LabelledBags, Sequence[LabelRow]],
    test: tuple[LabelledBags, Sequence[LabelRow]],
    groups: Mapping[str, Sequence[str]],
    config: EvaluationConfig,
) -> ScoredSplits:
    """Score both splits with a head of one trial; each is given with its label rows, in the order of its bags.

    answers: the names of the task's classes or labels, in the order of its scores. groups: column name -> the value of
    each test breast, in the same order.
    """
    scored_val, scored_test = _score(head, *val), _score(head, *test)
    judge = {"binary": _judge_yes_no, "multiclass": _judge_classes, "multilabel": _judge_labels}[head.outputs.kind]
    evaluation, subgroups = judge(scored_val, scored_test, answers, groups, config)
    return ScoredSplits(scored_val, scored_test, evaluation, tuple(subgroups))


_Judged = tuple[AnyEvaluation, list[Subgroup]]
_Groups = Mapping[str, Sequence[str]]


def _judge_yes_no(
    val: ScoredSplit,
    test: ScoredSplit,
    answers: Sequence[str],  # noqa: ARG001 - yes and no need no names
    groups: _Groups,
    config: EvaluationConfig,
) -> _Judged:
    scored = test.as_yes_no()
    evaluation = evaluate(val.as_yes_no(), scored, replicates=config.replicates, seed=config.seed)
    return evaluation, _divide(scored, evaluation, groups, config)


def _judge_classes(
    val: ScoredSplit,
    test: ScoredSplit,
    answers: Sequence[str],
    groups: _Groups,  # noqa: ARG001 - parts of a test split rarely hold enough patients of every class
    config: EvaluationConfig,
) -> _Judged:
    drawn = {"replicates": config.replicates, "seed": config.seed}
    return evaluate_classes(val.as_classes(), test.as_classes(), classes=answers, **drawn), []


def _judge_labels(
    val: ScoredSplit, test: ScoredSplit, answers: Sequence[str], groups: _Groups, config: EvaluationConfig
) -> _Judged:
    """Every label is divided by itself, at its own threshold; its name leads the column's."""
    scored = test.as_labels(answers)
    found = evaluate_labels(val.as_labels(answers), scored, replicates=config.replicates, seed=config.seed)
    parts = [
        _divide(scored[name], evaluation, {f"{name}, by {column}": values for column, values in groups.items()}, config)
        for name, evaluation in found.labels.items()
    ]
    return found, [part for divided in parts for part in divided]


def _divide(test: ScoredBreasts, evaluation: Evaluation, groups: _Groups, config: EvaluationConfig) -> list[Subgroup]:
    """The parts of the test split by every column, at the threshold of the whole."""
    parts = (
        evaluate_subgroups(
            test.scores,
            test.labels,
            test.patients,
            values,
            column=column,
            threshold=evaluation.at_sensitivity.threshold,
            minimum=config.subgroup_patients,
            replicates=config.replicates,
            seed=config.seed,
        )
        for column, values in groups.items()
    )
    return [part for found in parts for part in found]


def _score(head: Head, part: LabelledBags, rows: Sequence[LabelRow]) -> ScoredSplit:
    return ScoredSplit(tuple(rows), part.labels, score_bags(head, part.as_batch())[0])
