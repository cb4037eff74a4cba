"""Render the tissue of a phantom breast without findings: fat, gland, strands, muscle, skin, quantum noise.

All arrays are on one scale: 0 is the unexposed background, 1 is white on the display.

Breast tissue in mammograms has a power spectrum that falls as 1/f^beta with beta close to 3 (Burgess, Jacobson, Judy,
Med Phys 28:419, 2001; Burgess and Judy, J Opt Soc Am A 24:B52, 2007). Anatomy is made on pixels of about 0.23 mm and
enlarged: beyond 2 cycles/mm a power law of that slope lies below the quantum noise, which is made at full resolution.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import fft

from tilebank.phantom.anatomy import (
    BreastShape,
    Grid,
    Image,
    View,
    muscle_depth_mm,
    nipple_mm,
    pixel_centres_mm,
    skin_depth_mm,
)

BETA = 3.0
NOISE = 0.024  # standard deviation in fat at REFERENCE_MM; falls with the width of a pixel, as counts rise
REFERENCE_MM = 0.11375
_ANATOMY_MM = 0.23

_FAT, _GLAND, _MUSCLE, _SKIN, _NIPPLE = 0.19, 0.33, 0.29, 0.13, 0.10  # fat's level; what the others add to it


@dataclass(frozen=True)
class Tissue:
    """A noise-free view and the skin depth that goes with it, both (H, W)."""

    signal: Image
    skin_depth: Image  # mm


@dataclass(frozen=True)
class _Ducts:
    """Polar coordinates of each pixel, (H, W) both, about a point before the nipple, where ducts run together."""

    radius_mm: Image
    angle: Image  # radians


def render_tissue(
    shape: BreastShape, view: View, grid: Grid, *, patient: np.random.Generator, breast: np.random.Generator
) -> Tissue:
    """One view at full resolution. `patient` draws what both sides share, `breast` what is this side's own."""
    factor = max(1, round(_ANATOMY_MM / grid.spacing_mm))
    coarse = grid.coarsened(factor)
    depth = skin_depth_mm(shape, view, coarse)
    muscle = _soft_step(muscle_depth_mm(shape, view, coarse), 0.7)
    ducts = _ducts(shape, view, grid=coarse)
    texture = power_law_field(breast, coarse, beta=BETA, longest_mm=40.0)
    gland = _gland_map(shape, view, coarse, depth=depth, ducts=ducts, patient=patient, breast=breast) * (1 - muscle)
    strands = _strands(coarse, ducts=ducts, rng=breast)
    texture_gain = 0.030 + 0.050 * gland + 0.012 * muscle
    strand_gain = (0.13 - 0.03 * gland) * (1 - 0.6 * muscle)
    signal = _FAT + _GLAND * gland + texture_gain * texture + strand_gain * strands + _MUSCLE * muscle
    signal = _apply_edge(signal, depth, shape=shape, view=view, grid=coarse)
    return Tissue(_enlarged(signal, factor, grid=grid), _enlarged(depth, factor, grid=grid))


def add_quantum_noise(signal: Image, rng: np.random.Generator, *, grid: Grid) -> Image:
    """`signal` with noise that grows where fewer photons arrive: on a log scale the variance is 1/counts, and counts
    fall exponentially with what the display shows as brightness. The detector's glare correlates neighbours a little.
    """
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.55) * np.float32(1.55)  # 1.55 restores unit variance
    spread = NOISE * (REFERENCE_MM / grid.spacing_mm) * np.exp(0.8 * (signal - _FAT))
    return np.asarray(signal + noise * spread * (signal > 0), dtype=np.float32)


def power_law_field(rng: np.random.Generator, grid: Grid, *, beta: float, longest_mm: float) -> Image:
    """A periodic Gaussian field, mean 0, variance 1, whose power falls as 1/f^beta below `longest_mm`."""
    amplitude = _amplitude(grid, beta, longest_mm)
    white = fft.rfft2(rng.standard_normal((grid.rows, grid.columns), dtype=np.float32))
    field = fft.irfft2(white * amplitude, s=(grid.rows, grid.columns))
    return np.asarray(field / field.std(), dtype=np.float32)


@lru_cache(maxsize=16)  # the six fields of a view have the same ones, image after image
def _amplitude(grid: Grid, beta: float, longest_mm: float) -> Image:
    """Square root of the power at each frequency: (H, W // 2 + 1)."""
    fy = fft.fftfreq(grid.rows, grid.spacing_mm).astype(np.float32)[:, None]  # cycles/mm
    fx = fft.rfftfreq(grid.columns, grid.spacing_mm).astype(np.float32)[None, :]
    amplitude = (fx**2 + fy**2 + (1.0 / longest_mm) ** 2) ** np.float32(-beta / 4)
    amplitude[0, 0] = 0.0
    amplitude.setflags(write=False)
    return np.asarray(amplitude, dtype=np.float32)


