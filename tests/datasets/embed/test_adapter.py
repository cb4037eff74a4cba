"""The EMBED adapter on small replicas of the owner's two tables: which images, of which breasts, with which regions."""

import logging
from collections import Counter
from pathlib import Path

import pytest
from tests.datasets.embed.owner_tables import (
    BUCKET,
    EXAM,
    a_finding,
    adapter,
    an_image,
    no_scan,
    truth_of,
    write_clinical,
    write_metadata,
)

from tilebank.datasets.embed.findings import parse_regions
from tilebank.datasets.intake import IntakeConfig
from tilebank.errors import DatasetError
from tilebank.terms import Finding, ImageKind, TileBox


def test_paths_lose_the_owners_prefix_and_ids_stay_exact(tmp_path: Path) -> None:
    write_metadata(
        tmp_path,
        an_image("1.2.826.1"),
        an_image("1.2.826.2", anon_dicom_path="./images/cohort_1/66685715/1.2.3/1.2.4/1.2.826.2.dcm"),
        an_image("1.2.826.3", anon_dicom_path=f"{BUCKET}/7/1.2.3/1.2.4/1.2.826.3.dcm", ImageLateralityFinal="R"),
        an_image("1.2.826.4", empi_anon="66685715.0"),  # a patient who went through pandas
    )
    manifest = adapter(tmp_path).read_manifest(no_scan)
    below = [row.uri.removeprefix(f"{tmp_path}/images/") for row in manifest.images]
    assert below == [
        "cohort_1/66685715/1.2.3/1.2.4/1.2.826.1.dcm",
        "cohort_1/66685715/1.2.3/1.2.4/1.2.826.2.dcm",
        "cohort_2/7/1.2.3/1.2.4/1.2.826.3.dcm",
        "cohort_1/66685715/1.2.3/1.2.4/1.2.826.4.dcm",
    ]
    assert [row.image_id for row in manifest.images] == ["1.2.826.1", "1.2.826.2", "1.2.826.3", "1.2.826.4"]
    assert [row.breast_id for row in manifest.images] == [f"{EXAM}_L", f"{EXAM}_L", f"{EXAM}_R", f"{EXAM}_L"]
    assert {row.patient_id for row in manifest.images} == {"66685715"}
    assert manifest.images[0].manufacturer == "HOLOGIC, Inc."
    assert manifest.failures == ()


def test_kinds_special_views_and_blanks_are_filtered_or_refused_by_name(tmp_path: Path) -> None:
    write_metadata(
        tmp_path,
        an_image("a"),
        an_image("b", FinalImageType="cview"),
        an_image("c", FinalImageType="C-view"),
        an_image("d", FinalImageType="3D"),
        an_image("e", FinalImageType="ROI_SSC"),
        an_image("f", spot_mag="1.0"),
        an_image("g", spot_mag="0"),
        an_image("h", ViewPosition="XCCL"),
        an_image("i", ImageLateralityFinal=""),
        an_image("j", ImageLateralityFinal="nan"),
        an_image("k", ViewPosition="NaN"),
        an_image("l", acc_anon=""),
        an_image("m", anon_dicom_path="somewhere/else.dcm"),
        an_image("a"),
        an_image("n", FinalImageType="ULTRASOUND"),
    )
    manifest = adapter(tmp_path).read_manifest(no_scan)
    assert [row.image_id for row in manifest.images] == ["a", "g"]
    assert {row.image_id: (row.stage, row.error_class) for row in manifest.failures} == {
        "b": ("filter", "synthetic"),
        "c": ("filter", "synthetic"),
        "d": ("filter", "tomosynthesis"),
        "e": ("filter", "screensave"),
        "f": ("filter", "spot"),
        "h": ("filter", "view-XCCL"),
        "i": ("identify", "SideMissing"),
        "j": ("identify", "SideMissing"),
        "k": ("identify", "ViewMissing"),
        "l": ("identify", "MissingExam"),
        "line-14": ("identify", "MissingPath"),
        "line-15": ("identify", "DuplicateImage"),  # not under the id of the image that is kept
        "n": ("identify", "KindUnknown"),
    }
    wide = IntakeConfig(kinds=("ffdm", "synthetic"), views=(), special=("spot",))
    more = {row.image_id: row for row in adapter(tmp_path, wide).read_manifest(no_scan).images}
    assert sorted(more) == ["a", "b", "c", "f", "g", "h"]
    assert (more["b"].image_kind, more["f"].special) == (ImageKind.SYNTHETIC, ("spot",))


@pytest.mark.parametrize("spoilt", ["9.00719925474099E+15", "9007199254740992.0", "12.5", "1e5"])
def test_an_id_that_may_have_lost_digits_stops_the_reading(tmp_path: Path, spoilt: str) -> None:
    write_metadata(tmp_path, an_image("a", acc_anon=spoilt))
    with pytest.raises(DatasetError, match="acc_anon .* floating-point .* take the owner's own table"):
        adapter(tmp_path).read_manifest(no_scan)
    with pytest.raises(DatasetError, match="floating-point"):
        truth_of(tmp_path, a_finding(spoilt))


