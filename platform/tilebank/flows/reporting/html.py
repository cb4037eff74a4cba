"""Render a report as one self-contained HTML file, with its style and pictures inside."""

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESEARCH = "Research software, not a medical device."


def render_figures(template: str, values: Mapping[str, object], figures: "Mapping[str, Figure]") -> str:
    """A template below `flows/` (`compare/page.html.j2`) as HTML.

    It is given `values`, `pictures` (data URIs of `figures`) and `research`; style and macros that several pages use
    stand in `reporting/page_parts.html.j2`.
    """
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["three"] = "{:.3f}".format
    pictures = {name: _figure_uri(figure) for name, figure in figures.items()}
    return environment.get_template(template).render({**values, "pictures": pictures, "research": RESEARCH})


def data_uri(picture: bytes, kind: str) -> str:
    """A picture (`png`, `jpeg`) as a page holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _read(template: str) -> str:
    return files("tilebank.flows").joinpath(template).read_text(encoding="utf-8")


def _figure_uri(figure: "Figure") -> str:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return data_uri(picture.getvalue(), "png")
