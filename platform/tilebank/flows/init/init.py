"""Write a dataset's configuration file, so that `--dataset NAME` is enough in every job."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tilebank.config import Tree, known_names, read_conf, user_folder
from tilebank.datasets.contract import MADE_ELSEWHERE, DatasetConfig
from tilebank.datasets.intake import IntakeConfig
from tilebank.datasets.registry import DATASETS
from tilebank.errors import ConfigError, DatasetError
from tilebank.files import absolute_uri, exists, is_local
from tilebank.flows.init.conf_file import conf_text
from tilebank.flows.init.files import EXAM_KEYS, ExamKey, SampledFiles, look_at_files
from tilebank.flows.init.labels import LabelTable, look_at_labels
from tilebank.flows.init.summary import InitSummary
from tilebank.flows.settings.layers import Layers
from tilebank.flows.settings.settings import FOREIGN_NAME

FOLDER = "folder"
LABELLED = (FOLDER, MADE_ELSEWHERE)  # adapters that take a CSV of labels; the others read their owner's tables


@dataclass(frozen=True)
class InitRequest:
    """What the user says of a dataset. Empty, None: not said; relative paths are taken from the working directory."""

    name: str
    root: str
    labels: str = ""
    adapter: str = FOLDER
    exam_key: ExamKey | None = None
    licence: str = ""
    redistributable: bool = False
    force: bool = False


def init_dataset(request: InitRequest) -> InitSummary:
    """Look at files and labels, then write `datasets/NAME.yaml` into the user's configuration folder.

    Raises ConfigError or DatasetError before anything is written: for a name that cannot be used or is taken, a root or
    label table that is not there, and labels that answer no task.
    """
    path = _assert_free(request)
    tree = _tree_of(request)
    config = _config_of(request.name, tree)
    for flag, uri in (("--root", config.root), ("--labels", config.labels)):
        _assert_there(flag, uri)
    files = look_at_files(config.root, dicoms=config.adapter == FOLDER, intake=config.intake)
    labels = look_at_labels(config) if config.labels else None
    if config.adapter == FOLDER:
        tree["exam_key"] = request.exam_key or _exam_key(files, labels)
    _write(path, conf_text(request.name, tree))
    return InitSummary(str(path), config.name, tree, files, labels)


def _assert_free(request: InitRequest) -> Path:
    """The file to write. Raises ConfigError for a name that cannot be used, or a file that stands."""
    if not FOREIGN_NAME.fullmatch(request.name):
        raise ConfigError(
            f"a dataset cannot be named {request.name!r}: use letters, digits, dots, _ and single dashes, a letter or"
            " digit first; two dashes separate the parts of a table's name"
        )
    if request.adapter not in DATASETS:
        raise ConfigError(f"unknown adapter {request.adapter!r}; known: {', '.join(DATASETS)}")
    path = user_folder() / "datasets" / f"{request.name}.yaml"
    if request.name in DATASETS or (request.name in known_names("datasets") and not path.exists()):
        raise ConfigError(f"{request.name!r} is the name of a dataset that comes with Tilebank; choose another")
    if path.exists() and not request.force:
        raise ConfigError(f"{path} exists already; choose another name, or write it anew with --force")
    return path


def _tree_of(request: InitRequest) -> Tree:
    """What the adapter's own dataset file says, with the user's root, labels and licence."""
    if request.labels and request.adapter not in LABELLED:
        raise ConfigError(f"adapter {request.adapter} reads labels from its owner's tables; leave out --labels")
    own, here = _own_conf(request.adapter), Path.cwd()
    tree: Tree = {"adapter": request.adapter, "root": absolute_uri(request.root, relative_to=here)}
    if request.adapter in LABELLED:
        tree["labels"] = absolute_uri(request.labels, relative_to=here) if request.labels else ""
    if request.adapter == FOLDER:
        tree["exam_key"] = request.exam_key or EXAM_KEYS[0]
        tree["ids"] = "plain"
        tree["intake"] = {key: list(value) for key, value in asdict(IntakeConfig()).items()}
    tree |= {key: value for key, value in own.items() if key not in tree}
    tree["licence"] = request.licence or own["licence"]
    tree["redistributable"] = request.redistributable or (own["redistributable"] and not request.licence)
    return tree


def _own_conf(adapter: str) -> Tree:
    """What conf/ says of the dataset that is named as its adapter."""
    layers = Layers()
    for tree, source in read_conf("datasets", adapter):
        layers.lay(tree, source=source)
    return layers.tree


def _config_of(name: str, tree: Tree) -> DatasetConfig:
    known = {field.name for field in fields(DatasetConfig)}
    values = {key: value for key, value in tree.items() if key in known}
    if "intake" in values:
        values["intake"] = IntakeConfig(**{key: tuple(part) for key, part in values["intake"].items()})
    return DatasetConfig(name=name, **values)


def _assert_there(flag: str, uri: str) -> None:
    try:
        there = not uri or exists(uri)
    except OSError as error:
        raise DatasetError(f"cannot look at {flag} {uri}: {error}") from error
    if not there:
        kind = "path on this machine" if is_local(uri) else "object"
        raise DatasetError(f"{flag} {uri}: there is no such {kind}; correct it")


def _exam_key(files: SampledFiles, labels: LabelTable | None) -> ExamKey:
    """The tag by which more of the files looked at belong to an exam of the labels; the Accession Number in doubt."""
    if labels is None:
        return EXAM_KEYS[0]
    return max(EXAM_KEYS, key=lambda key: files.matching(labels.exam_ids, key))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}; set TILEBANK_CONF to a folder of your own") from error
