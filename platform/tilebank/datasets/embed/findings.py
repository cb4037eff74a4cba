"""Parse EMBED's regions of interest from the text of its image table into boxes.

A cell holds a Python literal, `((ymin, xmin, ymax, xmax), ...)` in source pixels, `()` for none; brackets are round or
square, and some cells nest the regions once more, by the screen save that they come from. What does not read like that
is counted and said once; nothing is guessed. The owner leaves open whether the columns run from the left edge of the
file or of a mirrored copy: on some images the regions lie on the wrong side (issues 5 and 9 of their repository).
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from tilebank.datasets.tables import null_to_empty
from tilebank.terms import Finding, TileBox

logger = logging.getLogger(__name__)

ROI_COLUMNS = ("ROI_coords", "num_roi", "match_level")
NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
REGION = re.compile(rf"[(\[]{NUMBER},{NUMBER},{NUMBER},{NUMBER},?\s*[)\]]")
PRIMARY, SECONDARY = "1", "2"
LEVEL_NOTES = {PRIMARY: "", SECONDARY: "transferred"}  # 2: copied from the 2D image to the synthetic one, or back
UNKNOWN_LEVEL = "match level unknown"


def collect_findings(rows: Iterable[tuple[str, Mapping[str, str]]], *, uri: str) -> list[Finding]:
    """All regions of (image_id, row) pairs; one warning counts what could not be read or had to be changed."""
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for image_id, row in rows:
        text = null_to_empty(row["ROI_coords"])
        if text:
            findings.extend(_findings_of(image_id, text, row=row, counts=counts))
    said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()) if count)
    if said:
        logger.warning("%s: regions of interest: %s", uri, said)
    return findings


def parse_regions(text: str) -> list[tuple[float, float, float, float]]:
    """(ymin, xmin, ymax, xmax) of each region of one cell, at any depth. Raises ValueError for any other text."""
    rest = re.sub(r"[\s,]", "", REGION.sub("", text))
    while rest and (closed := rest.replace("()", "").replace("[]", "")) != rest:
        rest = closed
    if rest:
        raise ValueError(f"{text!r} is no list of regions")
    regions = []
    for found in REGION.finditer(text):
        top, left, bottom, right = (float(number) for number in found.groups())
        regions.append((top, left, bottom, right))
    return regions


def _findings_of(image_id: str, text: str, *, row: Mapping[str, str], counts: Counter[str]) -> Iterable[Finding]:
    try:
        regions = parse_regions(text)
    except ValueError:
        counts["cells left out (not a list of ymin, xmin, ymax, xmax)"] += 1
        return
    counts["cells that hold another number of regions than num_roi"] += _disagrees(
        null_to_empty(row["num_roi"]), len(regions)
    )
    levels = _levels(null_to_empty(row["match_level"]), len(regions))
    counts["regions without a match level"] += levels.count("")
    for region, level in zip(regions, levels, strict=True):
        box = _box(region)
        inside = box and _clip(box, rows=_size(row["Rows"]), columns=_size(row["Columns"]))
        if not inside:
            counts["regions left out (empty, or outside the image)"] += 1
            continue
        counts["regions clipped to the image"] += inside != box
        notes = (LEVEL_NOTES.get(level, UNKNOWN_LEVEL), "clipped" if inside != box else "")
        yield Finding(image_id, (), inside, note=", ".join(note for note in notes if note))


def _disagrees(num_roi: str, count: int) -> bool:
    return bool(num_roi) and num_roi.removesuffix(".0") != str(count)


def _levels(text: str, count: int) -> list[str]:
    """One level a region; empty ones where the cell names another number of levels, or other ones."""
    levels = [number.removesuffix(".0") for number in re.findall(r"\d+(?:\.\d+)?", text)]
    return levels if len(levels) == count and set(levels) <= LEVEL_NOTES.keys() else [""] * count


def _box(region: tuple[float, float, float, float]) -> TileBox | None:
    top, left, bottom, right = (round(value) for value in region)
    return TileBox(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _clip(box: TileBox, *, rows: int, columns: int) -> TileBox | None:
    """`box` within the image, as far as its size is known (0: not)."""
    left, top = max(box.x, 0), max(box.y, 0)
    right = min(box.x + box.width, columns or box.x + box.width)
    bottom = min(box.y + box.height, rows or box.y + box.height)
    return TileBox(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _size(text: str) -> int:
    text = null_to_empty(text).removesuffix(".0")
    return int(text) if text.isdecimal() else 0
