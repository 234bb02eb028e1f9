"""The host names of tenants are distinguished from the product's own."""

import pytest

from edge.hosts import is_tenant_host
from tests.builders import settings_with

SETTINGS = settings_with(
    "postgresql://unused", tenant_domain="Tenantry.example", console_url="https://my-console.tenantry.example"
)


@pytest.mark.parametrize(
    "host",
    [
        "shop-acme.tenantry.example",
        "SHOP-acme.tenantry.EXAMPLE:8000",
        "a1-b2-c3.tenantry.example.",
        "s-a.tenantry.example",
    ],
)
def test_a_host_name_of_two_slugs_below_the_domain_is_a_tenants(host: str) -> None:
    assert is_tenant_host(host, SETTINGS)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "tenantry.example",
        "api.tenantry.example",
        "shop-acme.elsewhere.example",
        "shop-acme.tenantry.example.evil.example",
        "a.shop-acme.tenantry.example",
        "-acme.tenantry.example",
        "shop-.tenantry.example",
        "shop--acme.tenantry.example",
        "shop_acme.tenantry.example",
        "my-console.tenantry.example",
    ],
)
def test_every_other_host_name_is_not_a_tenants(host: str) -> None:
    assert not is_tenant_host(host, SETTINGS)
