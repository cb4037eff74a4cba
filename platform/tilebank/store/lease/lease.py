"""Hold the right to write a table: one holder at a time, on any host.

The lease is an object `<store>/leases/<table>.json` that names its holder and is renewed by a thread of the holder. If
it is not renewed within its time to live, the next process that asks takes it over; at once, if the holder was a
process of the same machine and has ended. Its age comes from the storage (S3 server, file system), so the clocks of two
hosts need not agree. A holder that was suspended for too long finds out before its next commit (`assert_held`).
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tilebank.errors import StoreError
from tilebank.files import is_local, join_uri
from tilebank.storage_errors import storage_reason
from tilebank.store.lease.backend import LeaseBackend, LeaseObject
from tilebank.store.lease.disk import DiskBackend
from tilebank.store.lease.processes import Process, has_ended, this_process

logger = logging.getLogger(__name__)

TTL_S = 120.0
BEATS = 4  # renewals in a time to live
ROUNDS = 5  # of looking and trying, where others come and go meanwhile


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. Its times are for display; whether it is alive is decided by the object's age."""

    host: str
    machine: str
    pid: int
    started: str
    token: str
    taken_at: str
    renewed_at: str
    ttl_s: float


class Lease:
    """The right to write one table, for as long as the block of `hold_lease` runs."""

    def __init__(self, backend: LeaseBackend, holder: Holder, *, found: LeaseObject, what: str) -> None:
        self.holder = holder
        self._backend = backend
        self._found = found
        self._what = what
        self._lost = ""
        self._renewed_s = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease of {what}", daemon=True)

    def assert_held(self) -> None:
        """Raise StoreError if another process took over or the lease can no longer be read; costs one small read."""
        if not self._lost:
            try:
                found = self._backend.read()
                self._lost = "" if _is_of(found, self.holder) else _described(found)
            except OSError as error:
                silent_s = time.monotonic() - self._renewed_s
                if silent_s > self.holder.ttl_s:
                    self._lost = f"has a lease that could not be reached for {silent_s:.0f} s ({error})"
        if self._lost:
            raise StoreError(
                f"{self._what} {self._lost}: this process may no longer write it; what it committed is kept, run the"
                " same command again to go on"
            )

    def _beat(self) -> None:
        while not self._end.wait(self.holder.ttl_s / BEATS):
            self._renew()

    def _renew(self) -> None:
        """Replace our own last version of the lease, so that a lease that was taken over is never taken back."""
        asked_s = time.monotonic()
        renewed = replace(self.holder, renewed_at=_now())
        try:
            # An earlier renewal may have been written though its answer was lost: then ours stands, under another tag.
            standing = self._backend.replace(_as_bytes(renewed), found=self._found) or self._backend.read()
        except OSError as error:
            logger.warning("the lease of %s could not be renewed (%s)", self._what, error)
            return
        if standing and _is_of(standing, self.holder):
            self._found, self._renewed_s = standing, asked_s
        else:
            self._lost = _described(standing)

    def _start(self) -> None:
        self._thread.start()

    def _release(self) -> None:
        self._end.set()
        self._thread.join()
        try:
            found = self._backend.read()
            if _is_of(found, self.holder):
                self._backend.remove()
        except OSError as error:
            logger.warning("the lease of %s could not be given back (%s); it expires by itself", self._what, error)


@contextmanager
def hold_lease(store_uri: str, table: str, *, what: str = "", ttl_s: float = TTL_S) -> Iterator[Lease]:
    """Hold the lease of `table` in the block, renewed by a thread. Raises StoreError while another holds it.

    `what` is said instead where the name is that of no table.
    """
    backend = _backend_for(store_uri, table)
    process = this_process()
    token, now = uuid.uuid4().hex, _now()
    holder = Holder(process.host, process.machine, process.pid, process.started, token, now, now, ttl_s)
    what = what or f"table {table} in {store_uri}"
    try:
        lease = Lease(backend, holder, found=_take(backend, holder, what=what), what=what)
    except OSError as error:
        raise StoreError(f"cannot take the lease of {what}: {storage_reason(error, store_uri)}") from error
    lease._start()
    try:
        yield lease
    finally:
        lease._release()


def find_holder(store_uri: str, table: str) -> str:
    """Who holds the lease of `table`, in words; empty where nobody does. Raises StoreError when it cannot be read."""
    try:
        found = _backend_for(store_uri, table).read()
    except OSError as error:
        reason = storage_reason(error, store_uri)
        raise StoreError(f"cannot read the lease of table {table} in {store_uri}: {reason}") from error
    return _described(found) if found and not _is_free(found) else ""


def _take(backend: LeaseBackend, holder: Holder, *, what: str) -> LeaseObject:
    content = _as_bytes(holder)
    for _ in range(ROUNDS):
        found = backend.read()
        if found is not None and not _is_free(found):
            raise StoreError(
                f"{what} {_described(found)}; wait for it; if it has died, the lease expires in"
                f" {max(1.0, _ttl_s(found) - found.age_s):.0f} s"
            )
        if found is not None:
            logger.info("the lease of %s is taken over: it %s", what, _described(found))
        if taken := (backend.replace(content, found=found) if found else backend.create(content)):
            return taken
    raise StoreError(f"{what} is claimed by several processes at once; run the command again")


def _is_free(found: LeaseObject) -> bool:
    holder = _holder(found)
    ended = holder is not None and has_ended(Process(holder.host, holder.machine, holder.pid, holder.started))
    return ended or found.age_s > _ttl_s(found)


def _described(found: LeaseObject | None) -> str:
    if found is None:
        return "has no lease any more"
    holder = _holder(found)
    if holder is None:
        return f"has a lease that cannot be read, last written {found.age_s:.0f} s ago"
    return (
        f"is being written by {holder.host} (process {holder.pid}) since {holder.taken_at},"
        f" last sign of life {found.age_s:.0f} s ago"
    )


def _ttl_s(found: LeaseObject) -> float:
    holder = _holder(found)
    return holder.ttl_s if holder else TTL_S


def _is_of(found: LeaseObject | None, holder: Holder) -> bool:
    standing = _holder(found) if found else None
    return standing is not None and standing.token == holder.token


def _holder(found: LeaseObject) -> Holder | None:
    try:
        return Holder(**json.loads(found.content))
    except (ValueError, TypeError):
        return None


def _as_bytes(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _backend_for(store_uri: str, table: str) -> LeaseBackend:
    uri = join_uri(store_uri, "leases", f"{table}.json")
    if is_local(uri):
        return DiskBackend(Path(uri).expanduser().absolute())
    if uri.startswith("s3://"):
        from tilebank.store.lease.bucket import BucketBackend  # boto3: half a second that local stores need not pay

        return BucketBackend(uri)
    raise StoreError(f"a lease cannot be kept in {store_uri}; use a store on a disk or on s3://")
