"""Read the side of the breast and the view from a DICOM header.

A header holds both in several tags. `read_laterality_view` lists them in order; the first that has a value is taken,
and all that have one must agree: a contradiction is reported, never resolved. `B`, an empty value and words that name
no side count as no value. Only known words are passed on, because people write patients' names into any tag.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

SIDES = {"L": "L", "LEFT": "L", "LT": "L", "R": "R", "RIGHT": "R", "RT": "R"}
# View Position -> its codes in DICOM CID 4014 (SNOMED RT, also under the scheme name SNM3; SNOMED CT) and its meanings.
VIEWS: dict[str, tuple[str, ...]] = {
    "CC": ("R-10242", "399162004", "craniocaudal"),
    "MLO": ("R-10226", "399368009", "mediolateraloblique"),
    "ML": ("R-10224", "399260004", "mediolateral", "mediallateral"),
    "LM": ("R-10228", "399352003", "lateromedial"),
    "LMO": ("R-10230", "399099002", "lateromedialoblique"),
    "FB": ("R-10244", "399196006", "caudocranial", "caudocranialfrombelow", "frombelow"),
    "SIO": ("R-102D0", "399188001", "superolateraltoinferomedialoblique"),
    "ISO": ("R-40AAA", "441555000", "inferomedialtosuperolateraloblique"),
    "XCC": ("R-102CF", "399265009", "craniocaudalexaggerated", "exaggeratedcraniocaudal"),
    "XCCL": ("R-1024A", "Y-X1770", "399192008", "craniocaudalexaggeratedlaterally"),
    "XCCM": ("R-1024B", "Y-X1771", "399101009", "craniocaudalexaggeratedmedially"),
    "AT": ("axillarytail",),  # these three are modifiers of a view (CID 4015) that ACR names as views
    "CV": ("cleavage",),
    "TAN": ("tangential",),
    "LAT": (),  # lateral, without saying from which side: a usual spelling, and no view of CID 4014
    "FLATFIELD": (),  # of no breast: stands there in real files
}
OTHER_VIEW = "OTHER"  # View Position says something, but no one known view
# Two names that may stand for one view: CID 4015 codes the axillary tail as MLO and cleavage as CC, with a modifier.
COMPATIBLE = {frozenset(pair) for pair in (("AT", "MLO"), ("CV", "CC"), ("CV", "FB"), ("XCC", "XCCL"), ("XCC", "XCCM"))}
# What stands beside the view in View Position: ACR's prefixes and suffixes (CID 4015), and plain words.
MARKS = {
    "SPOT": "spot",
    "SPT": "spot",
    "MAG": "magnification",
    "MAGNIFICATION": "magnification",
    "RL": "rolled",
    "RM": "rolled",
    "RI": "rolled",
    "RS": "rolled",
    "ROLLED": "rolled",
    "AC": "anterior_compression",
    "IMF": "inframammary_fold",
    "AX": "axillary_tissue",
    "NP": "",  # nipple in profile: how a standard view should be
    "SPECIMEN": "specimen",
}
IMPLANT_DISPLACED = "implant_displaced"
_GLUED_MARKS = {**MARKS, "ID": IMPLANT_DISPLACED}
_SILENT = frozenset(("ID", "IMPLANT", "IMPLANTS", "DISPLACED", "DISPLACEMENT", "COMPRESSION", "VIEW"))
_WORD = re.compile(r"[A-Z0-9]+")
_GLUED = re.compile(  # LCC, RMLO, LMCC (magnified), MLOID, RCCRL
    r"(?P<side>LEFT|RIGHT|L|R)?(?P<prefix>[MS])??(?P<view>XCCL|XCCM|XCC|CC|MLO|LMO|ML|LM|SIO|FB)"
    r"(?P<mark>ID|SPOT|MAG|RL|RM|RI|RS|AC|IMF|AX|NP)?"
)
_SPLIT_VIEW = re.compile(r"\bXCC[^A-Z0-9]([LM])\b")
_PREFIXES = {"M": "magnification", "S": "spot"}
_CODES = {code: view for view, names in VIEWS.items() for code in names}


@dataclass(frozen=True)
class CodedTerm:
    """One item of a code sequence."""

    value: str
    meaning: str = ""


@dataclass(frozen=True)
class LateralityViewTags:
    """The tags of a header that name side or view. `frame_...` are from the functional groups."""

    image_laterality: str = ""
    laterality: str = ""
    frame_laterality: tuple[str, ...] = ()
    view_position: str = ""
    view_codes: tuple[CodedTerm, ...] = ()
    frame_view_codes: tuple[CodedTerm, ...] = ()
    series_description: str = ""


@dataclass(frozen=True)
class LateralityView:
    """Side and view, empty where unknown, the tags they come from, and a sentence if two tags disagree."""

    laterality: str
    laterality_from: str
    view: str
    view_from: str
    conflict: str


@dataclass(frozen=True)
class ViewText:
    """What a text names: a side, a view (both may be empty) and marks of special views."""

    side: str
    view: str
    marks: tuple[str, ...] = ()


def read_laterality_view(tags: LateralityViewTags) -> LateralityView:
    """Side and view of one image.

    Side: ImageLaterality, Laterality, FrameLaterality, ViewPosition, SeriesDescription; view: ViewPosition,
    ViewCodeSequence, the functional groups' view code, SeriesDescription.
    """
    position, series = read_view_position(tags.view_position), read_description(tags.series_description)
    sides = [
        ("ImageLaterality", _side(tags.image_laterality)),
        ("Laterality", _side(tags.laterality)),
        *(("FrameLaterality", _side(text)) for text in tags.frame_laterality),
        ("ViewPosition", position.side),
        ("SeriesDescription", series.side),
    ]
    views = [
        ("ViewPosition", position.view),
        *(("ViewCodeSequence", view_of_code(code)) for code in tags.view_codes),
        *(("ViewCodeSequence of the functional groups", view_of_code(code)) for code in tags.frame_view_codes),
        ("SeriesDescription", series.view),
    ]
    side, side_from, side_conflict = _agreed(sides)
    view, view_from, view_conflict = _agreed(views)
    return LateralityView(
        side, side_from, view, view_from, conflict="; ".join(filter(None, (side_conflict, view_conflict)))
    )


def view_of_code(code: CodedTerm) -> str:
    """The View Position of a view code, by its value, else by its meaning; empty for any other code."""
    return _CODES.get(code.value.strip()) or _CODES.get(_letters(code.meaning), "")


def read_view_position(text: str) -> ViewText:
    """View Position as people fill it in: `MLO`, `RIGHT MLO`, `LCC`, `MLOID`, `medio-lateral oblique`, `SPOT`.

    A text of another kind, or that names several views, is the view OTHER: the text itself goes no further.
    """
    upper = _SPLIT_VIEW.sub(r"XCC\1", text.strip().upper())
    if meaning := _CODES.get(_letters(upper)):
        return ViewText("", meaning)
    words, other = _WORD.findall(upper), False
    sides, views, marks = set(), set(), {_implant_of(words)}
    for word in words:
        if word in VIEWS:
            views.add(word)
        elif word in SIDES:
            sides.add(SIDES[word])
        elif word in MARKS:
            marks.add(MARKS[word])
        elif word in _SILENT:
            continue
        elif glued := _GLUED.fullmatch(word):
            views.add(glued["view"])
            sides.add(SIDES.get(glued["side"] or "", ""))
            marks |= {_PREFIXES.get(glued["prefix"] or "", ""), _GLUED_MARKS.get(glued["mark"] or "", "")}
        else:
            other = True
    side = "".join(sides - {""})
    view = views.pop() if len(views) == 1 else OTHER_VIEW if views or other else ""
    return ViewText(side if len(side) == 1 else "", view, tuple(sorted(marks - {""})))


def read_description(text: str) -> ViewText:
    """Side and view in a free text (Series Description), where it names just one: `L CC C-View`, `RIGHT MLO`, `RCC`.

    Cautious, for such texts also say `R/O mass`, `300 CC implant`, `spot at 3 o'clock`: a single letter counts only
    right before a view, a view not after a number, `ML` and `LM` only with a side, marks only with a view.
    """
    words = _WORD.findall(text.upper())
    sides, views, marks = set(), set(), {_implant_of(words)}
    for before, word in zip(["", *words], words, strict=False):
        marks.add(MARKS.get(word, ""))
        if word in ("LEFT", "RIGHT", "LT", "RT"):
            sides.add(SIDES[word])
            continue
        glued = _GLUED.fullmatch(word)
        if glued is None or before.isdigit():
            continue
        side = "" if word in VIEWS else SIDES.get(glued["side"] or "", "") or ""
        side = side or SIDES.get(before, "")
        view = word if word in VIEWS else glued["view"]
        if side or view not in ("ML", "LM"):
            sides.add(side)
            views.add(view)
            marks.add(_GLUED_MARKS.get(glued["mark"] or "", "") if word not in VIEWS else "")
    side = "".join(sides - {""})
    view = views.pop() if len(views) == 1 else ""
    return ViewText(side if len(side) == 1 else "", view, tuple(sorted(marks - {""})) if view else ())


def _implant_of(words: Sequence[str]) -> str:
    """The mark of a view with the implant pushed back, by words of their own: `CC ID`, `implant displacement`.

    ID counts only right after a view (`MAMMO ID` is an identifier); that there is an implant does not count.
    """
    implant = "IMPLANT" in words or "IMPLANTS" in words
    for before, word in zip(["", *words], words, strict=False):
        if word == "ID" and (before in VIEWS or _GLUED.fullmatch(before)):
            return IMPLANT_DISPLACED
        if implant and word in ("DISPLACED", "DISPLACEMENT") and before not in ("NON", "NOT", "NO"):
            return IMPLANT_DISPLACED
    return ""


def _agreed(said: Sequence[tuple[str, str]]) -> tuple[str, str, str]:
    """The first value, its tag, and a sentence if another tag contradicts it."""
    spoken = [(tag, value) for tag, value in said if value]
    if not spoken:
        return "", "", ""
    tag, value = spoken[0]
    conflict = next(_disagreeing(spoken), "")
    if value == "XCC":  # exaggerated, but which way: a later tag may know
        tag, value = next(((tag, view) for tag, view in spoken if view in ("XCCL", "XCCM")), (tag, value))
    return value, tag, conflict


def _disagreeing(spoken: Sequence[tuple[str, str]]) -> Iterator[str]:
    for (one_tag, one), (other_tag, other) in combinations(spoken, 2):
        if one != other and frozenset((one, other)) not in COMPATIBLE and "TAN" not in (one, other):
            yield f"{one_tag} says {one}, {other_tag} says {other}"


def _side(text: str) -> str:
    return SIDES.get(text.strip().upper(), "")


def _letters(text: str) -> str:
    return "".join(re.findall("[a-z]+", text.lower()))
