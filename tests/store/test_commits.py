"""Exactly once: commits, failures and tables on a real S3 server, through a network that fails on purpose."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import lance
import pyarrow as pa
import pytest
from tests.cases import with_long
from tests.faulty_proxy import Fault, FaultyProxy, Kind, faulty_proxy
from tests.s3_server import S3Server
from tests.store.conftest import DIM, LICENCE, rows_of

from tilebank.errors import StoreError
from tilebank.store.commits import CHUNK, append_once, open_table
from tilebank.store.reader import Reader
from tilebank.store.tables import Instances, Store

MANIFEST = r"\.manifest"
LISTING = r"list-type=2.*_versions"
INSTANCES, FAILURES = "instances--d--e.lance", "failures--d--e.lance"

TROUBLES = {
    "the answer is lost": [Fault(Kind.CUT_ANSWER, path=MANIFEST)],
    "the answer is lost, and nothing can be read for a while": [
        Fault(Kind.CUT_ANSWER, path=MANIFEST),
        Fault(Kind.RESET, method="GET", times=12, skip=1),
        Fault(Kind.RESET, method="HEAD", times=4),
    ],
    "an error is answered, though it was taken": [Fault(Kind.ERROR_AFTER, path=MANIFEST, status=500)],
    "slow down, twice": [Fault(Kind.ERROR, path=MANIFEST, times=2)],
    "slow down, for long": [Fault(Kind.ERROR, path=MANIFEST, times=11)],
    "connections are reset": [Fault(Kind.RESET, path=".", times=6)],
    "the manifest's connections are reset": [Fault(Kind.RESET, path=MANIFEST, times=2)],
    "slow": [Fault(Kind.SLOW, path=MANIFEST, pause_s=1.5)],
    "it arrives before it is looked for": [Fault(Kind.LATE, path=MANIFEST, pause_s=0.2)],
    "it arrives while the second attempt is under way": [
        Fault(Kind.LATE, path=MANIFEST, pause_s=1.2),
        Fault(Kind.SLOW, path=MANIFEST, pause_s=2),
    ],
    "it arrives after it was looked for, before the second attempt": [
        Fault(Kind.LATE, path=MANIFEST, pause_s=1.2),
        Fault(Kind.SLOW, method="GET", path=LISTING, skip=2, pause_s=2),
    ],
    "it arrives after the second attempt": [Fault(Kind.LATE, path=MANIFEST, pause_s=2)],
}
OTHERS = (  # further cases of what the rest shows
    "an error is answered, though it was taken",
    "slow down, twice",
    "slow",
    "connections are reset",
    "it arrives before it is looked for",
    "it arrives after it was looked for, before the second attempt",
)


@pytest.fixture(scope="module")
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    """A proxy in front of the server."""
    with faulty_proxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def store(bucket_store: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in an empty bucket behind the proxy."""
    proxy.expect()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    return Store(bucket_store)


@pytest.fixture
def table(store: Store) -> Instances:
    return open_instances(store)


def open_instances(store: Store, **guard: Any) -> Instances:
    return store.open_instances("d", "e", dim=DIM, licence=LICENCE, **guard)


def stored_ids(store: Store) -> list[str]:
    return sorted(open_table(f"{store.uri}/{INSTANCES}").to_table(columns=["instance_id"])["instance_id"].to_pylist())


