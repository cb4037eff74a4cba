"""The parts that can be timed, and how much of each: what a job's flags need to know."""

from dataclasses import dataclass, field, fields

from tilebank.errors import ConfigError

# Named, not imported: a process that a part starts imports this module, and should not wait for Ray.
PARTS = {
    "phantom": ("extraction.images", "bench_phantom"),
    "read": ("extraction.images", "bench_read"),
    "encode": ("extraction.encode", "bench_encode"),
    "extract": ("extraction.extract", "bench_extract"),
    "store": ("store.store", "bench_store"),
    "tables": ("store.large_table", "bench_tables"),
    "search": ("search.search", "bench_search"),
    "heads": ("search.heads", "bench_heads"),
    "assumptions": ("search.assumptions", "bench_assumptions"),
}
WHEN_NAMED = ("heads", "assumptions")  # many minutes, and the same on every machine but for speed


def _size(default: int, what: str) -> int:
    """A field of BenchSizes: its default, and what is said of it in a job's help."""
    size: int = field(default=default, metadata={"what": what})
    return size


# The least of a size, where it is not 1. Val takes a seventh of the breasts, and needs both classes.
LEAST = {"images": 0, "loop_images": 0, "packs": 2, "epochs": 2, "breasts": 14, "tiles_a_breast": 2, "bags": 2}
LEAST |= {"test_bags": 2}


@dataclass(frozen=True)
class BenchSizes:
    """How much is measured; the defaults take less than five minutes on two cores."""

    exams: int = _size(16, "exams in the phantom study, 4 images each")
    images: int = _size(0, "images in the phantom study, in whole exams, in place of --exams; 0: as many as those have")
    loop_images: int = _size(0, "images for what extract runs beside Ray, one after another; 0: all")
    rows: int = _size(2048, "rows of an image")
    columns: int = _size(1536, "columns of an image")
    jpeg2000: bool = field(default=False, metadata={"what": "every file of the study JPEG 2000, not every other"})
    read_images: int = _size(16, "images for read")
    tiles: int = _size(32, "tiles for encode")
    commits: int = _size(8, "commits for store")
    vectors: int = _size(100_000, "vectors for tables")
    breasts: int = _size(300, "breasts for search")
    tiles_a_breast: int = _size(60, "tiles of a breast for search, on average")
    dim: int = _size(384, "dimension of the vectors for search")
    heads: int = _size(36, "heads for search")
    loop_heads: int = _size(4, "heads for what search runs one after another")
    packs: int = _size(2, "packs that are fitted at the same time, where there are cores enough")
    epochs: int = _size(8, "epochs for heads, and for what search runs one after another")
    bags: int = _size(1600, "bags for heads")
    test_bags: int = _size(400, "bags of each split for assumptions")
    seeds: int = _size(3, "fits of each head for assumptions")
    repeats: int = _size(3, "runs, of which the best counts, for read, encode, store and tables")

    def __post_init__(self) -> None:
        for each in fields(self):
            size, least = getattr(self, each.name), LEAST.get(each.name, 1)
            if size < least and not isinstance(size, bool):
                raise ConfigError(f"bench: {each.name} is {size}; use at least {least}")
