"""The card that is stored with a head: its task, how its vectors were made, where its threshold comes from.

Written at registration and at import, read before scoring. A head scores only vectors that were made like those it
was fitted on: same reader, mask, tiling and encoder. How rows are named (`ids`, also part of the fingerprint) may
differ, so a head of one dataset can score another, or a folder.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from tilebank.config import Tree
from tilebank.errors import HeadError
from tilebank.fingerprint import canonical
from tilebank.flows.settings.settings import Settings

ENCODER_SETTINGS = ("input_size_px", "dim", "output", "preprocess", "l2_normalise", "dtype", "compile")
DECLARED = "imported"  # the origin of a head whose card says what somebody stated
SEARCHED = "search"
MOST_NAMED = 4  # settings that an error names


@dataclass(frozen=True)
class HeadCard:
    """What is said of a head.

    vectors: what shaped its vectors, as canonical JSON; empty on cards of earlier versions, and for vectors made
    elsewhere. threshold: None where none was chosen; threshold_rule: what it means, in words. answers: what several
    scores stand for, in their order, and thresholds: theirs, both separated by commas. split_scheme: under which the
    patients were split. origin: `search`, or `imported` for a head whose card was stated, not found; source: the file
    that was imported.
    """

    dataset: str
    task: str
    encoder: str
    fingerprint: str
    vectors: str = ""
    threshold: float | None = None
    threshold_rule: str = ""
    answers: str = ""
    thresholds: str = ""
    split_scheme: str = ""
    origin: str = SEARCHED
    source: str = ""
    licence: str = "unknown"
    redistributable: str = "false"

    @property
    def about(self) -> str:
        """The task, the dataset that the head was fitted on, and its licence, for summaries and pages."""
        return f"{self.task}, fitted on {self.dataset} (licence {self.licence})"

    @classmethod
    def of_settings(
        cls,
        settings: Settings,
        *,
        task: str,
        fingerprint: str,
        found: Mapping[str, str],
        origin: str = SEARCHED,
        source: str = "",
    ) -> "HeadCard":
        """The card of a head that reads the vectors which `settings` make; `fingerprint` is theirs.

        found: what an evaluation says of the head (`as_card`): threshold, answers.
        """
        said = {"dataset": settings.dataset.name, "task": task, "encoder": settings.encoder.name} | dict(found)
        said |= {"fingerprint": fingerprint, "vectors": _vectors(settings), "origin": origin, "source": source}
        said |= {"split_scheme": settings.splits.scheme if origin == SEARCHED else "", **settings.licence}
        return cls.of_metadata(said, name=task)

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str], *, name: str) -> "HeadCard":
        """The card that `as_metadata` wrote. Raises HeadError where it says too little to be used."""
        if missing := [key for key in ("dataset", "task", "encoder", "fingerprint") if not metadata.get(key)]:
            raise HeadError(
                f"the card of head {name} does not say its {', '.join(missing)}, so it is not known which vectors it"
                " reads; import it again with tilebank import-head, which asks"
            )
        known = {key: value for key, value in metadata.items() if key in cls.__dataclass_fields__}
        text = known.pop("threshold", "")
        try:
            return cls(**known, threshold=float(text) if text else None)
        except ValueError as error:
            raise HeadError(f"the card of head {name} has the threshold {text!r}, which is not a number") from error

    def as_metadata(self) -> dict[str, str]:
        """Texts by name, as `save_head` takes them."""
        return asdict(self) | {"threshold": "" if self.threshold is None else repr(self.threshold)}

    def overrides(self) -> tuple[str, ...]:
        """The settings of its vectors as `--set` takes them; weights and versions of code are no settings."""
        parts: Tree = json.loads(self.vectors) if self.vectors else {}
        made: Tree = {part: parts[part]["config"] for part in ("reader", "mask", "tiling") if part in parts}
        if "encoder" in parts:
            made["encoder"] = {key: value for key, value in parts["encoder"].items() if key in ENCODER_SETTINGS}
        return tuple(f"{part}.{key}={json.dumps(value)}" for part in made for key, value in made[part].items())

    def assert_fits(self, settings: Settings, *, fingerprint: str, name: str) -> None:
        """Raise HeadError, naming both fingerprints and what differs, where vectors were made otherwise.

        `fingerprint` is that of the vectors under `settings`. The same fingerprint always fits.
        """
        made = _vectors(settings)
        if fingerprint == self.fingerprint or (made and made == self.vectors):
            return
        said = f"head {name} was fitted on vectors of the fingerprint {self.fingerprint}, these are {fingerprint}"
        if not made or not self.vectors:
            raise HeadError(
                f"{said}; how one of them was made is not known (imported vectors, or a card of an earlier"
                " version), so only the same fingerprint fits: search a head on vectors like these"
            )
        differing = list(_differences(json.loads(self.vectors), json.loads(made)))
        named = "; ".join(differing[:MOST_NAMED])
        more = f"; and {len(differing) - MOST_NAMED} more" if len(differing) > MOST_NAMED else ""
        raise HeadError(
            f"{said}: {named}{more}. Use the settings of the head (encoder.checkpoint for weights), or search"
            " a head on vectors like these"
        )


def _vectors(settings: Settings) -> str:
    """What shapes the vectors of `settings`, as canonical JSON; empty for those made elsewhere."""
    return "" if settings.dataset.made_elsewhere else canonical(settings.vector_parts)


def _differences(wanted: object, found: object, *, at: str = "") -> Iterator[str]:
    """`reader.intensity is voi for the head, raw here`, one for each leaf that differs."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted(wanted.keys() | found.keys()):
            below = at if key == "config" else f"{at}.{key}".lstrip(".")
            yield from _differences(wanted.get(key, "not known"), found.get(key, "not known"), at=below)
    elif wanted != found:
        yield f"{at} is {_shown(wanted)} for the head, {_shown(found)} here"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
