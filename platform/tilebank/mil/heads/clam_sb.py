"""CLAM with a single attention branch: gated attention pooling, plus instance classifiers in training.

Lu et al. (Nature Biomedical Engineering 5:555, 2021): h, attention a and the pooled vector as in gated ABMIL
(abmil.py). In training the k instances of highest attention are labelled evidence for the breast's class, the k of
lowest attention are labelled as no evidence, and a classifier of that class learns this from h. With s = w_c . h + b_c,
    loss = (1 - weight) bag + weight * mean over the 2 k instances of softplus(margin -+ s)
softplus(1 - s) is the paper's smooth top-1 SVM (Berrada, Zisserman and Kumar, ICLR 2018, tau = 1) of two classes whose
difference of scores is s; the released code learns both scores. Margin 0 is the cross-entropy. `subtyping`: the
classifiers of the other classes learn that the same top k are no evidence for them. A binary output has two classes.
In a small bag no instance is given both labels: at most ceil(n / 2) of highest and floor(n / 2) of lowest attention are
used. Published widths: 512 and 256. T trial, N instance, B breast, C channel, K class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import one_hot, softplus

from tilebank.errors import HeadError
from tilebank.mil.bags.segments import Segments, segment_sum
from tilebank.mil.contract.dropout import StepNoise
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.contract.records import Criterion, Losses, PreparedBags
from tilebank.mil.heads.parts.attention_head import AttentionConfig, AttentionHead
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of
from tilebank.mil.heads.parts.segment_sort import segment_ranks


@dataclass(frozen=True)
class ClamSbConfig(AttentionConfig):
    """`sampled`: k; `instance_weight`: share of the instance loss; `margin`: 1 for the smooth SVM."""

    name: Literal["clam_sb"] = "clam_sb"
    sampled: int = 8
    instance_weight: float = 0.3
    margin: float = 1.0
    subtyping: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampled < 1:
            raise HeadError(f"head {self.name}: sampled={self.sampled} must be positive")
        if not 0 <= self.instance_weight < 1 or self.margin < 0:
            raise HeadError(
                f"head {self.name}: instance_weight {self.instance_weight} must be at least 0 and below 1"
                f" and margin {self.margin} at least 0"
            )


class ClamSb(AttentionHead):
    """T attention heads with instance classifiers."""

    config: ClamSbConfig

    def __init__(self, config: ClamSbConfig, *, dim: int, seeds: Sequence[int], outputs: Outputs = BINARY) -> None:
        generators = generators_of(seeds)  # used in this order: scorer, classifier, instance classifiers
        super().__init__(config, dim=dim, gated=True, generators=generators, outputs=outputs)
        classes = 2 if outputs.kind == "binary" else outputs.count
        self.evidence = StackedLinear(config.hidden, classes, generators=generators)

    @property
    def floats_per_instance(self) -> int:
        """h, weighted h, the attention branches, each class's evidence and its two loss terms, with gradients."""
        return 6 * self.config.hidden + 8 * self.config.attention + 12 * max(2, self.outputs.count)

    def losses(self, bags: PreparedBags, labels: Tensor, *, criterion: Criterion, noise: StepNoise) -> Losses:
        """The losses of the breasts, and of their instances of highest and lowest attention."""
        rows = self.rows(bags)
        h, scores = self.scorer(rows)
        examples = criterion(self.pool(h, scores, rows, noise=noise).logits, labels)
        instance_losses = self._instance_losses(self.evidence(h), scores, self._classes(labels), rows.segments)
        weight = self.config.instance_weight
        return Losses((1 - weight) * examples, weight * instance_losses)

    def _instance_losses(self, evidence: Tensor, scores: Tensor, classes: Tensor, segments: Segments) -> Tensor:
        """Evidence (T, K, N), attention scores (T, N) and the classes of each breast (K, B), 0 or 1 -> (T, B)."""
        rank, length = segment_ranks(scores, segments), segments.lengths[segments.owner]
        top = rank < ((length + 1) // 2).clamp_max(self.config.sampled)
        lowest = rank >= length - (length // 2).clamp_max(self.config.sampled)
        is_evidence = top.unsqueeze(1) * softplus(self.config.margin - evidence)  # (T, K, N)
        is_no_evidence = softplus(self.config.margin + evidence)
        sampled = segments.lengths.clamp_max(2 * self.config.sampled).clamp_min(1)  # (B,)
        losses = (
            classes * segment_sum(is_evidence + lowest.unsqueeze(1) * is_no_evidence, segments) / sampled
        )  # (T, K, B)
        if not self.config.subtyping:
            return losses.sum(dim=1)
        tops = ((segments.lengths + 1) // 2).clamp(1, self.config.sampled)
        others = (1 - classes) * segment_sum(top.unsqueeze(1) * is_no_evidence, segments) / tops
        return (losses + others).mean(dim=1)

    def _classes(self, labels: Tensor) -> Tensor:
        """The classes of each breast, 0 or 1: (K, B)."""
        if self.outputs.kind == "multilabel":
            return labels.T
        return one_hot(labels.long(), self.evidence.bias.shape[1]).T.to(self.evidence.bias.dtype)
