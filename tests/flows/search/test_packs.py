"""What a search keeps of finished packs: every bit, whole or not at all, and who was fitted with whom."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tilebank.errors import HeadError
from tilebank.flows.search.packs import Pack, SearchFolder
from tilebank.flows.search.sampling import Candidate
from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.fitting.fit import FitConfig, FittedHead, TrialConfig, fit_heads
from tilebank.mil.heads.dual_stream import DualStreamConfig

NARROW, WIDE = DualStreamConfig(hidden=4, latent=2), DualStreamConfig(hidden=6, latent=2)
CANDIDATES = [Candidate(TrialConfig(seed=seed, lr=0.01 / (seed + 1)), (NARROW, WIDE)[seed % 2]) for seed in range(7)]


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    """The folder of a search that has not begun."""
    return SearchFolder(str(tmp_path / "search"))


def bags_of(breasts: int, *, seed: int) -> BagBatch:
    random = np.random.default_rng(seed)
    return BagBatch.from_arrays(
        view_features=random.normal(size=(2 * breasts, 5)).astype(np.float16),
        view_offsets=np.arange(breasts + 1) * 2,
        tile_features=random.normal(size=(3 * breasts, 5)).astype(np.float16),
        tile_offsets=np.arange(breasts + 1) * 3,
        breast_ids=[f"b{place}" for place in range(breasts)],
        labels=np.arange(breasts) % 2,
    )


def fit(pack: Pack) -> list[FittedHead]:
    config = FitConfig(max_epochs=4)
    return fit_heads(bags_of(12, seed=0), bags_of(8, seed=1), head=pack.head, trials=pack.trials, config=config)


def test_a_finished_pack_is_read_back_to_the_bit(folder: SearchFolder) -> None:
    pack = Pack(WIDE, tuple(each.trial for each in CANDIDATES[:3]))
    fitted = fit(pack)
    assert not folder.holds(pack)
    folder.write_pack(pack, fitted)
    assert folder.holds(pack)
    for was, found in zip(fitted, folder.read_pack(pack), strict=True):
        assert (found.trial, found.head.config, found.plan) == (was.trial, was.head.config, was.plan)
        assert (found.best_val_auc, found.best_epoch, found.epochs) == (was.best_val_auc, was.best_epoch, was.epochs)
        assert all(map(torch.equal, found.head.parameters(), was.head.parameters()))
        assert found.curves.keys() == was.curves.keys()
        assert all(np.array_equal(found.curves[name], was.curves[name]) for name in was.curves)


def test_a_pack_is_known_by_its_head_and_its_trials(folder: SearchFolder) -> None:
    trials = tuple(each.trial for each in CANDIDATES[:2])
    others = [Pack(NARROW, trials), Pack(WIDE, trials[:1]), Pack(WIDE, (replace(trials[0], lr=0.5), trials[1]))]
    folder.write_pack(Pack(WIDE, trials), [])
    assert not any(folder.holds(other) for other in others)


def test_a_search_that_goes_on_keeps_its_packs_on_any_number_of_gpus(folder: SearchFolder) -> None:
    assert not folder.started
    planned = folder.plan_round(0, CANDIDATES, pack=0, slots=3)
    assert folder.started
    assert [len(pack.trials) for pack in planned] == [3, 1, 3]
    assert folder.plan_round(0, CANDIDATES, pack=0, slots=1) == planned
    assert [len(pack.trials) for pack in folder.plan_round(1, CANDIDATES, pack=0, slots=1)] == [4, 3]
    folder.remove()
    assert not folder.started


def test_a_folder_of_other_trials_is_refused(folder: SearchFolder) -> None:
    folder.plan_round(0, CANDIDATES, pack=0, slots=1)
    with pytest.raises(HeadError, match=r"round-000.json lists other trials than this search has; remove its folder"):
        folder.plan_round(0, CANDIDATES[1:], pack=0, slots=1)


def test_a_damaged_pack_is_named(folder: SearchFolder) -> None:
    pack = Pack(NARROW, (CANDIDATES[0].trial,))
    folder.write_pack(pack, fit(pack))
    path = Path(folder.uri) / pack.file
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HeadError, match=r"cannot read the finished pack .*pack-[0-9a-f]{16}.zip.*search again"):
        folder.read_pack(pack)
