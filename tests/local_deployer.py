"""A deployer on a local port that keeps the contract of docs/deployer.md, or breaks it as a test demands."""

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
class ReceivedRequest:
    method: str
    path: str
    headers: dict[str, str]
    document: dict[str, Any] | None


@dataclass
class LocalDeployer:
    """Replies in ``replies_without_effect`` replace a request's effect; those in ``replies_after_effect`` follow it.

    Every reply has the ``headers``. ``endless_reply`` is the beginning of a reply that is continued byte by byte and
    never ends. ``client_disconnected`` is set when the client closes the connection during such a reply. While
    ``hanging``, requests wait for ``resumed``. A workload with a name that contains one of ``terminating`` is not
    removed by a DELETE: from then on the reply to a GET is that it is terminating.
    """

    address: str = ""
    workloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    received: list[ReceivedRequest] = field(default_factory=list)
    replies_without_effect: deque[Reply] = field(default_factory=deque)
    replies_after_effect: deque[Reply] = field(default_factory=deque)
    headers: dict[str, str] = field(default_factory=dict)
    answered: int = 0
    probes_until_ready: int = 1
    ignores_deletes: bool = False
    terminating: set[str] = field(default_factory=set)
    hanging: bool = False
    endless_reply: bytes = b""
    client_disconnected: threading.Event = field(default_factory=threading.Event)
    resumed: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: ReceivedRequest) -> Reply:
        with self.lock:
            self.received.append(request)
        if self.hanging:
            self.resumed.wait(30)
        with self.lock:
            self.answered += 1
            if self.replies_without_effect:
                return self.replies_without_effect.popleft()
            reply = self._reply_by_contract(request)
            return self.replies_after_effect.popleft() if self.replies_after_effect else reply

    def methods(self) -> list[str]:
        return [request.method for request in self.received]

    def _reply_by_contract(self, request: ReceivedRequest) -> Reply:
        if request.method == "POST":
            return self._deploy(request)
        name = request.path.rpartition("/")[2]
        return self._delete(name) if request.method == "DELETE" else self._health(name)

    def _deploy(self, request: ReceivedRequest) -> Reply:
        key = request.headers["idempotency-key"]
        if key in self.deleted:
            return _reply(410, message="It was deleted.")
        assert request.document is not None
        self.workloads.setdefault(key, {"order": request.document, "probes": 0})
        return _reply(202)

    def _health(self, name: str) -> Reply:
        workload = self.workloads.get(name)
        if workload is None:
            return _reply(404, message="Unknown.")
        if name in self.deleted and self._is_terminating(name):
            return _reply(200, status="terminating", message=f"{name} is terminating")
        workload["probes"] += 1
        if workload["probes"] >= self.probes_until_ready:
            return _reply(200, status="ready", percent=100, message="All pods are up.")
        return _reply(200, status="starting", percent=40, message="1 of 2 pods is up.")

    def _delete(self, name: str) -> Reply:
        self.deleted.add(name)
        if not self.ignores_deletes and not self._is_terminating(name):
            self.workloads.pop(name, None)
        return _reply(204)

    def _is_terminating(self, name: str) -> bool:
        return any(part in name for part in self.terminating)


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
        deployer.resumed.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    # Closing must not wait for connections that the client keeps open.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Some tests make the client disconnect: that is no error.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(deployer: LocalDeployer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            document = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            if deployer.endless_reply:
                self._reply_endlessly()
                return
            status, body = deployer.answer(ReceivedRequest(self.command, self.path, headers, document))
            self.send_response(status)
            self.send_header("Connection", "close")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            for name, value in deployer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if status == 204 else body)

        def _reply_endlessly(self) -> None:
            try:
                self.wfile.write(deployer.endless_reply)
                while not deployer.resumed.wait(0.02):
                    self.wfile.write(b"x")
            except ConnectionError:
                deployer.client_disconnected.set()

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815  # names that http.server requires

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler


def _reply(status: int, /, **document: object) -> Reply:
    return status, json.dumps(document).encode()
