"""Which trials a search asks for: from ranges and choices, the same ones each time."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.flows.conftest import MakeSettings

from tilebank.errors import ConfigError
from tilebank.flows.search.packs import plan_packs
from tilebank.flows.search.sampling import Candidate, open_sampler
from tilebank.flows.settings.search_space import Dimension, assert_architectures
from tilebank.flows.settings.settings import Settings
from tilebank.mil.fitting.fit import TrialConfig
from tilebank.mil.heads.dual_stream import DualStreamConfig


def draw(settings: Settings, *, score: float = 0.0) -> list[Candidate]:
    """Every trial of a search whose validation AUC is lower the further lr is from `score`, if that is given."""
    sampler, found = open_sampler(settings.search, settings.head), []
    while len(found) < settings.search.trials:
        asked = sampler.ask(settings.search.trials - len(found))
        sampler.tell([1 - abs(np.log10(each.trial.lr / score)) if score else 0.5 for each in asked])
        found += asked
    return found


def test_seeds_differ_by_nothing_but_their_seed(settings_for: MakeSettings) -> None:
    settings = settings_for("search.first_seed=5", "search.dropout=0.1")
    found = draw(settings)
    assert [each.trial for each in found] == [TrialConfig(seed=seed, dropout=0.1) for seed in range(5, 41)]
    assert {each.head for each in found} == {settings.head}


@pytest.mark.parametrize("search", ["random", "optuna"])
def test_draws_are_reproducible_and_stay_in_their_ranges(settings_for: MakeSettings, search: str) -> None:
    settings = settings_for("search.trials=60", search=search)
    found = draw(settings)
    assert found == draw(settings)
    assert found != draw(settings_for("search.trials=60", "search.first_seed=1", search=search))
    assert [each.trial.seed for each in found] == list(range(60))
    for each in found:
        assert 0.0003 <= each.trial.lr <= 0.01
        assert 1e-6 <= each.trial.weight_decay <= 0.01
        assert 0 <= each.trial.dropout <= 0.5
        assert each.trial.positive_weight in (None, 1.0, 2.0, 4.0)
        assert (each.head.hidden, each.head.latent) in {(16, 8), (16, 16), (32, 8), (32, 16)}
    assert len({each.trial.lr for each in found}) == 60
    assert len({each.head for each in found}) == 4


def test_random_draws_fill_their_ranges_evenly(settings_for: MakeSettings) -> None:
    found = draw(settings_for("search.trials=2000", search="random"))
    shares = np.log(np.array([each.trial.weight_decay for each in found]) / 1e-6) / np.log(1e4)
    counts, _ = np.histogram(shares, bins=10, range=(0, 1))
    assert counts.min() > 150, "200 each, in the logarithm"
    assert min(Counter(each.trial.positive_weight for each in found).values()) > 400


def test_a_longer_random_search_begins_with_the_trials_of_a_shorter_one(settings_for: MakeSettings) -> None:
    few = draw(settings_for("search.trials=7", search="random"))
    many = draw(settings_for("search.trials=30", search="random"))
    assert many[:7] == few


def test_random_draws_are_those_of_every_version(settings_for: MakeSettings) -> None:
    trials = [each.trial for each in draw(settings_for("search.trials=2", search="random"))]
    drawn = [(each.dropout, each.lr, each.weight_decay) for each in trials]
    golden = [
        (0.04041201958659374, 0.0012302268870247176, 3.8054054941042145e-06),
        (0.22420757166613597, 0.0013592591815835696, 1.2826067075169243e-05),
    ]
    np.testing.assert_allclose(drawn, golden, rtol=1e-12)
    assert [each.positive_weight for each in trials] == [2.0, 1.0]


def test_optuna_learns_from_what_it_is_told(settings_for: MakeSettings) -> None:
    space = ("search.space={lr: {low: 0.0001, high: 0.1, log: true}}", "search.head_space={}")
    first, last = [], []
    for seed in range(4):
        settings = settings_for(*space, f"search.first_seed={seed}", "search.trials=60", search="optuna")
        away = [abs(np.log10(each.trial.lr / 0.002)) for each in draw(settings, score=0.002)]
        first += away[:12]
        last += away[-24:]
    assert np.median(last) < 0.6 * np.median(first)


def test_trials_of_different_architecture_share_no_pack(settings_for: MakeSettings) -> None:
    found = draw(settings_for(search="random"))
    packs = plan_packs(found, pack=0, slots=2)
    assert all(len(pack.trials) <= 18 for pack in packs)
    placed = sorted((trial.seed, pack.head) for pack in packs for trial in pack.trials)
    assert placed == [(each.trial.seed, each.head) for each in found]
    assert len(packs) == 4


def test_trials_fill_packs_evenly(settings_for: MakeSettings) -> None:
    found = draw(settings_for())
    assert [len(pack.trials) for pack in plan_packs(found, pack=0, slots=2)] == [18, 18]
    assert [len(pack.trials) for pack in plan_packs(found, pack=10, slots=2)] == [10, 10, 10, 6]
    assert [trial.seed for pack in plan_packs(found, pack=7, slots=1) for trial in pack.trials] == list(range(36))


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("search.space.lr.low=0.1", "--set search.space.lr.low=0.1: 'search.space.lr': low 0.1 is not below high 0.01"),
        ("search.space.lr.low=0", "low 0.0 of a log range is not above 0"),
        ("search.space.lr={low: 0.1}", "'search.space.lr': give low and high, or choices"),
        ("search.space.lr.choices=[0.1]", "'search.space.lr': give choices, or low and high, not both"),
        ("search.space.lr={choices: [0.1, 0.1]}", "name one twice"),
        ("search.space.lr={choices: [quick]}", "lr: 'quick' is no number"),
        (
            "search.space.dropout.high=1.5",
            "dropout cannot be 1.5 (trial of seed 0: dropout 1.5 must be at least 0 and below",
        ),
        ("search.space.lrr={low: 1, high: 2}", "unknown key 'search.space.lrr' (did you mean 'lr'?); known here: drop"),
        ("search.space.lr.hihg=1", "unknown key 'search.space.lr.hihg' (did you mean 'high'?)"),
        ("search.head_space.hiden={choices: [8]}", "unknown key 'search.head_space.hiden' (did you mean 'hidden'?)"),
        ("search.head_space.hidden.choises=[8]", "unknown key 'search.head_space.hidden.choises' (did you mean 'choic"),
        ("search.head_space.hidden={low: 8, high: 9}", "'search.head_space.hidden' is a range"),
        ("search.head_space.hidden={choices: [8, 0]}", "makes a head of {'hidden': 0, 'latent': 8}, which cannot be"),
        ("search.head_space.view_pooling={choices: [mx]}", "which cannot be: Input should be 'max', 'mean'"),
        ("search.sampler=seeds", "sampler seeds draws nothing, and dropout, lr, positive_weight, weight_decay, head.h"),
        ("search.sampler=optunna", "'search.sampler' is 'optunna': Input should be 'seeds', 'random' or 'optuna'"),
        ("search.round_trials=0", "trials and round_trials are at least 1"),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_any_work(settings_for: MakeSettings, pair: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_for(pair, search="random")
    assert says in str(caught.value)


def test_a_search_at_random_with_nothing_to_draw_is_refused(settings_for: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="sampler random has nothing to draw; give ranges below space"):
        settings_for("search.sampler=random")


def test_a_space_must_fit_every_head_that_is_searched(settings_for: MakeSettings) -> None:
    both = "search.head_space.view_pooling={choices: [none, max]}"
    assert settings_for(both, search="random").head.tile_pooling == "attention"
    with pytest.raises(ConfigError, match="pool at least one stream"):
        settings_for(both, "search.heads=[dual_stream, views_only]", search="random")


def test_more_architectures_than_anybody_means_are_refused() -> None:
    space = {name: Dimension(choices=tuple(range(1, 41))) for name in ("hidden", "latent")}
    with pytest.raises(ConfigError, match="makes 1600 different heads"):
        assert_architectures(DualStreamConfig(), space)


def test_the_searches_differ_in_what_is_drawn_alone() -> None:
    folder = Path(__file__).parents[3] / "conf" / "searches"
    seeds, random, optuna = (
        yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("seeds", "random", "optuna")
    )
    assert seeds == {"sampler": "seeds"}
    assert random.keys() == {"sampler", "space", "head_space"}
    assert optuna == random | {"sampler": "optuna"}
