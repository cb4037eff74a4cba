"""Each outcome of a check that can be made to happen: folders, variables, servers, and tables of this machine."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from tests.flows.conftest import MakeSettings

from tilebank.encoders.contract import EncoderConfig
from tilebank.flows.doctor.check import Check, passed, run_check, without_secrets
from tilebank.flows.doctor.credentials import check_credentials, check_root
from tilebank.flows.doctor.doctor import DoctorSummary
from tilebank.flows.doctor.hub import check_encoder, check_hub, gated_encoders
from tilebank.flows.doctor.machine import check_cores_and_memory, check_disk, check_gpu
from tilebank.flows.doctor.places import check_id_key, check_place, check_tracking, check_writers
from tilebank.flows.doctor.versions import check_libraries, check_python, pinned_versions
from tilebank.store.lease.lease import hold_lease
from tilebank.tracking.runs import Tracker

TOKEN = "hf_notasecret0123456789"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_TOKEN_PATH", "TILEBANK_ID_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "user" / "huggingface"))


def only(findings: Iterable[Check]) -> Check:
    (finding,) = findings
    return finding


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def hub() -> Iterator[Callable[..., str]]:
    """`hub(allowed="name", ...)`: the address of a hub that lets TOKEN at the named repositories and nobody else."""
    servers = []

    def serve(*allowed: str) -> str:
        class Hub(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                repository = "/".join(self.path.split("/")[1:3])
                mine = self.headers.get("Authorization") == f"Bearer {TOKEN}" and repository in allowed
                self.send_response(200 if self.path == "/" else 307 if mine else 403)
                if mine:
                    self.send_header("Location", closed_port())  # the bytes: nobody should ask for them
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    assert only(check_place("store", str(tmp_path))) == passed("write, store", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_fails_with_another_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    finding = only(check_place("home", str(tmp_path / "file" / "home")))
    assert finding.state == "FAIL"
    assert "TILEBANK_HOME" in finding.fix


def test_the_record_is_looked_at_where_it_is_and_not_made_where_it_is_not(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    settings = settings_for()
    assert "made by the first search" in only(check_tracking(settings)).found
    assert not (tmp_path / "home" / "mlflow.db").exists()
    Tracker(settings.tracking, experiment="a", artifacts=settings.artifacts)
    assert "2 experiments" in only(check_tracking(settings)).found  # MLflow has one of its own
    broken = settings.model_copy(update={"tracking": f"sqlite:///{tmp_path}/broken.db"})
    (tmp_path / "broken.db").write_text("no database")
    assert only(check_tracking(broken)).state == "FAIL"


def test_a_table_that_is_being_written_is_a_warning(settings_for: MakeSettings) -> None:
    settings = settings_for()
    assert only(check_writers(settings)).state == "PASS"
    with hold_lease(settings.store, "instances--phantom--texture"):
        finding = only(check_writers(settings))
    assert (finding.state, "instances--phantom--texture is being written by" in finding.found) == ("WARN", True)
    assert only(check_writers(settings)).state == "PASS"


def test_buckets_need_credentials_which_are_named_and_not_shown(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, remote = settings_for(), settings_for(store="s3://bucket/store")
    assert only(check_credentials(local)).state == "PASS"
    missing = only(check_credentials(remote))
    assert (missing.state, missing.found) == ("FAIL", "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY not set, for store")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert only(check_credentials(remote)).state == "WARN"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "topsecret")
    found = only(check_credentials(remote))
    assert found.state == "PASS"
    assert "topsecret" not in found.found


def test_an_endpoint_without_tls_has_to_be_allowed(settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = settings_for("artifacts=s3://bucket/artifacts")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.delenv("MLFLOW_S3_ENDPOINT_URL", raising=False)
    fixes = [check.fix for check in check_credentials(remote) if check.state == "FAIL"]
    assert ["AWS_ALLOW_HTTP=true" in fixes[0], "MLFLOW_S3_ENDPOINT_URL" in fixes[1]] == [True, True]
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert {check.state for check in check_credentials(remote)} == {"PASS"}


def test_a_hub_that_does_not_answer_is_a_warning_with_a_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", closed_port())
    finding = only(check_hub([]))
    assert (finding.state, "encoder.checkpoint=/path" in finding.fix) == ("WARN", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in only(check_hub([])).found


def test_gated_encoders_need_a_token_that_may_download_them(
    settings_for: MakeSettings, hub: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings_for()  # an environment that says nothing of Tilebank
    gated = gated_encoders()
    assert {"medsiglip-448", "dinov3-vits16"} <= {config.name for config in gated}
    assert all(config.gated and config.revision for config in gated)
    monkeypatch.setenv("HF_ENDPOINT", hub("google/medsiglip-448"))
    assert [(check.name, check.state) for check in check_hub(gated)] == [("hub", "PASS"), ("gated encoders", "WARN")]
    kept = tmp_path / "user" / "huggingface" / "token"
    kept.parent.mkdir(parents=True)
    kept.write_text(f"{TOKEN}\n")  # as `hf auth login` leaves it
    _, allowed, refused = check_hub(gated)
    assert (allowed.state, allowed.found) == ("PASS", "allowed: medsiglip-448")
    assert "dinov3-vits16" in refused.found
    assert "/facebook/dinov3-vits16-pretrain-lvd1689m" in refused.fix
    assert TOKEN not in "".join((allowed.found, refused.found, refused.fix))


def test_an_encoder_loads_or_says_why_it_does_not(settings_for: MakeSettings, tmp_path: Path) -> None:
    assert "texture loads: vectors of 110 values" in only(check_encoder(settings_for().encoder)).found
    (tmp_path / "weights").mkdir()
    broken = settings_for(f"encoder.checkpoint={tmp_path / 'weights'}", encoder="dinov2-small").encoder
    assert only(check_encoder(broken)).state == "FAIL"
    hosted: EncoderConfig = settings_for(encoder="dinov2-small").encoder
    assert "on the hub" in only(check_encoder(hosted)).found


def test_keyed_ids_need_their_key(settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(check_id_key(settings_for())).state == "PASS"
    keyed = settings_for("dataset.ids=keyed-hash")
    assert only(check_id_key(keyed)).state == "FAIL"
    monkeypatch.setenv("TILEBANK_ID_KEY", "0123456789abcdef0123")
    finding = only(check_id_key(keyed))
    assert (finding.state, "0123456789abcdef" in finding.found) == ("PASS", False)


def test_a_root_that_is_not_there_is_told_of(settings_for: MakeSettings, tmp_path: Path) -> None:
    assert only(check_root(settings_for())).state == "PASS"
    gone = settings_for(dataset="folder", root=str(tmp_path / "gone"))
    assert only(check_root(gone)).state == "WARN"


def test_this_machine_and_its_libraries_are_described(settings_for: MakeSettings) -> None:
    assert "CPU cores" in only(check_cores_and_memory()).found
    assert "torch" in only(check_gpu()).found
    assert all("GB free" in check.found for check in check_disk(settings_for()))
    assert only(check_python()).state in ("PASS", "WARN")
    assert pinned_versions()["torch"] == "2.13.0"
    assert "torch" in "".join(check.found for check in check_libraries())


def test_another_version_warns_and_a_missing_library_fails() -> None:
    missing, other = check_libraries(("numpy", "no-such-library"), pinned={"numpy": "0.1"})
    assert (missing.state, missing.found) == ("FAIL", "not installed: no-such-library")
    assert (other.state, "(tested 0.1)" in other.found) == ("WARN", True)


def test_a_check_that_breaks_or_hangs_is_a_failure() -> None:
    def breaks() -> Iterator[Check]:
        yield passed("a", "first")
        raise ValueError("then this")

    def hangs() -> Iterator[Check]:
        time.sleep(30)
        yield passed("b", "late")

    assert [check.state for check in run_check("a", breaks)] == ["PASS", "FAIL"]
    hung = only(run_check("b", hangs, deadline_s=0.1))
    assert (hung.state, hung.found) == ("FAIL", "no answer within 0.1 s")


def test_what_is_shown_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
    text = "postgresql://me:hunter2@db/mlflow refused\n topsecret"
    assert without_secrets(text) == "postgresql://***@db/mlflow refused (AWS_SECRET_ACCESS_KEY)"


def test_the_table_shows_each_fix_and_fails_with_a_failure() -> None:
    good, bad = passed("python", "3.11"), Check("store", "FAIL", "cannot be written", "choose another")
    assert not DoctorSummary((good,)).failed
    summary = DoctorSummary((good, bad))
    assert summary.failed
    assert summary.as_text().splitlines() == [
        "PASS  python  3.11",
        "FAIL  store   cannot be written",
        "              fix: choose another",
        "1 PASS, 0 WARN, 1 FAIL",
    ]
