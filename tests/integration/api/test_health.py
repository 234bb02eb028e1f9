"""The liveness and readiness checks, and mutations without the broker."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import httpx
import pytest
import redis
from sqlalchemy import create_engine, text, update
from sqlalchemy.engine import make_url
from sqlmodel import col

from models import Run
from runtime.database import clock, sqlalchemy_url
from tests.api import Api, running_api
from tests.run_harness import RunHarness
from tests.waiting import wait_until

UNREACHABLE_BROKER = "redis://127.0.0.1:1/0"


def ready(api: Api) -> httpx.Response:
    return api.get("/readyz")


@pytest.fixture(autouse=True)
def fresh_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a report for each request: the tests share one API."""
    monkeypatch.setattr("server.health.REPORT_LIFETIME", 0.0)


@contextmanager
def read_only_database(harness: RunHarness) -> Iterator[None]:
    """New sessions of the database are read-only, as on a server that protects itself from a full disk."""
    engine = create_engine(sqlalchemy_url(harness.settings.database_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT quote_ident(current_database())"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        try:
            yield
        finally:
            connection.execute(text("SET transaction_read_only = off"))
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    engine.dispose()


@contextmanager
def full_broker(client: redis.Redis) -> Iterator[None]:
    """The broker has reached maxmemory and evicts nothing."""
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


@contextmanager
def replica_broker(client: redis.Redis) -> Iterator[None]:
    """The broker is a replica, which refuses writes; its primary is away."""
    client.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        client.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [(full_broker, "it is full: it has reached maxmemory"), (replica_broker, "it is a read-only replica")],
)
def test_a_broker_that_refuses_writes_is_not_ready(
    api: Api, redis_url: str, hostile: Callable[[redis.Redis], AbstractContextManager[None]], reason: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        with hostile(client):
            client.ping()
            response = ready(api)
        again = ready(api)

    assert response.status_code == 503
    assert response.json()["checks"]["broker"] == {"ok": False, "reason": reason}
    assert again.json()["checks"]["broker"] == {"ok": True}


def test_a_check_of_the_broker_leaves_no_key(api: Api, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        before = set(client.keys())
        ready(api)

        assert set(client.keys()) - before == set()


def test_a_read_only_database_is_not_ready_although_it_can_be_read(harness: RunHarness) -> None:
    with read_only_database(harness), running_api(harness.settings) as api:
        response = ready(api)

    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["database"] == {"ok": False, "reason": "it is read-only"}
    assert checks["migrations"] == {"ok": True}


def test_a_commit_that_hangs_makes_the_database_unready_and_is_not_joined_by_others(
    api: Api, harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.health.CHECK_TIMEOUT", 0.3)
    with harness.database.transaction() as session:
        session.execute(text("LOCK TABLE readiness_checks IN ACCESS EXCLUSIVE MODE"))
        first, second = ready(api), ready(api)

    assert first.json()["checks"]["database"]["ok"] is False
    assert second.json()["checks"]["database"] == {"ok": False, "reason": "an earlier write has not been committed yet"}
    wait_until(lambda: ready(api).json()["checks"]["database"]["ok"])


def test_requests_of_one_second_share_a_report(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.health.REPORT_LIFETIME", 60.0)
    ready(api)

    with api.statements() as statements, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ready(api).status_code, range(40)))

    assert len(set(answers)) == 1
    assert [statement for statement in statements if "readiness_checks" in statement] == []


def test_requests_that_arrive_during_a_report_wait_for_it(api: Api) -> None:
    with api.statements() as statements, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ready(api), range(8)))

    assert len([statement for statement in statements if "readiness_checks" in statement]) < 8


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
    assert response.json()["checks"]["broker"] == {
        "ok": False,
        "reason": "it cannot be reached, or refuses connections",
    }
    assert response.json()["checks"]["database"] == {"ok": True}
    assert payload == {"run": {"status": "QUEUED"}, "userErrors": []}


def test_an_exception_without_a_message_fails_its_check(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("server.health._seconds_overdue", fails)

    answer = api.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["oldest_due_run"] == {
        "ok": False,
        "reason": "it cannot be reached, or refuses connections",
    }


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
