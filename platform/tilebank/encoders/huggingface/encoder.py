"""Load vision networks of the transformers library as encoders.

Letters: N images, S pixels a side, C channels.
"""

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.huggingface.batching import Batcher
from tilebank.encoders.huggingface.checkpoints import checkpoint_of, folder_of
from tilebank.encoders.huggingface.gray_input import fold_gray, install_gray
from tilebank.encoders.huggingface.model_families import (
    MODEL_FAMILIES,
    VISION_PART_OF,
    ModelFamily,
    assert_fits,
    build_network,
    first_patch_of,
    input_size_options,
)
from tilebank.encoders.huggingface.outputs import OUTPUTS, Projection, States
from tilebank.encoders.huggingface.preprocessing import normalise
from tilebank.errors import EncoderError

PROJECTION_FILE = "projection.safetensors"  # beside the weights in a converted folder: `weight` (E, D), `bias` (E,)


def load(config: EncoderConfig, *, device: torch.device) -> "HuggingFaceEncoder":
    """The encoder of the registry's loader `huggingface`. Raises EncoderError."""
    return HuggingFaceEncoder(config, device=device)


def count_flops(config: EncoderConfig) -> int:
    """Operations of one tile, counted on the architecture. Raises EncoderError where the settings hold none."""
    with torch.device("meta"):
        network = build_network(config)
        size = config.input_size_px
        pixels = torch.empty(1, config.preprocess.channels, size, size)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(pixel_values=pixels, **input_size_options(network.config, config))
    return int(counter.get_total_flops())


class HuggingFaceEncoder:
    """A frozen vision tower on a device."""

    def __init__(self, config: EncoderConfig, *, device: torch.device) -> None:
        settings = _read_settings(config)
        self._config = config
        self._dtype = getattr(torch, config.dtype)
        self._projection = _read_projection(config, device=device)
        assert_fits(config, settings, projection_width=len(self._projection.weight) if self._projection else 0)
        kind = MODEL_FAMILIES[settings.model_type]
        self._first_patch = first_patch_of(settings)
        self._options = input_size_options(settings, config)
        self._takes_gray = bool(kind.patches)
        self._tower = _load_tower(config, kind)
        if self._takes_gray:
            _take_gray(self._tower, kind, config)
        self._tower = self._tower.to(device).eval()  # DINOv3 augments its positions unless told not to train
        if config.compile:
            self._tower = torch.compile(self._tower, dynamic=False)
        self._batcher = Batcher(self._forward, config=config, device=device)

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
            return self._batcher.encode(pixels, max_value=max_value)

    def _forward(self, unit: Tensor) -> Tensor:
        values = unit[:, None]  # (N, 1, S, S)
        if not self._takes_gray:
            values = normalise(unit, self._config.preprocess).to(self._dtype)  # (N, C, S, S)
        result = self._tower(pixel_values=values, **self._options)
        pooled = None if result.pooler_output is None else result.pooler_output.to(torch.float32)
        last = result.last_hidden_state.to(torch.float32)
        return OUTPUTS[self._config.output].take(States(last, pooled, self._first_patch, self._projection))


def _take_gray(tower: Any, kind: ModelFamily, config: EncoderConfig) -> None:
    """Make the tower take gray images (N, 1, S, S) between 0 and 1 in float32: see gray_input.py."""
    dtype = getattr(torch, config.dtype)
    convolution = tower.get_submodule(kind.patches)
    install_gray(tower, kind.patches, fold_gray(convolution, config.preprocess, dtype=dtype))
    if hasattr(tower, "rope_embeddings"):  # takes the type of its angles from the pixels: DINOv3
        tower.rope_embeddings.register_forward_pre_hook(lambda _, values: (values[0].to(dtype),))


def _read_settings(config: EncoderConfig) -> Any:
    """The vision part of the checkpoint's own config, of a family that is known here."""
    from transformers import AutoConfig

    checkpoint, places = checkpoint_of(config), _places(config)
    try:
        settings = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False, **places)
    except (OSError, ValueError) as error:
        raise EncoderError(_cannot_load(config, error)) from error
    family = VISION_PART_OF.get(settings.model_type, settings.model_type)
    if family not in MODEL_FAMILIES:
        raise EncoderError(
            f"encoder {config.name}: {checkpoint} is a {family} model; use one of the families"
            f" {', '.join(sorted({*MODEL_FAMILIES, *VISION_PART_OF}))}"
        )
    return getattr(settings, "vision_config", settings)


def _read_projection(config: EncoderConfig, *, device: torch.device) -> Projection | None:
    """The projection of a converted folder, in float32; None where there is none."""
    folder = folder_of(config)
    if folder is None or not (folder / PROJECTION_FILE).is_file():
        return None
    try:
        tensors = load_file(folder / PROJECTION_FILE, device=str(device))
        return Projection(tensors["weight"].to(torch.float32), tensors["bias"].to(torch.float32))
    except (KeyError, OSError, SafetensorError) as error:
        raise EncoderError(_cannot_load(config, error)) from error


def _load_tower(config: EncoderConfig, kind: ModelFamily) -> Any:
    import transformers

    checkpoint, places = checkpoint_of(config), _places(config)
    try:
        tower, report = getattr(transformers, kind.network).from_pretrained(
            checkpoint,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=getattr(torch, config.dtype),
            attn_implementation=kind.attention,
            output_loading_info=True,
            **kind.options,
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
    fetch = f"run `hf download {config.checkpoint} --revision {config.revision}` where there is a network"
    if config.gated:
        page = f"https://huggingface.co/{config.checkpoint}"
        return f"{where}; accept the terms at {page}, set HF_TOKEN to your token, and {fetch}, or {copy}"
    return f"{where}; {fetch}, or {copy}"
