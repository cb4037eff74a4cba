"""List the image files below a dataset's root, and filter them: steps that the dataset adapters share."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from tilebank.datasets.intake import IntakeConfig, assert_included
from tilebank.errors import DatasetError, ImageError
from tilebank.files import exists, join_uri, list_files
from tilebank.storage_errors import storage_reason
from tilebank.terms import FailureRow, ManifestRow

logger = logging.getLogger(__name__)

# DICOM files often have no suffix, or one that is part of a UID: so other known types are skipped instead.
NOT_IMAGES: tuple[str, ...] = (
    *(".csv", ".tsv", ".txt", ".json", ".xlsx", ".xls", ".xml", ".pdf", ".html", ".md", ".yaml", ".yml"),
    *(".png", ".jpg", ".jpeg", ".zip", ".gz", ".py", ".log"),
)


def uri_exists(uri: str) -> bool:
    """Whether there is a file or folder at `uri`. Raises DatasetError when it cannot be checked."""
    try:
        return exists(uri)
    except OSError as error:
        raise DatasetError(f"cannot look at {uri}: {storage_reason(error, uri)}; check --root or --folder") from error


def find_table(root: str, names: Sequence[str], *, advice: str) -> str:
    """The URI of the first of `names` found in `root`. Raises DatasetError, ending in `advice`, if there is none."""
    for name in names:
        if uri_exists(join_uri(root, name)):
            return join_uri(root, name)
    raise DatasetError(f"no table {' or '.join(names)} in {root}; {advice}")


def list_dicoms(root: str) -> list[str]:
    """All files below `root` whose names end in `.dcm`, sorted; others are counted in the log.

    Raises DatasetError when there is none.
    """
    uris = list_candidates(root, may_be_image=lambda name: name.endswith(".dcm"))
    if not uris:
        raise DatasetError(f"no file *.dcm below {root}; check --root or --folder")
    return uris


def list_candidates(root: str, *, may_be_image: Callable[[str], bool]) -> list[str]:
    """The files below `root` whose names in lower case `may_be_image`, sorted; others are counted in the log.

    Raises DatasetError where `root` cannot be listed.
    """
    try:
        listing = list_files(root)
    except OSError as error:
        raise DatasetError(f"cannot list {root}: {storage_reason(error, root)}; check --root or --folder") from error
    left_out, uris = Counter(listing.left_out), []
    for uri in listing.uris:
        name = uri.rsplit("/", 1)[-1].lower()
        if may_be_image(name):
            uris.append(uri)
        else:
            left_out[_sort_of(name)] += 1
    if left_out:
        parts = ", ".join(f"{count} {sort}" for sort, count in left_out.most_common())
        files = "1 file is" if left_out.total() == 1 else f"{left_out.total()} files are"
        logger.warning("%s not read as images: %s", files, parts)
    return uris


def _sort_of(name: str) -> str:
    """A file's suffix if it is a known one; any other may be part of a person's name, so it is not logged."""
    return next((suffix for suffix in NOT_IMAGES if name.endswith(suffix)), "of another suffix or none")


def failure_row(image_id: str, uri: str, error: ImageError) -> FailureRow:
    """The row of `failures` for an image that raised `error`."""
    return FailureRow(image_id, uri, error.stage, error.error_class, error.reason)


def included_or_failure(row: ManifestRow, intake: IntakeConfig) -> ManifestRow | FailureRow:
    """`row` itself, or a failure (stage `filter`) if the configuration does not include the image."""
    try:
        assert_included(row.image_kind, view=row.view, special=row.special, intake=intake)
    except ImageError as error:
        return failure_row(row.image_id, row.uri, error)
    return row
