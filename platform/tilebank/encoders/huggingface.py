"""Vision towers of the transformers library as encoders. Knows checkpoints and outputs; pixels come from preprocessing.

Letters: N images, S pixels a side, C channels, T tokens, D width of the tower.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from tilebank.encoders.batching import encode_in_pieces
from tilebank.encoders.checkpoints import checkpoint_of, folder_of
from tilebank.encoders.preprocessing import normalise
from tilebank.encoders.spec import EncoderConfig
from tilebank.errors import EncoderError


@dataclass(frozen=True)
class Output:
    """One way to a vector: of tokens (N, T, D), the pooled output (N, D) and the place of the first patch token."""

    take: Callable[[Tensor, Tensor, int], Tensor]
    needs: str
    widths: int = 1


def _patch_mean(tokens: Tensor, _: Tensor, first_patch: int) -> Tensor:
    return tokens[:, first_patch:].mean(dim=1)  # class and register tokens stand before the patches


OUTPUTS = {
    "cls": Output(lambda tokens, _, __: tokens[:, 0], needs="class token"),
    "map": Output(lambda _, pooled, __: pooled, needs="attention pooling head"),
    "patch_mean": Output(_patch_mean, needs=""),
    "cls_patch_mean": Output(
        lambda tokens, pooled, first: torch.cat([tokens[:, 0], _patch_mean(tokens, pooled, first)], dim=1),
        needs="class token",
        widths=2,
    ),
}

TOWERS = {  # model_type of a checkpoint -> class in transformers; a full SigLIP gives its vision tower alone
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
}


class HuggingFaceEncoder:
    """A frozen vision tower on a device."""

    def __init__(self, config: EncoderConfig, *, device: torch.device) -> None:
        class_name, settings = _read_settings(config)
        _assert_fits(config, settings)
        self._config = config
        self._device = device
        self._dtype = getattr(torch, config.dtype)
        self._first_patch = _prefix_tokens(settings)
        self._options = {}
        if settings.model_type == "siglip_vision_model" and settings.image_size != config.input_size_px:
            self._options = {"interpolate_pos_encoding": True}  # DINOv2 does so by itself
        self._tower = _load_tower(config, class_name).to(device).eval()

    @property
    def config(self) -> EncoderConfig:
        """The settings it was loaded from."""
        return self._config

    def encode(
        self, pixels: NDArray[np.uint8 | np.uint16], *, max_value: NDArray[np.float32] | float
    ) -> NDArray[np.float16]:
        """Vectors (N, dim) of gray images (N, S, S). Raises EncoderError for pixels of another size or type."""
        # On a GPU convolutions round float32 to TensorFloat-32 unless told not to; the declared dtype is the one used.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return encode_in_pieces(
                pixels, self._forward, max_value=max_value, config=self._config, device=self._device
            )

    def _forward(self, unit: Tensor) -> Tensor:
        values = normalise(unit, self._config.preprocess).to(self._dtype)  # (N, C, S, S)
        result = self._tower(pixel_values=values, **self._options)
        tokens = result.last_hidden_state.to(torch.float32)  # (N, T, D)
        pooled = tokens[:, 0] if result.pooler_output is None else result.pooler_output.to(torch.float32)  # (N, D)
        vectors: Tensor = OUTPUTS[self._config.output].take(tokens, pooled, self._first_patch)
        return vectors


def _read_settings(config: EncoderConfig) -> tuple[str, Any]:
    """Class of the tower, and the vision part of the checkpoint's own config, of a family that is known here."""
    from transformers import AutoConfig

    checkpoint, places = checkpoint_of(config), _places(config)
    try:
        settings = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False, **places)
    except (OSError, ValueError) as error:
        raise EncoderError(_cannot_load(config, error)) from error
    if settings.model_type not in TOWERS:
        raise EncoderError(
            f"encoder {config.name}: {checkpoint} is a {settings.model_type} model; known are {sorted(TOWERS)}"
        )
    return TOWERS[settings.model_type], getattr(settings, "vision_config", settings)


def _assert_fits(config: EncoderConfig, settings: Any) -> None:
    """Raise EncoderError, before any weights are read, where declared settings and the checkpoint disagree."""
    if config.output not in OUTPUTS:
        raise EncoderError(f"encoder {config.name}: output {config.output!r} is unknown; use one of {sorted(OUTPUTS)}")
    output = OUTPUTS[config.output]
    siglip = settings.model_type == "siglip_vision_model"
    has = "attention pooling head" if siglip and settings.vision_use_head else "" if siglip else "class token"
    if output.needs not in ("", has):
        raise EncoderError(
            f"encoder {config.name}: output {config.output} needs a {output.needs}, not in {settings.model_type}; "
            f"use one of {sorted(name for name, other in OUTPUTS.items() if other.needs in ('', has))}"
        )
    if config.input_size_px % settings.patch_size:
        raise EncoderError(
            f"encoder {config.name}: input_size_px {config.input_size_px} is no multiple of its patch of "
            f"{settings.patch_size} px (the rest would be dropped unseen); use "
            f"{config.input_size_px // settings.patch_size * settings.patch_size}"
        )
    width = settings.hidden_size * output.widths
    if config.dim != width:
        raise EncoderError(f"encoder {config.name}: its output is {width} wide, its settings say dim {config.dim}")
    if config.preprocess.channels != settings.num_channels:
        raise EncoderError(f"encoder {config.name}: preprocess.channels must be {settings.num_channels}")


def _prefix_tokens(settings: Any) -> int:
    if settings.model_type == "siglip_vision_model":
        return 0
    return 1 + int(getattr(settings, "num_register_tokens", 0))


def _load_tower(config: EncoderConfig, class_name: str) -> Any:
    import transformers

    checkpoint, places = checkpoint_of(config), _places(config)
    try:
        tower, report = getattr(transformers, class_name).from_pretrained(
            checkpoint,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=getattr(torch, config.dtype),
            attn_implementation="sdpa",
            output_loading_info=True,
            **places,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise EncoderError(_cannot_load(config, error)) from error
    absent = sorted(report["missing_keys"])
    if absent:
        raise EncoderError(
            f"encoder {config.name}: {checkpoint} lacks {len(absent)} weights ({absent[0]}, ...), which would be "
            "random; use a complete checkpoint"
        )
    return tower


def _places(config: EncoderConfig) -> dict[str, Any]:
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    if folder_of(config) is not None:
        return {"local_files_only": True}
    return {"revision": config.revision, "local_files_only": offline}


def _cannot_load(config: EncoderConfig, error: Exception) -> str:
    """One sentence: what could not be loaded, and what to do."""
    where = f"encoder {config.name}: cannot load {config.checkpoint} ({type(error).__name__})"
    if folder_of(config) is not None:
        return f"{where}; the folder must hold config.json and model.safetensors as save_pretrained writes them"
    copy = "point `--set encoder.checkpoint=/path` at a downloaded copy"
    if config.gated:
        return (
            f"{where}; accept the terms at https://huggingface.co/{config.checkpoint}, run `hf auth login`, or {copy}"
        )
    fetch = f"run `hf download {config.checkpoint} --revision {config.revision}` where there is a network"
    return f"{where}; {fetch}, or {copy}"
