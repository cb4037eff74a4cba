"""The whole configuration of a run as one frozen tree, each part defined beside the component that it sets."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, model_validator

from tilebank.config import UNPACKED, Tree, default_home, read_conf, read_platform_conf
from tilebank.datasets.contract import MADE_ELSEWHERE, DatasetConfig
from tilebank.datasets.registry import identity_of_ids
from tilebank.datasets.splits import SplitConfig
from tilebank.encoders.contract import EncoderConfig, foreign_encoder
from tilebank.encoders.registry import identity_of
from tilebank.errors import ConfigError
from tilebank.files import absolute_uri
from tilebank.fingerprint import fingerprint_of
from tilebank.flows.settings.checks import ChosenBy, build_settings
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.explain import ExplainConfig
from tilebank.flows.settings.layers import Layers
from tilebank.flows.settings.search_space import SearchConfig, assert_architectures
from tilebank.imaging.breast import MASK_VERSION, MaskConfig
from tilebank.imaging.dicom.reader import READER_VERSION
from tilebank.imaging.intensity import INTENSITY_VERSION, ReaderConfig
from tilebank.imaging.tiling import TILING_VERSION, TilingConfig
from tilebank.mil.heads.registry import HEADS, HeadConfig

FOREIGN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*")  # two dashes part the names of tables

AnyHead = Annotated[HeadConfig, ChosenBy("name", {name: kind.config for name, kind in HEADS.items()})]


@dataclass(frozen=True)
class ExtractionConfig:
    """How an extraction uses the machine; nothing here shapes a vector. See conf/platform.yaml."""

    images_per_task: int = 4
    read_cpus: float = 1
    read_memory_mb: int = 512
    images_per_batch: int = 8
    commit_images: int = 32
    image_seconds: float = 120
    image_memory_mb: int = 4096
    encoders: int = 0
    encoders_max: int = 0
    encoder_cpus: float = 1
    encoder_gpus: float = -1
    encoder_memory_mb: int = 0
    gpu_tflops: float = 400

    def __post_init__(self) -> None:
        if min(self.images_per_task, self.images_per_batch, self.commit_images, self.read_memory_mb) < 1:
            raise ValueError("images_per_task, images_per_batch, commit_images and read_memory_mb are at least 1")
        if min(self.encoders, self.encoders_max, self.encoder_cpus, self.encoder_memory_mb) < 0:
            raise ValueError("encoders, encoders_max, encoder_cpus and encoder_memory_mb are not below 0")
        if self.read_cpus <= 0 or self.gpu_tflops <= 0:
            raise ValueError("read_cpus and gpu_tflops are above 0")
        if self.image_seconds <= 0 or self.image_memory_mb < 1:
            raise ValueError("image_seconds and image_memory_mb are above 0")


@dataclass(frozen=True)
class EvaluationConfig:
    """Patient bootstrap behind the intervals. A subgroup needs `subgroup_patients` of each class to have figures."""

    replicates: int = 2000
    seed: int = 0
    subgroup_patients: int = 10

    def __post_init__(self) -> None:
        if self.replicates < 1 or self.subgroup_patients < 2:
            raise ValueError("replicates is at least 1 and subgroup_patients at least 2")


class Settings(BaseModel):
    """Everything that a flow is told. Paths are absolute; a flow reads no file of `conf/` and no environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: str
    store: str
    tracking: str
    artifacts: str
    reader: ReaderConfig
    mask: MaskConfig
    tiling: TilingConfig
    extraction: ExtractionConfig
    splits: SplitConfig
    evaluation: EvaluationConfig
    explain: ExplainConfig
    dataset: DatasetConfig
    encoder: EncoderConfig
    head_name: str
    head: AnyHead
    search: SearchConfig
    heads: dict[str, AnyHead] = {}

    @model_validator(mode="after")
    def _assert_heads_can_be_drawn(self) -> Self:
        for head in self.heads.values() or [self.head]:
            assert_architectures(head, self.search.head_space)
        return self

    def with_head(self, name: str) -> "Settings":
        """The same settings for one of `heads`."""
        return self.model_copy(update={"head_name": name, "head": self.heads[name], "heads": {}})

    @property
    def fingerprint(self) -> str:
        """The hash of everything that shapes a vector or names its bag.

        Raises EncoderError when the weights cannot be named, ConfigError for keyed ids without a key, and for vectors
        made elsewhere unless `dataset.fingerprint` names them (see flows/study/declared_fingerprints.py).
        """
        if self.dataset.made_elsewhere:
            if not self.dataset.fingerprint:
                raise ConfigError(
                    f"vectors of dataset {self.dataset.name!r} are made elsewhere: nothing here can encode its images;"
                    f" bring them in with: tilebank exchange import --dataset {self.dataset.name}"
                )
            return self.dataset.fingerprint
        return fingerprint_of(self.vector_parts | {"ids": identity_of_ids(self.dataset)})

    @property
    def vector_parts(self) -> Tree:
        """What of the fingerprint shapes a vector; the rest says how rows are named. Raises EncoderError."""
        return {
            "reader": {"version": [READER_VERSION, INTENSITY_VERSION], "config": self.reader},
            "mask": {"version": MASK_VERSION, "config": self.mask},
            "tiling": {"version": TILING_VERSION, "config": self.tiling},
            "encoder": identity_of(self.encoder),
        }

    @property
    def licence(self) -> dict[str, str]:
        """The tag that tables, heads and runs inherit from the dataset."""
        return {"licence": self.dataset.licence, "redistributable": str(self.dataset.redistributable).lower()}


