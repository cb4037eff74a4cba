"""Decide which images a configuration includes, and which side and view each image shows.

An image that is not included becomes a failure with the stage `filter`: it is recorded and counted, and read later if
the configuration changes to include it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tilebank.errors import ImageError
from tilebank.terms import ImageHeader, ImageKind, Laterality

WHAT = {
    ImageKind.FOR_PROCESSING: "raw detector values (For Processing), not meant for reading",
    ImageKind.SYNTHETIC: "a synthetic 2D image computed from tomosynthesis",
    ImageKind.TOMOSYNTHESIS: "a tomosynthesis volume",
    ImageKind.FILM: "digitised film",
    ImageKind.SECONDARY_CAPTURE: "a secondary capture",
    ImageKind.SCREENSAVE: "a screen save (colour, or burned-in annotation)",
    ImageKind.TEXT_PAGE: "a page of text",
    ImageKind.CONSTANT: "a constant image",
    ImageKind.OTHER: "an image, but no mammogram (ultrasound, MR, another radiograph)",
    ImageKind.NOT_AN_IMAGE: "not an image (a report, a state, or an object without pixels)",
    ImageKind.FFDM: "a full-field digital mammogram",
}


UNREADABLE = (ImageKind.TOMOSYNTHESIS, ImageKind.NOT_AN_IMAGE, ImageKind.TEXT_PAGE, ImageKind.CONSTANT)
"""Kinds that no setting can include."""

SPECIAL_VIEWS = (
    *("spot", "magnification", "tangential", "inframammary_fold", "anterior_compression", "implant_displaced"),
    *("cleavage", "axillary_tail", "axillary_tissue", "rolled", "specimen", "stereotactic", "contrast"),
)


@dataclass(frozen=True)
class IntakeConfig:
    """Which images are included; all others are filtered.

    kinds: values of ImageKind; views: View Positions in capitals, empty for all; special: names of SPECIAL_VIEWS that
    are included.
    """

    kinds: tuple[str, ...] = (ImageKind.FFDM.value,)
    views: tuple[str, ...] = ("CC", "MLO")
    special: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        readable = [kind.value for kind in ImageKind if kind not in UNREADABLE]
        for key, named, known in (("kinds", self.kinds, readable), ("special", self.special, SPECIAL_VIEWS)):
            if unknown := sorted(set(named) - set(known)):
                raise ValueError(f"intake.{key} names {', '.join(unknown)}; known: {', '.join(known)}")
        if small := [view for view in self.views if view != view.upper()]:
            raise ValueError(f"intake.views names {', '.join(small)}; write View Positions in capitals")


@dataclass(frozen=True)
class Placement:
    """Side and view of an image, and the tag or table that gave each."""

    laterality: Laterality
    view: str
    laterality_from: str
    view_from: str


def assert_included(kind: ImageKind, *, view: str, special: Sequence[str], intake: IntakeConfig) -> None:
    """Raise ImageError (stage `filter`) for an image that the configuration does not include.

    The error class names what would have to be included: a kind, a special view, or `view-` and a View Position. A view
    that is not known yet (empty) is not filtered here.
    """
    if kind.value not in intake.kinds:
        reason = WHAT[kind] if kind in UNREADABLE else f"{WHAT[kind]}; include it with dataset.intake.kinds"
        raise ImageError("filter", reason, kind.value)
    kept_out = [name for name in special if name not in intake.special]
    if kept_out:
        reason = f"a special view ({', '.join(kept_out)}); include it with dataset.intake.special"
        raise ImageError("filter", reason, kept_out[0])
    if view and intake.views and view not in intake.views:
        reason = f"view {view} is not among {', '.join(intake.views)}; include it with dataset.intake.views"
        raise ImageError("filter", reason, f"view-{view}")


def place_image(header: ImageHeader, *, laterality: str = "", view: str = "") -> Placement:
    """Side and view of an image, from its header and from a table (empty where there is none).

    Raises ImageError (stage `identify`): SelfContradiction, SideConflict, ViewConflict, SideMissing or ViewMissing;
    nothing is guessed.
    """
    if header.conflict:
        raise ImageError("identify", f"the header contradicts itself: {header.conflict}", "SelfContradiction")
    side, side_from = _agreed("side", header.laterality, header.laterality_from, laterality)
    seen, view_from = _agreed("view", header.view, header.view_from, view)
    return Placement(Laterality(side), seen, side_from, view_from)


def place_by_table(laterality: str, view: str) -> Placement:
    """Side and view of an image from its owner's table; the header is checked against them when the image is read.

    Raises ImageError (stage `identify`): SideMissing or ViewMissing.
    """
    side, side_from = _agreed("side", "", "", laterality if laterality in tuple(Laterality) else "")
    seen, view_from = _agreed("view", "", "", view)
    return Placement(Laterality(side), seen, side_from, view_from)


def _agreed(what: str, said: str, said_by: str, table: str) -> tuple[str, str]:
    if said and table and said != table:
        reason = f"{said_by} says {what} {said}, the table says {table}: correct one of them"
        raise ImageError("identify", reason, f"{what.capitalize()}Conflict")
    if not said and not table:
        reason = f"neither the header nor a table names the {what}"
        raise ImageError("identify", reason, f"{what.capitalize()}Missing")
    return (said, said_by) if said else (table, "table")


def is_included(kind: str, view: str, special: str, *, intake: IntakeConfig) -> bool:
    """Whether a stored image is included; `special` as stored, names separated by commas."""
    names = [name.strip() for name in special.split(",") if name.strip()]
    try:
        assert_included(ImageKind(kind), view=view, special=names, intake=intake)
    except ImageError:
        return False
    return True


def would_include(error_class: str, intake: IntakeConfig) -> bool:
    """Whether an image that was filtered with this error class would be included now."""
    if error_class.startswith("view-"):
        return not intake.views or error_class.removeprefix("view-") in intake.views
    return error_class in intake.kinds or error_class in intake.special
