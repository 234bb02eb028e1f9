"""Reads of the API, beside stock Strawberry in the same rounds: requests per second, processor time of a request."""

import json
import os
import re
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from subprocess import DEVNULL
from typing import Any

import psutil
import psycopg

from benchmarks.cpu import own_seconds
from benchmarks.processes import serving, serving_stock
from benchmarks.stock_api import ITEMS
from provisioning.event_types import EventType
from runtime.programs import ROOT
from runtime.settings import Settings
from schema.node import global_id
from server.auth.tokens import sign_token
from tests.api import member_identity
from tests.run_harness import RunHarness, run_harness_in

TENANTS = 60
TIMELINE = 60
CONNECTIONS = 4
ROUNDS = 5
SIX_FIELDS = "id slug name region plan version"
FIELDS = ITEMS * 6

TIMELINE_QUERY = """
    query Timeline($id: ID!) { node(id: $id) { ... on ProvisioningRun { timeline(last: 60) {
        edges { cursor node { id cursor sequence kind step message occurredAt } } pageInfo { hasPreviousPage }
    } } } }
"""

FILL_TIMELINE = """
    INSERT INTO events (
        id, organisation_id, tenant_id, run_id, sequence, type, actor_kind, actor_id, actor_name, data, created_at
    )
    SELECT gen_random_uuid(), t.organisation_id, t.id, r.id, t.last_sequence + nth, %(type)s,
        'SYSTEM', '00000000-0000-0000-0000-000000000000', 'Tenantry',
        '{"step": "allocate_storage", "duration_ms": 1200}', now()
    FROM tenants t JOIN runs r ON r.tenant_id = t.id, generate_series(1, %(count)s) AS nth
    WHERE t.id = %(tenant)s
"""


@dataclass
class Load:
    """One request, repeated: who answers it, and what it cost in each round."""

    name: str
    address: str
    process: psutil.Process
    request: bytes
    per_second: list[float] = field(default_factory=list)
    cpu_milliseconds: list[float] = field(default_factory=list)
    answer_bytes: int = 0

    def measure(self, count: int) -> None:
        """Add one round of ``count`` requests."""
        with _connected(self.address) as sockets:
            self.answer_bytes = _exchange(sockets, self.request, CONNECTIONS)
            before, began = own_seconds(self.process), time.perf_counter()
            _exchange(sockets, self.request, count)
            seconds, cpu = time.perf_counter() - began, own_seconds(self.process) - before
        self.per_second.append(count / seconds)
        self.cpu_milliseconds.append(1000 * cpu / count)

    @property
    def cpu(self) -> float:
        """Milliseconds of the server's processor time for a request: the median of the rounds."""
        return statistics.median(self.cpu_milliseconds)


def run(settings: Settings, samples: int) -> None:
    """Measure every read in each of several rounds, with ``samples`` times five requests a round."""
    os.environ["TENANTRY_BUDGET"] = "1000000000"  # so that the rate limit does not refuse the load
    os.environ["TENANTRY_BUDGET_REFILL"] = "1000000000"
    os.environ["TENANTRY_ORGANISATION_BUDGET"] = "1000000000"
    os.environ["TENANTRY_ORGANISATION_BUDGET_REFILL"] = "1000000000"
    with run_harness_in(settings) as harness, serving(DEVNULL) as product, serving_stock() as stock:
        loads = [*_stock_loads(*stock), *_product_loads(settings, harness, *product)]
        for _ in range(ROUNDS):
            for load in loads:
                load.measure(5 * samples)
    _report({load.name: load for load in loads})


def _stock_loads(address: str, process: psutil.Process) -> Iterator[Load]:
    for path in ("graphql", "cached"):
        for name, document in {
            "hello": "{ hello }",
            "__typename": "{ __typename }",
            "items": f"{{ items {{ {SIX_FIELDS} }} }}",
        }.items():
            request = _request(f"/{path}/", {"query": document}, {})
            yield Load(f"stock {name}, {path}", address, process, request)


