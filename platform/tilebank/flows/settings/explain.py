"""How a head is asked where it looks: `explain` in conf/platform.yaml. Nothing here shapes a score."""

from dataclasses import dataclass, field

from tilebank.errors import ConfigError
from tilebank.evaluation.detection.map_boxes import BoxConfig
from tilebank.flows.settings.choices import Shown
from tilebank.imaging.maps.attention_map import Mean


@dataclass(frozen=True)
class ExplainConfig:
    """Maps, boxes and what is drawn. Raises ConfigError.

    map: what of a tile is shown. `attention` is its share of the breast's; `contribution` what it adds to the logit;
    `evidence` is the logit that the head would give the breast with that tile alone. overlap: share of a tile's side
    that neighbours share. scales: tile sizes as shares of the encoder's own, at native resolution; maps of several are
    averaged. smoothing: standard deviation of a Gaussian, in strides of the tiles. shrinkage, mean: see `MapConfig`;
    evidence, a logit already, has the arithmetic mean. boxes: how they are taken from a map. draws: random orders that
    attention is compared with. exams_drawn: of a dataset, the first of them; all where single exams, or a folder, are
    asked for. boxes_drawn: of each image, the highest. picture_px: most height of a view in the pictures. map_step_px:
    source pixels that one value of a kept map stands for.
    """

    map: Shown = "attention"
    overlap: float = 0.75
    scales: tuple[float, ...] = (1.0,)
    smoothing: float = 0.5
    shrinkage: float = 0.5
    mean: Mean = "arithmetic"
    boxes: BoxConfig = field(default_factory=BoxConfig)
    draws: int = 5
    seed: int = 0
    exams_drawn: int = 20
    boxes_drawn: int = 3
    picture_px: int = 1200
    map_step_px: int = 16

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"explain.overlap is {self.overlap}; it lies in [0, 1)")
        if not self.scales or min(self.scales) <= 0 or len(set(self.scales)) != len(self.scales):
            raise ConfigError(f"explain.scales are {self.scales}; give one or more different numbers above 0")
        if min(self.smoothing, self.shrinkage, self.exams_drawn) < 0 or self.draws < 1:
            raise ConfigError(
                "explain.smoothing, shrinkage and exams_drawn are not below 0, explain.draws is at least 1"
            )
        if min(self.picture_px, self.map_step_px) < 1:
            raise ConfigError("explain.picture_px and map_step_px are at least 1")

    @property
    def mean_shown(self) -> Mean:
        """Of what is shown of a tile."""
        return "arithmetic" if self.map == "evidence" else self.mean
