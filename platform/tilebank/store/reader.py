"""Read vectors from a pinned version of a table into ragged arrays by breast."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tilebank.errors import StoreError
from tilebank.files import join_uri
from tilebank.storage_errors import is_failed_request, storage_reason
from tilebank.store.commits import open_table, retry
from tilebank.store.records import BagArrays, StoredBreast, StoredView, TilePlaces
from tilebank.store.schema import sql_literal, table_name
from tilebank.terms import InstanceKind

T = TypeVar("T")

LOOKED_UP = 1000  # breasts that a filter names one by one
PLACED_BY = ("image_id", "kind", "x", "y")  # columns that decide an instance's place in its bag


class Reader:
    """One table at one version and under one fingerprint, so that what a search reads cannot change.

    include: whether rows of an image kind, view and special views (as stored, separated by commas) are read; without
    it all are. Raises StoreError when there is no such table, or no vector under the fingerprint (the known ones are
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
        include: Callable[[str, str, str], bool] | None = None,
    ) -> None:
        name = table_name("instances", dataset, encoder)
        try:
            self._table = open_table(join_uri(store_uri, f"{name}.lance"), version=version)
        except (OSError, ValueError) as error:
            if is_failed_request(error, store_uri):
                reason = storage_reason(error, store_uri)
                raise StoreError(f"cannot open table {name} in {store_uri}: {reason}") from error
            raise StoreError(
                f"{store_uri} has no table {name}; fill it with:"
                f" tilebank extract --dataset {dataset} --encoder {encoder}"
            ) from error
        self.name, self.uri = name, str(self._table.uri)
        self.version = int(self._table.version)
        self.fingerprint = fingerprint
        self.dim = int(self._table.schema.field("vector").type.list_size)
        self._clause = f"fingerprint = {sql_literal(fingerprint)}"
        if not self._retry(lambda: self._table.count_rows(self._clause)):
            held = sorted(set(self._read(["fingerprint"], "true")["fingerprint"].to_pylist()))
            raise StoreError(
                f"table {name} (version {self.version}) holds no vector under the fingerprint {fingerprint}"
                f" (it holds {', '.join(held) or 'nothing'}): the settings of mask, tiling or encoder differ from those"
                " of the extraction; extract with these settings, or use those of the extraction"
            )

        if include is not None:
            self._clause += self._only(include)

    def _only(self, include: Callable[[str, str, str], bool]) -> str:
        """A clause that leaves out the images that are not included; empty if all are."""
        names = ["image_kind", "view", "special"]
        rows = self._read(names, f"{self._clause} AND kind = 'view'")
        stored = {tuple(row[name] for name in names) for row in rows.to_pylist()}
        out = sorted(one for one in stored if not include(*one))
        same = [
            " AND ".join(f"{name} = {sql_literal(value)}" for name, value in zip(names, one, strict=True))
            for one in out
        ]
        return "".join(f" AND NOT ({clause})" for clause in same)

    def read_breasts(self) -> list[StoredBreast]:
        """Every breast that is stored, by breast_id: those with a view, or all where no view is stored at all."""
        rows = self._breasts_among(" AND kind = 'view'") or self._breasts_among("")
        return sorted((StoredBreast(**row) for row in rows), key=lambda breast: breast.breast_id)

    def _breasts_among(self, clause: str) -> list[dict[str, str]]:
        """The distinct breasts of the rows that `clause` leaves, counted batch by batch: a slide has many rows."""
        columns = ["patient_id", "exam_id", "breast_id", "laterality"]

        def count() -> list[dict[str, str]]:
            found = pa.table({name: pa.array([], pa.string()) for name in columns})
            for batch in self._table.scanner(columns=columns, filter=self._clause + clause).to_batches():
                found = pa.concat_tables([found, pa.table(batch)]).group_by(columns).aggregate([])
            rows: list[dict[str, str]] = found.to_pylist()
            return rows

        return self._retry(count)

    def read_views(self) -> list[StoredView]:
        """Every stored image of a breast, by breast_id and view; what was not known is an empty text."""
        columns = ["breast_id", "view", "manufacturer", "image_kind", "windowed_by"]
        rows = self._read(columns, f"{self._clause} AND kind = 'view'").to_pylist()
        views = (StoredView(**{name: value or "" for name, value in row.items()}) for row in rows)
        return sorted(views, key=lambda view: (view.breast_id, view.view))

    def _among(self, breast_ids: Sequence[str]) -> str:
        """A clause that names the breasts; empty where they are so many that reading all is quicker than looking up."""
        if len(breast_ids) > LOOKED_UP:
            return ""
        return f" AND breast_id IN ({', '.join(sql_literal(breast_id) for breast_id in breast_ids)})"

    def read_bags(self, breast_ids: Sequence[str]) -> BagArrays:
        """The vectors of these breasts, read once, in the order given. Raises StoreError when one has none."""
        clause = self._clause + self._among(breast_ids)
        rows = self._rows(clause, breast_ids)
        wanted = np.concatenate([rows.views, rows.tiles])
        if missing := sorted(set(breast_ids) - {breast_ids[place] for place in np.unique(rows.bag[wanted])}):
            raise StoreError(f"{len(missing)} breasts have no stored vector, such as {missing[:3]}")
        features = self._read_vectors(clause, wanted, rows=rows.table.num_rows)
        return BagArrays(
            view_features=features[: len(rows.views)],
            view_offsets=_offsets(rows.bag[rows.views], bags=len(breast_ids)),
            tile_features=features[len(rows.views) :],
            tile_offsets=_offsets(rows.bag[rows.tiles], bags=len(breast_ids)),
            breast_ids=tuple(breast_ids),
        )

    def count_instances(self, breast_ids: Sequence[str]) -> dict[InstanceKind, NDArray[np.int64]]:
        """How many views and tiles these breasts have, (B,) each, in the order given."""
        wanted = pa.array(breast_ids, pa.string())
        rows = self._read(["breast_id", "kind"], self._clause + self._among(breast_ids))
        counts = {}
        for kind in InstanceKind:
            of_kind = rows.filter(pc.equal(rows["kind"], kind.value))["breast_id"]
            place = pc.index_in(of_kind, value_set=wanted).drop_null().to_numpy()
            counts[kind] = np.bincount(place, minlength=len(breast_ids)).astype(np.int64)
        return counts

    def read_tile_places(self, breast_ids: Sequence[str]) -> TilePlaces:
        """Where the tiles of these breasts lie, in the order in which `read_bags` gives their vectors."""
        rows = self._rows(self._clause + self._among(breast_ids), breast_ids, also=("view", "width", "height"))
        tiles = rows.table.take(rows.tiles)
        boxes = [pc.fill_null(tiles[name], 0).to_numpy() for name in ("x", "y", "width", "height")]
        return TilePlaces(
            image_ids=tiles["image_id"].to_numpy(),
            views=pc.fill_null(tiles["view"], "").to_numpy(),
            boxes=np.stack(boxes, axis=1),
            offsets=_offsets(rows.bag[rows.tiles], bags=len(breast_ids)),
        )

    def _rows(self, clause: str, breast_ids: Sequence[str], *, also: Sequence[str] = ()) -> "_BagRows":
        """The rows of these breasts without their vectors, and the order of views and tiles among them."""
        if len(set(breast_ids)) != len(breast_ids):
            raise StoreError("a breast is named twice; name each breast once")
        wanted = pa.array(breast_ids, pa.string())
        rows = self._read(["breast_id", *PLACED_BY, *also], clause)
        bag = pc.fill_null(pc.index_in(rows["breast_id"], value_set=wanted), -1).to_numpy().astype(np.int64)
        is_tile = pc.equal(rows["kind"], InstanceKind.TILE.value).to_numpy()
        order = self._order(rows, clause, bag)
        order = order[bag[order] >= 0]
        return _BagRows(rows, bag, views=order[~is_tile[order]], tiles=order[is_tile[order]])

    def read_instances(self, breast_id: str) -> pa.Table:
        """All that is stored of one breast's instances, views first, else in the order of its bag.

        Columns: those of the instances table. Raises StoreError when it has none.
        """
        clause = self._clause + self._among([breast_id])
        rows = self._read(None, clause)
        if not rows.num_rows:
            raise StoreError(f"breast {breast_id} has no stored vector")
        return rows.take(self._order(rows, clause, np.zeros(rows.num_rows, np.int64)))

    def _order(self, rows: pa.Table, clause: str, bag: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of `rows`, those of `clause`, in the order of BagArrays."""
        is_tile = pc.equal(rows["kind"], InstanceKind.TILE.value).to_numpy()
        x, y = (pc.fill_null(rows[name], 0).to_numpy() for name in ("x", "y"))
        if rows["x"].null_count:
            ids = self._read(["instance_id"], clause)["instance_id"]
            x = np.where(rows["x"].is_null().to_numpy(), _numbers(ids), x)
        return np.lexsort((x, y, _ranks(rows["image_id"]), bag, is_tile))

    def _read_vectors(self, clause: str, wanted: NDArray[np.int64], *, rows: int) -> NDArray[np.float16]:
        """The vectors of the rows that `wanted` (n,) names by place, in its order. (n, D)

        They are written where they belong as they are read, so that no more is held than is asked for; neighbours that
        stay neighbours, as the tiles of an image do, in one copy.
        """
        features = np.empty((len(wanted), self.dim), np.float16)
        home = np.full(rows, -1, dtype=np.int64)
        home[wanted] = np.arange(len(wanted))

        def fill() -> None:
            start = 0
            for batch in self._table.to_batches(columns=["vector"], filter=clause, scan_in_order=True):
                vectors = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(-1, self.dim)
                here = home[start : start + len(vectors)]
                for first, stop in _runs(here):
                    features[here[first] : here[first] + stop - first] = vectors[first:stop]
                start += len(vectors)

        self._retry(fill)
        return features

    def _read(self, columns: Sequence[str] | None, clause: str) -> pa.Table:
        """The rows of `clause`, in the order in which they are stored; None: all columns. Raises StoreError."""
        names = None if columns is None else list(columns)
        return self._retry(lambda: self._table.to_table(columns=names, filter=clause, scan_in_order=True))

    def _retry(self, work: Callable[[], T]) -> T:
        """`work()`, tried again while the network fails. Raises StoreError."""
        return retry(work, self.uri, what="read vectors")


def _runs(places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Spans (first, stop) of `places` that count up by one; what is below 0 is in none."""
    kept = np.flatnonzero(places >= 0)
    breaks = np.flatnonzero((np.diff(kept) != 1) | (np.diff(places[kept]) != 1)) + 1
    edges = [0, *breaks.tolist(), len(kept)] if len(kept) else []
    firsts, lasts = kept[edges[:-1]].tolist(), kept[np.asarray(edges[1:], dtype=np.int64) - 1].tolist()
    return zip(firsts, (last + 1 for last in lasts), strict=True)


@dataclass(frozen=True)
class _BagRows:
    """Rows as they are stored, the bag of each (-1: none), and the places of views and tiles in the order of bags."""

    table: pa.Table
    bag: NDArray[np.int64]
    views: NDArray[np.int64]
    tiles: NDArray[np.int64]


def _ranks(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Where each value stands among the sorted distinct ones. (N,)"""
    coded = column.combine_chunks().dictionary_encode()
    rank = np.empty(len(coded.dictionary), dtype=np.int64)
    rank[pc.array_sort_indices(coded.dictionary).to_numpy()] = np.arange(len(rank))
    return np.asarray(rank[coded.indices.to_numpy()])


def _numbers(instance_ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """The number at the end of each id, `<image_id>#<number>`. (N,)"""
    parts = pc.extract_regex(instance_ids, r"#(?P<number>\d+)$")
    return np.asarray(pc.cast(pc.struct_field(parts, "number"), pa.int64()).to_numpy())


def _offsets(bag: NDArray[np.int64], *, bags: int) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(bag, minlength=bags), dtype=np.int64)])