def _product_loads(settings: Settings, harness: RunHarness, address: str, process: psutil.Process) -> Iterator[Load]:
    _fill(settings, harness)
    token = sign_token(settings, member_identity(harness.organisation.id), timedelta(hours=2))
    tenant = {"id": global_id("Tenant", harness.tenant_id)}
    run = {"id": global_id("ProvisioningRun", harness.run().id)}
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "__typename": ("{ __typename }", {}),
        "tenant by id": (f"query T($id: ID!) {{ tenant(id: $id) {{ {SIX_FIELDS} }} }}", tenant),
        "page of 20 x 6": (f"{{ tenants(first: {ITEMS}) {{ nodes {{ {SIX_FIELDS} }} }} }}", {}),
        "page of 50 tenants": (
            f"{{ tenants(first: 50) {{ edges {{ cursor node {{ {SIX_FIELDS} state createdAt updatedAt }} }} }} }}",
            {},
        ),
        "dashboard: tenants": (dashboard_query("tenants/tenants", "Tenants"), {"first": 25, "follow": True}),
        "dashboard: tenant": (dashboard_query("tenant/tenant", "Tenant"), tenant),
        "timeline(60)": (
            TIMELINE_QUERY,
            run,
        ),
        "audit(50)": (dashboard_query("audit/audit", "AuditEvents"), {"first": 50}),
    }
    for name, (document, variables) in requests.items():
        body = {"query": document, "variables": variables}
        yield Load(name, address, process, _request("/graphql", body, {"Authorization": f"Bearer {token}"}))


def dashboard_query(file: str, operation: str) -> str:
    """A query of the dashboard, with the fragments that it uses, as its client sends it."""
    text = (ROOT / "dashboard" / "app" / f"{file}.graphql").read_text(encoding="utf-8")
    parts = re.split(r"\n(?=fragment|query|mutation|subscription|#)", text)
    named = {part.split(maxsplit=2)[1].partition("(")[0]: part for part in parts if not part.startswith("#")}
    wanted = [operation]
    for name in wanted:  # which grows meanwhile
        wanted += [one for one in dict.fromkeys(re.findall(r"\.\.\.(\w+)", named[name])) if one not in wanted]
    return "\n".join(named[name] for name in wanted)


def _fill(settings: Settings, harness: RunHarness) -> None:
    """Sixty tenants; the newest is ACTIVE, with sixty more entries in the timeline of its run."""
    for number in range(TENANTS):
        harness.create(f"shop-{number}")
    harness.make_moves()
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            FILL_TIMELINE, {"count": TIMELINE, "tenant": harness.tenant_id, "type": EventType.STEP_COMPLETED.value}
        )
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _request(path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


@contextmanager
def _connected(address: str) -> Iterator[list[socket.socket]]:
    host, port = address.split(":")
    sockets = [socket.create_connection((host, int(port)), timeout=30) for _ in range(CONNECTIONS)]
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _exchange(sockets: Sequence[socket.socket], request: bytes, count: int) -> int:
    """Send a request ``count`` times, with one in flight on each connection. Returns the size of the last answer."""
    size = 0
    for one in sockets:
        one.sendall(request)
    for number in range(count):
        one = sockets[number % len(sockets)]
        size = _receive(one)
        if number < count - len(sockets):
            one.sendall(request)
    return size


def _receive(one: socket.socket) -> int:
    """Read one answer, which must be a result without errors. Returns the size of its body."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += one.recv(262144)
    length = int(re.search(rb"content-length: (\d+)", received[:end].lower())[1])  # type: ignore[index]  # always sent
    while len(received) < end + 4 + length:
        received += one.recv(262144)
    assert received.startswith(b"HTTP/1.1 200"), received
    assert b'"errors"' not in received, received
    return length


def _report(loads: dict[str, Load]) -> None:
    for load in loads.values():
        print(
            f"  {load.name:<26} {statistics.median(load.per_second):7.0f} /s   {load.cpu:7.3f} ms of processor time"
            f"   {load.answer_bytes:7} bytes"
        )
    print(f"  {'__typename / stock, cached':<44} {_rate(loads, '__typename', 'stock __typename, cached'):5.2f}")
    print(
        f"  {'tenant by id / stock hello, not cached':<44} {_rate(loads, 'tenant by id', 'stock hello, graphql'):5.2f}"
    )
    # What a request costs without fields is subtracted on both sides.
    own = (loads["page of 20 x 6"].cpu - loads["tenant by id"].cpu) / (FIELDS - 6)
    stock = (loads["stock items, cached"].cpu - loads["stock __typename, cached"].cpu) / FIELDS
    print(f"  {'processor time of a field / stock, cached':<44} {own / stock:5.2f}")


def _rate(loads: dict[str, Load], own: str, stock: str) -> float:
    """The ratio of the requests per second: the median of the rounds."""
    pairs = zip(loads[own].per_second, loads[stock].per_second, strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)
