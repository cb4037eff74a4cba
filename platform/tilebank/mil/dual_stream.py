"""The dual-stream head: views pooled by max, tiles by one learned latent, one linear layer on both.

Knows tensors alone. As published for frozen encoders in mammography (MIL-PF): each stream Linear(D, 16), ReLU,
Linear(16, 8), ReLU; then Linear(16, 1) on the two pooled vectors. 49,625 parameters at D = 1536, 37,337 at D = 1152.
T trial, N instance, B breast, Nt tile, C latent width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags import Ragged
from tilebank.mil.contract import Head, HeadConfig, PreparedBags
from tilebank.mil.layers import StackedLinear, generators_of
from tilebank.mil.pooling import POOLINGS, LatentAttention


class DualStream(Head):
    """T dual-stream heads; settings may change a stream's pooling or leave the stream out."""

    def __init__(self, config: HeadConfig, *, dim: int, seeds: Sequence[int]) -> None:
        super().__init__(config, dim=dim)
        generators = generators_of(seeds)  # drawn from in this order: views, tiles, classifier
        self.view_stream = _stream_of(config.view_pooling, config, dim=dim, generators=generators)
        self.tile_stream = _stream_of(config.tile_pooling, config, dim=dim, generators=generators)
        streams = 2 - [config.view_pooling, config.tile_pooling].count("none")
        self.classifier = StackedLinear(streams * config.latent, 1, generators=generators)

    def logits(self, bags: PreparedBags) -> Tensor:
        """One number a trial and breast: (T, B)."""
        streams = ((self.view_stream, bags.views), (self.tile_stream, bags.tiles))
        pooled = [stream(rows) for stream, rows in streams if stream is not None]  # each (T, C, B)
        logits: Tensor = self.classifier(torch.cat(pooled, dim=1))  # (T, 1, B)
        return logits.squeeze(1)

    def tile_weights(self, bags: PreparedBags) -> Tensor:
        """Attention of every tile, normalised over its breast: (T, Nt)."""
        stream = self.tile_stream
        if stream is None or bags.tiles is None or not isinstance(stream.pooling, LatentAttention):
            raise HeadError(
                f"this {self.config.name} pools tiles by {self.config.tile_pooling} and has no attention to show; "
                "fit a head with tile_pooling: attention"
            )
        return stream.pooling.weights(stream.project(bags.tiles.features), bags.tiles.segments)


class _Stream(nn.Module):
    """Instances of one kind -> one vector a breast."""

    def __init__(self, pooling: str, config: HeadConfig, *, dim: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.first = StackedLinear(dim, config.hidden, generators=generators)
        self.second = StackedLinear(config.hidden, config.latent, generators=generators)
        self.pooling = POOLINGS[pooling](config.latent, generators)

    def project(self, features: Tensor) -> Tensor:
        """(N, D) -> (T, C, N)."""
        return torch.relu(self.second(torch.relu(self.first(features))))

    def forward(self, rows: Ragged) -> Tensor:
        """Ragged (N, D) -> (T, C, B)."""
        pooled: Tensor = self.pooling(self.project(rows.features), rows.segments)
        return pooled


def _stream_of(pooling: str, config: HeadConfig, *, dim: int, generators: Sequence[torch.Generator]) -> _Stream | None:
    if pooling == "none":
        return None
    if pooling not in POOLINGS:
        raise HeadError(f"no pooling {pooling!r}; choose one of {', '.join(POOLINGS)}, none")
    return _Stream(pooling, config, dim=dim, generators=generators)
