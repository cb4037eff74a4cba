"""Tell what kind of image a DICOM object is, and what makes its view a special one.

The SOP class decides first, then other tags; never the file's name, and never the modality by itself.

- For Presentation and For Processing mammograms are what they are called; a stated intent of For Processing wins.
- Breast tomosynthesis and projections, and any mammogram of several frames, are tomosynthesis.
- A single frame that ImageType calls GENERATED_2D or TOMO_2D, or SeriesDescription C-View, S-View, Insight 2D,
  Intelligent 2D, V-Preview or synthetic, is synthetic, in whichever class it is stored.
- Colour is a screensave. Burned-in annotation makes one of any object but a mammogram that calls itself PRIMARY: real
  ones state it for their view marker.
- A gray secondary capture is film where it says that a film was digitised (ConversionType DF), or that it is one of
  CBIS-DDSM's full mammograms; else a secondary capture, CBIS-DDSM's crops and masks among them.
- Computed and digital radiography is a mammogram where the modality is MG, film where it is RG, else another image.
- Without pixel data it is no image.
"""

import re
from dataclasses import dataclass

from tilebank.imaging.dicom.laterality_view import CodedTerm, read_description, read_view_position
from tilebank.terms import ImageKind

_STORAGE = "1.2.840.10008.5.1.4.1.1."
MAMMOGRAPHY = frozenset(_STORAGE + tail for tail in ("1.2", "1.2.1"))
PROCESSING = frozenset(_STORAGE + tail for tail in ("1.2.1", "1.1.1"))
TOMOSYNTHESIS = frozenset(_STORAGE + tail for tail in ("13.1.3", "13.1.4", "13.1.5"))
RADIOGRAPHY = frozenset(_STORAGE + tail for tail in ("1", "1.1", "1.1.1"))
SECONDARY_CAPTURE = frozenset(_STORAGE + tail for tail in ("7", "7.1", "7.2", "7.3", "7.4"))
SYNTHETIC_TYPES = frozenset({"GENERATED_2D", "TOMO_2D"})
SYNTHETIC_TEXT = re.compile(r"\b([CS][- ]?VIEW|INSIGHT ?2D|INTELLIGENT ?2D|V[- ]?PREVIEW|GENERATED[_ ]2D|SYNTH\w*)\b")
FULL_FILM_TEXT = "FULL MAMMOGRAM IMAGES"  # CBIS-DDSM's series of whole films; the others are crops and masks
# Image Type (0008,0008) values of biopsies, of specimens and of contrast studies (PS3.3 C.8.11.7.1.4).
SPECIAL_TYPES = {
    **dict.fromkeys(("STEREO_SCOUT", "STEREO_MINUS", "STEREO_PLUS", "POSTMARKER"), "stereotactic"),
    **dict.fromkeys(("PREFIRE", "POSTFIRE", "POSTBIOPSY", "PREBIOPSY"), "stereotactic"),
    **dict.fromkeys(("SPECIMEN",), "specimen"),
    **dict.fromkeys(("ADDITION", "SUBTRACTION", "RECOMBINED"), "contrast"),
}
# View modifiers of DICOM CID 4015, SNOMED RT and SNOMED CT, and the specimen of CID 4014. Nipple in profile is left
# out: it says that a standard view is well positioned.
SPECIAL_CODES = {
    "spot": ("R-102D7", "399055006", "spotcompression"),
    "magnification": ("R-102D6", "399163009", "magnification"),
    "tangential": ("R-102C2", "399110001", "tangential"),
    "inframammary_fold": ("R-40ABE", "442593008", "inframammaryfold"),
    "anterior_compression": ("P2-00161", "441752004", "anteriorcompression"),
    "implant_displaced": ("R-102D5", "399209000", "implantdisplaced"),
    "cleavage": ("R-102D2", "399161006", "cleavage"),
    "axillary_tail": ("R-102D1", "399011000", "axillarytail"),
    "axillary_tissue": ("R-40AB2", "442580003", "axillarytissue"),
    "rolled": ("R-102D3", "R-102D4", "R-102CA", "R-102C9", "399197002", "399226006", "414493004", "415670009"),
    "specimen": ("G-8310", "127457009", "tissuespecimenfrombreast"),
}
PADDLES = {"SPOT": "spot", "SPT": "spot", "MAG": "magnification", "BIOP": "stereotactic", "STEREO": "stereotactic"}
MAGNIFIED = 1.4  # a contact view lies at 1.0 to 1.1 by its geometry, a magnified one at 1.5 to 2
_BY_CODE = {code: name for name, codes in SPECIAL_CODES.items() for code in codes}


