"""Bytes behind a URI: local paths and `s3://`, through pyarrow. Knows nothing of what the bytes mean.

Credentials and endpoints come from the environment alone (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL,
AWS_REGION); nothing here takes a key. What a bucket refuses for the moment (503 Slow Down, cut connections) is asked
again with growing pauses, by the S3 client within a request and here for the request as a whole.
"""

import io
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from pyarrow import fs

T = TypeVar("T")

logger = logging.getLogger(__name__)

ATTEMPTS = 4
PAUSE_S = 0.5  # before the second attempt; doubled before each further one
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)  # asking again cannot mend these


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

    return _patiently(read, uri)


@contextmanager
def open_file(uri: str) -> Iterator[BinaryIO]:
    """One file for reading from its start, in blocks of 64 KiB: no more of it travels than is read. Raises OSError."""
    filesystem, path = _open(uri)
    with filesystem.open_input_file(path) as raw, _Buffered(raw, buffer_size=1 << 16) as stream:
        yield stream


def write_bytes(uri: str, content: bytes) -> None:
    """Write one file, making the folders above it. Raises OSError."""
    filesystem, path = _open(uri)

    def write() -> None:
        filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)

    _patiently(write, uri)


def exists(uri: str) -> bool:
    """Whether a file or folder stands at `uri`."""
    filesystem, path = _open(uri)
    return _patiently(lambda: bool(filesystem.get_file_info(path).type != fs.FileType.NotFound), uri)


def remove_folder(uri: str) -> None:
    """Remove a folder and all below it. Raises OSError."""
    filesystem, path = _open(uri)
    filesystem.delete_dir(path)


def list_files(root: str) -> list[str]:
    """URIs of all files below the folder `root`, sorted; hidden ones left out. Raises FileNotFoundError without it."""
    filesystem, path = _open(root)
    base = path.rstrip("/")
    found = _patiently(lambda: filesystem.get_file_info(fs.FileSelector(base, recursive=True)), root)
    relative = (info.path[len(base) + 1 :] for info in found if info.type == fs.FileType.File)
    return sorted(join_uri(root, name) for name in _visible(relative))


class _Buffered(io.BufferedReader):
    """Buffers an Arrow file, which has no name, for readers that ask any buffered file for one."""

    name = ""


def _visible(names: Iterable[str]) -> Iterable[str]:
    return (name for name in names if not any(part.startswith(".") for part in name.split("/")))


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
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=6),
        connect_timeout=10,
        request_timeout=60,
    )


def _patiently(work: Callable[[], T], uri: str) -> T:
    """`work()`, tried again where a network lies between and the error may pass."""
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except OSError as error:
            if is_local(uri) or isinstance(error, FINAL):
                raise
            logger.info("attempt %d at a file in object storage failed (%s)", attempt, type(error).__name__)
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
    return work()
