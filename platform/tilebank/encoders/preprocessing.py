"""From stored pixels to the network's input, on the device. Knows tensors and PreprocessSpec, no network.

Letters: N images, S pixels a side, C channels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.encoders.spec import EncoderConfig, PreprocessSpec
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


def pixels_to_unit(
    pixels: NDArray[np.uint8 | np.uint16], scale: NDArray[np.float32], *, device: torch.device
) -> Tensor:
    """Gray images (N, S, S) as float32 between 0 and 1, on `device`; what travels there is one or two bytes a pixel."""
    owned = np.require(pixels, requirements=["C", "W"])  # torch refuses read-only memory such as Arrow's
    if owned.dtype == np.uint16:
        # torch computes little on uint16, so the bytes travel as int16 and their sign is undone in 32 bits.
        unit = (torch.from_numpy(owned.view(np.int16)).to(device).to(torch.int32) & 0xFFFF).to(torch.float32)
    else:
        unit = torch.from_numpy(owned).to(device).to(torch.float32)
    return unit / torch.from_numpy(np.array(scale, dtype=np.float32)).to(device)[:, None, None]


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
