"""The export of a million events from an API process: memory, duration, effect on other queries."""

import threading
import time
from datetime import timedelta

import httpx
import psutil
import psycopg

from benchmarks.figures import Samples
from benchmarks.processes import serving, watched
from runtime.settings import Settings
from server.auth.tokens import sign_token
from tests.api import member_identity
from tests.run_harness import RunHarness, run_harness_in

EVENTS = 1_000_000
MEMORY_LIMIT_MEGABYTES = 150

FILL = """
    INSERT INTO events (
        id, organisation_id, tenant_id, run_id, sequence, type,
        actor_kind, actor_id, actor_name, actor_email, data, request_id, created_at
    )
    SELECT gen_random_uuid(), t.organisation_id, t.id, r.id, t.last_sequence + nth,
        'tenant.provisioning.step_completed', 'SYSTEM', '00000000-0000-0000-0000-000000000000', 'Tenantry', NULL,
        jsonb_build_object(
            'step', 'allocate_storage', 'duration_ms', nth %% 5000, 'resources', jsonb_build_array(
                jsonb_build_object('kind', 'postgres_role', 'name', concat('t_shop_acme_', md5(nth::text), '_r1')),
                jsonb_build_object('kind', 'postgres_schema', 'name', concat('t_shop_acme_', md5(nth::text), '_r1'))
            )
        ), NULL, now()
    FROM tenants t JOIN runs r ON r.tenant_id = t.id, generate_series(1, %(count)s) AS nth
    WHERE t.id = %(tenant)s
"""


def run(settings: Settings, rounds: int) -> None:
    """Export in both formats, with concurrent queries. ``rounds`` is the number of queries without an export."""
    with run_harness_in(settings) as harness, serving() as (address, process):
        harness.create()
        _fill(settings, harness)
        token = sign_token(settings, member_identity(harness.organisation.id), timedelta(hours=2))
        headers = {"Authorization": f"Bearer {token}"}
        alone = Samples("a query without an export")
        for _ in range(rounds):
            _query(alone, address, headers)
        alone.report()
        for name in ("audit.csv", "audit.jsonl"):
            _export(name, address, headers, process)


def _fill(settings: Settings, harness: RunHarness) -> None:
    began = time.perf_counter()
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("SET session_replication_role = replica")  # the referenced rows exist
        connection.execute(FILL, {"count": EVENTS, "tenant": harness.tenant_id})
        connection.execute(
            "UPDATE tenants SET last_sequence = last_sequence + %s WHERE id = %s", [EVENTS, harness.tenant_id]
        )
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")
    print(f"  {EVENTS:,} events written in {time.perf_counter() - began:.0f} s")


def _export(name: str, address: str, headers: dict[str, str], process: psutil.Process) -> None:
    during, finished = Samples(f"a query during {name}"), threading.Event()

    def query_repeatedly() -> None:
        while not finished.wait(0.1):
            _query(during, address, headers)

    querying = threading.Thread(target=query_repeatedly)
    before, began = process.memory_info().rss / 1e6, time.perf_counter()
    with watched(process) as peak:
        querying.start()
        lines, size = _download(f"http://{address}/export/{name}", headers)
        took = time.perf_counter() - began
        finished.set()
        querying.join()
    print(
        f"  {name:<12} {lines:,} lines, {size / 1e6:.0f} MB in {took:.1f} s ({lines / took:,.0f} /s); "
        f"memory {before:.0f} MB before, {peak.megabytes:.0f} MB at most"
    )
    during.report()
    if lines < EVENTS or peak.megabytes >= MEMORY_LIMIT_MEGABYTES:
        raise SystemExit(f"An export must have {EVENTS:,} events and stay under {MEMORY_LIMIT_MEGABYTES} MB.")


def _download(url: str, headers: dict[str, str]) -> tuple[int, int]:
    lines = size = 0
    with httpx.stream("GET", url, headers=headers, timeout=None, trust_env=False) as response:  # noqa: S113  # no limit: the duration is measured
        response.raise_for_status()
        for chunk in response.iter_bytes():
            lines += chunk.count(b"\n")
            size += len(chunk)
    return lines, size


def _query(samples: Samples, address: str, headers: dict[str, str]) -> None:
    body = {"query": "{ viewer { actor { displayName } } organization { slug tenantsUsed } }"}
    with samples.timed():
        response = httpx.post(f"http://{address}/graphql", json=body, headers=headers, timeout=60, trust_env=False)
    response.raise_for_status()