def load_settings(choices: Choices) -> Settings:
    """Read `conf/`, the environment and the flags into checked settings. Raises ConfigError before any work."""
    return resolve_settings(choices)[0]


def resolve_settings(choices: Choices) -> tuple[Settings, Mapping[str, str]]:
    """The same, and where each value was written, by dotted key."""
    layers = Layers()
    for tree, source in read_platform_conf():
        layers.lay(tree, source=source)
    _lay_chosen_files(layers, choices)
    for key in ("home", "store", "tracking", "artifacts"):
        if value := os.environ.get(f"TILEBANK_{key.upper()}"):
            layers.put(key, absolute_uri(value, relative_to=Path.cwd()), source=f"TILEBANK_{key.upper()}")
    for key, flag in (("store", choices.store), ("tracking", choices.tracking)):
        if flag:
            layers.put(key, absolute_uri(flag, relative_to=Path.cwd()), source=f"--{key}")
    layers.override(choices.set)
    if choices.root:
        layers.put("dataset.root", absolute_uri(choices.root, relative_to=Path.cwd()), source="--root")
    layers.put("heads", {}, source="search.heads")
    for name in _listed_heads(layers.tree):
        for tree, source in read_conf("heads", name):
            layers.lay(tree, source=source, at=f"heads.{name}")
    _place_paths(layers.tree)
    return build_settings(Settings, layers.tree, layers.sources), layers.sources


def _lay_chosen_files(layers: Layers, choices: Choices) -> None:
    """The files that the flags name; an encoder that ran elsewhere needs none."""
    for part, folder, name in (
        ("dataset", "datasets", choices.dataset),
        ("encoder", "encoders", choices.encoder),
        ("head", "heads", choices.head),
        ("search", "searches", choices.search),
    ):
        if part != "head":  # a head's file says which architecture it is, and that is its `name`
            layers.put(f"{part}.name", name, source=f"--{part}")
        if part == "encoder" and layers.tree["dataset"].get("adapter") == MADE_ELSEWHERE:
            layers.lay(_foreign_encoder(name), source=f"--encoder {name}", at=part)
            continue
        for tree, source in read_conf(folder, name):
            layers.lay(tree, source=source, at=part)
    layers.put("head_name", choices.head, source="--head")  # of its file: several heads share one architecture


def _listed_heads(tree: Tree) -> list[str]:
    """The heads that the search names, all read before anything is started; a value of another shape is found later."""
    heads = tree["search"].get("heads")
    return [name for name in heads if isinstance(name, str)] if isinstance(heads, list) else []


def _foreign_encoder(name: str) -> Tree:
    """The settings of an encoder that is known by name alone: it needs no file, for nothing here runs it."""
    if not FOREIGN_NAME.fullmatch(name):
        raise ConfigError(
            f"--encoder {name}: an encoder that ran elsewhere is named in letters, digits, dots, _ and single dashes"
        )
    return asdict(foreign_encoder(name))


def _place_paths(tree: Tree) -> None:
    """Make every path absolute: flags and environment from the working directory, `conf/` from `home`."""
    home = absolute_uri(str(tree.get("home") or default_home()), relative_to=Path.cwd())
    tree["home"] = home
    for place, key in ((tree, "store"), (tree, "artifacts"), (tree, "tracking"), (tree["dataset"], "root")):
        if isinstance(place.get(key), str):
            place[key] = place[key] if "://" in place[key] else absolute_uri(place[key], relative_to=_folder(home))
    labels = tree["dataset"].get("labels")
    if isinstance(labels, str) and labels:
        tree["dataset"]["labels"] = absolute_uri(labels, relative_to=Path.cwd())
    lost = [key for key in ("store", "artifacts", "tracking") if f"/{UNPACKED}/" in str(tree.get(key))]
    if lost:
        raise ConfigError(
            f"{', '.join(lost)} would lie below {home}, where Ray unpacked this code and nothing outlives the"
            f" job; set TILEBANK_HOME, or {', '.join(f'TILEBANK_{key.upper()}' for key in lost)}, to a place that all"
            " nodes reach"
        )
    if isinstance(tree.get("tracking"), str) and "://" not in tree["tracking"]:
        tree["tracking"] = f"sqlite:///{tree['tracking']}"


def _folder(home: str) -> Path:
    if "://" in home:
        raise ConfigError(
            f"home {home} is no folder of this machine; name store, tracking and artifacts by URI instead"
        )
    return Path(home)
