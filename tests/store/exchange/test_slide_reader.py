"""Other tools' files, read: every layout to the same vectors and boxes, and what is no bag of tiles refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.foreign_features import (
    DIM,
    PATCH_PX,
    WRITERS,
    make_slides,
    write_clam,
    write_single,
    write_stamp,
    write_trident,
)
from tests.s3_server import S3Server

from tilebank.errors import DatasetError, ImageError
from tilebank.files import write_bytes
from tilebank.store.exchange.layouts import LAYOUTS, list_slides
from tilebank.store.exchange.provenance import SlideFile, declared_fingerprint
from tilebank.store.exchange.slide_reader import read_header, read_slide

KEYS = ("features",)
SIDES = {"trident": PATCH_PX, "stamp": 224}


def write_h5(path: Path, **arrays: object) -> SlideFile:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return SlideFile(path.stem, str(path))


def refusal(file: SlideFile) -> ImageError:
    with pytest.raises(ImageError) as raised:
        read_slide(file, keys=KEYS)
    assert raised.value.stage == "read"
    return raised.value


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_vectors_and_boxes(layout: str, tmp_path: Path) -> None:
    slides = make_slides(3)
    found = list_slides(str(WRITERS[layout](tmp_path, slides)), layout=layout, encoder="any")
    assert [file.slide_id for file in found] == list(slides)
    for file in found:
        features, corners = slides[file.slide_id]
        header, slide = (read(file, keys=LAYOUTS[layout].keys) for read in (read_header, read_slide))
        assert (header.tiles, header.dim, header.tile_px) == (len(features), DIM, SIDES.get(layout, 0))
        np.testing.assert_array_equal(slide.vectors.view(np.uint16), features.astype(np.float16).view(np.uint16))
        np.testing.assert_array_equal(slide.corners, corners)


def test_what_shaped_the_vectors_is_told_and_what_is_one_slides_own_is_not(tmp_path: Path) -> None:
    slides = make_slides(1)
    (trident,) = list_slides(str(write_trident(tmp_path / "t", slides)), layout="trident", encoder="any")
    said = {"encoder": "uni_v1", "patch_size": "256", "target_magnification": "20", "overlap": "0"}
    header = read_header(trident, keys=KEYS)
    assert header.provenance == said
    assert (header.columns, header.rows) == (90_000, 80_000)
    (unsaid,) = list_slides(
        str(write_trident(tmp_path / "n", slides, target_magnification="None", overlap=0.0)),
        layout="trident",
        encoder="",
    )
    assert "target_magnification" not in read_header(unsaid, keys=KEYS).provenance, "None as text says nothing"
    assert read_header(unsaid, keys=KEYS).provenance["overlap"] == "0", "0.0 and 0 are one overlap"
    (stamp,) = list_slides(str(write_stamp(tmp_path / "s", slides)), layout="stamp", encoder="any")
    said = {"extractor": "mahmood-uni", "code_hash": "1a2b3c4d", "tile_size_um": "256", "tile_size_px": "224"}
    assert read_header(stamp, keys=("feats",)).provenance == said | {"unit": "um"}


def test_micrometres_of_unknown_pixels_are_no_box(tmp_path: Path) -> None:
    slides = make_slides(1)
    root = write_stamp(tmp_path, slides, tile_size_px="None")
    (file,) = list_slides(str(root), layout="stamp", encoder="any")
    slide = read_slide(file, keys=("feats",))
    assert slide.corners is None
    assert len(slide.vectors) == len(slides["S00"][0])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_bag_with_an_extra_axis_is_the_same_bag(axis: int, tmp_path: Path) -> None:
    features, corners = make_slides(1)["S00"]
    file = write_h5(tmp_path / "S.h5", features=np.expand_dims(features, axis), coords=np.expand_dims(corners, axis))
    slide = read_slide(file, keys=KEYS)
    np.testing.assert_array_equal(slide.vectors, features.astype(np.float16))
    np.testing.assert_array_equal(slide.corners, corners)


@pytest.mark.parametrize("shape", [(0,), (0, DIM)])
def test_an_empty_slide_is_whole_and_has_no_tile(shape: tuple[int, ...], tmp_path: Path) -> None:
    file = write_h5(tmp_path / "S.h5", features=np.empty(shape, np.float32), coords=np.empty((0, 2), np.int64))
    header = read_header(file, keys=KEYS)
    assert (header.tiles, header.dim) == (0, 0)


def test_large_slides_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=(1000, DIM))
    file = write_h5(tmp_path / "S.h5", features=features)
    monkeypatch.setattr("tilebank.store.exchange.slide_reader.BLOCK_BYTES", 7 * DIM * 8)
    slide = read_slide(file, keys=KEYS)
    np.testing.assert_array_equal(slide.vectors, features.astype(np.float16))
    assert slide.rounding.values == features.size


def test_what_float16_changes_is_counted(tmp_path: Path) -> None:
    features = np.array([[1.0, 1 / 3, 1e-9, 0.0], [65504.0, -2.5, 0.1, 2**-24]], np.float32)
    slide = read_slide(write_h5(tmp_path / "S.h5", features=features), keys=KEYS)
    rounding = slide.rounding
    assert (rounding.values, rounding.changed, rounding.vanished) == (8, 3, 1)
    half = write_h5(tmp_path / "H.h5", features=features.astype(np.float16))
    assert read_slide(half, keys=KEYS).rounding.changed == 0


@pytest.mark.parametrize(
    ("value", "error_class", "says"),
    [
        (np.nan, "NotFinite", "1 values or more are not finite"),
        (-np.inf, "NotFinite", "1 values or more are not finite"),
        (65520.0, "TooLarge", "beyond 65504, the largest that float16 holds"),
    ],
)
def test_values_that_do_not_fit_are_refused(value: float, error_class: str, says: str, tmp_path: Path) -> None:
    features = make_slides(1)["S00"][0].copy()
    features[1, 2] = value
    error = refusal(write_h5(tmp_path / "S.h5", features=features))
    assert error.error_class == error_class
    assert says in error.reason


@pytest.mark.parametrize(
    ("arrays", "error_class", "says"),
    [
        ({"feats": np.ones((3, 4), np.float32)}, "NoFeatures", "holds no features (it holds feats)"),
        ({"features": np.ones(4, np.float32)}, "NotTiles", "one vector for a whole slide?"),
        ({"features": np.ones((2, 3, 4, 5), np.float32)}, "NotTiles", "(2, 3, 4, 5)"),
        ({"features": np.ones((3, 4), np.int64)}, "NotFloats", "int64"),
        ({"features": np.ones((3, 4), np.float32), "coords": np.ones((2, 2))}, "CoordsDoNotFit", "for 3 tiles"),
        ({"features": np.ones((2, 4), np.float32), "coords": np.full((2, 2), np.nan)}, "NoPlace", "no place"),
        ({"features": np.ones((1, 4), np.float32), "coords": np.array([[1 << 40, 0]])}, "NoPlace", "no place"),
    ],
)
def test_what_is_no_bag_of_tiles_is_refused(
    arrays: dict[str, object], error_class: str, says: str, tmp_path: Path
) -> None:
    error = refusal(write_h5(tmp_path / "S.h5", **arrays))
    assert error.error_class == error_class
    assert says in error.reason


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    file = write_h5(tmp_path / "S.h5", features=np.ones((500, DIM), np.float32))
    path = Path(file.uri)
    path.write_bytes(path.read_bytes()[:-1000])
    assert refusal(file).error_class == "DamagedFile"
    path.write_bytes(b"no HDF5 at all")
    assert refusal(file).error_class == "DamagedFile"


def test_features_of_a_whole_slide_are_no_tiles(tmp_path: Path) -> None:
    root = write_stamp(tmp_path, make_slides(1), feat_type="slide")
    (file,) = list_slides(str(root), layout="stamp", encoder="any")
    with pytest.raises(ImageError, match="features of a slide, and tiles are wanted"):
        read_header(file, keys=("feats",))


def test_pickles_are_not_read(tmp_path: Path) -> None:
    root = write_clam(tmp_path, make_slides(1))
    (root / "h5_files" / "S00.h5").unlink()
    with pytest.raises(DatasetError, match="pt_files and no h5_files: .pt files are pickles"):
        list_slides(str(root), layout="clam", encoder="any")
    np.save(tmp_path / "S.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert refusal(SlideFile("S", str(tmp_path / "S.npy"))).error_class == "DamagedFile"


def test_a_root_of_several_encoders_asks_which(tmp_path: Path) -> None:
    for encoder in ("uni_v1", "conch_v15"):
        write_trident(tmp_path, make_slides(2), encoder=encoder)
    with pytest.raises(DatasetError, match="several encoders, features_conch_v15, features_uni_v1; name one"):
        list_slides(str(tmp_path), layout="trident", encoder="virchow")
    found = list_slides(str(tmp_path), layout="trident", encoder="uni_v1")
    assert {Path(file.uri).parent.name for file in found} == {"features_uni_v1"}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_root_of_another_layout_says_what_was_looked_for(layout: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match=f"nothing below .* looks like {layout}"):
        list_slides(str(tmp_path), layout=layout, encoder="any")
    with pytest.raises(DatasetError, match="cannot list .*; check --root"):
        list_slides(str(tmp_path / "nowhere"), layout=layout, encoder="any")


def test_of_single_files_one_is_named(tmp_path: Path) -> None:
    write_single(tmp_path, make_slides(2))
    (tmp_path / "other.h5").write_bytes(b"no HDF5")
    with pytest.raises(DatasetError, match="holds 2 h5 files; name one"):
        list_slides(str(tmp_path), layout="h5", encoder="any")
    assert len(list_slides(str(tmp_path / "patch_feats.h5"), layout="h5", encoder="any")) == 2
    with pytest.raises(DatasetError, match="is it a whole HDF5 file"):
        list_slides(str(tmp_path / "other.h5"), layout="h5", encoder="any")


def test_features_in_a_bucket_are_read_like_those_on_a_disk(s3: S3Server, bucket_store: str, tmp_path: Path) -> None:
    slides = make_slides(2)
    write_trident(tmp_path, slides)
    for path in tmp_path.rglob("*.h5"):
        write_bytes(f"{bucket_store}/{path.relative_to(tmp_path)}", path.read_bytes())
    for file in list_slides(bucket_store, layout="trident", encoder="any"):
        np.testing.assert_array_equal(read_slide(file, keys=KEYS).vectors, slides[file.slide_id][0].astype(np.float16))


def test_each_part_of_a_declaration_makes_another_fingerprint() -> None:
    said = {"layout": "stamp", "encoder": "uni", "bag": "slide", "provenance": {"code_hash": "1"}}
    others = [said | {"layout": "clam"}, said | {"encoder": "b"}, said | {"bag": "patient"}, said | {"provenance": {}}]
    assert len({declared_fingerprint(**each) for each in (said, *others)}) == 5  # type: ignore[arg-type]
