"""The built-in encoder, which needs no download: statistics of whitened bands and discs, 110 numbers a tile.

Energy statistics of an oriented bank as in Manjunath & Ma 1996, IEEE Trans. PAMI 18:837, over log-frequency bands
(Field 1987, J. Opt. Soc. Am. A 4:2379). Band statistics are relative to the tile's own energy, so a gain changes none
of them. Background (zeros) is filled before filtering, and responses beside it are left out.

Letters: N images, S pixels a side, B octaves.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tilebank.encoders.contract import EncoderConfig, PreprocessSpec
from tilebank.encoders.huggingface.batching import Batcher
from tilebank.encoders.texture.band_statistics import (
    CELLS,
    FLOOR,
    disc_statistics,
    intensity_statistics,
    octave_statistics,
)
from tilebank.encoders.texture.filterbank import FilterBank, build_filter_bank, filter_responses, periodic_spectrum
from tilebank.errors import EncoderError

TEXTURE_DIM = 110
UNIT_PREPROCESS = PreprocessSpec(mean=(0.0,), std=(1.0,), channels=1)
BACKGROUND_LEVEL = 0.01  # of full scale: darker is background
EROSION_CELLS = (2, 2, 1, 1, 1, 1)  # away from background, one an octave; more would leave coarse ones nothing
DISC_EROSION_CELLS = 1
ENERGY_CENTRE = (0.99, 0.06, -0.19, -0.24, -0.28, -0.35)  # of the fields that band_statistics is centred on
LEVEL_CENTRE = -5.0
LIMIT = 4.0  # features saturate here, so that a clip or a marker does not take over the unit vector


def load(config: EncoderConfig, *, device: torch.device) -> "TextureEncoder":
    """The encoder of the registry's loader `texture`. Raises EncoderError."""
    return TextureEncoder(config, device=device)


def count_flops(config: EncoderConfig) -> int:
    """Operations of the FFTs, 2.5 n^2 log2 n^2 for n x n real values: Frigo & Johnson 2005, Proc. IEEE 93:216, II.A."""
    bank = build_filter_bank(config.input_size_px, device=torch.device("cpu"))
    grids = [config.input_size_px]
    for filters in (*bank.bands, bank.discs):
        grids += [filters.grid_px] * len(filters.gains)
    return int(sum(2.5 * grid**2 * math.log2(grid**2) for grid in grids))


class TextureEncoder:
    """The filter bank on a device; there are no weights."""

    def __init__(self, config: EncoderConfig, *, device: torch.device) -> None:
        _assert_texture(config)
        self._config = config
        bank = build_filter_bank(config.input_size_px, device=device)
        self._batcher = Batcher(lambda image: texture_features(image, bank), config=config, device=device)

    @property
    def config(self) -> EncoderConfig:
        """The settings it was loaded from."""
        return self._config

    def encode(
        self, pixels: NDArray[np.uint8 | np.uint16], *, max_value: NDArray[np.float32] | float
    ) -> NDArray[np.float16]:
        """Vectors (N, 110) of gray images (N, S, S). Raises EncoderError for pixels of another size or type."""
        return self._batcher.encode(pixels, max_value=max_value)


def texture_features(image: Tensor, bank: FilterBank) -> Tensor:
    """Features (N, 110), each between -4 and 4, of images (N, S, S) between 0 and 1."""
    tissue = (image > BACKGROUND_LEVEL).to(image.dtype)
    coverage = functional.avg_pool2d(tissue[:, None], bank.size_px // CELLS)  # (N, 1, 32, 32)
    brightness = functional.avg_pool2d((image * tissue)[:, None], bank.size_px // CELLS) / coverage.clamp_min(FLOOR)
    inside = (coverage == 1).to(image.dtype)
    spectrum = periodic_spectrum(_fill_background(image, tissue), bank)
    octaves = [
        octave_statistics(filter_responses(spectrum, filters), _erode(inside, radius), octave=octave)
        for octave, (filters, radius) in enumerate(zip(bank.bands, EROSION_CELLS, strict=True))
    ]
    energy = torch.cat([log_energy for log_energy, _ in octaves], dim=1)  # (N, B)
    level = energy.nanmean(dim=1, keepdim=True)  # (N, 1)
    rows = torch.cat(
        [
            (energy - level - energy.new_tensor(ENERGY_CENTRE)) / 0.5,
            *(statistics for _, statistics in octaves),
            disc_statistics(filter_responses(spectrum, bank.discs), _erode(inside, DISC_EROSION_CELLS)),
            intensity_statistics(brightness, coverage),
            (level - LEVEL_CENTRE) / 1.5,
        ],
        dim=1,
    )
    return LIMIT * torch.tanh(torch.nan_to_num(rows, nan=0.0) / LIMIT)  # what is unknown stands at its centre


def _fill_background(image: Tensor, tissue: Tensor) -> Tensor:
    """`image` (N, S, S) less its mean, background replaced by the mean of the nearest tissue, coarse to fine.

    Without it the skin line is the strongest edge of a tile. Gortler et al. 1996, SIGGRAPH: pull-push.
    """
    gaps = tissue.flatten(1).amin(dim=1) == 0  # (N,)
    if bool(gaps.any()):
        image = image.clone()
        image[gaps] = _pull_push(image[gaps], tissue[gaps])
    return image - image.mean(dim=(1, 2), keepdim=True)


def _pull_push(image: Tensor, tissue: Tensor) -> Tensor:
    totals, counts = [(image * tissue)[:, None]], [tissue[:, None]]  # (N, 1, S, S), then halved to (N, 1, 1, 1)
    while totals[-1].shape[-1] > 1:
        totals.append(functional.avg_pool2d(totals[-1], 2))
        counts.append(functional.avg_pool2d(counts[-1], 2))
    filled = totals[-1] / counts[-1].clamp_min(FLOOR)
    for total, count in zip(totals[-2::-1], counts[-2::-1], strict=True):
        coarse = functional.interpolate(filled, scale_factor=2.0, mode="bilinear", align_corners=False)
        filled = torch.where(count > 0, total / count.clamp_min(FLOOR), coarse)
    return filled[:, 0]


def _erode(inside: Tensor, radius: int) -> Tensor:
    """Cells (N, 1, 32, 32) with no background within `radius` cells; beyond the tile's edge there is none."""
    return -functional.max_pool2d(-inside, 2 * radius + 1, stride=1, padding=radius)


def _assert_texture(config: EncoderConfig) -> None:
    size = config.input_size_px
    if size < 128 or not math.log2(size).is_integer():
        raise EncoderError(f"encoder {config.name}: texture takes input_size_px 128, 256, 512, ..., not {size}")
    if config.dim != TEXTURE_DIM:
        raise EncoderError(f"encoder {config.name}: texture gives dim {TEXTURE_DIM}, its settings say {config.dim}")
    exact = config.dtype == "float32" and not config.compile
    if config.output != "statistics" or not exact or config.preprocess != UNIT_PREPROCESS:
        raise EncoderError(
            f"encoder {config.name}: texture needs output statistics, dtype float32, compile false and preprocess "
            "mean 0, std 1, channels 1; take them from conf/encoders/texture.yaml"
        )
