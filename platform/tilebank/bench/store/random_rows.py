"""Random vectors as rows of an instances table, in the form that an extraction stores them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tilebank.flows.engine.stages import instance_rows

DATASET, ENCODER, FINGERPRINT = "bench", "bench", "0" * 16
INSTANCES_AN_IMAGE = 23  # a view and 22 tiles
# Image properties that a reader would store.
READER_COLUMNS: dict[str, object] = {
    "laterality_from": "table",
    "view_from": "table",
    "image_kind": "ffdm",
    "special": "",
}
READER_COLUMNS |= {"manufacturer": "", "windowed_by": "linear", "warnings": "", "rows": 3328, "columns": 2560}


def rows_of_images(vectors: NDArray[np.float16], *, first: int) -> pa.Table:
    """Rows of the images from number `first` on, given vectors (image, instance, D)."""
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
        row |= {"patient_id": f"patient-{number // 4}", "laterality": "L", "view": "CC"} | READER_COLUMNS
        arrays = {"boxes": boxes, "tissue": tissue, "flipped": False, "vectors": image.tobytes()}
        tables.append(instance_rows(row | arrays, dim=vectors.shape[-1], fingerprint=FINGERPRINT))
    return pa.concat_tables(tables)


def breast_of(image: int) -> str:
    """The breast of an image, two images per breast."""
    return f"breast-{image // 2}"
