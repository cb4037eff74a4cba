"""Write a comparison as files: one self-contained HTML page, CSV, JSON and a picture."""

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tilebank.errors import ConfigError
from tilebank.evaluation.plots.forest import ForestLine, heads_figure
from tilebank.flows.compare.summary import MOVED, SPENT, SPLIT_TAGS, ComparisonSummary, as_figure, as_p
from tilebank.flows.reporting.html import render_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "compare/page.html.j2"
NAME = "compare"  # of every file, before its dot


def draw_comparison(summary: ComparisonSummary) -> "Figure":
    """Every row's AUC and its difference from the reference."""
    lines = [
        ForestLine(head.name, head.evaluation.auc, head.difference.found.auc.estimate if head.difference else None)
        for head in summary.heads
    ]
    return heads_figure(lines, title=summary.title)


def render_comparison(summary: ComparisonSummary, figure: "Figure") -> dict[str, str]:
    """File name -> text: `compare.html`, `compare.csv`, `compare.json`."""
    values: dict[str, object] = {"page": summary, "spent": SPENT, "moved": MOVED, "as_p": as_p, "as_figure": as_figure}
    values["split_tags"] = SPLIT_TAGS
    return {
        f"{NAME}.html": render_figures(TEMPLATE, values, {NAME: figure}),
        f"{NAME}.csv": _as_csv(summary),
        f"{NAME}.json": json.dumps(summary.as_dict(), indent=2, allow_nan=False) + "\n",
    }


def open_folder(folder: Path) -> None:
    """Make the folder that the files go to. Raises ConfigError where nothing can be written, before any work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error}; choose another folder with --out") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"cannot write to {folder}; choose another folder with --out")


def write_comparison(folder: Path, documents: dict[str, str], figure: "Figure") -> None:
    """Write all files, those of an earlier comparison being replaced."""
    for name, text in documents.items():
        (folder / name).write_text(text, encoding="utf-8")
    figure.savefig(folder / f"{NAME}.png", format="png")


def _as_csv(summary: ComparisonSummary) -> str:
    """A row a head; what the reference has no value of is empty."""
    rows = [head.as_dict() for head in summary.heads]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
