"""Searches as they stand in record and store, with scores made up for tests of comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scores import ScoredBreasts
from tilebank.flows.search.record import tags_of
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings
from tilebank.store.tables import Store
from tilebank.tracking.runs import Tracker, TrialRecord

PATIENTS = 40  # of each split, with two breasts each


@dataclass(frozen=True)
class Recorded:
    """A search as it stands in record and store, and what its scores come to."""

    run_id: str
    val: ScoredBreasts
    test: ScoredBreasts
    evaluation: Evaluation


def split_of(name: str, *, gap: float, seed: int) -> ScoredBreasts:
    """Scores of which positives are higher by `gap` standard deviations; labels and ids go by `name` alone."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(2 * PATIENTS) % 3 == 0).astype(np.int64)
    scores = 1 / (1 + np.exp(-(gap * labels + rng.normal(size=labels.size)))).astype(np.float32)
    patients = tuple(f"secret-{name}{place // 2:02d}" for place in range(labels.size))
    return ScoredBreasts(scores, labels, patients, tuple(f"{who}_{'LR'[i % 2]}" for i, who in enumerate(patients)))


def kept(scored: ScoredBreasts, places: Sequence[int]) -> ScoredBreasts:
    """Some of its breasts, in the order given."""
    of = list(places)
    patients, breasts = (tuple(ids[place] for place in of) for ids in (scored.patients, scored.breast_ids))
    return ScoredBreasts(scored.scores[of], scored.labels[of], patients, breasts)


def as_rows(
    scored: ScoredBreasts, split: str, run_id: str, *, settings: Settings, task: str
) -> list[dict[str, object]]:
    """What a search leaves in the store."""
    common = {"task": task, "split": split, "head": settings.head_name, "run_id": run_id, "fingerprint": "f"}
    return [
        common
        | {"breast_id": breast, "exam_id": breast[:-2], "patient_id": patient, "label": int(label), "score": score}
        for breast, patient, label, score in zip(
            scored.breast_ids, scored.patients, scored.labels, scored.scores.tolist(), strict=True
        )
    ]


def record(
    settings: Settings,
    val: ScoredBreasts | None,
    test: ScoredBreasts,
    *,
    task: str = "malignancy",
    fingerprint: str = "f" * 16,
    searched: Mapping[str, float] | None = None,
) -> Recorded:
    """Leave a search in record and store, as a search does, its one trial included; `val` None: it lost its rows.

    searched: further metrics of the search.
    """
    tracker = Tracker(settings.tracking, experiment=f"phantom--{task}", artifacts=settings.artifacts)
    tags = tags_of(settings, task=task, fingerprint=fingerprint, table_version=3)
    evaluation = evaluate(val or split_of("v", gap=1, seed=0), test, replicates=200, seed=0)
    with tracker.run("search", params={}, tags=tags) as run_id:
        tracker.log_trials(run_id, [TrialRecord("seed 0", {}, {"best_val_auc": 0.99}, {}, 1)], tags=tags)
        metrics = evaluation.as_metrics() | {"trials": 1.0} | dict(searched or {})
        tracker.log_results(run_id, metrics=metrics, figures={}, documents={})
        parts = {"test": test} | ({"val": val} if val else {})
        rows = [
            row for split, part in parts.items() for row in as_rows(part, split, run_id, settings=settings, task=task)
        ]
        Store(settings.store).write_predictions("phantom", settings.encoder.name, rows, licence=settings.licence)
    return Recorded(run_id, val or test, test, evaluation)


def settings_at(home: Path, encoder: str = "texture", head: str = "dual_stream", *pairs: str) -> Settings:
    return load_settings(
        Choices(
            encoder=encoder,
            head=head,
            store=str(home / "store"),
            tracking=f"sqlite:///{home}/mlflow.db",
            set=(f"artifacts={home}/artifacts", "evaluation.replicates=200", *pairs),
        )
    )
