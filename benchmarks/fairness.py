"""The latency of a caller during attacks by another organisation (S1 to S4), compared with its latency just before."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.synchronize import Event as ProcessEvent

import psycopg

from benchmarks.export import FILL
from benchmarks.figures import Samples
from benchmarks.processes import serving
from models import Role
from runtime.settings import Settings
from server.auth.tokens import sign_token
from tests import attacks
from tests.api import Client, member_identity, service_account_identity, tenant_gid
from tests.run_harness import RunHarness, run_harness_in

EVENTS = 50_000
"""Events of the attacker's organisation."""

TENANTS = 50
ACCOUNTS = 8
REPLAYS = 50

ROUNDS = 3
"""Idle times and attacks take turns, because the load of the machine may change meanwhile."""

SECONDS = 4.0
"""Duration of an attack and of an idle time, with forty samples."""

MAX_RATIO = 2.0
"""Of the 95th percentile of the bystander's latency during an attack, to that of idle times in the same minute."""

MAX_CANCEL = 0.5
"""Seconds: the longest cancelProvisioning of the bystander."""

CANCEL = "mutation ($id: ID!) { cancelProvisioning(input: {tenantId: $id}) { alreadyRequested userErrors { code } } }"
CANCEL_EVERY = 10
"""Every tenth operation of the bystander is a cancel, the others are queries."""

Clients = Sequence[Client]
ATTACKS: dict[str, Callable[[Clients], AbstractContextManager[None]]] = {
    "S1: searches for what does not exist": lambda clients: attacks.searches(clients[0]),
    "S2: replays that never read": lambda clients: attacks.replays_that_never_read(clients[0], REPLAYS),
    "S3: eight accounts spend their budgets": lambda clients: attacks.spending_accounts(clients[1:]),
    "S4: readiness checks without a token": lambda clients: attacks.readiness_checks(clients[0]),
}


@dataclass(frozen=True, slots=True)
class Bystander:
    """A caller of another organisation, with a tenant and its cancel on record."""

    client: Client
    tenant: str


def run(settings: Settings, rounds: int) -> None:
    """Run each attack from a process of its own. Raises SystemExit when one slows the bystander down too much."""
    with (
        run_harness_in(settings) as attacked_from,
        run_harness_in(settings) as harness,
        serving() as (address, _),
    ):
        _fill(settings, attacked_from)
        harness.create()
        harness.make_moves(until="allocate_traffic")
        bystander = Bystander(_member(settings, harness, address), tenant_gid(harness.tenant_id))
        clients = _attackers(settings, attacked_from, address)
        _measure(bystander, SECONDS / 4)  # a warm-up
        slow = [name for name in ATTACKS if not _is_fair(name, clients, bystander, SECONDS * rounds / 40)]
    if slow:
        raise SystemExit(f"The bystander was slowed down too much by {', '.join(slow)}.")


def _is_fair(name: str, clients: Clients, bystander: Bystander, seconds: float) -> bool:
    idle, attacked = (Samples("idle"), Samples("idle")), (Samples("attacked"), Samples("attacked"))
    for _ in range(ROUNDS):
        _measure(bystander, seconds, idle)
        with _attacked(name, clients):
            _measure(bystander, seconds, attacked)
    ratio = attacked[0].quantile(0.95) / idle[0].quantile(0.95)
    longest = attacked[1].quantile(0.999)
    figures = [samples.quantile(part) * 1000 for part in (0.5, 0.95) for samples in (idle[0], attacked[0])]
    print(
        f"  {name:<42} query p50 {figures[0]:6.1f} to {figures[1]:7.1f} ms   "
        f"p95 {figures[2]:6.1f} to {figures[3]:7.1f} ms ({ratio:5.2f})   longest cancel {longest * 1000:7.1f} ms",
        flush=True,
    )
    return ratio < MAX_RATIO and longest < MAX_CANCEL


def _measure(bystander: Bystander, seconds: float, into: tuple[Samples, Samples] | None = None) -> None:
    """Send queries and cancels one after another for ``seconds``. Adds their durations to the two samples."""
    queries, cancels = into or (Samples(""), Samples(""))
    cancel = json.dumps({"query": CANCEL, "variables": {"id": bystander.tenant}})
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        is_cancel = number % CANCEL_EVERY == 0
        with (cancels if is_cancel else queries).timed():
            body = cancel if is_cancel else attacks.QUERY
            reply = attacks.send_request(bystander.client, "POST", "/graphql", body)
        assert (reply.status, reply.codes) == (200, []), reply
        time.sleep(0.005)


@contextmanager
def _attacked(name: str, clients: Clients) -> Iterator[None]:
    """Attack from another process for the length of the block, which begins once the attack has."""
    context = multiprocessing.get_context("spawn")
    began, stopped = context.Event(), context.Event()
    process = context.Process(target=_attack, args=(name, clients, began, stopped))
    process.start()
    try:
        assert began.wait(60), "the attack did not begin"
        yield
    finally:
        stopped.set()
        process.join(60)
        process.kill()
    assert process.exitcode == 0, "the attack failed"


def _attack(name: str, clients: Clients, began: ProcessEvent, stopped: ProcessEvent) -> None:
    with ATTACKS[name](clients):
        began.set()
        stopped.wait()


def _fill(settings: Settings, harness: RunHarness) -> None:
    for number in range(TENANTS):
        harness.create(f"shop-{number}", plan="enterprise")
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("SET session_replication_role = replica")  # the referenced rows exist
        connection.execute(FILL, {"count": EVENTS, "tenant": harness.tenant_id})
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _member(settings: Settings, harness: RunHarness, address: str, role: Role = Role.OWNER) -> Client:
    token = sign_token(settings, member_identity(harness.organisation.id, role), timedelta(hours=2))
    return Client(address, f"Bearer {token}")


def _attackers(settings: Settings, harness: RunHarness, address: str) -> Clients:
    """A viewer, then the service accounts of its organisation."""
    scopes = ("tenants:read", "audit:read")
    tokens = [
        sign_token(settings, service_account_identity(harness.organisation.id, *scopes), timedelta(hours=2))
        for _ in range(ACCOUNTS)
    ]
    viewer = _member(settings, harness, address, Role.VIEWER)
    return [viewer, *(Client(address, f"Bearer {token}") for token in tokens)]
