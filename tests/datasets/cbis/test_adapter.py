"""The CBIS-DDSM adapter finds each mammogram's file, however the folders are laid out."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.datasets.cbis.owner_tables import MAMMOGRAMS, cbis_at, scan_nothing, tcia_file, touch, touch_all_as_tcia, uid
from tests.headers import HEADER

from tilebank.datasets.contract import Manifest, ScannedImage
from tilebank.datasets.intake import IntakeConfig
from tilebank.terms import FailureRow, ImageHeader, ImageKind, Laterality


@pytest.fixture
def film_header() -> ImageHeader:
    """What a file of CBIS-DDSM says: a Secondary Capture that names neither side nor view."""
    return replace(
        HEADER,
        sop_instance_uid="1.1",
        patient_id="Mass-Test_P_3_LEFT_CC",
        study_uid="",
        accession_number="",
        laterality="",
        laterality_from="",
        view="",
        view_from="",
        kind=ImageKind.FILM,
        sop_class="1.2.840.10008.5.1.4.1.1.7",
        manufacturer="",
        rows=4616,
        columns=3016,
        bits_stored=16,
        high_bit=15,
        intensity="none",
        windows=0,
    )


def places_of(manifest: Manifest, root: Path) -> dict[str, str]:
    return {str(Path(row.uri).relative_to(root)): row.breast_id for row in manifest.images}


def test_each_mammogram_is_found_once_in_the_folders_of_tcia(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    manifest = cbis_at(tmp_path).read_manifest(scan_nothing)
    assert places_of(manifest, tmp_path) == {
        tcia_file("Mass-Training_P_1_LEFT_CC", 10): "P_1_L",
        tcia_file("Mass-Training_P_1_LEFT_MLO", 20): "P_1_L",
        tcia_file("Mass-Training_P_2_RIGHT_CC", 30): "P_2_R",
        tcia_file("Mass-Test_P_3_LEFT_CC", 40): "P_3_L",
        tcia_file("Calc-Training_P_1_RIGHT_MLO", 50): "P_1_R",
        tcia_file("Calc-Test_P_2_RIGHT_CC", 60): "P_2_R",  # the same film in the other collection: another image
    }
    assert manifest.failures == ()
    first = manifest.images[0]
    assert (first.image_id, first.patient_id, first.exam_id) == (uid(50_010), "P_1", "P_1")
    assert (first.laterality, first.view, first.image_kind) == (Laterality.L, "CC", ImageKind.FILM)


@pytest.mark.parametrize("folder", ["{case}/{study}/{series}/000000.dcm", "cbis_ddsm/x/{study}/MG_{series}/7f3a.dcm"])
def test_a_folder_named_by_the_series_is_found_in_any_layout(tmp_path: Path, folder: str) -> None:
    names = [
        folder.format(case=case, study=uid(study), series=uid(study + 50_000)) for case, study in MAMMOGRAMS.items()
    ]
    touch(tmp_path, *names)
    assert set(places_of(cbis_at(tmp_path).read_manifest(scan_nothing), tmp_path)) == set(names)


def test_of_several_files_in_a_case_the_series_tells_the_mammogram(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    touch(tmp_path, tcia_file("Mass-Test_P_3_LEFT_CC", 41, series=42, what="ROI mask images"))
    places = places_of(cbis_at(tmp_path).read_manifest(scan_nothing), tmp_path)
    assert tcia_file("Mass-Test_P_3_LEFT_CC", 40) in places
    assert tcia_file("Mass-Test_P_3_LEFT_CC", 41, series=42, what="ROI mask images") not in places


def test_files_without_telling_folders_are_found_by_the_study_in_their_headers(
    tmp_path: Path, film_header: ImageHeader
) -> None:
    touch_all_as_tcia(tmp_path)
    moved = tmp_path / tcia_file("Mass-Test_P_3_LEFT_CC", 40)
    moved.rename(tmp_path / "loose.dcm")
    touch(tmp_path, "other.dcm", "broken.dcm")
    scanned: list[str] = []

    def scan(uris: Sequence[str]) -> Iterable[ScannedImage | FailureRow]:
        scanned.extend(Path(uri).name for uri in uris)
        yield ScannedImage(f"{tmp_path}/other.dcm", replace(film_header, study_uid=uid(41)))
        yield ScannedImage(f"{tmp_path}/loose.dcm", replace(film_header, study_uid=uid(40)))
        yield FailureRow("file-1", f"{tmp_path}/broken.dcm", "read", "NotDicom", "not DICOM")

    places = places_of(cbis_at(tmp_path).read_manifest(scan), tmp_path)
    assert places["loose.dcm"] == "P_3_L"
    assert len(places) == 6
    assert sorted(scanned) == ["broken.dcm", "loose.dcm", "other.dcm"]  # known crops and masks are left alone


def test_a_mammogram_without_its_file_or_with_two_is_a_failure_and_the_rest_go_on(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    (tmp_path / tcia_file("Mass-Test_P_3_LEFT_CC", 40)).unlink()
    touch(tmp_path, tcia_file("Calc-Test_P_2_RIGHT_CC", 60).replace("1-1.dcm", "1-2.dcm"))
    manifest = cbis_at(tmp_path).read_manifest(scan_nothing)
    failures = {row.image_id: (row.stage, row.error_class) for row in manifest.failures}
    assert failures == {uid(50_040): ("read", "MissingFile"), uid(50_060): ("identify", "AmbiguousFile")}
    assert not [row.reason for row in manifest.failures if "P_2" in row.reason or "P_3" in row.reason]  # no patient
    assert len(manifest.images) == 4


def test_film_is_filtered_when_it_is_not_asked_for(tmp_path: Path) -> None:
    touch_all_as_tcia(tmp_path)
    manifest = cbis_at(tmp_path, intake=IntakeConfig()).read_manifest(scan_nothing)
    assert manifest.images == ()
    assert {(row.stage, row.error_class) for row in manifest.failures} == {("filter", "film")}
