"""Heads of the method's published code into ours. Knows the names of its parameters, and none of its code.

There a view passes `global_proj_0.0`, ReLU, `global_proj_1.0`, ReLU and the largest of each channel; a tile passes
`local_proj_0.0` and `local_proj_1.0` likewise, then softmax(k z . latent / sqrt(C)) over the breast weighs v z; and
`linear_out` reads views, then tiles. That is DualStream with other names. Vectors enter it as they are: whether they
were brought to length one before is not in the file, and must be said.
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
    """Tensors by name from safetensors, or from a torch file that holds nothing but tensors. Runs no code of it.

    Raises HeadError where the file cannot be read, or would need code to be run.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise HeadError(
            f"cannot read weights from {path} ({type(error).__name__}); save its state dict anew"
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
    """A head of one trial that gives the logits of the published code for `weights` under its parameters' names.

    `l2_normalise`: whether the head was fitted on vectors of length one. A stream without weights is left out; tiles
    are pooled by attention where `k`, `v` and `latent` are there, else by `tile_pooling`. Raises HeadError, with the
    names, for what DualStream cannot be.
    """
    foreign = sorted(set(weights) - set(_NAMES))
    if foreign:
        raise HeadError(
            f"weights {foreign} are none of a published head's ({', '.join(_LAYERS)}, latent); a head with a layer"
            " more before its answer cannot be imported"
        )
    views, tiles = _is_whole(weights, "global_proj"), _is_whole(weights, "local_proj")
    attention = all(name in weights for name in ("k.weight", "v.weight", "latent"))
    if not views and not tiles:
        raise HeadError("neither global_proj nor local_proj weights are there; pass the state dict of a published head")
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
        raise HeadError(f"the weights do not fit a dual-stream head of {outputs.count} answers: {error}") from error
    return head


def _is_whole(weights: Mapping[str, Tensor], stream: str) -> bool:
    names = [name for name in _NAMES if name.startswith(stream)]
    there = [name for name in names if name in weights]
    if there and there != names:
        raise HeadError(f"weights {sorted(set(names) - set(there))} are missing; pass the whole state dict")
    return bool(there)


def _widths(weights: Mapping[str, Tensor], *, streams: list[str]) -> tuple[int, int, int]:
    """hidden, latent and D, which all streams must share."""
    found = {
        (len(weights[f"{stream}_proj_0.0.weight"]), len(weights[f"{stream}_proj_1.0.weight"])) for stream in streams
    }
    if len(found) > 1:
        raise HeadError(f"the two streams have widths {sorted(found)}; a dual-stream head has the same in both")
    ((hidden, latent),) = found
    return hidden, latent, weights[f"{streams[0]}_proj_0.0.weight"].shape[1]


def _stacked(name: str, value: Tensor) -> tuple[int, ...]:
    """The shape with a trial axis before it; the latents of the published code are rows already, and must be one."""
    if name != "latent":
        return (1, *value.shape)
    if value.ndim == 2 and len(value) != 1:
        raise HeadError(f"the head has {len(value)} latents; a dual-stream head has one")
    return (1, value.shape[-1])
