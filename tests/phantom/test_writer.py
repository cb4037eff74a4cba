"""The phantom study: its bytes, its headers, its truth, and whether its pictures behave like mammograms."""

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_voi_lut

from tilebank.errors import ConfigError, DatasetError
from tilebank.phantom.anatomy import VIEWS, grid_of, muscle_depth_mm, nipple_mm, skin_depth_mm
from tilebank.phantom.findings import centre_mm, reach_mm
from tilebank.phantom.plan import PhantomBreast
from tilebank.phantom.vendors import VENDORS
from tilebank.phantom.view import render_view
from tilebank.phantom.writer import PhantomConfig, PhantomExam, plan_exams, write_exam, write_phantoms

SMALL = PhantomConfig(patients=5, rows=512, columns=384, seed=1, birads_weights=(0.2, 0.3, 0.25, 0.25))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom")
    write_phantoms(str(root), SMALL, processes=1)
    return root


def _table(root: Path, name: str) -> list[dict[str, str]]:
    with (root / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _breasts(config: PhantomConfig) -> list[tuple[PhantomExam, PhantomBreast]]:
    return [(exam, breast) for exam in plan_exams(config) for breast in exam.breasts]


def _displayed(pixels: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """As a viewer shows it, 0 black to 1 white."""
    shown = apply_voi_lut(pixels, header, index=0) / 4095
    return 1 - shown if header.PhotometricInterpretation == "MONOCHROME1" else shown


def _shown(exam: PhantomExam, breast: PhantomBreast, view: str, config: PhantomConfig) -> np.ndarray:
    """The display of a rendered view, through the window that its vendor states."""
    vendor, header = VENDORS[exam.vendor], pydicom.Dataset()
    header.PhotometricInterpretation, header.VOILUTFunction = vendor.photometric, vendor.voi_function or "LINEAR"
    header.WindowCenter, header.WindowWidth = vendor.stated_windows()[0]
    header.BitsAllocated, header.BitsStored, header.PixelRepresentation = 16, 12, 0
    return _displayed(render_view(exam, breast, view=view, config=config).pixels, header)


def test_same_config_gives_same_bytes_in_one_and_in_two_processes(study, tmp_path):
    write_phantoms(str(tmp_path), SMALL, processes=2)
    assert _files(tmp_path) == _files(study)


def test_exam_does_not_depend_on_the_rest_of_the_study(study, tmp_path):
    lone = replace(SMALL, patients=2)
    exam = plan_exams(lone)[-1]
    write_exam(str(tmp_path), exam, lone)
    written = _files(tmp_path)
    assert len(written) == 4
    assert written == {name: content for name, content in _files(study).items() if name in written}


def test_another_seed_gives_another_study(study, tmp_path):
    other = replace(SMALL, seed=6, patients=1)
    write_phantoms(str(tmp_path), other, processes=1)
    name = "PH-0001/PH-0001-1/PH-0001-1_L_CC.dcm"
    mine, theirs = pydicom.dcmread(study / name), pydicom.dcmread(tmp_path / name)
    assert mine.SOPInstanceUID != theirs.SOPInstanceUID
    assert not np.array_equal(mine.pixel_array, theirs.pixel_array)


def test_headers_are_those_of_mammograms_for_presentation(study):
    seen = set()
    for row in _table(study, "images.csv"):
        image = pydicom.dcmread(study / row["file"])
        assert image.SOPClassUID == image.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.2"
        assert (image.Modality, image.PresentationIntentType, image.BurnedInAnnotation) == (
            "MG",
            "FOR PRESENTATION",
            "NO",
        )
        assert (image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation) == (16, 12, 11, 0)
        assert (image.PatientID, image.AccessionNumber) == (row["patient_id"], row["exam_id"])
        assert (image.ImageLaterality, image.ViewPosition) == (row["laterality"], row["view"])
        code = {"CC": "399162004", "MLO": "399368009"}[row["view"]]
        assert image.ViewCodeSequence[0].CodeValue == code
        assert image.ViewCodeSequence[0].CodingSchemeDesignator == "SCT"
        assert image.PatientOrientation[0] == {"L": "A", "R": "P"}[row["laterality"]]
        assert image.ImagerPixelSpacing[0] == pytest.approx(232.96 / 512, abs=1e-5)
        assert image.pixel_array.shape == (512, 384)
        assert image.pixel_array.max() <= 4095
        assert str(image.PatientName) == ""
        seen.add((image.file_meta.TransferSyntaxUID.name, image.PhotometricInterpretation))
    assert {syntax for syntax, _ in seen} == {
        "Explicit VR Little Endian",
        "JPEG 2000 Image Compression (Lossless Only)",
    }
    assert {photometric for _, photometric in seen} == {"MONOCHROME1", "MONOCHROME2"}


def test_tables_name_every_image_once(study):
    rows = _table(study, "images.csv")
    files = [name for name in _files(study) if name.endswith(".dcm")]
    assert sorted(row["file"] for row in rows) == files
    assert len({row["image_id"] for row in rows}) == len(rows)
    assert {pydicom.dcmread(study / row["file"]).SOPInstanceUID for row in rows} == {row["image_id"] for row in rows}
    assert {row["breast_id"] for row in _table(study, "breasts.csv")} == {row["breast_id"] for row in rows}


def test_windows_of_all_vendors_show_the_same_breast():
    exam = plan_exams(SMALL)[0]
    breast = exam.breasts[1]
    inside = cv2.erode(
        render_view(exam, breast, view="MLO", config=SMALL).breast_mask.astype(np.uint8), np.ones((9, 9))
    )
    shown = [_shown(replace(exam, vendor=vendor), breast, "MLO", SMALL)[inside > 0] for vendor in VENDORS]
    assert len(shown) == 4
    assert 0.2 < np.median(shown[0]) < 0.7
    for other in shown[1:]:
        assert np.abs(other - shown[0]).max() < 0.02


def test_breast_lies_at_its_edge_and_marker_far_from_it():
    exam = plan_exams(SMALL)[0]
    for breast in exam.breasts:
        for view in VIEWS:
            mask = render_view(exam, breast, view=view, config=SMALL).breast_mask
            columns = np.arange(384) if breast.laterality == "L" else np.arange(384)[::-1]  # from the chest wall
            assert mask[:, columns[0]].sum() > 150
            away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
            bright = (_shown(exam, breast, view, SMALL) > 0.5) & (away > 3)
            assert bright.sum() > 50
            assert away[bright].min() * grid_of(512, 384).spacing_mm > 20
            assert columns[np.nonzero(bright)[1]].min() > 230


def test_boxes_lie_in_the_breast_and_hold_all_that_a_finding_adds():
    checked = set()
    for exam, breast in _breasts(replace(SMALL, patients=3)):
        bare = replace(breast, findings=())
        for view in VIEWS:
            full = render_view(exam, breast, view=view, config=SMALL)
            added = _shown(exam, breast, view, SMALL) - _shown(exam, bare, view, SMALL)
            outside = np.ones_like(full.breast_mask)
            for finding, box in zip(breast.findings, full.boxes, strict=True):
                assert box.x >= 0
                assert box.y >= 0
                assert box.x + box.width <= 384
                assert box.y + box.height <= 512
                rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
                assert full.breast_mask[rows, columns].all()
                assert np.abs(added[rows, columns]).max() > 0.02
                outside[rows, columns] = False
                checked.add(finding.form)
            assert np.abs(added[outside]).max() == 0
    assert checked == {"oval", "irregular", "spiculated", "cluster", "coarse"}


def test_both_views_show_the_same_findings(study):
    images = {row["image_id"]: row for row in _table(study, "images.csv")}
    shown: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for row in _table(study, "findings.csv"):
        view = images[row["image_id"]]["view"]
        shown.setdefault(row["breast_id"], {}).setdefault(view, []).append((row["kind"], row["malignant"]))
    assert len(shown) >= 5
    assert all(views["CC"] == views["MLO"] for views in shown.values())


def test_findings_keep_their_distance_from_nipple_skin_and_muscle():
    grid = grid_of(466, 360)
    count = 0
    for _, breast in _breasts(replace(SMALL, patients=12)):
        for view in VIEWS:
            skin, muscle = skin_depth_mm(breast.shape, view, grid), muscle_depth_mm(breast.shape, view, grid)
            for finding in breast.findings:
                x, y = centre_mm(finding, breast.shape, view)
                at = int(y / grid.spacing_mm), int(x / grid.spacing_mm)
                reach = reach_mm(finding.form, finding.diameter_mm)
                assert nipple_mm(breast.shape, view)[0] - x == pytest.approx(finding.behind_nipple_mm)
                assert skin[at] > 5 + reach
                assert muscle[at] < -reach
                count += 1
    assert count > 30


def test_birads_follows_from_the_findings(study):
    seen = set()
    for row in _table(study, "breasts.csv"):
        mass, calcification = int(row["malignant_masses"]), int(row["malignant_calcifications"])
        findings = int(row["masses"]) + int(row["calcifications"])
        allowed = {1} if findings == 0 else {2} if not mass + calcification else {4, 5}
        if mass and calcification:
            allowed = {5}
        elif calcification:
            allowed = {4}
        assert int(row["birads"]) in allowed
        seen.add(int(row["birads"]))
    assert seen == {1, 2, 4, 5}


def test_default_mix_has_many_of_each_finding_and_exam_count():
    exams = plan_exams(PhantomConfig(patients=150))
    breasts = [breast for exam in exams for breast in exam.breasts]
    share = {grade: np.mean([breast.birads == grade for breast in breasts]) for grade in (1, 2, 4, 5)}
    assert share == pytest.approx({1: 0.50, 2: 0.14, 4: 0.22, 5: 0.14}, abs=0.05)
    forms = [{finding.form for finding in breast.findings if finding.malignant} for breast in breasts]
    assert np.mean([form == {"cluster"} for form in forms]) > 0.08
    assert np.mean([bool(form & {"irregular", "spiculated"}) for form in forms]) > 0.15
    per_patient = np.bincount([exam.patient_number for exam in exams])[1:]
    assert set(per_patient) == {1, 2, 3}
    assert 1.25 < per_patient.mean() < 1.55


def test_machine_density_and_anatomy_do_not_depend_on_findings():
    healthy = plan_exams(replace(SMALL, patients=30, birads_weights=(1, 0, 0, 0)))
    ill = plan_exams(replace(SMALL, patients=30, birads_weights=(0, 0, 1, 1)))
    assert all(breast.birads == 1 for exam in healthy for breast in exam.breasts)
    assert all(breast.birads >= 4 for exam in ill for breast in exam.breasts)
    emptied = [[replace(breast, birads=1, findings=()) for breast in exam.breasts] for exam in ill]
    assert [replace(exam, breasts=tuple(bare)) for exam, bare in zip(ill, emptied, strict=True)] == healthy


def test_tissue_has_the_power_spectrum_of_breasts():
    slopes = []
    for exam, breast in _breasts(replace(SMALL, patients=4, birads_weights=(1, 0, 0, 0))):
        grid = grid_of(512, 384)
        inside = skin_depth_mm(breast.shape, "CC", grid) > 5
        shown = _shown(exam, breast, "CC", SMALL)
        slope = _slope(shown, inside if breast.laterality == "L" else inside[:, ::-1], grid.spacing_mm)
        slopes.append(slope)
    assert 2.5 < np.median(slopes) < 3.5
    assert min(slopes) > 2.3
    assert max(slopes) < 3.7


def _slope(shown: np.ndarray, inside: np.ndarray, spacing_mm: float) -> float:
    """Minus the exponent of the radial power spectrum between 0.15 and 0.7 cycles/mm, over squares of 40 mm."""
    side = int(40 / spacing_mm)
    window, power = np.outer(np.hanning(side), np.hanning(side)), np.zeros((side, side))
    for top in range(0, shown.shape[0] - side, side // 3):
        for left in range(0, shown.shape[1] - side, side // 3):
            if inside[top : top + side, left : left + side].all():
                square = shown[top : top + side, left : left + side]
                power += np.abs(np.fft.fft2((square - square.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side, spacing_mm), np.fft.fftfreq(side, spacing_mm)))
    edges = np.geomspace(0.15, 0.7, 8)
    rings = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges)]
    points = np.log([[frequency[ring].mean(), power[ring].mean()] for ring in rings])
    return -float(np.polyfit(points[:, 0], points[:, 1], 1)[0])


def test_specks_stand_out_at_full_resolution_and_vanish_in_a_small_view():
    config = replace(SMALL, rows=2048, columns=1536, patients=8, birads_weights=(0, 0, 1, 0), also_benign=0.0)
    clusters = [pair for pair in _breasts(config) if pair[1].findings[0].form == "cluster"][:2]
    assert len(clusters) == 2
    for exam, breast in clusters:
        bare = _shown(exam, replace(breast, findings=()), "CC", config)
        added = _shown(exam, breast, "CC", config) - bare
        box = render_view(exam, breast, view="CC", config=config).boxes[0]
        assert added.max() / _spread(bare, box.x, box.y, margin=40, fine=True) > 4
        small, small_added = (cv2.resize(image, (192, 256), interpolation=cv2.INTER_AREA) for image in (bare, added))
        assert small_added.max() / _spread(small, box.x // 8, box.y // 8, margin=8, fine=False) < 1


def _spread(shown: np.ndarray, x: int, y: int, *, margin: int, fine: bool) -> float:
    """Standard deviation about a point; `fine` leaves only what is smaller than some pixels: the quantum noise."""
    noise = shown - cv2.GaussianBlur(shown, (0, 0), 3) if fine else shown
    return float(noise[max(y - margin, 0) : y + margin, max(x - margin, 0) : x + margin].std())


def test_standing_study_is_left_alone_and_another_one_refused(study):
    before = _files(study)
    summary = write_phantoms(str(study), SMALL, processes=1)
    assert not summary.written
    assert summary.images == len(_table(study, "images.csv"))
    with pytest.raises(DatasetError, match=r"differs in settings \['seed'\]; choose another root"):
        write_phantoms(str(study), replace(SMALL, seed=8), processes=1)
    assert _files(study) == before


def test_progress_counts_every_image(tmp_path):
    heard: list[int] = []
    summary = write_phantoms(str(tmp_path), replace(SMALL, patients=1), processes=1, progress=heard.append)
    assert summary.written
    assert sum(heard) == summary.images == 4 * summary.exams


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"rows": 100}, {"columns": 200}, {"seed": -1}])
def test_impossible_config_is_refused(wrong):
    with pytest.raises(ConfigError, match="use"):
        replace(SMALL, **wrong)
