"""Whether Ray starts and runs a task."""

import os
from collections.abc import Iterator

import ray

from tilebank.flows.doctor.check import Check, passed
from tilebank.flows.engine.cluster import cluster_cpus, cluster_gpus, connect_ray

DEADLINE_S = 120.0


def check_ray() -> Iterator[Check]:
    """Join the cluster of RAY_ADDRESS or start Ray here, run one task, and leave again."""
    ours = not ray.is_initialized()
    connect_ray()
    try:
        answer = ray.get(ray.remote(_double).remote(21), timeout=DEADLINE_S / 2)
        if answer != 42:
            raise ValueError(f"a task answered {answer}, not 42")
        where = os.environ.get("RAY_ADDRESS") or "this machine"
        yield passed("ray", f"a task ran on {where}: {cluster_cpus()} CPU cores, {cluster_gpus()} GPUs")
    finally:
        if ours:
            ray.shutdown()


def _double(number: int) -> int:
    return 2 * number
