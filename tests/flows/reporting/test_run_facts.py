"""What a report says of its run: nothing that opens a door."""

import pytest

from tilebank.flows.reporting.run_facts import command_line, mask_secrets, run_facts


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/x/bin/tilebank", "tune", "--task", "mass"], "tilebank tune --task mass"),
        (["jobs/tune_head.py", "--tracking", "https://ann:pw1@host:5000"], "tilebank tune --tracking 'https://***@host:5000'"),
        (["t", "--tracking=postgresql://ann:pw1@db/x"], "t '--tracking=postgresql://***@db/x'"),
        (["t", "--store", "s3://b/x?secret_key=pw1&region=eu"], "t --store 's3://b/x?secret_key=***&region=eu'"),
        (["t", "--hf-token", "pw1", "--json", "out.json"], "t --hf-token *** --json out.json"),
        (["t", "--set", "encoder.token=pw1"], "t --set 'encoder.token=***'"),
        (["t", "--root", "https://h/f?X-Amz-Signature=pw1&X-Amz-Security-Token=pw1"],
         "t --root 'https://h/f?X-Amz-Signature=***&X-Amz-Security-Token=***'"),
    ],
)  # fmt: skip
def test_a_command_is_shown_without_its_secrets(words: list[str], shown: str) -> None:
    assert command_line(words) == shown
    assert "pw1" not in command_line(words)


def test_what_is_no_secret_stays() -> None:
    for text in ("splits.seed=3", "head.tokens_pooled", "dataset.root=/data/monkey=1", "a@b", "s3://bucket/x@y"):
        assert mask_secrets(text) == text


def test_a_report_names_date_command_and_versions() -> None:
    facts = run_facts("0.1.0, commit abc")
    assert list(facts) == ["made", "command", "versions"]
    assert facts["made"].endswith("UTC")
    assert facts["versions"].startswith("tilebank 0.1.0, commit abc; Python 3.")
    assert "torch 2" in facts["versions"]
