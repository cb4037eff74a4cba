"""Import heads trained with the method's published code, by renaming their parameters.

In the published code a view passes `global_proj_0.0`, ReLU, `global_proj_1.0`, ReLU and a max over each channel; a tile
passes `local_proj_0.0` and `local_proj_1.0` likewise, then softmax(k z . latent / sqrt(C)) over the breast weighs v z;
`linear_out` reads views, then tiles. This is DualStream under other names. The file does not say whether vectors were
L2-normalised before training, so the caller must.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tilebank.errors import HeadError
from tilebank.mil.contract.head import Head
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.mil.heads.dual_stream import DualStreamConfig
from tilebank.mil.heads.parts.dual_stream_branch import StreamPooling
from tilebank.mil.heads.registry import build_head

_LAYERS = {
    "global_proj_0.0": "view_stream.first",
    "global_proj_1.0": "view_stream.second",
    "local_proj_0.0": "tile_stream.first",
    "local_proj_1.0": "tile_stream.second",
    "k": "tile_stream.pooling.key",
    "v": "tile_stream.pooling.value",
    "linear_out": "classifier",
}
_NAMES = {f"{theirs}.{part}": f"{ours}.{part}" for theirs, ours in _LAYERS.items() for part in ("weight", "bias")} | {
    "latent": "tile_stream.pooling.latent"
}
_WRAPPINGS = ("model_state_dict", "state_dict")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors by name, from safetensors or from a torch file with only tensors. Runs no code from the file.

    Raises HeadError if the file cannot be read without running code.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise HeadError(
            f"cannot read weights from {path} ({type(error).__name__}); save its state dict again"
        ) from error
    for wrapping in _WRAPPINGS:
        if isinstance(held, dict) and isinstance(held.get(wrapping), dict):
            held = held[wrapping]
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise HeadError(f"{path} holds no dict of tensors; save the state dict of the head")
    return held


def import_published(
    weights: Mapping[str, Tensor],
    *,
    l2_normalise: bool,
    view_pooling: StreamPooling = "max",
    tile_pooling: StreamPooling = "max",
    outputs: Outputs = BINARY,
) -> Head:
    """A head of one trial with the same logits as the published code, given its parameters by name.

    `l2_normalise`: whether the head was trained on vectors of length one. A stream without weights is left out. Tiles
    are pooled by attention if `k`, `v` and `latent` are present, else by `tile_pooling`. Raises HeadError, with the
    names, for weights that do not fit a DualStream.
    """
    foreign = sorted(set(weights) - set(_NAMES))
    if foreign:
        raise HeadError(
            f"weights {foreign} are not those of a published head ({', '.join(_LAYERS)}, latent); a head with a"
            " further layer before its output cannot be imported"
        )
    views, tiles = _is_whole(weights, "global_proj"), _is_whole(weights, "local_proj")
    attention = all(name in weights for name in ("k.weight", "v.weight", "latent"))
    if not views and not tiles:
        raise HeadError(
            "weights of global_proj and of local_proj are both missing; pass the state dict of a published head"
        )
    hidden, latent, dim = _widths(weights, streams=[s for s, there in (("global", views), ("local", tiles)) if there])
    config = DualStreamConfig(
        view_pooling=view_pooling if views else "none",
        tile_pooling=("attention" if attention else tile_pooling) if tiles else "none",
        hidden=hidden,
        latent=latent,
        l2_normalise=l2_normalise,
    )
    head = build_head(config, dim=dim, seeds=[0], outputs=outputs)
    state = {_NAMES[name]: value.to(torch.float32).reshape(_stacked(name, value)) for name, value in weights.items()}
    try:
        head.load_state_dict(state)
    except RuntimeError as error:
        raise HeadError(f"the weights do not fit a dual-stream head of {outputs.count} outputs: {error}") from error
    return head


def _is_whole(weights: Mapping[str, Tensor], stream: str) -> bool:
    names = [name for name in _NAMES if name.startswith(stream)]
    there = [name for name in names if name in weights]
    if there and there != names:
        raise HeadError(f"weights {sorted(set(names) - set(there))} are missing; pass the whole state dict")
    return bool(there)


def _widths(weights: Mapping[str, Tensor], *, streams: list[str]) -> tuple[int, int, int]:
    """(hidden, latent, D), which must be the same for all streams."""
    found = {
        (len(weights[f"{stream}_proj_0.0.weight"]), len(weights[f"{stream}_proj_1.0.weight"])) for stream in streams
    }
    if len(found) > 1:
        raise HeadError(f"the two streams have widths {sorted(found)}; a dual-stream head has the same in both")
    ((hidden, latent),) = found
    return hidden, latent, weights[f"{streams[0]}_proj_0.0.weight"].shape[1]


def _stacked(name: str, value: Tensor) -> tuple[int, ...]:
    """The shape with a leading trial axis. The published code stores latents as rows, of which there must be one."""
    if name != "latent":
        return (1, *value.shape)
    if value.ndim == 2 and len(value) != 1:
        raise HeadError(f"the head has {len(value)} latents; a dual-stream head has one")
    return (1, value.shape[-1])
