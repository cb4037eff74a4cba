"""Run encoders as their owners' examples do: PIL images, the transformers processor, float32, three channels.

For comparison only: nothing here makes a stored vector. Letters: N images, S pixels a side, D width of a vector.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.encoders.contract import Encoder, EncoderConfig
from tilebank.encoders.huggingface.checkpoints import checkpoint_of
from tilebank.encoders.huggingface.model_families import (
    MODEL_FAMILIES,
    VISION_PART_OF,
    first_patch_of,
    input_size_options,
)
from tilebank.encoders.huggingface.outputs import OUTPUTS, States
from tilebank.encoders.registry import load_encoder
from tilebank.errors import EncoderError

AT_ONCE = 8  # images a forward pass


class Reference:
    """A network behind PIL images."""

    def __init__(self, forward: Callable[[list[Any]], NDArray[np.floating]]) -> None:
        self._forward = forward

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vectors (N, D) of gray images (N, S, S) of 8 bits, of unit length."""
        from PIL import Image

        images = [Image.fromarray(one) for one in pixels]
        pieces = [self._forward(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)]
        vectors = np.concatenate(pieces).astype(np.float32)  # (N, D)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def load_reference(config: EncoderConfig) -> Reference:
    """The network of `config` in float32, on a GPU where there is one. Raises EncoderError for output `projected`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.loader == "huggingface":
        return Reference(_network(config, device))
    encoder = load_encoder(config)
    return Reference(lambda images: _round_trip(images, encoder))


def _round_trip(images: list[Any], encoder: Encoder) -> NDArray[np.floating]:
    """For an encoder without a processor of its own: each image to float32 and back to 8 bits."""
    arrays = [np.asarray(image.convert("F"), dtype=np.float32) for image in images]
    return encoder.encode(np.stack(arrays).astype(np.uint8), max_value=255.0)


def _network(config: EncoderConfig, device: torch.device) -> Callable[[list[Any]], NDArray[np.floating]]:
    import transformers

    if config.output == "projected":
        raise EncoderError(f"encoder {config.name}: its output is projected, which the reference does not support")
    checkpoint = checkpoint_of(config)
    settings = transformers.AutoConfig.from_pretrained(checkpoint, revision=config.revision, trust_remote_code=False)
    kind = MODEL_FAMILIES[VISION_PART_OF.get(settings.model_type, settings.model_type)]
    tower = getattr(transformers, kind.network).from_pretrained(
        checkpoint,
        revision=config.revision,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        **kind.options,
    )
    tower = tower.to(device).eval()
    # At the network's own size the processors of all families come down to the same: to float, normalised.
    spec = config.preprocess
    process = transformers.BitImageProcessorPil(
        do_resize=False,
        do_center_crop=False,
        do_convert_rgb=True,
        image_mean=list(spec.mean) * (spec.channels // len(spec.mean)),
        image_std=list(spec.std) * (spec.channels // len(spec.std)),
    )
    first_patch = first_patch_of(tower.config)
    options = input_size_options(tower.config, config)

    def forward(images: list[Any]) -> NDArray[np.floating]:
        values = process([image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            result = tower(pixel_values=values.to(device), **options)
            states = States(result.last_hidden_state, result.pooler_output, first_patch, None)
            vectors: NDArray[np.floating] = OUTPUTS[config.output].take(states).cpu().numpy()  # (n, D)
        return vectors

    return forward
