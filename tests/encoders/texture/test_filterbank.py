"""The bands share out the spectrum as they should, whatever grid they live on."""

import math

import numpy as np
import pytest
import torch

from tilebank.encoders.texture.filterbank import (
    DISC_DIAMETERS_PX,
    WAVELENGTHS_PX,
    FilterBank,
    build_filter_bank,
    filter_responses,
    periodic_spectrum,
)


@pytest.fixture(scope="module")
def bank() -> FilterBank:
    return build_filter_bank(256, device=torch.device("cpu"))


def wave(wavelength_px: float, *, degrees: float) -> torch.Tensor:
    """A periodic plane wave (1, 256, 256): its crests follow one another along `degrees`, measured from the x axis."""
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    cycles = 256 / wavelength_px
    kx, ky = round(cycles * math.cos(math.radians(degrees))), round(cycles * math.sin(math.radians(degrees)))
    return torch.cos(2 * math.pi * (kx * x + ky * y) / 256)[None]


def energies(image: torch.Tensor, bank: FilterBank) -> list[torch.Tensor]:
    """Energy by direction of every octave."""
    spectrum = torch.fft.rfft2(image, norm="forward")
    return [filter_responses(spectrum, band).square().mean(dim=(0, 2, 3)) for band in bank.bands]


@pytest.mark.parametrize("octave", range(len(WAVELENGTHS_PX)))
def test_a_wave_is_loudest_in_its_own_octave(bank: FilterBank, octave: int) -> None:
    by_octave = [float(energy.sum()) for energy in energies(wave(WAVELENGTHS_PX[octave], degrees=0), bank)]
    assert int(np.argmax(by_octave)) == octave


@pytest.mark.parametrize(("degrees", "direction"), [(0, 0), (45, 1), (90, 2), (135, 3)])
def test_a_wave_is_heard_in_its_own_direction_alone(bank: FilterBank, degrees: float, direction: int) -> None:
    energy = energies(wave(16, degrees=degrees), bank)[2]
    assert float(energy[direction] / energy.sum()) > 0.99


def test_a_band_on_its_coarse_grid_is_the_full_response_at_fewer_points(bank: FilterBank) -> None:
    spectrum = torch.fft.rfft2(torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(0)), norm="forward")
    band = bank.bands[2]
    assert band.grid_px == 64
    full = torch.zeros(band.gains.shape[0], 256, 129)
    full[:, :32, :33], full[:, 224:, :33] = band.gains[:, :32], band.gains[:, 32:]
    expected = torch.fft.irfft2(spectrum[:, None] * full, s=(256, 256), norm="forward")[:, :, ::4, ::4]
    torch.testing.assert_close(filter_responses(spectrum, band), expected, rtol=0, atol=1e-6)


def test_every_band_hears_tissue_equally_loud(bank: FilterBank) -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.fft.rfft2(torch.randn(24, 256, 256, generator=generator), norm="forward")
    frequency = torch.hypot(torch.fft.fftfreq(256)[:, None], torch.fft.rfftfreq(256)[None, :])
    frequency[0, 0] = math.inf
    spectrum = white * frequency**-1.5
    tissue = torch.fft.irfft2(spectrum, s=(256, 256), norm="forward")
    variance = float(tissue.square().mean())
    for band in bank.bands[:5]:  # the coarsest has too few waves in a tile for a sharp estimate
        octave = filter_responses(spectrum, band).sum(dim=1).square().mean()
        assert float(octave) == pytest.approx(variance, rel=0.25)


def test_a_slope_leaves_no_trace_of_its_jump(bank: FilterBank) -> None:
    slope = torch.linspace(0, 1, 256).expand(1, 256, 256)
    plain = filter_responses(torch.fft.rfft2(slope, norm="forward"), bank.bands[0]).abs().max()
    periodic = filter_responses(periodic_spectrum(slope, bank), bank.bands[0]).abs().max()
    assert float(periodic) < 0.02 * float(plain)


def test_the_periodic_part_of_a_periodic_image_is_itself(bank: FilterBank) -> None:
    image = wave(16, degrees=30)
    expected = torch.fft.rfft2(image, norm="forward")
    difference = (periodic_spectrum(image, bank) - expected).abs()
    assert float(difference.max()) < 0.05 * float(expected.abs().max())  # edges differ by one step of the wave


def test_a_disc_answers_loudest_to_the_filter_of_its_size(bank: FilterBank) -> None:
    y, x = torch.meshgrid(torch.arange(256.0) - 128, torch.arange(256.0) - 128, indexing="ij")
    distance = torch.hypot(y, x)
    for place, diameter in enumerate(DISC_DIAMETERS_PX):
        disc = torch.sigmoid((diameter / 2 - distance) / (0.09 * diameter))[None]  # a blur of 0.15 diameters
        response = filter_responses(torch.fft.rfft2(disc, norm="forward"), bank.discs)
        assert abs(int(response.amax(dim=(0, 2, 3)).argmax()) - place) <= 1
