"""The audit feed's records of support access, and the names under which support and others see members."""

from models import Role
from tests.access import events_of
from tests.api import Api, Client, tenant_gid
from tests.run_harness import RunHarness

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
