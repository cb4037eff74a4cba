"""Test which heads respect the assumption of multiple-instance learning, on three problems of Raff and Holt.

Not a timing: the AUC of heads fitted by a fixed recipe on the bags of shortcut_bags.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tilebank.bench.measure import Bench, BenchRow, PartResult
from tilebank.bench.search.shortcut_bags import PROBLEMS, draw_bags
from tilebank.evaluation.metrics import roc_auc
from tilebank.flows.reporting.progress import with_progress
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_heads
from tilebank.mil.heads.registry import HEADS, HeadConfig, score_bags

FIT = FitConfig(max_epochs=60, patience=20, batch=32, class_weight="none")
LEARNT = 0.65  # AUC on bags like those of training, below which the reversed test means nothing
LOST = 0.05  # AUC that a head may lose when the shortcut is reversed and still respect the assumption


@dataclass(frozen=True)
class AssumptionRequest:
    """One head on one problem: its number of seeds, and of breasts in train, val and each test set."""

    head: str
    problem: str
    seeds: int
    breasts: int


@dataclass(frozen=True)
class AssumptionScore:
    """AUC of each seed on new bags like those of training, and on bags with the shortcut reversed."""

    as_trained: tuple[float, ...]
    with_shortcut_reversed: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """By the medians: kept, in part, or broken (AUC below 0.5 with the shortcut reversed); or not learnt."""
        trained, opposite = np.median(self.as_trained), np.median(self.with_shortcut_reversed)
        if trained < LEARNT:
            return "not learnt"
        return "kept" if opposite >= trained - LOST else "broken" if opposite < 0.5 else "in part"


def bench_assumptions(bench: Bench) -> PartResult:
    """Every head on every problem: its AUC with the shortcut reversed, relative to that without, and a verdict."""
    sizes = bench.sizes
    rows = []
    requests = [
        AssumptionRequest(head, problem, sizes.seeds, sizes.test_bags) for problem in PROBLEMS for head in HEADS
    ]
    for request in with_progress(requests, what="assumptions", unit="head", total=len(requests)):
        score = score_assumption(request)
        trained, opposite = float(np.median(score.as_trained)), float(np.median(score.with_shortcut_reversed))
        seed_range = f"{min(score.with_shortcut_reversed):.2f} to {max(score.with_shortcut_reversed):.2f}"
        rows.append(
            BenchRow(
                request.problem,
                request.head,
                opposite,
                "AUC, shortcut reversed",
                opposite / trained,
                f"AUC {trained:.3f} as trained",
                f"{score.verdict} ({seed_range})",
            )
        )
    how = f"medians of {sizes.seeds} seeds (range in brackets); {sizes.test_bags} bags each in train, val and test"
    return PartResult(tuple(rows), how)


def score_assumption(request: AssumptionRequest) -> AssumptionScore:
    """Fit the seeds of one head as a pack and score both test sets."""
    train, val, alike, opposite = (
        draw_bags(request.problem, breasts=request.breasts, seed=place, shortcut_reversed=place == 3)
        for place in range(4)
    )
    fitted = fit_heads(
        train,
        val,
        head=plain_head(request.head),
        trials=[TrialConfig(seed=seed) for seed in range(request.seeds)],
        config=FIT,
        metric=roc_auc,
    )
    aucs = []
    for bags in (alike, opposite):
        assert bags.labels is not None
        scores = np.concatenate([score_bags(one.head, bags) for one in fitted])
        aucs.append(tuple(float(auc) for auc in roc_auc(scores, bags.labels.numpy().astype(np.int64))))
    return AssumptionScore(*aucs)


def plain_head(name: str) -> HeadConfig:
    """The default settings of a head, on tiles only and without normalisation: vector lengths matter here."""
    return replace(HEADS[name].config().tiles_only(), l2_normalise=False)  # type: ignore[call-arg]
