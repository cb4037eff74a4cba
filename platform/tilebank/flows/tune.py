"""A head search from vectors to champion: labels, splits, packs, one evaluation, the record. Encodes nothing."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np

import tilebank
from tilebank.datasets.labels import label_breasts
from tilebank.datasets.registry import open_dataset
from tilebank.datasets.splits import assert_no_leak, plan_splits
from tilebank.datasets.study import Breast
from tilebank.evaluation.plots import calibration_figure, curves_figure, roc_figure, trials_strip_figure
from tilebank.evaluation.report import Evaluation
from tilebank.flows.evaluate import ScoredSplits, evaluate_champion
from tilebank.flows.search import LabelledBags, choose_champion, search_heads
from tilebank.flows.settings import Settings
from tilebank.mil.fit import FittedHead
from tilebank.mil.heads import save_head
from tilebank.store.reader import Reader
from tilebank.store.tables import Store
from tilebank.terms import LabelRow, Laterality, Split
from tilebank.tracking import ServedModel, Tracker, TrialRecord

SERVING = "tilebank.mil.serving"
SERVING_NEEDS = ("numpy", "pandas", "safetensors", "torch")


@dataclass(frozen=True)
class SearchSummary:
    """What one search found and where it is recorded."""

    dataset: str
    task: str
    encoder: str
    head: str
    fingerprint: str
    table_version: int
    trials: int
    val_aucs: tuple[float, ...]
    champion_seed: int
    evaluation: Evaluation
    registered: str
    run_id: str
    tracking: str
    search_s: float
    wall_s: float

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self) | {"evaluation": self.evaluation.as_metrics()}

    def as_text(self) -> str:
        """The champion, the spread, and where to look."""
        aucs = np.asarray(self.val_aucs)
        return "\n".join(
            [
                f"{self.dataset}, {self.task}: {self.trials} x {self.head} on {self.encoder}"
                f" ({self.fingerprint}, table version {self.table_version})",
                f"champion: seed {self.champion_seed}, validation AUC {aucs.max():.3f}"
                f" (all trials: mean {aucs.mean():.3f}, lowest {aucs.min():.3f}, highest {aucs.max():.3f})",
                self.evaluation.as_text(),
                f"search {self.search_s:.1f} s, all {self.wall_s:.1f} s",
                f"registered: {self.registered}" if self.registered else "not registered: the labels were shuffled",
                f"MLflow run {self.run_id}; look at it with: mlflow ui --backend-store-uri {self.tracking}",
            ]
        )


def tune_head(settings: Settings, *, task: str) -> SearchSummary:
    """Search a head for `task` on stored vectors and evaluate the champion once on test.

    Raises TilebankError before any fitting when there are no vectors, labels or patients enough.
    """
    began = time.perf_counter()
    dataset, encoder = settings.dataset.name, settings.encoder.name
    store = Store(settings.store)
    store.assert_writable()
    reader = Reader(settings.store, dataset=dataset, encoder=encoder, fingerprint=settings.fingerprint)
    labels = _labels(settings, reader, task=task)
    splits = plan_splits(labels, settings.splits)
    parts = {split: [row for row in labels if splits[row.patient_id] is split] for split in Split}
    assert_no_leak({split: [row.patient_id for row in rows] for split, rows in parts.items()})
    _write_truth(store, settings, labels=labels, splits=splits, task=task)
    tracker = Tracker(settings.tracking, experiment=f"{dataset}--{task}", artifacts=settings.artifacts)

    tags = _tags(settings, task=task, table_version=reader.version)
    head = settings.head.name
    with tracker.run(f"{encoder}--{head}", params=_params(settings), tags=tags) as run_id:
        train, val = (_read(reader, parts[split]) for split in (Split.TRAIN, Split.VAL))
        if settings.search.shuffle_labels:
            train, val = (
                _shuffled(train, seed=settings.search.first_seed),
                _shuffled(val, seed=settings.search.first_seed),
            )
        search_began = time.perf_counter()
        fitted = search_heads(settings, train=train, val=val, name=run_id)
        search_s = time.perf_counter() - search_began
        champion = choose_champion(fitted)
        scored = evaluate_champion(
            fitted[champion].head,
            val=(val, parts[Split.VAL]),
            test=(_read(reader, parts[Split.TEST]), parts[Split.TEST]),
            config=settings.evaluation,
        )
        tracker.log_trials(run_id, [_trial_record(each) for each in fitted], tags=tags)
        registered = ""
        if not settings.search.shuffle_labels:
            store.write_predictions(
                dataset, encoder, _predictions(scored, settings, task=task, run_id=run_id), licence=settings.licence
            )
            registered = _register(tracker, settings, fitted[champion], scored, train=train, task=task, run_id=run_id)
        summary = SearchSummary(
            dataset=dataset,
            task=task,
            encoder=encoder,
            head=head,
            fingerprint=settings.fingerprint,
            table_version=reader.version,
            trials=len(fitted),
            val_aucs=tuple(each.best_val_auc for each in fitted),
            champion_seed=fitted[champion].trial.seed,
            evaluation=scored.evaluation,
            registered=registered,
            run_id=run_id,
            tracking=settings.tracking,
            search_s=search_s,
            wall_s=time.perf_counter() - began,
        )
        _log_results(tracker, summary, fitted=fitted, champion=champion, scored=scored)
    return summary


def _labels(settings: Settings, reader: Reader, *, task: str) -> list[LabelRow]:
    breasts = [
        Breast(row.patient_id, row.exam_id, row.breast_id, Laterality(row.laterality)) for row in reader.read_breasts()
    ]
    truth = open_dataset(settings.dataset).read_truth(breasts)
    return label_breasts(task, breasts, truth, dataset=settings.dataset.name)


def _write_truth(
    store: Store, settings: Settings, *, labels: Sequence[LabelRow], splits: Mapping[str, Split], task: str
) -> None:
    dataset, seed = settings.dataset.name, settings.splits.seed
    store.write_labels(dataset, [asdict(row) for row in labels], licence=settings.licence)
    rows = [
        {"dataset": dataset, "task": task, "seed": seed, "patient_id": patient_id, "split": split.value}
        for patient_id, split in sorted(splits.items())
    ]
    store.write_splits(dataset, rows, licence=settings.licence)


def _read(reader: Reader, rows: Sequence[LabelRow]) -> LabelledBags:
    bags = reader.read_bags([row.breast_id for row in rows])
    return LabelledBags(bags, np.asarray([row.label for row in rows], dtype=np.int64))


def _shuffled(part: LabelledBags, *, seed: int) -> LabelledBags:
    return LabelledBags(part.bags, np.random.default_rng(seed).permutation(part.labels))


def _tags(settings: Settings, *, task: str, table_version: int) -> dict[str, str]:
    return {
        "dataset": settings.dataset.name,
        "task": task,
        "encoder": settings.encoder.name,
        "head": settings.head.name,
        "fingerprint": settings.fingerprint,
        "table_version": str(table_version),
        "split_seed": str(settings.splits.seed),
        "shuffled_labels": str(settings.search.shuffle_labels).lower(),
        **settings.licence,
    }


def _params(settings: Settings) -> dict[str, object]:
    search = asdict(settings.search)
    fit = search.pop("fit")
    head = {f"head.{key}": value for key, value in asdict(settings.head).items()}
    return search | fit | head | {f"splits.{key}": value for key, value in asdict(settings.splits).items()}


def _trial_record(fitted: FittedHead) -> TrialRecord:
    return TrialRecord(
        name=f"seed {fitted.trial.seed}",
        params=asdict(fitted.trial),
        metrics={"best_val_auc": fitted.best_val_auc, "best_epoch": float(fitted.best_epoch)},
        curves=fitted.curves,
        epochs=fitted.epochs,
    )


def _predictions(scored: ScoredSplits, settings: Settings, *, task: str, run_id: str) -> list[dict[str, object]]:
    return [
        {
            "breast_id": row.breast_id,
            "exam_id": row.exam_id,
            "patient_id": row.patient_id,
            "task": task,
            "split": split.value,
            "label": row.label,
            "score": float(score),
            "head": settings.head.name,
            "run_id": run_id,
            "fingerprint": settings.fingerprint,
        }
        for split, rows, scores in scored.by_split()
        for row, score in zip(rows, scores, strict=True)
    ]


def _register(
    tracker: Tracker,
    settings: Settings,
    champion: FittedHead,
    scored: ScoredSplits,
    *,
    train: LabelledBags,
    task: str,
    run_id: str,
) -> str:
    """Save, log and register the champion; the name and version it got."""
    name = f"{settings.dataset.name}--{task}--{settings.encoder.name}"
    metadata = {
        "dataset": settings.dataset.name,
        "task": task,
        "encoder": settings.encoder.name,
        "fingerprint": settings.fingerprint,
        "threshold": repr(scored.evaluation.at_sensitivity.threshold),
        **settings.licence,
    }
    views = train.bags.view_features[: train.bags.view_offsets[1]]
    tiles = train.bags.tile_features[: train.bags.tile_offsets[1]]
    kinds = ["view"] * len(views) + ["tile"] * len(tiles)
    with tempfile.TemporaryDirectory() as folder:
        save_head(champion.head, Path(folder), metadata=metadata)
        version = tracker.register_champion(
            run_id,
            name,
            ServedModel(
                folder=Path(folder),
                loader_module=SERVING,
                code=Path(tilebank.__file__).parent,
                requirements=[f"{package}=={version_of(package).split('+')[0]}" for package in SERVING_NEEDS],
                example={"breast_id": ["example"] * len(kinds), "kind": kinds},
                example_vectors=np.concatenate([views, tiles]).astype(np.float32),
            ),
        )
    return f"{name}, version {version}, alias champion"


def _log_results(
    tracker: Tracker, summary: SearchSummary, *, fitted: Sequence[FittedHead], champion: int, scored: ScoredSplits
) -> None:
    title = f"{summary.dataset}, {summary.task}, {summary.encoder}"
    aucs = np.asarray(summary.val_aucs)
    tracker.log_results(
        summary.run_id,
        metrics=scored.evaluation.as_metrics()
        | {
            "champion_seed": summary.champion_seed,
            "trials_val_auc_mean": float(aucs.mean()),
            "search_s": summary.search_s,
        },
        figures={
            "roc": roc_figure(scored.test, scored.evaluation, title=title),
            "trials": trials_strip_figure(aucs, champion=champion, title=title),
            "curves": curves_figure([each.curves["val_auc"] for each in fitted], champion=champion, title=title),
            "calibration": calibration_figure(scored.test, scored.evaluation, title=title),
        },
        text=summary.as_text(),
    )
