"""Write a search to the record of runs: tags, parameters, trials, figures and the champion's report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tilebank.evaluation.plots.classification import curves_figure, trials_strip_figure
from tilebank.evaluation.subgroups import Subgroup
from tilebank.evaluation.trial_quantiles import summarise_trials
from tilebank.flows.champion.code_revision import code_revision
from tilebank.flows.reporting.run_facts import run_facts
from tilebank.flows.search.attention_stability import late_attention_js, median_attention_js
from tilebank.flows.search.evaluate import AnyEvaluation, ScoredSplits
from tilebank.flows.search.report_figures import champion_figures
from tilebank.flows.search.report_page import ChampionPage, as_document, render_champion
from tilebank.flows.settings.search_space import HEAD, SearchConfig
from tilebank.flows.settings.settings import Settings
from tilebank.mil.fitting.fit import FittedHead
from tilebank.tracking.places import REPORT, RunPlace
from tilebank.tracking.runs import Tracker, TrialRecord


@dataclass(frozen=True)
class SearchSummary:
    """What one search found and where it is recorded. `registered` is empty for a control with shuffled labels.

    drawn: the champion's settings that the search chose; resumed: trials that an earlier run of the same `search` had
    fitted; times: seconds of the parts start (of Ray), read, fit, evaluate and log, which come to about `wall_s`.
    """

    dataset: str
    task: str
    encoder: str
    head: str
    fingerprint: str
    table_version: int
    val_aucs: tuple[float, ...]
    champion_seed: int
    drawn: dict[str, object]
    resumed: int
    search: str
    evaluation: AnyEvaluation
    subgroups: tuple[Subgroup, ...]
    registered: str
    place: RunPlace
    times: dict[str, float]
    wall_s: float

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        where = {"run_id": self.run_id, "tracking": self.place.tracking, "report": self.place.report}
        return asdict(self) | where | {"page": self.place.page, "evaluation": self.evaluation.as_metrics()}

    @property
    def run_id(self) -> str:
        """The parent run in MLflow."""
        return self.place.run_id

    def as_text(self) -> str:
        """The champion, the validation AUCs of all trials, and where to look."""
        spread = summarise_trials(np.asarray(self.val_aucs))
        resumed = f"; {self.resumed} of {spread.trials} trials were fitted before" if self.resumed else ""
        return "\n".join(
            [
                f"{self.dataset}, {self.task}: {spread.trials} x {self.head} on {self.encoder}"
                f" (fingerprint {self.fingerprint}, table version {self.table_version})",
                f"champion: {champion_text(self.champion_seed, self.drawn)},"
                f" validation AUC {self.evaluation.val_auc:.3f}"
                f" (all trials: median {spread.median:.3f}, quartiles {spread.quarter:.3f} and"
                f" {spread.three_quarters:.3f}, lowest {spread.lowest:.3f}, highest {spread.highest:.3f})",
                self.evaluation.as_text(),
                f"time: {', '.join(f'{part} {seconds:.1f} s' for part, seconds in self.times.items())},"
                f" all {self.wall_s:.1f} s{resumed}",
                f"registered: {self.registered or 'no, the labels were shuffled'}",
                self.place.as_text(),
            ]
        )


def champion_text(seed: int, drawn: Mapping[str, object]) -> str:
    """The champion by its seed and what was drawn for it."""
    values = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in drawn.items())
    return ", ".join([f"seed {seed}", *values])


def tags_of(settings: Settings, *, task: str, fingerprint: str, table_version: int) -> dict[str, str]:
    """What a run is found by, and what its vectors were made by."""
    return {
        "dataset": settings.dataset.name,
        "task": task,
        "encoder": settings.encoder.name,
        "head": settings.head_name,
        "fingerprint": fingerprint,
        "table_version": str(table_version),
        "split_seed": str(settings.splits.seed),
        "split_scheme": settings.splits.scheme,
        "code_revision": code_revision(),
        "promote": settings.search.promote,
        "shuffled_labels": str(settings.search.shuffle_labels).lower(),
        **settings.licence,
    }


def params_of(settings: Settings) -> dict[str, object]:
    """What shapes the heads of a search, flat; encoder and head too: MLflow draws by parameters, not by tags."""
    search = asdict(settings.search)
    for key in ("fit", "space", "head_space", "promote"):
        del search[key]
    search |= {f"space.{name}": each.as_text() for name, each in settings.search.dimensions().items()}
    parts = {
        "search": search,
        "head": asdict(settings.head),
        "splits": asdict(settings.splits),
        "fit": asdict(settings.search.fit),
    }
    return {"encoder": settings.encoder.name, "head": settings.head_name} | _flat(parts)


def _flat(parts: Mapping[str, object], *, under: str = "") -> dict[str, object]:
    """Nested mappings with dotted keys."""
    flat: dict[str, object] = {}
    for key, value in parts.items():
        flat |= _flat(value, under=f"{under}{key}.") if isinstance(value, Mapping) else {f"{under}{key}": value}
    return flat


def main_settings(settings: Settings) -> dict[str, str]:
    """The settings that shaped the vectors and the search, as lines of a report; the run's parameters hold them all."""
    search, fit, tiling = settings.search, settings.search.fit, settings.tiling
    found = {
        "images": f"reader.intensity {settings.reader.intensity.value}, tiles of {settings.encoder.input_size_px} px,"
        f" tiling.overlap {tiling.overlap:g}",
        "search": f"{search.trials} trials by {search.sampler}, seeds from {search.first_seed}",
        "fit": f"lr {search.lr:g}, weight_decay {search.weight_decay:g}, dropout {search.dropout:g}, at most"
        f" {fit.max_epochs} epochs, patience {fit.patience}, batch {fit.batch or 'full'},"
        f" class_weight {fit.class_weight}",
    }
    drawn = {name: each.as_text() for name, each in search.dimensions().items()}
    return found | ({"drawn for each trial": ", ".join(f"{k} {v}" for k, v in drawn.items())} if drawn else {})


