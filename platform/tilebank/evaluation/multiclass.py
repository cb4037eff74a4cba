"""Evaluate tasks with more than two classes, such as density.

The predicted class is the one with the highest score; no threshold is chosen.

Shapes: B breasts, C classes, R replicates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tilebank.errors import DatasetError
from tilebank.evaluation.class_scores import ClassCounts, ScoredClasses, class_counts_of
from tilebank.evaluation.confusion_matrix import accuracies, balanced_accuracies, confusion_rows, kappas
from tilebank.evaluation.intervals.bootstrap import interval_of, patients_of_rarer
from tilebank.evaluation.intervals.resampling import Floats, auc_replicates, sum_replicates
from tilebank.evaluation.metrics import roc_auc
from tilebank.evaluation.scores import Estimate, assert_no_shared_patients

_FIGURES: dict[str, Callable[[Floats], Floats]] = {
    "accuracy": accuracies,
    "balanced_accuracy": balanced_accuracies,
    "quadratic_kappa": partial(kappas, power=2),
    "linear_kappa": partial(kappas, power=1),
}


@dataclass(frozen=True)
class ClassEvaluation:
    """Figures of scores of C classes, with patient-level intervals.

    val_auc and auc: the mean over the classes of the AUC of each against all others; class_aucs: each. confusion: test
    breasts by true (row) and predicted (column) class. Both kappas take the classes as ordered.
    """

    seed: int
    classes: tuple[str, ...]
    val_counts: ClassCounts
    test_counts: ClassCounts
    val_auc: float
    auc: Estimate
    class_aucs: tuple[Estimate, ...]
    accuracy: Estimate
    balanced_accuracy: Estimate
    quadratic_kappa: Estimate
    linear_kappa: Estimate
    confusion: tuple[tuple[int, ...], ...]

    @property
    def commonest(self) -> tuple[str, float]:
        """The class with most test breasts, and the accuracy of predicting every breast so."""
        place = int(np.argmax(self.test_counts.by_class))
        return self.classes[place], self.test_counts.by_class[place] / self.test_counts.breasts

    def as_metrics(self) -> dict[str, float]:
        """Flat names for the record of runs: `test_macro_auc`, `test_macro_auc_low`, ..., `test_auc_A`, ..."""
        figures = {"val_macro_auc": self.val_auc}
        for name, estimate in (
            ("test_macro_auc", self.auc),
            ("test_accuracy", self.accuracy),
            ("test_bacc", self.balanced_accuracy),
            ("test_quadratic_kappa", self.quadratic_kappa),
            ("test_linear_kappa", self.linear_kappa),
            *((f"test_auc_{name}", auc) for name, auc in zip(self.classes, self.class_aucs, strict=True)),
        ):
            figures |= estimate.as_metrics(name)
        for split, counts in (("val", self.val_counts), ("test", self.test_counts)):
            figures |= {f"{split}_breasts": float(counts.breasts), f"{split}_patients": float(counts.patients)}
            for name, breasts, patients in zip(self.classes, counts.by_class, counts.patients_by_class, strict=True):
                figures |= {f"{split}_breasts_{name}": float(breasts), f"{split}_patients_{name}": float(patients)}
        return figures

    def as_card(self) -> dict[str, str]:
        """Entries for the head's card: the meaning of its scores, in order."""
        return {"answers": ",".join(self.classes)}

    def as_columns(self) -> dict[str, Estimate]:
        """The test figures that a table of several searches shows."""
        return {"test macro AUC": self.auc, "quadratic kappa": self.quadratic_kappa}

    def as_text(self) -> str:
        """A small aligned table, one figure per line, and the confusion matrix."""
        interval, counts = self.auc.interval, self.test_counts
        commonest, share = self.commonest
        lines = [
            f"test: {counts.breasts} breasts of {counts.patients} patients; intervals"
            f" {interval.level:.0%}, {interval.replicates} patient replicates",
            self.auc.as_line("macro AUC", f"val {self.val_auc:.3f}; mean over classes, each against the others"),
        ]
        behind = zip(counts.by_class, counts.patients_by_class, strict=True)
        notes = [f"{breasts} breasts of {patients} patients against the others" for breasts, patients in behind]
        aucs = zip(self.classes, self.class_aucs, notes, strict=True)
        lines += [estimate.as_line(f"AUC of {name}", note) for name, estimate, note in aucs]
        lines += [
            self.accuracy.as_line("accuracy", f"predicting every breast {commonest} gets {share:.3f}"),
            self.balanced_accuracy.as_line("balanced accuracy", f"by chance {1 / len(self.classes):.3f}"),
            self.quadratic_kappa.as_line("quadratic kappa", "classes taken as ordered; by chance 0"),
            self.linear_kappa.as_line("linear kappa", "classes taken as ordered; by chance 0"),
            "breasts by true class (rows) and predicted class (columns):",
            f"  {'':<6}" + "".join(f"{name:>6}" for name in self.classes),
        ]
        rows = zip(self.classes, self.confusion, strict=True)
        return "\n".join(lines + [f"  {name:<6}" + "".join(f"{count:>6}" for count in row) for name, row in rows])


