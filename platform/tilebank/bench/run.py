"""Run the parts of the benchmark and print one table; ratios are to a named variant of the same run.

All inputs are made for the run in a temporary folder; stored data is neither read nor written.
"""

import difflib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from tilebank.bench.measure import Bench, BenchRow, PartResult
from tilebank.bench.parts import ONLY_WHEN_NAMED, PARTS, BenchSizes
from tilebank.datasets.contract import DatasetConfig
from tilebank.encoders.contract import EncoderConfig
from tilebank.errors import ConfigError
from tilebank.flows.reporting.progress import with_progress
from tilebank.flows.settings.settings import Settings

HEADINGS = ("what", "variant", "rate", "", "ratio", "to", "note")


@dataclass(frozen=True)
class BenchSummary:
    """Results by part, the duration of each part, and the machine."""

    parts: dict[str, PartResult]
    part_s: dict[str, float]
    machine: dict[str, str | int | float]

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)

    def as_text(self) -> str:
        """One aligned table, how each part was measured, then the machine."""
        groups = [[_cells(row) for row in result.rows] for result in self.parts.values()]
        lines = [HEADINGS, *(cells for group in groups for cells in group)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [_line(HEADINGS, widths)]
        for group in groups:
            table += ["", *(_line(cells, widths) for cells in group)]
        how = [f"{part:<11} {result.how} ({self.part_s[part]:.0f} s)" for part, result in self.parts.items()]
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return "\n".join([*table, "", *how, f"machine     {machine}"])


def bench_parts(
    settings: Settings,
    parts: Sequence[str] = (),
    *,
    sizes: BenchSizes,
    encoders: Sequence[EncoderConfig] = (),
    device: str = "auto",
) -> BenchSummary:
    """Measure `parts` (default: all but ONLY_WHEN_NAMED) one after another. Raises ConfigError for an unknown part.

    `encode` times `encoders` (default: the encoder of the settings) on `device`: auto, cuda or cpu.
    """
    _assert_known(parts)
    machine = _machine()
    results, part_s = {}, {}
    with tempfile.TemporaryDirectory(prefix="tilebank-bench-") as folder:
        bench = Bench(
            _at_home(settings, Path(folder)),
            sizes,
            cores=len(os.sched_getaffinity(0)),
            encoders=tuple(encoders) or (settings.encoder,),
            device=device,
        )
        chosen = _chosen(parts)
        for part in with_progress(chosen, what="bench", unit="part", total=len(chosen)):
            began = time.perf_counter()
            results[part] = _function_of(part)(bench)
            part_s[part] = time.perf_counter() - began
    return BenchSummary(results, part_s, machine | {"load_1min_at_end": round(os.getloadavg()[0], 2)})


def _function_of(part: str) -> Callable[[Bench], PartResult]:
    module, function = PARTS[part]
    found: Callable[[Bench], PartResult] = getattr(import_module(f"tilebank.bench.{module}"), function)
    return found


def _chosen(parts: Sequence[str]) -> list[str]:
    return [name for name in PARTS if name in parts or not (parts or name in ONLY_WHEN_NAMED)]


def _assert_known(parts: Sequence[str]) -> None:
    for part in parts:
        if part not in PARTS:
            near = difflib.get_close_matches(part, PARTS, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(f"unknown part {part!r}{hint}; known: {', '.join(PARTS)}")


def _at_home(settings: Settings, folder: Path) -> Settings:
    """The same settings with a phantom study and a store in `folder`."""
    study = DatasetConfig("phantom", "phantom", str(folder / "phantom"), licence="CC0-1.0", redistributable=True)
    return settings.model_copy(
        update={
            "home": str(folder),
            "store": str(folder / "store"),
            "artifacts": str(folder / "artifacts"),
            "tracking": f"sqlite:///{folder / 'mlflow.db'}",
            "dataset": study,
        }
    )


def _machine() -> dict[str, str | int | float]:
    """Description of the machine. A load well above the cores: other processes disturbed the run."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min_at_start": round(os.getloadavg()[0], 2),
        "ram_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "folder": tempfile.gettempdir(),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _cells(row: BenchRow) -> tuple[str, ...]:
    digits = 0 if row.rate >= 100 else 1 if row.rate >= 10 else 2
    return row.what, row.variant, f"{row.rate:,.{digits}f}", row.unit, f"{row.ratio:.2f}", row.reference, row.note


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Text aligned left, numbers right."""
    padded = [
        f"{cell:>{width}}" if heading in ("rate", "ratio") else f"{cell:<{width}}"
        for heading, cell, width in zip(HEADINGS, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()
