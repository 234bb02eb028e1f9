"""The liveness and readiness checks, and mutations without the broker."""

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

UNREACHABLE_BROKER = "redis://127.0.0.1:1/0"


def ready(api: Api) -> httpx.Response:
    return api.get("/readyz")


@pytest.fixture
def without_broker(harness: RunHarness) -> Iterator[Api]:
    with running_api(harness.settings.model_copy(update={"redis_url": UNREACHABLE_BROKER})) as running:
        yield running


@pytest.fixture
def no_overdue_runs(harness: RunHarness) -> None:
    """Make the overdue runs of other tests, for which no worker runs, due now."""
    harness.transact(
        lambda session: session.execute(
            update(Run).where(col(Run.due_at) < clock(session)).values(due_at=clock(session))
        )
    )


@pytest.mark.usefixtures("no_overdue_runs")
def test_a_process_with_database_migrations_and_broker_is_ready(api: Api) -> None:
    response = ready(api)

    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert {name: check["ok"] for name, check in response.json()["checks"].items()} == {
        "database": True,
        "migrations": True,
        "broker": True,
        "oldest_due_run": True,
        "rights": True,
    }


def test_an_unreachable_broker_fails_its_check_while_mutations_still_commit(
    without_broker: Api, harness: RunHarness
) -> None:
    owner = without_broker.member(harness.organisation.id)

    response = ready(without_broker)
    payload = owner.mutate("createTenant", "run { status }", slug="shop", plan="free", firstAdminEmail="a@b.example")

    assert response.status_code == 503
    assert response.json()["checks"]["broker"] == {"ok": False, "reason": "it cannot be reached"}
    assert response.json()["checks"]["database"] == {"ok": True}
    assert payload == {"run": {"status": "QUEUED"}, "userErrors": []}


def test_an_exception_without_a_message_fails_its_check(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("server.health._seconds_overdue", fails)

    answer = api.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["oldest_due_run"] == {"ok": False, "reason": "it cannot be reached"}


def test_an_unreachable_database_fails_its_checks_while_the_process_is_alive(harness: RunHarness) -> None:
    unreachable = harness.settings.model_copy(update={"database_url": "postgresql://postgres@127.0.0.1:1/none"})
    with running_api(unreachable) as api:
        response = ready(api)
        alive = api.get("/healthz")

    checks = response.json()["checks"]
    assert response.status_code == 503
    assert [name for name, check in checks.items() if check["ok"]] == ["broker"]
    assert alive.json() == {"status": "ok"}


def test_a_database_at_another_revision_fails_the_check_of_migrations(harness: RunHarness) -> None:
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
    assert "no worker is running, or the workers have a backlog" in late.json()["checks"]["oldest_due_run"]["reason"]
