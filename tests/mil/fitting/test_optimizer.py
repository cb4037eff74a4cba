"""StackedAdam against torch.optim.Adam."""

import torch
from torch import nn

from tilebank.mil.fitting.optimizer import StackedAdam
from tilebank.mil.heads.parts.layers import StackedLinear, generators_of


def test_each_trial_takes_the_steps_of_torch_adam_with_its_own_rates():
    lr, decay = [1e-2, 3e-3], [1e-1, 0.0]
    layer = StackedLinear(3, 2, generators=generators_of([0, 1]))
    alone = [nn.Linear(3, 2), nn.Linear(3, 2)]
    for trial, linear in enumerate(alone):
        linear.load_state_dict({"weight": layer.weight[trial].detach(), "bias": layer.bias[trial].detach()})
    theirs = [torch.optim.Adam(m.parameters(), lr=lr[t], weight_decay=decay[t]) for t, m in enumerate(alone)]
    ours = StackedAdam(layer, lr=lr, weight_decay=decay)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for step in range(30):
        loss = (layer(x) ** 2).mean(dim=(1, 2))
        ours.step(torch.autograd.grad(loss.sum(), list(layer.parameters())))
        if step == 9:  # going on with one trial alone changes nothing
            kept = StackedLinear(3, 2, generators=generators_of([1]))
            kept.weight.data, kept.bias.data = layer.weight.data[[1]], layer.bias.data[[1]]
            layer, ours = kept, ours.select(kept, [1])
        for linear, adam in zip(alone, theirs, strict=True):
            adam.zero_grad()
            (linear(x) ** 2).mean().backward()
            adam.step()
    torch.testing.assert_close(layer.weight[0], alone[1].weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(layer.bias[0], alone[1].bias, atol=1e-6, rtol=1e-5)


def test_weight_decay_shrinks_the_trial_that_has_it_and_no_other():
    layer = StackedLinear(3, 2, generators=generators_of([0, 0]))
    adam = StackedAdam(layer, lr=[1e-2, 1e-2], weight_decay=[0.1, 0.0])
    before = layer.weight.detach().clone()
    adam.step([torch.zeros_like(parameter) for parameter in layer.parameters()])
    # With no other gradient Adam's first step is the learning rate itself, towards zero.
    torch.testing.assert_close(layer.weight[0], before[0] - 1e-2 * before[0].sign())
    assert torch.equal(layer.weight[1], before[1])
