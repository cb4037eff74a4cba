"""Identify a search, so that one that was killed can resume: its key, its folder, its tags and run name."""

from dataclasses import dataclass
from importlib.metadata import version as version_of

from tilebank.files import join_uri
from tilebank.fingerprint import fingerprint_of
from tilebank.flows.champion.code_revision import sources_of
from tilebank.flows.search.packs import SearchFolder
from tilebank.flows.search.record import params_of, tags_of
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.split_counts import Counts, counts_text, split_counts
from tilebank.flows.study.study import LabelledStudy
from tilebank.terms import Split
from tilebank.tracking.inputs import DatasetUsed

LEASE = "search"  # in the search's folder; its holder may write there


@dataclass(frozen=True, eq=False)
class SearchRun:
    """A search with its settings and study. key: identifies it, the same each time it is started."""

    settings: Settings
    study: LabelledStudy
    task: str
    key: str

    @property
    def folder(self) -> SearchFolder:
        """Where its finished packs are."""
        return folder_of(self.settings, self.key)

    @property
    def tags(self) -> dict[str, str]:
        """Of its runs."""
        reader = self.study.reader
        found = tags_of(self.settings, task=self.task, fingerprint=reader.fingerprint, table_version=reader.version)
        return found | {f"{split}_counts": counts_text(counts) for split, counts in self.counts.items()}

    @property
    def counts(self) -> Counts:
        """Breasts, patients and classes of each split."""
        return split_counts(self.study.task, self.study.rows)

    @property
    def dataset_used(self) -> DatasetUsed:
        """The table of vectors, for the record."""
        reader = self.study.reader
        return DatasetUsed(
            reader.name, reader.version, reader.fingerprint, reader.uri, context="training", counts=self.counts
        )

    @property
    def run_name(self) -> str:
        """Of its parent run."""
        control = "shuffled--" * self.settings.search.shuffle_labels
        return f"{control}{self.settings.encoder.name}--{self.settings.head_name}"

    def as_text(self) -> str:
        """Which search, for people."""
        settings = self.settings
        where = f"{settings.dataset.name}, {self.task}, {settings.head_name} on {settings.encoder.name}"
        return f"the search {self.key} ({where})"


def search_run(settings: Settings, study: LabelledStudy, *, task: str) -> SearchRun:
    """The search that these settings, vectors, labels, splits, code and places define."""
    key = fingerprint_of(
        {
            "of": [settings.dataset.name, task, settings.encoder.name],
            "vectors": [study.reader.fingerprint, study.reader.version],
            "rows": {
                split.value: [(row.breast_id, row.label) for row in study.rows[split]]
                for split in (Split.TRAIN, Split.VAL)
            },
            "params": params_of(settings),
            "code": [sources_of("mil"), *(version_of(package) for package in ("numpy", "optuna", "torch"))],
            "kept": [settings.store, settings.tracking, settings.artifacts],
        }
    )
    return SearchRun(settings, study, task, key)


def folder_of(settings: Settings, key: str) -> SearchFolder:
    """The folder of the search `key`, among the artifacts."""
    return SearchFolder(join_uri(settings.artifacts, "search", key))
