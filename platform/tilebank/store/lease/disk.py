"""Keep a lease in a file: created by O_EXCL, replaced by rename under a lock that the kernel frees with its process."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilebank.store.lease.backend import LeaseObject

logger = logging.getLogger(__name__)

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


class DiskBackend:
    """A file of a local disk or of a file system that several hosts mount."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_suffix(".lock")

    def read(self) -> LeaseObject | None:
        """The file, and its age by the file system's clock."""
        try:
            with self._path.open("rb") as file:
                content, written_ns = file.read(), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        return LeaseObject(content, content.decode(errors="replace"), max(0.0, self._now_s() - written_ns / 1e9))

    def create(self, content: bytes) -> LeaseObject | None:
        """O_EXCL: of several that try, one succeeds."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._path.open("xb", buffering=0) as file:
                file.write(content)
        except FileExistsError:
            return None
        return LeaseObject(content, content.decode(), 0.0)

    def replace(self, content: bytes, *, found: LeaseObject) -> LeaseObject | None:
        """Compared and renamed under the lock. Where a file system has no locks, the last of two that try stays."""
        beside = self._path.with_suffix(f".{os.getpid()}.new")
        with self._locked():
            now = self.read()
            if now is None or now.tag != found.tag:
                return None
            beside.write_bytes(content)
            beside.replace(self._path)
        return LeaseObject(content, content.decode(), 0.0)

    def remove(self) -> None:
        """Remove only the lease: the empty lock file stays, because another process may wait on it."""
        self._path.unlink(missing_ok=True)

    def _now_s(self) -> float:
        """The time that a file written now would get; this host's time if it may not write."""
        try:
            self._lock.touch()
            return self._lock.stat().st_mtime_ns / 1e9
        except OSError:
            return time.time()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                logger.info("this file system has no locks; a lease is replaced without one")
            yield
