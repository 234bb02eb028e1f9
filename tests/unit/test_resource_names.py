"""The names of a run's resources are unique, short enough and derived from the run alone."""

import re
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.columns import new_id
from provisioning.resource_names import ResourceNames
from provisioning.validation import MAX_ADDRESS_LENGTH
from runtime.addresses import LONGEST_DOMAIN
from tests.promises.documents import document, quoted

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


def test_the_deployers_contract_states_the_longest_names() -> None:
    limits = document("docs/deployer.md").section("Limits").rows()
    rows = {name: row.cells[1] for row in limits for name in quoted(row.cells[0])}
    names = ResourceNames(new_id(), LONGEST, 1)

    assert rows["name"].startswith(f"{len(names.workload)} characters")
    assert rows["signing_key"].startswith(f"{len(names.signing_key)} characters")
    assert rows["host_name"].startswith(f"{MAX_ADDRESS_LENGTH + 1 + LONGEST_DOMAIN} characters")
    assert rows["storage_schema"].startswith("63 characters")  # of the column


@settings(max_examples=50, deadline=None)
@given(address=st.from_regex(r"[a-z][a-z0-9-]{1,61}[a-z0-9]", fullmatch=True), number=st.integers(1, 10**8))
@example(address=LONGEST, number=1)
def test_the_documented_way_to_shorten_a_name_keeps_runs_apart(address: str, number: int) -> None:
    [source] = re.findall(r"```python\n(from hashlib.*?)```", document("docs/deployer.md").text, re.DOTALL)
    module: dict[str, Callable[[str], str]] = {}
    exec(source, module)
    tenant = new_id()
    one, next_one = (module["short"](ResourceNames(tenant, address, run).workload) for run in (number, number + 1))

    assert one != next_one
    assert max(len(one), len(next_one)) <= 63
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", one)
