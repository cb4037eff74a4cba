"""Turn DICOM tags into records: what the object is, whose it is, and how its intensities are meant.

Only the tags of ALLOWED are read, and of free text only recognised words are passed on. A tag that cannot be read
counts as missing, and is named in the warnings.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from tilebank.imaging.dicom.kinds import KindTags, kind_of, special_of
from tilebank.imaging.dicom.laterality_view import CodedTerm, LateralityViewTags, read_laterality_view
from tilebank.imaging.dicom.manufacturers import manufacturer_of
from tilebank.imaging.intensity import IntensityRules, LookUpTable, look_up_table
from tilebank.terms import ImageHeader

ALLOWED = {  # what for: which tags, of the object and of the items of its sequences
    "whose it is": "SOPInstanceUID PatientID StudyInstanceUID AccessionNumber",
    "what it is": "SOPClassUID Modality PresentationIntentType ImageType SeriesDescription ConversionType"
    " BurnedInAnnotation NumberOfFrames Manufacturer ManufacturerModelName",
    "which breast": "ImageLaterality Laterality FrameLaterality FrameAnatomySequence ViewPosition ViewCodeSequence"
    " ViewModifierCodeSequence CodeValue CodeMeaning",
    "what is special": "PaddleDescription EstimatedRadiographicMagnificationFactor SpecimenDescriptionSequence"
    " ContainerIdentifier",
    "its frames": "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence FrameVOILUTSequence"
    " PixelMeasuresSequence PixelValueTransformationSequence",
    "its pixels": "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit"
    " PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit ImagerPixelSpacing PixelSpacing"
    " ExtendedOffsetTable ExtendedOffsetTableLengths",
    "its intensities": "RescaleSlope RescaleIntercept ModalityLUTSequence VOILUTSequence VOILUTFunction WindowCenter"
    " WindowWidth LUTDescriptor LUTData",
}
ALLOWED_TAGS = frozenset(" ".join(ALLOWED.values()).split())
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
LONGEST_TEXT = 64
UID = re.compile(r"[0-9.]{1,64}")
# Words that may stand in two coded tags; another one goes no further than that it is another one.
MODALITIES = frozenset(("MG", "RG", "DX", "CR", "OT", "SC", "US", "MR", "CT", "NM", "PT", "SR", "PR", "KO", "RF", "XA"))
PHOTOMETRICS = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
)
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Tags:
    """The allowed tags of a dataset (anything with `get(keyword)`), read so that a damaged one counts as missing.

    damage: what the dataset's library raises on a damaged value; anything else is a bug and should be seen as one.
    """

    def __init__(
        self, dataset: Any, *, damage: tuple[type[Exception], ...] = DAMAGE, little_endian: bool = True
    ) -> None:
        self._dataset = dataset
        self._damage = damage
        self.little_endian = little_endian
        self.unreadable: list[str] = []

    def value(self, tag: str) -> Any:
        """As the library gives it; None where missing, empty or damaged."""
        if tag not in ALLOWED_TAGS:
            raise KeyError(f"{tag} is not among the tags that may be read")
        try:
            value = self._dataset.get(tag)
        except self._damage:
            self.unreadable.append(tag)
            return None
        return None if value is None or value == "" else value

    def texts(self, tag: str) -> tuple[str, ...]:
        """Each value, stripped; none of a tag that holds anything but text and numbers."""
        value = self.value(tag)
        values = [] if value is None else [value] if isinstance(value, str | bytes | int | float) else list(value)
        if not all(isinstance(one, str | int | float) for one in values):
            self.unreadable.append(tag)
            return ()
        return tuple(str(one).strip(" \0\t\r\n") for one in values)

    def text(self, tag: str) -> str:
        """All values as one."""
        return "\\".join(self.texts(tag))

    def numbers(self, tag: str) -> tuple[float, ...]:
        """Each value as a float."""
        try:
            return tuple(float(text) for text in self.texts(tag) if text)
        except ValueError:
            self.unreadable.append(tag)
            return ()

    def whole(self, tag: str, default: int = 0) -> int:
        """The only value as an int."""
        values = self.numbers(tag)
        return int(values[0]) if len(values) == 1 and math.isfinite(values[0]) else default

    def items(self, tag: str) -> list["Tags"]:
        """The items of a sequence."""
        value = self.value(tag)
        if value is None or isinstance(value, str | bytes | int | float):
            return []
        try:
            return [self._of_item(item) for item in value]
        except self._damage:
            self.unreadable.append(tag)
            return []

    def _of_item(self, item: Any) -> "Tags":
        tags = Tags(item, damage=self._damage, little_endian=self.little_endian)
        tags.unreadable = self.unreadable
        return tags

    def functional(self, tag: str) -> list["Tags"]:
        """The items of a sequence in the functional groups that hold for the first frame."""
        groups = (
            *self.items("SharedFunctionalGroupsSequence")[:1],
            *self.items("PerFrameFunctionalGroupsSequence")[:1],
        )
        return [item for group in groups for item in group.items(tag)]


def describe_header(tags: Tags, *, sop_class: str, transfer_syntax: str, has_pixels: bool) -> ImageHeader:
    """The record of one header; never raises for its content."""
    identity = read_laterality_view(_identity_tags(tags))
    kind_tags = _kind_tags(tags, sop_class=sop_class, has_pixels=has_pixels)
    kind, odd = kind_of(kind_tags)
    windows, window_warnings = windows_of(tags)
    bits_stored = tags.whole("BitsStored")
    header = ImageHeader(
        sop_instance_uid=tags.text("SOPInstanceUID"),
        patient_id=tags.text("PatientID"),
        study_uid=tags.text("StudyInstanceUID"),
        accession_number=tags.text("AccessionNumber"),
        laterality=identity.laterality,
        laterality_from=identity.laterality_from,
        view=identity.view,
        view_from=identity.view_from,
        conflict=identity.conflict,
        kind=kind,
        special=special_of(kind_tags),
        sop_class=sop_class if UID.fullmatch(sop_class) else "",
        transfer_syntax=transfer_syntax if UID.fullmatch(transfer_syntax) else "",
        modality=_known(kind_tags.modality, MODALITIES),
        manufacturer=manufacturer_of(tags.text("Manufacturer")),
        photometric=_known(kind_tags.photometric, PHOTOMETRICS),
        rows=tags.whole("Rows"),
        columns=tags.whole("Columns"),
        frames=kind_tags.frames,
        samples=kind_tags.samples,
        bits_allocated=tags.whole("BitsAllocated"),
        bits_stored=bits_stored,
        high_bit=tags.whole("HighBit", bits_stored - 1),
        signed=tags.whole("PixelRepresentation") == 1,
        intensity=_intensity_of(tags, windows),
        windows=len(windows),
        spacing_mm=_spacing_of(tags),
        warnings=(*odd, *window_warnings),
    )
    unreadable = tuple(f"{tag} cannot be read" for tag in dict.fromkeys(tags.unreadable))  # all have been asked by now
    return replace(header, warnings=(*header.warnings, *unreadable))


def intensity_rules(tags: Tags, header: ImageHeader) -> tuple[IntensityRules, tuple[str, ...]]:
    """The file's intensity rules, and warnings about those that cannot be used.

    A Modality LUT that is broken leaves nothing that a window or VOI LUT could be applied to: both are left out.
    """
    windows, _ = windows_of(tags)
    rescale = [tags, *tags.functional("PixelValueTransformationSequence")]
    slope = next((value[0] for item in rescale if (value := item.numbers("RescaleSlope"))), 1.0)
    intercept = next((value[0] for item in rescale if (value := item.numbers("RescaleIntercept"))), 0.0)
    modality_lut, odd = _table_of(tags, "ModalityLUTSequence", signed=header.signed)
    below_zero = header.signed or intercept < 0 or slope < 0
    voi_lut, also_odd = _table_of(tags, "VOILUTSequence", signed=below_zero and modality_lut is None)
    rules = IntensityRules(
        slope=slope,
        intercept=intercept,
        modality_lut=modality_lut,
        voi_lut=None if odd else voi_lut,
        windows=() if odd else windows,
        function=_function_of(tags),
        inverted=header.photometric == "MONOCHROME1",
        bits_stored=header.bits_stored,
        signed=header.signed,
    )
    return rules, (*odd, *also_odd)


def windows_of(tags: Tags) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """(center, width) pairs in the file's order, the functional groups' where the object itself has none."""
    for item in (tags, *tags.functional("FrameVOILUTSequence")):
        centers, widths = item.numbers("WindowCenter"), item.numbers("WindowWidth")
        if len(centers) != len(widths):
            return (), (f"{len(centers)} window centers and {len(widths)} widths: not used",)
        if centers:
            return tuple(zip(centers, widths, strict=True)), ()
    return (), ()


def _known(text: str, words: frozenset[str]) -> str:
    return text if text in words or not text else "OTHER"


def _identity_tags(tags: Tags) -> LateralityViewTags:
    anatomy = tags.functional("FrameAnatomySequence")
    framed = (
        *tags.functional("ViewCodeSequence"),
        *(code for item in anatomy for code in item.items("ViewCodeSequence")),
    )
    return LateralityViewTags(
        image_laterality=tags.text("ImageLaterality"),
        laterality=tags.text("Laterality"),
        frame_laterality=tuple(item.text("FrameLaterality") for item in anatomy),
        view_position=tags.text("ViewPosition")[:LONGEST_TEXT],
        view_codes=_coded(tags.items("ViewCodeSequence")),
        frame_view_codes=_coded(framed),
        series_description=tags.text("SeriesDescription")[:LONGEST_TEXT],
    )


def _kind_tags(tags: Tags, *, sop_class: str, has_pixels: bool) -> KindTags:
    codes = (*tags.items("ViewCodeSequence"), *tags.functional("ViewCodeSequence"))
    modifiers = [code for view in codes for code in view.items("ViewModifierCodeSequence")]
    factor = tags.numbers("EstimatedRadiographicMagnificationFactor")
    return KindTags(
        sop_class=sop_class,
        modality=tags.text("Modality").upper(),
        has_pixels=has_pixels,
        intent=tags.text("PresentationIntentType").upper(),
        image_type=tuple(value.upper() for value in tags.texts("ImageType")),
        series_description=tags.text("SeriesDescription")[:LONGEST_TEXT],
        conversion=tags.text("ConversionType").upper(),
        burned_in=tags.text("BurnedInAnnotation").upper(),
        photometric=tags.text("PhotometricInterpretation").upper(),
        samples=tags.whole("SamplesPerPixel", 1),
        frames=max(1, tags.whole("NumberOfFrames", 1)),
        model=tags.text("ManufacturerModelName"),
        view_position=tags.text("ViewPosition")[:LONGEST_TEXT],
        paddle=tags.text("PaddleDescription"),
        magnification=factor[0] if factor else None,
        view_codes=_coded(codes),
        modifier_codes=_coded(modifiers),
        names_specimen=bool(tags.items("SpecimenDescriptionSequence") or tags.text("ContainerIdentifier")),
    )


def _coded(items: Iterable[Tags]) -> tuple[CodedTerm, ...]:
    return tuple(CodedTerm(item.text("CodeValue"), item.text("CodeMeaning")) for item in items)


def _function_of(tags: Tags) -> str:
    items = (tags, *tags.functional("FrameVOILUTSequence"))
    return next((text.upper()[:16] for item in items if (text := item.text("VOILUTFunction"))), "LINEAR")


def _intensity_of(tags: Tags, windows: Sequence[tuple[float, float]]) -> str:
    if tags.items("VOILUTSequence"):
        return "lut"
    function = _function_of(tags)
    return function.lower() if windows and function in FUNCTIONS else "none"


def _spacing_of(tags: Tags) -> tuple[float, float] | None:
    measures = [item.numbers("PixelSpacing") for item in tags.functional("PixelMeasuresSequence")]
    for spacing in (tags.numbers("ImagerPixelSpacing"), tags.numbers("PixelSpacing"), *measures):
        if len(spacing) == 2 and all(0 < value < math.inf for value in spacing):
            return spacing[0], spacing[1]
    return None


def _table_of(tags: Tags, tag: str, *, signed: bool) -> tuple[LookUpTable | None, tuple[str, ...]]:
    """The first table of a LUT sequence; None, and why, where it is broken."""
    items = tags.items(tag)
    if not items:
        return None, ()
    descriptor, data = [int(number) for number in items[0].numbers("LUTDescriptor")], items[0].value("LUTData")
    if isinstance(data, bytes) and not tags.little_endian:
        data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
    if data is None or isinstance(data, str):
        return None, (f"{tag} has no LUTData: not used",)
    try:
        signed = signed or (len(descriptor) == 3 and descriptor[1] < 0)
        return look_up_table(descriptor, [data] if isinstance(data, int) else data, signed=signed), ()
    except (TypeError, ValueError, OverflowError) as error:
        return None, (f"{tag} is not used: {error}",)
