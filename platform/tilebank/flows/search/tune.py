"""Search a head on stored vectors: labels, splits, packs, the champion's one evaluation, the record of runs.

A killed search resumes when it is started again with the same settings, vectors, labels, splits and code of the heads
(resume.py). Finished packs are not fitted again, the same run is continued, and the champion is that of an
uninterrupted search; on a CPU, bit for bit.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np

from tilebank.datasets.labels import task_named
from tilebank.flows.champion.card import HeadCard
from tilebank.flows.champion.code_revision import run_source
from tilebank.flows.champion.files import champion_files
from tilebank.flows.engine.cluster import connect_ray
from tilebank.flows.reporting.stopwatch import Stopwatch
from tilebank.flows.search.evaluate import ScoredSplits, evaluate_champion
from tilebank.flows.search.record import SearchSummary, drawn_of, log_search, params_of, trial_record
from tilebank.flows.search.resume import LEASE, SearchRun, folder_of, search_run
from tilebank.flows.search.trials import Searched, choose_champion, search_heads
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.head_requirements import assert_head_reads
from tilebank.flows.study.labelled_bags import LabelledBags
from tilebank.flows.study.outputs import assert_weights, scarce_answers
from tilebank.flows.study.study import LabelledStudy, open_study
from tilebank.flows.study.subgroups import group_breasts
from tilebank.mil.fitting.fit import FittedHead
from tilebank.store.lease.lease import hold_lease
from tilebank.store.predictions import answer_columns
from tilebank.store.records import BagArrays
from tilebank.store.tables import Store
from tilebank.terms import Split
from tilebank.tracking.places import find_place
from tilebank.tracking.registry import register_head, registered_name
from tilebank.tracking.runs import Tracker, experiment_name

logger = logging.getLogger(__name__)


def tune_head(settings: Settings, *, task: str) -> SearchSummary:
    """Search a head for `task` on stored vectors, evaluate the champion once on test, record and register it.

    Raises TilebankError before any fitting when there are no vectors, labels or patients enough, or when the same
    search runs already.
    """
    summary = tune_resumably(settings, task=task)
    forget_search(settings, summary)
    return summary


def forget_search(settings: Settings, summary: SearchSummary) -> None:
    """Remove the files of a search of `tune_resumably`: started again, it begins from scratch."""
    folder_of(settings, summary.search).remove()


def tune_resumably(settings: Settings, *, task: str) -> SearchSummary:
    """`tune_head`, but finished packs stay among the artifacts until `forget_search`; called again, it reuses them."""
    watch = Stopwatch("start", "read", "fit", "evaluate", "log")
    Store(settings.store).assert_writable()
    assert_weights(task_named(task), positive_weights=settings.search.positive_weights)
    with watch.part("read"):
        study = open_study(settings, task=task)
        assert_head_reads(study, settings)
    if scarce := scarce_answers(study.task, study.rows):
        logger.warning("task %s: %s", task, scarce)
    run = search_run(settings, study, task=task)
    with hold_lease(run.folder.uri, LEASE, what=run.as_text()):
        return _tune(run, watch=watch)


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What was fitted, the place of the champion among it, and how that scores. example: bags of the train split."""

    searched: Searched
    place: int
    scored: ScoredSplits
    example: BagArrays

    @property
    def champion(self) -> FittedHead:
        return self.searched.fitted[self.place]


def _tune(run: SearchRun, *, watch: Stopwatch) -> SearchSummary:
    settings, tags = run.settings, run.tags
    with watch.part("log"):
        experiment = experiment_name(settings.dataset.name, task=run.task)
        tracker = Tracker(settings.tracking, experiment=experiment, artifacts=settings.artifacts, source=run_source())

    again, params = run.folder.started, params_of(settings)
    with tracker.run(run.run_name, params=params, tags=tags, search=run.key, again=again) as run_id:
        datasets = [run.dataset_used]
        with watch.part("log"):
            tracker.log_datasets(run_id, datasets)
        outcome = _search(run, watch=watch)
        fitted = outcome.searched.fitted
        with watch.part("log"):
            tracker.log_trials(run_id, [trial_record(each) for each in fitted], tags=tags, datasets=datasets)
            registered = "" if settings.search.shuffle_labels else _keep(run, outcome, run_id=run_id)
        summary = _summarise(run, outcome, registered=registered, run_id=run_id, watch=watch)
        with watch.part("log"):
            log_search(
                tracker,
                summary,
                settings,
                fitted=fitted,
                champion=outcome.place,
                scored=outcome.scored,
                tags=tags,
                counts=run.counts,
            )
        summary = replace(summary, times=watch.parts, wall_s=watch.all_s)
        tracker.log_summary(run_id, summary.as_text(), seconds=summary.times | {"wall": summary.wall_s})
    return summary


