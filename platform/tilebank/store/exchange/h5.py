"""Export bags as HDF5, one file per bag, in the layouts of CLAM and TRIDENT. Only tiles: these tools have no views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tilebank.store.exchange.export_folder import ExportCard, whole_file
from tilebank.terms import InstanceKind

CHUNK_ROWS = 512  # TRIDENT's own chunks of one row take 20 times as long to read
NOT_KNOWN = "None"  # as TRIDENT writes it


@dataclass(frozen=True)
class H5Layout:
    """One tool's files. folder: where they lie; features, coords: the types that its readers expect."""

    folder: str
    features: type[np.floating[Any]]
    coords: type[np.signedinteger[Any]]


H5_LAYOUTS: Mapping[str, H5Layout] = {
    "clam": H5Layout("h5_files", np.float32, np.int32),
    "trident": H5Layout("features_{encoder}", np.float16, np.int64),
}


def bag_place(folder: Path, breast_id: str, card: ExportCard) -> Path:
    """The path of a bag's file."""
    return folder / H5_LAYOUTS[card.layout].folder.format(encoder=card.encoder) / f"{breast_id}.h5"


def write_bag(place: Path, instances: pa.Table, card: ExportCard) -> int:
    """Write the tiles of one bag, in the order of the bag; how many. float16 to float32 is exact.

    Boxes give `coords`; where they are not known there is none. A bag of several images says which in `image_ids`.
    """
    layout = H5_LAYOUTS[card.layout]
    tiles = instances.filter(pc.equal(instances["kind"], InstanceKind.TILE.value))
    vectors = tiles["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, card.dim)
    with whole_file(place) as unfinished, h5py.File(unfinished, "w") as file:
        features = _write(file, "features", vectors.astype(layout.features))
        if not tiles["x"].null_count:
            corners = np.stack([tiles["x"].to_numpy(), tiles["y"].to_numpy()], axis=1)
            coords = _write(file, "coords", corners.astype(layout.coords))
            coords.attrs.update(_of_coords(tiles, card) | {"name": place.stem})
        if len(pc.unique(tiles["image_id"])) > 1:
            file.create_dataset("image_ids", data=tiles["image_id"].to_pylist(), dtype=h5py.string_dtype())
        features.attrs.update({"name": place.stem, "encoder": card.encoder})
        file.attrs.update(card.as_attributes())
    return int(tiles.num_rows)


def clam_splits(labels: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The rows of CLAM's `splits_0.csv`: columns train, val and test, each a list of bags from the top."""
    names = ("train", "val", "test")
    columns = {name: [row["slide_id"] for row in labels if row["split"] == name] for name in names}
    longest = max(map(len, columns.values()), default=0)
    padded = {name: [*bags, *[""] * (longest - len(bags))] for name, bags in columns.items()}
    return [{"": str(place)} | {name: padded[name][place] for name in names} for place in range(longest)]


def _write(file: h5py.File, name: str, array: NDArray[Any]) -> h5py.Dataset:
    """Resizable and in chunks, as these tools write; a bag without tiles is legal."""
    chunk = (max(1, min(CHUNK_ROWS, len(array))), array.shape[1])
    return file.create_dataset(name, data=array, chunks=chunk, maxshape=(None, array.shape[1]))


def _of_coords(tiles: pa.Table, card: ExportCard) -> dict[str, Any]:
    """TRIDENT's attributes of coordinates: what all tiles share, and what was declared where vectors came from."""
    widths = pc.unique(tiles["width"].drop_null()).to_pylist()
    names = ("patch_size", "target_magnification", "overlap", "level0_magnification")
    declared = {name: card.provenance.get(name, NOT_KNOWN) for name in names}
    return declared | {"patch_size_level0": widths[0] if len(widths) == 1 else NOT_KNOWN}
