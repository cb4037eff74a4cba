"""Define an encoder: its settings, and the methods that every encoder offers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tilebank.errors import EncoderError


@dataclass(frozen=True)
class PreprocessSpec:
    """Preprocessing of gray pixels: divide by full scale, subtract `mean`, divide by `std`, repeat to `channels`.

    `mean` and `std` hold one value, or one a channel. Nothing is resized: tiles are cut at the encoder's size.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: Literal[1, 3]


@dataclass(frozen=True)
class EncoderConfig:
    """One frozen encoder. All but `name`, `batch_size`, `licence`, `gated` and `architecture` shape its vectors.

    `checkpoint` is a model id on the Hugging Face hub or a folder; `revision` is the commit of a hub id (40 hexadecimal
    digits) and null for a folder. `source` names what was published as a pickle, hub id and path in it, at `revision`:
    it is converted once, and `checkpoint` is then the folder. `output` says which of the network's outputs is the
    vector. `dtype` is that of weights and arithmetic: stored vectors are float16 whatever it is. `batch_size` 0 is
    found from the free memory. `architecture` is the network's shape, for planning and conversion without weights.
    """

    name: str
    loader: str
    input_size_px: int
    dim: int
    output: str
    preprocess: PreprocessSpec
    l2_normalise: bool
    dtype: Literal["float32", "bfloat16"]
    batch_size: int
    licence: str
    gated: bool = False
    checkpoint: str | None = None
    revision: str | None = None
    source: str | None = None
    compile: bool = False
    architecture: Mapping[str, Any] | None = None


def foreign_encoder(name: str) -> EncoderConfig:
    """Placeholder settings of an encoder that ran in another tool; its real settings are stored with its vectors."""
    return EncoderConfig(
        name=name,
        loader="none",
        input_size_px=0,
        dim=0,
        output="",
        preprocess=PreprocessSpec(mean=(), std=(), channels=1),
        l2_normalise=False,
        dtype="float32",
        batch_size=0,
        licence="unknown",
    )


class Encoder(Protocol):
    """A loaded encoder."""

    @property
    def config(self) -> EncoderConfig:
        """The settings it was loaded from."""
        ...

    def encode(
        self, pixels: NDArray[np.uint8 | np.uint16], *, max_value: NDArray[np.float32] | float
    ) -> NDArray[np.float16]:
        """Vectors (N, dim) of gray square images (N, S, S).

        `max_value` is full scale (2^bits - 1), one or one an image. A vector does not depend on the images beside it.
        Raises EncoderError for pixels of another size or type.
        """
        ...


def assert_config(config: EncoderConfig) -> None:
    """Raise EncoderError for settings that no loader can follow."""
    if min(config.input_size_px, config.dim) < 1 or config.batch_size < 0:
        raise EncoderError(
            f"encoder {config.name}: input_size_px and dim must be at least 1, and batch_size at least 0 (which"
            " chooses it from the free memory)"
        )
    spec = config.preprocess
    if any(len(values) not in (1, spec.channels) for values in (spec.mean, spec.std)):
        raise EncoderError(
            f"encoder {config.name}: {len(spec.mean)} means and {len(spec.std)} stds for {spec.channels} channels; "
            "give one value, or one a channel"
        )
    if min(spec.std) <= 0:
        raise EncoderError(f"encoder {config.name}: std {spec.std} must be above 0")
    if config.dtype not in ("float32", "bfloat16"):
        raise EncoderError(f"encoder {config.name}: dtype {config.dtype!r} is unknown; use float32 or bfloat16")


def assert_pixels(pixels: NDArray[np.generic], config: EncoderConfig) -> None:
    """Raise EncoderError unless `pixels` are gray images (N, S, S) of the encoder's size, 8 or 16 bits unsigned."""
    size = config.input_size_px
    if pixels.ndim != 3 or pixels.shape[1:] != (size, size):
        raise EncoderError(
            f"encoder {config.name} takes pixels (N, {size}, {size}), got {pixels.shape}; cut at its input_size_px"
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise EncoderError(f"encoder {config.name} takes uint8 or uint16 pixels, got {pixels.dtype}")
