"""Mutants without the protections against a tenant's own database login."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import Connection

from adapters import postgres_storage, start_checks, storage_tombstones, tenant_objects
from runtime.settings import Settings
from tests.conformance.field.mutants import mutant


@mutant
def tenants_in_the_products_own_database(patch: pytest.MonkeyPatch) -> None:
    """The tenants' schemas are in the product's own database."""
    patch.setattr(Settings, "tenants_database", property(lambda settings: settings.database_url))
    patch.setattr(start_checks, "worker_problem", lambda _: None)
    patch.setattr(start_checks, "api_problem", lambda _: None)


@mutant
def locks_that_tenants_can_hold(patch: pytest.MonkeyPatch) -> None:
    """Names are locked with advisory locks, as in earlier releases."""

    def lock(connection: Connection[Any], name: str) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [0x7E4A, name])

    patch.setattr(storage_tombstones, "lock", lock)


@mutant
def no_removal_in_other_databases(patch: pytest.MonkeyPatch) -> None:
    """What a tenant's role owns in other databases of the server stays."""
    patch.setattr(tenant_objects, "DATABASES", "SELECT NULL WHERE %(role)s <> %(role)s OR %(name)s <> %(name)s")


@mutant
def no_end_of_blocking_sessions(patch: pytest.MonkeyPatch) -> None:
    """An undo waits for the locks that other tenants hold."""

    @contextmanager
    def ending_blockers(*_: object) -> Iterator[None]:
        yield

    patch.setattr(tenant_objects, "ending_blockers", ending_blockers)
    patch.setattr(postgres_storage, "ending_blockers", ending_blockers)
