"""Check an installation with the settings that jobs would use, one finding a line."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from tilebank.flows.doctor.check import DEADLINE_S, Check, run_check
from tilebank.flows.doctor.cluster import DEADLINE_S as RAY_S
from tilebank.flows.doctor.cluster import check_ray
from tilebank.flows.doctor.credentials import check_credentials, check_root
from tilebank.flows.doctor.hub import check_encoder, check_hub, gated_encoders
from tilebank.flows.doctor.machine import check_cores_and_memory, check_disk, check_gpu
from tilebank.flows.doctor.places import check_id_key, check_place, check_tracking, check_writers
from tilebank.flows.doctor.versions import check_libraries, check_python
from tilebank.flows.reporting.csv_cells import visible
from tilebank.flows.settings.settings import Settings


@dataclass(frozen=True)
class DoctorSummary:
    """All findings, in the order of the checks."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        """Whether a check failed: jobs with these settings cannot work."""
        return any(check.state == "FAIL" for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {"failed": self.failed, "checks": [asdict(check) for check in self.checks]}

    def as_text(self) -> str:
        """A line a finding, its fix below it, and how many of each."""
        width = max(len(check.name) for check in self.checks)
        lines = []
        for check in self.checks:
            lines.append(f"{check.state}  {check.name:<{width}}  {visible(check.found)}")
            if check.fix:
                lines.append(f"      {'':<{width}}  fix: {visible(check.fix)}")
        counts = Counter(check.state for check in self.checks)
        told = f"{counts['PASS']} PASS, {counts['WARN']} WARN, {counts['FAIL']} FAIL"
        return "\n".join([*lines, told])


def examine(settings: Settings) -> DoctorSummary:
    """Run every check with these settings; whatever is wrong is a finding."""
    checks: tuple[tuple[str, Callable[[], Iterable[Check]], float], ...] = (
        ("python", check_python, DEADLINE_S),
        ("libraries", check_libraries, DEADLINE_S),
        ("machine", check_cores_and_memory, DEADLINE_S),
        ("gpu", check_gpu, RAY_S),
        ("disk", lambda: check_disk(settings), DEADLINE_S),
        ("s3 credentials", lambda: check_credentials(settings), DEADLINE_S),
        ("write, home", lambda: check_place("home", settings.home), DEADLINE_S),
        ("write, store", lambda: check_place("store", settings.store), DEADLINE_S),
        ("write, artifacts", lambda: check_place("artifacts", settings.artifacts), DEADLINE_S),
        ("tracking", lambda: check_tracking(settings), RAY_S),
        ("writers", lambda: check_writers(settings), DEADLINE_S),
        ("dataset root", lambda: check_root(settings), DEADLINE_S),
        ("id key", lambda: check_id_key(settings), DEADLINE_S),
        ("hub", lambda: check_hub(gated_encoders()), DEADLINE_S),
        ("encoder", lambda: check_encoder(settings.encoder), RAY_S),
        ("ray", check_ray, RAY_S),
    )
    return DoctorSummary(tuple(found for name, check, s in checks for found in run_check(name, check, deadline_s=s)))
