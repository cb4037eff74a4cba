"""Features as other tools leave them on disk: same keys, shapes, chunks and attributes as their owners' files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

Slides = Mapping[str, tuple[NDArray[np.floating], NDArray[np.integer]]]
"""slide id -> features (n, D) and corners (n, 2) in pixels"""

DIM = 8
PATCH_PX = 512
UM_PER_PX = 256 / 224


def make_slides(count: int, *, dim: int = DIM, seed: int = 0, dtype: type[np.floating] = np.float32) -> Slides:
    """Slides S00, S01, ... of 3 to 12 tiles. Of each second one every other tile is unlike all others."""
    rng = np.random.default_rng(seed)
    slides = {}
    for number in range(count):
        tiles = int(rng.integers(3, 13))
        features = rng.normal(size=(tiles, dim))
        features[::2, 0] += 8 * (number % 2)
        corners = rng.permutation(400)[:tiles, None] // [20, 1] % 20 * PATCH_PX
        slides[f"S{number:02d}"] = (features.astype(dtype), corners.astype(np.int64))
    return slides


def write_trident(root: Path, slides: Slides, *, encoder: str = "uni_v1", **attributes: object) -> Path:
    """A job folder: chunks of one row, resizable, None as text, the slide's own magnification beside the target's."""
    folder = root / "20x_256px_0px_overlap" / f"features_{encoder}"
    folder.mkdir(parents=True, exist_ok=True)
    of_coords = {"patch_size": 256, "patch_size_level0": PATCH_PX, "level0_magnification": 40, "overlap": 0}
    of_coords |= {"target_magnification": 20, "level0_width": 90_000, "level0_height": 80_000, "savetodir": "/x"}
    for slide_id, (features, corners) in slides.items():
        with h5py.File(folder / f"{slide_id}.h5", "w") as file:
            for name, array in (("features", features), ("coords", corners)):
                chunks = (1, *array.shape[1:]) if array.ndim > 1 else (1,)
                file.create_dataset(name, data=array, chunks=chunks, maxshape=(None, *array.shape[1:]))
            file["coords"].attrs.update(of_coords | {"name": slide_id} | attributes)
            file["features"].attrs.update({"name": slide_id, "savetodir": "None", "encoder": encoder})
    return root


def write_clam(root: Path, slides: Slides) -> Path:
    """h5_files beside pt_files; chunks of 32 rows, no attributes."""
    for name in ("h5_files", "pt_files"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for slide_id, (features, corners) in slides.items():
        with h5py.File(root / "h5_files" / f"{slide_id}.h5", "w") as file:
            for name, array in (("features", features), ("coords", corners.astype(np.int32))):
                file.create_dataset(name, data=array, chunks=(32, array.shape[1]), maxshape=(None, array.shape[1]))
        (root / "pt_files" / f"{slide_id}.pt").write_bytes(b"a pickle")
    return root


def write_stamp(root: Path, slides: Slides, **attributes: object) -> Path:
    """Half precision, coordinates in micrometres as float32, all else in the file's attributes."""
    folder = root / "uni-1a2b3c4d"
    folder.mkdir(parents=True, exist_ok=True)
    said = {"stamp_version": "2.4.0", "extractor": "mahmood-uni", "unit": "um", "tile_size_um": 256.0}
    said |= {"tile_size_px": 224, "code_hash": "1a2b3c4d", "feat_type": "tile"}
    for slide_id, (features, corners) in slides.items():
        with h5py.File(folder / f"{slide_id}.h5", "w") as file:
            file["coords"] = (corners * UM_PER_PX).astype(np.float32)
            file["feats"] = features.astype(np.float16)
            file.attrs.update(said | attributes)
    return root


def write_torchmil(root: Path, slides: Slides) -> Path:
    """Parallel folders of .npy files, patch labels included."""
    for name in ("features", "coords", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for slide_id, (features, corners) in slides.items():
        for name, array in (("features", features), ("coords", corners), ("labels", np.zeros(1, np.int64))):
            np.save(root / name / f"{slide_id}.npy", array)
    return root


def write_single(root: Path, slides: Slides) -> Path:
    """One file with a group a slide, as ACMIL and ASMIL read it."""
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "patch_feats.h5", "w") as file:
        for number, (slide_id, (features, corners)) in enumerate(slides.items()):
            group = file.create_group(slide_id)
            group["feat"], group["coords"] = features, corners
            group.attrs["label"] = number % 2
    return root


WRITERS: Mapping[str, Callable[[Path, Slides], Path]] = {
    "trident": write_trident,
    "clam": write_clam,
    "stamp": write_stamp,
    "torchmil": write_torchmil,
    "h5": write_single,
}


def write_labels(path: Path, slides: Slides, *, patients: int = 0) -> Path:
    """A label table with TCGA-like slide names; every second slide is positive. patients: how many share the slides."""
    lines = ["case_id,slide_id,label"]
    for number, slide_id in enumerate(slides):
        patient = number % patients if patients else number
        lines.append(f"P{patient},{slide_id}.svs,{patient % 2}")
    path.write_text("\n".join(lines) + "\n")
    return path
