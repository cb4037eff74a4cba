"""A head search from vectors to champion: labels, splits, packs, one evaluation, the record. Encodes nothing."""

import time
from dataclasses import replace

import numpy as np

from tilebank.datasets.labels import task_named
from tilebank.flows.answers import assert_weights
from tilebank.flows.evaluate import ScoredSplits, evaluate_champion
from tilebank.flows.groups import group_breasts
from tilebank.flows.made_elsewhere import assert_head_reads
from tilebank.flows.record import SearchSummary, champion_files, log_search, params_of, tags_of, trial_record
from tilebank.flows.search import choose_champion, search_heads
from tilebank.flows.settings import Settings
from tilebank.flows.study import LabelledBags, LabelledStudy, open_study
from tilebank.store.tables import Store
from tilebank.terms import Split
from tilebank.tracking import Tracker


def tune_head(settings: Settings, *, task: str) -> SearchSummary:
    """Search a head for `task` on stored vectors, evaluate the champion once on test, record and register it.

    Raises TilebankError before any fitting when there are no vectors, labels or patients enough.
    """
    began = time.perf_counter()
    dataset, encoder = settings.dataset.name, settings.encoder.name
    store = Store(settings.store)
    store.assert_writable()
    assert_weights(task_named(task), positive_weight=settings.search.positive_weight)
    study = open_study(settings, task=task)
    fingerprint = study.reader.fingerprint  # asked for once: it may hash the weights
    tracker = Tracker(settings.tracking, experiment=f"{dataset}--{task}", artifacts=settings.artifacts)
    tags = tags_of(settings, task=task, fingerprint=fingerprint, table_version=study.reader.version)

    run_name = f"{'shuffled--' * settings.search.shuffle_labels}{encoder}--{settings.head_name}"
    with tracker.run(run_name, params=params_of(settings), tags=tags) as run_id:
        train, val = study.read(Split.TRAIN), study.read(Split.VAL)
        assert_head_reads(train.as_batch(), settings)
        if settings.search.shuffle_labels:
            train, val = (_shuffled(part, seed=settings.search.first_seed) for part in (train, val))
        search_began = time.perf_counter()
        fitted = search_heads(settings, train=train, val=val, name=run_id)
        search_s = time.perf_counter() - search_began
        champion = choose_champion(fitted)
        scored = evaluate_champion(
            fitted[champion].head,
            answers=study.task.answers,
            val=(val, study.rows[Split.VAL]),
            test=(study.read(Split.TEST), study.rows[Split.TEST]),
            groups=_test_groups(study),
            config=settings.evaluation,
        )
        tracker.log_trials(run_id, [trial_record(each) for each in fitted], tags=tags)
        registered = ""
        if not settings.search.shuffle_labels:
            predictions = _predictions(scored, settings, task=task, run_id=run_id, fingerprint=fingerprint)
            store.write_predictions(dataset, encoder, predictions, licence=settings.licence)
            name = f"{dataset}--{task}--{encoder}"
            with champion_files(
                fitted[champion], scored, settings, task=task, fingerprint=fingerprint, example=train.bags
            ) as model:
                registered = tracker.register_head(
                    run_id, name, model, val_auc=scored.evaluation.val_auc, promote=settings.search.promote
                ).as_text()
        summary = SearchSummary(
            dataset=dataset,
            task=task,
            encoder=encoder,
            head=settings.head_name,
            fingerprint=fingerprint,
            table_version=study.reader.version,
            val_aucs=tuple(each.best_val_auc for each in fitted),
            champion_seed=fitted[champion].trial.seed,
            evaluation=scored.evaluation,
            subgroups=scored.subgroups,
            registered=registered,
            run_id=run_id,
            tracking=settings.tracking,
            search_s=search_s,
            wall_s=time.perf_counter() - began,
        )
        log_search(tracker, summary, settings, fitted=fitted, champion=champion, scored=scored, tags=tags)
    return summary


def _test_groups(study: LabelledStudy) -> dict[str, tuple[str, ...]]:
    breasts = [row.breast_id for row in study.rows[Split.TEST]]
    return group_breasts(study.reader.read_views(), study.facts, breasts)


def _shuffled(part: LabelledBags, *, seed: int) -> LabelledBags:
    return replace(part, labels=np.random.default_rng(seed).permutation(part.labels))


def _predictions(
    scored: ScoredSplits, settings: Settings, *, task: str, run_id: str, fingerprint: str
) -> list[dict[str, object]]:
    return [
        {
            "breast_id": row.breast_id,
            "exam_id": row.exam_id,
            "patient_id": row.patient_id,
            "task": task,
            "split": split.value,
            "label": row.label,
            "score": float(score) if score.ndim == 0 else None,
            "scores": None if score.ndim == 0 else score.tolist(),
            "head": settings.head_name,
            "run_id": run_id,
            "fingerprint": fingerprint,
        }
        for split, rows, scores in scored.by_split()
        for row, score in zip(rows, scores, strict=True)
    ]
