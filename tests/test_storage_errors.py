"""What a user reads when a bucket cannot be used: one sentence with the cause and the setting to check, no secrets."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.cases import with_long
from tests.s3_server import S3Server, s3_server

from tilebank.datasets.listing import list_dicoms, uri_exists
from tilebank.errors import DatasetError, StoreError, TilebankError
from tilebank.storage_errors import is_failed_request, is_final, storage_reason
from tilebank.store.inventory import list_tables
from tilebank.store.lease.lease import find_holder
from tilebank.store.predictions import read_predictions
from tilebank.store.reader import Reader
from tilebank.store.tables import Store

SECRET = "SECRET-KEY-THAT-NOBODY-SHOWS"
LONGEST = 330

Ask = Callable[[str], object]
QUESTIONS: dict[str, Ask] = {
    "open a table": lambda store: Reader(store, dataset="d", encoder="e", fingerprint="f"),
    "list tables": list_tables,
    "find instances": lambda store: Store(store).find_instances("d", "e"),
    "make tables": lambda store: Store(store).open_instances("d", "e", dim=4, licence={}),
    "write": lambda store: Store(store).assert_writable(),
    "read predictions": lambda store: read_predictions(store, dataset="d", encoder="e", run_id="r"),
    "read a lease": lambda store: find_holder(store, "instances--d--e"),
    "list images": list_dicoms,
    "look for a file": uri_exists,
}
ASKED = with_long(  # the others go the way of one of these
    QUESTIONS, QUESTIONS.keys() - {"open a table", "write", "read a lease", "list images"}
)
QUIET = {"find instances", "read predictions", "look for a file"}  # a bucket that is not there holds nothing


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's keys, and nothing that this machine would add."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIA0123456789",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    # Patience is of no interest here: a closed port stays closed.
    monkeypatch.setattr("tilebank.files.ATTEMPTS", 1)
    monkeypatch.setattr("tilebank.files.REQUEST_ATTEMPTS", 1)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers keys of earlier tests
    monkeypatch.setattr("tilebank.store.commits.ATTEMPTS", 1)
    quick = {"client_max_retries": "0", "client_retry_timeout": "1"}
    monkeypatch.setattr("tilebank.store.commits.REMOTE_OPTIONS", quick)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server() as found:
        yield found


@contextmanager
def refusing(code: str) -> Iterator[str]:
    """A server that answers every request with one of S3's own refusals; its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
            self.send_response(403)
            self.send_header("content-type", "application/xml")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *words: object) -> None:
            """Nothing."""

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{found.server_port}"
    finally:
        found.shutdown()
        found.server_close()


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def message_of(ask: Ask, uri: str) -> str:
    """What is said where `ask` fails."""
    with pytest.raises(TilebankError) as failed:
        ask(uri)
    assert isinstance(failed.value, StoreError | DatasetError)
    text = str(failed.value)
    assert SECRET not in text
    assert "AKIA" not in text
    assert ".rs" not in text
    assert "\n" not in text
    assert len(text) < LONGEST, text
    return text


@pytest.mark.parametrize("question", ASKED)
def test_a_closed_port_is_a_refused_connection(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = closed_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    text = message_of(QUESTIONS[question], "s3://bucket/store")
    assert "s3://bucket/store" in text
    assert endpoint in text
    assert "connect" in text
    assert "check AWS_ENDPOINT_URL" in text


@pytest.mark.parametrize("question", sorted(QUESTIONS.keys() - QUIET))
def test_a_bucket_that_is_not_there_is_named(question: str, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    text = message_of(QUESTIONS[question], "s3://nobodys-bucket/store")
    assert "there is no bucket nobodys-bucket at the S3 endpoint" in text, text


@pytest.mark.parametrize("question", ASKED)
def test_access_denied_says_whose_permissions_to_check(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing("AccessDenied") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        text = message_of(QUESTIONS[question], "s3://bucket/store")
    assert "denied access to bucket bucket; check AWS_ACCESS_KEY_ID" in text


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_wrong_keys_are_told_from_missing_permissions(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing(code) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for question in ("open a table", "list tables", "read a lease"):
            assert "does not accept these credentials" in message_of(QUESTIONS[question], "s3://bucket/store")


def test_no_credentials_says_which_variables_to_set(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for question in ("open a table", "list tables", "read a lease"):
        text = message_of(QUESTIONS[question], f"s3://{server.make_bucket()}/store")
        assert "no S3 credentials were found; set AWS_ACCESS_KEY_ID" in text


def test_a_table_that_is_not_there_is_no_network_trouble(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    text = message_of(QUESTIONS["open a table"], f"s3://{server.make_bucket()}/store")
    assert "has no table instances--d--e" in text


def test_waiting_in_vain_is_a_timeout() -> None:
    texts = (
        "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 28, Timeout was reached",
        'Generic { store: "S3", retry_timeout: 5s, inner: Http(HttpError { kind: Timeout, source: TimedOut }) }',
        'Read timeout on endpoint URL: "http://10.0.0.1/b"',
    )
    for text in texts:
        assert "did not answer in time" in storage_reason(OSError(text), "s3://b/x"), text


def test_the_original_text_goes_to_the_debug_log_without_a_password(caplog: pytest.LogCaptureFixture) -> None:
    error = OSError("Generic S3 error: GET http://user:pw@host:1/b in 3 ms, /home/runner/lance/src/object_store.rs:1:2")
    with caplog.at_level(logging.DEBUG, logger="tilebank.storage_errors"):
        said = storage_reason(error, "s3://b/x")
    assert "host:1/b in 3 ms" in caplog.text
    assert "pw" not in caplog.text + said


def test_an_endpoint_with_a_password_is_shown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hidden@host:9000")
    said = storage_reason(OSError("Connection refused"), "s3://b/x")
    assert "http://host:9000 refused the connection" in said
    assert "hidden" not in said


def test_what_is_said_of_a_local_file_stays_as_it_is() -> None:
    error = PermissionError(13, "Permission denied", "/data/x")
    assert storage_reason(error, "/data/x") == str(error)
    assert not is_failed_request(error, "/data/x")


def test_only_what_may_pass_is_tried_again() -> None:
    uri = "s3://b/x"
    assert is_final(OSError("AWS Error ACCESS_DENIED during HeadObject operation"), uri)
    assert is_final(OSError("An error occurred (NoSuchBucket) when calling"), uri)
    assert not is_final(OSError("curlCode: 7, Could not connect to server"), uri)
    assert not is_final(OSError("AWS Error SLOW_DOWN during PutObject"), uri)
    assert not is_final(OSError("5 of 9 bytes came"), uri)
