"""The dual-stream head: views pooled by max, tiles by attention with one learned latent, one linear layer on both.

As published for frozen encoders in mammography (MIL-PF): each stream Linear(D, 16), ReLU, Linear(16, 8), ReLU; then
Linear(16, 1) on the two pooled vectors. 49,625 parameters at D = 1536, 37,337 at D = 1152. The head can also be trained
on single instances and pool their logits at prediction only (`training: instance`).
T trial, N instance, B breast, Nt tile, C latent width, P width of all streams together, O output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.bags.ragged import Ragged
from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.head import Head, HeadConfig, Training
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Criterion, ForwardPass, Losses, PreparedBags
from tilebank.mil.heads.parts.anchor import AnchorConfig
from tilebank.mil.heads.parts.dual_stream_branch import Stream, StreamOutput, StreamPooling
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of


@dataclass(frozen=True)
class DualStreamConfig(HeadConfig):
    """Poolings (`none` leaves a stream out), training mode, and the two widths of a stream, `hidden` and `latent`.

    training: `breast` pools vectors and gives one output per breast, in training and prediction. `instance` trains on
    every view or tile separately, with its breast's label, and pools their logits at prediction only; it takes one
    stream, mean or max. anchor: None, or ASMIL's, on every stream that is pooled by attention.
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
            raise HeadError(f"head {self.name}: an anchor needs a stream pooled by attention; set anchor: null")
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

    def tiles_only(self) -> Self:
        """The same settings with `view_pooling: none`."""
        return replace(self, view_pooling="none")

    @property
    def fitted_on(self) -> Training:
        """The value of `training`."""
        return self.training


class DualStream(Head):
    """T dual-stream heads."""

    config: DualStreamConfig

    def __init__(self, config: DualStreamConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        super().__init__(config, dim=dim, outputs=outputs)
        generators = generators_of(seeds)  # used in this order: views, tiles, classifier
        self.view_stream = _stream_of(config.view_pooling, config, dim=dim, generators=generators)
        self.tile_stream = _stream_of(config.tile_pooling, config, dim=dim, generators=generators)
        self.classifier = StackedLinear(self.pooled_width, outputs.count, generators=generators)

    @property
    def pooled_width(self) -> int:
        """P: the latent width of each stream."""
        streams = 2 - [self.config.view_pooling, self.config.tile_pooling].count("none")
        return streams * self.config.latent

    @property
    def floats_per_instance(self) -> int:
        """Activations of a stream's two layers, with gradients; an anchor computes them again without gradients."""
        widths = 4 * self.config.hidden + 6 * self.config.latent
        return widths if self.config.anchor is None else widths * 3 // 2

    def run(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> ForwardPass:
        """Logits, and the attention of tiles if their stream has it, else of views."""
        if self.config.training == "instance":
            return ForwardPass(self._pooled_logits(bags))
        pooled = [stream.pool(rows) for stream, rows in self._streams(bags)]
        attentions = [each.attention for each in pooled if each.attention is not None]
        return ForwardPass(self._classify(pooled, noise), attentions[-1] if attentions else None)

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The losses of the breasts and of anchors; or of the instances, with their breast's label."""
        streams = self._streams(bags)
        if self.config.training == "instance":
            ((_, rows),) = streams
            return Losses(criterion(self.instance_logits(bags, noise=noise), labels[rows.segments.owner]))
        pooled = [stream.pool(rows) for stream, rows in streams]
        losses = [stream.anchor_loss(own, rows) for own, (stream, rows) in zip(pooled, streams, strict=True)]
        anchors = [loss for loss in losses if loss is not None]
        extra = torch.stack(anchors).sum(dim=0) if anchors else None
        return Losses(criterion(self._classify(pooled, noise), labels), extra)

    def after_step(self) -> None:
        """Update the anchors."""
        for stream in (self.view_stream, self.tile_stream):
            if stream is not None:
                stream.after_step()

    def instance_logits(self, bags: PreparedBags, *, noise: StepNoise = NO_NOISE) -> Tensor:
        """Logits of every instance, for `training: instance`: (T, N) or (T, N, O)."""
        ((stream, rows),) = self._streams(bags)
        z = stream.project(rows)  # (T, C, N)
        return self.as_logits(self.classifier(noise.dropout(z, owner=rows.segments.owner)))

    def count_examples(self, bags: BagBatch) -> int:
        """The number of breasts, or for `training: instance` of views or tiles."""
        if self.config.training == "breast":
            return len(bags)
        return len(bags.view_features if self.view_stream is not None else bags.tile_features)

    def _streams(self, bags: PreparedBags) -> list[tuple[Stream, Ragged]]:
        both = ((self.view_stream, bags.views), (self.tile_stream, bags.tiles))
        return [(stream, rows) for stream, rows in both if stream is not None and rows is not None]

    def _classify(self, streams: Sequence[StreamOutput], noise: StepNoise) -> Tensor:
        pooled = torch.cat([each.pooled for each in streams], dim=1)  # (T, P, B)
        return self.as_logits(self.classifier(noise.dropout(pooled)))

    def _pooled_logits(self, bags: PreparedBags) -> Tensor:
        """Mean or max of the instance logits of each breast; a breast without instances gets the bias."""
        ((stream, rows),) = self._streams(bags)
        bias = self.classifier.bias.unsqueeze(2)  # (T, O, 1)
        logits = self.classifier(stream.project(rows)) - bias  # (T, O, N)
        return self.as_logits(stream.pooling(logits, rows.segments) + bias)


def _stream_of(
    pooling: StreamPooling, config: DualStreamConfig, *, dim: int, generators: Sequence[torch.Generator]
) -> Stream | None:
    if pooling == "none":
        return None
    return Stream(
        pooling, dim=dim, hidden=config.hidden, latent=config.latent, anchor=config.anchor, generators=generators
    )
