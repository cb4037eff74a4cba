"""Measure how fast a device is: at matrix products, and at an encoder's tiles.

Letters: N tiles, S pixels a side.
"""

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tilebank.encoders.contract import Encoder

MATRIX = {"cuda": 8192, "cpu": 2048}  # large enough that a product is bound by arithmetic, not by memory
WARM_UP = 3


def device_for(asked: str) -> str:
    """`cuda` or `cpu`: the device asked for if this machine has it; `auto` is a GPU if there is one."""
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def name_of(device: str) -> str:
    """The GPU's own name, or `CPU`."""
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def peak_flops_per_s(
    device: str, dtype: Literal["bfloat16", "float32"], *, size: int | None = None, least_s: float = 1.0
) -> float:
    """Operations a second of a product of two square matrices, 2 n^3 each, the mean over `least_s` seconds or more.

    float32 is what it says: TensorFloat-32 is off, as it is for encoders.
    """
    side = size or MATRIX[device]
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(side, side, generator=generator).to(device, getattr(torch, dtype)) for _ in range(2)
    )  # (n, n)
    out = torch.empty_like(left)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        rate = calls_per_s(lambda: torch.matmul(left, right, out=out), device=device, least_s=least_s)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2.0 * side**3 * rate


def tiles_per_s(encoder: Encoder, pixels: NDArray[np.uint16], *, step: int, repeats: int) -> float:
    """Tiles (N, S, S) a second in calls of `step` tiles; the best of `repeats` passes over all, after a first call."""
    full = float(np.iinfo(np.uint16).max)
    encoder.encode(pixels[:step], max_value=full)
    best_s = np.inf
    for _ in range(repeats):
        began = time.perf_counter()
        for start in range(0, len(pixels), step):
            encoder.encode(pixels[start : start + step], max_value=full)
        best_s = min(best_s, time.perf_counter() - began)
    return float(len(pixels) / best_s)


def calls_per_s(work: Callable[[], object], *, device: str, least_s: float) -> float:
    """Calls of `work` per second; on a GPU the queue is synchronised at both ends."""
    wait = torch.cuda.synchronize if device == "cuda" else _nothing
    for _ in range(WARM_UP):
        work()
    wait()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < least_s:
        for _ in range(WARM_UP):
            work()
        wait()
        calls += WARM_UP
    return calls / (time.perf_counter() - began)


def _nothing() -> None:
    """A CPU has no queue."""
