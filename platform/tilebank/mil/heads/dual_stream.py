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
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.ragged import Ragged
from tilebank.mil.contract.dropout import STILL, Draws
from tilebank.mil.contract.head import Head, HeadConfig, Training
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Criterion, HeadPass, Losses, PreparedBags
from tilebank.mil.heads.parts.anchor import AnchorConfig
from tilebank.mil.heads.parts.dual_stream_branch import SeenStream, Stream, StreamPooling
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of


@dataclass(frozen=True)
class DualStreamConfig(HeadConfig):
    """`none` leaves a stream out; `hidden` and `latent` are a stream's two widths.

    training: `breast` pools vectors and answers once a breast, in fitting as in use. `instance` fits every view or tile
    by itself, with its breast's label, and pools their logits at prediction only; it takes one stream, mean or max.
    anchor: null, or as of ASMIL, on every stream that is pooled by attention.
    """

    name: Literal["dual_stream"] = "dual_stream"
    view_pooling: StreamPooling = "max"
    tile_pooling: StreamPooling = "attention"
    training: Training = "breast"
    hidden: int = 16
    latent: int = 8
    anchor: AnchorConfig | None = None

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
        if self.anchor is not None and "attention" not in poolings:
            raise HeadError(f"head {self.name}: an anchor holds attention, and no stream has it; set anchor: null")
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
        """What the two layers of its stream hold; what an anchor makes again, without gradients."""
        widths = 4 * self.config.hidden + 6 * self.config.latent
        return widths if self.config.anchor is None else widths * 3 // 2

    def run(self, bags: PreparedBags, *, draws: Draws = STILL) -> HeadPass:
        """Logits, and the attention of the tiles, else of the views, where a stream has it."""
        if self.config.training == "instance":
            return HeadPass(self._pooled_logits(bags))
        seen = [stream.see(rows) for stream, rows in self._streams(bags)]
        weighed = [each.attention for each in seen if each.attention is not None]
        return HeadPass(self._answer(seen, draws), weighed[-1] if weighed else None)

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, draws: Draws) -> Losses:
        """The breasts' and the pull of anchors; where instances are fitted, theirs with their breast's label."""
        streams = self._streams(bags)
        if self.config.training == "instance":
            ((_, rows),) = streams
            return Losses(criterion(self.instance_logits(bags, draws=draws), labels[rows.segments.owner]))
        seen = [stream.see(rows) for stream, rows in streams]
        pulls = [stream.pull(own, rows) for own, (stream, rows) in zip(seen, streams, strict=True)]
        held = [pull for pull in pulls if pull is not None]
        return Losses(criterion(self._answer(seen, draws), labels), torch.stack(held).sum(dim=0) if held else None)

    def after_step(self) -> None:
        """Anchors follow."""
        for stream in (self.view_stream, self.tile_stream):
            if stream is not None:
                stream.after_step()

    def instance_logits(self, bags: PreparedBags, *, draws: Draws = STILL) -> Tensor:
        """Logits of every instance by itself, where instances are fitted: (T, N) or (T, N, O)."""
        ((stream, rows),) = self._streams(bags)
        z = stream.project(rows)  # (T, C, N)
        return self.as_logits(self.classifier(draws.thin(z, owner=rows.segments.owner)))

    def count_examples(self, bags: BagBatch) -> int:
        """Breasts, or where instances are fitted, views or tiles."""
        if self.config.training == "breast":
            return len(bags)
        return len(bags.view_features if self.view_stream is not None else bags.tile_features)

    def _streams(self, bags: PreparedBags) -> list[tuple[Stream, Ragged]]:
        both = ((self.view_stream, bags.views), (self.tile_stream, bags.tiles))
        return [(stream, rows) for stream, rows in both if stream is not None and rows is not None]

    def _answer(self, seen: Sequence[SeenStream], draws: Draws) -> Tensor:
        pooled = torch.cat([each.pooled for each in seen], dim=1)  # (T, P, B)
        return self.as_logits(self.classifier(draws.thin(pooled)))

    def _pooled_logits(self, bags: PreparedBags) -> Tensor:
        """Mean or max over each breast of its instances' logits; a breast without any has the bias alone."""
        ((stream, rows),) = self._streams(bags)
        bias = self.classifier.bias.unsqueeze(2)  # (T, O, 1)
        own = self.classifier(stream.project(rows)) - bias  # (T, O, N)
        return self.as_logits(stream.pooling(own, rows.segments) + bias)


def _stream_of(
    pooling: StreamPooling, config: DualStreamConfig, *, dim: int, generators: Sequence[torch.Generator]
) -> Stream | None:
    if pooling == "none":
        return None
    return Stream(
        pooling, dim=dim, hidden=config.hidden, latent=config.latent, anchor=config.anchor, generators=generators
    )
