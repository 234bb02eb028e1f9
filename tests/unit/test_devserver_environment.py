"""The environment that the development server gives the product's processes."""

from pathlib import Path

import pytest

from devserver.options import Options
from devserver.product import environment


def variables(data: Path) -> dict[str, str]:
    return environment(Options(data=data), database_url="postgresql://db", redis_url="redis://db", smtp_port=25)


@pytest.fixture(autouse=True)
def exported(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("TENANTRY_OIDC_ISSUER", "TENANTRY_SEEDED_TOKENS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_dashboard_offers_the_tokens_of_the_seed(tmp_path: Path) -> None:
    assert variables(tmp_path)["TENANTRY_SEEDED_TOKENS"] == str(tmp_path / "tokens.json")


def test_the_dashboard_offers_no_tokens_when_there_is_a_provider(tmp_path: Path, exported: pytest.MonkeyPatch) -> None:
    exported.setenv("TENANTRY_OIDC_ISSUER", "https://login.example.com")

    assert "TENANTRY_SEEDED_TOKENS" not in variables(tmp_path)


def test_an_exported_variable_can_withhold_the_tokens(tmp_path: Path, exported: pytest.MonkeyPatch) -> None:
    exported.setenv("TENANTRY_SEEDED_TOKENS", "")

    assert variables(tmp_path)["TENANTRY_SEEDED_TOKENS"] == ""
