"""Features in and out as a user runs it: in, searched, out, and mistakes that are answered by one message."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.foreign_features import make_slides, write_labels, write_trident
from tests.jobs.conftest import Finished, RunHere

pytestmark = pytest.mark.slow

SLIDES = make_slides(60)
STUDY = ("--dataset", "features", "--encoder", "uni_v1")


def test_slides_made_elsewhere_are_brought_in_searched_and_handed_out(
    run_here: RunHere, new_record: Callable[[Path], str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    new_record(home)

    def run(*words: object) -> Finished:
        return run_here(home, "exchange", *words)

    root, labels = write_trident(tmp_path / "in", SLIDES), write_labels(tmp_path / "labels.csv", SLIDES)
    came = ("--from", "trident", *STUDY, "--root", root, "--labels", labels)
    summary = tmp_path / "summary.json"
    assert run("import", *came, "--json", summary).status == 0
    imported = json.loads(summary.read_text())
    assert imported["slides"] == 60

    searched = run_here(
        *(home, "tune_head", *STUDY, "--task", "label", "--head", "tiles_only", "--trials", 2, "--pack", 2),
        *("--set", f"dataset.labels={labels}", "--set", "search.lr=0.02", "--json", summary),
    )
    assert searched.status == 0, searched.err
    found = json.loads(summary.read_text())
    assert np.mean(found["val_aucs"]) > 0.8, "half of a positive slide's tiles are unlike all others"
    assert [found["fingerprint"]] == list(imported["plan"]["provenances"])

    went = ("export", "--to", "clam", *STUDY, "--task", "label", "--set", f"dataset.labels={labels}")
    refused = run(*went, "--out", tmp_path / "out")
    assert refused.status == 1
    assert "--licence-allows" in refused.err
    done = run(*went, "--out", tmp_path / "out", "--licence-allows", "--split", "test")
    assert done.status == 0, done.err
    assert "bags written  12" in done.out
    assert len(list((tmp_path / "out" / "h5_files").iterdir())) == 12
