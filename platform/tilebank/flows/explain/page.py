"""The report on an explanation as one HTML file, with links to the pictures beside it. Computes no figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tilebank.flows.explain.figures import DetectionFound
from tilebank.flows.explain.summary import DrawnExam, ExplainSummary
from tilebank.flows.reporting.html import render_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "explain/page.html.j2"


def render_explanation(
    summary: ExplainSummary, drawn: "Mapping[str, Figure]", *, exams: Sequence[DrawnExam] = ()
) -> str:
    """The page. exams: those whose pictures lie beside it; without them no id of an exam stands in it."""
    values = {"page": summary, "figures": summary.figures, "rows_of": _rows_of, "exams": exams}
    return render_figures(TEMPLATE, values, drawn)


def _rows_of(found: DetectionFound) -> list[dict[str, str]]:
    return [row.as_cells(found.evaluation.config.rates) for row in found.rows]
