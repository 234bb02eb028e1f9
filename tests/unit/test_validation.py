"""The values of a tenant are normalized or refused with the field's name."""

from collections.abc import Callable

import pytest

from provisioning import validation
from provisioning.errors import Malformed

REGIONS = ("eu-central", "us-east")


def refusal_of(check: Callable[[], object]) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        check()
    return refusal.value


@pytest.mark.parametrize("slug", ["ab", "a1", "shop", "a-b", "shop-2-go", "a" * 40, "x" + "-1" * 19])
def test_a_valid_slug_is_unchanged(slug: str) -> None:
    assert validation.check_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    ["", "a", "a" * 41, "1shop", "-shop", "shop-", "sh--op", "Shop", "sh op", "sh_op", "shöp", "shop\n", " shop", "a.b"]
    + ["sh\x00op", "\u0455hop", "shop\u0661"],
)
def test_an_invalid_slug_is_refused_with_its_field(slug: str) -> None:
    assert refusal_of(lambda: validation.check_slug(slug)).field == "slug"


@pytest.mark.parametrize("slug", sorted(validation.RESERVED_SLUGS))
def test_a_reserved_word_is_refused_as_a_slug(slug: str) -> None:
    refusal = refusal_of(lambda: validation.check_slug(slug))

    assert str(refusal) == f"'{slug}' is reserved for the platform: choose another slug."


def test_the_names_of_the_platforms_hosts_are_reserved() -> None:
    assert {"manage", "www", "api", "admin"} <= validation.RESERVED_SLUGS


@pytest.mark.parametrize(
    ("given", "expected"),
    [("Shop", "Shop"), ("  Shop & Co ", "Shop & Co"), ("Grüße 🎉", "Grüße 🎉"), ("x" * 80, "x" * 80)],
)
def test_a_name_is_trimmed_and_otherwise_unchanged(given: str, expected: str) -> None:
    assert validation.check_name(given) == expected


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\nb", "a\x00b", "a\u202eb", "\ud800"])
def test_an_empty_long_or_unprintable_name_is_refused(name: str) -> None:
    assert refusal_of(lambda: validation.check_name(name)).field == "name"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("ada@shop.example", "ada@shop.example"), ("Ada@Shop.EXAMPLE", "Ada@shop.example"), ("a+b@x.test", "a+b@x.test")],
)
def test_an_email_address_is_normalized(given: str, expected: str) -> None:
    assert validation.check_email(given) == expected


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@", "@shop.example", "a b@shop.example", "ada@shop", "ada@@shop.example", "ada@shop..example"]
    + ["ada@shop.example\nBcc: eve@evil.example", "ada@" + "x" * 250 + ".example"],
)
def test_an_invalid_email_address_is_refused(address: str) -> None:
    assert refusal_of(lambda: validation.check_email(address)).field == "first_admin_email"


def test_an_unknown_region_is_refused_with_the_known_ones() -> None:
    assert validation.check_region("us-east", REGIONS) == "us-east"

    refusal = refusal_of(lambda: validation.check_region("moon", REGIONS))

    assert (refusal.field, str(refusal)) == (
        "region",
        "There is no region 'moon': choose one of eu-central, us-east.",
    )


@pytest.mark.parametrize(
    ("given", "expected"), [(None, None), ("", None), ("  ", None), (" typo ", "typo"), ("x" * 500, "x" * 500)]
)
def test_a_blank_reason_is_none_and_others_are_trimmed(given: str | None, expected: str | None) -> None:
    assert validation.check_reason(given) == expected


@pytest.mark.parametrize("reason", ["a\0b", "half \ud800 pair", "\x1b[31mred", "a\x9fb", "a\x7fb", "a\rb"])
def test_a_reason_with_control_characters_is_refused(reason: str) -> None:
    assert refusal_of(lambda: validation.check_reason(reason)).field == "reason"


@pytest.mark.parametrize("reason", ["one\n\ttwo", "naïve 👩‍🚀", "non\xa0breaking"])
def test_a_reason_may_have_lines_and_any_script(reason: str) -> None:
    assert validation.check_reason(reason) == reason
    assert validation.check_reason("one\r\ntwo") == "one\ntwo"


def test_a_reason_that_is_too_long_is_refused() -> None:
    assert refusal_of(lambda: validation.check_reason("x" * 501)).field == "reason"


def test_an_address_fits_into_one_dns_label() -> None:
    assert validation.address_of("t" * 40, "o" * 22) == f"{'t' * 40}-{'o' * 22}"

    assert refusal_of(lambda: validation.address_of("t" * 40, "o" * 23)).field == "slug"


@pytest.mark.parametrize(
    ("used", "allowed", "full", "exceeded"),
    [(0, 3, False, False), (2, 3, False, False), (3, 3, True, False), (4, 3, True, True)],
)
def test_a_quota_is_full_before_it_is_exceeded(
    used: int,
    allowed: int,
    full: bool,  # noqa: FBT001  # parameters of the test
    exceeded: bool,  # noqa: FBT001  # the same
) -> None:
    quota = validation.Quota(used, allowed)

    assert (quota.full, quota.exceeded) == (full, exceeded)
