"""How large a phantom study is, and how its truth is mixed."""

from dataclasses import dataclass

from tilebank.errors import ConfigError


@dataclass(frozen=True)
class PhantomConfig:
    """How large the study is, and how the truth is mixed. Weights need not add up to 1."""

    patients: int = 150
    max_exams: int = 3
    rows: int = 2048
    columns: int = 1536
    seed: int = 7
    birads_weights: tuple[float, float, float, float] = (0.50, 0.14, 0.22, 0.14)  # 1, 2, 4, 5, of each breast
    density_weights: tuple[float, float, float, float] = (0.12, 0.38, 0.38, 0.12)  # A to D
    another_exam: float = 0.35  # ratio of the chance of one more exam to the chance of this many: 1.4 exams on average
    calcification_only: float = 0.55  # of BI-RADS 4; the others are irregular masses
    also_benign: float = 0.15  # of the malignant breasts
    speck_contrast: tuple[float, float] = (0.16, 0.34)  # share of the display's range, fine calcifications

    def __post_init__(self) -> None:
        if self.patients < 1 or self.max_exams < 1 or self.seed < 0:
            raise ConfigError(
                f"phantom of {self.patients} patients, {self.max_exams} exams, seed {self.seed}: use"
                " at least 1 patient and 1 exam, and a seed of 0 or more"
            )
        if self.rows < 256 or not 0.7 <= self.columns / self.rows <= 1.5:
            size = f"{self.rows} rows x {self.columns} columns"
            raise ConfigError(f"no phantom image of {size}; use 256 rows or more and 0.7 to 1.5 columns per row")
