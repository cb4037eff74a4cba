"""Estimate what an extraction would cost: read a few images, count the encoder's operations."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from tilebank.encoders.registry import flops_per_tile
from tilebank.errors import EncoderError, ImageError
from tilebank.flows.engine.image_task import Expected, fetch, instances_of
from tilebank.flows.engine.isolation import isolated
from tilebank.flows.engine.pipelines import limits_of, recipe_of
from tilebank.flows.settings.settings import Settings
from tilebank.terms import ManifestRow

BYTES_A_PIXEL, BYTES_A_VALUE = 2, 2  # uint16 pixels, float16 vectors
EACH = 100_000
MANY = 1000  # an encoder that more cores than this could not keep busy needs no GPU


@dataclass(frozen=True)
class SampleImage:
    """An image that was read for an estimate: its tiles, seconds to read it, and the uint16 pixels of its instances."""

    tiles: int
    seconds: float
    pixels: bytes


@dataclass(frozen=True)
class Estimate:
    """Figures for `images` images, from `looked_at` of them that were read here.

    tiles: of one image, the mean; read_s: of one image on one core of this machine, the median, its fetching included;
    gflop: of one instance, counted, None where the architecture is not known; gpu_tflops: what one GPU is taken to
    sustain (extraction.gpu_tflops), an assumption and not a measurement.
    """

    images: int
    looked_at: int
    tiles: float
    read_s: float
    gflop: float | None
    gpu_tflops: float
    input_size_px: int
    dim: int

    @property
    def instances(self) -> float:
        """Vectors of all images: a view each, and the tiles."""
        return self.images * (1 + self.tiles)

    @property
    def gpu_hours(self) -> float | None:
        """Hours of one GPU in the encoder alone."""
        return None if self.gflop is None else self.instances * self.gflop / (1000 * self.gpu_tflops) / 3600

    @property
    def core_hours(self) -> float:
        """Hours of one core for reading, masking and tiling."""
        return self.images * self.read_s / 3600

    @property
    def cores_a_gpu(self) -> float | None:
        """Cores that keep one GPU from waiting."""
        return self.core_hours / self.gpu_hours if self.gpu_hours else None

    @property
    def vector_bytes(self) -> float:
        """What the store will hold."""
        return self.instances * self.dim * BYTES_A_VALUE

    @property
    def moved_bytes(self) -> float:
        """Pixels that travel from readers to encoders."""
        return self.instances * self.input_size_px**2 * BYTES_A_PIXEL

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        derived = ("instances", "gpu_hours", "core_hours", "cores_a_gpu", "vector_bytes", "moved_bytes")
        return asdict(self) | {name: getattr(self, name) for name in derived}

    def as_rows(self) -> list[tuple[str, str]]:
        """Lines for a person: for all images, and for each 100,000."""
        many = EACH / self.images
        rows = [
            ("estimate", f"for {self.images} images (and each {EACH:,}), from {self.looked_at} read now"),
            ("  vectors", f"{self.instances:,.0f} ({self.instances * many:,.0f}): {self.tiles:.1f} tiles and a view"),
            ("  store", f"{self.vector_bytes / 1e9:.2f} GB ({self.vector_bytes * many / 1e9:.1f} GB)"),
            ("  pixels moved", f"{self.moved_bytes / 1e9:.1f} GB ({self.moved_bytes * many / 1e9:,.0f} GB)"),
            (
                "  reading",
                f"{self.core_hours:.1f} core hours ({self.core_hours * many:.1f}), {self.read_s:.2f} s an image",
            ),
        ]
        if self.gflop is None or self.gpu_hours is None:
            return [*rows, ("  encoding", "not counted: the encoder's conf names no architecture")]
        hours = f"{self.gpu_hours:.1f} GPU hours ({self.gpu_hours * many:.1f})"
        rows.append(("  encoding", f"{hours}: {self.gflop:,.1f} GFLOP a vector, counted"))
        rows.append(("", f"at {self.gpu_tflops:g} TFLOP/s a GPU, assumed: extraction.gpu_tflops"))
        if self.cores_a_gpu and self.cores_a_gpu < MANY:
            rows.append(("", f"{self.cores_a_gpu:,.0f} cores like these would keep one GPU busy"))
        return rows


def estimate(settings: Settings, images: Sequence[ManifestRow], *, look_at: int = 8) -> Estimate | None:
    """Read up to `look_at` of `images`, spread over them; None where not one of them can be read."""
    samples = list(read_samples(settings, images, count=look_at))
    if not samples:
        return None
    seconds = sorted(sample.seconds for sample in samples)
    return Estimate(
        images=len(images),
        looked_at=len(samples),
        tiles=sum(sample.tiles for sample in samples) / len(samples),
        read_s=seconds[len(seconds) // 2],
        gflop=_gflop(settings),
        gpu_tflops=settings.extraction.gpu_tflops,
        input_size_px=settings.encoder.input_size_px,
        dim=settings.encoder.dim,
    )


def read_samples(settings: Settings, images: Sequence[ManifestRow], *, count: int) -> Iterator[SampleImage]:
    """Up to `count` of `images`, spread over them, read as an extraction reads them; those that fail are left out."""
    for row in images[:: max(1, len(images) // count)][:count]:
        began = time.perf_counter()
        try:
            expected = Expected(row.laterality.value, row.view, row.sop_instance_uid)
            found = isolated(limits_of(settings)).call(
                instances_of, fetch(row.uri), expected, recipe=recipe_of(settings)
            )
        except ImageError:
            continue  # the run itself will say which and why
        tiles = len(found["tissue"]) // 4 - 1  # float32 an instance, the first is the view
        yield SampleImage(tiles, time.perf_counter() - began, found["pixels"])


def _gflop(settings: Settings) -> float | None:
    try:
        return flops_per_tile(settings.encoder) / 1e9
    except EncoderError:
        return None
