"""Leases between real processes, on a disk and in a bucket: one writer, and none left out for ever."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cases import with_long
from tests.faulty_proxy import Fault, Kind, faulty_proxy
from tests.s3_server import S3Server
from tests.store.conftest import DIM, LICENCE, rows_of

from tilebank.errors import StoreError
from tilebank.store.lease.lease import Holder, _backend_for, find_holder, hold_lease
from tilebank.store.lease.processes import Process, has_ended, this_process
from tilebank.store.tables import Store

TABLE = "instances--d--e"
SHORT_S = 3.0  # to live; S3 tells times in whole seconds

HOLDER = """
import sys
from tilebank.errors import StoreError
from tilebank.store.lease.lease import hold_lease
with hold_lease(sys.argv[1], sys.argv[2], ttl_s=float(sys.argv[3])) as lease:
    print("held", flush=True)
    for line in sys.stdin:
        try:
            lease.assert_held()
            print("still", flush=True)
        except StoreError as error:
            print(error, flush=True)
"""


class Other:
    """Another process that holds the lease until it is told to end."""

    def __init__(self, store_uri: str, ttl_s: float) -> None:
        words = [sys.executable, "-c", HOLDER, store_uri, TABLE, str(ttl_s)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "held"

    def ask(self) -> str:
        """`still`, or why it no longer holds it."""
        assert self.process.stdin
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self._line()

    def end(self, number: int | None = None) -> None:
        """The end of its input, or a signal."""
        if number is not None:
            self.process.send_signal(number)
        self.process.communicate(timeout=20)

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture
def other(store_uri: str) -> Iterator[Callable[..., Other]]:
    started: list[Other] = []

    def start(ttl_s: float = 120) -> Other:
        started.append(Other(store_uri, ttl_s))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGCONT)
            each.end(signal.SIGKILL)


def test_a_second_writer_is_told_who_writes_and_since_when(store_uri: str, other: Callable[..., Other]) -> None:
    first = other()
    today = datetime.now(UTC).date().isoformat()
    says = rf"{TABLE} in .* is being written by {socket.gethostname()} \(process {first.process.pid}\) since {today}T"
    with pytest.raises(StoreError, match=says + r".*last sign of life \d+ s ago; .* expires in 1[12]\d s"):
        hold_lease(store_uri, TABLE).__enter__()
    assert f"process {first.process.pid}" in find_holder(store_uri, TABLE)
    assert find_holder(store_uri, "instances--d--other") == ""
    first.end()
    assert find_holder(store_uri, TABLE) == ""
    with hold_lease(store_uri, TABLE) as lease:
        lease.assert_held()


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(
    store_uri: str, other: Callable[..., Other]
) -> None:
    other().end(signal.SIGKILL)
    with hold_lease(store_uri, TABLE) as lease:
        lease.assert_held()


def test_a_silent_holder_is_taken_over_and_notices_when_it_wakes(store_uri: str, other: Callable[..., Other]) -> None:
    sleeper = other(SHORT_S)
    assert sleeper.ask() == "still"
    sleeper.process.send_signal(signal.SIGSTOP)
    time.sleep(SHORT_S + 1.5)
    with hold_lease(store_uri, TABLE) as lease:
        sleeper.process.send_signal(signal.SIGCONT)
        assert f"process {os.getpid()}" in sleeper.ask()
        sleeper.end()
        lease.assert_held()  # the sleeper's end took nothing away that was not its own


def test_a_holder_at_work_is_renewed_beyond_its_time_to_live(store_uri: str, other: Callable[..., Other]) -> None:
    worker = other(SHORT_S)
    time.sleep(SHORT_S * 2)
    with pytest.raises(StoreError, match="is being written by"):
        hold_lease(store_uri, TABLE).__enter__()
    assert worker.ask() == "still"


def test_of_many_that_want_it_at_once_one_gets_it(store_uri: str) -> None:
    """First an unheld lease, then one whose holder has ended."""
    for dead in (False, True):
        if dead:
            leave_behind(store_uri, ended_holder())
        start, done = threading.Barrier(6), threading.Event()

        def want(_: int, start: threading.Barrier = start, done: threading.Event = done) -> int:
            start.wait()
            try:
                with hold_lease(store_uri, TABLE) as lease:
                    done.wait(10)
                    lease.assert_held()
                    return 1
            except StoreError:
                return 0

        with ThreadPoolExecutor(6) as pool:
            wanted = [pool.submit(want, number) for number in range(6)]
            while sum(each.done() for each in wanted) < 5:
                time.sleep(0.05)
            done.set()
            assert sum(each.result() for each in wanted) == 1


def test_a_holder_elsewhere_is_waited_for_whatever_its_clock_says(store_uri: str) -> None:
    distant = replace(ended_holder(), host="elsewhere", machine="another", renewed_at="1999-12-31T00:00:00+00:00")
    leave_behind(store_uri, distant)
    with pytest.raises(StoreError, match="is being written by elsewhere .*expires in"):
        hold_lease(store_uri, TABLE).__enter__()
    leave_behind(store_uri, replace(distant, ttl_s=1))
    time.sleep(2.5)
    with hold_lease(store_uri, TABLE) as lease:
        lease.assert_held()


def test_a_lost_lease_stops_the_next_commit(store_uri: str) -> None:
    with hold_lease(store_uri, TABLE) as lease:
        table = Store(store_uri).open_instances("d", "e", dim=DIM, licence=LICENCE, guard=lease.assert_held)
        table.commit(rows_of("i1"))
        leave_behind(store_uri, replace(lease.holder, token="another", host="elsewhere"))
        with pytest.raises(StoreError, match="written by elsewhere .*this process may no longer write it"):
            table.commit(rows_of("i2"))
    stored = Store(store_uri).find_instances("d", "e")
    assert stored
    assert stored.done_images("f1") == {"i1"}
    assert "elsewhere" in find_holder(store_uri, TABLE)  # not ours, so not given back


def test_an_unreadable_lease_is_refused_then_freed(tmp_path: Path) -> None:
    path = tmp_path / "leases" / f"{TABLE}.json"
    path.parent.mkdir()
    path.write_text("{half a rec")
    with pytest.raises(StoreError, match="has a lease that cannot be read"):
        hold_lease(str(tmp_path), TABLE).__enter__()
    os.utime(path, (time.time() - 600, time.time() - 600))
    with hold_lease(str(tmp_path), TABLE) as lease:
        assert json.loads(path.read_text())["token"] == lease.holder.token
    assert not path.exists()


def test_a_later_process_with_the_same_id_is_another() -> None:
    me = this_process()
    assert not has_ended(me)
    assert has_ended(replace(me, started="1"))
    assert not has_ended(replace(me, started="1", machine="another"))


def test_a_place_that_cannot_hold_a_lease_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot take the lease"):
        hold_lease(str(tmp_path / "file"), TABLE).__enter__()
    with pytest.raises(StoreError, match="a lease cannot be kept in gs://bucket"):
        hold_lease("gs://bucket", TABLE).__enter__()


@pytest.mark.parametrize(
    "kind",
    with_long((Kind.CUT_ANSWER, Kind.ERROR_AFTER, Kind.ERROR, Kind.RESET), (Kind.ERROR_AFTER, Kind.ERROR)),
)
def test_a_lease_survives_what_a_network_does(
    s3: S3Server, bucket_store: str, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """The taking, then every renewal's first sending, go wrong."""
    with faulty_proxy(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.expect(Fault(kind, path="leases/", status=500))
        with hold_lease(bucket_store, TABLE, ttl_s=SHORT_S) as lease:
            assert len(proxy.struck) == 1
            proxy.expect(*[Fault(kind, path="leases/", skip=number, status=500) for number in range(3)])
            time.sleep(SHORT_S * 1.5)
            assert proxy.struck
            lease.assert_held()
            with pytest.raises(StoreError, match="is being written by"):
                hold_lease(bucket_store, TABLE).__enter__()
        assert find_holder(bucket_store, TABLE) == ""


def ended_holder() -> Holder:
    """A holder that was a process of this machine."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    me, now = this_process(), datetime.now(UTC).isoformat()
    ended = Process(me.host, me.machine, process.pid, "1")
    return Holder(**asdict(ended), token="left", taken_at=now, renewed_at=now, ttl_s=120)


def leave_behind(store_uri: str, holder: Holder) -> None:
    """Write a lease over whatever stands."""
    backend = _backend_for(store_uri, TABLE)
    backend.remove()
    assert backend.create(json.dumps(asdict(holder)).encode())
