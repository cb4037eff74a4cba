"""Fold normalisation, (x - mean) / std, and the repeated gray channel into a network's first convolution.

Exact where the convolution has no padding, as the patch embedding of a ViT: padding adds zeros after the normalisation,
which no bias can follow. It stays in float32, whatever the network computes in: bfloat16 has 8 bits for a gray level,
and a mammogram has 12 and more.

Letters: N images, C channels, D features, P pixels a side of a patch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tilebank.encoders.contract import PreprocessSpec
from tilebank.errors import EncoderError


class GrayPatches(nn.Conv2d):
    """A convolution of one gray channel (N, 1, S, S) in float32, its features (N, D, ., .) in another type."""

    def __init__(self, weight: Tensor, bias: Tensor, *, stride: tuple[int, int], dtype: torch.dtype) -> None:
        features, _, height, width = weight.shape
        super().__init__(1, features, (height, width), stride, device="meta", dtype=torch.float32)
        self.weight = nn.Parameter(weight.to(torch.float32), requires_grad=False)  # (D, 1, P, P)
        self.bias = nn.Parameter(bias.to(torch.float32), requires_grad=False)  # (D,)
        self._features_dtype = dtype

    def forward(self, gray: Tensor) -> Tensor:
        """Features (N, D, S / P, S / P) of gray images (N, 1, S, S) between 0 and 1."""
        return super().forward(gray.to(torch.float32)).to(self._features_dtype)


def fold_gray(convolution: nn.Conv2d, spec: PreprocessSpec, *, dtype: torch.dtype) -> GrayPatches:
    """`convolution` of normalised channels as one of gray: w' = sum_c w_c / std_c, b' = b - sum_c w_c mean_c / std_c.

    Raises EncoderError for a padded convolution, where the two differ at the border.
    """
    if convolution.padding not in ("valid", (0, 0)):
        raise EncoderError(
            "a padded convolution cannot take gray images: its zeros are not a gray level; do not fold it"
        )
    weight = convolution.weight.detach().to(torch.float64)  # (D, C, P, P)
    std = weight.new_tensor(spec.std)[:, None, None]  # (C or 1, 1, 1)
    mean = weight.new_tensor(spec.mean)[:, None, None]
    bias = weight.new_zeros(len(weight)) if convolution.bias is None else convolution.bias.detach().to(torch.float64)
    shift = (weight * mean / std).sum(dim=(1, 2, 3))  # (D,)
    stride = (convolution.stride[0], convolution.stride[1])
    return GrayPatches((weight / std).sum(dim=1, keepdim=True), bias - shift, stride=stride, dtype=dtype)


def install_gray(network: Any, path: str, folded: GrayPatches) -> None:
    """Replace the convolution at `path` by `folded`, and set its module's channel count to 1 if it has one."""
    place, _, name = path.rpartition(".")
    holder = network.get_submodule(place)
    setattr(holder, name, folded)
    if hasattr(holder, "num_channels"):
        holder.num_channels = 1
