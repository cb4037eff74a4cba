"""The bags of the three problems: what makes them positive, and the shortcut that is reversed."""

import numpy as np
import pytest

from tilebank.bench.search.shortcut_bags import DIM, PROBLEMS, draw_bags

BAGS = 200


def parts(problem, *, shortcut_reversed):
    """Instances (n, D) and label of each bag."""
    bags = draw_bags(problem, breasts=BAGS, seed=1, shortcut_reversed=shortcut_reversed)
    features = np.split(bags.tile_features.numpy(), bags.tile_offsets[1:-1].numpy())
    return list(zip(features, bags.labels.numpy().astype(bool), strict=True))


def near(instances, mean):
    """How many instances lie about `mean` in every dimension, spread 0.1."""
    return int((np.abs(instances - mean).max(axis=1) < 0.6).sum())


@pytest.mark.parametrize("shortcut_reversed", [False, True])
@pytest.mark.parametrize("problem", ["single_concept", "multi_concept"])
def test_the_poison_lies_in_negative_bags_in_fitting_and_in_positive_ones_in_the_test(problem, shortcut_reversed):
    assert all(
        near(instances, -10) == (label == shortcut_reversed)
        for instances, label in parts(problem, shortcut_reversed=shortcut_reversed)
    )


@pytest.mark.parametrize("shortcut_reversed", [False, True])
@pytest.mark.parametrize("problem", ["multi_concept", "false_frequency"])
def test_positive_bags_alone_hold_both_concepts(problem, shortcut_reversed):
    for instances, label in parts(problem, shortcut_reversed=shortcut_reversed):
        counts = near(instances, 2), near(instances, 3)
        assert (min(counts) > 0) == label
        assert max(counts) > 0


def test_frequency_tells_the_wrong_way_in_the_test():
    for shortcut_reversed in (False, True):
        for instances, label in parts("false_frequency", shortcut_reversed=shortcut_reversed):
            count = near(instances, 2) + near(instances, 3)
            assert count == 2 if label else (35 <= count < 45 if shortcut_reversed else count == 1)


def test_positive_bags_of_the_single_concept_have_one_to_three_more_instances():
    sizes: dict[bool, set[int]] = {False: set(), True: set()}
    for instances, label in parts("single_concept", shortcut_reversed=False):
        sizes[bool(label)].add(len(instances))
    assert sizes == {False: {11}, True: {11, 12, 13}}


def test_a_seed_names_its_bags():
    for problem in PROBLEMS:
        one, same, other = (draw_bags(problem, breasts=6, seed=seed, shortcut_reversed=False) for seed in (0, 0, 1))
        assert one.tile_features.equal(same.tile_features)
        assert one.tile_features.shape[1] == DIM
        assert not one.tile_features[:1].equal(other.tile_features[:1])
