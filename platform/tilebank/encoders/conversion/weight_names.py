"""Rename published weights to the names that transformers uses.

timm's ViT as open_clip keeps it (BiomedCLIP), and the EfficientNet of Melas-Kyriazi's package as Mammo-CLIP keeps it.
"""

import re
from dataclasses import dataclass

from torch import Tensor

from tilebank.errors import EncoderError


@dataclass(frozen=True)
class Published:
    """Where the weights lie in a file: under which key, with which prefix, and the name of the projection's layer.

    names: pattern of a published name -> name in transformers; fused: the ending of a weight that holds query, key and
    value, and the endings of the three.
    """

    under: str
    prefix: str
    projection: str
    names: tuple[tuple[str, str], ...]
    fused: tuple[str, tuple[str, ...]] = ("", ())


BLOCK = r"_blocks\.(\d+)\."
PUBLISHED = {  # by architecture.model_type
    "vit": Published(
        under="state_dict",
        prefix="visual.trunk.",
        projection="visual.head.proj",
        names=(
            (r"cls_token", "embeddings.cls_token"),
            (r"pos_embed", "embeddings.position_embeddings"),
            (r"patch_embed\.proj", "embeddings.patch_embeddings.projection"),
            (r"blocks\.(\d+)\.norm1", r"layers.\1.layernorm_before"),
            (r"blocks\.(\d+)\.attn\.qkv", r"layers.\1.attention.qkv"),
            (r"blocks\.(\d+)\.attn\.proj", r"layers.\1.attention.o_proj"),
            (r"blocks\.(\d+)\.norm2", r"layers.\1.layernorm_after"),
            (r"blocks\.(\d+)\.mlp\.(fc[12])", r"layers.\1.mlp.\2"),
            (r"norm", "layernorm"),
        ),
        fused=("qkv", ("q_proj", "k_proj", "v_proj")),
    ),
    "efficientnet": Published(
        under="model",
        prefix="image_encoder.",
        projection="image_projection.projection",
        names=(
            (r"_conv_stem", "embeddings.convolution"),
            (r"_bn0", "embeddings.batchnorm"),
            (BLOCK + "_expand_conv", r"encoder.blocks.\1.expansion.expand_conv"),
            (BLOCK + "_bn0", r"encoder.blocks.\1.expansion.expand_bn"),
            (BLOCK + "_depthwise_conv", r"encoder.blocks.\1.depthwise_conv.depthwise_conv"),
            (BLOCK + "_bn1", r"encoder.blocks.\1.depthwise_conv.depthwise_norm"),
            (BLOCK + "_se_reduce", r"encoder.blocks.\1.squeeze_excite.reduce"),
            (BLOCK + "_se_expand", r"encoder.blocks.\1.squeeze_excite.expand"),
            (BLOCK + "_project_conv", r"encoder.blocks.\1.projection.project_conv"),
            (BLOCK + "_bn2", r"encoder.blocks.\1.projection.project_bn"),
            (r"_conv_head", "encoder.top_conv"),
            (r"_bn1", "encoder.top_bn"),
        ),
    ),
}
ENDINGS = r"(\.(?:weight|bias|running_mean|running_var|num_batches_tracked))?"


def rename(state: dict[str, Tensor], kind: Published) -> dict[str, Tensor]:
    """The tower's weights under the names of transformers; unknown names are kept, so that the caller reports them.

    Raises EncoderError where the file holds no such tower.
    """
    found = {name.removeprefix(kind.prefix): value for name, value in state.items() if name.startswith(kind.prefix)}
    if not found:
        raise EncoderError(f"no weights named {kind.prefix}...; is it the file that was published for this encoder?")
    renamed: dict[str, Tensor] = {}
    fused, parts = kind.fused
    for name, value in found.items():
        new = _new_name(name, kind)
        stem, _, ending = new.rpartition(".")
        if parts and stem.endswith(fused):
            pieces = value.chunk(len(parts), dim=0)  # query, key and value lie one below the other
            renamed |= {
                f"{stem.removesuffix(fused)}{part}.{ending}": piece.contiguous()
                for part, piece in zip(parts, pieces, strict=True)
            }
        else:
            renamed[new] = value.contiguous()
    return renamed


def _new_name(name: str, kind: Published) -> str:
    for pattern, replacement in kind.names:
        match = re.fullmatch(pattern + ENDINGS, name)
        if match:
            return match.expand(replacement) + (match.group(match.re.groups) or "")
    return name
