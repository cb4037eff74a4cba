"""Compute statistics of filter responses: energy, variation and peaks, each about zero mean and unit deviation.

Peaks are taken besides energies because a speck or a mass changes the extremes of a band and hardly its mean. A
statistic of a tile with too little tissue is NaN: unknown, not zero.

Letters: N images, K filters of one octave, n grid points a side.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

CELLS = 32  # a tile is summed up on 32 x 32 cells, and those on 8 x 8 regions
REGIONS = 8
FEWEST_CELLS = 64  # 6 % of a tile
FLOOR = 1e-10  # energy of an amplitude of 1e-5: one step of 16 bits
PEAK_RANKS = (0, 3, 15)  # 1st, 4th and 16th highest cell: one speck, a cluster, a texture
BRIGHT_RANKS = (0, 1, 2)
DARK_RANKS = (0, 1)
QUANTILES = (0.05, 0.5, 0.95, 1.0)

# Centres are means over Gaussian 1/f^3 fields with 1.2 % white noise, one column an octave from 4 to 128 px. Tissue is
# not Gaussian: its spreads are 2 to 5 times wider, and its extremes lie higher by about HEAVY_TAIL of those spreads.
HEAVY_TAIL = 0.6
SPREAD_CENTRE = (0.00, 0.01, 0.03, 0.10, 0.25, 0.48)
TOP_CENTRE = (0.14, 0.28, 0.53, 0.88, 1.24, 1.55)
ORIENTED_TOP_CENTRE = (0.00, 0.51, 0.88, 1.26, 1.33, 1.36)
PEAK_CENTRE = (  # one row a rank
    (1.46, 1.38, 1.28, 1.18, 1.12, 0.96),
    (1.36, 1.26, 1.14, 0.99, 0.99, 0.91),
    (1.25, 1.13, 0.98, 0.77, 0.77, 0.75),
)
DISC_CENTRE = (1.27, 1.26, 1.22, 1.17, 1.10, 1.01, 0.92)  # one a diameter from 16 to 128 px


def octave_statistics(responses: Tensor, weight: Tensor, *, octave: int) -> tuple[Tensor, Tensor]:
    """Log energy (N, 1) of one octave, and its statistics: (N, 7), or (N, 15) where it has directions.

    `responses` (N, K, n, n), `weight` (N, 1, 32, 32) is 1 for cells that count. The statistics are the energy's
    spread and maximum over regions, the peaks of the response without direction, and for each direction its share of
    the energy and its maximum over regions.
    """
    plain = responses.sum(dim=1, keepdim=True)  # (N, 1, n, n): directions sum to the whole octave
    step = plain.shape[-1] // CELLS
    log_energy, spread, top = _energy_over_regions(functional.avg_pool2d(plain.square(), step), weight)  # (N, 1) each
    bright = _log_peaks(plain, weight, ranks=BRIGHT_RANKS)  # (N, 1, 3)
    dark = _log_peaks(-plain, weight, ranks=DARK_RANKS)  # (N, 1, 2)
    peaks = torch.cat([bright, dark], dim=2)[:, 0] - 0.5 * log_energy  # (N, 5)
    centres = [PEAK_CENTRE[rank][octave] for rank in (*BRIGHT_RANKS, *DARK_RANKS)]
    parts = [
        (spread - SPREAD_CENTRE[octave]) / 0.15 - HEAVY_TAIL,
        (top - TOP_CENTRE[octave]) / 0.4 - HEAVY_TAIL,
        (peaks - peaks.new_tensor(centres)) / 0.15 - HEAVY_TAIL,
    ]
    directions = responses.shape[1]
    if directions > 1:
        energy = functional.avg_pool2d(responses.square(), step)
        oriented, _, oriented_top = _energy_over_regions(energy, weight)  # (N, K) each
        share = math.log(0.75 / directions)  # of energy behind a raised cosine of direction
        parts.append((oriented - log_energy - share) / 0.3)
        parts.append((oriented_top - ORIENTED_TOP_CENTRE[octave]) / 0.4 - HEAVY_TAIL)
    unknown = _too_little(weight)  # (N, 1)
    return log_energy.masked_fill(unknown, math.nan), torch.cat(parts, dim=1).masked_fill(unknown, math.nan)


def disc_statistics(responses: Tensor, weight: Tensor) -> Tensor:
    """Brightest and darkest response over the root of the energy (N, 2 K), of matched filters (N, K, n, n)."""
    step = responses.shape[-1] // CELLS
    log_energy, _, _ = _energy_over_regions(functional.avg_pool2d(responses.square(), step), weight)  # (N, K)
    peaks = [_log_peaks(sign * responses, weight, ranks=(0,))[:, :, 0] - 0.5 * log_energy for sign in (1, -1)]
    centres = responses.new_tensor(DISC_CENTRE * 2)
    return ((torch.cat(peaks, dim=1) - centres) / 0.2 - HEAVY_TAIL).masked_fill(_too_little(weight), math.nan)


def intensity_statistics(brightness: Tensor, coverage: Tensor) -> Tensor:
    """Share of background, mean, log contrast and quantiles (N, 7) of the cells' brightness (N, 1, 32, 32)."""
    covered = (coverage > 0.5).flatten(1)  # (N, 1024)
    values = brightness.flatten(1)
    count = covered.sum(dim=1, keepdim=True).clamp_min(1)  # (N, 1)
    mean = (values * covered).sum(dim=1, keepdim=True) / count
    deviation = (((values - mean) * covered).square().sum(dim=1, keepdim=True) / count + FLOOR).sqrt()
    ordered = values.masked_fill(~covered, math.inf).sort(dim=1).values
    places = (count - 1) * values.new_tensor(QUANTILES)  # (N, 4)
    quantiles = (ordered.gather(1, places.round().long()) - mean) / deviation
    centred = (quantiles - quantiles.new_tensor((-1.6, 0.0, 1.6, 2.7))) / 0.5
    contrast = torch.log(deviation / mean.clamp_min(FLOOR)) + 1.5
    known = torch.cat([(mean - 0.4) / 0.2, contrast, centred], dim=1)
    background = 1 - coverage.flatten(1).mean(dim=1, keepdim=True)
    return torch.cat([background * 2, known.masked_fill(_too_little(coverage), math.nan)], dim=1)


