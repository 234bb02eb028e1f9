"""What forms offer before anything is sent: slugs that are free, plans, regions; and what createTenant says then."""

from typing import Any

import pytest

from models import Organisation, TenantState
from models.columns import new_id
from runtime.database import clock
from tests.api import Api, Client, Facts
from tests.run_harness import RunHarness
from tests.scenarios import all_rows, bring_tenant_to

CHECK = "query Check($slug: String!) { slugCheck(slug: $slug) { slug available problem url } }"
ADMIN: dict[str, Any] = {"plan": "starter", "firstAdminEmail": "ada@shop.example", "start": False}


def check(client: Client, slug: str) -> Facts:
    found: Facts = client.execute(CHECK, slug=slug)["slugCheck"]
    return found


def refusal_of(client: Client, slug: str) -> Facts:
    (error,) = client.mutate("createTenant", slug=slug, **ADMIN)["userErrors"]
    assert isinstance(error, dict)
    return error


def founded(harness: RunHarness, slug: str) -> Organisation:
    """One more organisation."""
    with harness.database.transaction() as session:
        organisation = Organisation(slug=slug, name=slug, plan_code="enterprise", created_at=clock(session))
        session.add(organisation)
    return organisation


def test_a_free_slug_is_available_and_has_an_address(harness: RunHarness, owner: Client) -> None:
    assert check(owner, "books") == {
        "slug": "books",
        "available": True,
        "problem": None,
        "url": f"http://books-{harness.organisation.slug}.localhost",
    }
    assert owner.mutate("createTenant", "tenant { url }", slug="books", **ADMIN) == {
        "tenant": {"url": f"http://books-{harness.organisation.slug}.localhost"},
        "userErrors": [],
    }


def test_asking_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create("books", start=False)
    before = all_rows(harness)

    check(owner, "books")
    check(owner, "Books!")

    assert all_rows(harness) == before


def test_a_slug_that_is_taken_is_not_available_as_create_tenant_says_too(harness: RunHarness, owner: Client) -> None:
    harness.create("books", start=False)

    found, refusal = check(owner, "books"), refusal_of(owner, "books")

    assert refusal["code"] == "TAKEN"
    assert found == {
        "slug": "books",
        "available": False,
        "problem": refusal["message"],
        "url": f"http://books-{harness.organisation.slug}.localhost",
    }


def test_the_slug_of_a_decommissioned_tenant_is_free_again(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.DECOMMISSIONED)

    assert check(owner, "shop")["available"]


@pytest.mark.parametrize(
    "slug", ["", "b", "Books", "9lives", "a--b", "a-", "bücher", "two words", "admin", "b" * 41, "a\0b"]
)
def test_a_slug_that_breaks_a_rule_has_a_problem_and_no_address(owner: Client, slug: str) -> None:
    found, refusal = check(owner, slug), refusal_of(owner, slug)

    assert refusal["code"] == "INVALID"
    assert found == {"slug": slug, "available": False, "problem": refusal["message"], "url": None}


def test_a_slug_that_makes_too_long_an_address_has_a_problem_too(api: Api, harness: RunHarness) -> None:
    long = api.member(founded(harness, f"o{new_id().hex}").id)

    found, refusal = check(long, "b" * 40), refusal_of(long, "b" * 40)

    assert refusal["code"] == "INVALID"
    assert found == {"slug": "b" * 40, "available": False, "problem": refusal["message"], "url": None}


def test_only_so_much_of_a_slug_is_said_again(owner: Client) -> None:
    assert check(owner, "b" * 1000)["slug"] == "b" * 300


def test_slugs_of_other_organisations_are_free(harness: RunHarness, other: RunHarness, owner: Client) -> None:
    other.create("books", start=False)

    assert check(owner, "books")["available"]


def test_an_address_that_another_organisation_holds_is_told_to_nobody_who_does_not_insist(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    theirs = api.member(founded(harness, f"b-{harness.organisation.slug}").id)
    assert theirs.mutate("createTenant", slug="aa", **ADMIN)["userErrors"] == []

    assert check(owner, "aa-b")["available"]
    assert refusal_of(owner, "aa-b")["code"] == "TAKEN"


def test_whoever_may_not_create_tenants_learns_nothing_of_slugs(api: Api, harness: RunHarness) -> None:
    limited = api.service_account(
        harness.organisation.id, "tenants:read", "tenants:write", only={harness.create().tenant.id}
    )
    reader = api.service_account(harness.organisation.id, "tenants:read")

    for client in (limited, reader, api.support()):
        assert client.error(CHECK, slug="shop")["extensions"]["code"] == "FORBIDDEN"


def test_plans_come_by_their_size_and_regions_with_the_default_first(harness: RunHarness, owner: Client) -> None:
    offered = owner.execute("{ provisioningOptions { plans regions } }")["provisioningOptions"]

    assert offered == {"plans": ["free", "starter", "pro", "enterprise"], "regions": ["eu-central", "us-east"]}


def test_what_is_offered_is_taken(harness: RunHarness, owner: Client) -> None:
    offered = owner.execute("{ provisioningOptions { plans regions } }")["provisioningOptions"]
    choices = [(plan, region) for plan in offered["plans"] for region in offered["regions"]]

    for number, (plan, region) in enumerate(choices):
        wanted = ADMIN | {"slug": f"shop-{number}", "plan": plan, "region": region}
        assert owner.mutate("createTenant", "tenant { plan region }", **wanted) == {
            "tenant": {"plan": plan, "region": region},
            "userErrors": [],
        }
