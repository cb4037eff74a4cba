"""What lies below a dataset's root, and which of its images are asked for: the steps that owners' adapters share.

Works on names and records; reads no table and no header.
"""

from collections.abc import Sequence

from tilebank.datasets.intake import IntakeConfig, assert_asked_for
from tilebank.errors import DatasetError, ImageError
from tilebank.files import exists, join_uri, list_files
from tilebank.terms import FailureRow, ManifestRow


def stands(uri: str) -> bool:
    """Whether a file or folder stands at `uri`. Raises DatasetError when nobody can tell."""
    try:
        return exists(uri)
    except OSError as error:
        raise DatasetError(f"cannot look at {uri}: {error}; check --root") from error


def find_table(root: str, names: Sequence[str], *, advice: str) -> str:
    """The URI of the first of `names` that stands in `root`. Raises DatasetError, ending in `advice`, without one."""
    for name in names:
        if stands(join_uri(root, name)):
            return join_uri(root, name)
    raise DatasetError(f"no table {' or '.join(names)} in {root}; {advice}")


def list_dicoms(root: str) -> list[str]:
    """All files below `root` whose names end in `.dcm`, sorted. Raises DatasetError when there is none."""
    try:
        uris = [uri for uri in list_files(root) if uri.lower().endswith(".dcm")]
    except OSError as error:
        raise DatasetError(f"cannot list {root}: {error}; check --root") from error
    if not uris:
        raise DatasetError(f"no file *.dcm below {root}; check --root")
    return uris


def refused(image_id: str, uri: str, error: ImageError) -> FailureRow:
    """The failure that `error` makes of an image."""
    return FailureRow(image_id, uri, error.stage, error.error_class, error.reason)


def asked_for(row: ManifestRow, intake: IntakeConfig) -> ManifestRow | FailureRow:
    """`row` itself, or the failure (stage `filter`) of an image that the configuration does not let in."""
    try:
        assert_asked_for(row.image_kind, view=row.view, special=row.special, intake=intake)
    except ImageError as error:
        return refused(row.image_id, row.uri, error)
    return row