def _gland_map(
    shape: BreastShape,
    view: View,
    grid: Grid,
    *,
    depth: Image,
    ducts: _Ducts,
    patient: np.random.Generator,
    breast: np.random.Generator,
) -> Image:
    """Share of gland, 0..1: a cone behind the nipple with a ragged edge, cut so that it fills the shape's fraction."""
    x, y = pixel_centres_mm(grid)
    x_nipple, y_nipple = nipple_mm(shape, view)
    rough = power_law_field(patient, grid, beta=3.6, longest_mm=60.0)
    fan = _along_ducts(power_law_field(breast, grid, beta=3.4, longest_mm=45.0), ducts, grid=grid, stretch=0.55)
    rough = 0.7 * rough + 0.7 * fan
    lean = 0.0 if view == "CC" else 0.35  # in the oblique view gland reaches up towards the armpit
    across = (y - y_nipple + lean * (x_nipple - x)) / (0.62 * shape.half_height_mm)
    along = (x - 0.52 * x_nipple) / (0.40 * x_nipple)
    cone = 1.0 - along**2 - across**2
    rim = np.minimum((depth - shape.fat_layer_mm) / 4.0, 1.5)  # no gland in the subcutaneous fat, except at the nipple
    potential = 1.3 * np.maximum(cone, -2.5) + 1.2 * np.minimum(rim, 0.0) + 0.9 * rough
    inside = potential[::4, ::4][depth[::4, ::4] > 1.0]
    cut = np.quantile(inside, 1.0 - shape.gland_fraction)
    return _soft_step(np.asarray(potential - cut, np.float32), 0.45)


def _strands(grid: Grid, *, ducts: _Ducts, rng: np.random.Generator) -> Image:
    """Ligaments and vessels, 0..1: the level lines of smooth fields, drawn out along the rays from the nipple."""
    total = np.zeros((grid.rows, grid.columns), np.float32)
    for longest_mm, width, stretch, gain in ((22.0, 0.16, 0.5, 1.0), (12.0, 0.28, 0.6, 0.7), (6.0, 0.35, 0.8, 0.45)):
        field = power_law_field(rng, grid, beta=4.6, longest_mm=longest_mm)
        share = np.roll(field, (grid.rows // 3, grid.columns // 3), axis=(0, 1))  # as good as another draw
        turned = _along_ducts(field, ducts, grid=grid, stretch=stretch)
        total += gain * np.exp(-((turned / width) ** 2)) * np.clip(0.4 + 0.5 * share, 0.0, 1.2)
    return total


def _ducts(shape: BreastShape, view: View, *, grid: Grid) -> _Ducts:
    """Where each pixel lies as seen from a point before the nipple."""
    x, y = pixel_centres_mm(grid)
    x_nipple, y_nipple = nipple_mm(shape, view)
    return _Ducts(
        radius_mm=np.hypot(x - x_nipple - 12.0, y - y_nipple).astype(np.float32),
        angle=np.arctan2(y - y_nipple, x_nipple + 12.0 - x).astype(np.float32),
    )


def _along_ducts(field: Image, ducts: _Ducts, *, grid: Grid, stretch: float) -> Image:
    """A periodic field laid out in polar coordinates; `stretch` < 1 lengthens its forms along the rays."""
    radius = ducts.radius_mm * np.float32(stretch / grid.spacing_mm)
    angle = ducts.angle * np.float32(55.0 / grid.spacing_mm)
    return np.asarray(cv2.remap(field, radius, angle, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _apply_edge(signal: Image, depth: Image, *, shape: BreastShape, view: View, grid: Grid) -> Image:
    """Thin tissue towards the skin is darker, the skin itself a bright line, the air outside is 0."""
    x, y = pixel_centres_mm(grid)
    x_nipple, y_nipple = nipple_mm(shape, view)
    thickness = np.sqrt(np.clip(1.0 - (1.0 - np.clip(depth, 0.0, 14.0) / 14.0) ** 2, 0.0, 1.0))
    skin = _SKIN * np.exp(-(((depth - 0.9) / 0.7) ** 2))
    nipple = _NIPPLE * np.exp(-(((x - x_nipple) / 4.0) ** 2) - ((y - y_nipple) / 5.0) ** 2)
    shown = np.clip(signal, 0.03, None) * (0.30 + 0.70 * thickness) + skin + nipple
    return np.asarray(shown * np.clip(depth / 0.6 + 0.5, 0.0, 1.0), dtype=np.float32)


def _soft_step(value: Image, width: float) -> Image:
    """0 to 1 across zero, over about four widths."""
    return np.asarray(0.5 + 0.5 * np.tanh(value / (2 * width)), dtype=np.float32)


def _enlarged(image: Image, factor: int, *, grid: Grid) -> Image:
    """`image` on `grid`, whose pixels are `factor` times finer; centres stay where they are."""
    if factor == 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    enlarged = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged[: grid.rows, : grid.columns], dtype=np.float32)
