"""Draw masses and calcifications onto a noise-free view.

Forms and sizes follow the lexicon of BI-RADS (ACR, 5th edition, 2013): round or oval and circumscribed against
irregular or spiculated masses; fine pleomorphic clusters against coarse round calcifications.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tilebank.phantom.anatomy import BreastShape, Grid, Image, View, nipple_mm
from tilebank.phantom.tissue import power_law_field
from tilebank.terms import TileBox

Floats = NDArray[np.floating]
Kind = Literal["mass", "calcification"]
Form = Literal["oval", "irregular", "spiculated", "cluster", "coarse"]

# Half the side of the drawn square, in diameters: spicules reach past the body of a mass, specks have a size.
_REACH: dict[Form, float] = {"oval": 0.5, "irregular": 0.5, "spiculated": 0.95, "cluster": 0.5, "coarse": 0.5}
_MARGIN_MM = {"oval": 0.0, "irregular": 0.0, "spiculated": 0.0, "cluster": 0.3, "coarse": 0.1}
_EDGE_MM = {"oval": 0.9, "irregular": 2.2, "spiculated": 2.6}  # width of the margin: circumscribed to ill defined
_ROUGHNESS = {"oval": 0.015, "irregular": 0.11, "spiculated": 0.09}
_LEAST = 0.002  # weaker traces are cut off, so that a finding ends at its box
_FINER = 4  # a speck is sampled 4 x 4 times a pixel: at any raster its light is what its area gives


@dataclass(frozen=True)
class Finding:
    """One lesion, the same in both views of a breast. `seed` draws its details."""

    form: Form
    malignant: bool
    diameter_mm: float
    contrast: float
    specks: int
    seed: int
    behind_nipple_mm: float  # along x, in both views
    y_cc_mm: float
    y_mlo_mm: float

    @property
    def kind(self) -> Kind:
        return "calcification" if self.form in ("cluster", "coarse") else "mass"


def reach_mm(form: Form, diameter_mm: float) -> float:
    """Half the side of the square that holds a finding."""
    return _REACH[form] * diameter_mm + _MARGIN_MM[form]


def centre_mm(finding: Finding, shape: BreastShape, view: View) -> tuple[float, float]:
    """Where a finding lies in a view: (x, y)."""
    x = nipple_mm(shape, view)[0] - finding.behind_nipple_mm
    return x, finding.y_cc_mm if view == "CC" else finding.y_mlo_mm


def draw_findings(
    signal: Image, findings: Sequence[Finding], *, shape: BreastShape, view: View, grid: Grid
) -> tuple[Image, list[TileBox]]:
    """`signal` with the findings added, and the box in pixels that holds all that was added for each."""
    out, boxes = signal.copy(), []
    for finding in findings:
        x_mm, y_mm = centre_mm(finding, shape, view)
        half = int(np.ceil(reach_mm(finding.form, finding.diameter_mm) / grid.spacing_mm)) + 2
        left, top = int(x_mm / grid.spacing_mm) - half, int(y_mm / grid.spacing_mm) - half
        side = np.arange(2 * half + 1) + 0.5
        dx = ((left + side) * grid.spacing_mm - x_mm)[None, :]  # (1, S) mm from the centre
        dy = ((top + side) * grid.spacing_mm - y_mm)[:, None]  # (S, 1)
        draw = _calcifications if finding.kind == "calcification" else _mass
        added = draw(finding, view, dx=dx, dy=dy, spacing_mm=grid.spacing_mm)
        added[np.abs(added) < _LEAST] = 0.0
        out[top : top + len(side), left : left + len(side)] += added
        ys, xs = np.nonzero(added.any(axis=1))[0], np.nonzero(added.any(axis=0))[0]
        boxes.append(TileBox(left + int(xs[0]), top + int(ys[0]), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1))
    return out, boxes


def _mass(finding: Finding, view: View, *, dx: Floats, dy: Floats, spacing_mm: float) -> Image:
    rng = np.random.default_rng([finding.seed, view == "MLO"])  # another projection, another contour
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)  # (S, S)
    contour = _contour(finding, rng, angle=angle)
    shade = np.sqrt(np.clip(1.0 - (radius / contour) ** 2, 0.0, 1.0))
    margin = np.clip((contour - radius) / min(_EDGE_MM[finding.form], finding.diameter_mm / 4), 0.0, 1.0)
    body = (0.6 + 0.4 * shade) * margin * margin * (3.0 - 2.0 * margin)
    if finding.form == "spiculated":
        body = np.maximum(body, _spicules(finding, rng, radius=radius, angle=angle))
    if finding.malignant:
        side = Grid(len(dy), dx.shape[1], spacing_mm)
        body = body * (1.0 + 0.18 * power_law_field(rng, side, beta=3.0, longest_mm=finding.diameter_mm))
    return np.asarray(finding.contrast * body, dtype=np.float32)


def _contour(finding: Finding, rng: np.random.Generator, *, angle: Floats) -> Floats:
    """Radius of the body in each direction, in mm, at most half the diameter."""
    aspect, turn = rng.uniform(0.72, 1.0), rng.uniform(0.0, np.pi)
    oval = aspect / np.sqrt((aspect * np.cos(angle - turn)) ** 2 + np.sin(angle - turn) ** 2)
    order = np.arange(2, 9)
    weight = _ROUGHNESS[finding.form] * rng.standard_normal(order.size) / np.sqrt(order / 2)
    phase = rng.uniform(0.0, 2 * np.pi, order.size)
    waves = sum(w * np.cos(k * angle + p) for w, k, p in zip(weight, order, phase, strict=True))
    form = np.clip(oval * (1.0 + waves), 0.35, None)
    return np.asarray(form / form.max() * finding.diameter_mm / 2)


def _spicules(finding: Finding, rng: np.random.Generator, *, radius: Floats, angle: Floats) -> Floats:
    """Thin lines that run out from the body, bent a little, fading to their tips."""
    total = np.zeros_like(radius)
    inner = 0.3 * finding.diameter_mm
    for _ in range(int(rng.integers(10, 19))):
        tip = finding.diameter_mm * rng.uniform(0.6, 0.93)
        bend = rng.normal(0.0, 0.25) / finding.diameter_mm
        off = angle - rng.uniform(-np.pi, np.pi) - bend * (radius - inner)
        off = (off + np.pi) % (2 * np.pi) - np.pi
        fade = np.clip((tip - radius) / (tip - inner), 0.0, 1.0)
        width = rng.uniform(0.25, 0.5) * (0.4 + 0.8 * fade)  # mm
        total = np.maximum(total, rng.uniform(0.45, 0.8) * np.exp(-((off * radius / width) ** 2)) * np.sqrt(fade))
    return np.asarray(total * np.clip(radius / inner, 0.0, 1.0))


def _calcifications(finding: Finding, view: View, *, dx: Floats, dy: Floats, spacing_mm: float) -> Image:
    rng = np.random.default_rng([finding.seed, 2])  # the same specks in both views: only their heights differ
    place = _speck_places(finding, rng)[:, [0, 1] if view == "CC" else [0, 2]]  # (K, 2) mm
    coarse = finding.form == "coarse"
    width = np.full(1, finding.diameter_mm) if coarse else 0.18 + 0.27 * rng.beta(1.4, 2.0, finding.specks)
    light = np.ones(1) if coarse else rng.uniform(0.65, 1.2, finding.specks)
    aspect = rng.uniform(0.85, 1.0, finding.specks) if coarse else rng.uniform(0.45, 1.0, finding.specks)
    turn = rng.uniform(0.0, np.pi, finding.specks)
    added = np.zeros((dy.size, dx.size))
    for k in range(finding.specks):
        ex, ey = dx.ravel() - place[k, 0], dy.ravel() - place[k, 1]
        near = width[k] / 2 + spacing_mm
        window = np.ix_(np.abs(ey) < near, np.abs(ex) < near)
        ex, ey = (_within_pixels(axis[np.abs(axis) < near], spacing_mm) for axis in (ex, ey))
        along = ex[None, :] * np.cos(turn[k]) + ey[:, None] * np.sin(turn[k])
        across = (ey[:, None] * np.cos(turn[k]) - ex[None, :] * np.sin(turn[k])) / aspect[k]
        depth = np.sqrt(np.clip(1.0 - (along**2 + across**2) / (width[k] / 2) ** 2, 0.0, 1.0))
        added[window] += finding.contrast * light[k] * _pixel_means(depth)
    return np.asarray(added, dtype=np.float32)


def _speck_places(finding: Finding, rng: np.random.Generator) -> Floats:
    """Specks in a ball whose diameter is the cluster's, denser along one direction: (K, 3) mm."""
    if finding.form == "coarse":
        return np.zeros((1, 3))
    way = rng.standard_normal((finding.specks, 3)) * [1.0, rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.0)]
    unit = way / np.linalg.norm(way, axis=1, keepdims=True)
    return np.asarray(unit * (finding.diameter_mm / 2) * rng.uniform(0.1, 1.0, (finding.specks, 1)) ** 0.6)


def _within_pixels(centres: Floats, spacing_mm: float) -> Floats:
    fine = (np.arange(_FINER) + 0.5) / _FINER - 0.5
    return np.asarray(np.add.outer(centres, fine * spacing_mm).ravel())


def _pixel_means(fine: Floats) -> Floats:
    rows, columns = fine.shape[0] // _FINER, fine.shape[1] // _FINER
    return np.asarray(fine.reshape(rows, _FINER, columns, _FINER).mean(axis=(1, 3)))
