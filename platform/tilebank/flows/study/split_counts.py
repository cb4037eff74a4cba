"""How many breasts and patients each split of a study has, by class: for reports and for the record of runs."""

from collections.abc import Mapping, Sequence

from tilebank.datasets.labels import JointTask, Task
from tilebank.flows.study.outputs import count_answers
from tilebank.terms import LabelRow, Split

Counts = dict[str, dict[str, int]]


def split_counts(task: Task | JointTask, rows: Mapping[Split, Sequence[LabelRow]]) -> Counts:
    """split -> `breasts`, `patients`, and the breasts of each class by its name."""
    return {
        split.value: {
            "breasts": len(part),
            "patients": len({row.patient_id for row in part}),
            **count_answers(task, part),
        }
        for split, part in rows.items()
    }


def counts_text(counts: Mapping[str, int]) -> str:
    """One split in words: `120 breasts of 61 patients (31 mass, 89 no mass)`."""
    classes = ", ".join(f"{count} {name}" for name, count in counts.items() if name not in ("breasts", "patients"))
    return f"{counts['breasts']} breasts of {counts['patients']} patients ({classes})"