def drawn_of(fitted: FittedHead, config: SearchConfig) -> dict[str, object]:
    """The settings of one trial and its head that the search chose, by the names of `SearchConfig.dimensions`."""
    values = asdict(fitted.trial) | _head_params(fitted)
    return {name: values[name] for name in config.dimensions()}


def trial_record(fitted: FittedHead) -> TrialRecord:
    """One trial as a child run, with its architecture and how its pack was computed."""
    plan = {f"plan.{key}": value for key, value in asdict(fitted.plan).items()}
    return TrialRecord(
        name=f"seed {fitted.trial.seed}",
        params=asdict(fitted.trial) | _head_params(fitted) | plan,
        metrics={"best_val_auc": fitted.best_val_auc, "best_epoch": float(fitted.best_epoch)}
        | late_attention_js(fitted.curves),
        curves=fitted.curves,
        epochs=fitted.epochs,
    )


def _head_params(fitted: FittedHead) -> dict[str, object]:
    return _flat(asdict(fitted.head.config), under=HEAD)


def log_search(
    tracker: Tracker,
    summary: SearchSummary,
    settings: Settings,
    *,
    fitted: Sequence[FittedHead],
    champion: int,
    scored: ScoredSplits,
    tags: Mapping[str, str],
    counts: Mapping[str, Mapping[str, int]],
) -> None:
    """Figures of the whole search on its parent run, and the report on its champion as `report.html` and JSON."""
    control = "" if summary.registered else ", labels shuffled"
    title = f"{summary.dataset}, {summary.task}, {summary.head} on {summary.encoder}{control}"
    aucs = np.asarray(summary.val_aucs)
    figures = champion_figures(scored, title=title) | {
        "trials": trials_strip_figure(aucs, champion=champion, title=title),
        "curves": curves_figure([each.curves["val_auc"] for each in fitted], champion=champion, title=title),
    }
    page = ChampionPage(
        dataset=summary.dataset,
        task=summary.task,
        control=not summary.registered,
        evaluation=scored.evaluation,
        subgroups=scored.subgroups,
        subgroup_patients=settings.evaluation.subgroup_patients,
        spread=summarise_trials(aucs),
        provenance=_provenance(summary, scored, tags) | main_settings(settings),
        counts=counts,
        facts=run_facts(tags["code_revision"]),
    )
    tracker.log_results(
        summary.run_id,
        metrics=scored.evaluation.as_metrics()
        | page.spread.as_metrics()
        | median_attention_js([each.curves for each in fitted])
        | {"champion_seed": float(summary.champion_seed)},
        figures=figures,
        documents={
            REPORT: render_champion(page, figures),
            "evaluation.json": json.dumps(as_document(page), indent=2),
        },
    )


def _provenance(summary: SearchSummary, scored: ScoredSplits, tags: Mapping[str, str]) -> dict[str, str]:
    shared = (
        "may be shared" if tags["redistributable"] == "true" else "vectors and heads made from it may not be shared"
    )
    return {
        "dataset": summary.dataset,
        "licence": f"{tags['licence']} ({shared})",
        "label": f"{summary.task}: {scored.test.rows[0].rule}",
        "encoder": summary.encoder,
        "fingerprint of the vectors": summary.fingerprint,
        "table version": str(summary.table_version),
        "split scheme": f"{tags['split_scheme']}, by patient",
        "head": f"{summary.head}, {champion_text(summary.champion_seed, summary.drawn)}",
        "bootstrap seed": str(summary.evaluation.seed),
        "run": summary.run_id,
        "registered": summary.registered or "no, the labels were shuffled",
    }
