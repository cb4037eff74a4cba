"""Draw masks and tiles before anything is encoded, to check them by eye."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tilebank.errors import DatasetError, ImageError
from tilebank.flows.engine.image_task import fetch
from tilebank.flows.engine.isolation import isolated
from tilebank.flows.engine.pipelines import limits_of, read_manifest, recipe_of
from tilebank.flows.extract.thumbnail import thumbnail_of
from tilebank.flows.settings.settings import Settings
from tilebank.terms import ManifestRow


@dataclass(frozen=True)
class PreviewSummary:
    """What was drawn, and what could not be."""

    folder: str
    drawn: tuple[str, ...]
    failures: dict[str, int]

    @property
    def failed(self) -> bool:
        """Whether nothing could be drawn."""
        return not self.drawn

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """A line an image."""
        failed = [f"{count} x {reason}" for reason, count in sorted(self.failures.items())]
        return "\n".join([*self.drawn, *failed, f"{len(self.drawn)} pictures in {self.folder}"])


def preview_tiles(settings: Settings, *, out: Path, images: int, height_px: int) -> PreviewSummary:
    """Draw the first `images` of the manifest into `out`. Raises DatasetError when there are none, or no place."""
    manifest = read_manifest(settings)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"cannot write pictures to {out}: {error}; choose another folder with --out") from error
    drawn, failures = [], Counter(f"{row.stage}: {row.reason}" for row in manifest.failures)
    for row in _first(manifest.images, images):
        try:
            drawn.append(_draw(row, settings, out=out, height_px=height_px))
        except ImageError as error:
            failures[str(error)] += 1
    return PreviewSummary(str(out), tuple(drawn), dict(failures))


def _first(rows: Sequence[ManifestRow], count: int) -> list[ManifestRow]:
    return sorted(rows, key=lambda row: (row.breast_id, row.view))[:count]


def _draw(row: ManifestRow, settings: Settings, *, out: Path, height_px: int) -> str:
    recipe, content = recipe_of(settings), fetch(row.uri)
    drawn = isolated(limits_of(settings)).call(thumbnail_of, content, recipe=recipe, height_px=height_px, veil=False)
    name = f"{row.breast_id}_{row.view}_{row.image_id[-6:]}.png"
    (out / name).write_bytes(drawn.png)
    said = f"{drawn.tiles} tiles, breast {drawn.breast_fraction:.1%} of the image, windowed by {drawn.windowed_by}"
    return f"{name}: {said}"
