"""The VinDr-Mammo adapter on small replicas of the owner's tables, quirks included; counts are worked out by hand."""

import csv
import logging
from pathlib import Path

import pytest

from tilebank.datasets.contract import DatasetConfig
from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.vindr.adapter import RULES, Vindr
from tilebank.errors import DatasetError
from tilebank.terms import Finding, TileBox

STUDY, OTHER = "dbca9d28baa3207b3187c07d07dc81be", "0025a5dc99fd5c742026f0b2b030d3e9"
Rows = list[dict[str, str]]


def adapter(root: Path, intake: IntakeConfig | None = None) -> Vindr:
    return Vindr(
        DatasetConfig(
            name="vindr",
            adapter="vindr",
            root=str(root),
            licence="restricted",
            redistributable=False,
            intake=intake or IntakeConfig(),
        )
    )


def an_image(image_id: str, side: str, view: str, **cells: str) -> dict[str, str]:
    usual = {
        "study_id": STUDY,
        "series_id": "b36517b9cbbcfd286a7ae04f643af97a",
        "image_id": image_id,
        "laterality": side,
        "view_position": view,
        "height": "3518",
        "width": "2800",
        "breast_birads": "BI-RADS 2",
        "breast_density": "DENSITY C",
        "split": "training",
    }
    return usual | cells


def a_finding(image_id: str, categories: str, *corners: str, birads: str = "BI-RADS 4") -> dict[str, str]:
    usual = an_image(image_id, "L", "CC") | {"finding_categories": categories, "finding_birads": birads}
    return usual | dict(zip(("xmin", "ymin", "xmax", "ymax"), corners or ("", "", "", ""), strict=True))


# two studies, four breasts: the left one of the second has two CC views and no MLO
IMAGES = [
    an_image("l1", "L", "CC", breast_birads="BI-RADS 5"),
    an_image("l2", "L", "MLO", breast_birads="BI-RADS 5"),
    an_image("r1", "R", "CC"),
    an_image("r2", "R", "MLO"),
    an_image("s1", "L", "CC", study_id=OTHER, split="test", breast_density="DENSITY A"),
    an_image("s2", "L", "CC", study_id=OTHER, split="test", breast_density="DENSITY A"),
    an_image("s3", "R", "CC", study_id=OTHER, split="test", height="2812", width="2012"),
    an_image("s4", "R", "MLO", study_id=OTHER, split="test", height="2812", width="2012"),
]
# left breast of the first study: masses on l1, l2 and l2 = 3 findings; calcifications on l2 = 1; distortions 1
FINDINGS = [
    a_finding("l1", "['Mass']", "100.25", "200.5", "300.75", "400.5", birads="BI-RADS 5"),
    a_finding("l2", "['Suspicious Calcification', 'Mass']", "-12.5", "3000", "90.2", "3518"),
    a_finding("l2", "['Mass', 'Architectural Distortion', 'Asymmetry', 'Focal Asymmetry']", "10", "20", "2800.4", "50"),
    a_finding("r1", "['Suspicious Lymph Node']", "1", "3000.5", "60", "3519.1", birads=""),
    a_finding("r2", "['No Finding']", birads=""),
    a_finding("s3", "['Nipple Retraction', \"Skin Thickening\"]", "2000", "2700", "2012", "2812", birads=""),
]


