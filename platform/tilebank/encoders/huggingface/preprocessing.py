"""Turn stored pixels into a network's input, on the device.

Letters: N images, S pixels a side, C channels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.encoders.contract import EncoderConfig, PreprocessSpec
from tilebank.errors import EncoderError


def full_scale(max_value: NDArray[np.float32] | float, config: EncoderConfig, *, images: int) -> NDArray[np.float32]:
    """`max_value` as one positive number an image (N,). Raises EncoderError where it is none."""
    values = np.asarray(max_value, dtype=np.float32)
    if values.shape not in ((), (images,)):
        raise EncoderError(
            f"encoder {config.name}: {images} images with max_value {values.shape}; give one, or one each"
        )
    if not bool((values > 0).all()):
        raise EncoderError(f"encoder {config.name}: max_value must be above 0; it is the full scale, 2^bits - 1")
    return np.broadcast_to(values, (images,))


def sendable(pixels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8 | np.int16]:
    """`pixels` as torch takes them: owned memory, and the bits of uint16, on which torch computes little, as int16."""
    owned = np.require(pixels, requirements=["C", "W"])  # torch refuses read-only memory such as Arrow's
    sent: NDArray[np.uint8 | np.int16] = owned.view(np.int16 if owned.dtype == np.uint16 else np.uint8)
    return sent


def to_unit(sent: Tensor, scale: Tensor) -> Tensor:
    """Gray images (N, S, S) as float32 between 0 and 1, of what `sendable` gave; `scale` (N,) is full scale."""
    if sent.dtype == torch.int16:
        sent = sent.to(torch.int32) & 0xFFFF  # the sign is undone in 32 bits
    return sent.to(torch.float32) / scale[:, None, None]


def normalise(unit: Tensor, spec: PreprocessSpec) -> Tensor:
    """Network input (N, C, S, S) of `unit` (N, S, S): (x - mean) / std, gray repeated to the channels.

    Channels that go through the same numbers are one plane in memory.
    """
    mean = torch.tensor(spec.mean, dtype=unit.dtype, device=unit.device)[:, None, None]  # (C or 1, 1, 1)
    std = torch.tensor(spec.std, dtype=unit.dtype, device=unit.device)[:, None, None]
    if len(set(spec.mean)) == 1 and len(set(spec.std)) == 1:
        mean, std = mean[:1], std[:1]
    planes = (unit[:, None] - mean) / std  # (N, C or 1, S, S)
    return planes.expand(-1, spec.channels, -1, -1)
