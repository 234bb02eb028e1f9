"""The growth of every query of the API: its time with many tenants and events, divided by its time with few."""

import os
import statistics
import time
from datetime import timedelta
from subprocess import DEVNULL

import httpx

from benchmarks.processes import serving
from runtime.settings import Settings
from server.auth.tokens import sign_token
from tests.api import member_identity
from tests.api_reads import Read, every_read
from tests.grown_database import grow
from tests.run_harness import RunHarness, run_harness_in

FEW = 60
MANY = 100_000
"""Tenants, with ten events each."""

EXECUTIONS = 60
"""Of each statement on the one connection before it is measured: from the tenth on its plan may be a generic one."""

MAX_RATIO = 1.3
Durations = dict[str, float]


def run(settings: Settings, samples: int) -> None:
    """Measure every query in an organisation with few tenants, then in the same one with many more."""
    os.environ["TENANTRY_BUDGET"] = "1000000000"  # so that the rate limit refuses nothing
    os.environ["TENANTRY_BUDGET_REFILL"] = "1000000000"
    os.environ["TENANTRY_ORGANISATION_BUDGET"] = "1000000000"
    os.environ["TENANTRY_ORGANISATION_BUDGET_REFILL"] = "1000000000"
    os.environ["TENANTRY_DATABASE_POOL"] = "2"  # the fewest; one request at a time mostly uses one of them
    with run_harness_in(settings) as harness:
        harness.create("shop")
        harness.make_moves()
        token = sign_token(settings, member_identity(harness.organisation.id), timedelta(hours=2))
        reads = every_read(harness.tenant_id, harness.run().id, "shop")
        few = _measure(settings, harness, (1, FEW), reads, token, samples)
        many = _measure(settings, harness, (FEW + 1, MANY), reads, token, samples)
    _report(few, many)


def _measure(
    settings: Settings, harness: RunHarness, added: tuple[int, int], reads: list[Read], token: str, samples: int
) -> Durations:
    """The median seconds of every query after these tenants were added."""
    began = time.monotonic()
    grow(settings.database_url, harness.organisation.id, *added)
    print(f"  tenants {added[0]} to {added[1]} were added in {time.monotonic() - began:.0f} s", flush=True)
    with serving(DEVNULL) as (address, _), httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        return {read.name: _median(client, read, samples) for read in reads}


def _median(client: httpx.Client, read: Read, samples: int) -> float:
    for _ in range(EXECUTIONS):
        _send(client, read)
    return statistics.median(_send(client, read) for _ in range(samples))


def _send(client: httpx.Client, read: Read) -> float:
    began = time.perf_counter()
    answer = client.post("/graphql", json={"query": read.document, "variables": read.variables})
    seconds = time.perf_counter() - began
    assert answer.status_code == 200, (read.name, answer.text)
    assert "errors" not in answer.json(), (read.name, answer.text)
    return seconds


def _report(few: Durations, many: Durations) -> None:
    for name in sorted(few, key=lambda name: many[name] / few[name]):
        ratio = many[name] / few[name]
        mark = "" if ratio <= MAX_RATIO else "  over the limit"
        print(f"  {name:<52} {1000 * few[name]:7.2f} to {1000 * many[name]:8.2f} ms   {ratio:6.2f}{mark}")
    over = [name for name in few if many[name] > MAX_RATIO * few[name]]
    if over:
        raise SystemExit(
            f"{len(over)} of {len(few)} queries grow with the tables: the ratio must be at most {MAX_RATIO}."
        )
