"""What a tenant's values must be like."""

from collections.abc import Callable
from typing import Any

import pytest

from models import Organisation
from provisioning import validation
from provisioning.errors import Malformed

REGIONS = ("eu-central", "us-east")


def refusal_of(check: Callable[[], object]) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        check()
    return refusal.value


@pytest.mark.parametrize("slug", ["ab", "a1", "shop", "a-b", "shop-2-go", "a" * 40, "x" + "-1" * 19])
def test_a_well_formed_slug_is_taken_as_it_is(slug: str) -> None:
    assert validation.check_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    ["", "a", "a" * 41, "1shop", "-shop", "shop-", "sh--op", "Shop", "sh op", "sh_op", "shöp", "shop\n", " shop", "a.b"]
    + ["sh\x00op", "\u0455hop", "shop\u0661"],
)
def test_a_malformed_slug_is_refused_by_its_field(slug: str) -> None:
    assert refusal_of(lambda: validation.check_slug(slug)).field == "slug"


@pytest.mark.parametrize("slug", sorted(validation.RESERVED_SLUGS))
def test_a_reserved_word_is_no_slug(slug: str) -> None:
    refusal = refusal_of(lambda: validation.check_slug(slug))

    assert str(refusal) == f"'{slug}' is reserved for the platform: choose another slug."


def test_the_words_that_the_domain_names_are_reserved() -> None:
    assert {"manage", "www", "api", "admin"} <= validation.RESERVED_SLUGS


@pytest.mark.parametrize(
    ("given", "kept"), [("Shop", "Shop"), ("  Shop & Co ", "Shop & Co"), ("Grüße 🎉", "Grüße 🎉"), ("x" * 80, "x" * 80)]
)
def test_a_name_is_trimmed_and_otherwise_free(given: str, kept: str) -> None:
    assert validation.check_name(given) == kept


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\nb", "a\x00b", "a\u202eb", "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    assert refusal_of(lambda: validation.check_name(name)).field == "name"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("ada@shop.example", "ada@shop.example"), ("Ada@Shop.EXAMPLE", "Ada@shop.example"), ("a+b@x.test", "a+b@x.test")],
)
def test_a_mail_address_is_kept_in_its_normal_form(given: str, kept: str) -> None:
    assert validation.check_email(given) == kept


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@shop.example", "a b@shop.example", "ada@shop", "ada@@shop.example", "ada@shop..example"]
    + ["ada@shop.example\nBcc: eve@evil.example", "ada@" + "x" * 250 + ".example"],
)
def test_what_is_not_a_mail_address_is_refused(address: str) -> None:
    assert refusal_of(lambda: validation.check_email(address)).field == "first_admin_email"


def test_a_region_is_one_on_offer() -> None:
    assert validation.check_region("us-east", REGIONS) == "us-east"

    refusal = refusal_of(lambda: validation.check_region("moon", REGIONS))

    assert (refusal.field, str(refusal)) == (
        "region",
        "There is no region 'moon': choose one of eu-central, us-east.",
    )


@pytest.mark.parametrize(
    ("given", "kept"), [(None, None), ("", None), ("  ", None), (" typo ", "typo"), ("x" * 500, "x" * 500)]
)
def test_a_reason_may_be_missing(given: str | None, kept: str | None) -> None:
    assert validation.check_reason(given) == kept


@pytest.mark.parametrize("reason", ["a\0b", "half \ud800 pair", "\x1b[31mred", "a\x9fb", "a\x7fb", "a\rb"])
def test_a_reason_that_cannot_be_kept_or_shown_is_refused(reason: str) -> None:
    assert refusal_of(lambda: validation.check_reason(reason)).field == "reason"


@pytest.mark.parametrize("reason", ["one\n\ttwo", "naïve 👩‍🚀", "non\xa0breaking"])
def test_a_reason_may_have_lines_and_any_script(reason: str) -> None:
    assert validation.check_reason(reason) == reason
    assert validation.check_reason("one\r\ntwo") == "one\ntwo"


def test_a_reason_that_is_too_long_is_refused() -> None:
    assert refusal_of(lambda: validation.check_reason("x" * 501)).field == "reason"


def test_an_address_fits_into_one_dns_label() -> None:
    facts: dict[str, Any] = {"slug": "o" * 22}
    organisation = Organisation(**facts)

    assert validation.address_of("t" * 40, organisation) == f"{'t' * 40}-{'o' * 22}"

    organisation.slug = "o" * 23
    assert refusal_of(lambda: validation.address_of("t" * 40, organisation)).field == "slug"


@pytest.mark.parametrize(
    ("used", "allowed", "full", "exceeded"),
    [(0, 3, False, False), (2, 3, False, False), (3, 3, True, False), (4, 3, True, True)],
)
def test_a_quota_is_full_before_it_is_exceeded(
    used: int,
    allowed: int,
    full: bool,  # noqa: FBT001  # cases of a table
    exceeded: bool,  # noqa: FBT001  # the same
) -> None:
    quota = validation.Quota(used, allowed)

    assert (quota.full, quota.exceeded) == (full, exceeded)
