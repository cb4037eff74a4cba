"""Rows of an instances table made up for a timing: random vectors, and all else as an extraction would store it."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tilebank.flows.engine.stages import instance_rows

DATASET, ENCODER, FINGERPRINT = "bench", "bench", "0" * 16
INSTANCES_AN_IMAGE = 23  # a view and 22 tiles
# What a reader saw of each image.
SEEN_HERE: dict[str, object] = {"laterality_from": "table", "view_from": "table", "image_kind": "ffdm", "special": ""}
SEEN_HERE |= {"manufacturer": "", "windowed_by": "linear", "warnings": "", "rows": 3328, "columns": 2560}


def rows_of_images(vectors: NDArray[np.float16], *, first: int) -> pa.Table:
    """The rows of images number `first` and on, vectors (image, instance, D), by the stage of an extraction."""
    count = vectors.shape[1]
    boxes = np.arange(4 * count, dtype=np.int32).tobytes()
    tissue = np.ones(count, np.float32).tobytes()
    tables = []
    for number, image in enumerate(vectors, start=first):
        row: dict[str, object] = {
            "image_id": f"image-{number}",
            "breast_id": breast_of(number),
            "exam_id": f"exam-{number // 4}",
        }
        row |= {"patient_id": f"patient-{number // 4}", "laterality": "L", "view": "CC"} | SEEN_HERE
        arrays = {"boxes": boxes, "tissue": tissue, "flipped": False, "vectors": image.tobytes()}
        tables.append(instance_rows(row | arrays, dim=vectors.shape[-1], fingerprint=FINGERPRINT))
    return pa.concat_tables(tables)


def breast_of(image: int) -> str:
    """Two images a breast."""
    return f"breast-{image // 2}"
