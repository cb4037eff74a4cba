"""ILRA: iterative low-rank attention between instances and a few latents.

Xiang and Zhang (ICLR 2023): a bag of similar instances has low rank, so a few learned latents attend to the instances
and the instances to them, in gated blocks (GAB: attention block times SiLU of a linear map of its query). Then one
learned vector pools the bag by attention (their non-local pooling). The blocks are those of the Set Transformer with a
gate and many more latents: formulas in set_attention.py, architecture in set_attention_head.py. The projection before
the first block is ours (theirs is inside it). Published: 256 channels, 8 heads, 64 latents, 2 blocks.
"""

from dataclasses import dataclass
from typing import Literal

from tilebank.mil.heads.parts.set_attention_head import SetAttentionConfig, SetAttentionHead


@dataclass(frozen=True)
class IlraConfig(SetAttentionConfig):
    """`latents`: the rank."""

    name: Literal["ilra"] = "ilra"
    heads: int = 8
    latents: int = 64


class Ilra(SetAttentionHead):
    """T heads."""

    config: IlraConfig
    gated = True
