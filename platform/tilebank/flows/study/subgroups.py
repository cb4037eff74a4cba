"""Assign breasts to subgroups, from what the reader found in their images and from the dataset's facts.

Vendor, views and kind of image come from the instances table, density and age from the facts. A fact that is missing
is an empty text. One that cannot be read is `unreadable` and raises nothing: the search is done by then, and the
report shows how many there are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from tilebank.datasets.contract import Truth
from tilebank.datasets.labels import task_named
from tilebank.errors import DatasetError
from tilebank.store.records import StoredView

AGE = re.compile(r"0*(\d{1,3})(?:\.\d+)?\+?Y?", re.IGNORECASE)  # 61, 61.4, 061Y (PS3.5 AS), 89+
UNREADABLE = "unreadable"
DECADES = ((40, "under 40"), (50, "40 to 49"), (60, "50 to 59"), (70, "60 to 69"), (200, "70 and over"))


def group_breasts(views: Iterable[StoredView], facts: Truth, breast_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Column name -> the value of each of `breast_ids`; columns of which nothing is known are left out."""
    seen: dict[str, list[StoredView]] = {breast_id: [] for breast_id in breast_ids}
    for view in views:
        if view.breast_id in seen:
            seen[view.breast_id].append(view)
    known = [facts.get(breast_id, {}) for breast_id in breast_ids]
    columns = {
        "views": tuple(_views_there(seen[breast_id]) for breast_id in breast_ids),
        "vendor": tuple(_only(view.manufacturer for view in seen[breast_id]) for breast_id in breast_ids),
        "image kind": tuple(_only(view.image_kind for view in seen[breast_id]) for breast_id in breast_ids),
        "density": tuple(map(_density, breast_ids, known)),
        "age": tuple(age_band(fact.get("age", "")) for fact in known),
    }
    return {name: values for name, values in columns.items() if any(values)}


def views_there(views: Iterable[str]) -> str:
    """Which of the two standard views a breast has; one that misses a view is scored on what there is."""
    there = set(views)
    if {"CC", "MLO"} <= there:
        return "CC and MLO"
    return "CC, no MLO" if "CC" in there else "MLO, no CC" if "MLO" in there else "neither CC nor MLO"


def _views_there(seen: Sequence[StoredView]) -> str:
    return views_there(view.view for view in seen) if seen else ""  # a bag of tiles that were made elsewhere


def age_band(text: str) -> str:
    """The decade of an age in years, open at both ends."""
    if not text.strip():
        return ""
    found = AGE.fullmatch(text.strip())
    if not found:
        return UNREADABLE
    return next((name for below, name in DECADES if int(found.group(1)) < below), UNREADABLE)


def _density(breast_id: str, facts: Mapping[str, str]) -> str:
    density = task_named("density")
    try:
        label = density.label(facts, breast_id=breast_id)
    except DatasetError:
        return UNREADABLE
    return "" if label is None else density.answers[label]


def _only(values: Iterable[str]) -> str:
    """The one value that all views of a breast have."""
    there = sorted({" ".join(value.split()) for value in values} - {""})
    return there[0] if len(there) == 1 else "several" if there else ""
