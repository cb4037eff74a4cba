"""What `tilebank init` saw and wrote, and the commands that come next."""

import os
from dataclasses import dataclass
from pathlib import Path

from tilebank.config import Tree
from tilebank.flows.init.files import SampledFiles
from tilebank.flows.init.labels import LabelTable
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.reporting.job import aligned


@dataclass(frozen=True)
class InitSummary:
    """The file that was written, its content, and what the look at files and labels found."""

    path: str
    name: str
    conf: Tree
    files: SampledFiles
    labels: LabelTable | None

    def as_dict(self) -> dict[str, object]:
        """JSON values; of headers and ids counts alone."""
        tasks = {} if self.labels is None else {task.task: dict(task.counts) for task in self.labels.tasks}
        return {
            "path": self.path,
            "name": self.name,
            "conf": self.conf,
            "files": self.files.count,
            "looked_at": self.files.looked_at,
            "refusals": dict(self.files.refusals),
            "tasks": tasks,
        }

    def as_text(self) -> str:
        """What was seen, warnings, and the next commands."""
        rows = [("wrote", self.path), ("root", self.conf["root"]), ("files", self.files.as_text())]
        rows += [("  not used", f"{count} x {reason}") for reason, count in self.files.refusals[:3]]
        rows += self._label_rows()
        shared = "may be shared" if self.conf["redistributable"] else "vectors and heads may not be shared"
        rows.append(("licence", f"{self.conf['licence']} ({shared})"))
        if not os.environ.get("TILEBANK_CONF"):
            rows.append(("found from", f"{Path(self.path).parents[2]}; elsewhere set TILEBANK_CONF"))
        lines = [aligned([(name, visible(value)) for name, value in rows]), "", "next:"]
        return "\n".join([*lines, *(f"  {command}" for command in self._next_commands())])

    def _label_rows(self) -> list[tuple[str, str]]:
        if self.labels is None:
            return [("labels", "none given" if "labels" in self.conf else "in the owner's tables below the root")]
        labels = self.labels
        used = ", ".join(labels.used) + (f"; not used: {', '.join(labels.unused)}" if labels.unused else "")
        rows = [("labels", f"{labels.uri}: {labels.breasts} breasts"), ("  columns", used)]
        rows += [(f"  task {task.task}", task.as_text()) for task in labels.tasks]
        return rows + self._match_rows(labels)

    def _match_rows(self, labels: LabelTable) -> list[tuple[str, str]]:
        """Whether the files looked at belong to the exams of the labels."""
        if not self.files.headers:
            return []
        key = self.conf["exam_key"]
        matching = self.files.matching(labels.exam_ids, key)
        said = f"{key}; {matching} of {len(self.files.headers)} files looked at are of an exam in the labels"
        if matching:
            return [("exam id", said)]
        theirs = getattr(self.files.headers[0], key) or "none"
        return [("WARNING", f"{said} (labels: {min(labels.exam_ids)}, a file: {theirs}); check exam_id")]

    def _next_commands(self) -> list[str]:
        which = f"--dataset {self.name}"
        if self.conf["adapter"] == "features":
            return [f"tilebank exchange import --from LAYOUT {which} --encoder NAME", f"tilebank tune {which}"]
        commands = [f"tilebank validate {which} --pixels", f"tilebank extract {which} --encoder texture"]
        tasks = [task.task for task in self.labels.tasks if task.usable] if self.labels else ["malignancy"]
        if "labels" in self.conf and not self.labels:
            return [*commands, "then add labels: to the file, and run tilebank tune"]
        return [*commands, *(f"tilebank tune {which} --encoder texture --task {task}" for task in tasks[:1])]
