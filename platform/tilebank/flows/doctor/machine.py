"""Cores, memory, GPU, and room on the disks."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tilebank.encoders.devices import torch_device_text
from tilebank.files import is_local
from tilebank.flows.doctor.check import Check, failed, passed, warned
from tilebank.flows.settings.settings import Settings

GB = 1e9
LEAST_MEMORY_GB, LEAST_CORES = 6, 2
WISE_DISK_GB, LEAST_DISK_GB = 10, 1


def check_cores_and_memory() -> Iterator[Check]:
    """What this process may use of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    found = f"{cores} CPU cores, {memory:.0f} GB of memory"
    if cores < LEAST_CORES or memory < LEAST_MEMORY_GB:
        fix = f"use {LEAST_CORES} cores and {LEAST_MEMORY_GB} GB or more: reading and encoding run side by side"
        yield warned("machine", found, fix=fix)
    else:
        yield passed("machine", found)


def check_gpu() -> Iterator[Check]:
    """Whether there is a GPU, and whether torch sees it."""
    there = shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()
    seen, found = torch_device_text()
    if there and not seen:
        fix = "install a CUDA build of torch that fits the driver (pytorch.org/get-started); see CUDA_VISIBLE_DEVICES"
        yield warned("gpu", f"this machine has one, torch sees {found}", fix=fix)
    else:
        yield passed("gpu", found)


def check_disk(settings: Settings) -> Iterator[Check]:
    """Free room where data is kept on this machine."""
    places = {"home": settings.home, "store": settings.store, "artifacts": settings.artifacts}
    seen = set()
    for name, uri in places.items():
        if not is_local(uri):
            continue
        folder = _standing(Path(uri))
        if (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(folder).free / GB
        found = f"{free:.1f} GB free at {folder}"
        fix = "free some room, or keep data elsewhere: TILEBANK_HOME, --store URI"
        if free < LEAST_DISK_GB:
            yield failed(f"disk, {name}", found, fix=fix)
        elif free < WISE_DISK_GB:
            yield warned(f"disk, {name}", found, fix=fix)
        else:
            yield passed(f"disk, {name}", found)


def _standing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())
