"""Plan an import: read every header, find the owner of each slide, and leave out what is stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilebank.datasets.features import Features
from tilebank.datasets.folder import id_from_path
from tilebank.errors import ConfigError, DatasetError, ImageError
from tilebank.flows.reporting.job import aligned
from tilebank.flows.reporting.progress import with_progress
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings
from tilebank.store.exchange.layout_files import LAYOUT_FILES
from tilebank.store.exchange.layouts import LAYOUTS, list_slides
from tilebank.store.exchange.provenance import SlideFile, SlideHeader, declared_fingerprint
from tilebank.store.exchange.slide_reader import read_header
from tilebank.store.tables import Instances, Store
from tilebank.terms import FailureRow, SlideOwner

EMPTY = "NoTiles"  # error class of a slide that is whole, and has no tile: known, and in no bag
FLOAT16_BYTES = 2


@dataclass(frozen=True)
class FoundSlide:
    """One slide that is to be stored, whose it is, and the fingerprint of its vectors."""

    file: SlideFile
    header: SlideHeader
    owner: SlideOwner
    fingerprint: str


@dataclass(frozen=True)
class ImportPlan:
    """What lies below the root and what is to be done, by slide.

    provenances: fingerprint -> what its files declare. failures_as: the fingerprint that failures are recorded under,
    since a file that cannot be read declares nothing.
    """

    dataset: str
    encoder: str
    layout: str
    dim: int
    slides: int
    done: int
    pending: tuple[FoundSlide, ...]
    failures: tuple[FailureRow, ...]
    provenances: Mapping[str, Mapping[str, str]]
    failures_as: str
    owned_by_table: bool

    def as_dict(self) -> dict[str, object]:
        """JSON values; slides as counts."""
        left_out = {"pending": len(self.pending), "failures": dict(self.reasons), "tiles": self.tiles}
        parts = {name: getattr(self, name) for name in ("dataset", "encoder", "layout", "dim", "slides", "done")}
        return parts | left_out | {"provenances": {name: dict(said) for name, said in self.provenances.items()}}

    @property
    def tiles(self) -> int:
        """Of the slides that are to be stored."""
        return sum(found.header.tiles for found in self.pending)

    @property
    def reasons(self) -> Counter[str]:
        """How many files cannot be taken, by `class: reason`."""
        return Counter(f"{row.error_class}: {row.reason}" for row in self.failures)

    def as_rows(self) -> list[tuple[str, str]]:
        """Lines on what is there, for people."""
        own = "the label table" if self.owned_by_table else "no label table: each slide counts as its own patient"
        rows = [("dataset / encoder", f"{self.dataset} / {self.encoder} ({self.layout}, {self.dim} values)")]
        rows += [("slides", f"{self.slides}, {self.done} stored before"), ("patients from", own)]
        for fingerprint, said in sorted(self.provenances.items()):
            declared = ", ".join(f"{name} {text}" for name, text in sorted(said.items())) or "nothing declared"
            rows.append((f"  {fingerprint}", declared))
        return rows

    def as_text(self) -> str:
        """Counts, provenances and reasons."""
        size = self.tiles * self.dim * FLOAT16_BYTES
        rows = [
            *self.as_rows(),
            ("to be stored", f"{len(self.pending)} slides, {self.tiles} tiles, {size / 1e9:.3f} GB"),
        ]
        return aligned([*rows, *((f"  not taken, {reason}", str(n)) for reason, n in sorted(self.reasons.items()))])


def assert_importable(settings: Settings) -> None:
    """Raise ConfigError for a dataset that is encoded here, whose vectors and foreign ones never share a table."""
    if not settings.dataset.made_elsewhere:
        raise ConfigError(
            f"dataset {settings.dataset.name!r} is read from its images; copy conf/datasets/features.yaml to"
            " conf/datasets/<name>.yaml, and import into that"
        )
    if settings.encoder.name == Choices().encoder:
        raise ConfigError(
            f"name the encoder that made the features with --encoder (it is {settings.encoder.name}, which runs here);"
            " any name will do, it needs no file in conf/encoders"
        )


def plan_import(settings: Settings, *, layout: str) -> ImportPlan:
    """What `import_features` would do, of files in one of LAYOUTS. Raises TilebankError when nothing can be taken."""
    assert_importable(settings)
    table = Store(settings.store).find_instances(settings.dataset.name, settings.encoder.name)
    return import_plan_of(settings, table, layout=layout)


def import_plan_of(settings: Settings, table: Instances | None, *, layout: str) -> ImportPlan:
    """The plan against an open table, or none yet."""
    adapter = Features(settings.dataset)
    owners = adapter.read_owners()
    files = list_slides(settings.dataset.root, layout=layout, encoder=settings.encoder.name)
    headers, failures = _looked_at(settings, files, layout=layout)
    dim = _dim_of(headers, failures, settings=settings, layout=layout)
    fingerprints = {file: _fingerprint(settings, header.provenance, layout=layout) for file, header in headers.items()}
    done = {name: table.stored_images(name) if table else set() for name in set(fingerprints.values())}
    pending, seen = [], set()
    for file, header in headers.items():
        fingerprint = fingerprints[file]
        try:
            _assert_fits(header, dim=dim, first=(file.slide_id, fingerprint) not in seen)
            seen.add((file.slide_id, fingerprint))
            if file.slide_id not in done[fingerprint]:
                pending.append(FoundSlide(file, header, adapter.find_owner(file.slide_id, owners), fingerprint))
        except ImageError as error:
            failures.append(failure_of(settings, file, error))
    return ImportPlan(
        dataset=settings.dataset.name,
        encoder=settings.encoder.name,
        layout=layout,
        dim=dim,
        slides=len(files),
        done=sum(slide_id in done[name] for slide_id, name in seen),
        pending=tuple(pending),
        failures=tuple(failures),
        provenances={fingerprints[file]: header.provenance for file, header in headers.items() if header.dim == dim},
        failures_as=_fingerprint(settings, {}, layout=layout),
        owned_by_table=bool(owners),
    )


def failure_of(settings: Settings, file: SlideFile, error: ImageError) -> FailureRow:
    """The failure that `error` makes of a slide; a second file of one slide is known by its place."""
    second = error.error_class == "DuplicateSlide"
    image_id = id_from_path(settings.dataset.root, file.uri) if second else file.slide_id
    return FailureRow(image_id, file.uri, error.stage, error.error_class, error.reason)


def _looked_at(
    settings: Settings, files: Sequence[SlideFile], *, layout: str
) -> tuple[dict[SlideFile, SlideHeader], list[FailureRow]]:
    """The headers of the files that can be read, and failures for the others."""
    headers: dict[SlideFile, SlideHeader] = {}
    failures = []
    for file in with_progress(files, what="look", unit="file", total=len(files)):
        try:
            header = read_header(file, keys=LAYOUTS[layout].keys)
            if not header.tiles:
                raise ImageError("tile", "holds no tile: nothing was found to encode", EMPTY)
            headers[file] = header
        except ImageError as error:
            failures.append(failure_of(settings, file, error))
    return headers, failures


def _dim_of(
    headers: Mapping[SlideFile, SlideHeader], failures: Sequence[FailureRow], *, settings: Settings, layout: str
) -> int:
    """The dimension that most files have. Raises DatasetError where no file has any."""
    if not headers:
        raise DatasetError(
            f"none of {len(failures)} files below {settings.dataset.root} can be taken as {layout}"
            f" ({LAYOUT_FILES[layout]}); {failures[0].uri}: {failures[0].reason}"
        )
    dims = Counter(header.dim for header in headers.values())
    return max(dims, key=lambda dim: (dims[dim], dim))


def _fingerprint(settings: Settings, provenance: Mapping[str, str], *, layout: str) -> str:
    return declared_fingerprint(
        layout=layout, encoder=settings.encoder.name, bag=settings.dataset.bag, provenance=provenance
    )


def _assert_fits(header: SlideHeader, *, dim: int, first: bool) -> None:
    """Raise ImageError for a slide that cannot stand beside the others."""
    if header.dim != dim:
        raise ImageError("read", f"vectors have {header.dim} values, most files' have {dim}", "OtherDimension")
    if not first:
        reason = "the same slide, of the same provenance, as another file that comes first by name: kept once"
        raise ImageError("identify", reason, "DuplicateSlide")
