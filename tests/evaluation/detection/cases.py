"""Random small images with boxes, for the tests of detection."""

import numpy as np

from tilebank.evaluation.detection.images import ImageDetections
from tilebank.terms import Finding, ScoredBox, TileBox

SIDE = 60  # px; boxes of 8 to 30 px on it overlap often
CATEGORIES = (("mass",), ("calcification",), ("mass", "calcification"), ())


def random_box(rng: np.random.Generator) -> TileBox:
    width, height = rng.integers(8, 30, 2).tolist()
    return TileBox(int(rng.integers(0, SIDE - width)), int(rng.integers(0, SIDE - height)), width, height)


def random_images(seed: int, *, images: int = 12, boxes: int = 3, tied: bool = False) -> list[ImageDetections]:
    """Three images a patient; some without boxes, some without detections; half of the detections near a box."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(images):
        name = f"image{number}"
        truth = [random_box(rng) for _ in range(int(rng.integers(0, boxes + 1)))]
        found = []
        for _ in range(int(rng.integers(0, 7))):
            box = random_box(rng)
            if truth and rng.random() < 0.6:
                near = truth[int(rng.integers(len(truth)))]
                x, y = (near.x + int(rng.integers(-5, 6)), near.y + int(rng.integers(-5, 6)))
                box = TileBox(x, y, near.width, near.height)
            found.append(ScoredBox(box, float(rng.integers(0, 4)) if tied else float(rng.random())))
        findings = tuple(Finding(name, CATEGORIES[int(rng.integers(4))], box) for box in truth)
        peak = (int(rng.integers(SIDE)), int(rng.integers(SIDE)))
        made.append(ImageDetections(name, f"p{number // 3}", SIDE, SIDE, findings, tuple(found), peak, (0.5, 0.5)))
    return made


def shared_share(first: TileBox, second: TileBox) -> float:
    """Intersection over union, counted column by column and row by row."""
    sides = [(set(range(box.x, box.x + box.width)), set(range(box.y, box.y + box.height))) for box in (first, second)]
    shared = len(sides[0][0] & sides[1][0]) * len(sides[0][1] & sides[1][1])
    return shared / (sum(len(x) * len(y) for x, y in sides) - shared)