def test_regions_become_boxes_in_the_owners_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = "((1365, 272, 1610, 508),)", "(([1224, 172, 1457, 559],), ([1798, 972, 2108, 1300],))"
    write_metadata(
        tmp_path,
        an_image("none"),
        an_image("one", ROI_coords=one, num_roi="1.0", match_level="[1]"),
        an_image("two", ROI_coords=two, num_roi="2", match_level="[['1'], ['2']]", FinalImageType="cview"),
        an_image("past", ROI_coords="((3300, -4, 3400, 100),)", num_roi="1.0", match_level="[2]"),
        an_image("tiny", ROI_coords="((10, 10, 60, 2600),)", num_roi="1", match_level="[1]", Columns="", Rows=""),
        an_image("open", ROI_coords="((1365, 272, 1610, 508)", num_roi="1", match_level="[1]"),
        an_image("words", ROI_coords="((1365, 272, 1610),)", num_roi="1", match_level="[1]"),
        an_image("empty", ROI_coords="((1610, 272, 1365, 508),)", num_roi="1", match_level="[1]"),
        an_image("loose", ROI_coords=one, num_roi="2.0", match_level=""),
        an_image("wide", ROI_coords="((0, 2500, 9, 2600),)", num_roi="1", match_level="1"),
        an_image("saved", ROI_coords=one, num_roi="1", match_level="[1]", FinalImageType="ROI_SS"),
    )
    with caplog.at_level(logging.WARNING):
        findings = adapter(tmp_path).read_findings()
    assert list(findings) == [
        Finding("one", (), TileBox(x=272, y=1365, width=236, height=245)),
        Finding("two", (), TileBox(x=172, y=1224, width=387, height=233)),
        Finding("two", (), TileBox(x=972, y=1798, width=328, height=310), note="transferred"),
        Finding("past", (), TileBox(x=0, y=3300, width=100, height=28), note="transferred, clipped"),
        Finding("tiny", (), TileBox(x=10, y=10, width=2590, height=50)),  # no size in the table: nothing to clip by
        Finding("loose", (), TileBox(x=272, y=1365, width=236, height=245), note="match level unknown"),
        Finding("wide", (), TileBox(x=2500, y=0, width=60, height=9), note="clipped"),
    ]
    assert len(caplog.records) == 1, "one line says all"
    for said in (
        "2 cells left out",
        "1 regions left out",
        "2 regions clipped",
        "1 regions without a match level",
        "1 cells that hold another number of regions",
    ):
        assert said in caplog.text


@pytest.mark.parametrize("text", ["1365, 272", "((1, 2, 3, x),)", "__import__('os')", "((1, 2, 3),)", "((1, 2, 3, 4)"])
def test_text_that_is_no_list_of_regions_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no list of regions"):
        parse_regions(text)


def test_images_and_facts_meet_in_the_same_breasts(tmp_path: Path) -> None:
    # two exams: the first bilateral (4 images), the second a right diagnostic (1 image): 3 breasts with images
    write_metadata(
        tmp_path,
        *(
            an_image(f"{side}{view}", ImageLateralityFinal=side, ViewPosition=view)
            for side in "LR"
            for view in ("CC", "MLO")
        ),
        an_image("d", acc_anon="9007199254740995", ImageLateralityFinal="R"),
    )
    write_clinical(
        tmp_path,
        a_finding(EXAM, side="L", asses="A", numfind="1"),
        a_finding(EXAM, side="L", asses="A", numfind="2"),  # two findings do not double the images
        a_finding("9007199254740995", side="R", asses="B", desc="MG Diagnostic Right w/CAD"),
    )
    dataset = adapter(tmp_path)
    images = dataset.read_manifest(no_scan).images
    assert Counter(row.breast_id for row in images) == {f"{EXAM}_L": 2, f"{EXAM}_R": 2, "9007199254740995_R": 1}
    assert {row.breast_id for row in images} == dataset.read_truth().keys()


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    dataset = adapter(tmp_path)
    for read in (lambda: dataset.read_manifest(no_scan), dataset.read_truth, dataset.read_findings):
        with pytest.raises(DatasetError, match="cannot read the table .*EMBED_OpenData_"):
            read()
    image = an_image("a")
    del image["ViewPosition"]
    write_metadata(tmp_path, image)
    with pytest.raises(DatasetError, match="has no column ViewPosition; it has"):
        dataset.read_manifest(no_scan)
    finding = a_finding("1")
    del finding["asses"]
    write_clinical(tmp_path, finding)
    with pytest.raises(DatasetError, match="has no column asses"):
        dataset.read_truth()
    (tmp_path / "tables" / "EMBED_OpenData_metadata.csv").write_text(",".join(an_image("a")) + "\n")
    with pytest.raises(DatasetError, match="names no image"):
        dataset.read_manifest(no_scan)
