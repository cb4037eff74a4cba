"""Which heads learn from what is in a bag, and which from short cuts: three problems of Raff and Holt, every head.

No timing: scores of heads that are fitted as a search would fit them, on bags made for it (assumption_bags.py).
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from tilebank.bench.measure import Bench, BenchRow, PartResult
from tilebank.bench.search.assumption_bags import PROBLEMS, draw_bags
from tilebank.evaluation.metrics import roc_auc
from tilebank.flows.reporting.progress import with_progress
from tilebank.mil.fitting.fit import FitConfig, TrialConfig, fit_population
from tilebank.mil.heads.registry import HEADS, HeadConfig, score_bags

FIT = FitConfig(max_epochs=60, patience=20, batch=32, class_weight="none")
LEARNT = 0.65  # AUC on bags as they were fitted, from which on the other test says anything
LOST = 0.05  # how much AUC a head that keeps the assumption may lose where the short cut is turned about


@dataclass(frozen=True)
class FitOn:
    """One head on one problem: `seeds` of it, and `breasts` each to fit, to validate and for either test."""

    head: str
    problem: str
    seeds: int
    breasts: int


@dataclass(frozen=True)
class AssumptionScore:
    """Each seed's AUC on new bags like those of fitting, and on bags whose short cut is turned about."""

    as_fitted: tuple[float, ...]
    turned: tuple[float, ...]

    @property
    def verdict(self) -> str:
        """By the medians: kept; broken, where the turned bags are ranked against their labels; or what lies between."""
        fitted, turned = np.median(self.as_fitted), np.median(self.turned)
        if fitted < LEARNT:
            return "not learnt"
        return "kept" if turned >= fitted - LOST else "broken" if turned < 0.5 else "in part"


def bench_assumptions(bench: Bench) -> PartResult:
    """Every head on every problem: the AUC of the test, its ratio to that on bags as fitted, and what it means."""
    sizes = bench.sizes
    rows = []
    requests = [FitOn(head, problem, sizes.seeds, sizes.test_bags) for problem in PROBLEMS for head in HEADS]
    for request in with_progress(requests, what="assumptions", unit="head", total=len(requests)):
        score = fit_on(request)
        fitted, turned = float(np.median(score.as_fitted)), float(np.median(score.turned))
        spread = f"{min(score.turned):.2f} to {max(score.turned):.2f}"
        rows.append(
            BenchRow(
                request.problem,
                request.head,
                turned,
                "AUC, short cut turned",
                turned / fitted,
                f"AUC {fitted:.3f} as fitted",
                f"{score.verdict} ({spread})",
            )
        )
    how = f"medians of {sizes.seeds} seeds (range in brackets); {sizes.test_bags} bags each to fit, validate and test"
    return PartResult(tuple(rows), how)


def fit_on(request: FitOn) -> AssumptionScore:
    """Fit the seeds of one head as a pack and score both kinds of test."""
    train, val, like, turned = (
        draw_bags(request.problem, breasts=request.breasts, seed=place, turned=place == 3) for place in range(4)
    )
    fitted = fit_population(
        train,
        val,
        head=plain_head(request.head),
        trials=[TrialConfig(seed=seed) for seed in range(request.seeds)],
        config=FIT,
        metric=roc_auc,
    )
    aucs = []
    for bags in (like, turned):
        assert bags.labels is not None
        scores = np.concatenate([score_bags(one.head, bags) for one in fitted])
        aucs.append(tuple(float(auc) for auc in roc_auc(scores, bags.labels.numpy().astype(np.int64))))
    return AssumptionScore(*aucs)


def plain_head(name: str) -> HeadConfig:
    """The head's own settings, on tiles alone and with vectors as they are: their lengths are part of the problems."""
    config = replace(HEADS[name].config(), l2_normalise=False)  # type: ignore[call-arg]
    known = {field.name for field in fields(config)}
    if "instances" in known:
        return replace(config, instances="tiles")  # type: ignore[call-arg]
    return replace(config, view_pooling="none")  # type: ignore[call-arg]