def _search(run: SearchRun, *, watch: Stopwatch) -> _Outcome:
    """Fit on train, choose on validation, and only then read test, to score the champion on it."""
    settings, study = run.settings, run.study
    with watch.part("start"):
        connect_ray()
    with watch.part("read"):
        train, val = (study.read(split) for split in (Split.TRAIN, Split.VAL))
    if settings.search.shuffle_labels:
        train, val = (_shuffled(part, seed=settings.search.first_seed) for part in (train, val))
    with watch.part("fit"):
        searched = search_heads(settings, train=train, val=val, folder=run.folder)
    place = choose_champion(searched.fitted)
    with watch.part("read"):
        test = study.read(Split.TEST)
        groups = _test_groups(study)
    with watch.part("evaluate"):
        scored = evaluate_champion(
            searched.fitted[place].head,
            answers=study.task.answers,
            val=(val, study.rows[Split.VAL]),
            test=(test, study.rows[Split.TEST]),
            groups=groups,
            config=settings.evaluation,
        )
    return _Outcome(searched, place, scored, train.bags)


def _test_groups(study: LabelledStudy) -> dict[str, tuple[str, ...]]:
    breasts = [row.breast_id for row in study.rows[Split.TEST]]
    return group_breasts(study.reader.read_views(), study.facts, breasts)


def _shuffled(part: LabelledBags, *, seed: int) -> LabelledBags:
    return replace(part, labels=np.random.default_rng(seed).permutation(part.labels))


def _keep(run: SearchRun, outcome: _Outcome, *, run_id: str) -> str:
    """Store the champion's predictions and register it; its version and alias as text."""
    settings, task, scored = run.settings, run.task, outcome.scored
    dataset, encoder, fingerprint = settings.dataset.name, settings.encoder.name, run.study.reader.fingerprint
    predictions = _predictions(run, scored, run_id=run_id)
    Store(settings.store).write_predictions(dataset, encoder, predictions, licence=settings.licence)
    card = HeadCard.of_settings(settings, task=task, fingerprint=fingerprint, found=scored.evaluation.as_card())
    with champion_files(outcome.champion.head, card, example=outcome.example) as model:
        return register_head(
            settings.tracking,
            model,
            name=registered_name(dataset, task=task, encoder=encoder),
            run_id=run_id,
            val_auc=scored.evaluation.val_auc,
            promote=settings.search.promote,
        ).as_text()


def _predictions(run: SearchRun, scored: ScoredSplits, *, run_id: str) -> list[dict[str, object]]:
    return [
        {
            "breast_id": row.breast_id,
            "exam_id": row.exam_id,
            "patient_id": row.patient_id,
            "task": run.task,
            "split": split.value,
            "label": row.label,
            **answer_columns(score.reshape(-1).tolist()),
            "head": run.settings.head_name,
            "run_id": run_id,
            "fingerprint": run.study.reader.fingerprint,
        }
        for split, rows, scores in scored.by_split()
        for row, score in zip(rows, scores, strict=True)
    ]


def _summarise(run: SearchRun, outcome: _Outcome, *, registered: str, run_id: str, watch: Stopwatch) -> SearchSummary:
    settings = run.settings
    return SearchSummary(
        dataset=settings.dataset.name,
        task=run.task,
        encoder=settings.encoder.name,
        head=settings.head_name,
        fingerprint=run.study.reader.fingerprint,
        table_version=run.study.reader.version,
        val_aucs=tuple(each.best_val_auc for each in outcome.searched.fitted),
        champion_seed=outcome.champion.trial.seed,
        drawn=drawn_of(outcome.champion, settings.search),
        resumed=outcome.searched.resumed,
        search=run.key,
        evaluation=outcome.scored.evaluation,
        subgroups=outcome.scored.subgroups,
        registered=registered,
        place=find_place(settings.tracking, run_id),
        times=watch.parts,
        wall_s=watch.all_s,
    )
