"""What a DICOM object is, by what it says of itself."""

from dataclasses import replace

import pytest

from tilebank.imaging.dicom.kinds import KindTags, kind_of, special_of
from tilebank.imaging.dicom.laterality_view import CodedTerm
from tilebank.terms import ImageKind

STORAGE = "1.2.840.10008.5.1.4.1.1."
MAMMOGRAM = KindTags(STORAGE + "1.2", modality="MG", intent="FOR PRESENTATION", image_type=("DERIVED", "PRIMARY"))
CAPTURE = KindTags(STORAGE + "7", modality="MG")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "ffdm"),
        ({"burned_in": "NO"}, "ffdm"),
        ({"burned_in": "YES"}, "ffdm"),  # real mammograms state it for their view marker
        ({"burned_in": "YES", "image_type": ("DERIVED", "SECONDARY")}, "screensave"),
        ({"has_pixels": False}, "not_an_image"),
        ({"sop_class": STORAGE + "1.2.1", "intent": "FOR PROCESSING"}, "for_processing"),
        ({"sop_class": STORAGE + "1.2.1", "intent": ""}, "for_processing"),
        ({"intent": "FOR PROCESSING"}, "for_processing"),
        ({"samples": 3, "photometric": "RGB"}, "screensave"),
        ({"photometric": "PALETTE COLOR"}, "screensave"),
        ({"frames": 60}, "tomosynthesis"),
        ({"image_type": ("DERIVED", "PRIMARY", "TOMO")}, "tomosynthesis"),
        ({"image_type": ("DERIVED", "PRIMARY", "TOMO", "GENERATED_2D")}, "synthetic"),
        ({"image_type": ("DERIVED", "PRIMARY", "TOMO_2D")}, "synthetic"),
        ({"series_description": "L CC C-View"}, "synthetic"),
        ({"series_description": "R MLO S-VIEW"}, "synthetic"),
        ({"series_description": "Insight 2D"}, "synthetic"),
        ({"series_description": "Intelligent 2D RCC"}, "synthetic"),
        ({"series_description": "synthesized"}, "synthetic"),
        ({"series_description": "LCC View"}, "ffdm"),
        ({"model": "fdr-3000aws"}, "synthetic"),
        ({"model": "fdr-3000aws", "image_type": ("ORIGINAL", "PRIMARY")}, "ffdm"),
        ({"sop_class": STORAGE + "13.1.3", "frames": 50}, "tomosynthesis"),
        ({"sop_class": STORAGE + "13.1.3", "image_type": ("DERIVED", "PRIMARY", "TOMO", "GENERATED_2D")}, "synthetic"),
        ({"sop_class": STORAGE + "13.1.4", "frames": 15}, "tomosynthesis"),
        ({"sop_class": STORAGE + "1"}, "ffdm"),
        ({"sop_class": STORAGE + "1.1"}, "ffdm"),
        ({"sop_class": STORAGE + "1.1.1"}, "for_processing"),
        ({"sop_class": STORAGE + "1", "modality": "RG"}, "film"),
        ({"sop_class": STORAGE + "1", "modality": "CR"}, "other"),
        ({"sop_class": STORAGE + "6.1", "samples": 3, "photometric": "RGB", "modality": "US"}, "other"),
        ({"sop_class": STORAGE + "88.67", "modality": "SR", "has_pixels": False}, "not_an_image"),
        ({"sop_class": STORAGE + "11.1", "modality": "PR", "has_pixels": False}, "not_an_image"),
    ],
)
def test_a_mammography_object_is_what_it_says(changes: dict[str, object], kind: str) -> None:
    assert kind_of(replace(MAMMOGRAM, **changes))[0] is ImageKind(kind)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "secondary_capture"),
        ({"conversion": "DF"}, "film"),
        ({"conversion": "WSD", "series_description": "full mammogram images"}, "film"),
        ({"conversion": "WSD", "series_description": "cropped images"}, "secondary_capture"),
        ({"conversion": "WSD", "series_description": "ROI mask images"}, "secondary_capture"),
        ({"conversion": "DF", "modality": "OT"}, "secondary_capture"),
        ({"burned_in": "YES"}, "screensave"),
        ({"samples": 3, "photometric": "RGB"}, "screensave"),
        ({"has_pixels": False}, "not_an_image"),  # Hologic's own projections
        ({"frames": 70}, "tomosynthesis"),
        ({"series_description": "L CC C-View"}, "synthetic"),
        ({"sop_class": STORAGE + "7.3", "conversion": "DF"}, "film"),
    ],
)
def test_a_secondary_capture_is_film_only_where_it_says_so(changes: dict[str, object], kind: str) -> None:
    assert kind_of(replace(CAPTURE, **changes))[0] is ImageKind(kind)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"burned_in": "YES"}, "burned-in"),
        ({"has_pixels": False}, "without pixel data"),
        ({"intent": "FOR PROCESSING"}, "disagree"),
        ({"sop_class": STORAGE + "1.2.1"}, "disagree"),
        ({"sop_class": STORAGE + "1"}, "computed"),
        ({"model": "FDR-3000AWS"}, "taken for synthetic"),
    ],
)
def test_what_is_odd_about_a_kind_is_said(changes: dict[str, object], says: str) -> None:
    warnings = kind_of(replace(MAMMOGRAM, **changes))[1]
    assert len(warnings) == 1
    assert says in warnings[0]
    assert kind_of(MAMMOGRAM)[1] == ()


