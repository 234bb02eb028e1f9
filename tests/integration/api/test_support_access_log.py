"""The audit feed's records of support access, and the names under which support and others see members."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Select, event
from sqlalchemy.orm import ORMExecuteState
from sqlmodel import Session, SQLModel

from access import support_access_log
from models import Role
from tests.access import events_of
from tests.api import Api, Client, tenant_gid
from tests.attacks import BEHIND_EVERY_TENANT
from tests.run_harness import RunHarness

COUNT = "query C($filter: TenantFilter) { tenants(first: 1, after: %s, filter: $filter) { totalCount } }"
EVERY_READ = """query R($tenant: ID!, $slug: String!) {
  viewer { scopes } rateLimit { cost } provisioningOptions { plans regions }
  organization(slug: $slug) { tenantsUsed tenantsAllowed }
  tenants(first: 5, filter: {hasAbandonedResources: false}) { totalCount }
  tenantBySlug(slug: "one") { id }
  auditEvents(first: 5, filter: {tenantId: $tenant}) { edges { node { type actor { displayName } } } }
  tenant(id: $tenant) {
    heldResources { name } abandonedResources { name } availableActions cancellationPreview { interruptible }
    currentRun { steps { name } resources { name } absenceChecks { found } timeline(first: 5) { edges { cursor } } }
    runs(first: 5) { edges { node { number timeline(first: 5) { edges { cursor } } } } }
    organization { tenantsUsed } recreatedFrom { id }
  }
}"""
ORGANISATIONS_DATA = re.compile(
    r"FROM (tenants|runs|run_steps|events|resources|organisations|members|absence_checks)\b"
)
ACTOR = "query A($id: ID!) { node(id: $id) { ... on Actor { displayName } } }"


def test_support_access_to_a_tenant_is_recorded_once_an_hour(api: Api, harness: RunHarness, other: RunHarness) -> None:
    harness.create("one")
    other.create("elsewhere")
    support = api.support()
    document = "query T($id: ID!) { tenant(id: $id) { slug runs(first: 1) { edges { node { number } } } } }"

    for _ in range(3):
        support.execute(document, id=tenant_gid(harness.tenant_id))

    assert events_of(harness, "access.support") == [("access.support_looked", {"tenant_ids": [str(harness.tenant_id)]})]
    assert events_of(other, "access.support") == []


def test_support_access_to_each_further_tenant_is_recorded(api: Api, harness: RunHarness) -> None:
    first, second = harness.create("one").tenant.id, harness.create("two").tenant.id
    support = api.support()

    support.execute("query T($id: ID!) { tenant(id: $id) { slug } }", id=tenant_gid(first))
    support.execute("query F($id: ID!) { auditEvents(filter: {tenantId: $id}) { edges { node { type } } } }",
                id=tenant_gid(second))  # fmt: skip

    assert [facts["tenant_ids"] for _, facts in events_of(harness, "access.support")] == [[str(first)], [str(second)]]


def test_support_access_to_a_member_is_recorded(api: Api, harness: RunHarness, owner: Client) -> None:
    support, member_id = api.support(), owner.execute("{ viewer { actor { id } } }")["viewer"]["actor"]["id"]

    support.execute(ACTOR, id=member_id)

    assert events_of(harness, "access.support") == [("access.support_looked", {"tenant_ids": []})]


def test_access_by_the_organisations_own_members_is_not_recorded(harness: RunHarness, owner: Client) -> None:
    harness.create("one")

    owner.execute("{ tenants { nodes { slug } } }")

    assert events_of(harness, "access.") == []


def test_only_callers_who_may_read_members_see_their_email_addresses(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    viewer, auditor = (
        api.member(harness.organisation.id, Role.VIEWER),
        api.service_account(harness.organisation.id, "audit:read"),
    )
    member_id = owner.execute("{ viewer { actor { id } } }")["viewer"]["actor"]["id"]

    shown = [client.execute(ACTOR, id=member_id)["node"] for client in (owner, viewer, auditor, api.support())]

    name = f"Owner of {harness.organisation.id}"
    assert shown == [{"displayName": "owner@shop.example"}, *[{"displayName": name}] * 3]


@pytest.mark.parametrize("conditions", [{"slugPrefix": "one"}, {"slugPrefix": "o", "stateIn": ["PENDING"]}])
def test_a_count_by_support_is_recorded_with_the_tenants_that_it_is_about(
    api: Api, harness: RunHarness, other: RunHarness, conditions: dict[str, object]
) -> None:
    counted = harness.create("one", start=False).tenant.id
    harness.create("two", start=False)
    other.create("two", start=False)
    support = api.support()

    for _ in range(2):
        support.execute(COUNT % f'"{BEHIND_EVERY_TENANT}"', filter=conditions)

    assert events_of(harness, "access.support") == [("access.support_looked", {"tenant_ids": [str(counted)]})]
    assert events_of(other, "access.support") == []


def test_a_count_of_more_tenants_than_an_event_can_name_is_recorded_for_the_organisation(
    api: Api, harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support_access_log, "MAX_TENANTS_NAMED", 2)
    for slug in ("one", "two", "three"):
        harness.create(slug, start=False)
    support = api.support()

    for _ in range(2):
        support.execute(COUNT % f'"{BEHIND_EVERY_TENANT}"', filter={})

    assert events_of(harness, "access.support") == [("access.support_looked", {"tenant_ids": []})]


def test_the_number_of_an_organisations_tenants_is_recorded_when_support_reads_it(
    api: Api, harness: RunHarness
) -> None:
    api.support().execute("query O($slug: String!) { organization(slug: $slug) { tenantsUsed } }",
                          slug=harness.organisation.slug)  # fmt: skip

    assert events_of(harness, "access.support") == [("access.support_looked", {"tenant_ids": []})]


def test_every_statement_for_support_loads_rows_or_declares_what_it_reads(
    api: Api, harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that answers about rows without loading them would leave no record."""
    undeclared = undeclared_reads(monkeypatch)
    harness.create("one")
    harness.make_moves(until="deploy_workloads")
    support, tenant_id = api.support(), tenant_gid(harness.tenant_id)

    support.execute(EVERY_READ, tenant=tenant_id, slug=harness.organisation.slug)
    for subscription in ("tenantProvisioning(tenantId: $tenant)", "auditEventAdded(filter: {tenantId: $tenant})"):
        with support.subscribed(f"subscription S($tenant: ID!) {{ {subscription} {{ cursor }} }}", tenant=tenant_id):
            api.await_watchers(1)

    assert sorted(set(undeclared)) == []


def undeclared_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Statements for support that read tables of organisations, and neither load rows nor have the option ``reads``."""
    found: list[str] = []

    def check(state: ORMExecuteState) -> None:
        descriptions = state.statement.column_descriptions if isinstance(state.statement, Select) else []
        loads = any(isinstance(one["type"], type) and issubclass(one["type"], SQLModel) for one in descriptions)
        declares = "reads" in state.execution_options
        if state.is_select and not loads and not declares and ORGANISATIONS_DATA.search(str(state.statement)):
            found.append(str(state.statement))

    recorded_reads = support_access_log.recorded_reads

    @contextmanager
    def checked(session: Session) -> Iterator[list[object]]:
        event.listen(session, "do_orm_execute", check)
        try:
            with recorded_reads(session) as read:
                yield read
        finally:
            event.remove(session, "do_orm_execute", check)

    monkeypatch.setattr(support_access_log, "recorded_reads", checked)
    return found
