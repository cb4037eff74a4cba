"""Two networks as their owners wrote them down, on state dicts with the owners' names: oracles for what is converted.

timm's ViT with open_clip's linear projection, and the EfficientNet of Melas-Kyriazi's package, which reckons its
padding for the size it was published for, whatever it is given.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]
STAGES = (  # repeats, kernel, stride, expansion, channels in, channels out: Tan & Le 2019, ICML, table 1
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
Block = tuple[int, int, int, int, int]  # kernel, stride, expansion, channels in, channels out


def random_vit(*, width: int, layers: int, hidden: int, patch: int, size_px: int, projection: int, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)
    state: State = {}

    def add(name: str, *shape: int) -> None:
        state[f"visual.trunk.{name}.weight"] = torch.randn(*shape, generator=rng) / math.sqrt(math.prod(shape[1:]))
        state[f"visual.trunk.{name}.bias"] = 0.1 * torch.randn(shape[0], generator=rng)

    def add_norm(name: str) -> None:
        state[f"visual.trunk.{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=rng)
        state[f"visual.trunk.{name}.bias"] = 0.1 * torch.randn(width, generator=rng)

    state["visual.trunk.cls_token"] = torch.randn(1, 1, width, generator=rng)
    state["visual.trunk.pos_embed"] = torch.randn(1, 1 + (size_px // patch) ** 2, width, generator=rng)
    add("patch_embed.proj", width, 3, patch, patch)
    for layer in range(layers):
        add_norm(f"blocks.{layer}.norm1")
        add(f"blocks.{layer}.attn.qkv", 3 * width, width)
        add(f"blocks.{layer}.attn.proj", width, width)
        add_norm(f"blocks.{layer}.norm2")
        add(f"blocks.{layer}.mlp.fc1", hidden, width)
        add(f"blocks.{layer}.mlp.fc2", width, hidden)
    add_norm("norm")
    state["visual.head.proj.weight"] = torch.randn(projection, width, generator=rng) / math.sqrt(width)
    return state


def vit_embedding(state: State, images: Tensor, *, heads: int) -> Tensor:
    """Normalised images (N, 3, S, S) to embeddings (N, E): class token, final norm, projection without a bias."""
    trunk = {name.removeprefix("visual.trunk."): value for name, value in state.items()}
    width = trunk["cls_token"].shape[-1]
    weight = trunk["patch_embed.proj.weight"]
    x = functional.conv2d(images, weight, trunk["patch_embed.proj.bias"], stride=weight.shape[-1])
    x = x.flatten(2).transpose(1, 2)  # (N, T, D)
    x = torch.cat([trunk["cls_token"].expand(len(x), -1, -1), x], dim=1) + trunk["pos_embed"]

    def linear(name: str, values: Tensor) -> Tensor:
        return functional.linear(values, trunk[f"{name}.weight"], trunk[f"{name}.bias"])

    def norm(name: str, values: Tensor) -> Tensor:
        return functional.layer_norm(values, (width,), trunk[f"{name}.weight"], trunk[f"{name}.bias"], eps=1e-6)

    layers = 1 + max(int(name.split(".")[1]) for name in trunk if name.startswith("blocks."))
    for layer in range(layers):
        block = f"blocks.{layer}"
        qkv = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x))
        q, k, v = qkv.unflatten(2, (3, heads, width // heads)).permute(2, 0, 3, 1, 4)  # (N, H, T, D / H) each
        scores = (q @ k.transpose(-1, -2) / math.sqrt(width // heads)).softmax(dim=-1)
        x = x + linear(f"{block}.attn.proj", (scores @ v).transpose(1, 2).flatten(2))
        x = x + linear(f"{block}.mlp.fc2", functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x))))
    return functional.linear(norm("norm", x)[:, 0], state["visual.head.proj.weight"])


def scaled(channels: int, width: float) -> int:
    """Channels times the width coefficient, to a multiple of 8 that is not more than a tenth below."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def blocks_of(width: float, depth: float) -> list[Block]:
    blocks = []
    for repeats, kernel, stride, expansion, before, after in STAGES:
        for repeat in range(math.ceil(depth * repeats)):
            entering = scaled(before if repeat == 0 else after, width)
            blocks.append((kernel, stride if repeat == 0 else 1, expansion, entering, scaled(after, width)))
    return blocks


