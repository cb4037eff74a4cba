"""Read every file of a dataset in parallel and decide about it as an extraction would."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from tilebank.datasets.contract import Manifest, ScannedImage
from tilebank.datasets.intake import Placement
from tilebank.datasets.registry import open_dataset
from tilebank.errors import ImageError
from tilebank.flows.engine.image_task import Expected, place_expected
from tilebank.flows.engine.pipelines import look_at, read_headers
from tilebank.flows.engine.stages import FAILURE_COLUMNS
from tilebank.flows.reporting.progress import with_progress
from tilebank.flows.settings.settings import Settings
from tilebank.flows.validate.rows import FileRow, Outcome, placed, relative_uri, row_of_header, stopped
from tilebank.terms import FailureRow, ManifestRow

T = TypeVar("T")


class DatasetFiles:
    """What is known so far, by URI: a row for every file, and the manifest's row for every accepted one."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.rows: dict[str, FileRow] = {}
        self.images: dict[str, ManifestRow] = {}

    def see(self, found: ScannedImage) -> None:
        """A header was read: nothing is decided."""
        self.rows[found.uri] = row_of_header(found.header, self._name(found.uri))

    def accept(self, image: ManifestRow, placement: Placement) -> None:
        """The file is asked for, and it is known whose it is."""
        row = replace(self.rows[image.uri], outcome=Outcome.ACCEPT, stage="", error_class="", reason="")
        self.rows[image.uri] = placed(row, placement)
        self.images[image.uri] = image

    def stop(self, failure: FailureRow) -> None:
        """The file is filtered or refused, whether or not its header was read."""
        row = self.rows.get(failure.uri) or FileRow(self._name(failure.uri), Outcome.REFUSE)
        self.rows[failure.uri] = stopped(row, failure, root=self.root)
        self.images.pop(failure.uri, None)

    def stop_another(self, failure: FailureRow) -> None:
        """A table names a file that another of its rows was given already, or none: a row of its own."""
        row = FileRow(self._name(failure.uri), Outcome.REFUSE)
        self.rows[f"{failure.uri}#{len(self.rows)}"] = stopped(row, failure, root=self.root)

    def _name(self, uri: str) -> str:
        return relative_uri(uri, root=self.root)


def read_files(settings: Settings, *, pixels: bool) -> DatasetFiles:
    """All files of the dataset: through the adapter, then the headers it did not need, then the pixels if asked."""
    files = DatasetFiles(settings.dataset.root)

    def scan(uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
        for found in _headers(settings, uris):
            if isinstance(found, ScannedImage):
                files.see(found)
            yield found

    manifest = open_dataset(settings.dataset).read_manifest(scan)
    unread = _settle(files, manifest)
    _judge(files, settings, unread)
    if pixels:
        _look(files, settings)
    return files


def _settle(files: DatasetFiles, manifest: Manifest) -> dict[str, ManifestRow]:
    """Take over what the adapter decided from headers; the images that it took from tables alone are returned."""
    scanned = set(files.rows)
    taken = {image.uri for image in manifest.images} - scanned | {""}
    for failure in manifest.failures:
        (files.stop_another if failure.uri in taken else files.stop)(failure)
        taken.add(failure.uri)
    unread = {}
    for image in manifest.images:
        if image.uri in scanned:
            files.accept(image, Placement(image.laterality, image.view, image.laterality_from, image.view_from))
        else:
            unread[image.uri] = image
    for uri in scanned - {image.uri for image in manifest.images} - {failure.uri for failure in manifest.failures}:
        files.stop(FailureRow("", uri, "filter", "NotInTables", "the dataset's tables do not name this file"))
    return unread


def _judge(files: DatasetFiles, settings: Settings, unread: dict[str, ManifestRow]) -> None:
    """Read the headers of images that a table names, and let the two contradict each other."""
    for found in _headers(settings, list(unread)):
        if isinstance(found, FailureRow):
            files.stop(found)
            continue
        files.see(found)
        image = unread[found.uri]
        expected = Expected(image.laterality.value, image.view, image.sop_instance_uid)
        try:
            files.accept(image, place_expected(found.header, expected, intake=settings.dataset.intake))
        except ImageError as error:
            files.stop(FailureRow(image.image_id, found.uri, error.stage, error.error_class, error.reason))


def _look(files: DatasetFiles, settings: Settings) -> None:
    """Decode and mask every image that is accepted by its header."""
    images = list(files.images.values())
    rows = look_at(settings, images) if images else ()
    for row in with_progress(rows, what="pixels", unit="file", total=len(images)):
        if row["failed_stage"]:
            files.stop(FailureRow(row["image_id"], row["uri"], *(row[name] for name in FAILURE_COLUMNS)))
        else:
            warnings = tuple(text for text in row["warnings"].split("; ") if text)
            files.rows[row["uri"]] = replace(files.rows[row["uri"]], intensity=row["windowed_by"], warnings=warnings)


def _headers(settings: Settings, uris: Sequence[str]) -> Iterator[ScannedImage | FailureRow]:
    yield from with_progress(read_headers(settings, uris) if uris else (), what="headers", unit="file", total=len(uris))
