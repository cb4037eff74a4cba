"""The phantom adapter against a study that its writer left, compared with what the DICOMs themselves hold."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from tilebank.datasets.contract import DatasetConfig, ScannedImage
from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.phantom import Phantom
from tilebank.errors import DatasetError


def config(root: Path) -> DatasetConfig:
    return DatasetConfig(name="phantom", adapter="phantom", root=str(root), licence="CC0-1.0", redistributable=True)


def never(uris: Iterable[str]) -> list[ScannedImage]:
    raise AssertionError("a phantom study needs no scan")


def test_the_manifest_names_the_images_that_the_files_hold(phantom_root: Path) -> None:
    manifest = Phantom(config(phantom_root)).read_manifest(never)
    assert len(manifest.images) == len(list(phantom_root.rglob("*.dcm"))) > 0
    for row in manifest.images[:8]:
        header = pydicom.dcmread(row.uri, stop_before_pixels=True)
        assert row.sop_instance_uid == row.image_id == header.SOPInstanceUID
        assert (row.patient_id, row.manufacturer) == (header.PatientID, header.Manufacturer)


def test_views_that_are_not_asked_for_are_filtered(phantom_root: Path) -> None:
    asked = replace(config(phantom_root), intake=IntakeConfig(views=("CC",)))
    whole, manifest = Phantom(config(phantom_root)).read_manifest(never), Phantom(asked).read_manifest(never)
    assert {row.view for row in manifest.images} == {"CC"}
    assert {(row.stage, row.error_class) for row in manifest.failures} == {("filter", "view-MLO")}
    assert len(manifest.images) + len(manifest.failures) == len(whole.images)


def test_findings_agree_with_the_breasts_counts_and_lie_in_their_images(phantom_root: Path) -> None:
    phantom = Phantom(config(phantom_root))
    findings, truth = phantom.read_findings(), phantom.read_truth()
    breast_of = {row.image_id: row.breast_id for row in phantom.read_manifest(never).images}
    # a lesion of a breast is drawn in both of its views
    for fact, category in (("masses", "mass"), ("calcifications", "calcification")):
        drawn = Counter(breast_of[found.image_id] for found in findings if found.categories == (category,))
        assert drawn == Counter({name: 2 * int(facts[fact]) for name, facts in truth.items() if facts[fact] != "0"})
    with (phantom_root / "images.csv").open() as table:
        sizes = {row["image_id"]: (int(row["columns"]), int(row["rows"])) for row in csv.DictReader(table)}
    for found in findings:
        columns, rows = sizes[found.image_id]
        assert 0 <= found.box.x < found.box.x + found.box.width <= columns
        assert 0 <= found.box.y < found.box.y + found.box.height <= rows


def test_what_is_no_phantom_study_or_a_broken_one_says_so(tmp_path: Path) -> None:
    phantom = Phantom(config(tmp_path))
    with pytest.raises(DatasetError, match=r"no phantom study at .*tilebank phantom"):
        phantom.read_manifest(never)
    with pytest.raises(DatasetError, match=r"cannot read the table .*findings.csv"):
        phantom.read_findings()
    (tmp_path / "findings.csv").write_text("image_id,kind,x,y,width,height\n1,mass,1.5,2,3,4\n")
    with pytest.raises(DatasetError, match="the box of a finding is not whole numbers"):
        phantom.read_findings()
