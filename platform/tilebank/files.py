"""Bytes behind a URI: local paths and `s3://`, through pyarrow. Knows nothing of what the bytes mean.

Credentials and endpoints come from the environment alone (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL,
AWS_REGION); nothing here takes a key.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pyarrow import fs


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
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())


@contextmanager
def open_file(uri: str) -> Iterator[BinaryIO]:
    """One file for reading from its start, in blocks of 64 KiB: no more of it travels than is read. Raises OSError."""
    filesystem, path = _open(uri)
    with filesystem.open_input_file(path) as raw, _Buffered(raw, buffer_size=1 << 16) as stream:
        yield stream


def write_bytes(uri: str, content: bytes) -> None:
    """Write one file, making the folders above it. Raises OSError."""
    filesystem, path = _open(uri)
    filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def exists(uri: str) -> bool:
    """Whether a file or folder stands at `uri`."""
    filesystem, path = _open(uri)
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def remove_folder(uri: str) -> None:
    """Remove a folder and all below it. Raises OSError."""
    filesystem, path = _open(uri)
    filesystem.delete_dir(path)


def list_files(root: str) -> list[str]:
    """URIs of all files below the folder `root`, sorted; hidden ones left out. Raises FileNotFoundError without it."""
    filesystem, path = _open(root)
    base = path.rstrip("/")
    found = filesystem.get_file_info(fs.FileSelector(base, recursive=True))
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
    filesystem, path = fs.FileSystem.from_uri(uri)
    return filesystem, path
