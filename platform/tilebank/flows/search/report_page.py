"""Render the report on a champion: one self-contained HTML file, and the same as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tilebank.evaluation.multiclass import ClassEvaluation
from tilebank.evaluation.multilabel import LabelEvaluation
from tilebank.evaluation.report import Evaluation
from tilebank.evaluation.subgroups import Subgroup
from tilebank.evaluation.trial_quantiles import TrialSummary
from tilebank.flows.reporting.html import RESEARCH, render_figures
from tilebank.flows.search.evaluate import AnyEvaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES: dict[type, str] = {  # each fills the blocks of report.html.j2
    Evaluation: "search/templates/binary.html.j2",
    ClassEvaluation: "search/templates/multiclass.html.j2",
    LabelEvaluation: "search/templates/multilabel.html.j2",
}


@dataclass(frozen=True)
class ChampionPage:
    """All that the report shows but pictures.

    control: the labels of train and val were shuffled, so the figures should be at chance; provenance: names and values
    for people; counts: of each split, by `split_counts`; facts: date, command and versions.
    """

    dataset: str
    task: str
    control: bool
    evaluation: AnyEvaluation
    subgroups: tuple[Subgroup, ...]
    subgroup_patients: int
    spread: TrialSummary
    provenance: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    facts: Mapping[str, str]


def render_champion(page: ChampionPage, figures: "Mapping[str, Figure]") -> str:
    """The page as HTML. figures: `trials`, `curves`, and those of `champion_figures`."""
    columns = dict.fromkeys(part.column for part in page.subgroups)
    values = {
        "page": page,
        "found": page.evaluation,
        "auc": "AUC" if isinstance(page.evaluation, Evaluation) else "macro AUC",
        "level": f"{100 * page.evaluation.auc.interval.level:.0f} %",
        "columns": {column: [part for part in page.subgroups if part.column == column] for column in columns},
    }
    return render_figures(TEMPLATES[type(page.evaluation)], values, figures)


def as_document(page: ChampionPage) -> dict[str, object]:
    """JSON values of the whole report, figures excepted."""
    return {
        "dataset": page.dataset,
        "task": page.task,
        "shuffled_labels": page.control,
        "evaluation": asdict(page.evaluation),
        "subgroups": [asdict(part) for part in page.subgroups],
        "trials": asdict(page.spread),
        "provenance": dict(page.provenance),
        "counts": {split: dict(counts) for split, counts in page.counts.items()},
        "facts": dict(page.facts),
        "note": RESEARCH,
    }
