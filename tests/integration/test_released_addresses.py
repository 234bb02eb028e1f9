"""An address that was live is kept for its organisation for a year: no other one gets its OpenID Connect issuer."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update
from sqlmodel import col, func, select

from models import Tenant, TenantState
from provisioning import commands
from provisioning.errors import Taken
from runtime.settings import settings
from tests.run_harness import RunHarness, run_harness_in
from tests.tenant_states import bring_tenant_to
from tests.waiting import wait_until

S = TenantState
YEAR = timedelta(days=365)


@contextmanager
def organisations_with_one_address() -> Iterator[tuple[RunHarness, RunHarness]]:
    """Two organisations: the tenant ``shop`` of the first and ``shop-north`` of the second have the same address."""
    tail = f"c{uuid4().hex[:8]}"
    with run_harness_in(settings()) as one, run_harness_in(settings()) as other:
        rename(one, f"north-{tail}")
        rename(other, tail)
        yield one, other


def rename(harness: RunHarness, slug: str) -> None:
    harness.organisation.slug = slug
    with harness.database.transaction() as session:
        session.merge(harness.organisation)


def let_time_pass(harness: RunHarness, time: timedelta) -> None:
    """Move the end of the harness's tenant into the past."""
    with harness.database.transaction() as session:
        earlier = col(Tenant.updated_at) - time
        session.execute(update(Tenant).where(col(Tenant.id) == harness.tenant_id).values(updated_at=earlier))


def live_and_decommissioned(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.DECOMMISSIONING)
    harness.make_moves()
    assert harness.tenant().state is S.DECOMMISSIONED


def suspended_and_decommissioned(harness: RunHarness) -> None:
    bring_tenant_to(harness, S.SUSPENDED)
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")
    harness.make_moves()
    assert harness.tenant().state is S.DECOMMISSIONED


def recreated_and_decommissioned_before_it_was_live_again(harness: RunHarness) -> None:
    live_and_decommissioned(harness)
    harness.create(start=False)
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator)


@pytest.mark.parametrize(
    "release",
    [
        live_and_decommissioned,
        suspended_and_decommissioned,
        recreated_and_decommissioned_before_it_was_live_again,
    ],
)
def test_an_address_that_was_live_is_not_given_to_another_organisation(
    database_url: str, release: Callable[[RunHarness], None]
) -> None:
    with organisations_with_one_address() as (one, other):
        release(one)

        with pytest.raises(Taken) as refusal:
            other.create("shop-north", start=False)

        assert refusal.value.value == "shop-north"
        assert tenants_of(other) == 0


def test_a_correction_of_the_slug_does_not_reach_an_address_of_another_organisation(database_url: str) -> None:
    with organisations_with_one_address() as (one, other):
        live_and_decommissioned(one)
        other.create("store", start=False)

        with pytest.raises(Taken):
            other.transact(
                commands.update_tenant,
                other.tenant_id,
                commands.Corrections(slug="shop-north"),
                by=other.operator,
                regions=other.settings.regions,
            )

        assert other.tenant().slug == "store"


def test_an_address_is_given_to_another_organisation_after_a_year(database_url: str) -> None:
    with organisations_with_one_address() as (one, other):
        live_and_decommissioned(one)
        let_time_pass(one, YEAR - timedelta(days=1))
        with pytest.raises(Taken):
            other.create("shop-north", start=False)

        let_time_pass(one, timedelta(days=1))
        other.create("shop-north", start=False)

        assert other.tenant().address == one.tenant().address


def test_the_same_organisation_gets_its_address_again_at_once(harness: RunHarness) -> None:
    live_and_decommissioned(harness)
    before = harness.tenant().address

    harness.create()

    assert harness.tenant().address == before


def test_an_address_that_was_never_live_is_free_for_all_organisations(database_url: str) -> None:
    with organisations_with_one_address() as (one, other):
        one.create(start=False)
        one.transact(commands.decommission_tenant, one.tenant_id, by=one.operator)

        other.create("shop-north", start=False)

        assert other.tenant().state is S.PENDING


def test_an_address_that_is_released_at_the_same_moment_is_refused(database_url: str) -> None:
    with organisations_with_one_address() as (one, other), ThreadPoolExecutor(1) as pool:
        bring_tenant_to(one, S.ACTIVE)
        with one.database.transaction() as session:
            released = update(Tenant).where(col(Tenant.id) == one.tenant_id).values(state=S.DECOMMISSIONED)
            session.execute(released)
            created = pool.submit(other.create, "shop-north", start=False)
            wait_until(created.done)

        assert isinstance(created.exception(), Taken)


def tenants_of(harness: RunHarness) -> int:
    mine = select(func.count()).select_from(Tenant).where(Tenant.organisation_id == harness.organisation.id)
    return harness.read(lambda session: session.exec(mine).one())
