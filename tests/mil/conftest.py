"""Toy bags, an exact ROC AUC, and the dual-stream head written plainly: one head, one bag at a time, torch.nn alone."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.head import Head

MakeBags = Callable[..., BagBatch]


@pytest.fixture
def make_bags() -> MakeBags:
    """Bags of noise; in a positive breast one tile (the first) is moved along the first axis."""

    def make(
        *,
        seed: int,
        breasts: int = 24,
        dim: int = 6,
        signal: float = 0.0,
        fewest_tiles: int = 1,
        dtype: str = "float16",
    ) -> BagBatch:
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.arange(breasts) % 2)
        views, tiles = rng.integers(1, 4, breasts), rng.integers(fewest_tiles, 9, breasts)
        tile_offsets = np.concatenate([[0], np.cumsum(tiles)])
        tile_features = rng.normal(size=(tile_offsets[-1], dim))
        tile_features[tile_offsets[:-1][(labels == 1) & (tiles > 0)], 0] += signal
        return BagBatch.from_arrays(
            view_features=rng.normal(size=(views.sum(), dim)).astype(dtype),
            view_offsets=np.concatenate([[0], np.cumsum(views)]),
            tile_features=tile_features.astype(dtype),
            tile_offsets=tile_offsets,
            breast_ids=[f"exam{b}_L" for b in range(breasts)],
            labels=labels,
        )

    return make


@pytest.fixture
def roc_auc() -> Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]:
    """Exact, ties half: (T, B) and (B,) -> (T,)."""

    def auc(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        positive, negative = scores[:, labels == 1][:, :, None], scores[:, labels == 0][:, None, :]
        return ((positive > negative) + 0.5 * (positive == negative)).mean(axis=(1, 2))

    return auc


class PlainDualStream(nn.Module):
    """Views by max, tiles by one latent; weights taken from the first trial of a pack."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        weights = {name: value[0].clone() for name, value in head.state_dict().items()}
        for name in (
            "view_stream.first",
            "view_stream.second",
            "tile_stream.first",
            "tile_stream.second",
            "classifier",
        ):
            self.add_module(name.replace(".", "_"), _linear(weights, name))
        self.key = _linear(weights, "tile_stream.pooling.key")
        self.value = _linear(weights, "tile_stream.pooling.value")
        self.latent = nn.Parameter(weights["tile_stream.pooling.latent"])

    def forward(self, bags: BagBatch) -> Tensor:
        return torch.stack([self._one(*_rows(bags, b)) for b in range(len(bags))])

    def attention(self, bags: BagBatch) -> Tensor:
        return torch.cat([self._weights(self._tiles(_rows(bags, b)[1])) for b in range(len(bags))])

    def _one(self, views: Tensor, tiles: Tensor) -> Tensor:
        seen = self.view_stream_second(self.view_stream_first(views).relu()).relu().max(dim=0).values
        z = self._tiles(tiles)
        return self.classifier(torch.cat([seen, self._weights(z) @ self.value(z)])).squeeze()

    def _tiles(self, tiles: Tensor) -> Tensor:
        return self.tile_stream_second(self.tile_stream_first(tiles).relu()).relu()

    def _weights(self, z: Tensor) -> Tensor:
        return torch.softmax(self.key(z) @ self.latent / math.sqrt(len(self.latent)), dim=0)


@pytest.fixture
def plain_dual_stream() -> Callable[[Head], PlainDualStream]:
    return PlainDualStream


def _linear(weights: dict[str, Tensor], name: str) -> nn.Linear:
    linear = nn.Linear(weights[f"{name}.weight"].shape[1], len(weights[f"{name}.weight"]))
    linear.load_state_dict({"weight": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]})
    return linear


def _rows(bags: BagBatch, b: int) -> tuple[Tensor, Tensor]:
    views = bags.view_features[bags.view_offsets[b] : bags.view_offsets[b + 1]].float()
    tiles = bags.tile_features[bags.tile_offsets[b] : bags.tile_offsets[b + 1]].float()
    return nn.functional.normalize(views), nn.functional.normalize(tiles)
