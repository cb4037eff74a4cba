"""Time encoders on a GPU or one CPU core, also as a share of the device's measured matmul peak.

Tiles are random: the speed of a network does not depend on their content.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tilebank.bench.measure import Bench, BenchRow, PartResult, compare_rates, run_in_processes
from tilebank.encoders.contract import EncoderConfig
from tilebank.encoders.huggingface.batching import LARGEST_SIZE
from tilebank.encoders.huggingface.checkpoints import folder_of
from tilebank.encoders.huggingface.random_weights import write_random_weights
from tilebank.encoders.registry import flops_per_tile, load_encoder
from tilebank.encoders.throughput import device_for, name_of, peak_flops_per_s, tiles_per_s
from tilebank.errors import EncoderError

ONE_A_CALL = "one tile per call"
CPU_BATCHES = (1, 8, 32)
LONGEST_S = 20.0  # limit of one pass over the tiles; slow devices get fewer tiles
OF_PEAK = "of the bfloat16 peak"


@dataclass(frozen=True)
class _Request:
    encoder: EncoderConfig
    asked: str
    tiles: int
    repeats: int
    folder: str


@dataclass(frozen=True)
class _Device:
    """The device, and its matmul operations per second by data type."""

    kind: str
    name: str
    peaks: dict[str, float]


@dataclass(frozen=True)
class _Speed:
    """Tiles per second by variant, operations per tile (0 if unknown), and whether the weights are random."""

    rates: dict[str, float]
    tiles: int
    flops: int
    random: bool


def bench_encode(bench: Bench) -> PartResult:
    """Each encoder at several batch sizes, relative to one tile per call, and as a share of the device's peak."""
    sizes, home = bench.sizes, Path(bench.settings.home)
    requests = [
        _Request(encoder, bench.device, sizes.tiles, sizes.repeats, str(home / f"random-{place}"))
        for place, encoder in enumerate(bench.encoders)
    ]
    (device,) = run_in_processes(_inspect_device, [bench.device], threads=1)
    threads = bench.cores if device.kind == "cuda" else 1
    rows = compare_rates(
        f"peak of {device.name}",
        [(f"{dtype} matmul", peak / 1e12, "") for dtype, peak in device.peaks.items()],
        unit="TFLOP/s",
        reference="bfloat16 matmul",
    )
    for request in requests:  # each in its own process, so that GPU memory is freed
        (speed,) = run_in_processes(_time_encoding, [request], threads=threads)
        rows += _rows_of(request.encoder, speed, device=device)
    return PartResult(tuple(rows), _how(bench, device))


def _rows_of(encoder: EncoderConfig, speed: _Speed, *, device: _Device) -> list[BenchRow]:
    what = f"encode {encoder.name}"
    weights = "random weights, " if speed.random else ""
    note = f"{weights}{encoder.dtype}, {speed.tiles} tiles of {encoder.input_size_px} px"
    variants = [(variant, rate, note) for variant, rate in speed.rates.items()]
    rows = compare_rates(what, variants, unit="tiles/s", reference=ONE_A_CALL)
    if speed.flops:
        best = max(speed.rates, key=lambda variant: speed.rates[variant])
        achieved = speed.flops * speed.rates[best]
        counted = f"{speed.flops / 1e9:,.2f} GFLOP per tile, counted"
        if encoder.dtype != "bfloat16":
            counted += f"; {achieved / device.peaks[encoder.dtype]:.2f} of the {encoder.dtype} peak"
        share = achieved / device.peaks["bfloat16"]
        rows.append(BenchRow(what, f"work, {best}", achieved / 1e12, "TFLOP/s", share, OF_PEAK, counted))
    return rows


def _how(bench: Bench, device: _Device) -> str:
    asked = "" if bench.device in ("auto", device.kind) else f"NO {bench.device} HERE, SO ON THE CPU; "
    threads = "" if device.kind == "cuda" else ", 1 thread"
    return f"{asked}{device.name}{threads}; random tiles; best of {bench.sizes.repeats}"


def _inspect_device(asked: str) -> _Device:
    kind = device_for(asked)
    return _Device(
        kind,
        name_of(kind),
        {"bfloat16": peak_flops_per_s(kind, "bfloat16"), "float32": peak_flops_per_s(kind, "float32")},
    )


def _time_encoding(request: _Request) -> _Speed:
    device = device_for(request.asked)
    config, random = _with_weights(request)
    wanted = max(
        request.tiles, 4 * LARGEST_SIZE if device == "cuda" else 1
    )  # whole batches, because the last one is padded on a GPU
    shape = (wanted, config.input_size_px, config.input_size_px)
    pixels = np.random.default_rng(0).integers(0, 1 << 16, shape, dtype=np.uint16)  # (N, S, S)
    single = load_encoder(replace(config, batch_size=1), device=device)
    rough = tiles_per_s(single, pixels[:1], step=1, repeats=1)
    tiles = max(1, min(wanted, int(LONGEST_S * rough)))
    slow = tiles < wanted and device == "cpu"
    some = pixels[: min(tiles, request.tiles)]
    rates = {ONE_A_CALL: tiles_per_s(single, some, step=1, repeats=1 if slow else request.repeats)}
    del single
    if device == "cuda":
        batches = {"one call, batch by free memory": 0}
    else:
        batches = {f"one call, batch of {size}": size for size in (CPU_BATCHES[:1] if slow else CPU_BATCHES)}
        pixels = some
    for variant, size in batches.items():
        encoder = load_encoder(replace(config, batch_size=size), device=device)
        rates[variant] = tiles_per_s(encoder, pixels, step=len(pixels), repeats=1 if slow else request.repeats)
        del encoder
    return _Speed(rates, len(pixels), _flops(config), random)


def _with_weights(request: _Request) -> tuple[EncoderConfig, bool]:
    """The encoder with its own weights if they are in a local folder or it has none, else with random weights."""
    config = request.encoder
    if config.architecture is None or folder_of(config) is not None:
        return config, False
    return write_random_weights(config, Path(request.folder)), True


def _flops(config: EncoderConfig) -> int:
    try:
        return flops_per_tile(config)
    except EncoderError:
        return 0  # no architecture in the settings: no share of the peak
