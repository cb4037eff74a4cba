"""What MLflow's own pages show of a run beside its figures: the dataset that it read, and the program that made it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIGEST_LENGTH = 36  # MLflow's own limit
SOURCE_TYPE = "lance"


@dataclass(frozen=True)
class RunSource:
    """The program behind a run: its path, whether a cluster ran it as a job, and its commit (empty: unknown)."""

    name: str
    is_job: bool = False
    commit: str = ""

    def as_tags(self) -> dict[str, str]:
        """The tags that fill the columns Source and Version of MLflow's runs page."""
        tags = {"mlflow.source.name": self.name, "mlflow.source.type": "JOB" if self.is_job else "LOCAL"}
        return tags | ({"mlflow.source.git.commit": self.commit} if self.commit else {})


@dataclass(frozen=True)
class DatasetUsed:
    """A table of vectors that a run read.

    version: 0 where it is not known; context: what for, as MLflow calls it (`training`, `evaluation`); counts: breasts,
    patients and breasts of each class, by split.
    """

    table: str
    version: int
    fingerprint: str
    uri: str
    context: str
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def as_input(self) -> Any:
        """MLflow's record of it: name and digest, its source, and the counts as its profile."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = {"uri": self.uri, "version": self.version, "fingerprint": self.fingerprint}
        dataset = Dataset(
            name=self.table,
            digest=(f"{self.fingerprint}-v{self.version}" if self.version else self.fingerprint)[:DIGEST_LENGTH],
            source_type=SOURCE_TYPE,
            source=json.dumps(source),
            profile=json.dumps({split: dict(counts) for split, counts in self.counts.items()}),
        )
        return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", self.context)])
