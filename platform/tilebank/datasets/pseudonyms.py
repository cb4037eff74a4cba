"""Replace patient, exam and image ids by a keyed hash, which only the holder of the key can link.

A patient's, exam's or image's id becomes the first 16 hexadecimal digits of HMAC-SHA256 (RFC 2104) of its kind and the
id, so the same key gives the same ids in every run and dataset, and two kinds never share one. DICOM UIDs are ids too:
an archive resolves them. Of the facts about a breast only those in `FACTS` pass. The file's
place (`uri`) and its expected UID (`sop_instance_uid`) stay as they are, but only in memory.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tilebank.datasets.contract import Dataset, Manifest, Scan, Truth
from tilebank.datasets.labels import TASKS
from tilebank.errors import ConfigError
from tilebank.terms import FailureRow, Finding, Laterality, ManifestRow, breast_id_of

KEY_VARIABLE = "TILEBANK_ID_KEY"
LEAST_CHARACTERS = 16
DIGITS = 16

FACTS = frozenset(
    {
        *(fact for task in TASKS.values() for fact in task.facts),
        # what labels are made of, and what stands beside them
        *("pathology", "subtype", "biopsy", "invasive", "years_to_cancer"),
        *("asymmetries", "distortions", "difficult_negative", "implied_normal"),
        # how they may be used: the owner's split, and possible confounders
        *("split", "years_to_last_followup", "exam_kind", "normal_male", "implant", "age", "site_id", "machine_id"),
    }
)
"""The facts that pass: those of every task, and other classes, counts and whole years. No ids, dates or free text."""


def read_key(environ: Mapping[str, str]) -> bytes:
    """The key in TILEBANK_ID_KEY. Raises ConfigError when it is missing or too short to be one."""
    key = environ.get(KEY_VARIABLE, "").strip()
    if len(key) < LEAST_CHARACTERS:
        wrong = f"has {len(key)} characters, fewer than {LEAST_CHARACTERS}" if key else "is not set"
        raise ConfigError(
            f"dataset.ids is keyed-hash, but {KEY_VARIABLE} {wrong}; make a key once with:"
            ' python -c "import secrets; print(secrets.token_hex(32))"'
            f" and keep it where secrets are kept: set {KEY_VARIABLE} to the same key in every run on this store"
        )
    return key.encode()


def key_check(key: bytes) -> str:
    """Eight hexadecimal digits that differ between keys and reveal nothing about the key."""
    return hmac.new(key, b"tilebank key check", hashlib.sha256).hexdigest()[:8]


class Pseudonymised:
    """A dataset whose patient, exam, breast and image ids are hashes under `key`."""

    def __init__(self, dataset: Dataset, key: bytes) -> None:
        self._dataset = dataset
        self._key = key

    def read_manifest(self, scan: Scan) -> Manifest:
        """The dataset's manifest; ids and paths that a failure's reason names are blanked out of it."""
        manifest = self._dataset.read_manifest(scan)
        known = {id_ for row in manifest.images for id_ in (row.patient_id, row.exam_id, row.breast_id, row.image_id)}
        known |= {row.image_id for row in manifest.failures}
        known |= {row.uri for row in manifest.images} | {row.uri for row in manifest.failures}
        return Manifest(
            images=tuple(self._image(row) for row in manifest.images),
            failures=tuple(self._failure(row, known) for row in manifest.failures),
        )

    def read_truth(self) -> Truth:
        """The dataset's facts under hashed breast ids, only those in `FACTS`."""
        return {
            self._breast(breast_id): {name: text for name, text in facts.items() if name in FACTS}
            for breast_id, facts in self._dataset.read_truth().items()
        }

    def read_findings(self) -> Sequence[Finding]:
        """The dataset's findings under hashed image ids."""
        return [
            replace(finding, image_id=self._hash("image", finding.image_id))
            for finding in self._dataset.read_findings()
        ]

    def _image(self, row: ManifestRow) -> ManifestRow:
        exam_id = self._hash("exam", row.exam_id)
        return replace(
            row,
            patient_id=self._hash("patient", row.patient_id),
            exam_id=exam_id,
            breast_id=breast_id_of(exam_id, row.laterality),
            image_id=self._hash("image", row.image_id),
        )

    def _failure(self, row: FailureRow, known: set[str]) -> FailureRow:
        return replace(row, image_id=self._hash("image", row.image_id), reason=_blanked(row.reason, known))

    def _breast(self, breast_id: str) -> str:
        exam_id, _, side = breast_id.rpartition("_")
        if side not in tuple(Laterality):  # not a breast of a manifest: hashed all the same
            return self._hash("exam", breast_id)
        return breast_id_of(self._hash("exam", exam_id), Laterality(side))

    def _hash(self, kind: str, text: str) -> str:
        return hmac.new(self._key, f"{kind}/{text}".encode(), hashlib.sha256).hexdigest()[:DIGITS]


def _blanked(reason: str, known: set[str]) -> str:
    """`reason` without the words that are an id or a path of the manifest."""
    words = re.split(r"([\s,;:()\[\]'\"]+)", reason)
    return "".join("(id)" if word in known or word.rstrip(".") in known else word for word in words)