@dataclass(frozen=True)
class KindTags:
    """The tags of a header that tell its kind. `..._codes` are view codes and view modifiers."""

    sop_class: str
    modality: str = ""
    has_pixels: bool = True
    intent: str = ""
    image_type: tuple[str, ...] = ()
    series_description: str = ""
    conversion: str = ""
    burned_in: str = ""
    photometric: str = "MONOCHROME2"
    samples: int = 1
    frames: int = 1
    model: str = ""
    view_position: str = ""
    paddle: str = ""
    magnification: float | None = None
    view_codes: tuple[CodedTerm, ...] = ()
    modifier_codes: tuple[CodedTerm, ...] = ()
    names_specimen: bool = False


def kind_of(tags: KindTags) -> tuple[ImageKind, tuple[str, ...]]:
    """The object's kind, and warnings about it."""
    image_type = tags.image_type
    if not tags.has_pixels:
        must = tags.sop_class in MAMMOGRAPHY | TOMOSYNTHESIS | RADIOGRAPHY
        return ImageKind.NOT_AN_IMAGE, (("an image's class without pixel data: cut off, or stripped",) if must else ())
    radiograph = tags.sop_class in RADIOGRAPHY and tags.modality in ("MG", "RG")
    mammogram = tags.sop_class in MAMMOGRAPHY or radiograph
    capture = tags.sop_class in SECONDARY_CAPTURE
    if not (mammogram or capture or tags.sop_class in TOMOSYNTHESIS):
        return ImageKind.OTHER, ()
    if tags.samples != 1 or tags.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return ImageKind.SCREENSAVE, ()
    burned_in = tags.burned_in == "YES"
    if burned_in and (capture or "SECONDARY" in image_type[1:2]):
        return ImageKind.SCREENSAVE, ()
    warnings = ("it states burned-in annotation",) if burned_in else ()
    if tags.frames > 1:
        return ImageKind.TOMOSYNTHESIS, warnings
    if SYNTHETIC_TYPES & set(image_type) or SYNTHETIC_TEXT.search(tags.series_description.upper()):
        return ImageKind.SYNTHETIC, warnings
    if tags.sop_class in TOMOSYNTHESIS or "TOMO" in image_type:
        return ImageKind.TOMOSYNTHESIS, warnings
    if capture:
        return (ImageKind.FILM if _is_film(tags) else ImageKind.SECONDARY_CAPTURE), warnings
    kind, odd = _kind_of_mammogram(tags)
    return kind, (*warnings, *odd)


def special_of(tags: KindTags) -> tuple[str, ...]:
    """The names of what makes the view special, sorted; empty for a standard view."""
    found = set(read_view_position(tags.view_position).marks) | set(read_description(tags.series_description).marks)
    found |= {SPECIAL_TYPES.get(value, "") for value in _without_direction(tags.image_type)}
    found |= {_special_of_code(code) for code in (*tags.view_codes, *tags.modifier_codes)}
    found |= {name for word, name in PADDLES.items() if word in tags.paddle.upper()}
    if tags.magnification is not None and tags.magnification >= MAGNIFIED:
        found.add("magnification")
    if tags.names_specimen:
        found.add("specimen")
    return tuple(sorted(found - {""}))


def _kind_of_mammogram(tags: KindTags) -> tuple[ImageKind, tuple[str, ...]]:
    """A single gray frame of a mammography or radiography class."""
    if tags.sop_class in RADIOGRAPHY and tags.modality == "RG":
        return ImageKind.FILM, ()
    by_class, by_intent = tags.sop_class in PROCESSING, tags.intent == "FOR PROCESSING"
    if by_class or by_intent:
        odd = ("its SOP class and PresentationIntentType disagree",) if tags.intent and by_class != by_intent else ()
        return ImageKind.FOR_PROCESSING, odd
    derived = tags.image_type[:2] == ("DERIVED", "PRIMARY") and "POST_CONTRAST" not in tags.image_type
    if derived and tags.model.upper() == "FDR-3000AWS":  # whose mammograms are ORIGINAL
        return ImageKind.SYNTHETIC, ("taken for synthetic: an FDR-3000AWS calls it DERIVED",)
    if tags.sop_class in RADIOGRAPHY:
        return ImageKind.FFDM, ("stored as computed or digital radiography",)
    return ImageKind.FFDM, ()


def _is_film(tags: KindTags) -> bool:
    return tags.modality in ("MG", "RG") and (
        tags.conversion == "DF" or tags.series_description.strip().upper() == FULL_FILM_TEXT
    )


def _special_of_code(code: CodedTerm) -> str:
    meaning = "".join(re.findall("[a-z]+", code.meaning.lower()))
    by_meaning = "rolled" if meaning.startswith("rolled") else _BY_CODE.get(meaning, "")
    return _BY_CODE.get(code.value.strip()) or by_meaning


def _without_direction(values: tuple[str, ...]) -> set[str]:
    """PREFIRE_MINUS and PREFIRE_PLUS are PREFIRE."""
    return {re.sub("_(MINUS|PLUS)$", "", value) for value in values} | set(values)
