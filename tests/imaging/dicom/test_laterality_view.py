"""Which breast and which view, from the header's several places."""

import pytest

from tilebank.imaging.dicom.laterality_view import (
    CodedTerm,
    LateralityViewTags,
    read_description,
    read_laterality_view,
    read_view_position,
    view_of_code,
)


@pytest.mark.parametrize(
    ("tags", "side", "said_by"),
    [
        (LateralityViewTags(image_laterality="L", laterality="L"), "L", "ImageLaterality"),
        (LateralityViewTags(laterality="R"), "R", "Laterality"),
        (LateralityViewTags(image_laterality="B", laterality="R"), "R", "Laterality"),
        (LateralityViewTags(image_laterality="", frame_laterality=("R", "R")), "R", "FrameLaterality"),
        (LateralityViewTags(view_position="RIGHT MLO"), "R", "ViewPosition"),
        (LateralityViewTags(series_description="L CC C-View"), "L", "SeriesDescription"),
        (LateralityViewTags(image_laterality="left"), "L", "ImageLaterality"),
        (LateralityViewTags(image_laterality="B"), "", ""),
        (LateralityViewTags(image_laterality="U", series_description="BILATERAL"), "", ""),
    ],
)
def test_side_is_taken_from_the_first_tag_that_names_one(tags: LateralityViewTags, side: str, said_by: str) -> None:
    found = read_laterality_view(tags)
    assert (found.laterality, found.laterality_from, found.conflict) == (side, said_by, "")


@pytest.mark.parametrize(
    ("tags", "view", "said_by"),
    [
        (LateralityViewTags(view_position="mlo "), "MLO", "ViewPosition"),
        (LateralityViewTags(view_codes=(CodedTerm("R-10242"),)), "CC", "ViewCodeSequence"),
        (LateralityViewTags(view_position="SPOT", view_codes=(CodedTerm("399368009"),)), "MLO", "ViewCodeSequence"),
        (
            LateralityViewTags(frame_view_codes=(CodedTerm("R-10226"),)),
            "MLO",
            "ViewCodeSequence of the functional groups",
        ),
        (LateralityViewTags(series_description="ROUTINE LMLO"), "MLO", "SeriesDescription"),
        (LateralityViewTags(view_position="FLATFIELD"), "FLATFIELD", "ViewPosition"),
        (LateralityViewTags(view_codes=(CodedTerm("T-04000", "breast"),)), "", ""),
    ],
)
def test_view_is_taken_from_the_first_tag_that_names_one(tags: LateralityViewTags, view: str, said_by: str) -> None:
    found = read_laterality_view(tags)
    assert (found.view, found.view_from, found.conflict) == (view, said_by, "")


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (LateralityViewTags(image_laterality="L", laterality="R"), "ImageLaterality says L, Laterality says R"),
        (LateralityViewTags(image_laterality="L", view_position="RMLO"), "ImageLaterality says L, ViewPosition says R"),
        (
            LateralityViewTags(laterality="R", series_description="L CC"),
            "Laterality says R, SeriesDescription says L",
        ),
        (LateralityViewTags(frame_laterality=("L", "R")), "FrameLaterality says L, FrameLaterality says R"),
        (
            LateralityViewTags(view_position="CC", view_codes=(CodedTerm("R-10226"),)),
            "ViewPosition says CC, ViewCodeSequence says MLO",
        ),
        (
            LateralityViewTags(view_position="CC", view_codes=(CodedTerm("399192008"),)),
            "ViewPosition says CC, ViewCodeSequence says XCCL",
        ),
        (
            LateralityViewTags(view_position="XCC", view_codes=(CodedTerm("R-1024A"),), series_description="L XCCM"),
            "ViewCodeSequence says XCCL, SeriesDescription says XCCM",
        ),
    ],
)
def test_tags_that_disagree_are_a_conflict_that_names_both(tags: LateralityViewTags, sentence: str) -> None:
    assert read_laterality_view(tags).conflict == sentence


@pytest.mark.parametrize(
    ("position", "code", "view"),
    [("AT", "R-10226", "AT"), ("XCC", "R-1024B", "XCCM"), ("XCCL", "R-102CF", "XCCL"), ("TAN", "R-10224", "TAN")],
)
def test_a_general_and_an_exact_name_of_one_view_agree(position: str, code: str, view: str) -> None:
    found = read_laterality_view(LateralityViewTags(view_position=position, view_codes=(CodedTerm(code),)))
    assert (found.view, found.conflict) == (view, "")


