"""Load an encoder by the name of its loader, count its operations, and identify it for the fingerprint.

Torch is imported when an encoder is loaded, not before.
"""

from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from tilebank.encoders.contract import Encoder, EncoderConfig, assert_config
from tilebank.encoders.huggingface.checkpoints import weights_identity
from tilebank.errors import EncoderError

if TYPE_CHECKING:
    import torch


class LoaderModule(Protocol):
    """The two functions that the module of a loader offers."""

    def load(self, config: EncoderConfig, *, device: "torch.device") -> Encoder:
        """The encoder on `device`. Raises EncoderError."""
        ...

    def count_flops(self, config: EncoderConfig) -> int:
        """Floating point operations of one tile, counted without weights. Raises EncoderError."""
        ...


@dataclass(frozen=True)
class Loader:
    """One library that encoders come from.

    module: a LoaderModule by its import path, imported on first use; version: raise it when the module's arithmetic
    changes, because it is part of every fingerprint; has_weights: whether the encoder has a checkpoint to identify.
    """

    module: str
    version: int
    has_weights: bool


LOADERS = {
    "texture": Loader("tilebank.encoders.texture.encoder", version=1, has_weights=False),
    "huggingface": Loader("tilebank.encoders.huggingface.encoder", version=2, has_weights=True),
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
    chosen = torch.device(device if device != "auto" else "cuda" if has_gpu else "cpu")
    return _module_of(loader).load(config, device=chosen)


def flops_per_tile(config: EncoderConfig) -> int:
    """Floating point operations of one tile, counted on the encoder's architecture without weights.

    A multiplication and an addition are two operations. Matrix products, convolutions, attention and FFTs are counted;
    norms and activations are not, which here are below one in a hundred. Raises EncoderError where the settings hold
    no architecture to count on.
    """
    if config.loader not in LOADERS:
        raise EncoderError(_unknown_loader(config))
    return _module_of(LOADERS[config.loader]).count_flops(config)


def identity_of(config: EncoderConfig) -> dict[str, Any]:
    """Everything about an encoder that shapes a vector, for the fingerprint: no paths, and no weights are loaded.

    Weights on the hub are identified by model id and commit, those in a folder by their hash. Raises EncoderError as
    `load_encoder` does for settings, and for weights that are not pinned.
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
        raise EncoderError(_unknown_loader(config))
    return LOADERS[config.loader]


def _module_of(loader: Loader) -> LoaderModule:
    return cast(LoaderModule, import_module(loader.module))


def _unknown_loader(config: EncoderConfig) -> str:
    return f"encoder {config.name}: loader {config.loader!r} is unknown; use one of {sorted(LOADERS)}"
