"""Record an explanation of a dataset as a run of its own, with figures, plots and report."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from tilebank.flows.champion.code_revision import code_revision, run_source
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.explain.page import render_explanation
from tilebank.flows.explain.summary import ExplainSummary
from tilebank.flows.settings.settings import Settings
from tilebank.tracking.inputs import DatasetUsed
from tilebank.tracking.runs import Tracker, experiment_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "explain"  # the tag that tells such a run from a search


def open_record(settings: Settings, *, task: str) -> Tracker:
    """The experiment of the dataset and task, beside the searches. Raises TrackingError, before any work."""
    return Tracker(
        settings.tracking,
        experiment=experiment_name(settings.dataset.name, task=task),
        artifacts=settings.artifacts,
        source=run_source(),
    )


def record_explanation(
    tracker: Tracker,
    summary: ExplainSummary,
    settings: Settings,
    chosen: ChosenHead,
    drawn: "Mapping[str, Figure]",
    *,
    table: DatasetUsed,
) -> str:
    """The id of the run; the report that it holds names no exam."""
    tags = {
        "kind": KIND,
        "explains": chosen.key,
        "dataset": settings.dataset.name,
        "task": summary.card.task,
        "encoder": settings.encoder.name,
        "fingerprint": summary.card.fingerprint,
        "code_revision": code_revision(),
        **settings.licence,
    }
    params = {key: value for key, value in asdict(settings.explain).items() if key != "boxes"}
    params |= {f"boxes.{key}": value for key, value in asdict(settings.explain.boxes).items()}
    params |= {"head": summary.head, "split": summary.split or "all", "images": summary.tally.images}
    for each in summary.scales:
        params |= {f"scale_{each.scale:g}.{key}": getattr(each, key) for key in ("tile_px", "stride_px", "fingerprint")}
    documents = {
        "report.html": render_explanation(summary, drawn),
        "summary.json": json.dumps(summary.as_dict(), indent=2, sort_keys=True),
    }
    documents |= {f"{found.name}detection.txt": found.table() + "\n" for found in summary.figures.detection}
    with tracker.run(f"explain {summary.head}", params=params, tags=tags) as run_id:
        tracker.log_datasets(run_id, [table])
        tracker.log_results(run_id, metrics=summary.figures.as_metrics(), figures=drawn, documents=documents)
        costs = {f"encode_scale_{each.scale:g}": each.wall_s for each in summary.scales if each.encoded}
        tracker.log_summary(run_id, summary.as_text(), seconds=costs | {"explain": summary.wall_s})
    return run_id
