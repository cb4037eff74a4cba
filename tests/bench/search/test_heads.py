"""What must hold by construction of the heads' assumptions, and the timing of heads at sizes of no meaning."""

import numpy as np
import pytest

from tilebank.bench.measure import Bench
from tilebank.bench.parts import BenchSizes
from tilebank.bench.search import heads as timing
from tilebank.bench.search.assumptions import AssumptionRequest, AssumptionScore, bench_assumptions, score_assumption
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import load_settings
from tilebank.mil.heads.registry import HEADS

SMALL = BenchSizes(bags=32, test_bags=120, seeds=2, epochs=2)


def small_bench() -> Bench:
    settings = load_settings(Choices())
    return Bench(settings, SMALL, cores=1, encoders=(settings.encoder,), device="cpu")


@pytest.mark.slow
def test_the_highest_instance_keeps_the_assumption_and_the_mean_breaks_it() -> None:
    highest = score_assumption(AssumptionRequest("max", "single_concept", seeds=2, breasts=300))
    # A bag's highest instance can not be an absent one: new bags of either kind are all the same to it.
    assert highest.verdict == "kept"
    for problem in ("single_concept", "multi_concept"):
        assert score_assumption(AssumptionRequest("mean", problem, seeds=2, breasts=300)).verdict == "broken"
    often = score_assumption(AssumptionRequest("mean", "false_frequency", seeds=2, breasts=300))
    assert max(often.with_shortcut_reversed) < 0.1, "a mean is moved by how often an instance occurs"


def test_verdicts_go_by_what_was_learnt_and_what_is_left_of_it() -> None:
    assert AssumptionScore((0.99, 0.98, 0.99), (0.97, 0.96, 0.2)).verdict == "kept"
    assert AssumptionScore((0.99,), (0.7,)).verdict == "in part"
    assert AssumptionScore((0.99,), (0.1,)).verdict == "broken"
    assert AssumptionScore((0.6,), (0.6,)).verdict == "not learnt"


@pytest.mark.slow
def test_every_head_is_held_against_each_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {name: HEADS[name] for name in ("mean", "dual_stream")}
    monkeypatch.setattr("tilebank.bench.search.assumptions.HEADS", heads)
    result = bench_assumptions(small_bench())
    problems = ("single_concept", "multi_concept", "false_frequency")
    assert [(row.what, row.variant) for row in result.rows] == [
        (problem, head) for problem in problems for head in ("mean", "dual_stream")
    ]
    assert all(0 <= row.rate <= 1 for row in result.rows)
    assert "120 bags each in train, val and test" in result.how


@pytest.mark.slow
@pytest.mark.long
def test_each_head_is_timed_alone_and_in_a_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "HEADS", {"abmil": HEADS["abmil"]})
    monkeypatch.setattr(timing, "is_torchmil_installed", lambda: False)
    result = timing.bench_heads(small_bench())
    assert [(row.what, row.variant, row.unit) for row in result.rows] == [
        ("heads", "abmil", "bags/s"),
        ("heads, 8 in a pack", "abmil", "bags x heads/s"),
    ]
    assert all(row.rate > 0 and row.ratio == 1 for row in result.rows)
    assert "torchmil ABMIL is not installed" in result.how
    assert "65,985 parameters" in result.rows[0].note


def test_the_set_can_be_told_by_its_hidden_direction() -> None:
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(timing.DIM, 2)))[0].T
    bags = timing.bags_of(rng, directions, breasts=40)
    lengths = bags.tile_offsets.diff()
    assert (lengths >= 40).all()
    assert (lengths <= 160).all()
    along = bags.tile_features.numpy() @ directions.T  # (N, 2)
    highest = np.maximum.reduceat(along, bags.tile_offsets[:-1].numpy(), axis=0)  # (B, 2)
    told = highest[:, 0] > highest[:, 1]
    assert (told == bags.labels.numpy().astype(bool)).mean() > 0.9
