"""What one tile costs an encoder, counted on its architecture without weights. Knows no device and no time.

A multiplication and an addition are two operations. Matrix products, convolutions and attention are counted, norms and
activations are not: for the networks here those are below one in a hundred.
"""

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from tilebank.encoders.contract import EncoderConfig
from tilebank.errors import EncoderError


def flops_per_tile(config: EncoderConfig) -> int:
    """Floating point operations of one image of `input_size_px`.

    Raises EncoderError where the settings hold no architecture to count on.
    """
    if config.loader not in COUNTERS:
        raise EncoderError(f"encoder {config.name}: loader {config.loader!r} is unknown; use one of {sorted(COUNTERS)}")
    return COUNTERS[config.loader](config)


def _tower_flops(config: EncoderConfig) -> int:
    from tilebank.encoders.huggingface.model_families import MODEL_FAMILIES, build_network

    with torch.device("meta"):
        tower = build_network(config)
        size = config.input_size_px
        pixels = torch.empty(1, config.preprocess.channels, size, size)
    kind = MODEL_FAMILIES[tower.config.model_type]
    resized = kind.fixed_size and tower.config.image_size != size
    options = {"interpolate_pos_encoding": True} if resized else {}
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        tower(pixel_values=pixels, **options)
    return int(counter.get_total_flops())


def _texture_flops(config: EncoderConfig) -> int:
    """FFTs alone, 2.5 n^2 log2 n^2 for n x n real values: Frigo & Johnson 2005, Proc. IEEE 93:216, section II.A."""
    from tilebank.encoders.texture.filterbank import build_filter_bank

    bank = build_filter_bank(config.input_size_px, device=torch.device("cpu"))
    grids = [config.input_size_px]
    for filters in (*bank.bands, bank.discs):
        grids += [filters.grid_px] * len(filters.gains)
    return int(sum(2.5 * grid**2 * math.log2(grid**2) for grid in grids))


COUNTERS = {"huggingface": _tower_flops, "texture": _texture_flops}
