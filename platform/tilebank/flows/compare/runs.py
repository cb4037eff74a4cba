"""Choose the finished searches of a task to compare, and name each of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tilebank.datasets.labels import task_named
from tilebank.errors import ConfigError, TrackingError
from tilebank.flows.settings.settings import Settings
from tilebank.tracking.finished_runs import RecordedRun, find_runs
from tilebank.tracking.runs import experiment_name

YES_NO = "threshold_at_sens"  # a figure that searches of yes-no tasks alone record
SHORT = 8  # characters by which people tell a run or a fingerprint


@dataclass(frozen=True)
class Wanted:
    """Which searches: of one encoder or head (empty: any), or those whose run ids start so; of each encoder, head and
    fingerprint the newest alone, unless they are named or `all_runs` is set."""

    encoder: str = ""
    head: str = ""
    runs: tuple[str, ...] = ()
    all_runs: bool = False


@dataclass(frozen=True)
class FoundSearch:
    """A finished search under a name that no other of the table bears."""

    name: str
    run: RecordedRun

    @property
    def encoder(self) -> str:
        """The name of its encoder."""
        return self.run.tags["encoder"]

    @property
    def run_id(self) -> str:
        """Its parent run."""
        return self.run.run_id


def find_searches(settings: Settings, *, task: str, wanted: Wanted) -> tuple[list[FoundSearch], int]:
    """The searches to compare, controls with shuffled labels left out, and how many older ones were passed over.

    Raises TrackingError when there are fewer than two, ConfigError when one that is asked for is not there, or when the
    task is unknown or no yes-no question.
    """
    task_named(task)
    experiment = experiment_name(settings.dataset.name, task=task)
    every = find_runs(settings.tracking, experiment, tags={"shuffled_labels": "false"})
    if not every:
        raise TrackingError(
            f"{settings.tracking} holds no finished search of {task} on {settings.dataset.name}; search two heads or"
            f" encoders first: tilebank tune --dataset {settings.dataset.name} --task {task}"
        )
    if any(YES_NO not in run.metrics for run in every):
        raise ConfigError(f"{task} has several classes or labels; only AUCs of yes-no tasks are compared")
    kept = _asked_for(every, wanted)
    chosen = kept if wanted.all_runs or wanted.runs else _newest(kept)
    if len(chosen) < 2:
        raise TrackingError(
            f"only one search can be compared: {_described(chosen[0])}; search another head or encoder, or compare"
            f" searches of the same one with --all-runs (finished searches: {_listed(every)})"
        )
    names = _names(chosen)
    return [FoundSearch(names[run.run_id], run) for run in chosen], len(kept) - len(chosen)


def choose_reference(searches: Sequence[FoundSearch], against: str) -> FoundSearch:
    """The search that `against` names, by its name in the table or the start of its run id. Raises ConfigError."""
    found = [one for one in searches if one.name == against] or [
        one for one in searches if one.run_id.startswith(against)
    ]
    if len(found) == 1:
        return found[0]
    said = "several searches" if found else "no search"
    names = ", ".join(f"{one.name} (run {one.run_id[:SHORT]})" for one in searches)
    raise ConfigError(f"--against {against} names {said} of the table; it holds {names}")


def _asked_for(every: Sequence[RecordedRun], wanted: Wanted) -> list[RecordedRun]:
    kept = list(every)
    for key, value in (("encoder", wanted.encoder), ("head", wanted.head)):
        if value:
            kept = [run for run in kept if run.tags[key] == value]
            if not kept:
                raise ConfigError(f"no finished search with {key} {value!r}; there are {_listed(every)}")
    if not wanted.runs:
        return kept
    unknown = [start for start in wanted.runs if not any(run.run_id.startswith(start) for run in kept)]
    if unknown:
        raise ConfigError(f"no finished search has a run id that starts with {unknown[0]!r}; there are {_listed(kept)}")
    return [run for run in kept if run.run_id.startswith(wanted.runs)]


def _newest(runs: Sequence[RecordedRun]) -> list[RecordedRun]:
    """The first of each encoder, head and fingerprint; runs are given newest first."""
    newest: dict[tuple[str, str, str], RecordedRun] = {}
    for run in runs:
        newest.setdefault((run.tags["encoder"], run.tags["head"], run.tags["fingerprint"]), run)
    return list(newest.values())


def _names(runs: Sequence[RecordedRun]) -> dict[str, str]:
    """run id -> `encoder/head`, with as much of fingerprint and run id as it takes to tell them apart."""
    names = {run.run_id: f"{run.tags['encoder']}/{run.tags['head']}" for run in runs}
    tails: tuple[Callable[[RecordedRun], str], ...] = (
        lambda run: f"@{run.tags['fingerprint'][:SHORT]}",
        lambda run: f"#{run.run_id[:SHORT]}",
    )
    for tail in tails:
        alike: dict[str, set[str]] = {}
        for run in runs:
            alike.setdefault(names[run.run_id], set()).add(tail(run))
        names = {
            run.run_id: names[run.run_id] + (tail(run) if len(alike[names[run.run_id]]) > 1 else "") for run in runs
        }
    return names


def _described(run: RecordedRun) -> str:
    return f"{run.tags['head']} on {run.tags['encoder']} (run {run.run_id[:SHORT]})"


def _listed(runs: Sequence[RecordedRun]) -> str:
    """Every encoder and head with how often it was searched."""
    counts = Counter(f"{run.tags['encoder']}/{run.tags['head']}" for run in runs)
    return ", ".join(f"{name} ({count}x)" if count > 1 else name for name, count in sorted(counts.items()))
