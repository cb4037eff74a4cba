"""The parts of the benchmark and their sizes, as the command line needs them."""

from dataclasses import dataclass, field, fields

from tilebank.errors import ConfigError

# Imported when used: processes that a part starts import this module and must not wait for Ray.
PARTS = {
    "phantom": ("extraction.images", "bench_phantom"),
    "read": ("extraction.images", "bench_read"),
    "encode": ("extraction.encode", "bench_encode"),
    "extract": ("extraction.extract", "bench_extract"),
    "store": ("store.small_table", "bench_store"),
    "tables": ("store.large_table", "bench_tables"),
    "search": ("search.search", "bench_search"),
    "heads": ("search.heads", "bench_heads"),
    "assumptions": ("search.assumptions", "bench_assumptions"),
}
ONLY_WHEN_NAMED = ("heads", "assumptions")  # they take many minutes


def _size(default: int, what: str) -> int:
    """A field of BenchSizes: its default and its help text."""
    size: int = field(default=default, metadata={"what": what})
    return size


# Smallest allowed sizes other than 1. Validation takes a seventh of the breasts and needs both classes.
LEAST = {"images": 0, "loop_images": 0, "packs": 2, "epochs": 2, "breasts": 14, "tiles_a_breast": 2, "bags": 2}
LEAST |= {"test_bags": 2}


@dataclass(frozen=True)
class BenchSizes:
    """Sizes of the measurements; the defaults take less than five minutes on two cores."""

    exams: int = _size(16, "exams in the phantom study, 4 images each")
    images: int = _size(0, "images in the phantom study, in whole exams, instead of --exams; 0: use --exams")
    loop_images: int = _size(0, "images for the extractions without Ray; 0: all")
    rows: int = _size(2048, "rows of an image")
    columns: int = _size(1536, "columns of an image")
    jpeg2000: bool = field(default=False, metadata={"what": "write every file as JPEG 2000, not every other one"})
    read_images: int = _size(16, "images for read")
    tiles: int = _size(32, "tiles for encode")
    commits: int = _size(8, "commits for store")
    vectors: int = _size(100_000, "vectors for tables")
    breasts: int = _size(300, "breasts for search")
    tiles_a_breast: int = _size(60, "mean number of tiles per breast for search")
    dim: int = _size(384, "dimension of the vectors for search")
    heads: int = _size(36, "heads for search")
    loop_heads: int = _size(4, "heads that search fits in a plain loop")
    packs: int = _size(2, "packs fitted at the same time, if there are enough cores")
    epochs: int = _size(8, "epochs for heads, and for the plain loops of search")
    bags: int = _size(1600, "bags for heads")
    test_bags: int = _size(400, "bags per split for assumptions")
    seeds: int = _size(3, "seeds per head for assumptions")
    repeats: int = _size(3, "runs of read, encode, store and tables; the best one counts")

    def __post_init__(self) -> None:
        for each in fields(self):
            size, least = getattr(self, each.name), LEAST.get(each.name, 1)
            if size < least and not isinstance(size, bool):
                raise ConfigError(f"bench: {each.name} is {size}; use at least {least}")
