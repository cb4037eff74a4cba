"""What an explanation would cost: exams, images, tiles to encode, time and disk. Nothing is stored.

Some images are read, masked and mapped here, and some of their tiles encoded; times are those of this machine.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tilebank.datasets.contract import Manifest
from tilebank.errors import EncoderError
from tilebank.flows.champion.load import ChosenHead
from tilebank.flows.engine.pipelines import read_manifest
from tilebank.flows.explain.maps.scales import at_map_scale
from tilebank.flows.explain.request import ExplainRequest, assert_explainable, images_of, wanted_breasts
from tilebank.flows.extract.cost import read_samples
from tilebank.flows.extract.plan import plan_of
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.job import aligned
from tilebank.flows.settings.settings import Settings
from tilebank.store.tables import Store
from tilebank.terms import ManifestRow

LOOKED_AT = 3  # images that are read for an estimate
ENCODED = 16  # tiles that are encoded for it
VALUE_BYTES = 2  # of a float16


@dataclass(frozen=True)
class ScalePlan:
    """One tile size: images whose tiles are not stored yet, and what encoding them would take.

    tiles: in all of them, from the mean of the images that were read; read_s: of one image on one core; tiles_per_s: of
    the encoder on this machine, 0 where it was not measured. None were read where all is stored, or none could be.
    """

    scale: float
    tile_px: int
    pending: int
    tiles: int
    read_s: float
    tiles_per_s: float
    dim: int

    @property
    def seconds(self) -> float:
        """Encoding on this machine, with all its cores reading meanwhile."""
        encode_s = self.tiles / self.tiles_per_s if self.tiles_per_s else 0.0
        return max(encode_s, self.pending * self.read_s / _cores())

    @property
    def vector_bytes(self) -> int:
        """What the store would hold more."""
        return self.tiles * self.dim * VALUE_BYTES


@dataclass(frozen=True)
class ExplainPlan:
    """What would be mapped, and what it would cost. notes: what could not be estimated, and why."""

    head: str
    source: str
    split: str
    exams: int
    breasts: int
    images: int
    read_s: float
    scales: tuple[ScalePlan, ...]
    stored: bool
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Encoding, then reading every image again to lay its map on it."""
        return sum(each.seconds for each in self.scales) + self.images * self.read_s / _cores()

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        scales = [asdict(each) | {"seconds": each.seconds, "vector_bytes": each.vector_bytes} for each in self.scales]
        return asdict(self) | {"scales": scales, "seconds": self.seconds, "cores": _cores()}

    def as_text(self) -> str:
        """Counts, cost, and how it was estimated."""
        rows = [
            ("head", self.head),
            ("would map", f"{self.exams} exams, {self.breasts} breasts, {self.images} images; from {self.source}"),
            *([("split", self.split)] if self.split else []),
        ]
        for each in self.scales:
            name = f"tiles of {each.tile_px} px"
            if not each.pending:
                rows.append((name, "all are stored"))
                continue
            speed = f" at {each.tiles_per_s:.3g} a second" if each.tiles_per_s else ""
            rows.append((name, f"about {each.tiles} to encode, of {each.pending} images{speed}"))
        more = sum(each.vector_bytes for each in self.scales)
        where = "in the store" if self.stored else "in a temporary store"
        rows.append(("time", f"about {_duration(self.seconds)} on this machine ({_cores()} cores)"))
        rows.append(("disk", f"about {more / 1e6:.3g} MB of vectors {where}, and figures and pages"))
        rows += [("note", note) for note in self.notes]
        return aligned([(name, visible(value)) for name, value in [*rows, ("", "nothing was written")]])


def plan_explanation(chosen: ChosenHead, request: ExplainRequest) -> ExplainPlan:
    """Count and estimate; writes nothing. Raises TilebankError as `explain` does before any work."""
    assert_explainable(chosen, request)
    settings = chosen.settings
    manifest = read_manifest(settings)
    if not request.from_folder:
        manifest = images_of(manifest, wanted_breasts(chosen, request, settings), settings)
    elif request.limit is not None:
        first = set(sorted({row.exam_id for row in manifest.images})[: request.limit])
        manifest = Manifest(tuple(row for row in manifest.images if row.exam_id in first), ())
    cut = [at_map_scale(settings, scale=scale) for scale in settings.explain.scales]
    shares = list(settings.explain.scales)
    if request.from_folder:  # the tiles that the scores are made of come first
        cut, shares = [settings, *cut], [1.0, *shares]
    notes: list[str] = []
    scales = [
        _plan_scale(each, manifest, scale=share, stored=not request.from_folder, notes=notes)
        for each, share in zip(cut, shares, strict=True)
    ]
    return ExplainPlan(
        head=chosen.name,
        source=settings.dataset.root if request.from_folder else f"{settings.dataset.name} in {settings.store}",
        split=request.split,
        exams=len({row.exam_id for row in manifest.images}),
        breasts=len({row.breast_id for row in manifest.images}),
        images=len(manifest.images),
        read_s=max((each.read_s for each in scales), default=0.0) or _read(settings, manifest.images)[1],
        scales=tuple(scales),
        stored=not request.from_folder,
        notes=tuple(dict.fromkeys(notes)),
    )


def _plan_scale(settings: Settings, manifest: Manifest, *, scale: float, stored: bool, notes: list[str]) -> ScalePlan:
    table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name) if stored else None
    pending = plan_of(settings, table, manifest=manifest, limit=None, retry_failed=False).pending
    tiles, read_s, pixels = _read(settings, pending)
    try:
        speed = _tiles_per_s(settings, pixels) if len(pixels) else 0.0
    except EncoderError as error:
        speed = 0.0
        notes.append(f"the time to encode is not in the estimate: {error}")
    if pending and not len(pixels):
        notes.append(f"none of {min(LOOKED_AT, len(pending))} images could be read for an estimate")
    return ScalePlan(
        scale=scale,
        tile_px=settings.encoder.input_size_px,
        pending=len(pending),
        tiles=round(tiles * len(pending)),
        read_s=read_s,
        tiles_per_s=speed,
        dim=settings.encoder.dim,
    )


def _read(settings: Settings, images: Sequence[ManifestRow]) -> tuple[float, float, np.ndarray]:
    """Tiles and seconds of one image (means of those that can be read), and some tiles as (n, size, size) uint16."""
    size = settings.encoder.input_size_px
    counts, seconds, pixels = [], [], np.empty((0, size, size), np.uint16)
    for sample in read_samples(settings, images, count=LOOKED_AT):
        counts.append(sample.tiles)
        seconds.append(sample.seconds)
        if sample.tiles > len(pixels):  # the first instance is the view
            pixels = np.frombuffer(sample.pixels, np.uint16).reshape(-1, size, size)[1 : 1 + ENCODED]
    if not counts:
        return 0.0, 0.0, pixels
    return float(np.mean(counts)), float(np.median(seconds)), pixels


def _tiles_per_s(settings: Settings, pixels: np.ndarray) -> float:
    """The encoder's speed here, after a first call."""
    from tilebank.encoders.registry import load_encoder
    from tilebank.encoders.throughput import tiles_per_s

    return tiles_per_s(load_encoder(settings.encoder), pixels, step=len(pixels), repeats=1)


def _cores() -> int:
    return os.cpu_count() or 1


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
