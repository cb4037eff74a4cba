"""Ragged bags of view and tile vectors of one split, with labels, in memory.

A bag is a breast. Breast b owns rows `view_offsets[b]:view_offsets[b + 1]` of `view_features`, and likewise for tiles;
either may be empty. Nothing is padded. B breast, Nv view, Nt tile, D encoder dimension.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.errors import HeadError

_CHECKED_ROWS = 65_536  # rows checked for NaN at a time: limits the memory of the mask
_STORED = (torch.float16, torch.bfloat16, torch.float32)


@dataclass(frozen=True, eq=False)
class BagBatch:
    """B breasts: features float16 (or bfloat16, float32), offsets int64 (B+1,), labels float32 or None.

    Labels are (B,) of 0 and 1, (B,) of class numbers, or (B, C) of 0 and 1. Tensors may be read-only memory shared
    between processes: never write to them. Raises HeadError if the parts do not fit together.
    """

    view_features: Tensor  # (Nv, D)
    view_offsets: Tensor  # (B+1,)
    tile_features: Tensor  # (Nt, D)
    tile_offsets: Tensor  # (B+1,)
    labels: Tensor | None  # (B,) or (B, C)
    breast_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        _assert_ragged("view", self.view_features, self.view_offsets, breasts=len(self))
        _assert_ragged("tile", self.tile_features, self.tile_offsets, breasts=len(self))
        if self.view_features.shape[1] != self.tile_features.shape[1]:
            raise HeadError(
                f"view vectors have {self.view_features.shape[1]} numbers, tile vectors {self.tile_features.shape[1]}; "
                "read both from one encoder's table"
            )
        if self.labels is not None:
            _assert_labels(self.labels, breasts=len(self))

    @classmethod
    def from_arrays(
        cls,
        *,
        view_features: NDArray[np.floating[Any]],
        view_offsets: NDArray[np.int64],
        tile_features: NDArray[np.floating[Any]],
        tile_offsets: NDArray[np.int64],
        breast_ids: Sequence[str],
        labels: NDArray[Any] | None = None,
    ) -> Self:
        """Wrap arrays without copying features (they may be read-only). Also raises HeadError for NaN and infinity."""
        bags = cls(
            view_features=_wrap(view_features),
            view_offsets=_wrap(view_offsets.astype(np.int64, copy=False)),
            tile_features=_wrap(tile_features),
            tile_offsets=_wrap(tile_offsets.astype(np.int64, copy=False)),
            labels=None if labels is None else _wrap(labels.astype(np.float32, copy=False)),
            breast_ids=tuple(breast_ids),
        )
        bags.assert_finite()
        return bags

    def __len__(self) -> int:
        return len(self.breast_ids)

    @property
    def dim(self) -> int:
        """D, the encoder's dimension."""
        return self.view_features.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.view_features.device

    @property
    def bag_sizes(self) -> NDArray[np.int64]:
        """Number of instances of each breast, views and tiles together: (B,)."""
        counts: NDArray[np.int64] = (self.view_offsets.diff() + self.tile_offsets.diff()).cpu().numpy()
        return counts

    def to(self, device: torch.device | str) -> "BagBatch":
        """The same bags on `device`."""
        return BagBatch(
            view_features=self.view_features.to(device),
            view_offsets=self.view_offsets.to(device),
            tile_features=self.tile_features.to(device),
            tile_offsets=self.tile_offsets.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            breast_ids=self.breast_ids,
        )

    def select(self, indices: Sequence[int]) -> "BagBatch":
        """The breasts at `indices`, in that order, with their rows (copied)."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.device)
        view_rows, view_offsets = _rows_of(self.view_offsets, chosen)
        tile_rows, tile_offsets = _rows_of(self.tile_offsets, chosen)
        return BagBatch(
            view_features=self.view_features[view_rows],
            view_offsets=view_offsets,
            tile_features=self.tile_features[tile_rows],
            tile_offsets=tile_offsets,
            labels=None if self.labels is None else self.labels[chosen],
            breast_ids=tuple(self.breast_ids[i] for i in indices),
        )

    def between(self, start: int, stop: int) -> "BagBatch":
        """Breasts `start` up to `stop`, as views of the same memory."""
        views = slice(int(self.view_offsets[start]), int(self.view_offsets[stop]))
        tiles = slice(int(self.tile_offsets[start]), int(self.tile_offsets[stop]))
        return BagBatch(
            view_features=self.view_features[views],
            view_offsets=self.view_offsets[start : stop + 1] - views.start,
            tile_features=self.tile_features[tiles],
            tile_offsets=self.tile_offsets[start : stop + 1] - tiles.start,
            labels=None if self.labels is None else self.labels[start:stop],
            breast_ids=self.breast_ids[start:stop],
        )

    def without(self, *, views: bool, tiles: bool) -> "BagBatch":
        """The same breasts without their views, without their tiles, or both."""
        bags = self
        if views:
            bags = replace(bags, view_features=self.view_features[:0], view_offsets=self.view_offsets * 0)
        if tiles:
            bags = replace(bags, tile_features=self.tile_features[:0], tile_offsets=self.tile_offsets * 0)
        return bags

    def assert_finite(self) -> None:
        """Raise HeadError, naming the breast, if a vector holds NaN or infinity."""
        for kind, features, offsets in (
            ("view", self.view_features, self.view_offsets),
            ("tile", self.tile_features, self.tile_offsets),
        ):
            for start in range(0, len(features), _CHECKED_ROWS):
                broken = ~features[start : start + _CHECKED_ROWS].isfinite().all(dim=1)  # (rows,)
                if bool(broken.any()):
                    row = start + int(broken.nonzero()[0])
                    breast_id = self.breast_ids[int(torch.searchsorted(offsets, row, right=True)) - 1]
                    raise HeadError(f"a {kind} vector of breast {breast_id} is not finite; encode that image again")


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _wrap(array: NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():  # arrays in Ray's object store are read-only; BagBatch never writes
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _rows_of(offsets: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    lengths = offsets.diff()[chosen]  # (b,)
    ends = lengths.cumsum(0)
    shift = offsets[chosen] - (ends - lengths)  # from the position among the new rows to that among the old
    rows = torch.arange(int(lengths.sum()), device=offsets.device) + torch.repeat_interleave(shift, lengths)
    return rows, torch.cat([ends.new_zeros(1), ends])


def _assert_ragged(kind: str, features: Tensor, offsets: Tensor, *, breasts: int) -> None:
    if features.ndim != 2 or features.dtype not in _STORED:
        raise HeadError(
            f"{kind} features are {features.dtype} of shape {tuple(features.shape)}; "
            "pass (N, D) float16, bfloat16 or float32"
        )
    if offsets.dtype != torch.int64 or offsets.shape != (breasts + 1,):
        raise HeadError(
            f"{kind} offsets are {offsets.dtype} of shape {tuple(offsets.shape)}; "
            f"{breasts} breast ids need int64 of shape ({breasts + 1},)"
        )
    if int(offsets[0]) != 0 or int(offsets[-1]) != len(features):
        raise HeadError(
            f"{kind} offsets run from {int(offsets[0])} to {int(offsets[-1])}; they must run from 0 to the "
            f"{len(features)} rows given"
        )
    if bool((offsets.diff() < 0).any()):
        raise HeadError(
            f"{kind} offsets decrease at breast {int((offsets.diff() < 0).nonzero()[0])}; sort rows by breast"
        )


def _assert_labels(labels: Tensor, *, breasts: int) -> None:
    if labels.dtype != torch.float32 or labels.ndim not in (1, 2) or len(labels) != breasts:
        raise HeadError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; {breasts} breasts need float32 of ({breasts},),"
            f" or of ({breasts}, labels)"
        )
    if not bool(((labels >= 0) & (labels == labels.round())).all()):
        raise HeadError("labels hold values other than whole numbers from 0; leave out breasts without a label")


def chunk_bags(bag_sizes: NDArray[np.integer[Any]], *, max_rows: int) -> list[tuple[int, int]]:
    """Split B breasts into chunks (start, stop) of at most `max_rows` instances; a larger breast is its own chunk."""
    chunks, start, filled = [], 0, 0
    for breast, size in enumerate(bag_sizes.tolist()):
        if breast > start and filled + size > max_rows:
            chunks.append((start, breast))
            start, filled = breast, 0
        filled += size
    return [*chunks, (start, len(bag_sizes))]
