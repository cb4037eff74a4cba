"""Choose accepted images for the report and draw them."""

from collections.abc import Iterable
from hashlib import sha256

from tilebank.errors import ImageError
from tilebank.flows.engine.image_task import fetch
from tilebank.flows.engine.isolation import isolated
from tilebank.flows.engine.pipelines import limits_of, recipe_of
from tilebank.flows.extract.thumbnail import Thumbnail, thumbnail_of
from tilebank.flows.reporting.progress import progress_bar
from tilebank.flows.settings.settings import Settings
from tilebank.flows.validate.files import DatasetFiles
from tilebank.flows.validate.page import Picture
from tilebank.flows.validate.rows import FileRow
from tilebank.terms import FailureRow

PICTURE_PX = 420  # height
ATTEMPTS = 3  # images tried for one picture, so that a study of broken pixels is not decoded whole from here


def plan_sample(rows: Iterable[tuple[str, FileRow]], count: int) -> list[str]:
    """`count` keys: one of each vendor, intensity and view, the most frequent first, then a second of each, ...

    Which one of a kind is drawn is decided by a hash: the same rows in any order give the same sample.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    for key, row in rows:
        kinds.setdefault((row.manufacturer, row.intensity, row.view), []).append(key)
    ranked = []
    for kind, keys in kinds.items():
        shuffled = sorted(keys, key=lambda key: sha256(key.encode("utf-8", "backslashreplace")).hexdigest())
        ranked += [(place, -len(keys), kind, key) for place, key in enumerate(shuffled)]
    return [key for *_, key in sorted(ranked)[:count]]


def draw_sample(settings: Settings, files: DatasetFiles, *, count: int) -> list[Picture]:
    """Pictures of accepted images. One that cannot be read after all is stopped, and another takes its place."""
    pictures: list[Picture] = []
    order = plan_sample(((uri, files.rows[uri]) for uri in files.images), count * ATTEMPTS)
    wanted = min(count, len(order))
    with progress_bar("pictures", unit="picture", total=wanted) as bar:
        for uri in order:
            if len(pictures) == wanted:
                break
            try:
                pictures.append(_picture(files.rows[uri], _drawn(settings, uri)))
                bar.update()
            except ImageError as error:
                image_id = files.images[uri].image_id
                files.stop(FailureRow(image_id, uri, error.stage, error.error_class, error.reason))
    return pictures


def _drawn(settings: Settings, uri: str) -> Thumbnail:
    recipe, content = recipe_of(settings), fetch(uri)
    return isolated(limits_of(settings)).call(thumbnail_of, content, recipe=recipe, height_px=PICTURE_PX, veil=True)


def _picture(row: FileRow, drawn: Thumbnail) -> Picture:
    said = [f"{row.laterality} {row.view}", row.manufacturer, f"intensity {drawn.windowed_by}"]
    said += [f"{drawn.tiles} tiles", f"breast {drawn.breast_fraction:.0%} of the image"]
    return Picture(row.uri, ", ".join(text for text in said if text), drawn.png)
