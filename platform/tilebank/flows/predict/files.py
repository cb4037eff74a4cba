"""Write a prediction to disk: scores, top tiles, refused images, and a JSON file about them.

`NAME.csv` a row a breast; `NAME.tiles.csv` a row a top tile; `NAME.refused.csv` a row an image that was not used;
`NAME.json` the head, its threshold and the warning. Files get their names when they are complete.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilebank.errors import ConfigError
from tilebank.flows.predict.rows import BreastScore
from tilebank.flows.reporting.atomic_files import finished, write_row
from tilebank.flows.reporting.job import assert_writable
from tilebank.terms import FailureRow


@dataclass(frozen=True)
class PredictionPaths:
    """Where the four files go."""

    scores: Path
    tiles: Path
    refused: Path
    about: Path

    @classmethod
    def of(cls, out: Path) -> "PredictionPaths":
        """The paths beside `out`. Raises ConfigError, before any work, for a place that cannot be written."""
        if out.suffix != ".csv":
            raise ConfigError(f"--out {out} does not end in .csv; write it as {out.with_suffix('.csv')}")
        paths = cls(out, *(out.with_suffix(suffix) for suffix in (".tiles.csv", ".refused.csv", ".json")))
        for path in paths.all:
            assert_writable("--out", path)
        return paths

    @property
    def all(self) -> tuple[Path, ...]:
        """All four."""
        return (self.scores, self.tiles, self.refused, self.about)


def write_scores(
    paths: PredictionPaths, rows: Iterable[BreastScore], *, columns: Sequence[str]
) -> Iterator[BreastScore]:
    """Write each row and its top tiles as it comes, and pass it on; the files take their names after the last one.

    columns: what the scores stand in.
    """
    with finished(paths.scores) as scores, finished(paths.tiles) as tiles:
        ids = ("patient_id", "exam_id", "breast_id", "laterality", "split")
        write_row(scores, (*ids, *columns, "at_or_above_threshold", "views", "flag"))
        write_row(tiles, ("breast_id", "rank", "image_id", "view", "x", "y", "width", "height", "attention"))
        for row in rows:
            decision = "" if row.at_or_above is None else int(row.at_or_above)
            who = [getattr(row, name) for name in ids]
            write_row(scores, (*who, *row.scores, decision, " ".join(row.views), row.flag))
            for rank, tile in enumerate(row.tiles, start=1):
                side = (tile.box.width, tile.box.height) if tile.box.width else ("", "")  # not known, made elsewhere
                box = (tile.box.x, tile.box.y, *side)
                write_row(tiles, (row.breast_id, rank, tile.image_id, tile.view, *box, tile.attention))
            yield row


def write_refused(paths: PredictionPaths, refused: Sequence[FailureRow] | None) -> None:
    """The images that were not used; `uri` is relative to the dataset's root. None: not known, and no file is left."""
    if refused is None:
        paths.refused.unlink(missing_ok=True)
        return
    with finished(paths.refused) as stream:
        write_row(stream, ("image_id", "file", "stage", "error_class", "reason"))
        for row in refused:
            write_row(stream, (row.image_id, row.uri, row.stage, row.error_class, row.reason))


def write_about(paths: PredictionPaths, said: Mapping[str, object]) -> None:
    """The head, its threshold and the warning, as JSON."""
    with finished(paths.about) as stream:
        stream.write(json.dumps(said, indent=2, sort_keys=True) + "\n")
