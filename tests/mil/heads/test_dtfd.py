"""DTFD's two tiers against a loop over bags and pseudo-bags."""

from functools import partial
from itertools import pairwise

import pytest
import torch

from tilebank.mil.contract.dropout import NO_NOISE, StepNoise
from tilebank.mil.contract.outputs import BINARY, example_losses
from tilebank.mil.heads.dtfd import DtfdConfig
from tilebank.mil.heads.parts.segment_sort import random_keys
from tilebank.mil.heads.registry import build_head

GROUPS = 3
CRITERION = partial(example_losses, outputs=BINARY, weights=torch.ones(2, 1))


def head_of(distil):
    config = DtfdConfig(instances="tiles", hidden=5, attention=3, groups=GROUPS, distil=distil)
    return build_head(config, dim=6, seeds=[0, 1])


def distilled(h, scores, head, trial):
    """Of one pseudo-bag, h (n, C): its first-tier logit and its distilled vectors."""
    a = torch.softmax(scores, dim=0)
    logit = head.first.weight[trial, 0] @ (a @ h) + head.first.bias[trial, 0]
    gradcam = a * (h @ head.first.weight[trial, 0])
    chosen = {"afs": [a @ h], "max": [h[gradcam.argmax()]], "max_min": [h[gradcam.argmax()], h[gradcam.argmin()]]}
    return logit, chosen[head.config.distil]


def plain(head, bags, keys, trial):
    """Second-tier logits (B,), and the mean first-tier loss of a bag with each label (B, 2)."""
    h, scores = head.scorer(head.prepare(bags).tiles)
    h, scores, keys = h[trial].T, scores[trial], keys[trial]
    seconds, firsts = [], []
    for start, stop in pairwise(bags.tile_offsets.tolist()):
        order = start + keys[start:stop].argsort(descending=True)
        count = min(GROUPS, -(-len(order) // 2))
        groups = [order[turn::count] for turn in range(count)]
        made = [distilled(h[group], scores[group], head, trial) for group in groups]
        vectors = torch.stack([vector for _, some in made for vector in some])  # (M, C)
        a = torch.softmax(head.score(vectors.T.expand(2, -1, -1))[trial], dim=0)
        seconds.append(head.second.weight[trial, 0] @ (a @ vectors) + head.second.bias[trial, 0])
        logits = torch.stack([logit for logit, _ in made]).expand(2, -1)
        firsts.append(torch.stack([CRITERION(logits, torch.full((len(made),), y))[0].mean() for y in (0.0, 1.0)]))
    return torch.stack(seconds), torch.stack(firsts)


@pytest.mark.parametrize("distil", ["afs", "max", "max_min"])
@pytest.mark.parametrize("fitting", [False, True], ids=["in use", "in fitting"])
def test_both_tiers_are_those_of_a_loop_over_pseudo_bags(make_bags, distil, fitting):
    head, bags, labels = head_of(distil), make_bags(seed=0), torch.arange(24).remainder(2).float()
    prepared = head.prepare(bags)
    uniform = torch.rand(2, 1, 24, generator=torch.Generator().manual_seed(0))
    noise = StepNoise(uniform=uniform) if fitting else NO_NOISE
    keys = random_keys(uniform[:, 0], prepared.tiles.segments) if fitting else head.scorer(prepared.tiles)[1]
    losses = head.losses(prepared, labels, criterion=CRITERION, noise=noise)
    for trial in range(2):
        seconds, firsts = plain(head, bags, keys, trial)
        torch.testing.assert_close(head.run(prepared, noise=noise).logits[trial], seconds)
        torch.testing.assert_close(losses.extra[trial], firsts.gather(1, labels.long().unsqueeze(1)).squeeze(1))
    torch.testing.assert_close(losses.examples, CRITERION(head.run(prepared, noise=noise).logits, labels))


def test_the_second_tier_has_no_gradient_in_the_first(make_bags):
    head = head_of("afs")
    total = head.run(head.prepare(make_bags(seed=0))).logits.sum()
    gradients = torch.autograd.grad(total, list(head.parameters()), allow_unused=True)
    for (name, _), gradient in zip(head.named_parameters(), gradients, strict=True):
        assert (gradient is None) == name.startswith(("scorer.", "first.")), name
