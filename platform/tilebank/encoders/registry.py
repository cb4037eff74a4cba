"""Encoders by name of their loader, and what identifies one. Knows who loads what; torch only on loading."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tilebank.encoders.contract import Encoder, EncoderConfig, assert_config
from tilebank.encoders.huggingface.checkpoints import weights_identity
from tilebank.errors import EncoderError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Loader:
    """One way to an encoder. `version` rises when the loader's arithmetic changes: it is part of every fingerprint."""

    load: Callable[[EncoderConfig, "torch.device"], Encoder]
    version: int
    has_weights: bool


def _load_texture(config: EncoderConfig, device: "torch.device") -> Encoder:
    from tilebank.encoders.texture.encoder import TextureEncoder

    return TextureEncoder(config, device=device)


def _load_huggingface(config: EncoderConfig, device: "torch.device") -> Encoder:
    from tilebank.encoders.huggingface.encoder import HuggingFaceEncoder

    return HuggingFaceEncoder(config, device=device)


LOADERS = {
    "texture": Loader(_load_texture, version=1, has_weights=False),
    "huggingface": Loader(_load_huggingface, version=2, has_weights=True),
}


def load_encoder(config: EncoderConfig, *, device: str = "auto") -> Encoder:
    """The encoder on `device`: a torch device, or `auto` for a GPU where there is one.

    Raises EncoderError where weights are missing, gated or not pinned, or do not fit their settings.
    """
    loader = _loader_of(config)
    import torch

    has_gpu = torch.cuda.is_available()
    if device.startswith("cuda") and not has_gpu:
        raise EncoderError(f"encoder {config.name}: device {device} is not on this machine; use auto or cpu")
    return loader.load(config, torch.device(device if device != "auto" else "cuda" if has_gpu else "cpu"))


def identity_of(config: EncoderConfig) -> dict[str, Any]:
    """All of an encoder that shapes a vector, for the fingerprint; holds no path, loads no weights.

    Weights are named by hub id and commit, those in a folder by their hash. Raises EncoderError as `load_encoder` does
    for settings, and for weights that are not pinned.
    """
    loader = _loader_of(config)
    return {
        "loader": config.loader,
        "loader_version": loader.version,
        "weights": weights_identity(config) if loader.has_weights else None,
        "input_size_px": config.input_size_px,
        "dim": config.dim,
        "output": config.output,
        "preprocess": asdict(config.preprocess),
        "l2_normalise": config.l2_normalise,
        "dtype": config.dtype,
        "compile": config.compile,
    }


def _loader_of(config: EncoderConfig) -> Loader:
    assert_config(config)
    if config.loader not in LOADERS:
        raise EncoderError(f"encoder {config.name}: loader {config.loader!r} is unknown; use one of {sorted(LOADERS)}")
    return LOADERS[config.loader]
