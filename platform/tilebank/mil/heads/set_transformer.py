"""Set Transformer: instances attend to each other through inducing points.

Lee, Lee, Kim, Kosiorek, Choi and Teh (ICML 2019): ISAB, ISAB, pooling by one seed (PMA with k = 1), Linear. Formulas
are in set_attention.py, the architecture in set_attention_head.py. With one seed, the SAB that may follow PMA would
attend to a single vector, so it is left out. Released code: 128 channels, 4 heads, 32 points.
"""

from dataclasses import dataclass
from typing import Literal

from tilebank.mil.heads.parts.set_attention_head import SetAttentionConfig, SetAttentionHead


@dataclass(frozen=True)
class SetTransformerConfig(SetAttentionConfig):
    """`latents`: inducing points per block."""

    name: Literal["set_transformer"] = "set_transformer"


class SetTransformer(SetAttentionHead):
    """T heads."""

    config: SetTransformerConfig
    gated = False
