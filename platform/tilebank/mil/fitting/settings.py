"""Settings of a fit: FitConfig for the whole pack, TrialConfig for one trial."""

from dataclasses import dataclass
from typing import Literal

from tilebank.errors import HeadError


@dataclass(frozen=True)
class FitConfig:
    """Number of epochs, class weights, batch size and memory.

    class_weight: `balanced` weights positive breasts by n_negative / n_positive of the train split, classes by
    M / (C n_c). batch: breasts per optimizer step, shuffled by `order_seed` in the same way for all trials; 0 is the
    full batch. memory_mb: limit on the device; 0 takes a GPU's free memory. It never changes the batch of a step.
    tf32: matrix products on a GPU with 11 significant bits, which represent float16 features exactly; CPUs use float32.
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
                f"fit: batch {self.batch}, order_seed {self.order_seed} and memory_mb {self.memory_mb} must be at"
                " least 0"
            )


@dataclass(frozen=True)
class TrialConfig:
    """Settings of one head in a pack: the seed of initial weights and dropout masks, and the optimizer's settings.

    dropout: dropout rate on the pooled vector. positive_weight: loss weight of positive breasts; None takes
    FitConfig.class_weight.
    """

    seed: int
    lr: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    positive_weight: float | None = None

    def __post_init__(self) -> None:
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise HeadError(
                f"trial of seed {self.seed}: lr {self.lr} must be above 0, weight_decay {self.weight_decay} at least 0"
            )
        if not 0 <= self.dropout < 1:
            raise HeadError(f"trial of seed {self.seed}: dropout {self.dropout} must be at least 0 and below 1")
        if self.positive_weight is not None and not self.positive_weight > 0:
            raise HeadError(f"trial of seed {self.seed}: positive_weight {self.positive_weight} must be above 0")
