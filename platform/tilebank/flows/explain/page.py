"""Render the overview of an explanation as one HTML file, with thumbnails that link to the pictures beside it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tilebank.flows.explain.figures import DetectionFound
from tilebank.flows.explain.maps.colours import LEGENDS
from tilebank.flows.explain.summary import ExplainSummary
from tilebank.flows.explain.tally import DrawnExam
from tilebank.flows.reporting.html import render_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "explain/page.html.j2"


def render_explanation(
    summary: ExplainSummary, drawn: "Mapping[str, Figure]", *, exams: Sequence[DrawnExam] = ()
) -> str:
    """The page. exams: those whose pictures lie beside it; without them no id of an exam stands in it."""
    values: dict[str, object] = {"page": summary, "figures": summary.figures, "rows_of": _rows_of, "exams": exams}
    values["colours"] = LEGENDS[summary.config.map]
    return render_figures(TEMPLATE, values, drawn)


def _rows_of(found: DetectionFound) -> list[dict[str, str]]:
    return [row.as_cells(found.evaluation.config.rates) for row in found.rows]
