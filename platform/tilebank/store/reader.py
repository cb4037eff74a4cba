"""Read vectors back: a pinned version of a table becomes ragged arrays by breast. Knows nothing of heads or splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tilebank.errors import StoreError
from tilebank.files import join_uri
from tilebank.store.schema import quoted, table_name


@dataclass(frozen=True)
class BagArrays:
    """The vectors of some breasts, never padded. Bag b of the views is rows view_offsets[b]:view_offsets[b+1].

    view_features (Nv, D) float16, view_offsets (B+1,) int64; tile_features (Nt, D) float16, tile_offsets (B+1,) int64;
    breast_ids in the order of the bags. Within a bag: by image id, then by the box from top to bottom, left to right.
    """

    view_features: NDArray[np.float16]
    view_offsets: NDArray[np.int64]
    tile_features: NDArray[np.float16]
    tile_offsets: NDArray[np.int64]
    breast_ids: tuple[str, ...]


@dataclass(frozen=True)
class StoredBreast:
    """A breast that has vectors."""

    patient_id: str
    exam_id: str
    breast_id: str
    laterality: str


@dataclass(frozen=True)
class StoredView:
    """What the reader saw of one stored image: its view position, vendor, kind, and where its intensity came from."""

    breast_id: str
    view: str
    manufacturer: str
    image_kind: str
    windowed_by: str


class Reader:
    """One table at one version and under one fingerprint: what a search reads never changes under it.

    asked_for: whether rows of an image kind, view and special views (as stored, separated by commas) are read; all are
    without it. Raises StoreError when there is no such table, or no vector under the fingerprint (the known ones are
    named).
    """

    def __init__(
        self,
        store_uri: str,
        *,
        dataset: str,
        encoder: str,
        fingerprint: str,
        version: int | None = None,
        asked_for: Callable[[str, str, str], bool] | None = None,
    ) -> None:
        name = table_name("instances", dataset, encoder)
        try:
            self._table = lance.dataset(join_uri(store_uri, f"{name}.lance"), version=version)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{store_uri} has no table {name}; fill it with:"
                f" python jobs/extract.py --dataset {dataset} --encoder {encoder}"
            ) from error
        self.version = int(self._table.version)
        self.fingerprint = fingerprint
        self.dim = int(self._table.schema.field("vector").type.list_size)
        self._clause = f"fingerprint = {quoted(fingerprint)}"
        if self._table.count_rows(self._clause) == 0:
            held = sorted(set(self._table.to_table(columns=["fingerprint"])["fingerprint"].to_pylist()))
            raise StoreError(
                f"table {name} (version {self.version}) holds no vector under the fingerprint {fingerprint}"
                f" (it holds {', '.join(held) or 'nothing'}): the settings of mask, tiling or encoder differ from those"
                " of the extraction; extract with these settings, or search with those"
            )

        if asked_for is not None:
            self._clause += self._only(asked_for)

    def _only(self, asked_for: Callable[[str, str, str], bool]) -> str:
        """A clause that leaves out the images that are not asked for; empty where all are."""
        names = ["image_kind", "view", "special"]
        rows = self._table.to_table(columns=names, filter=f"{self._clause} AND kind = 'view'")
        stored = {tuple(row[name] for name in names) for row in rows.to_pylist()}
        out = sorted(one for one in stored if not asked_for(*one))
        same = [
            " AND ".join(f"{name} = {quoted(value)}" for name, value in zip(names, one, strict=True)) for one in out
        ]
        return "".join(f" AND NOT ({clause})" for clause in same)

    def read_breasts(self) -> list[StoredBreast]:
        """Every breast that has at least a view, by breast_id."""
        columns = ["patient_id", "exam_id", "breast_id", "laterality"]
        rows = self._table.to_table(columns=columns, filter=f"{self._clause} AND kind = 'view'").to_pylist()
        breasts = {StoredBreast(**row) for row in rows}
        return sorted(breasts, key=lambda breast: breast.breast_id)

    def read_views(self) -> list[StoredView]:
        """Every stored image of a breast, by breast_id and view; what was not known is an empty text."""
        columns = ["breast_id", "view", "manufacturer", "image_kind", "windowed_by"]
        rows = self._table.to_table(columns=columns, filter=f"{self._clause} AND kind = 'view'").to_pylist()
        views = (StoredView(**{name: value or "" for name, value in row.items()}) for row in rows)
        return sorted(views, key=lambda view: (view.breast_id, view.view))

    def read_bags(self, breast_ids: Sequence[str]) -> BagArrays:
        """The vectors of these breasts, read once, in the order given. Raises StoreError when one has none."""
        wanted = np.asarray(breast_ids, dtype=object)
        if len(set(breast_ids)) != len(breast_ids):
            raise StoreError("a breast was asked for twice")
        among = ", ".join(quoted(breast_id) for breast_id in breast_ids)
        columns = ["breast_id", "image_id", "kind", "x", "y", "vector"]
        rows = self._table.to_table(
            columns=columns, filter=f"{self._clause} AND breast_id IN ({among})"
        ).combine_chunks()
        position = {breast_id: place for place, breast_id in enumerate(wanted)}
        bag = np.asarray([position[breast_id] for breast_id in rows["breast_id"].to_pylist()], dtype=np.int64)
        is_tile = np.asarray(rows["kind"].to_pylist(), dtype=object) == "tile"
        _, image = np.unique(np.asarray(rows["image_id"].to_pylist(), dtype=str), return_inverse=True)
        order = np.lexsort((rows["x"].to_numpy(), rows["y"].to_numpy(), image, bag, is_tile))
        missing = sorted(set(breast_ids) - set(wanted[bag[~is_tile]]))
        if missing:
            raise StoreError(f"{len(missing)} breasts have no stored view, such as {missing[:3]}")
        features = _matrix(rows["vector"], dim=self.dim)
        views, tiles = order[: np.count_nonzero(~is_tile)], order[np.count_nonzero(~is_tile) :]
        return BagArrays(
            view_features=features[views],
            view_offsets=_offsets(bag[views], bags=len(wanted)),
            tile_features=features[tiles],
            tile_offsets=_offsets(bag[tiles], bags=len(wanted)),
            breast_ids=tuple(breast_ids),
        )


def _matrix(column: pa.ChunkedArray, *, dim: int) -> NDArray[np.float16]:
    chunks = [np.asarray(chunk.flatten().to_numpy(zero_copy_only=False)).reshape(-1, dim) for chunk in column.chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty((0, dim), np.float16), *chunks])


def _offsets(bag: NDArray[np.int64], *, bags: int) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(bag, minlength=bags), dtype=np.int64)])
