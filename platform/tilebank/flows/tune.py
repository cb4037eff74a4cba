"""A head search from vectors to champion: labels, splits, packs, one evaluation, the record. Encodes nothing.

A search that was killed, at whatever point, goes on when it is asked for again: the same settings, vectors, labels,
splits and code of the heads (`_key_of`). Finished packs are not fitted again, the record goes on with the same run, and
the champion is that of an undisturbed search; on a CPU, bit for bit.
"""

from dataclasses import replace
from importlib.metadata import version as version_of

import numpy as np

from tilebank.datasets.labels import task_named
from tilebank.files import join_uri
from tilebank.fingerprint import fingerprint_of
from tilebank.flows.answers import assert_weights
from tilebank.flows.evaluate import ScoredSplits, evaluate_champion
from tilebank.flows.groups import group_breasts
from tilebank.flows.head_input import assert_head_reads
from tilebank.flows.packs import SearchFolder
from tilebank.flows.record import SearchSummary, champion_files, drawn_of, log_search, params_of, tags_of, trial_record
from tilebank.flows.revision import sources_of
from tilebank.flows.runtime import connect_ray
from tilebank.flows.search import choose_champion, search_heads
from tilebank.flows.settings import Settings
from tilebank.flows.stopwatch import Stopwatch
from tilebank.flows.study import LabelledBags, LabelledStudy, open_study
from tilebank.store.lease import hold_lease
from tilebank.store.predictions import answer_columns
from tilebank.store.tables import Store
from tilebank.terms import Split
from tilebank.tracking.registry import register_head, registered_name
from tilebank.tracking.runs import Tracker, experiment_name


def tune_head(settings: Settings, *, task: str) -> SearchSummary:
    """Search a head for `task` on stored vectors, evaluate the champion once on test, record and register it.

    Raises TilebankError before any fitting when there are no vectors, labels or patients enough, or when the same
    search runs already.
    """
    summary = tune_resumably(settings, task=task)
    forget_search(settings, summary)
    return summary


def forget_search(settings: Settings, summary: SearchSummary) -> None:
    """Remove what a search of `tune_resumably` has left: asked for again, it begins anew."""
    _folder(settings, summary.search).remove()


def tune_resumably(settings: Settings, *, task: str) -> SearchSummary:
    """`tune_head`, but its packs stay among the artifacts until `forget_search`: called again, it takes them."""
    watch = Stopwatch("start", "read", "fit", "evaluate", "log")
    store = Store(settings.store)
    store.assert_writable()
    assert_weights(task_named(task), positive_weights=settings.search.positive_weights)
    with watch.part("read"):
        study = open_study(settings, task=task)
        assert_head_reads(study, settings)
    key = _key_of(settings, study, task=task)
    what = f"the search {key} ({settings.dataset.name}, {task}, {settings.head_name} on {settings.encoder.name})"
    with hold_lease(_folder(settings, key).uri, "search", what=what):
        return _tune(settings, study, store, task=task, key=key, watch=watch)


def _tune(
    settings: Settings, study: LabelledStudy, store: Store, *, task: str, key: str, watch: Stopwatch
) -> SearchSummary:
    dataset, encoder = settings.dataset.name, settings.encoder.name
    fingerprint = study.reader.fingerprint
    tags = tags_of(settings, task=task, fingerprint=fingerprint, table_version=study.reader.version)
    folder = _folder(settings, key)
    with watch.part("log"):
        experiment = experiment_name(dataset, task=task)
        tracker = Tracker(settings.tracking, experiment=experiment, artifacts=settings.artifacts)

    run_name = f"{'shuffled--' * settings.search.shuffle_labels}{encoder}--{settings.head_name}"
    with tracker.run(run_name, params=params_of(settings), tags=tags, search=key, again=folder.started) as run_id:
        with watch.part("start"):
            connect_ray()
        with watch.part("read"):
            train, val, test = (study.read(split) for split in (Split.TRAIN, Split.VAL, Split.TEST))
            groups = _test_groups(study)
        if settings.search.shuffle_labels:
            train, val = (_shuffled(part, seed=settings.search.first_seed) for part in (train, val))
        with watch.part("fit"):
            searched = search_heads(settings, train=train, val=val, folder=folder)
        fitted, champion = searched.fitted, choose_champion(searched.fitted)
        with watch.part("evaluate"):
            scored = evaluate_champion(
                fitted[champion].head,
                answers=study.task.answers,
                val=(val, study.rows[Split.VAL]),
                test=(test, study.rows[Split.TEST]),
                groups=groups,
                config=settings.evaluation,
            )
        with watch.part("log"):
            tracker.log_trials(run_id, [trial_record(each) for each in fitted], tags=tags)
            registered = ""
            if not settings.search.shuffle_labels:
                predictions = _predictions(scored, settings, task=task, run_id=run_id, fingerprint=fingerprint)
                store.write_predictions(dataset, encoder, predictions, licence=settings.licence)
                with champion_files(
                    fitted[champion], scored, settings, task=task, fingerprint=fingerprint, example=train.bags
                ) as model:
                    registered = register_head(
                        settings.tracking,
                        model,
                        name=registered_name(dataset, task=task, encoder=encoder),
                        run_id=run_id,
                        val_auc=scored.evaluation.val_auc,
                        promote=settings.search.promote,
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
            drawn=drawn_of(fitted[champion], settings.search),
            taken=searched.taken,
            search=key,
            evaluation=scored.evaluation,
            subgroups=scored.subgroups,
            registered=registered,
            run_id=run_id,
            tracking=settings.tracking,
            times=watch.parts,
            wall_s=watch.all_s,
        )
        with watch.part("log"):
            log_search(tracker, summary, settings, fitted=fitted, champion=champion, scored=scored, tags=tags)
        summary = replace(summary, times=watch.parts, wall_s=watch.all_s)
        tracker.log_summary(run_id, summary.as_text(), seconds=summary.times | {"wall": summary.wall_s})
    return summary


def _key_of(settings: Settings, study: LabelledStudy, *, task: str) -> str:
    """Which search it is: the hash of everything that shapes a fitted head or is said of its run, and of where."""
    return fingerprint_of(
        {
            "of": [settings.dataset.name, task, settings.encoder.name],
            "vectors": [study.reader.fingerprint, study.reader.version],
            "rows": {
                split.value: [(row.breast_id, row.label) for row in study.rows[split]]
                for split in (Split.TRAIN, Split.VAL)
            },
            "params": params_of(settings),
            "code": [sources_of("mil"), *(version_of(package) for package in ("numpy", "optuna", "torch"))],
            "kept": [settings.store, settings.tracking, settings.artifacts],
        }
    )


def _folder(settings: Settings, key: str) -> SearchFolder:
    return SearchFolder(join_uri(settings.artifacts, "search", key))


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
            **answer_columns(score.reshape(-1).tolist()),
            "head": settings.head_name,
            "run_id": run_id,
            "fingerprint": fingerprint,
        }
        for split, rows, scores in scored.by_split()
        for row, score in zip(rows, scores, strict=True)
    ]
