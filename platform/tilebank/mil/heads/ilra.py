"""ILRA: iterative low-rank attention. Knows nothing but its settings.

Xiang and Zhang (ICLR 2023): a bag of much alike instances is of low rank, so a few learned latents ask it,
and are asked back, in blocks that are gated (GAB: attention block times SiLU of a linear map of what asks); then one
learned vector pools the bag by attention (their non-local pooling). The same blocks as the Set Transformer's but for
the gate and many more latents: formulas in set_attention.py, the whole in set_attention_head.py. The projection before the first
block is ours (theirs is inside of it). Published: 256 channels, 8 heads, 64 latents, 2 blocks.
"""

from dataclasses import dataclass
from typing import Literal

from tilebank.mil.heads.parts.set_attention_head import LatentConfig, LatentHead


@dataclass(frozen=True)
class IlraConfig(LatentConfig):
    """`latents`: the rank."""

    name: Literal["ilra"] = "ilra"
    heads: int = 8
    latents: int = 64


class Ilra(LatentHead):
    """T heads of low-rank attention."""

    config: IlraConfig
    gated = True
