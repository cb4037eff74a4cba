"""Filter images by bands and discs in the frequency domain, whitened for the mammographic background.

One forward FFT is shared by all filters. A filter that holds no high frequencies gives its response on a coarser grid,
exactly: its spectrum is cropped before the inverse FFT. Gains are such that tissue whose power falls as 1/f^3, of
variance v, has the expected energy v in every band: what stands out of a band stands out of tissue.

Letters: N images, S pixels a side, K filters, n grid points a side.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BACKGROUND_EXPONENT = 3.0  # tissue's power falls as 1/f^3: Burgess, Jacobson & Judy 2001, Med. Phys. 28:419
WAVELENGTHS_PX = (4, 8, 16, 32, 64, 128)
ORIENTATIONS = 4
ORIENTED_FROM_PX = 8  # below it direction is mostly quantum noise, and the finest grid is where the time goes
DISC_DIAMETERS_PX = (16, 24, 32, 48, 64, 96, 128)
DISC_BLUR = 0.15  # Gaussian blur of a disc's rim, as a share of its diameter
DISC_GRID_PX = 64
SMALLEST_GRID_PX = 32


@dataclass(frozen=True)
class Filters:
    """Real filters that share one grid, as half spectra."""

    grid_px: int
    gains: Tensor  # (K, n, n // 2 + 1) float32


@dataclass(frozen=True)
class FilterBank:
    """All filters for one image size, and the weights that remove the wrap-around jump from a spectrum."""

    size_px: int
    bands: tuple[Filters, ...]  # one an octave, one filter an orientation; they sum to the band without orientation
    discs: Filters  # one filter a diameter
    row_jump: Tensor  # (S, S // 2 + 1) complex64
    column_jump: Tensor  # (S, S // 2 + 1) complex64


def build_filter_bank(size_px: int, *, device: torch.device) -> FilterBank:
    """The bank for images of `size_px`, a power of two of at least 128."""
    bands = []
    for wavelength in WAVELENGTHS_PX:
        grid = max(4 * size_px // wavelength, SMALLEST_GRID_PX)  # it ends at twice its centre: 4 points a wave
        bands.append(Filters(grid, _octave(wavelength, grid, size_px).to(device)))
    discs = Filters(DISC_GRID_PX, torch.stack([_disc(d, size_px) for d in DISC_DIAMETERS_PX]).to(device))
    row, column = _jump_weights(size_px)
    return FilterBank(size_px, tuple(bands), discs, row.to(device), column.to(device))


def periodic_spectrum(image: Tensor, bank: FilterBank) -> Tensor:
    """Half spectrum (N, S, S // 2 + 1) of the periodic part of `image` (N, S, S).

    A tile is no period of anything: its opposite edges differ, and that jump leaks into every band. The smooth part
    that carries the jump is subtracted: Moisan 2011, J. Math. Imaging Vis. 39:161.
    """
    spectrum: Tensor = torch.fft.rfft2(image, norm="forward")  # (N, S, S/2+1)
    row = torch.fft.rfft(image[:, -1, :] - image[:, 0, :])  # (N, S/2+1)
    column = torch.fft.fft(image[:, :, -1] - image[:, :, 0])  # (N, S)
    spectrum -= row[:, None, :] * bank.row_jump
    spectrum -= column[:, :, None] * bank.column_jump
    return spectrum


def filter_responses(spectrum: Tensor, filters: Filters) -> Tensor:
    """Even-symmetric responses (N, K, n, n) to a half spectrum (N, S, S // 2 + 1)."""
    size, grid = spectrum.shape[1], filters.grid_px
    half = grid // 2
    if grid < size:
        spectrum = torch.cat([spectrum[:, :half, : half + 1], spectrum[:, size - half :, : half + 1]], dim=1)
    responses: Tensor = torch.fft.irfft2(spectrum[:, None] * filters.gains, s=(grid, grid), norm="forward")
    return responses


def _octave(wavelength_px: int, grid_px: int, size_px: int) -> Tensor:
    """A cosine of log2 frequency, one octave to each side (Portilla & Simoncelli 2000, IJCV 40:49), split by direction.

    Directions are weighted by raised cosines that sum to one.
    """
    fy, fx, frequency = _frequencies(grid_px, size_px)
    octaves = torch.log2(frequency * wavelength_px)
    radial = torch.where(octaves.abs() < 1, torch.cos(math.pi / 2 * octaves), torch.zeros_like(octaves))
    band = _unit_gain(radial * frequency ** (BACKGROUND_EXPONENT / 2), grid_px, size_px)
    if wavelength_px < ORIENTED_FROM_PX:
        return band[None].to(torch.float32)
    angle = torch.atan2(fy, fx)
    spacing = math.pi / ORIENTATIONS
    windows = []
    for k in range(ORIENTATIONS):
        away = torch.remainder(angle - k * spacing + math.pi / 2, math.pi) - math.pi / 2
        window = 0.5 + 0.5 * torch.cos(math.pi * away / spacing)
        windows.append(torch.where(away.abs() < spacing, window, torch.zeros_like(window)))
    return (band * torch.stack(windows)).to(torch.float32)


def _disc(diameter_px: int, size_px: int) -> Tensor:
    """Matched filter of a disc with a blurred rim: its spectrum, J1(pi d f) / f, over the background's power."""
    _, _, frequency = _frequencies(DISC_GRID_PX, size_px)
    disc = torch.special.bessel_j1(math.pi * diameter_px * frequency) / frequency
    blur = torch.exp(-2 * (math.pi * DISC_BLUR * diameter_px * frequency) ** 2)
    matched = disc * blur * frequency**BACKGROUND_EXPONENT
    return _unit_gain(matched, DISC_GRID_PX, size_px).to(torch.float32)


def _unit_gain(gains: Tensor, grid_px: int, size_px: int) -> Tensor:
    """`gains` scaled so that 1/f^beta noise of variance one leaves the filter with energy one."""
    energy = _sum_both_signs(gains.square() * _background_power(grid_px, size_px))
    return gains * (_sum_both_signs(_background_power(size_px, size_px)) / energy).sqrt()


def _background_power(grid_px: int, size_px: int) -> Tensor:
    """1/f^beta (n, n // 2 + 1), with nothing at the mean."""
    _, _, frequency = _frequencies(grid_px, size_px)
    power = frequency**-BACKGROUND_EXPONENT
    power[0, 0] = 0.0
    return power


def _sum_both_signs(half_spectrum: Tensor) -> Tensor:
    """Sum over the whole spectrum: columns between the first and the last stand for both signs."""
    return 2 * half_spectrum.sum() - half_spectrum[:, 0].sum() - half_spectrum[:, -1].sum()


def _frequencies(grid_px: int, size_px: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vertical, horizontal and radial frequency in cycles per pixel of the image, float64, each (n, n // 2 + 1)."""
    fy = torch.fft.fftfreq(grid_px, d=1.0 / grid_px, dtype=torch.float64)[:, None] / size_px
    fx = torch.arange(grid_px // 2 + 1, dtype=torch.float64)[None, :] / size_px
    fy, fx = fy.expand(-1, grid_px // 2 + 1), fx.expand(grid_px, -1)
    return fy, fx, torch.hypot(fy, fx).clamp_min(1e-9)  # the mean has no octave and no response: its gain ends at zero


def _jump_weights(size_px: int) -> tuple[Tensor, Tensor]:
    """What one unit of a row's (column's) jump adds to a spectrum scaled by 1/S^2; zero at the mean."""
    step = 2 * math.pi * torch.arange(size_px, dtype=torch.float64) / size_px
    qy, qx = step[:, None], step[None, : size_px // 2 + 1]
    laplacian = (2 * torch.cos(qy) + 2 * torch.cos(qx) - 4) * size_px**2
    laplacian[0, 0] = 1.0
    row = (1 - torch.exp(1j * qy)) / laplacian
    column = (1 - torch.exp(1j * qx)) / laplacian
    row[0, 0] = column[0, 0] = 0.0
    return row.to(torch.complex64), column.to(torch.complex64)
