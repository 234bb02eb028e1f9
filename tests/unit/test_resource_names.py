"""The names of a run outside: they fit, they are unique, and they derive from nothing but the run."""

from uuid import UUID

import pytest

from models.columns import new_id
from provisioning.resource_names import ResourceNames

LONGEST = "t" * 40 + "-" + "o" * 22
TENANT = UUID("01890000-0000-7000-8000-00000abcdef0")


def derived_names(names: ResourceNames) -> list[str]:
    return [
        names.schema,
        names.signing_key,
        names.account,
        names.workload,
        names.stem,
    ]


def test_a_run_is_called_after_its_tenant_and_its_number() -> None:
    names = ResourceNames(TENANT, "shop-acme", 3)

    assert derived_names(names) == [
        "t_shop_acme_0abcdef0_r3",
        "key-shop-acme-0abcdef0-r3",
        "account-shop-acme-0abcdef0-r3",
        "workload-shop-acme-0abcdef0-r3",
        "shop-acme-0abcdef0-r3",
    ]


@pytest.mark.parametrize("number", [1, 99, 99_999_999])
def test_postgres_never_cuts_a_name(number: int) -> None:
    names = ResourceNames(new_id(), LONGEST, number)

    assert len(names.schema) <= 63
    assert len(names.role) <= 63


def test_names_fit_into_their_columns() -> None:
    assert max(len(name) for name in derived_names(ResourceNames(new_id(), LONGEST, 99_999_999))) <= 120


def test_no_two_runs_share_a_name() -> None:
    tenants = [new_id() for _ in range(50)]
    runs = [ResourceNames(tenant, LONGEST, number) for tenant in tenants for number in (1, 2, 12)]

    assert len({name for run in runs for name in derived_names(run)}) == len(runs) * 5


def test_a_recreated_tenant_has_names_of_its_own() -> None:
    old, new = ResourceNames(new_id(), "shop-acme", 1), ResourceNames(new_id(), "shop-acme", 1)

    assert not set(derived_names(old)) & set(derived_names(new))


def test_slugs_that_read_the_same_together_do_not_meet() -> None:
    one, other = ResourceNames(new_id(), "a-b-c", 1), ResourceNames(new_id(), "a-b-c", 1)

    assert one.schema != other.schema


def test_the_same_run_has_the_same_names_again() -> None:
    assert derived_names(ResourceNames(TENANT, "shop-acme", 1)) == derived_names(ResourceNames(TENANT, "shop-acme", 1))
