"""A deployer on a local port that keeps the contract of docs/deployer.md, and breaks it when a test says so."""

import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, bytes]


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    document: dict[str, Any] | None


@dataclass
class LocalDeployer:
    """``instead`` answers without an effect; ``afterwards`` answers so although the effect happened.

    ``dripping`` answers byte by byte and never ends; ``left`` tells that the caller did not wait for the rest.
    """

    address: str = ""
    workloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    buried: set[str] = field(default_factory=set)
    received: list[Received] = field(default_factory=list)
    instead: deque[Reply] = field(default_factory=deque)
    afterwards: deque[Reply] = field(default_factory=deque)
    answered: int = 0
    probes_until_ready: int = 1
    keeps_what_it_deletes: bool = False
    hanging: bool = False
    dripping: bytes = b""
    left: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Received) -> Reply:
        with self.lock:
            self.received.append(request)
        if self.hanging:
            self.let_go.wait(30)
        with self.lock:
            self.answered += 1
            if self.instead:
                return self.instead.popleft()
            reply = self._honest(request)
            return self.afterwards.popleft() if self.afterwards else reply

    def methods(self) -> list[str]:
        return [request.method for request in self.received]

    def _honest(self, request: Received) -> Reply:
        if request.method == "POST":
            return self._deploy(request)
        name = request.path.rpartition("/")[2]
        return self._delete(name) if request.method == "DELETE" else self._look(name)

    def _deploy(self, request: Received) -> Reply:
        key = request.headers["idempotency-key"]
        if key in self.buried:
            return _reply(410, message="It was deleted.")
        assert request.document is not None
        self.workloads.setdefault(key, {"order": request.document, "looks": 0})
        return _reply(202)

    def _look(self, name: str) -> Reply:
        workload = self.workloads.get(name)
        if workload is None:
            return _reply(404, message="Unknown.")
        workload["looks"] += 1
        if workload["looks"] >= self.probes_until_ready:
            return _reply(200, status="ready", percent=100, message="All pods are up.")
        return _reply(200, status="starting", percent=40, message="1 of 2 pods is up.")

    def _delete(self, name: str) -> Reply:
        self.buried.add(name)
        if not self.keeps_what_it_deletes:
            self.workloads.pop(name, None)
        return _reply(204)


@contextmanager
def local_deployer() -> Iterator[LocalDeployer]:
    deployer = LocalDeployer()
    server = _Server(("127.0.0.1", 0), _handler(deployer))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    deployer.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield deployer
    finally:
        deployer.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    # Closing must not wait for connections that the client keeps open.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Callers that went away are what some tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(deployer: LocalDeployer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            document = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            if deployer.dripping:
                self._drip()
                return
            status, body = deployer.answer(Received(self.command, self.path, headers, document))
            self.send_response(status)
            self.send_header("Connection", "close")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if status == 204 else body)

        def _drip(self) -> None:
            try:
                self.wfile.write(deployer.dripping)
                while not deployer.let_go.wait(0.02):
                    self.wfile.write(b"x")
            except ConnectionError:
                deployer.left.set()

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815  # the library looks for these names

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    return Handler


def _reply(status: int, /, **document: object) -> Reply:
    return status, json.dumps(document).encode()
