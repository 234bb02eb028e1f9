"""What the development server tells the product's processes."""

from pathlib import Path

import pytest

from devserver.options import Options
from devserver.product import environment


def told(data: Path) -> dict[str, str]:
    return environment(Options(data=data), database_url="postgresql://db", redis_url="redis://db", smtp_port=25)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("TENANTRY_OIDC_ISSUER", "TENANTRY_SEEDED_TOKENS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_dashboard_offers_the_tokens_of_the_seed(tmp_path: Path) -> None:
    assert told(tmp_path)["TENANTRY_SEEDED_TOKENS"] == str(tmp_path / "tokens.json")


def test_not_where_people_sign_in_with_a_provider(tmp_path: Path, surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("TENANTRY_OIDC_ISSUER", "https://login.example.com")

    assert "TENANTRY_SEEDED_TOKENS" not in told(tmp_path)


def test_not_when_the_person_said_otherwise(tmp_path: Path, surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("TENANTRY_SEEDED_TOKENS", "")

    assert told(tmp_path)["TENANTRY_SEEDED_TOKENS"] == ""
