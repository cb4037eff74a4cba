"""Turn VinDr-Mammo's finding rows into boxes inside their images.

Corners are fractions of pixels and some lie outside: in the owner's table 22 boxes begin below 0, 20 end beyond the
width and 1 beyond the height. A box is widened to whole pixels, then clipped by width in x and by height in y.
"""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from tilebank.errors import DatasetError
from tilebank.terms import Finding, TileBox

logger = logging.getLogger(__name__)

CORNERS = ("xmin", "ymin", "xmax", "ymax")
BOX_COLUMNS = ("finding_categories", "finding_birads", *CORNERS)
NO_FINDING = "No Finding"
CATEGORIES = {
    "Mass": "mass",
    "Suspicious Calcification": "calcification",
    "Architectural Distortion": "distortion",
    "Asymmetry": "asymmetry",
    "Focal Asymmetry": "asymmetry",
    "Global Asymmetry": "asymmetry",
}
QUOTED = r"""'[^']*'|"[^"]*\""""
LISTED = re.compile(rf"\[\s*(?:{QUOTED})(?:\s*,\s*(?:{QUOTED}))*\s*\]")
BIRADS = re.compile(r"BI-RADS ([0-6])")


def collect_findings(
    rows: Iterable[Mapping[str, str]], *, sizes: Mapping[str, tuple[int, int]], uri: str
) -> list[Finding]:
    """The box of every row that has one; `sizes` gives (width, height) by image. One warning counts what was changed.

    Raises DatasetError for cells that cannot be read.
    """
    findings: list[Finding] = []
    counts: Counter[str] = Counter()
    for row in rows:
        categories, birads = categories_of(row), _birads(row, uri=uri)
        bounds = _bounds(row, uri=uri)
        if bounds is None:
            counts["findings left out: no box"] += bool(categories)
            continue
        box = _clip(bounds, size=sizes[row["image_id"]])
        if box is None:
            counts["findings left out: no part of the box is inside the image"] += 1
            continue
        is_whole = (box.x, box.y, box.x + box.width, box.y + box.height) == bounds
        counts["boxes clipped to the image"] += not is_whole
        findings.append(Finding(row["image_id"], categories, box, birads, note="" if is_whole else "clipped"))
    said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()) if count)
    if said:
        logger.warning("%s: %s", uri, said)
    return findings


def categories_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """The row's categories without repetition, the shared ones by the shared words; none for `No Finding`.

    Raises DatasetError for text that is no list of quoted names.
    """
    text = row["finding_categories"]
    if not LISTED.fullmatch(text):
        raise DatasetError(
            f"finding_categories of image {row['image_id']} is {text!r}, not a list such as ['Mass']; download the"
            " owner's table again"
        )
    names = (quoted[1:-1] for quoted in re.findall(QUOTED, text))
    return tuple(dict.fromkeys(CATEGORIES.get(name, name) for name in names if name != NO_FINDING))


def _bounds(row: Mapping[str, str], *, uri: str) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom in whole pixels; None where the row has no box."""
    corners = [row[name] for name in CORNERS]
    if not any(corners):
        return None
    try:
        left, top, right, bottom = (float(corner) for corner in corners)
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    except (ValueError, OverflowError) as error:
        where = f"{uri}: the box of image {row['image_id']}"
        raise DatasetError(f"{where} has the corners {', '.join(corners)}; download the owner's table again") from error


def _clip(bounds: tuple[int, int, int, int], *, size: tuple[int, int]) -> TileBox | None:
    width, height = size
    left, top, right, bottom = max(bounds[0], 0), max(bounds[1], 0), min(bounds[2], width), min(bounds[3], height)
    return TileBox(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _birads(row: Mapping[str, str], *, uri: str) -> str:
    text = row["finding_birads"]
    found = BIRADS.fullmatch(text)
    if text and not found:
        where = f"{uri}: finding_birads of image {row['image_id']}"
        raise DatasetError(f"{where} is {text!r}, not such as BI-RADS 4; download the owner's table again")
    return found.group(1) if found else ""
