"""The vectors and labels of one split, as they travel to the processes that fit heads.

A process of Ray Tune imports this module to unpack them; it does not import the store.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilebank.mil.bags.bags import BagBatch
from tilebank.mil.contract.outputs import BINARY, Outputs
from tilebank.store.records import BagArrays


@dataclass(frozen=True)
class LabelledBags:
    """The breasts of one split as arrays: what Ray keeps once a node, and every pack reads without a copy.

    labels: (B,) classes, or (B, C) of 0 and 1 where `outputs` are several labels.
    """

    bags: BagArrays
    labels: NDArray[np.int64]
    outputs: Outputs = BINARY

    def as_batch(self) -> BagBatch:
        """The same as tensors, features not copied."""
        bags = self.bags
        return BagBatch.from_arrays(
            view_features=bags.view_features,
            view_offsets=bags.view_offsets,
            tile_features=bags.tile_features,
            tile_offsets=bags.tile_offsets,
            breast_ids=bags.breast_ids,
            labels=self.labels,
        )
