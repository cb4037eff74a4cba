"""Two Ray nodes on this machine: an extraction spreads over both, and the loss of one loses nothing."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.jobs.conftest import (
    IMAGES,
    SETTINGS,
    Command,
    Reference,
    User,
    assert_same_rows,
    read_rows,
    stored_images,
    user_at,
    wait_until,
)
from tests.jobs.test_submit import free_ports, listens

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

CPUS = 3  # of each node: one that is left alone holds both encoders, and a reading task beside them


@dataclass(frozen=True)
class TwoNodes:
    """A head, another node, and somebody whose jobs run on them."""

    user: User
    head: Command
    other: Command


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[TwoNodes]:
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    port, client, agent, second_agent = free_ports(4)
    address = f"127.0.0.1:{port}"
    user = user_at(
        tmp_path / "home",
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(token),
    )
    sockets = tempfile.mkdtemp(prefix="tilebank-ray-", dir="/tmp")  # a socket's path holds 107 letters at most
    common = ("--block", "--num-cpus", CPUS, "--node-ip-address", "127.0.0.1", "--disable-usage-stats")
    try:
        head = user.start(
            *("ray", "start", "--head", *common, "--port", port, "--include-dashboard", "false"),
            *("--ray-client-server-port", client, "--temp-dir", sockets, "--dashboard-agent-listen-port", agent),
        )
        wait_until(lambda: listens(port) or not head.running(), what="the head node", timeout_s=60)
        other = user.start(
            *("ray", "start", *common, "--address", address, "--dashboard-agent-listen-port", second_agent)
        )
        wait_until(lambda: bool(other.titled_with("raylet/raylet")), what="the other node", timeout_s=60)
        user.env["RAY_ADDRESS"] = address
        yield TwoNodes(user, head, other)
    finally:
        user.leave()
        shutil.rmtree(sockets)


def test_work_spreads_over_two_nodes_and_a_lost_node_loses_nothing(
    nodes: TwoNodes, phantom_root: Path, reference: Reference
) -> None:
    command = nodes.user.start_job(
        *("extract", "--dataset", "phantom", "--root", phantom_root, *SETTINGS, "--set", "extraction.encoders=2"),
        *("--set", "extraction.images_per_task=2", "--set", "extraction.images_per_batch=2"),
    )
    spread = lambda: all(node.titled("ray::MapWorker") for node in (nodes.head, nodes.other))  # noqa: E731
    wait_until(lambda: spread() or not command.running(), what="an encoder on each node")
    wait_until(lambda: stored_images(nodes.user.store) > 0 or not command.running(), what="the first commit")
    assert command.running(), command.wait().err
    assert spread(), "each node has an encoder"

    nodes.other.end()
    done = stored_images(nodes.user.store)
    assert 0 < done < IMAGES, "the node was lost in the middle"
    finished = command.wait()
    assert finished.status == 0, finished.err
    assert_same_rows(read_rows(nodes.user.store), reference.instances)
    assert read_rows(nodes.user.store, kind="failures").num_rows == 0
