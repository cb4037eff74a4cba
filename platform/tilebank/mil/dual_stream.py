"""The dual-stream head: views pooled by max, tiles by one learned latent, one linear layer on both.

Knows tensors alone. As published for frozen encoders in mammography (MIL-PF): each stream Linear(D, 16), ReLU,
Linear(16, 8), ReLU; then Linear(16, 1) on the two pooled vectors. 49,625 parameters at D = 1536, 37,337 at D = 1152.
The head can also be fitted on single instances and pool their logits at prediction only (`training: instance`).
T trial, N instance, B breast, Nt tile, C latent width, P width of all streams together, O answer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags import BagBatch
from tilebank.mil.contract import Head, HeadConfig, PreparedBags
from tilebank.mil.layers import StackedLinear, generators_of
from tilebank.mil.outputs import BINARY, Outputs
from tilebank.mil.pooling import POOLINGS, LatentAttention
from tilebank.mil.ragged import Ragged


class DualStream(Head):
    """T dual-stream heads; settings may change a stream's pooling or leave the stream out."""

    def __init__(self, config: HeadConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # drawn from in this order: views, tiles, classifier
        self.view_stream = _stream_of(config.view_pooling, config, dim=dim, generators=generators)
        self.tile_stream = _stream_of(config.tile_pooling, config, dim=dim, generators=generators)
        self.classifier = StackedLinear(self.pooled_width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """P: the latent width, once a stream."""
        streams = 2 - [self.config.view_pooling, self.config.tile_pooling].count("none")
        return streams * self.config.latent

    def logits(self, bags: PreparedBags, *, keep: Tensor | None = None) -> Tensor:
        """Before the sigmoid or softmax: (T, B) or (T, B, O). `keep` (T, P, B) multiplies the pooled vectors."""
        if self.config.training == "instance":
            return self._pooled_logits(bags)
        pooled = torch.cat([stream(rows) for stream, rows in self._streams(bags)], dim=1)  # (T, P, B)
        return self._as_logits(self.classifier(pooled if keep is None else pooled * keep))

    def example_logits(self, bags: PreparedBags, *, keep: Tensor | None = None) -> Tensor:
        """The breasts' logits, or where instances are fitted (T, N) or (T, N, O): theirs."""
        if self.config.training == "breast":
            return self.logits(bags, keep=keep)
        ((stream, rows),) = self._streams(bags)
        z = stream.project(rows)  # (T, C, N)
        return self._as_logits(self.classifier(z if keep is None else z * keep[:, :, rows.segments.owner]))

    def example_owner(self, bags: PreparedBags) -> Tensor | None:
        """The breast of each instance (N,), where instances are fitted."""
        if self.config.training == "breast":
            return None
        ((_, rows),) = self._streams(bags)
        return rows.segments.owner

    def count_examples(self, bags: BagBatch) -> int:
        """Breasts, or where instances are fitted, views or tiles."""
        if self.config.training == "breast":
            return len(bags)
        return len(bags.view_features if self.view_stream is not None else bags.tile_features)

    def tile_weights(self, bags: PreparedBags) -> Tensor:
        """Attention of every tile, normalised over its breast: (T, Nt)."""
        stream = self.tile_stream
        if stream is None or bags.tiles is None or not isinstance(stream.pooling, LatentAttention):
            raise HeadError(
                f"this {self.config.name} pools tiles by {self.config.tile_pooling} and has no attention to show; "
                "fit a head with tile_pooling: attention"
            )
        return stream.pooling.weights(stream.project(bags.tiles), bags.tiles.segments)

    def _streams(self, bags: PreparedBags) -> list[tuple["_Stream", Ragged]]:
        both = ((self.view_stream, bags.views), (self.tile_stream, bags.tiles))
        return [(stream, rows) for stream, rows in both if stream is not None and rows is not None]

    def _pooled_logits(self, bags: PreparedBags) -> Tensor:
        """Mean or max over each breast of its instances' logits; a breast without any has the bias alone."""
        ((stream, rows),) = self._streams(bags)
        bias = self.classifier.bias.unsqueeze(2)  # (T, O, 1)
        own = self.classifier(stream.project(rows)) - bias  # (T, O, N)
        return self._as_logits(stream.pooling(own, rows.segments) + bias)

    def _as_logits(self, answers: Tensor) -> Tensor:
        """(T, O, M) -> (T, M) for a yes-no question, else (T, M, O)."""
        return answers.squeeze(1) if self.outputs.kind == "binary" else answers.transpose(1, 2)


class _Stream(nn.Module):
    """Instances of one kind -> one vector a breast."""

    def __init__(self, pooling: str, config: HeadConfig, *, dim: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.first = StackedLinear(dim, config.hidden, generators=generators)
        self.second = StackedLinear(config.hidden, config.latent, generators=generators)
        self.pooling = POOLINGS[pooling](config.latent, generators)

    def project(self, rows: Ragged) -> Tensor:
        """(N, D) -> (T, C, N)."""
        return torch.relu(self.second(torch.relu(self.first(rows.read()))))

    def forward(self, rows: Ragged) -> Tensor:
        """Ragged (N, D) -> (T, C, B)."""
        pooled: Tensor = self.pooling(self.project(rows), rows.segments)
        return pooled


def _stream_of(pooling: str, config: HeadConfig, *, dim: int, generators: Sequence[torch.Generator]) -> _Stream | None:
    if pooling == "none":
        return None
    if pooling not in POOLINGS:
        raise HeadError(f"no pooling {pooling!r}; choose one of {', '.join(POOLINGS)}, none")
    return _Stream(pooling, config, dim=dim, generators=generators)
