"""The report on an explanation as one HTML file, with links to the pictures beside it. Computes no figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tilebank.flows.explain_summary import DrawnExam, ExplainSummary
from tilebank.flows.page import render_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "explain_page.html.j2"


def render_explanation(
    summary: ExplainSummary, drawn: "Mapping[str, Figure]", *, exams: Sequence[DrawnExam] = ()
) -> str:
    """The page. exams: those whose pictures lie beside it; without them no id of an exam stands in it."""
    figures = summary.figures
    rates = figures.detection.config.rates if figures.detection else ()
    cells = [row.as_cells(rates) for row in figures.rows]
    return render_figures(TEMPLATE, {"page": summary, "figures": figures, "cells": cells, "exams": exams}, drawn)
