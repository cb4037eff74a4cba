"""Compare encoders and heads of one task: figures, paired differences, p-values.

Figures are computed from the predictions that each search left in the store, so they equal the search's own where all
were tested on the same breasts. Rows are ordered by validation AUC, not by test figures.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tilebank.evaluation.intervals.paired import Comparison, compare_scores, holm_p_values
from tilebank.evaluation.report import Evaluation, evaluate
from tilebank.evaluation.scores import ScoredBreasts
from tilebank.files import join_uri
from tilebank.flows.champion.code_revision import code_revision, run_source
from tilebank.flows.compare.common_breasts import CommonBreasts, as_scored, find_common_breasts, read_parts
from tilebank.flows.compare.page import draw_comparison, open_folder, render_comparison, write_comparison
from tilebank.flows.compare.runs import FoundSearch, Wanted, choose_reference, find_searches
from tilebank.flows.compare.summary import ComparedHead, ComparisonSummary, HeadDifference
from tilebank.flows.reporting.progress import with_progress
from tilebank.flows.reporting.run_facts import run_facts
from tilebank.flows.settings.settings import EvaluationConfig, Settings
from tilebank.store.schema import table_name
from tilebank.terms import Split
from tilebank.tracking.inputs import DatasetUsed
from tilebank.tracking.runs import Tracker, experiment_name

KIND = "comparison"  # the tag of a run that is no search


def compare_searches(
    settings: Settings, *, task: str, wanted: Wanted, against: str = "", out: Path
) -> ComparisonSummary:
    """Compare the champions of the searches of `task` on the test breasts that all of them scored; see `Wanted`.

    against: a row's name or the start of its run id; empty: the row of the highest validation AUC. Table, figure and
    page go to `out` and to a run of their own beside the searches. Raises TilebankError.
    """
    began = time.perf_counter()
    searches, older = find_searches(settings, task=task, wanted=wanted)
    named = choose_reference(searches, against) if against else None
    open_folder(out)
    common = find_common_breasts(settings, searches)
    ordered = sorted(searches, key=lambda one: (-common.val_aucs[one.run_id], one.name))
    reference = named or ordered[0]
    summary = ComparisonSummary(
        dataset=settings.dataset.name,
        task=task,
        reference=reference.name,
        heads=_compare(settings, ordered, reference=reference, common=common),
        notes=tuple(_notes(ordered, common, older=older)),
        licence=settings.licence,
        folder=str(out),
        facts=run_facts(code_revision())
        | {"bootstrap": f"{settings.evaluation.replicates} samples of patients, seed {settings.evaluation.seed}"},
        wall_s=time.perf_counter() - began,
    )
    return _record(summary, settings, out=out)


@dataclass(frozen=True, eq=False)
class _Tested:
    """A search's figures on the common test breasts, and the scores behind them."""

    evaluation: Evaluation
    test: ScoredBreasts


def _compare(
    settings: Settings, searches: Sequence[FoundSearch], *, reference: FoundSearch, common: CommonBreasts
) -> tuple[ComparedHead, ...]:
    """A row a search, in the order given. No more than the scores of two searches are held at a time."""
    against = _test(settings, reference, common)
    evaluations: list[Evaluation] = []
    compared: dict[str, Comparison] = {}
    for search in with_progress(searches, what="compare", unit="head", total=len(searches)):
        tested = against if search is reference else _test(settings, search, common)
        evaluations.append(tested.evaluation)
        if search is not reference:
            compared[search.run_id] = _paired(tested, against, config=settings.evaluation)
    differences = _corrected(compared)
    return tuple(
        ComparedHead(search.name, search.run, evaluation, differences.get(search.run_id))
        for search, evaluation in zip(searches, evaluations, strict=True)
    )


def _test(settings: Settings, search: FoundSearch, common: CommonBreasts) -> _Tested:
    """Thresholds come from all of the search's own validation breasts, figures from the common test breasts."""
    parts, config = read_parts(settings, search), settings.evaluation
    test = as_scored(parts[Split.TEST], among=common.breast_ids)
    found = evaluate(as_scored(parts[Split.VAL]), test, replicates=config.replicates, seed=config.seed)
    return _Tested(found, test)


def _paired(tested: _Tested, against: _Tested, *, config: EvaluationConfig) -> Comparison:
    thresholds = (tested.evaluation.at_sensitivity.threshold, against.evaluation.at_sensitivity.threshold)
    return compare_scores(
        tested.test, against.test, thresholds=thresholds, replicates=config.replicates, seed=config.seed
    )


def _corrected(compared: dict[str, Comparison]) -> dict[str, HeadDifference]:
    """Holm's correction over all rows of the table, of the AUC's two p-values each."""
    holm = holm_p_values([each.auc.p_value for each in compared.values()])
    delong = holm_p_values([each.delong.p_value for each in compared.values()])
    return {
        run_id: HeadDifference(each, p_holm, delong_p_holm)
        for (run_id, each), p_holm, delong_p_holm in zip(compared.items(), holm, delong, strict=True)
    }


def _notes(searches: Sequence[FoundSearch], common: CommonBreasts, *, older: int) -> Iterator[str]:
    """What keeps the rows from being alike."""
    if common.left_out:
        yield f"test breasts that only some of the searches scored are left out: {common.left_out}"
    schemes = sorted({search.run.tags["split_scheme"] for search in searches})
    if len(schemes) > 1:
        yield f"patients were split in {len(schemes)} ways ({'; '.join(schemes)}): heads were fitted on other patients"
    if common.val_differs:
        yield "the searches' validation breasts are not the same, so that the order of the rows is a rough one"
    if older:
        yield f"older searches of the same encoders, heads and vectors are not shown: {older} (--all-runs shows them)"


def _datasets(summary: ComparisonSummary, settings: Settings) -> dict[str, DatasetUsed]:
    """The tables that the compared heads were searched on, each once."""
    found = {}
    counts = summary.counts
    tested = {"test": {"breasts": counts.breasts, "patients": counts.patients, "positive": counts.positives}}
    for head in summary.heads:
        tags = head.run.tags
        name = table_name("instances", summary.dataset, tags["encoder"])
        uri, version = join_uri(settings.store, f"{name}.lance"), int(tags["table_version"])
        key = f"{name} {tags['fingerprint']} {version}"
        found[key] = DatasetUsed(name, version, tags["fingerprint"], uri, context="evaluation", counts=tested)
    return found


def _record(summary: ComparisonSummary, settings: Settings, *, out: Path) -> ComparisonSummary:
    """Leave it in `out`, and in the experiment of its searches."""
    experiment = experiment_name(summary.dataset, task=summary.task)
    tracker = Tracker(settings.tracking, experiment=experiment, artifacts=settings.artifacts, source=run_source())
    tags = {"kind": KIND, "dataset": summary.dataset, "task": summary.task, "code_revision": code_revision()}
    params = {"reference": summary.reference, "replicates": settings.evaluation.replicates}
    with tracker.run("compare", params=params, tags=tags | settings.licence) as run_id:
        summary = replace(summary, run_id=run_id)
        tracker.log_datasets(run_id, list(_datasets(summary, settings).values()))
        figure = draw_comparison(summary)
        documents = render_comparison(summary, figure)
        write_comparison(out, documents, figure)
        tracker.log_results(
            run_id,
            metrics={"heads": float(len(summary.heads)), "test_breasts": float(summary.counts.breasts)},
            figures={"compare": figure},
            documents=documents,
        )
        tracker.log_summary(run_id, summary.as_text())
    return summary