@pytest.mark.parametrize("trouble", with_long(TROUBLES, OTHERS))
def test_rows_are_stored_exactly_once(
    store: Store, table: Instances, proxy: FaultyProxy, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if all(fault.kind is not Kind.LATE for fault in TROUBLES[trouble]):  # only those are a matter of when
        monkeypatch.setattr("tilebank.store.commits.PAUSE_S", 0.05)
    table.commit(rows_of("i1"))
    proxy.expect(*TROUBLES[trouble])
    table.commit(rows_of("i2"))
    struck = {kind for kind, _, _ in proxy.struck}
    proxy.expect()
    assert struck == {fault.kind for fault in TROUBLES[trouble]}
    time.sleep(1.5 * (Kind.LATE in struck))
    assert stored_ids(store) == [f"{image}#{place}" for image in ("i1", "i2") for place in range(3)]
    table.commit(rows_of("i3"))
    assert table.done_images("f1") == {"i1", "i2", "i3"}
    assert len(stored_ids(store)) == 9


@pytest.mark.parametrize(
    "trouble", ["the answer is lost", "the manifest's connections are reset", "it arrives before it is looked for"]
)
def test_failures_are_recorded_and_dropped_exactly_once(
    store: Store, table: Instances, proxy: FaultyProxy, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilebank.store.commits.PAUSE_S", 0.05)
    row = {"image_id": "i1", "uri": "u", "stage": "decode", "error_class": "A", "reason": "r", "fingerprint": "f1"}

    def recorded() -> list[tuple[str, str]]:
        rows = open_table(f"{store.uri}/{FAILURES}").to_table().to_pylist()
        return sorted((each["image_id"], each["error_class"]) for each in rows)

    proxy.expect(*TROUBLES[trouble])
    table.commit_failures([row, row | {"image_id": "i2"}])
    assert proxy.struck
    assert recorded() == [("i1", "A"), ("i2", "A")]
    proxy.expect(*TROUBLES[trouble])
    table.commit_failures([row | {"error_class": "B"}])
    assert proxy.struck
    assert recorded() == [("i1", "B"), ("i2", "A")]
    before = open_table(f"{store.uri}/{FAILURES}").version
    table.commit_failures([row | {"error_class": "B"}])
    assert open_table(f"{store.uri}/{FAILURES}").version == before, "what stands is not written again"
    proxy.expect(*TROUBLES[trouble])
    table.forget_failures(["i1"], fingerprint="f1")
    assert proxy.struck
    assert recorded() == [("i2", "A")]


@pytest.mark.parametrize("kind", [Kind.CUT_ANSWER, Kind.ERROR_AFTER, Kind.RESET])
def test_tables_are_made_and_indexed_through_trouble(store: Store, proxy: FaultyProxy, kind: Kind) -> None:
    proxy.expect(*[Fault(kind, path=rf"{name}.*{MANIFEST}", status=500) for name in (INSTANCES, FAILURES)])
    table = open_instances(store)
    assert len(proxy.struck) == 2
    table.commit(rows_of("i1"))
    proxy.expect(Fault(kind, path=MANIFEST, status=500))
    table.index()
    assert proxy.struck
    held = open_table(f"{store.uri}/{INSTANCES}")
    assert sorted(index.field_names[0] for index in held.describe_indices()) == ["breast_id", "exam_id", "image_id"]
    assert {index.num_rows_indexed for index in held.describe_indices()} == {3}


def test_a_rival_that_is_first_costs_another_attempt_and_nothing_else(
    store: Store, table: Instances, proxy: FaultyProxy
) -> None:
    """A compaction and an index, as another client makes them, land while a manifest is on its way."""
    table.commit(rows_of("i1"))
    table.commit(rows_of("i2"))
    rival = open_table(f"{store.uri}/{INSTANCES}")
    for number, work in enumerate((rival.optimize.compact_files, lambda: rival.create_scalar_index("view", "BITMAP"))):
        proxy.expect(Fault(Kind.SLOW, path=MANIFEST, pause_s=2))
        ours = threading.Thread(target=table.commit, args=(rows_of(f"j{number}"),))
        ours.start()
        time.sleep(0.7)
        work()
        ours.join()
        assert len(proxy.struck) == 1
    assert len(stored_ids(store)) == len(set(stored_ids(store))) == 12
    chunks = [each.transaction_properties.get(CHUNK) for each in open_table(rival.uri).get_transactions(20) if each]
    assert len(set(chunks) - {None}) == 4


def test_an_outage_that_lasts_is_told_and_stores_nothing(
    store: Store, table: Instances, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilebank.store.commits.ATTEMPTS", 2)
    proxy.expect(Fault(Kind.RESET, path=MANIFEST, times=100))
    with pytest.raises(StoreError, match=r"cannot commit in s3://.*run the same command again to go on"):
        table.commit(rows_of("i1"))
    proxy.expect()
    assert stored_ids(store) == []
    again = open_instances(store)
    again.commit(rows_of("i1"))
    assert len(stored_ids(store)) == 3


def test_vectors_are_read_through_trouble_and_an_outage_is_one_message(
    store: Store, table: Instances, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilebank.store.commits.PAUSE_S", 0.05)
    quick = {"client_max_retries": "1", "client_retry_timeout": "2"}
    monkeypatch.setattr("tilebank.store.commits.REMOTE_OPTIONS", quick)
    table.commit(rows_of("i1"))
    reader = Reader(store.uri, dataset="d", encoder="e", fingerprint="f1")
    (breast,) = reader.read_breasts()
    wanted = reader.read_bags([breast.breast_id])
    proxy.expect(Fault(Kind.RESET, path=r"\.lance", method="GET", times=9))
    found = reader.read_bags([breast.breast_id])
    assert len(proxy.struck) == 9
    assert (found.tile_features == wanted.tile_features).all()
    monkeypatch.setattr("tilebank.store.commits.ATTEMPTS", 1)
    proxy.expect(Fault(Kind.RESET, path=r"\.lance", method="GET", times=1000))
    with pytest.raises(StoreError, match=r"cannot read vectors in s3://.*run the same command again"):
        reader.read_bags([breast.breast_id])


def test_no_attempt_is_made_once_the_guard_objects(store: Store, proxy: FaultyProxy) -> None:
    asked = []

    def guard() -> None:
        asked.append(1)
        if len(asked) > 2:  # before the rows are written, before the first attempt, before what follows
            raise StoreError("taken over")

    table = open_instances(store, guard=guard)
    proxy.expect(Fault(Kind.RESET, path=MANIFEST))
    with pytest.raises(StoreError, match="taken over"):
        table.commit(rows_of("i1"))
    assert len(proxy.struck) == 1
    assert stored_ids(store) == []


def test_on_a_disk_a_rival_is_waited_for_and_a_full_disk_is_not(tmp_path: Any) -> None:
    place = str(tmp_path / "t.lance")
    mine = lance.write_dataset(pa.table({"a": [0]}), place)
    lance.write_dataset(pa.table({"a": [1]}), place, mode="append")
    assert append_once(mine, pa.table({"a": [2]}), chunk="c").to_table()["a"].to_pylist() == [0, 1, 2]
    (tmp_path / "t.lance" / "data").rename(tmp_path / "away")
    (tmp_path / "t.lance" / "data").write_text("in the way")
    began = time.monotonic()
    with pytest.raises(StoreError, match="cannot write rows in"):
        append_once(mine, pa.table({"a": [3]}), chunk="d")
    assert time.monotonic() - began < 0.4
