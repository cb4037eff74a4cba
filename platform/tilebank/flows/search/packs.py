"""Plan which heads are fitted together, and keep finished packs so that a killed search can resume.

A pack is one file, written once all its heads are fitted: the file is the completion marker. An unfinished pack is not
kept; a pack takes seconds to minutes. The heads of a pack influence the last bits of each other (order of sums), so the
packs of a round are written down before the first is fitted, and a resumed search keeps them on any number of GPUs.
"""

import io
import json
import math
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from tilebank.errors import HeadError
from tilebank.files import exists, join_uri, last_written, read_bytes, remove_folder, write_bytes
from tilebank.fingerprint import fingerprint_of
from tilebank.flows.search.sampling import Candidate
from tilebank.mil.fitting.fit import FittedHead, TrialConfig
from tilebank.mil.fitting.memory_plan import FitPlan
from tilebank.mil.heads.registry import HeadConfig, load_head, save_head

OUTCOME, CURVES = "outcome.json", "curves.npz"


@dataclass(frozen=True)
class Pack:
    """Trials of one architecture, fitted as one computation."""

    head: HeadConfig
    trials: tuple[TrialConfig, ...]

    @property
    def file(self) -> str:
        """Its name in the folder of its search."""
        return f"pack-{fingerprint_of({'head': self.head, 'trials': self.trials})}.zip"


def plan_packs(candidates: Sequence[Candidate], *, pack: int, slots: int) -> list[Pack]:
    """The candidates in packs of up to `pack`, each of one architecture; 0 spreads them evenly over the slots."""
    size = pack or math.ceil(len(candidates) / slots)
    of_head: dict[HeadConfig, list[TrialConfig]] = {}
    for candidate in candidates:
        of_head.setdefault(candidate.head, []).append(candidate.trial)
    return [
        Pack(head, tuple(trials[start : start + size]))
        for head, trials in of_head.items()
        for start in range(0, len(trials), size)
    ]


@dataclass(frozen=True)
class SearchFolder:
    """What one search keeps among the artifacts until it has ended in full. All nodes reach it."""

    uri: str

    @property
    def started(self) -> bool:
        """Whether an earlier attempt at the same search has left something."""
        return exists(self._round(0))

    def plan_round(self, number: int, candidates: Sequence[Candidate], *, pack: int, slots: int) -> list[Pack]:
        """The packs of a round: as an earlier attempt wrote them down, else as planned now. Raises HeadError."""
        uri = self._round(number)
        if not exists(uri):
            packs = plan_packs(candidates, pack=pack, slots=slots)
            seeds = [[trial.seed for trial in each.trials] for each in packs]
            write_bytes(uri, json.dumps(seeds).encode())
            return packs
        by_seed = {candidate.trial.seed: candidate for candidate in candidates}
        kept = json.loads(read_bytes(uri))
        if sorted(seed for seeds in kept for seed in seeds) != sorted(by_seed):
            raise HeadError(f"{uri} lists other trials than this search has; remove its folder and search again")
        return [Pack(by_seed[seeds[0]].head, tuple(by_seed[seed].trial for seed in seeds)) for seeds in kept]

    def holds(self, pack: Pack) -> bool:
        """Whether `pack` is finished."""
        return exists(join_uri(self.uri, pack.file))

    def write_pack(self, pack: Pack, fitted: Sequence[FittedHead]) -> None:
        """Keep a finished pack, whole or not at all. Raises OSError."""
        write_bytes(join_uri(self.uri, pack.file), _to_bytes(fitted))

    def read_pack(self, pack: Pack) -> list[FittedHead]:
        """The heads of a finished pack, in the order of its trials. Raises HeadError where it cannot be read."""
        uri = join_uri(self.uri, pack.file)
        try:
            return _from_bytes(read_bytes(uri))
        except (OSError, zipfile.BadZipFile) as error:
            raise HeadError(f"cannot read the finished pack {uri}: {error}; remove it and search again") from error

    @property
    def last_written(self) -> datetime | None:
        """When an attempt last wrote here, its lease included; None where nothing is left."""
        return last_written(self.uri)

    def remove(self) -> None:
        """The search has ended in full, or was given up: nothing will be asked for again."""
        if exists(self.uri):
            remove_folder(self.uri)

    def _round(self, number: int) -> str:
        return join_uri(self.uri, f"round-{number:03d}.json")


def _to_bytes(fitted: Sequence[FittedHead]) -> bytes:
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as archive:
        for place, each in enumerate(fitted):
            _write_fitted(Path(folder) / f"{place:04d}", each)
        for path in sorted(Path(folder).rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def _from_bytes(content: bytes) -> list[FittedHead]:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
        return [_read_fitted(place) for place in sorted(Path(folder).iterdir())]


def _write_fitted(folder: Path, fitted: FittedHead) -> None:
    save_head(fitted.head, folder)
    np.savez(folder / CURVES, allow_pickle=False, **fitted.curves)
    outcome = {
        "trial": asdict(fitted.trial),
        "plan": asdict(fitted.plan),
        "best_epoch": fitted.best_epoch,
        "best_val_auc": fitted.best_val_auc,
        "epochs": fitted.epochs,
    }
    (folder / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def _read_fitted(folder: Path) -> FittedHead:
    outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    with np.load(folder / CURVES) as curves:
        return FittedHead(
            trial=TrialConfig(**outcome["trial"]),
            head=load_head(folder).head,
            best_epoch=outcome["best_epoch"],
            best_val_auc=outcome["best_val_auc"],
            epochs=outcome["epochs"],
            curves={name: curves[name] for name in curves.files},
            plan=FitPlan(**outcome["plan"]),
        )
