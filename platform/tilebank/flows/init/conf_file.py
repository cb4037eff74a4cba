"""The text of a dataset's configuration file: each key under a line that says what it means."""

from collections.abc import Mapping

import yaml

from tilebank.config import Tree

COMMENTS: Mapping[str, str] = {
    "adapter": "how the files are read: folder for any DICOMs, or the name of a public dataset",
    "root": "folder or s3:// prefix below which the files lie",
    "labels": "CSV of truths: breast_id, or exam_id and laterality; then birads, cancer, masses, calcifications, ...",
    "exam_key": "which DICOM tag holds the exam id of the labels: accession_number or study_uid",
    "ids": "plain, or keyed-hash: patient, exam and image ids are replaced by a hash (needs TILEBANK_ID_KEY)",
    "bag": "what one bag is: slide, or patient for all slides of a patient",
    "fingerprint": "which import is read, where vectors of several provenances are stored",
    "licence": "name of the data's licence; tables, heads and runs carry it",
    "redistributable": "whether vectors and heads made from the data may be shared",
    "intake": "which images are used; the others are recorded with the reason",
}


def conf_text(name: str, tree: Tree) -> str:
    """YAML of `tree`, one comment above each key that is known."""
    lines = [f"# Dataset {name}, written by `tilebank init`; edit it as you like, or write it anew with --force"]
    for key, value in tree.items():
        if key in COMMENTS:
            lines.append(f"# {COMMENTS[key]}")
        if isinstance(value, dict):
            lines += [f"{key}:", *(f"  {name}: {_inline(part)}" for name, part in value.items())]
        else:
            lines.append(f"{key}: {_inline(value)}")
    return "\n".join(lines) + "\n"


def _inline(value: object) -> str:
    """One YAML value on one line, quoted where it must be."""
    return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10**6).strip()[1:-1]
