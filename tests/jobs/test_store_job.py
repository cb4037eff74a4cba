"""The store's own job as a user runs it: what is there, what is wrong, and nothing done that was not asked for."""

import json
from functools import partial
from pathlib import Path

import pytest
from tests.jobs.conftest import RunHere, User
from tests.store.conftest import LICENCE, rows_of

from tilebank.store.commits import open_table
from tilebank.store.lease.lease import hold_lease
from tilebank.store.tables import Instances, Store

pytestmark = pytest.mark.slow

DIM = 4
NAME = "instances--phantom--texture"


@pytest.fixture
def table(user: User) -> Instances:
    """Three images under two fingerprints in a user's store."""
    table = Store(user.store).open_instances("phantom", "texture", dim=DIM, licence=LICENCE)
    for image, fingerprint in (("i1", "f1"), ("i2", "f1"), ("i1", "f2")):
        table.commit(rows_of(image, f"E-{image}_L", fingerprint=fingerprint))
    return table


@pytest.fixture
def store_job(user: User, run_here: RunHere) -> RunHere:
    """`store_job(*words)`: the job as this user runs it."""
    return partial(run_here, user.home, "store")


def test_a_store_is_listed_verified_and_looked_after(store_job: RunHere, table: Instances, tmp_path: Path) -> None:
    listed = store_job("list", "--json", tmp_path / "list.json")
    assert (listed.status, listed.err) == (0, "")
    assert "f1       2 images, 4 tiles" in listed.out
    assert "CC0-1.0, redistributable: true" in listed.out
    tables = {each["name"]: each for each in json.loads((tmp_path / "list.json").read_text())["tables"]}
    assert (tables[NAME]["rows"], tables[NAME]["dim"], tables[NAME]["versions"]) == (9, DIM, 4)

    well = store_job("verify", "--json", tmp_path / "well.json")
    assert well.status == 0, well.out
    assert "no problems found" in well.out
    assert json.loads((tmp_path / "well.json").read_text())["problems"] == []

    compacted = store_job("compact")
    assert compacted.status == 0
    assert "fragments before  3" in compacted.out
    assert store_job("index").status == 0
    cleaned = store_job("clean", "--older-than", 0, "--json", tmp_path / "clean.json")
    assert cleaned.status == 0
    assert json.loads((tmp_path / "clean.json").read_text())["tables"][0]["figures"]["old versions"] > 0
    assert len(open_table(table.uri).versions()) == 1
    assert store_job("verify").status == 0


def test_what_is_wrong_is_named_and_fails(store_job: RunHere, table: Instances) -> None:
    open_table(table.uri).delete("instance_id = 'i2#1'")
    found = store_job("verify")
    assert found.status == 1
    assert "1 x instances missing or doubled: i2 (missing #1)" in found.out


def test_nothing_is_dropped_without_a_yes(store_job: RunHere, table: Instances) -> None:
    asked = store_job("drop", "--fingerprint", "f1")
    assert asked.status == 1
    assert "images that go  2" in asked.out
    assert "add --yes" in asked.out
    assert open_table(table.uri).count_rows() == 9
    assert store_job("drop", "--fingerprint", "f1", "--plan").status == 0
    assert open_table(table.uri).count_rows() == 9
    assert store_job("drop", "--fingerprint", "f1", "--yes").status == 0
    assert open_table(table.uri).count_rows() == 3
    nameless = store_job("drop", "--yes")
    assert nameless.status == 2
    assert "drop needs --fingerprint" in nameless.err
    assert store_job("drop", "--fingerprint", "f3").status == 1


def test_a_table_that_is_being_written_is_left_alone(user: User, store_job: RunHere, table: Instances) -> None:
    with hold_lease(user.store, NAME):
        refused = user.run_job("store", "compact")
        assert refused.status == 1
        assert f"table {NAME} in {user.store} is being written by" in refused.err
        assert store_job("compact", "--plan").status == 0
        assert "is being written by" in store_job("list").out
    assert store_job("compact").status == 0
