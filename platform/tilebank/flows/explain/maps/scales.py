"""Open the overlapped tiles behind a map: one more extraction a scale, under its own fingerprint.

Stages, actor pool, resume and failures are those of every extraction; the vectors stay in the store.
"""

import logging
from dataclasses import dataclass, replace

from tilebank.datasets.contract import Manifest
from tilebank.encoders.input_scale import at_scale
from tilebank.errors import ConfigError, DatasetError, StoreError
from tilebank.flows.extract.extract import ExtractionSummary, extract
from tilebank.flows.predict.inputs import images_refused
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import open_reader
from tilebank.imaging.intensity import IntensityMode
from tilebank.store.reader import Reader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MapScale:
    """The stored tiles of one size.

    stride_px: between neighbours; held: breasts that have some; failures: image id -> why it has none; cost: of this
    run.
    """

    scale: float
    tile_px: int
    stride_px: int
    reader: Reader
    held: frozenset[str]
    failures: dict[str, str]
    cost: ExtractionSummary


def assert_mappable(settings: Settings) -> None:
    """Raise ConfigError where tiles cannot be laid anew: there is no image, or the way of cutting is fixed."""
    if settings.dataset.made_elsewhere:
        raise ConfigError(
            f"vectors of dataset {settings.dataset.name!r} were made elsewhere: there are no images to map"
        )
    if settings.reader.intensity is IntensityMode.PUBLISHED:
        raise ConfigError(
            "reader.intensity published lays its tiles in one fixed way, without overlap; search a head on"
            " vectors of another intensity to see where it looks"
        )


def at_map_scale(settings: Settings, *, scale: float) -> Settings:
    """`settings` with overlapped tiles of `scale` times the encoder's size, at native resolution."""
    tiling = replace(settings.tiling, overlap=settings.explain.overlap)
    return settings.model_copy(update={"tiling": tiling, "encoder": at_scale(settings.encoder, scale=scale)})


def open_scales(settings: Settings, manifest: Manifest) -> list[MapScale]:
    """The overlapped tiles of the manifest's images at every scale; what is not stored is encoded first.

    Raises DatasetError where none of the images can be read, EncoderError where the encoder takes no such size.
    """
    return [_open(at_map_scale(settings, scale=scale), manifest, scale=scale) for scale in settings.explain.scales]


def _open(settings: Settings, manifest: Manifest, *, scale: float) -> MapScale:
    cost = extract(settings, manifest=manifest)
    logger.info("explain: scale %g, %d tiles encoded in %.1f s", scale, cost.tiles, cost.wall_s)
    try:
        reader = open_reader(settings)
    except StoreError as error:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in sorted(cost.failures.items()))
        raise DatasetError(
            f"none of the {len(manifest.images)} images could be laid out in overlapped tiles:"
            f" {reasons or 'they failed before; see tilebank validate'}"
        ) from error
    size = settings.encoder.input_size_px
    stride = max(1, round(size * (1 - settings.tiling.overlap)))
    held = frozenset(breast.breast_id for breast in reader.read_breasts())
    failures = {row.image_id: row.reason for row in images_refused(settings, fingerprint=reader.fingerprint)}
    return MapScale(scale, size, stride, reader, held, failures, cost)
