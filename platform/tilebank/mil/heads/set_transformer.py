"""Set Transformer: instances that see each other by way of inducing points. Knows nothing but its settings.

Lee, Lee, Kim, Kosiorek, Choi and Teh (ICML 2019): ISAB, ISAB, pooling by one seed (PMA with k = 1), Linear; blocks and
formulas in set_attention.py, the whole in set_attention_head.py. With one seed the SAB that may follow PMA sees a single vector, and
is left out. Released code: 128 channels, 4 heads, 32 points.
"""

from dataclasses import dataclass
from typing import Literal

from tilebank.mil.heads.parts.set_attention_head import LatentConfig, LatentHead


@dataclass(frozen=True)
class SetTransformerConfig(LatentConfig):
    """`latents`: the inducing points of a block."""

    name: Literal["set_transformer"] = "set_transformer"


class SetTransformer(LatentHead):
    """T set transformers."""

    config: SetTransformerConfig
    gated = False
