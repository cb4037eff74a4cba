"""Many images through one network in pieces, out as stored vectors. Knows neither the network nor its preprocessing.

Letters: N images, S pixels a side, D width of a vector.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tilebank.encoders.preprocessing import full_scale, pixels_to_unit
from tilebank.encoders.spec import EncoderConfig, assert_pixels


def encode_in_pieces(
    pixels: NDArray[np.uint8 | np.uint16],
    network: Callable[[Tensor], Tensor],
    *,
    max_value: NDArray[np.float32] | float,
    config: EncoderConfig,
    device: torch.device,
) -> NDArray[np.float16]:
    """Vectors (N, D) of gray images (N, S, S): `network` maps images between 0 and 1 (n, S, S) to vectors (n, D).

    Vectors are brought to unit length in float32 where the settings say so. Raises EncoderError for pixels of another
    size or type.
    """
    assert_pixels(pixels, config)
    scale = full_scale(max_value, config, images=len(pixels))
    stored = np.empty((len(pixels), config.dim), dtype=np.float16)
    with torch.inference_mode():
        for start in range(0, len(pixels), config.batch_size):
            piece = slice(start, start + config.batch_size)
            unit = pixels_to_unit(pixels[piece], scale[piece], device=device)  # (n, S, S)
            shaped = pad_rows(unit, rows=config.batch_size) if device.type == "cuda" else unit
            vectors = network(shaped)[: len(unit)].to(torch.float32)  # (n, D)
            if config.l2_normalise:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            stored[piece] = vectors.to(torch.float16).cpu().numpy()
    return stored


def pad_rows(unit: Tensor, *, rows: int) -> Tensor:
    """`unit` (n, S, S) with blank images up to `rows`.

    A GPU chooses its kernels by shape, and kernels round differently: with one shape for all pieces a vector does not
    depend on how many images came with it. On a CPU the difference is far below float16, and the work would be wasted.
    """
    blank = unit.new_zeros((max(rows - len(unit), 0), *unit.shape[1:]))
    return torch.cat([unit, blank]) if len(blank) else unit
