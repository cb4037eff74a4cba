"""Read, write and list files on local disks and in `s3://` buckets, through pyarrow.

Credentials and endpoints come only from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL,
AWS_REGION). Temporary errors of a bucket (503 Slow Down, cut connections) are retried with growing pauses, by the S3
client within a request and here for the request as a whole.
"""

import io
import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from pyarrow import fs

from tilebank.storage_errors import is_final

T = TypeVar("T")

logger = logging.getLogger(__name__)

ATTEMPTS = 4
REQUEST_ATTEMPTS = 6  # that the S3 client makes of one request, within each of those
PAUSE_S = 0.5  # before the second attempt; doubled before each further one
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)  # a retry cannot help


def absolute_uri(text: str, *, relative_to: Path) -> str:
    """`text` as a URI that means the same from every folder: `s3://...` as it is, a path made absolute."""
    if "://" in text:
        return text.rstrip("/")
    path = Path(text).expanduser()
    return (path if path.is_absolute() else relative_to / path).resolve().as_posix()


def join_uri(root: str, *parts: str) -> str:
    """`root` with `parts` below it."""
    return "/".join([root.rstrip("/"), *parts])


def is_local(uri: str) -> bool:
    """Whether `uri` is a path of this machine."""
    return "://" not in uri


def read_bytes(uri: str) -> bytes:
    """The whole content of one file. Raises OSError (FileNotFoundError where it is missing)."""
    filesystem, path = _open(uri)

    def read() -> bytes:
        with filesystem.open_input_file(path) as stream:
            content = bytes(stream.read())
            if len(content) != stream.size():
                raise OSError(f"{len(content)} of {stream.size()} bytes came")
            return content

    return _with_retries(read, uri)


@contextmanager
def open_file(uri: str) -> Iterator[BinaryIO]:
    """Open one file for reading in blocks of 64 KiB: only the blocks that are read are transferred. Raises OSError."""
    filesystem, path = _open(uri)
    with filesystem.open_input_file(path) as raw, _Buffered(raw, buffer_size=1 << 16) as stream:
        yield stream


def write_bytes(uri: str, content: bytes) -> None:
    """Write one file atomically, creating the folders above it. Raises OSError."""
    filesystem, path = _open(uri)
    folder, _, name = path.rpartition("/")
    # An object appears when its last byte has arrived; a file appears at once, so it is written aside and renamed.
    first = f"{folder}/.{name}.{uuid.uuid4().hex}" if is_local(uri) else path

    def write() -> None:
        filesystem.create_dir(folder, recursive=True)
        with filesystem.open_output_stream(first) as stream:
            stream.write(content)
        if first != path:
            filesystem.move(first, path)

    _with_retries(write, uri)


def exists(uri: str) -> bool:
    """Whether there is a file or folder at `uri`."""
    filesystem, path = _open(uri)
    return _with_retries(lambda: bool(filesystem.get_file_info(path).type != fs.FileType.NotFound), uri)


def remove_folder(uri: str) -> None:
    """Remove a folder with everything in it. Raises OSError."""
    filesystem, path = _open(uri)
    filesystem.delete_dir(path)


def last_written(root: str) -> datetime | None:
    """When the newest file below the folder `root` was written; None if there is no file. Raises OSError."""
    filesystem, path = _open(root)
    chosen = fs.FileSelector(path.rstrip("/"), recursive=True, allow_not_found=True)
    found = _with_retries(lambda: filesystem.get_file_info(chosen), root)
    return max((info.mtime for info in found if info.type == fs.FileType.File), default=None)


@dataclass(frozen=True)
class Listing:
    """The files below a folder: sorted URIs, and how many entries were skipped, by kind."""

    uris: tuple[str, ...]
    left_out: Mapping[str, int]


def list_files(root: str) -> Listing:
    """All files below the folder `root`, except hidden ones, those in hidden folders, and broken links.

    A link to a folder above itself is not followed. Raises FileNotFoundError without the folder, OSError for a name
    that is not UTF-8, because such a file cannot be opened by its URI.
    """
    left_out: Counter[str] = Counter()
    filesystem, path = _open(root)
    base = path.rstrip("/")
    if is_local(root):
        names = list(_walk(base or "/", below="", above=frozenset(), left_out=left_out))
    else:
        found = _with_retries(lambda: filesystem.get_file_info(fs.FileSelector(base, recursive=True)), root)
        relative = [info.path[len(base) + 1 :] for info in found if info.type == fs.FileType.File]
        names = [name for name in relative if not _is_hidden(name)]
        left_out["hidden"] = len(relative) - len(names)
    return Listing(tuple(sorted(join_uri(root, name) for name in names)), +left_out)


def _walk(folder: str, *, below: str, above: frozenset[tuple[int, int]], left_out: Counter[str]) -> Iterator[str]:
    """Names of the files in `folder` and below, each with `below` before it; `above`: the folders on the way here."""
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        left_out["links to a folder above"] += 1
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry.name):
                left_out["hidden"] += 1
                continue
            _assert_utf8(entry.name, folder=folder)
            linked = entry.is_symlink()  # Path answers for a link that leads to itself, where an entry raises
            if Path(entry.path).is_dir() if linked else entry.is_dir():
                yield from _walk(entry.path, below=f"{below}{entry.name}/", above=above | {here}, left_out=left_out)
            elif Path(entry.path).is_file() if linked else entry.is_file():
                yield below + entry.name
            else:
                left_out["links that lead nowhere" if linked else "no files (pipes, sockets)"] += 1


def _assert_utf8(name: str, *, folder: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = ascii(os.fsencode(name))[2:-1]
        raise OSError(f"a name in {folder} is not UTF-8: {shown}; rename it") from error


class _Buffered(io.BufferedReader):
    """Buffers an Arrow file, which has no name, for readers that ask any buffered file for one."""

    name = ""


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    if is_local(uri):
        return fs.LocalFileSystem(), Path(uri).expanduser().absolute().as_posix()
    if uri.startswith("s3://") and "?" not in uri:
        path = uri.removeprefix("s3://")
        return _bucket(path.partition("/")[0], os.environ.get("AWS_ENDPOINT_URL", "")), path
    filesystem, path = fs.FileSystem.from_uri(uri)
    return filesystem, path


@cache
def _bucket(name: str, endpoint: str) -> fs.S3FileSystem:
    """One client a bucket and process: making one asks the network where the bucket lies."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return fs.S3FileSystem(
        region=region or (None if endpoint else fs.resolve_s3_region(name)),
        endpoint_override=endpoint or None,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=REQUEST_ATTEMPTS),
        connect_timeout=10,
        request_timeout=60,
    )


def _with_retries(work: Callable[[], T], uri: str) -> T:
    """Call `work()`, and retry errors of a network that may be temporary."""
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except OSError as error:
            if is_local(uri) or isinstance(error, FINAL) or is_final(error, uri):
                raise
            logger.info("attempt %d at a file in object storage failed (%s)", attempt, type(error).__name__)
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
    return work()
