"""A search that is asked for, and what every attempt at it shares: its key, its folder, its run. Fits nothing."""

from dataclasses import dataclass
from importlib.metadata import version as version_of

from tilebank.files import join_uri
from tilebank.fingerprint import fingerprint_of
from tilebank.flows.champion.code_revision import sources_of
from tilebank.flows.search.packs import SearchFolder
from tilebank.flows.search.record import params_of, tags_of
from tilebank.flows.settings.settings import Settings
from tilebank.flows.study.study import LabelledStudy
from tilebank.terms import Split

LEASE = "search"  # whose holder may write a search's folder, in which it lies


@dataclass(frozen=True, eq=False)
class Attempt:
    """Settings and the study that they open. key: which search it is, the same for every attempt at it."""

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
        return tags_of(self.settings, task=self.task, fingerprint=reader.fingerprint, table_version=reader.version)

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


def attempt_at(settings: Settings, study: LabelledStudy, *, task: str) -> Attempt:
    """An attempt at the search that these settings and vectors, labels and splits, code and places make."""
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
    return Attempt(settings, study, task, key)


def folder_of(settings: Settings, key: str) -> SearchFolder:
    """The folder of the search `key`, among the artifacts."""
    return SearchFolder(join_uri(settings.artifacts, "search", key))
