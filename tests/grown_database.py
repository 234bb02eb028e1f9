"""Fills a database with as many tenants, runs and events as a large installation has, in seconds."""

from uuid import UUID

import psycopg

from provisioning.actors import PLATFORM

STATEMENTS = (
    """
    INSERT INTO tenants (
        id, organisation_id, slug, name, region, plan_code, first_admin_email, address, state, version, last_sequence,
        created_at, updated_at
    )
    SELECT gen_random_uuid(), o.id, concat('grown-', nth), concat('Grown ', nth), 'eu-central',
        CASE WHEN nth %% 4 = 0 THEN 'pro' ELSE 'starter' END, 'first@shop.example', concat('grown-', nth, '-', o.slug),
        CASE WHEN nth %% 10 = 0 THEN 'SUSPENDED' ELSE 'ACTIVE' END, 1, %(events_of_each)s,
        now() - nth * interval '1 minute', now() - nth %% 1000 * interval '1 hour'
    FROM organisations o, generate_series(%(first)s::int, %(last)s::int) AS nth WHERE o.id = %(organisation)s
    """,
    """
    INSERT INTO runs (
        id, organisation_id, tenant_id, number, address, kind, status, started_by_kind, started_by_id, started_by_name,
        created_at, started_at, finished_at
    )
    SELECT gen_random_uuid(), organisation_id, id, 1, address, 'PROVISION', 'SUCCEEDED', 'SYSTEM', %(actor)s,
        'Tenantry', created_at, created_at, created_at
    FROM tenants t WHERE organisation_id = %(organisation)s AND NOT EXISTS (SELECT FROM runs WHERE tenant_id = t.id)
    """,
    """
    INSERT INTO events (
        id, organisation_id, tenant_id, run_id, sequence, type, actor_kind, actor_id, actor_name, data, created_at
    )
    SELECT gen_random_uuid(), t.organisation_id, t.id, r.id, nth,
        CASE WHEN nth = 1 THEN 'tenant.created' ELSE 'tenant.provisioning.step_completed' END,
        'SYSTEM', %(actor)s, 'Tenantry', '{"step": "allocate_storage", "duration_ms": 1200}',
        t.created_at + nth * interval '1 second'
    FROM generate_series(1, %(events_of_each)s::int) AS nth, tenants t JOIN runs r ON r.tenant_id = t.id
    WHERE t.organisation_id = %(organisation)s AND NOT EXISTS (SELECT FROM events WHERE tenant_id = t.id)
    """,
)


EVENTS_OF_EACH = 10
"""The events of each tenant."""


def grow(database_url: str, organisation_id: UUID, first: int, last: int) -> None:
    """Add the tenants with these numbers, with a run and events each, and bring the planner's statistics up to date."""
    add_tenants(database_url, organisation_id, first, last)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def add_tenants(database_url: str, organisation_id: UUID, first: int, last: int) -> None:
    """Add the tenants with these numbers, with a run and events each. The planner does not learn of them."""
    values = {
        "organisation": organisation_id,
        "first": first,
        "last": last,
        "events_of_each": EVENTS_OF_EACH,
        "actor": PLATFORM.id,
    }
    with psycopg.connect(database_url) as connection:
        # The referenced rows exist, and the numbers of events are given.
        connection.execute("SET session_replication_role = replica")
        for statement in STATEMENTS:
            connection.execute(statement.encode(), values)
