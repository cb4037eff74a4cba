"""Render one view of a planned breast to stored pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.phantom.anatomy import VIEWS, Image, View, grid_of
from tilebank.phantom.config import PhantomConfig
from tilebank.phantom.findings import draw_findings
from tilebank.phantom.plan import PhantomBreast, PhantomExam, Stream, stream
from tilebank.phantom.tissue import add_quantum_noise, render_tissue
from tilebank.phantom.vendors import VENDORS, marker_image, stored_values
from tilebank.terms import Laterality, TileBox

_AIR_MM = -0.5  # the blurred rim of the skin ends here
_SIDES = list(Laterality)


@dataclass(frozen=True)
class PhantomView:
    """One view as its vendor stores it, (H, W), with one box a finding in the order of the plan."""

    pixels: NDArray[np.uint16]
    boxes: tuple[TileBox, ...]
    breast_mask: NDArray[np.bool_]


def render_view(exam: PhantomExam, breast: PhantomBreast, *, view: View, config: PhantomConfig) -> PhantomView:
    """Render one view. Its noise does not depend on its findings: without them it differs inside their boxes only."""
    grid = grid_of(config.rows, config.columns)
    side, which = _SIDES.index(breast.laterality), VIEWS.index(view)
    patient = exam.patient_number
    tissue = render_tissue(
        breast.shape,
        view,
        grid,
        patient=stream(config, Stream.TISSUE_OF_PATIENT, patient, place=[0, 0, which]),
        breast=stream(config, Stream.TISSUE_OF_BREAST, patient, place=[0, side, which]),
    )
    noise = stream(config, Stream.QUANTUM, patient, place=[exam.exam_number, side, which])
    with_findings, boxes = draw_findings(tissue.signal, breast.findings, shape=breast.shape, view=view, grid=grid)
    shown = add_quantum_noise(with_findings, noise, grid=grid)
    air = tissue.skin_depth < _AIR_MM
    if breast.laterality is Laterality.R:  # the anatomy was made with the chest wall on the left
        shown, air = _mirrored(shown), np.ascontiguousarray(air[:, ::-1])
        boxes = [TileBox(grid.columns - box.x - box.width, box.y, box.width, box.height) for box in boxes]
    vendor = VENDORS[exam.vendor]
    text = vendor.marker.format(side=breast.laterality.value, view=view)
    on_left = breast.laterality is Laterality.R
    marker = marker_image(grid.rows, grid.columns, text=text, top=vendor.marker_top, on_left=on_left)
    pixels = stored_values(np.maximum(shown, marker), air & (marker == 0), vendor=vendor, rng=noise)
    return PhantomView(pixels, tuple(boxes), ~air)


def _mirrored(image: Image) -> Image:
    return np.ascontiguousarray(image[:, ::-1])
