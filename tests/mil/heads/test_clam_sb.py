"""CLAM's loss of instances, against a loop over bags, classes and instances."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import softplus

from tilebank.mil.contract.dropout import NO_NOISE
from tilebank.mil.contract.outputs import Outputs, example_losses
from tilebank.mil.heads.clam_sb import ClamSbConfig
from tilebank.mil.heads.registry import build_head

LABELS = {
    "binary": torch.arange(24).remainder(2).float(),
    "multiclass": torch.arange(24).remainder(3),
    "multilabel": torch.stack([torch.arange(24).remainder(2), torch.arange(24).remainder(3).clamp_max(1)], 1).float(),
}


def has(labels: torch.Tensor, breast: int, answer: int) -> bool:
    return bool(labels[breast, answer]) if labels.ndim == 2 else int(labels[breast]) == answer


def plain(head, bags, labels, *, config, trial):
    """Loss of instances, breast by breast."""
    prepared = head.prepare(bags)
    h, scores = head.scorer(prepared.tiles)
    losses, offsets = [], bags.tile_offsets.tolist()
    for breast, (start, stop) in enumerate(pairwise(offsets)):
        order = scores[trial, start:stop].argsort(descending=True)
        count = stop - start
        top = order[: min(config.sampled, -(-count // 2))]
        least = order[count - min(config.sampled, count // 2) :]
        of_classes = []
        for answer in range(head.evidence.bias.shape[1]):
            s = head.evidence.weight[trial, answer] @ h[trial, :, start:stop] + head.evidence.bias[trial, answer]
            if has(labels, breast, answer):
                terms = [softplus(config.margin - s[top]), softplus(config.margin + s[least])]
                of_classes.append(torch.cat(terms).mean())
            else:
                of_classes.append(softplus(config.margin + s[top]).mean() if config.subtyping else torch.zeros(()))
        total = torch.stack(of_classes)
        losses.append(total.mean() if config.subtyping else total.sum())
    return torch.stack(losses)


@pytest.mark.parametrize("sampled", [2, 8])  # 8 is more than half of any bag here
@pytest.mark.parametrize("subtyping", [False, True])
@pytest.mark.parametrize(
    "outputs", [Outputs(), Outputs("multiclass", 3), Outputs("multilabel", 2)], ids=lambda o: o.kind
)
def test_loss_of_instances_is_that_of_a_loop_over_bags(make_bags, outputs, subtyping, sampled):
    config = ClamSbConfig(instances="tiles", hidden=5, attention=3, sampled=sampled, subtyping=subtyping)
    bags, labels = make_bags(seed=0), LABELS[outputs.kind]
    head = build_head(config, dim=6, seeds=[0, 1], outputs=outputs)
    criterion = partial(example_losses, outputs=outputs, weights=torch.ones(2, outputs.count))
    prepared = head.prepare(bags)
    losses = head.losses(prepared, labels, criterion=criterion, noise=NO_NOISE)
    torch.testing.assert_close(losses.examples, 0.7 * criterion(head.run(prepared).logits, labels))
    expected = torch.stack([plain(head, bags, labels, config=config, trial=trial) for trial in range(2)])
    torch.testing.assert_close(losses.extra, 0.3 * expected)


def test_the_smooth_svm_of_two_classes_is_a_softplus_of_their_difference():
    scores = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    # Berrada et al. at k = 1, tau = 1, the first class being true.
    smooth = torch.logsumexp(scores + torch.tensor([0.0, 1.0]), dim=1) - scores[:, 0]
    torch.testing.assert_close(softplus(1 - (scores[:, 0] - scores[:, 1])), smooth)