def random_efficientnet(*, width: float, depth: float, projection: int, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)
    state: State = {}

    def add(name: str, *shape: int) -> None:
        fan_in = math.prod(shape[1:])
        state[f"image_encoder.{name}.weight"] = torch.randn(*shape, generator=rng) * math.sqrt(2 / fan_in)

    def add_norm(name: str, channels: int) -> None:
        state[f"image_encoder.{name}.weight"] = 1 + 0.1 * torch.randn(channels, generator=rng)
        state[f"image_encoder.{name}.bias"] = 0.1 * torch.randn(channels, generator=rng)
        state[f"image_encoder.{name}.running_mean"] = 0.1 * torch.randn(channels, generator=rng)
        state[f"image_encoder.{name}.running_var"] = 0.3 + 0.3 * torch.rand(channels, generator=rng)
        state[f"image_encoder.{name}.num_batches_tracked"] = torch.tensor(7)

    add("_conv_stem", scaled(32, width), 3, 3, 3)
    add_norm("_bn0", scaled(32, width))
    for place, (kernel, _, expansion, before, after) in enumerate(blocks_of(width, depth)):
        wide, squeezed, name = before * expansion, max(1, int(before * 0.25)), f"_blocks.{place}"
        if expansion != 1:
            add(f"{name}._expand_conv", wide, before, 1, 1)
            add_norm(f"{name}._bn0", wide)
        add(f"{name}._depthwise_conv", wide, 1, kernel, kernel)
        add_norm(f"{name}._bn1", wide)
        add(f"{name}._se_reduce", squeezed, wide, 1, 1)
        add(f"{name}._se_expand", wide, squeezed, 1, 1)
        state[f"image_encoder.{name}._se_reduce.bias"] = 0.1 * torch.randn(squeezed, generator=rng)
        state[f"image_encoder.{name}._se_expand.bias"] = 0.1 * torch.randn(wide, generator=rng)
        add(f"{name}._project_conv", after, wide, 1, 1)
        add_norm(f"{name}._bn2", after)
    add("_conv_head", scaled(1280, width), scaled(320, width), 1, 1)
    add_norm("_bn1", scaled(1280, width))
    state["image_projection.projection.weight"] = torch.randn(projection, scaled(1280, width), generator=rng) / 18
    state["image_projection.projection.bias"] = 0.1 * torch.randn(projection, generator=rng)
    return state


def efficientnet_map(state: State, images: Tensor, *, width: float, depth: float, nominal_px: int) -> Tensor:
    """Images (N, 3, S, S) to the last map (N, D, h, w); padding is that of images of `nominal_px`."""
    own = {name.removeprefix("image_encoder."): value for name, value in state.items()}

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var = own[f"{name}.running_mean"], own[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, own[f"{name}.weight"], own[f"{name}.bias"], eps=1e-3)

    def same(name: str, x: Tensor, *, stride: int, size: int, groups: int = 1) -> Tensor:
        """A convolution padded so that `size` px give ceil(size / stride), the odd pixel right and below."""
        weight = own[f"{name}.weight"]
        spare = max((math.ceil(size / stride) - 1) * stride + weight.shape[-1] - size, 0)
        before, after = spare // 2, spare - spare // 2
        padded = functional.pad(x, (before, after, before, after))
        return functional.conv2d(padded, weight, own.get(f"{name}.bias"), stride=stride, groups=groups)

    size = nominal_px
    x = functional.silu(norm("_bn0", same("_conv_stem", images, stride=2, size=size)))
    size = math.ceil(size / 2)
    for place, (_, stride, expansion, before, after) in enumerate(blocks_of(width, depth)):
        name, entering, wide = f"_blocks.{place}", x, before * expansion
        if expansion != 1:
            x = functional.silu(norm(f"{name}._bn0", same(f"{name}._expand_conv", x, stride=1, size=size)))
        x = functional.silu(
            norm(f"{name}._bn1", same(f"{name}._depthwise_conv", x, stride=stride, size=size, groups=wide))
        )
        size = math.ceil(size / stride)
        squeezed = functional.silu(same(f"{name}._se_reduce", x.mean(dim=(2, 3), keepdim=True), stride=1, size=1))
        x = x * torch.sigmoid(same(f"{name}._se_expand", squeezed, stride=1, size=1))
        x = norm(f"{name}._bn2", same(f"{name}._project_conv", x, stride=1, size=size))
        if stride == 1 and before == after:
            x = x + entering
    return functional.silu(norm("_bn1", same("_conv_head", x, stride=1, size=size)))
