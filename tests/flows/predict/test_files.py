"""What predictions leave on disk, row by row."""

import csv
from pathlib import Path

from tilebank.flows.predict.files import PredictionPaths, write_scores
from tilebank.flows.predict.rows import BreastScore, TopTile
from tilebank.terms import TileBox


def test_the_side_of_a_tile_that_nobody_knows_is_left_empty(tmp_path: Path) -> None:
    tiles = (TopTile("S1", "", TileBox(512, 0, 0, 0), 0.7), TopTile("S1", "", TileBox(0, 0, 256, 256), 0.3))
    row = BreastScore("P1", "E1", "S1", "", "", (0.5,), None, (), "", tiles)
    paths = PredictionPaths.of(tmp_path / "scores.csv")
    assert list(write_scores(paths, [row], columns=["score"])) == [row]
    with paths.tiles.open(newline="") as stream:
        boxes = [[read[name] for name in ("x", "y", "width", "height")] for read in csv.DictReader(stream)]
    assert boxes == [["512", "0", "", ""], ["0", "0", "256", "256"]]