def evaluate_classes(
    val: ScoredClasses,
    test: ScoredClasses,
    *,
    classes: Sequence[str],
    replicates: int = 2000,
    seed: int,
    level: float = 0.95,
) -> ClassEvaluation:
    """All figures of the test scores; of validation the macro AUC, by which heads are chosen.

    A replicate without a breast of some class has no macro AUC and no balanced accuracy, and is left out of their
    intervals, and counted. A figure at the end of its scale (an accuracy of 1) comes back with an interval without
    width. Raises LeakageError where a patient stands in both splits, DatasetError where `classes` do not fit.
    """
    assert_no_shared_patients(val.patients, test.patients)
    if not val.scores.shape[1] == test.scores.shape[1] == len(classes):
        raise DatasetError(f"scores of {test.scores.shape[1]} classes, and {len(classes)} names; pass one per class")
    auc, class_aucs = _against_the_others(test, replicates=replicates, seed=seed, level=level)
    table, figures = _by_predicted_class(test, replicates=replicates, seed=seed, level=level)
    return ClassEvaluation(
        seed=seed,
        classes=tuple(classes),
        val_counts=class_counts_of(val),
        test_counts=class_counts_of(test),
        val_auc=macro_auc(val),
        auc=auc,
        class_aucs=class_aucs,
        **figures,
        confusion=tuple(tuple(int(count) for count in row) for row in table),
    )


def macro_auc(scored: ScoredClasses) -> float:
    """Mean over the classes of the AUC of each against all others, all classes alike (Fawcett, Pattern Recognition
    Letters 27:861, 2006, section 9)."""
    classes = range(scored.scores.shape[1])
    return float(np.mean([roc_auc(scored.scores[:, each], scored.labels == each) for each in classes]))


def _against_the_others(
    test: ScoredClasses, *, replicates: int, seed: int, level: float
) -> tuple[Estimate, tuple[Estimate, ...]]:
    """The macro AUC, and the AUC of each class."""
    replicated, aucs = [], []
    for each in range(test.scores.shape[1]):
        scores, labels = test.scores[:, each], test.labels == each
        values = auc_replicates(scores, labels, test.patients, replicates=replicates, seed=seed)  # (R,)
        behind = patients_of_rarer(scores, labels, test.patients)
        aucs.append(Estimate(float(roc_auc(scores, labels)), interval_of(values, patients=behind, level=level)))
        replicated.append(values)
    macro = interval_of(np.mean(replicated, axis=0), patients=min(class_counts_of(test).patients_by_class), level=level)
    return Estimate(macro_auc(test), macro), tuple(aucs)


def _by_predicted_class(
    test: ScoredClasses, *, replicates: int, seed: int, level: float
) -> tuple[Floats, dict[str, Estimate]]:
    """The confusion table (C, C), and what follows from it by name."""
    classes = test.scores.shape[1]
    rows = confusion_rows(test.labels, test.predicted, classes=classes)  # (B, C * C)
    table = rows.sum(axis=0).reshape(1, classes, classes)
    cells = sum_replicates(rows, test.patients, replicates=replicates, seed=seed).reshape(-1, classes, classes)
    figures = {}
    for name, of in _FIGURES.items():
        behind = (
            min(class_counts_of(test).patients_by_class) if name == "balanced_accuracy" else len(set(test.patients))
        )
        figures[name] = Estimate(float(of(table)[0]), interval_of(of(cells), patients=behind, level=level))
    return table[0], figures