@pytest.mark.parametrize(
    ("changes", "special"),
    [
        ({}, ()),
        ({"magnification": 1.073}, ()),
        ({"magnification": 1.8}, ("magnification",)),
        ({"paddle": "SPOT CONTACT"}, ("spot",)),
        ({"paddle": "9CM SPT MAG"}, ("magnification", "spot")),
        ({"paddle": "18X24CM CONTACT"}, ()),
        ({"paddle": "5X5 BIOPSY"}, ("stereotactic",)),
        ({"view_position": "MLOID"}, ("implant_displaced",)),
        ({"view_position": "SPOT"}, ("spot",)),
        ({"series_description": "R CC MAG"}, ("magnification",)),
        ({"series_description": "R CC ID"}, ("implant_displaced",)),
        ({"series_description": "R CC implant"}, ()),
        ({"image_type": ("DERIVED", "PRIMARY", "PREFIRE_MINUS")}, ("stereotactic",)),
        ({"image_type": ("DERIVED", "PRIMARY", "STEREO_SCOUT")}, ("stereotactic",)),
        ({"image_type": ("DERIVED", "PRIMARY", "", "SUBTRACTION")}, ("contrast",)),
        ({"view_codes": (CodedTerm("G-8310"),)}, ("specimen",)),
        ({"names_specimen": True}, ("specimen",)),
        ({"modifier_codes": (CodedTerm("R-102D7"), CodedTerm("399163009"))}, ("magnification", "spot")),
        ({"modifier_codes": (CodedTerm("399110001"),)}, ("tangential",)),
        ({"modifier_codes": (CodedTerm("R-40ABE"),)}, ("inframammary_fold",)),
        ({"modifier_codes": (CodedTerm("P2-00161"),)}, ("anterior_compression",)),
        ({"modifier_codes": (CodedTerm("399209000"),)}, ("implant_displaced",)),
        ({"modifier_codes": (CodedTerm("R-102D2"),)}, ("cleavage",)),
        ({"modifier_codes": (CodedTerm("399226006"),)}, ("rolled",)),
        ({"modifier_codes": (CodedTerm("R-102D1"),)}, ("axillary_tail",)),
        ({"modifier_codes": (CodedTerm("442580003"),)}, ("axillary_tissue",)),
        ({"modifier_codes": (CodedTerm("X", "Rolled Superior"),)}, ("rolled",)),
        ({"modifier_codes": (CodedTerm("X", "Spot Compression"),)}, ("spot",)),
        ({"modifier_codes": (CodedTerm("R-40AB3", "Nipple in profile"),)}, ()),  # a standard view, well positioned
    ],
)
def test_special_views_are_named(changes: dict[str, object], special: tuple[str, ...]) -> None:
    assert special_of(replace(MAMMOGRAM, **changes)) == special
