"""Define the names and Arrow schemas of the store's tables."""

import pyarrow as pa

TAG = "tilebank."  # before the keys of a table's own metadata
INSTANCE_INDICES = ("breast_id", "exam_id", "image_id")

_TEXT, _PX = pa.string(), pa.int32()

# What the reader saw of an image, the same on each of its rows: where side and view were taken from, what kind of image
# it is, how its intensity was brought to presentation, what was odd, and how large it is.
SEEN = pa.schema(
    [(name, _TEXT) for name in ("laterality_from", "view_from", "image_kind", "special", "manufacturer")]
    + [(name, _TEXT) for name in ("windowed_by", "warnings")]
    + [("rows", _PX), ("columns", _PX)]
)

FAILURES = pa.schema(
    [(name, _TEXT) for name in ("image_id", "uri", "stage", "error_class", "reason", "fingerprint")],
)
# What was declared of vectors that were made elsewhere, one row a fingerprint; `provenance` is a JSON object.
IMPORTS = pa.schema([(name, _TEXT) for name in ("fingerprint", "layout", "provenance", "source")])
LABELS = pa.schema(
    [
        ("dataset", _TEXT),
        ("task", _TEXT),
        ("patient_id", _TEXT),
        ("exam_id", _TEXT),
        ("breast_id", _TEXT),
        ("label", pa.int8()),
        ("stratum", _TEXT),
        ("rule", _TEXT),
    ]
)
# `scheme` names all that decides a split but the patients: shares, seed, whether the owner's test is taken.
SPLITS = pa.schema(
    [
        ("dataset", _TEXT),
        ("task", _TEXT),
        ("scheme", _TEXT),
        ("seed", pa.int64()),
        ("patient_id", _TEXT),
        ("split", _TEXT),
    ]
)
# `score` answers a yes-no question; `scores` hold the answers of a task of classes or of several labels, in its order.
# One of the two is null. Tables of earlier versions have no `scores` until the next prediction is written.
PREDICTIONS = pa.schema(
    [(name, _TEXT) for name in ("breast_id", "exam_id", "patient_id", "task", "split")]
    + [("label", pa.int8()), ("score", pa.float32()), ("scores", pa.list_(pa.float32()))]
    + [(name, _TEXT) for name in ("head", "run_id", "fingerprint")]
)


def instances_schema(dim: int) -> pa.Schema:
    """One row an instance: a view or a tile, its box in source pixels, its vector, and the fingerprint that made it.

    `instances` is how many its image has, the same on each of its rows: so a lost row is missed.
    """
    ids = ("instance_id", "image_id", "breast_id", "exam_id", "patient_id", "laterality", "view", "kind")
    return pa.schema(
        [(name, _TEXT) for name in ids]
        + [("instances", pa.int32())]
        + [(name, _PX) for name in ("x", "y", "width", "height")]
        + [
            ("tissue_fraction", pa.float32()),
            ("flipped", pa.bool_()),
            ("vector", pa.list_(pa.float16(), dim)),
            ("fingerprint", _TEXT),
            *SEEN,
        ]
    )


def read_tags(schema: pa.Schema) -> dict[str, str]:
    """A table's own metadata: its licence, and whether it may be passed on."""
    return {key.decode().removeprefix(TAG): value.decode() for key, value in (schema.metadata or {}).items()}


def sql_literal(text: str) -> str:
    """`text` as a literal of a filter."""
    return "'" + text.replace("'", "''") + "'"


def table_name(table: str, *owners: str) -> str:
    """`instances--<dataset>--<encoder>`: one a dataset and encoder; dimensions differ, and people share them apart."""
    return "--".join((table, *owners))
