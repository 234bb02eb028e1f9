"""Readiness names what is missing; what only needs the database goes on without the broker."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.engine import make_url
from sqlmodel import col

from models import Run
from runtime.database import clock, sqlalchemy_url
from tests.api import Api, running_api
from tests.run_harness import RunHarness

NOWHERE = "redis://127.0.0.1:1/0"


def ready(api: Api) -> httpx.Response:
    return api.get("/readyz")


@pytest.fixture
def without_broker(harness: RunHarness) -> Iterator[Api]:
    with running_api(harness.settings.model_copy(update={"redis_url": NOWHERE})) as running:
        yield running


@pytest.fixture
def punctual(harness: RunHarness) -> None:
    """Runs that other tests have left, and nobody works for, are due only now."""
    harness.transact(
        lambda session: session.execute(
            update(Run).where(col(Run.due_at) < clock(session)).values(due_at=clock(session))
        )
    )


@pytest.mark.usefixtures("punctual")
def test_everything_is_there(api: Api) -> None:
    response = ready(api)

    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert {name: check["ok"] for name, check in response.json()["checks"].items()} == {
        "database": True,
        "migrations": True,
        "broker": True,
        "oldest_due_run": True,
    }


def test_a_broker_that_is_away_is_named_and_mutations_commit_all_the_same(
    without_broker: Api, harness: RunHarness
) -> None:
    owner = without_broker.member(harness.organisation.id)

    response = ready(without_broker)
    payload = owner.mutate("createTenant", "run { status }", slug="shop", plan="free", firstAdminEmail="a@b.example")

    assert response.status_code == 503
    assert response.json()["checks"]["broker"] == {"ok": False, "reason": "it cannot be reached"}
    assert response.json()["checks"]["database"] == {"ok": True}
    assert payload == {"run": {"status": "QUEUED"}, "userErrors": []}


def test_a_failure_without_a_word_is_a_failure_like_any_other(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("server.health._seconds_overdue", fails)

    answer = api.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["oldest_due_run"] == {"ok": False, "reason": "it cannot be reached"}


def test_a_database_that_is_away_is_named(harness: RunHarness) -> None:
    nowhere = harness.settings.model_copy(update={"database_url": "postgresql://postgres@127.0.0.1:1/none"})
    with running_api(nowhere) as api:
        response = ready(api)
        alive = api.get("/healthz")

    checks = response.json()["checks"]
    assert response.status_code == 503
    assert [name for name, check in checks.items() if check["ok"]] == ["broker"]
    assert alive.json() == {"status": "ok"}


def test_a_database_at_another_revision_is_named(harness: RunHarness) -> None:
    empty = f"empty_{harness.organisation.slug.replace('-', '_')}"
    engine = create_engine(sqlalchemy_url(harness.settings.database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {empty}"))
    url = make_url(harness.settings.database_url).set(database=empty).render_as_string(hide_password=False)
    with running_api(harness.settings.model_copy(update={"database_url": url})) as api:
        response = ready(api)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {empty} WITH (FORCE)"))
    engine.dispose()

    assert response.status_code == 503
    assert "python -m server migrate" in response.json()["checks"]["migrations"]["reason"]


def test_a_run_that_no_worker_moves_fails_the_readiness_check(api: Api, harness: RunHarness) -> None:
    harness.create()
    with harness.database.transaction() as session:
        long_ago = clock(session) - timedelta(minutes=5)
        session.execute(update(Run).where(col(Run.tenant_id) == harness.tenant_id).values(due_at=long_ago))

    late = ready(api)
    harness.make_moves()

    assert late.status_code == 503
    assert "no worker is running" in late.json()["checks"]["oldest_due_run"]["reason"]
