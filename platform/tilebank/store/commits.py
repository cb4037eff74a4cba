"""Commit changes to Lance tables exactly once, over a network that may fail.

A request may succeed although its answer is lost, and may even arrive after its sender gave up. So an append carries
the id of its chunk in its transaction, each attempt is made once, and before the next attempt the newest versions are
searched for the id. Requests that may run twice without harm (an index, a deletion) are simply retried.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import lance
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.fragment import write_fragments

from tilebank.errors import StoreError
from tilebank.files import is_local
from tilebank.storage_errors import is_failed_request, is_final, storage_reason

T = TypeVar("T")
Guard = Callable[[], None]

CHUNK = "tilebank.chunk"  # transaction property: which chunk a commit holds
ATTEMPTS = 8
PAUSE_S = 0.5  # before the second attempt; doubled before each further one, up to:
LONGEST_PAUSE_S = 15.0

# Beyond a request's own three attempts: an object store that asks to slow down is given half a minute to two.
REMOTE_OPTIONS = {"client_max_retries": "8", "client_retry_timeout": "120"}

logger = logging.getLogger(__name__)


def unguarded() -> None:
    """The guard of a writer without a lease: it never raises."""


def storage_options_of(uri: str) -> dict[str, str] | None:
    """Lance's storage options for a store: how often to retry. Credentials come from the environment."""
    return dict(REMOTE_OPTIONS) if uri.startswith("s3://") else None


def open_table(uri: str, *, version: int | None = None) -> lance.LanceDataset:
    """The table at `uri`. Raises ValueError where there is none, OSError where it cannot be reached."""
    try:
        return lance.dataset(uri, version=version, storage_options=storage_options_of(uri))
    except ValueError as error:  # Lance's name for a failed request too
        if is_failed_request(error, uri):
            raise OSError(str(error)) from error
        raise


def append_once(
    table: lance.LanceDataset, rows: pa.Table, *, chunk: str, guard: Guard = unguarded
) -> lance.LanceDataset:
    """Append `rows` in one transaction, exactly once whatever the network does; returns the new table.

    guard: called before each attempt; raises if this process may no longer write. Raises StoreError.
    """
    uri = str(table.uri)
    fragments = retry(lambda: write_fragments(rows, table, mode="append"), uri, what="write rows", guard=guard)
    base = newest = table
    for attempt in range(ATTEMPTS):
        guard()
        operation = lance.LanceOperation.Append(fragments)
        transaction = lance.Transaction(newest.version, operation, transaction_properties={CHUNK: chunk})
        try:
            # Lance's own retries would rebase onto a commit of ours that arrived late, and so add the rows again.
            written = lance.LanceDataset.commit(newest, transaction, max_retries=0)
            return _without_second(written, chunk, base=base) if attempt else written
        except OSError as error:
            _wait(attempt, error, uri=uri, what="commit")
        newest = retry(lambda: open_table(uri), uri, what="look for a commit", guard=guard)
        if _versions_with(chunk, newest, base=base):
            return _without_second(newest, chunk, base=base)
    raise AssertionError("the last attempt returns or raises")


def retry(work: Callable[[], T], uri: str, *, what: str, guard: Guard = unguarded) -> T:
    """Call `work()`, and retry after errors that may be temporary, with growing pauses. Raises StoreError.

    Only for work that may run twice: an index, a deletion, a read.
    """
    for attempt in range(ATTEMPTS):
        guard()
        try:
            return work()
        except (OSError, ValueError) as error:  # a failed read is a ValueError of pyarrow's
            if isinstance(error, ValueError) and not is_failed_request(error, uri):
                raise
            _wait(attempt, error, uri=uri, what=what)
    raise AssertionError("the last attempt returns or raises")


def _wait(attempt: int, error: OSError | ValueError, *, uri: str, what: str) -> None:
    if attempt == ATTEMPTS - 1 or not _may_pass(error, uri):
        reason = storage_reason(error, uri)
        raise StoreError(f"cannot {what} in {uri}: {reason}; run the same command again to go on") from error
    pause_s = min(LONGEST_PAUSE_S, PAUSE_S * 2**attempt)
    logger.info("attempt %d to %s failed (%s), the next in %.1f s", attempt + 1, what, type(error).__name__, pause_s)
    time.sleep(pause_s)


def _may_pass(error: OSError | ValueError, uri: str) -> bool:
    """Whether a retry may help: after another writer's commit or a network error, but not after a disk error."""
    if isinstance(error, CommitConflictError):
        return bool(error.retryable)
    if is_local(uri) or isinstance(error, FileNotFoundError | PermissionError):
        return False
    return not is_final(error, uri)


def _versions_with(chunk: str, newest: lance.LanceDataset, *, base: lance.LanceDataset) -> list[int]:
    """The versions after `base` whose transaction carries this chunk's id."""
    held = []
    for version in range(int(base.version) + 1, int(newest.version) + 1):
        transaction = retry(partial(newest.read_transaction, version), str(newest.uri), what=f"read version {version}")
        if transaction is not None and transaction.transaction_properties.get(CHUNK) == chunk:
            held.append(version)
    return held


def _without_second(newest: lance.LanceDataset, chunk: str, *, base: lance.LanceDataset) -> lance.LanceDataset:
    """Remove the second copy of a chunk.

    An attempt that arrives between the search for it and the next attempt is rebased before that one, and both are
    kept.
    """
    uri = str(newest.uri)
    versions = _versions_with(chunk, newest, base=base)
    for version in versions[1:]:
        before, after = ({f.fragment_id for f in _at(uri, at).get_fragments()} for at in (version - 1, version))
        undo = lance.LanceOperation.Delete([], sorted(after - before), "a second copy of a chunk")
        logger.warning("chunk %s arrived twice; its second copy is taken away", chunk)
        undone = partial(lance.LanceDataset.commit, newest, undo, read_version=newest.version)
        newest = retry(undone, uri, what="take a second copy away")  # fragments that are gone can go once more
    return newest


def _at(uri: str, version: int) -> lance.LanceDataset:
    return retry(lambda: open_table(uri, version=version), uri, what=f"read version {version}")
