"""DSMIL against its equations, one bag and one answer at a time, every q_i made."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from tilebank.mil.contract.dropout import NO_NOISE
from tilebank.mil.contract.outputs import Outputs, example_losses
from tilebank.mil.heads.dsmil import DsmilConfig
from tilebank.mil.heads.registry import build_head


def plain(head, bags, trial):
    """Answers of both streams (B, O) and attention (O, N)."""
    h = head.projection(head.prepare(bags).tiles)[trial].T  # (N, C)
    linear = {
        name: (getattr(head, name).weight[trial], getattr(head, name).bias[trial])
        for name in ("instance", "query", "bag")
    }
    highest, of_bags, weights = [], [], []
    for start, stop in pairwise(bags.tile_offsets.tolist()):
        own = h[start:stop]
        scores = own @ linear["instance"][0].T + linear["instance"][1]  # (n, O)
        q = own @ linear["query"][0].T + linear["query"][1]
        a = torch.softmax(q @ q[scores.argmax(dim=0)].T / math.sqrt(q.shape[1]), dim=0)  # (n, O)
        highest.append(scores.amax(dim=0))
        of_bags.append(linear["bag"][0] @ (a.T @ own).flatten() + linear["bag"][1])
        weights.append(a.T)
    return torch.stack(highest), torch.stack(of_bags), torch.cat(weights, dim=1)


@pytest.mark.parametrize("outputs", [Outputs(), Outputs("multiclass", 3)], ids=lambda o: o.kind)
def test_answers_attention_and_losses_are_those_of_the_equations(make_bags, outputs):
    head = build_head(DsmilConfig(instances="tiles", hidden=5, query=4), dim=6, seeds=[0, 1], outputs=outputs)
    bags = make_bags(seed=0)
    prepared = head.prepare(bags)
    seen = head.run(prepared)
    labels = torch.arange(24).remainder(2)
    labels = labels.float() if outputs.kind == "binary" else labels
    criterion = partial(example_losses, outputs=outputs, weights=torch.ones(2, outputs.count))
    losses = head.losses(prepared, labels, criterion=criterion, noise=NO_NOISE).examples
    expected = [plain(head, bags, trial) for trial in range(2)]
    highest, of_bags = (torch.stack([one[place] for one in expected]) for place in (0, 1))  # (T, B, O)
    if outputs.kind == "binary":
        highest, of_bags = highest.squeeze(2), of_bags.squeeze(2)
    torch.testing.assert_close(seen.logits, (highest + of_bags) / 2)
    torch.testing.assert_close(seen.attention.weights, torch.stack([one[2].mean(dim=0) for one in expected]))
    torch.testing.assert_close(losses, (criterion(highest, labels) + criterion(of_bags, labels)) / 2)
