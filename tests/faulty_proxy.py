"""A forwarder in front of an HTTP server that fails as networks and object stores do: on purpose, and on cue.

It stands between a client and a real S3 server. Requests that no fault applies to pass through as they are, signed
headers included.
"""

import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

UPSTREAM_TIMEOUT_S = 120
HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length"}


class Kind(Enum):
    """What happens to a request."""

    CUT_ANSWER = "cut_answer"  # taken by the server, the connection breaks before the answer
    ERROR_AFTER = "error_after"  # taken by the server, answered with an error all the same
    ERROR = "error"  # answered with an error, never taken
    RESET = "reset"  # the connection breaks, never taken
    SLOW = "slow"  # taken and answered, after a pause
    LATE = "late"  # the connection breaks at once, the request arrives all the same, after a pause


@dataclass(frozen=True)
class Fault:
    """What is done to which requests: those of `method` whose path matches `path`, the first `times` of them.

    skip: how many of them pass before the first one is met. share: of the rest, drawn with the proxy's seed. status: of
    an error. pause_s: before a slow or a late one.
    """

    kind: Kind
    method: str = "PUT"
    path: str = ""
    times: int = 1
    skip: int = 0
    share: float = 1.0
    status: int = 503
    pause_s: float = 1.0


class FaultyProxy:
    """Faults that still wait for their request, and those that struck, as (kind, method, path)."""

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        self.upstream = urlsplit(upstream)
        self.url = ""
        self.struck: list[tuple[Kind, str, str]] = []
        self.seen: list[tuple[str, str]] = []
        self._left: list[list[Any]] = []  # [fault, how often it may still strike, how many still pass before that]
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def expect(self, *faults: Fault) -> None:
        """From now on these faults, in this order, and no others; what struck before is forgotten."""
        with self._lock:
            self._left = [[fault, fault.times, fault.skip] for fault in faults]
            self.struck.clear()
            self.seen.clear()

    def draw(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets."""
        with self._lock:
            self.seen.append((method, path))
            for entry in self._left:
                fault, times, skip = entry
                if times and method == fault.method and re.search(fault.path, path):
                    if skip or self._random.random() >= fault.share:
                        entry[2] = max(0, skip - 1)
                        continue
                    entry[1] -= 1
                    self.struck.append((fault.kind, method, path))
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def log_message(self, *_: object) -> None:
        """A line a request would bury everything else."""

    def _serve(self) -> None:
        body = self._body()
        fault = self.proxy.draw(self.command, self.path)
        kind = fault.kind if fault else None
        if fault and kind is Kind.SLOW:
            time.sleep(fault.pause_s)
        if fault and kind is Kind.LATE:
            threading.Timer(fault.pause_s, self._forward, (body,)).start()
        if kind in (Kind.RESET, Kind.LATE):
            return self._reset()
        if fault and kind is Kind.ERROR:
            return self._refuse(fault.status)
        try:
            response, content = self._forward(body)
        except (OSError, HTTPException):
            return self._reset()
        if kind is Kind.CUT_ANSWER:
            return self._reset()
        if fault and kind is Kind.ERROR_AFTER:
            return self._refuse(fault.status)
        return self._answer(response.status, response.getheaders(), content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - names that http.server looks for

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _forward(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        upstream = self.proxy.upstream
        connection = HTTPConnection(str(upstream.hostname), upstream.port, timeout=UPSTREAM_TIMEOUT_S)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                connection.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def _answer(self, status: int, headers: Sequence[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        if status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int) -> None:
        code = {500: "InternalError", 503: "SlowDown"}.get(status, "Refused")
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else text)

    def _reset(self) -> None:
        """End the connection by a reset: no answer, no farewell."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.rfile.close()
        self.wfile = _Nowhere()


class _Nowhere:
    """Takes what `http.server` still wants to flush into a connection that is gone."""

    closed = True

    def flush(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is open."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is no error of the proxy's."""

    def shutdown_request(self, request: Any) -> None:
        """As it is, but a connection that was reset cannot be shut down in good order."""
        self.close_request(request)


@contextmanager
def faulty_proxy(upstream: str, *, seed: int = 0) -> Iterator[FaultyProxy]:
    """A proxy in front of the server at `upstream` (`http://host:port`), on a port of its own."""
    proxy = FaultyProxy(upstream, seed=seed)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = _Server(("127.0.0.1", 0), handler)
    host, port = server.server_address[:2]
    proxy.url = f"http://{host!s}:{port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
