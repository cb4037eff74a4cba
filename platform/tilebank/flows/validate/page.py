"""Render the validation report as one self-contained HTML file.

Whatever comes from a file, a folder name or a header is escaped, and shown with its control characters written out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tilebank.datasets.intake import IntakeConfig
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.html import data_uri
from tilebank.flows.validate.label_counts import StudySize, TaskCounts
from tilebank.flows.validate.rows import Outcome
from tilebank.flows.validate.tally import ValidationReport

TEMPLATE = "page.html.j2"
MEANING = {
    Outcome.ACCEPT: "an extraction takes it",
    Outcome.FILTER: "usable, but left out by dataset.intake",
    Outcome.REFUSE: "cannot be used as it is",
}


@dataclass(frozen=True)
class PageHead:
    """What the report is about. facts: date, command, versions, settings; pixels: whether all pixels were read."""

    dataset: str
    root: str
    licence: str
    facts: Mapping[str, str]
    pixels: bool
    tile_px: int
    intake: IntakeConfig


@dataclass(frozen=True)
class Picture:
    """A sampled image: its file, what is to be said of it, and a PNG."""

    uri: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class PageStudy:
    """How many breasts and patients the accepted images have, and the splits of each task; note: why there are none."""

    size: StudySize
    tasks: tuple[TaskCounts, ...]
    note: str = ""


def render_page(head: PageHead, report: ValidationReport, *, study: PageStudy, pictures: Sequence[Picture]) -> str:
    """The page as HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True)
    environment.filters |= {"png": _png_uri, "share": _share, "grouped": _grouped}
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    return template.render(head=head, report=report, study=study, pictures=pictures, meaning=MEANING)


def _shown(value: object) -> object:
    """Called on every value before it is escaped."""
    return visible(value) if type(value) is str else value


def _png_uri(png: bytes) -> str:
    return data_uri(png, "png")


def _share(count: int, whole: int) -> str:
    """Per cent with one figure after the point, never rounded to nothing or to all."""
    share = 100 * count / whole if whole else 0.0
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"


def _grouped(count: int) -> Markup:
    """Thousands set apart by a narrow space that does not break."""
    return Markup(f"{count:,}".replace(",", "&#8239;"))