def write(root: Path, images: Rows | None = None, findings: Rows | None = None) -> Vindr:
    for name, rows in (("breast-level", images or IMAGES), ("finding", findings or FINDINGS)):
        with (root / f"{name}_annotations.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return adapter(root)


def no_scan(uris: object) -> list[object]:
    raise AssertionError("the tables say all; no header is to be read")


def test_every_image_is_placed_in_its_breast(tmp_path: Path) -> None:
    manifest = write(tmp_path).read_manifest(no_scan)
    assert manifest.failures == ()
    assert len(manifest.images) == 8
    assert {row.breast_id for row in manifest.images} == {
        f"{study}_{side}" for study in (STUDY, OTHER) for side in "LR"
    }
    first = manifest.images[0]
    assert first.uri == f"{tmp_path}/images/{STUDY}/l1.dicom"
    assert (first.patient_id, first.exam_id) == (STUDY, STUDY), "the dataset names no patients"
    assert [row.view for row in manifest.images if row.breast_id == f"{OTHER}_L"] == ["CC", "CC"]


def test_header_dump_gives_makers_ages_and_the_ids_to_check(tmp_path: Path) -> None:
    dataset = write(tmp_path)
    assert {row.sop_instance_uid for row in dataset.read_manifest(no_scan).images} == {""}
    (tmp_path / "metadata.csv").write_text(  # the owner's table has the first column twice
        "SOP Instance UID,Series Instance UID,SOP Instance UID,Patient's Age,Manufacturer\n"
        "l1,1,l1,053Y,SIEMENS\nl2,1,l2,053Y,SIEMENS\nr1,1,r1,,IMS GIOTTO S.p.A.\nr2,1,r2,,\n"
    )
    images = {row.image_id: row for row in dataset.read_manifest(no_scan).images}
    assert (images["l1"].sop_instance_uid, images["l1"].manufacturer) == ("l1", "SIEMENS")
    assert (images["s1"].sop_instance_uid, images["s1"].manufacturer) == ("", "")
    truth = dataset.read_truth()
    assert truth[f"{STUDY}_L"]["age"] == "53"
    assert truth[f"{STUDY}_R"]["age"] == ""


def test_views_are_filtered_and_unplaced_images_refused_by_name(tmp_path: Path) -> None:
    images = [*IMAGES, an_image("l1", "L", "CC"), an_image("x", "", "CC"), an_image("y", "L", "")]
    manifest = write(tmp_path, images).read_manifest(no_scan)
    assert {row.image_id: row.error_class for row in manifest.failures} == {
        "line-10": "DuplicateImage",
        "x": "SideMissing",
        "y": "ViewMissing",
    }
    filtered = adapter(tmp_path, IntakeConfig(views=("CC",))).read_manifest(no_scan)
    assert [row.image_id for row in filtered.images] == ["l1", "r1", "s1", "s2", "s3"]
    assert {row.error_class for row in filtered.failures if row.stage == "filter"} == {"view-MLO"}


def test_facts_are_those_of_the_breast(tmp_path: Path) -> None:
    truth = write(tmp_path).read_truth()
    assert len(truth) == 4
    left = dict(truth[f"{STUDY}_L"])
    assert left == {
        "birads": "5",
        "density": "C",
        "split": "train",
        "age": "",
        "masses": "3",
        "calcifications": "1",
        "asymmetries": "1",  # Asymmetry and Focal Asymmetry of one box are one finding
        "distortions": "1",
    }
    assert left.keys() == RULES.keys()
    other = truth[f"{OTHER}_L"]
    assert (other["birads"], other["density"], other["split"], other["masses"]) == ("2", "A", "test", "0")


def test_boxes_are_whole_pixels_within_the_image_and_clipping_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = write(tmp_path)
    with caplog.at_level(logging.WARNING):
        findings = dataset.read_findings()
    assert list(findings) == [
        Finding("l1", ("mass",), TileBox(x=100, y=200, width=201, height=201), birads="5"),
        # from -12.5: begins at 0; the image is 2800 x 3518, so an end at 3518 is inside: clipped by height, not width
        Finding("l2", ("calcification", "mass"), TileBox(x=0, y=3000, width=91, height=518), "4", "clipped"),
        Finding("l2", ("mass", "distortion", "asymmetry"), TileBox(x=10, y=20, width=2790, height=30), "4", "clipped"),
        Finding("r1", ("Suspicious Lymph Node",), TileBox(x=1, y=3000, width=59, height=518), "", "clipped"),
        Finding("s3", ("Nipple Retraction", "Skin Thickening"), TileBox(x=2000, y=2700, width=12, height=112)),
    ]
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == ["3 boxes clipped to the image"]


def test_a_finding_without_a_usable_box_is_counted_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    findings = [a_finding("l1", "['Mass']"), a_finding("l2", "['Mass']", "2800", "0", "2810", "9")]
    dataset = write(tmp_path, findings=findings)
    assert list(dataset.read_findings()) == []
    assert "1 findings left out: no box" in caplog.text
    assert "1 findings left out: no part of the box is inside the image" in caplog.text
    assert dataset.read_truth()[f"{STUDY}_L"]["masses"] == "2", "the breast has the masses all the same"


@pytest.mark.parametrize(
    ("image", "finding", "message"),
    [
        ({"breast_birads": "4"}, {}, "breast_birads of image l1 is '4', not BI-RADS"),
        ({"breast_density": ""}, {}, "breast_density of image l1 is ''"),
        ({"split": "val"}, {}, "image l1 is in split 'val'"),
        ({"laterality": "B"}, {}, "image l1 has laterality 'B', not L or R"),
        ({"breast_birads": "BI-RADS 4"}, {}, f"two different things about breast {STUDY}_L"),
        ({"study_id": ""}, {}, "line 2 names no study"),
        ({"width": "wide"}, {}, "width of image l1 is 'wide'"),
        ({}, {"image_id": "zz"}, "names 1 images that breast-level_annotations.csv lacks, such as 'zz'"),
        ({}, {"finding_categories": "Mass"}, "finding_categories of image l1 is 'Mass', not a list"),
        ({}, {"xmin": "left"}, "the box of image l1 has the corners left, 200.5"),
        ({}, {"xmin": "nan"}, "the box of image l1 has the corners nan"),
        ({}, {"finding_birads": "high"}, "finding_birads of image l1 is 'high'"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    tmp_path: Path, image: dict[str, str], finding: dict[str, str], message: str
) -> None:
    dataset = write(tmp_path, [IMAGES[0] | image, *IMAGES[1:]], [FINDINGS[0] | finding, *FINDINGS[1:]])
    with pytest.raises(DatasetError, match=message):
        [dataset.read_truth(), dataset.read_findings()]


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot read the table .*breast-level_annotations.csv"):
        adapter(tmp_path).read_manifest(no_scan)
    dataset = write(tmp_path, [{name: cell for name, cell in row.items() if name != "split"} for row in IMAGES])
    with pytest.raises(DatasetError, match="has no column split; it has study_id"):
        dataset.read_manifest(no_scan)
    write(tmp_path)
    (tmp_path / "finding_annotations.csv").unlink()
    assert len(dataset.read_manifest(no_scan).images) == 8, "the manifest does not need the findings"
    with pytest.raises(DatasetError, match="cannot read the table .*finding_annotations.csv"):
        dataset.read_truth()
