"""Export bags as Parquet shards, one row per instance, with a card as a Hugging Face dataset.

A bag is never split: a shard ends after the bag that fills it. The bags that are already written are read from the
shards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from tilebank.errors import StoreError
from tilebank.store.exchange.export_folder import ExportCard, whole_file
from tilebank.terms import LabelRow, Split

SHARD_BYTES = 512 << 20  # of vectors
TEXT = ("patient_id", "exam_id", "breast_id", "image_id", "laterality", "view", "kind")
NUMBERS = ("x", "y", "width", "height")
SIZES = {"n<1K": 1_000, "1K<n<10K": 10_000, "10K<n<100K": 100_000, "100K<n<1M": 1_000_000}  # the hub's own words


def written_bags(folder: Path, split: Split) -> set[str]:
    """The bags in finished shards of a split. Raises StoreError for a shard that cannot be read."""
    try:
        shards = [pq.read_table(place, columns=["breast_id"], memory_map=True) for place in _shards(folder, split)]
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"a shard in {folder} cannot be read: {error}; delete it, and it is written again") from error
    return {one for shard in shards for one in pc.unique(shard["breast_id"]).to_pylist()}


class ShardWriter:
    """Writes bags of one split into shards, each a file that appears when it is whole."""

    def __init__(self, folder: Path, split: Split, card: ExportCard) -> None:
        self._folder, self._split, self._card = folder, split, card
        self._schema = shard_schema(card)

    def write(self, bags: Iterator[tuple[LabelRow, pa.Table]]) -> Iterator[int]:
        """Write every bag, yielding its number of instances; `bags` is consumed one at a time."""
        for first in bags:
            with self._shard() as writer:
                held = 0
                for row, instances in chain([first], bags):
                    table = self._rows(row, instances)
                    writer.write_table(table)
                    held += table.num_rows * self._card.dim * 2
                    yield int(table.num_rows)
                    if held >= SHARD_BYTES:
                        break

    @contextmanager
    def _shard(self) -> Iterator[pq.ParquetWriter]:
        number = len(_shards(self._folder, self._split))
        place = self._folder / "data" / f"{self._split.value}-{number:05d}.parquet"
        with (
            whole_file(place) as unfinished,
            pq.ParquetWriter(unfinished, self._schema, compression="zstd", use_dictionary=[*TEXT, "split"]) as writer,
        ):
            yield writer

    def _rows(self, row: LabelRow, instances: pa.Table) -> pa.Table:
        columns = {name: instances[name] for name in (*TEXT, *NUMBERS, "vector")}
        columns["label"] = pa.repeat(pa.scalar(row.label, pa.int8()), instances.num_rows)
        columns["split"] = pa.repeat(pa.scalar(self._split.value, pa.string()), instances.num_rows)
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)


def shard_schema(card: ExportCard) -> pa.Schema:
    """The columns of a shard; the metadata says where its vectors come from."""
    fields = [(name, pa.string()) for name in TEXT] + [(name, pa.int32()) for name in NUMBERS]
    fields += [("label", pa.int8()), ("split", pa.string()), ("vector", pa.list_(pa.float16(), card.dim))]
    return pa.schema(fields, metadata=card.as_attributes())


def write_dataset_card(folder: Path, card: ExportCard) -> None:
    """The README.md by which `datasets.load_dataset(folder)` finds the splits that are there."""
    counts = {split.value: sum(pq.read_metadata(place).num_rows for place in _shards(folder, split)) for split in Split}
    rows = sum(counts.values())
    size = next((name for name, most in SIZES.items() if rows < most), "n>1M")
    files = [{"split": name, "path": f"data/{name}-*.parquet"} for name, count in counts.items() if count]
    header = {
        "pretty_name": f"{card.dataset}, {card.encoder}",
        "license": "other",
        "license_name": card.licence,
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    said = "\n".join(f"| {name} | {text} |" for name, text in sorted(card.as_attributes().items()))
    text = (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {card.dataset}: vectors of {card.encoder}\n\n"
        "Exported by Tilebank. One row an instance (`kind`: a whole view or a tile of it) with its vector in float16;"
        f" rows of one `breast_id` are a bag, and stand together. `label` answers the task `{card.task}`.\n"
        "Boxes (`x`, `y`, `width`, `height`) are in source pixels, null where they are not known.\n\n"
        f"| what | |\n|---|---|\n{said}\n"
    )
    with whole_file(folder / "README.md") as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _shards(folder: Path, split: Split) -> list[Path]:
    return sorted((folder / "data").glob(f"{split.value}-[0-9]*.parquet"))
