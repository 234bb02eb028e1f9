"""slugCheck and provisioningOptions agree with what createTenant accepts."""

from typing import Any

import pytest

from models import Organisation, TenantState
from models.columns import new_id
from runtime.database import clock
from tests.api import Api, Client, Facts
from tests.run_harness import RunHarness
from tests.tenant_states import all_rows, bring_tenant_to

CHECK = "query Check($slug: String!) { slugCheck(slug: $slug) { slug available problem url } }"
OTHER_FIELDS: dict[str, Any] = {"plan": "starter", "firstAdminEmail": "ada@shop.example", "start": False}


def check(client: Client, slug: str) -> Facts:
    slug_check: Facts = client.execute(CHECK, slug=slug)["slugCheck"]
    return slug_check


def refusal_of(client: Client, slug: str) -> Facts:
    (error,) = client.mutate("createTenant", slug=slug, **OTHER_FIELDS)["userErrors"]
    assert isinstance(error, dict)
    return error


def create_organisation(harness: RunHarness, slug: str) -> Organisation:
    with harness.database.transaction() as session:
        organisation = Organisation(slug=slug, name=slug, plan_code="enterprise", created_at=clock(session))
        session.add(organisation)
    return organisation


def test_a_free_slug_is_available_and_has_a_url(harness: RunHarness, owner: Client) -> None:
    assert check(owner, "books") == {
        "slug": "books",
        "available": True,
        "problem": None,
        "url": f"http://books-{harness.organisation.slug}.localhost",
    }
    assert owner.mutate("createTenant", "tenant { url }", slug="books", **OTHER_FIELDS) == {
        "tenant": {"url": f"http://books-{harness.organisation.slug}.localhost"},
        "userErrors": [],
    }


def test_a_slug_check_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create("books", start=False)
    before = all_rows(harness)

    check(owner, "books")
    check(owner, "Books!")

    assert all_rows(harness) == before


def test_a_taken_slug_is_unavailable_for_the_reason_that_create_tenant_gives(
    harness: RunHarness, owner: Client
) -> None:
    harness.create("books", start=False)

    found, refusal = check(owner, "books"), refusal_of(owner, "books")

    assert refusal["code"] == "TAKEN"
    assert found == {
        "slug": "books",
        "available": False,
        "problem": refusal["message"],
        "url": f"http://books-{harness.organisation.slug}.localhost",
    }


def test_the_slug_of_a_decommissioned_tenant_is_available_again(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.DECOMMISSIONED)

    assert check(owner, "shop")["available"]


@pytest.mark.parametrize(
    "slug", ["", "b", "Books", "9lives", "a--b", "a-", "bücher", "two words", "admin", "b" * 41, "a\0b"]
)
def test_an_invalid_slug_has_a_problem_and_no_url(owner: Client, slug: str) -> None:
    found, refusal = check(owner, slug), refusal_of(owner, slug)

    assert refusal["code"] == "INVALID"
    assert found == {"slug": slug, "available": False, "problem": refusal["message"], "url": None}


def test_a_slug_whose_host_name_would_be_too_long_has_a_problem(api: Api, harness: RunHarness) -> None:
    caller = api.member(create_organisation(harness, f"o{new_id().hex}").id)

    found, refusal = check(caller, "b" * 40), refusal_of(caller, "b" * 40)

    assert refusal["code"] == "INVALID"
    assert found == {"slug": "b" * 40, "available": False, "problem": refusal["message"], "url": None}


def test_a_slug_check_returns_at_most_300_characters_of_the_slug(owner: Client) -> None:
    assert check(owner, "b" * 1000)["slug"] == "b" * 300


def test_a_slug_taken_in_another_organisation_is_available(
    harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    other.create("books", start=False)

    assert check(owner, "books")["available"]


def test_a_host_name_of_another_organisation_is_only_revealed_by_create_tenant(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    theirs = api.member(create_organisation(harness, f"b-{harness.organisation.slug}").id)
    assert theirs.mutate("createTenant", slug="aa", **OTHER_FIELDS)["userErrors"] == []

    assert check(owner, "aa-b")["available"]
    assert refusal_of(owner, "aa-b")["code"] == "TAKEN"


def test_a_caller_without_the_right_to_create_tenants_may_not_check_slugs(api: Api, harness: RunHarness) -> None:
    limited = api.service_account(
        harness.organisation.id, "tenants:read", "tenants:write", only={harness.create().tenant.id}
    )
    reader = api.service_account(harness.organisation.id, "tenants:read")

    for client in (limited, reader, api.support()):
        assert client.error(CHECK, slug="shop")["extensions"]["code"] == "FORBIDDEN"


def test_plans_are_ordered_by_size_and_regions_with_the_default_first(harness: RunHarness, owner: Client) -> None:
    offered = owner.execute("{ provisioningOptions { plans regions } }")["provisioningOptions"]

    assert offered == {"plans": ["free", "starter", "pro", "enterprise"], "regions": ["eu-central", "us-east"]}


def test_create_tenant_accepts_every_plan_and_region_offered(harness: RunHarness, owner: Client) -> None:
    offered = owner.execute("{ provisioningOptions { plans regions } }")["provisioningOptions"]
    choices = [(plan, region) for plan in offered["plans"] for region in offered["regions"]]

    for number, (plan, region) in enumerate(choices):
        wanted = OTHER_FIELDS | {"slug": f"shop-{number}", "plan": plan, "region": region}
        assert owner.mutate("createTenant", "tenant { plan region }", **wanted) == {
            "tenant": {"plan": plan, "region": region},
            "userErrors": [],
        }
