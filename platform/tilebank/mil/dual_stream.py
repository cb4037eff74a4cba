"""The dual-stream head: views pooled by max, tiles by one learned latent, one linear layer on both.

Knows tensors alone. As published for frozen encoders in mammography (MIL-PF): each stream Linear(D, 16), ReLU,
Linear(16, 8), ReLU; then Linear(16, 1) on the two pooled vectors. 49,625 parameters at D = 1536, 37,337 at D = 1152.
The head can also be fitted on single instances and pool their logits at prediction only (`training: instance`).
T trial, N instance, B breast, Nt tile, C latent width, P width of all streams together, O answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tilebank.errors import HeadError
from tilebank.mil.bags import BagBatch
from tilebank.mil.chance import STILL, Draws
from tilebank.mil.contract import Head, HeadConfig, Training
from tilebank.mil.layers import StackedLinear, generators_of
from tilebank.mil.outputs import BINARY, Outputs
from tilebank.mil.passes import Attention, Criterion, HeadPass, Losses, PreparedBags
from tilebank.mil.pooling import POOLINGS, LatentAttention
from tilebank.mil.ragged import Ragged

StreamPooling = Literal["max", "mean", "attention", "none"]


@dataclass(frozen=True)
class DualStreamConfig(HeadConfig):
    """`none` leaves a stream out; `hidden` and `latent` are a stream's two widths.

    training: `breast` pools vectors and answers once a breast, in fitting as in use. `instance` fits every view or tile
    by itself, with its breast's label, and pools their logits at prediction only; it takes one stream, mean or max.
    """

    name: Literal["dual_stream"] = "dual_stream"
    view_pooling: StreamPooling = "max"
    tile_pooling: StreamPooling = "attention"
    training: Training = "breast"
    hidden: int = 16
    latent: int = 8

    def __post_init__(self) -> None:
        poolings = {self.view_pooling, self.tile_pooling}
        if poolings == {"none"}:
            raise HeadError(f"head {self.name}: view_pooling and tile_pooling are both none; pool at least one stream")
        if self.training not in ("breast", "instance"):
            raise HeadError(f"head {self.name}: no training {self.training!r}; choose breast or instance")
        if self.training == "instance" and poolings not in ({"none", "mean"}, {"none", "max"}):
            raise HeadError(
                f"head {self.name}: training on instances takes one stream pooled by mean or max and the other none,"
                f" not views by {self.view_pooling} and tiles by {self.tile_pooling}"
            )
        if self.hidden < 1 or self.latent < 1:
            raise HeadError(f"head {self.name}: widths hidden={self.hidden}, latent={self.latent} must be positive")

    @property
    def views_by(self) -> str:
        """The views' pooling."""
        return self.view_pooling

    @property
    def tiles_by(self) -> str:
        """The tiles' pooling."""
        return self.tile_pooling

    @property
    def fitted_on(self) -> Training:
        """As `training` says."""
        return self.training


class DualStream(Head):
    """T dual-stream heads; settings may change a stream's pooling or leave the stream out."""

    config: DualStreamConfig

    def __init__(self, config: DualStreamConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
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

    @property
    def row_numbers(self) -> int:
        """What the two layers of its stream hold."""
        return 4 * self.config.hidden + 6 * self.config.latent

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits, and the attention of the tiles, else of the views, where a stream has it."""
        if self.config.training == "instance":
            return HeadPass(self._pooled_logits(bags))
        pooled, attentions = [], []
        for stream, rows in self._streams(bags):
            of_breasts, weights = stream(rows)
            pooled.append(of_breasts)
            if weights is not None:
                attentions.append(Attention(weights, rows))
        seen = torch.cat(pooled, dim=1)  # (T, P, B)
        logits = self.as_logits(self.classifier(seen if draws.keep is None else seen * draws.keep))
        return HeadPass(logits, attentions[-1] if attentions else None)

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, draws: Draws) -> Losses:
        """The breasts', or where instances are fitted, theirs with their breast's label."""
        if self.config.training == "breast":
            return super().losses(bags, labels, criterion=criterion, draws=draws)
        ((_, rows),) = self._streams(bags)
        return Losses(criterion(self.instance_logits(bags, draws=draws), labels[rows.segments.owner]))

    def instance_logits(self, bags: PreparedBags, *, draws: Draws = STILL) -> Tensor:
        """Logits of every instance by itself, where instances are fitted: (T, N) or (T, N, O)."""
        ((stream, rows),) = self._streams(bags)
        z = stream.project(rows)  # (T, C, N)
        return self.as_logits(self.classifier(z if draws.keep is None else z * draws.keep[:, :, rows.segments.owner]))

    def count_examples(self, bags: BagBatch) -> int:
        """Breasts, or where instances are fitted, views or tiles."""
        if self.config.training == "breast":
            return len(bags)
        return len(bags.view_features if self.view_stream is not None else bags.tile_features)

    def _streams(self, bags: PreparedBags) -> list[tuple["_Stream", Ragged]]:
        both = ((self.view_stream, bags.views), (self.tile_stream, bags.tiles))
        return [(stream, rows) for stream, rows in both if stream is not None and rows is not None]

    def _pooled_logits(self, bags: PreparedBags) -> Tensor:
        """Mean or max over each breast of its instances' logits; a breast without any has the bias alone."""
        ((stream, rows),) = self._streams(bags)
        bias = self.classifier.bias.unsqueeze(2)  # (T, O, 1)
        own = self.classifier(stream.project(rows)) - bias  # (T, O, N)
        return self.as_logits(stream.pooling(own, rows.segments) + bias)


class _Stream(nn.Module):
    """Instances of one kind -> one vector a breast."""

    def __init__(
        self, pooling: str, config: DualStreamConfig, *, dim: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.first = StackedLinear(dim, config.hidden, generators=generators)
        self.second = StackedLinear(config.hidden, config.latent, generators=generators)
        self.pooling = POOLINGS[pooling](config.latent, generators)

    def project(self, rows: Ragged) -> Tensor:
        """(N, D) -> (T, C, N)."""
        return torch.relu(self.second(torch.relu(self.first(rows.read()))))

    def forward(self, rows: Ragged) -> tuple[Tensor, Tensor | None]:
        """Ragged (N, D) -> pooled (T, C, B), and attention (T, N) where the pooling has it."""
        z = self.project(rows)
        if not isinstance(self.pooling, LatentAttention):
            return self.pooling(z, rows.segments), None
        weights = self.pooling.weights(z, rows.segments)
        return self.pooling.pool(z, weights, rows.segments), weights


def _stream_of(
    pooling: str, config: DualStreamConfig, *, dim: int, generators: Sequence[torch.Generator]
) -> _Stream | None:
    if pooling == "none":
        return None
    if pooling not in POOLINGS:
        raise HeadError(f"no pooling {pooling!r}; choose one of {', '.join(POOLINGS)}, none")
    return _Stream(pooling, config, dim=dim, generators=generators)
