"""How a job ends: its exit status, by what its flow returns or raises."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tilebank.errors import ConfigError, StoreError, TilebankError
from tilebank.flows.reporting.flags import JobParser
from tilebank.flows.reporting.job import Summary, run_job


@dataclass(frozen=True)
class Counted:
    """A summary of work that either raises or has been done."""

    images: int

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def as_text(self) -> str:
        return f"{self.images} images"


@dataclass(frozen=True)
class Looked(Counted):
    """A summary of work that may come to its end in vain."""

    @property
    def failed(self) -> bool:
        return not self.images


def status_of(flow: Summary | TilebankError, *argv: str) -> tuple[int, list[str]]:
    """The exit status of a job with this summary or error, and what it has shown."""
    shown: list[str] = []

    def run(_: object) -> Summary:
        if isinstance(flow, TilebankError):
            raise flow
        return flow

    return run_job(JobParser("jobs/extract.py", "A job.", examples=""), run, argv=argv, show=shown.append), shown


@pytest.mark.parametrize(
    ("summary", "status"), [(Counted(0), 0), (Counted(2), 0), (Looked(0), 1), (Looked(2), 0)], ids=str
)
def test_a_summary_fails_only_where_it_can_and_is_shown_all_the_same(
    summary: Counted, status: int, tmp_path: Path
) -> None:
    ended, shown = status_of(summary, "--json", str(tmp_path / "summary.json"))
    assert (ended, shown) == (status, [summary.as_text()])
    assert json.loads((tmp_path / "summary.json").read_text()) == {"images": summary.images}


def test_an_error_of_ours_is_one_message_and_a_wrong_configuration_another_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_of(StoreError("no table; extract first")) == (1, [])
    assert status_of(ConfigError("no such key; drop it")) == (2, [])
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in said] == ["no table; extract first", "no such key; drop it"]
