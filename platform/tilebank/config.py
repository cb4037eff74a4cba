"""Find and read configuration files: the package's own `conf/`, and the user's folder that is laid over it.

The package's own files lie in the package (an installed wheel) or in the checkout. The user's folder is $TILEBANK_CONF,
else `conf/` in the working directory. A file of the user with the name of one of ours overrides it key by key; a file
with a new name is a new dataset, encoder, head or search.
"""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tilebank.errors import ConfigError

Tree = dict[str, Any]
Layer = tuple[Tree, str]  # what a file says, and the file's name for messages

PLATFORM = "platform.yaml"
HOME = "tilebank-data"
UNPACKED = "runtime_resources"  # the folder under which Ray unpacks a submitted working directory
_PACKAGE = Path(__file__).resolve().parent


def user_folder() -> Path:
    """The user's folder of configuration files, which need not exist: $TILEBANK_CONF, else `conf/` here."""
    return Path(os.environ.get("TILEBANK_CONF") or "conf").expanduser().absolute()


def default_home() -> str:
    """Where data is kept if nobody says: beside the checkout, or in the working directory of an installed package."""
    own, here = _own_folder().resolve(), Path.cwd()
    if own.is_relative_to(_PACKAGE) or UNPACKED in here.parts:
        return str(here / HOME)
    return str(own.parent.parent / HOME)


def known_names(kind: str) -> list[str]:
    """Names that a flag such as `--dataset` may take: the files in `conf/<kind>/`, ours and the user's."""
    return sorted({path.stem for folder in _folders() for path in (folder / kind).glob("*.yaml")})


def read_conf(kind: str, name: str) -> list[Layer]:
    """What `<kind>/<name>.yaml` says, ours first and the user's last. Raises ConfigError for an unknown name."""
    names = known_names(kind)
    if name not in names:
        raise ConfigError(f"unknown {kind.rstrip('s')} {name!r}{nearest(name, names)}; known: {', '.join(names)}")
    return [(_read_yaml(folder / kind / f"{name}.yaml"), label) for folder, label in _holding(f"{kind}/{name}.yaml")]


def read_platform_conf() -> list[Layer]:
    """The platform's defaults, `platform.yaml`, ours first. A relative `home` is taken from the folder around conf/."""
    layers = []
    for folder, label in _holding(PLATFORM):
        tree = _read_yaml(folder / PLATFORM)
        home = tree.get("home")
        if isinstance(home, str) and "://" not in home:
            tree["home"] = str((folder.resolve().parent / Path(home).expanduser()).resolve())
        layers.append((tree, label))
    return layers


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown `word`: what was perhaps meant, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _own_folder() -> Path:
    """The package's own folder; for code that Ray unpacked without it, `conf/` of the submitted working directory."""
    places = [_PACKAGE / "conf", _PACKAGE.parents[1] / "conf", Path.cwd() / "conf"]
    for place in places:
        if (place / PLATFORM).is_file():
            return place
    raise ConfigError(f"no {PLATFORM} in {', '.join(map(str, places))}; install the package again")


def _folders() -> list[Path]:
    """Folders to read, ours first. Raises ConfigError where TILEBANK_CONF names no folder."""
    own, user = _own_folder(), user_folder()
    if os.environ.get("TILEBANK_CONF") and not user.is_dir():
        raise ConfigError(f"TILEBANK_CONF is {user}, which is not a folder; make it, or unset TILEBANK_CONF")
    return [own] if not user.is_dir() or own.resolve() == user.resolve() else [own, user]


def _holding(file: str) -> list[tuple[Path, str]]:
    """The folders that hold `file`, ours first, and what each file is called in messages."""
    own = _own_folder()
    installed = own.is_relative_to(_PACKAGE)
    found = []
    for folder in _folders():
        label = f"{'tilebank/' * installed}conf/{file}" if folder == own else str(folder / file)
        if (folder / file).is_file():
            found.append((folder, label))
    return found


def _read_yaml(path: Path) -> Tree:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if tree is None:
        return {}  # comments alone: nothing differs from the defaults
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds {type(tree).__name__}, not keys and values")
    return tree
