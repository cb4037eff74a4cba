"""Load the head that is asked for, with the settings under which its vectors are made or read."""

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tilebank.errors import ConfigError, HeadError
from tilebank.flows.champion.card import HeadCard
from tilebank.flows.settings.choices import Choices
from tilebank.flows.settings.settings import Settings, load_settings
from tilebank.flows.study.declared_fingerprints import stored_fingerprint
from tilebank.mil.heads.registry import Head, load_head
from tilebank.tracking.download import fetch_head
from tilebank.tracking.registry import CHAMPION, registered_name

VERSION = re.compile(r"[^/]+/\d+")  # a registered name and version, as against a path
FIRST_TASK = "malignancy"


@dataclass(frozen=True, eq=False)
class ChosenHead:
    """A head of one trial, its card, what it is called, and settings whose vectors it may score.

    name: `registered name, version N` or its folder; key: the same as one word, for tables.
    """

    head: Head
    card: HeadCard
    name: str
    key: str
    settings: Settings


def choose_head(choices: Choices, *, head: str, task: str, folder: str = "") -> ChosenHead:
    """The head that is asked for, with the settings that made its vectors.

    head: a folder, or a registered `name` (its champion), `name@alias`, `name/version`; empty: the champion of
    dataset, task and encoder. Empty choices of dataset and encoder, and a folder's, are the head's own; so are reader,
    mask, tiling and encoder settings. folder: DICOMs to score, empty for what is stored. Raises TilebankError where
    there is no such head, or where the choices contradict it.
    """
    if folder and not head:
        raise ConfigError("name the head for the folder with --head: a registered one, or its folder")
    tracking = load_settings(_named(choices, Choices())).tracking
    saved = _open_head(head or _champion_of(choices, task=task), tracking=tracking)
    for flag, said, own in (("--task", task, saved.card.task), ("--encoder", choices.encoder, saved.card.encoder)):
        if said and said != own:
            raise HeadError(
                f"head {saved.name} is for {own}, {flag} says {said}; leave {flag} out, or name another head"
            )
    settings = load_settings(
        replace(
            choices,
            dataset=choices.dataset or ("folder" if folder else saved.card.dataset),
            encoder=saved.card.encoder,
            root=folder or choices.root,
            set=(*saved.card.overrides(), *choices.set),
        )
    )
    saved.card.assert_fits(settings, fingerprint=stored_fingerprint(settings), name=saved.name)
    _assert_usable(saved, settings)
    return ChosenHead(saved.head, saved.card, saved.name, saved.key, settings)


@dataclass(frozen=True, eq=False)
class _Opened:
    head: Head
    card: HeadCard
    name: str
    key: str


def _open_head(wanted: str, *, tracking: str) -> _Opened:
    """The head in a folder, or a registered one."""
    path = Path(wanted).expanduser()
    if (path / "head.json").is_file() or ("/" in wanted and not VERSION.fullmatch(wanted)):
        saved = load_head(path)
        card = HeadCard.of_metadata(saved.metadata, name=str(path))
        return _Opened(saved.head, card, str(path), path.resolve().name)
    with tempfile.TemporaryDirectory(prefix="tilebank-head-") as into:
        found = fetch_head(tracking, wanted, into=Path(into))
        saved = load_head(found.folder)
    name = f"{found.name}, version {found.version}" + f" ({CHAMPION})" * (CHAMPION in found.aliases)
    card = HeadCard.of_metadata(saved.metadata, name=name)
    return _Opened(saved.head, card, name, f"{found.name}--{found.version}")


def _assert_usable(opened: _Opened, settings: Settings) -> None:
    if opened.head.trials != 1:
        raise HeadError(f"head {opened.name} is a pack of {opened.head.trials} heads; select one and save it")
    if settings.dataset.made_elsewhere:
        return  # how long such vectors are is known to their table alone; a head reads none of another length
    if opened.head.dim != settings.encoder.dim:
        raise HeadError(
            f"head {opened.name} reads vectors of {opened.head.dim} numbers, the encoder {settings.encoder.name} gives"
            f" {settings.encoder.dim}; its card names the wrong encoder: import it again"
        )


def _champion_of(choices: Choices, *, task: str) -> str:
    named = _named(choices, Choices())
    return registered_name(named.dataset, task=task or FIRST_TASK, encoder=named.encoder)


def _named(choices: Choices, defaults: Choices) -> Choices:
    """`choices` with the defaults of dataset and encoder where they say nothing."""
    return replace(choices, dataset=choices.dataset or defaults.dataset, encoder=choices.encoder or defaults.encoder)
