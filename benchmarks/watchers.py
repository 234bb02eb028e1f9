"""The cost of open subscriptions while nothing happens, in a real API process, with their delay for an event."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.processes import serving
from benchmarks.summary import quantile
from provisioning import engine
from provisioning.audit_feed import TIMELINE
from provisioning.locking import Change
from provisioning.moves import Forward
from provisioning.steps import saga
from runtime.settings import Settings
from schema.node import global_id
from server.auth.tokens import sign_token
from tests.api import PROTOCOL, member_identity
from tests.run_harness import RunHarness, new_lease, run_harness_in

ORGANISATIONS = 10
TENANTS = 100
"""Of each organisation, each with one subscription: a thousand together, a hundred over each websocket."""

SETTLING = 6.0
"""Seconds before anything is measured: a subscription reads once more at its first poll."""

IDLE = 10.0
"""Seconds in which the cost of idle subscriptions is measured."""

EVENTS_PER_SECOND = 50
WATCHERS_OF_ONE = 100
FIRST = Forward(next(iter(saga)).name)

DOCUMENT = "subscription Watch($id: ID!) { tenantProvisioning(tenantId: $id, follow: true) { cursor kind occurredAt } }"


@dataclass
class Arrivals:
    """The seconds from each event's time, which is before its commit, to its arrival."""

    delays: list[float] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, entry: dict[str, Any]) -> None:
        """Note an entry that has just arrived."""
        self.delays.append(time.time() - datetime.fromisoformat(entry["occurredAt"]).timestamp())
        self._more.set()

    async def reach(self, count: int) -> list[float]:
        """Wait for so many entries. Returns their delays, and forgets them."""
        async with asyncio.timeout(120):
            while len(self.delays) < count:
                self._more.clear()
                await self._more.wait()
        delays, self.delays = self.delays, []
        return delays


def run(settings: Settings, samples: int) -> None:
    """Print the cost of a thousand idle subscriptions, and the delays of ``samples`` times ten events."""
    for bucket in ("BUDGET", "BUDGET_REFILL", "ORGANISATION_BUDGET", "ORGANISATION_BUDGET_REFILL"):
        os.environ[f"TENANTRY_{bucket}"] = "1000000000"  # so that no limit refuses the subscriptions
    with ExitStack() as stack:
        harnesses = [stack.enter_context(run_harness_in(settings)) for _ in range(ORGANISATIONS)]
        address, process = stack.enter_context(serving())
        runs = [(harness, harness.create(f"shop-{n}")) for harness in harnesses for n in range(TENANTS)]
        asyncio.run(_measure_many(settings, address, process, runs, samples))
        one = harnesses[0]
        one.create("watched-by-many")
        asyncio.run(_measure_one(settings, address, one))


Runs = Sequence[tuple[RunHarness, Change]]


async def _measure_many(settings: Settings, address: str, process: psutil.Process, runs: Runs, samples: int) -> None:
    arrivals, memory = Arrivals(), process.memory_info().rss
    async with AsyncExitStack() as stack:
        for first in range(0, len(runs), TENANTS):
            part = runs[first : first + TENANTS]
            tenants = [str(change.tenant.id) for _, change in part]
            await stack.enter_async_context(_watching(settings, address, part[0][0], tenants, arrivals))
        await arrivals.reach(len(runs))
        await asyncio.sleep(SETTLING)
        before = process.cpu_times()
        await asyncio.sleep(IDLE)
        after = process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        kibibytes = (process.memory_info().rss - memory) / 1024 / len(runs)
        print(f"  {len(runs)} idle subscriptions: {100 * cpu / IDLE:.1f} % of a core, {kibibytes:.0f} KiB each")
        events = runs[: 10 * samples]
        await asyncio.to_thread(_claim_each, events)
        _report(f"{EVENTS_PER_SECOND} events/s for {len(runs)} watchers", await arrivals.reach(len(events)))


def _claim_each(runs: Runs) -> None:
    """Claim the first step of each run at the rate of the measurement: one event each."""
    began = time.monotonic()
    for number, (harness, change) in enumerate(runs):
        time.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.monotonic()))
        assert change.run is not None, "the run was started"
        claiming = engine.claiming(change.run.id, FIRST, harness.settings, new_lease(harness.settings.lease))
        assert harness.apply(claiming) is not None, "no worker runs"


async def _measure_one(settings: Settings, address: str, harness: RunHarness) -> None:
    """A hundred subscriptions to a tenant, which is provisioned step by step: each has two events or three."""
    arrivals, tenant = Arrivals(), str(harness.tenant_id)
    delays: list[float] = []
    async with _watching(settings, address, harness, [tenant] * WATCHERS_OF_ONE, arrivals):
        await arrivals.reach(WATCHERS_OF_ONE)
        for step in [step.name for step in saga][1:]:
            await asyncio.to_thread(harness.make_moves, until=step)
            events = sum(event.type in TIMELINE for event in harness.events()) - 1
            delays += await arrivals.reach(events * WATCHERS_OF_ONE - len(delays))
        _report(f"{WATCHERS_OF_ONE} watchers of one tenant", delays)


@asynccontextmanager
async def _watching(
    settings: Settings, address: str, harness: RunHarness, tenants: Sequence[str], arrivals: Arrivals
) -> AsyncIterator[None]:
    """One subscription to each of these tenants, over one websocket."""
    token = sign_token(settings, member_identity(harness.organisation.id), timedelta(hours=1))
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], max_queue=None) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        await socket.recv()
        for number, tenant in enumerate(tenants):
            variables = {"id": global_id("Tenant", UUID(tenant))}
            payload = {"query": DOCUMENT, "variables": variables}
            await socket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        reading = asyncio.create_task(_read(socket, arrivals))
        try:
            yield
        finally:
            reading.cancel()


async def _read(socket: ClientConnection, arrivals: Arrivals) -> None:
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "ping":
            await socket.send(json.dumps({"type": "pong"}))
        elif message["type"] == "next":
            arrivals.note(message["payload"]["data"]["tenantProvisioning"])
        else:
            raise RuntimeError(f"the subscription ended: {text!r}")


def _report(what: str, delays: Sequence[float]) -> None:
    p50, p99 = (1000 * quantile(delays, part) for part in (0.5, 0.99))
    print(f"  {what:<36} event to watcher p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   ({len(delays)} deliveries)")