@pytest.mark.parametrize(
    ("codes", "view"),
    [
        (("R-10242", "399162004"), "CC"),
        (("R-10226", "399368009"), "MLO"),
        (("R-10224", "399260004"), "ML"),
        (("R-10228", "399352003"), "LM"),
        (("R-10230", "399099002"), "LMO"),
        (("R-10244", "399196006"), "FB"),
        (("R-102D0", "399188001"), "SIO"),
        (("R-40AAA", "441555000"), "ISO"),
        (("R-102CF", "399265009"), "XCC"),
        (("R-1024A", "399192008", "Y-X1770"), "XCCL"),
        (("R-1024B", "399101009", "Y-X1771"), "XCCM"),
    ],
)
def test_codes_of_both_schemes_are_known(codes: tuple[str, ...], view: str) -> None:
    assert {view_of_code(CodedTerm(code)) for code in codes} == {view}


@pytest.mark.parametrize(
    ("meaning", "view"),
    [
        ("cranio-caudal", "CC"),
        ("medio-lateral oblique", "MLO"),
        ("Medial-lateral", "ML"),
        ("caudo-cranial (from below)", "FB"),
        ("cranio-caudal exaggerated laterally", "XCCL"),
        ("posterior", ""),
    ],
)
def test_a_meaning_speaks_where_the_code_is_unknown(meaning: str, view: str) -> None:
    assert view_of_code(CodedTerm("99-LOCAL", meaning)) == view


@pytest.mark.parametrize(
    ("text", "side", "view", "marks"),
    [
        ("LCC", "L", "CC", ()),
        ("R CC", "R", "CC", ()),
        ("LEFT MLO", "L", "MLO", ()),
        ("LM", "", "LM", ()),
        ("LMO", "", "LMO", ()),
        ("LMLO", "L", "MLO", ()),
        ("RML", "R", "ML", ()),
        ("MLOID", "", "MLO", ("implant_displaced",)),
        ("CCID", "", "CC", ("implant_displaced",)),
        ("RCCRL", "R", "CC", ("rolled",)),
        ("LMCC", "L", "CC", ("magnification",)),
        ("MAG", "", "", ("magnification",)),
        ("MLO SPOT", "", "MLO", ("spot",)),
        ("XCC-L", "", "XCCL", ()),
        ("Medio-Lateral Oblique", "", "MLO", ()),
        ("LAT", "", "LAT", ()),
        ("CC MLO", "", "OTHER", ()),
        ("MUSTERFRAU ERIKA", "", "OTHER", ()),
        ("MUSTERFRAU L CC", "L", "CC", ()),
        ("MUSTERFRAU CC MLO", "", "OTHER", ()),
        ("MLO ID", "", "MLO", ("implant_displaced",)),
        ("CC IMPLANT DISPLACED", "", "CC", ("implant_displaced",)),
        ("CC IMPLANT", "", "CC", ()),
        ("ID CC", "", "CC", ()),
    ],
)
def test_view_position_is_read_as_people_fill_it_in(text: str, side: str, view: str, marks: tuple[str, ...]) -> None:
    found = read_view_position(text)
    assert (found.side, found.view, found.marks) == (side, view, marks)


@pytest.mark.parametrize(
    ("text", "side", "view"),
    [
        ("R MLO Tomosynthesis", "R", "MLO"),
        ("LEFT DIAGNOSTIC", "L", ""),
        ("L ML", "L", "ML"),
        ("R/O MASS", "", ""),
        ("IMPLANTS 300 CC LEFT", "L", ""),
        ("CONTRAST 5 ML", "", ""),
        ("SPOT AT 3 O'CLOCK", "", ""),
        ("R CC, L CC", "", "CC"),
        ("CC AND MLO", "", ""),
        ("SCREENING BILATERAL", "", ""),
        ("LAT", "", ""),
    ],
)
def test_a_free_text_speaks_only_where_it_names_one_thing(text: str, side: str, view: str) -> None:
    found = read_description(text)
    assert (found.side, found.view) == (side, view)


def test_a_free_text_marks_a_special_view_only_when_it_names_a_view() -> None:
    assert read_description("L CC SPOT MAG").marks == ("magnification", "spot")
    assert read_description("DIAGNOSTIC SPOT SERIES").marks == ()


@pytest.mark.parametrize(
    ("text", "displaced"),
    [
        ("R CC ID", True),
        ("LMLOID", True),
        ("L CC IMPLANT DISPLACED", True),
        ("L CC implant displacement", True),
        ("L CC displaced implant", True),
        ("L CC implant", False),
        ("MAMMO ID L CC", False),
        ("L CC IMPLANT NON-DISPLACED", False),
        ("L CC displaced clip", False),
    ],
)
def test_an_implant_is_displaced_only_where_the_text_says_so(text: str, displaced: bool) -> None:
    assert read_description(text).marks == (("implant_displaced",) if displaced else ())


def test_a_conflict_quotes_no_free_text() -> None:
    tags = LateralityViewTags(view_position="MUSTERFRAU ERIKA", view_codes=(CodedTerm("R-10226"),))
    assert read_laterality_view(tags).conflict == "ViewPosition says OTHER, ViewCodeSequence says MLO"
