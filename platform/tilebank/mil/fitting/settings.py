"""What a fit is told: of all its heads (FitConfig) and of each (TrialConfig). Knows no tensors."""

from dataclasses import dataclass
from typing import Literal

from tilebank.errors import HeadError


@dataclass(frozen=True)
class FitConfig:
    """How long, how classes weigh, and how much at once.

    class_weight: `balanced` gives a positive breast the train split's n_negative / n_positive, and a class M / (C n_c).
    batch: breasts a step, drawn in an order of `order_seed` that all trials share; 0 is the full batch. memory_mb: what
    a fit may take on its device; 0 asks a GPU what is free. Whatever it is, a step is that of its whole batch. tf32: on
    a GPU, products with 11 significant bits, in which stored halves are exact; a CPU knows float32 alone.
    """

    max_epochs: int = 700
    patience: int = 20
    min_gain: float = 0.001
    class_weight: Literal["balanced", "none"] = "balanced"
    batch: int = 0
    order_seed: int = 0
    memory_mb: int = 0
    tf32: bool = True

    def __post_init__(self) -> None:
        if self.max_epochs < 1 or self.patience < 1 or self.min_gain < 0:
            raise HeadError(
                f"fit: max_epochs {self.max_epochs} and patience {self.patience} must be at least 1, "
                f"min_gain {self.min_gain} at least 0"
            )
        if self.class_weight not in ("balanced", "none"):
            raise HeadError(f"fit: no class_weight {self.class_weight!r}; choose balanced or none")
        if min(self.batch, self.order_seed, self.memory_mb) < 0:
            raise HeadError(
                f"fit: batch {self.batch}, order_seed {self.order_seed} and memory_mb {self.memory_mb} are not below 0"
            )


@dataclass(frozen=True)
class TrialConfig:
    """What differs between the heads of a pack: the seed of first weights and masks, and the optimiser's settings.

    dropout: share of a pooled vector's numbers that a step leaves out. positive_weight: what a positive breast weighs;
    None leaves it to FitConfig.class_weight.
    """

    seed: int
    lr: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    positive_weight: float | None = None

    def __post_init__(self) -> None:
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise HeadError(
                f"trial of seed {self.seed}: lr {self.lr} must be above 0, weight_decay {self.weight_decay} not below"
            )
        if not 0 <= self.dropout < 1:
            raise HeadError(f"trial of seed {self.seed}: dropout {self.dropout} must be from 0 up to but not 1")
        if self.positive_weight is not None and not self.positive_weight > 0:
            raise HeadError(f"trial of seed {self.seed}: positive_weight {self.positive_weight} must be above 0")