def _energy_over_regions(energy: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log of the mean, log of mean over geometric mean, log of maximum over mean (N, K) of energy (N, K, 32, 32)."""
    region_weight = functional.avg_pool2d(weight, CELLS // REGIONS)  # (N, 1, 8, 8)
    region_energy = functional.avg_pool2d(energy * weight, CELLS // REGIONS)  # (N, K, 8, 8)
    total = region_weight.sum(dim=(2, 3)).clamp_min(FLOOR)  # (N, 1)
    log_mean = torch.log(region_energy.sum(dim=(2, 3)) / total + FLOOR)  # (N, K)
    log_region = torch.log(region_energy / region_weight.clamp_min(FLOOR) + FLOOR)  # (N, K, 8, 8)
    spread = log_mean - (log_region * region_weight).sum(dim=(2, 3)) / total
    well_covered = log_region.masked_fill(region_weight < 0.25, -math.inf).amax(dim=(2, 3))
    return log_mean, spread, well_covered - log_mean


def _log_peaks(responses: Tensor, weight: Tensor, *, ranks: Sequence[int]) -> Tensor:
    """Log of the highest cells (N, K, ranks) of responses (N, K, n, n), by rank in PEAK_RANKS."""
    cells = functional.max_pool2d(responses, responses.shape[-1] // CELLS) * weight  # (N, K, 32, 32)
    places = [PEAK_RANKS[rank] for rank in ranks]
    highest = cells.flatten(2).topk(max(places) + 1, dim=2).values[:, :, places]
    return torch.log(highest.clamp_min(0.0) + math.sqrt(FLOOR))


def _too_little(weight: Tensor) -> Tensor:
    """Which images have too few cells that count (N, 1)."""
    return weight.sum(dim=(2, 3)) < FEWEST_CELLS
