"""The names of a run's resources are unique, short enough and derived from the run alone."""

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


def test_names_contain_the_tenant_and_the_run_number() -> None:
    names = ResourceNames(TENANT, "shop-acme", 3)

    assert derived_names(names) == [
        "t_shop_acme_0abcdef0_r3",
        "key-shop-acme-0abcdef0-r3",
        "account-shop-acme-0abcdef0-r3",
        "workload-shop-acme-0abcdef0-r3",
        "shop-acme-0abcdef0-r3",
    ]


@pytest.mark.parametrize("number", [1, 99, 99_999_999])
def test_the_longest_schema_and_role_names_are_not_truncated_by_postgres(number: int) -> None:
    names = ResourceNames(new_id(), LONGEST, number)

    assert len(names.schema) <= 63
    assert len(names.role) <= 63


def test_the_longest_names_fit_into_their_columns() -> None:
    assert max(len(name) for name in derived_names(ResourceNames(new_id(), LONGEST, 99_999_999))) <= 120


def test_two_runs_have_no_name_in_common() -> None:
    tenants = [new_id() for _ in range(50)]
    runs = [ResourceNames(tenant, LONGEST, number) for tenant in tenants for number in (1, 2, 12)]

    assert len({name for run in runs for name in derived_names(run)}) == len(runs) * 5


def test_a_recreated_tenant_has_different_names() -> None:
    old, new = ResourceNames(new_id(), "shop-acme", 1), ResourceNames(new_id(), "shop-acme", 1)

    assert not set(derived_names(old)) & set(derived_names(new))


def test_tenants_with_the_same_address_have_different_names() -> None:
    one, other = ResourceNames(new_id(), "a-b-c", 1), ResourceNames(new_id(), "a-b-c", 1)

    assert one.schema != other.schema


def test_the_names_of_a_run_are_repeatable() -> None:
    assert derived_names(ResourceNames(TENANT, "shop-acme", 1)) == derived_names(ResourceNames(TENANT, "shop-acme", 1))
