"""Row-level security limits a caller's transactions to its own rows, even in statements without a filter."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import CursorResult, UpdateBase, delete, event, insert, text, update
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlmodel import Session, SQLModel, col, select

from models import (
    AbsenceCheck,
    ActorKind,
    Event,
    IdempotencyKey,
    Member,
    Organisation,
    Resource,
    Role,
    Run,
    RunStep,
    ServiceAccount,
    Tenant,
    TenantState,
)
from models.columns import new_id
from provisioning import idempotency, validation
from provisioning.actors import Actor
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from provisioning.idempotency import KeyedCall
from runtime.database import Database, clock, sqlstate
from runtime.row_level_security import SET_ROLE
from runtime.settings import settings
from tests.builders import settings_with
from tests.run_harness import RunHarness, run_harness_in
from tests.tenant_states import all_rows, bring_tenant_to

REFUSED = "42501"
"""SQLSTATE insufficient_privilege: a privilege that was not granted, or a row that a policy does not allow."""

READABLE: list[type[SQLModel]] = [
    Organisation,
    Member,
    ServiceAccount,
    Tenant,
    Run,
    RunStep,
    Resource,
    AbsenceCheck,
    Event,
    IdempotencyKey,
]
"""The tables that a caller may read."""

OF_MANAGERS = (Member, ServiceAccount)
"""Tables of which other callers may only read some columns: test_rights_of_callers.py."""

SUPPORT = Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example")


@dataclass(frozen=True)
class TwoOrganisations:
    """Two organisations with a row in each table of an organisation."""

    mine: RunHarness
    theirs: RunHarness

    def as_caller(self, **more: Any) -> Database:
        """The database as my organisation's operator sees it, with every right that a caller can have."""
        return self.mine.database.restricted_to(replace(self.mine.operator, **more).row_scope.managing())


@pytest.fixture(scope="module")
def two(database_url: str) -> Iterator[TwoOrganisations]:
    """Created once, for tests that only read or are refused."""
    with two_organisations() as created:
        yield created


@pytest.fixture
def changeable(database_url: str) -> Iterator[TwoOrganisations]:
    with two_organisations() as created:
        yield created


@contextmanager
def two_organisations() -> Iterator[TwoOrganisations]:
    with run_harness_in(settings()) as mine, run_harness_in(settings()) as theirs:
        for each in (mine, theirs):
            fill(each)
        yield TwoOrganisations(mine, theirs)


def fill(harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    harness.retry()
    harness.make_moves(until="allocate_traffic")
    harness.transact(_add_people, harness)
    harness.transact(_remember, harness)
    harness.transact(
        lambda session: session.add(AbsenceCheck(run_id=harness.run().id, asked_at=clock(session), found=[]))
    )


def _add_people(session: Session, harness: RunHarness) -> None:
    facts: dict[str, Any] = {"organisation_id": harness.organisation.id, "created_at": clock(session)}
    session.add(Member(email="ada@shop.example", name="Ada", role=Role.OWNER, **facts))
    session.add(ServiceAccount(name="Billing", scopes=["tenants:read"], **facts))


def _remember(session: Session, harness: RunHarness) -> None:
    call = KeyedCall(harness.operator.id, "createTenant", "key", "0" * 64)
    idempotency.store_outcome(session, call, {"tenant_id": str(harness.tenant_id)})


def owners_of(session: Session, model: type[SQLModel]) -> set[UUID]:
    """Ids of the owners of all rows that a statement without a filter finds."""
    return set(_owner_of_each_row(session, model))


def _owner_of_each_row(session: Session, model: type[SQLModel]) -> list[UUID]:
    runs = session.exec(select(Run)).all()  # kept in the session, so that no row needs a query for its run
    owners = [_owner(session, row) for row in session.exec(select(model))]
    del runs
    return owners


def _owner(session: Session, row: Any) -> UUID:
    match row:
        case Organisation():
            return row.id
        case IdempotencyKey():
            return row.caller_id
        case RunStep() | Resource() | AbsenceCheck():
            return session.get_one(Run, row.run_id).organisation_id
        case _:
            owner: UUID = row.organisation_id
            return owner


@pytest.mark.parametrize("model", READABLE, ids=lambda model: model.__tablename__)
def test_a_statement_without_a_filter_finds_only_the_callers_rows(two: TwoOrganisations, model: type[SQLModel]) -> None:
    mine = two.mine.operator.id if model is IdempotencyKey else two.mine.organisation.id

    seen = two.as_caller().transact(owners_of, model)
    all_of_them = two.mine.read(lambda session: owners_of(session, model))

    assert seen == {mine}
    assert len(all_of_them) >= 2


@pytest.mark.parametrize("model", READABLE, ids=lambda model: model.__tablename__)
def test_a_statement_finds_all_rows_of_the_caller(two: TwoOrganisations, model: type[SQLModel]) -> None:
    mine = two.mine.operator.id if model is IdempotencyKey else two.mine.organisation.id

    def found(session: Session) -> int:
        return _owner_of_each_row(session, model).count(mine)

    assert two.as_caller().transact(found) == two.mine.read(found) > 0


def rows_changed(session: Session, statement: UpdateBase) -> int:
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def test_an_update_without_a_filter_changes_only_the_callers_rows(changeable: TwoOrganisations) -> None:
    before = all_rows(changeable.theirs)

    changed = changeable.as_caller().transact(rows_changed, update(Tenant).values(name="Mine"))

    assert changed == 1
    assert all_rows(changeable.theirs) == before


def test_a_delete_without_a_filter_removes_only_the_callers_members(changeable: TwoOrganisations) -> None:
    changeable.mine.transact(lambda session: session.execute(update(Member).values(role=Role.ADMIN)))

    removed = changeable.as_caller().transact(rows_changed, delete(Member))

    assert removed == 1
    assert changeable.theirs.read(lambda session: changeable.theirs.organisation.id in owners_of(session, Member))


def test_a_lock_on_another_organisations_row_locks_nothing(two: TwoOrganisations) -> None:
    their_tenant = select(Tenant).where(Tenant.id == two.theirs.tenant_id).with_for_update()
    their_organisation = select(Organisation).where(Organisation.id == two.theirs.organisation.id).with_for_update()

    assert two.as_caller().transact(lambda session: session.exec(their_tenant).all()) == []
    assert two.as_caller().transact(lambda session: session.exec(their_organisation).all()) == []


def refused(database: Database, work: Callable[[Session], object]) -> str:
    """The message of Postgres's refusal. Fails when the work is not refused."""
    with pytest.raises(ProgrammingError) as refusal:
        database.transact(work)
    assert sqlstate(refusal.value) == REFUSED
    return str(refusal.value.orig).splitlines()[0]


def foreign_rows(two: TwoOrganisations) -> dict[str, SQLModel]:
    """A row of each table that a caller may write, in another organisation."""
    theirs, now = two.theirs.organisation.id, two.mine.read(clock)
    at: dict[str, Any] = {"organisation_id": theirs, "created_at": now}
    tenant = two.theirs.tenant().model_dump() | {"id": new_id(), "slug": "new", "address": f"new-{theirs}"}
    run = two.theirs.run().model_dump() | {"id": new_id(), "number": 9}
    denial: dict[str, Any] = {
        "type": "access.denied",
        "actor_kind": ActorKind.USER,
        "actor_id": two.mine.operator.id,
        "actor_name": "Olga",
    }
    mine: dict[str, Any] = at | denial | {"organisation_id": two.mine.organisation.id, "data": {}}
    step = two.theirs.steps()[0].model_dump() | {"position": 99, "name": "more"}
    kept: dict[str, Any] = {
        "caller_id": two.theirs.operator.id,
        "field": "f",
        "key": "k",
        "input_sha256": "",
        "outcome": {},
    }
    return {
        "tenants": Tenant(**tenant),
        "runs": Run(**run),
        "my run of their tenant": Run(**run | {"organisation_id": two.mine.organisation.id}),
        "run_steps": RunStep(**step),
        "events": Event(**at, **denial, data={}),
        "my event of their tenant": Event(**mine, tenant_id=two.theirs.tenant_id, sequence=99),
        "my event of their run": Event(**mine, run_id=two.theirs.run().id),
        "members": Member(**at, email="eve@shop.example", name="Eve", role=Role.ADMIN),
        "service_accounts": ServiceAccount(**at, name="Eve", scopes=[]),
        "idempotency_keys": IdempotencyKey(**kept, created_at=now, expires_at=now),
    }


FOREIGN_ROWS = [
    "tenants",
    "runs",
    "my run of their tenant",
    "run_steps",
    "events",
    "my event of their tenant",
    "my event of their run",
    "members",
    "service_accounts",
    "idempotency_keys",
]


@pytest.mark.parametrize("kind", FOREIGN_ROWS)
def test_an_insert_into_another_organisation_is_refused(two: TwoOrganisations, kind: str) -> None:
    row = foreign_rows(two)[kind]
    before = all_rows(two.theirs)

    message = refused(two.as_caller(), lambda session: session.execute(insert(type(row)).values(**row.model_dump(
        exclude={"transaction_id", "rank", "position"} if isinstance(row, Event) else None
    ))))  # fmt: skip

    assert message == f'new row violates row-level security policy for table "{row.__tablename__}"'
    assert all_rows(two.theirs) == before


@pytest.mark.parametrize("model", [Tenant, Run])
def test_moving_a_row_into_another_organisation_is_refused(two: TwoOrganisations, model: type[SQLModel]) -> None:
    move = update(model).values(organisation_id=two.theirs.organisation.id)

    message = refused(two.as_caller(), lambda session: session.execute(move))

    assert message == f"permission denied for table {model.__tablename__}"


def test_an_event_in_the_name_of_another_actor_is_refused(two: TwoOrganisations) -> None:
    another = replace(two.mine.operator, id=new_id())

    message = refused(
        two.as_caller(),
        lambda session: emit_for_organisation(
            session, two.mine.organisation.id, EventType.ACCESS_DENIED, {}, by=another
        ),
    )

    assert "row-level security" in message


def test_a_caller_limited_to_some_tenants_finds_only_those(changeable: TwoOrganisations) -> None:
    hidden = changeable.mine.create("hidden").tenant.id
    shown = changeable.mine.create("shown").tenant.id
    limited = changeable.as_caller(tenant_ids=frozenset({shown, changeable.theirs.tenant_id}))

    def found(session: Session) -> list[set[Any]]:
        runs = {run.id: run.tenant_id for run in session.exec(select(Run))}
        steps = {runs.get(step.run_id) for step in session.exec(select(RunStep))}
        return [
            {tenant.id for tenant in session.exec(select(Tenant))},
            set(runs.values()),
            steps,
            {event.tenant_id for event in session.exec(select(Event))},
            {resource.tenant_id for resource in session.exec(select(Resource))},
        ]

    assert limited.transact(found) == [{shown}, {shown}, {shown}, {shown}, set()]
    changed = limited.transact(rows_changed, update(Tenant).values(name="Mine"))
    assert changed == 1
    assert changeable.mine.read(lambda session: session.get_one(Tenant, hidden)).name == "hidden"


def test_a_caller_limited_to_no_tenants_finds_none(two: TwoOrganisations) -> None:
    limited = two.as_caller(tenant_ids=frozenset())

    assert [limited.transact(owners_of, model) for model in (Tenant, Run, RunStep, Resource, Event)] == [set()] * 5


def test_a_limited_caller_creates_no_tenant_and_counts_all_tenants_of_the_quota(changeable: TwoOrganisations) -> None:
    limited = changeable.as_caller(tenant_ids=frozenset({changeable.mine.tenant_id}))
    changeable.mine.create("hidden")
    fresh = changeable.mine.tenant().model_dump() | {"id": new_id(), "slug": "new", "address": f"new-{new_id().hex}"}

    message = refused(limited, lambda session: session.execute(insert(Tenant).values(**fresh)))
    count = select(validation.counted_tenants(col(Organisation.id)))

    assert "row-level security" in message
    assert limited.transact(lambda session: session.exec(count).all()) == [2]


def test_a_denial_of_a_limited_caller_is_recorded(changeable: TwoOrganisations) -> None:
    limited = replace(changeable.mine.operator, tenant_ids=frozenset({changeable.mine.tenant_id}))

    changeable.mine.database.restricted_to(limited.row_scope).transact(
        emit_for_organisation, changeable.mine.organisation.id, EventType.ACCESS_DENIED, {"action": "read"}, by=limited
    )

    denials = select(Event).where(
        Event.type == "access.denied", Event.organisation_id == changeable.mine.organisation.id
    )
    assert [denial.data for denial in changeable.mine.read(lambda session: list(session.exec(denials)))] == [
        {"action": "read"}
    ]


def test_a_count_of_another_organisations_tenants_is_zero(two: TwoOrganisations) -> None:
    states = sorted(TenantState)
    counted = text("SELECT count_tenants(:organisation, CAST(:states AS text[]))")
    values = {"organisation": two.theirs.organisation.id, "states": states}

    assert two.as_caller().transact(lambda session: session.scalar(counted, values)) == 0
    assert two.mine.read(lambda session: session.scalar(counted, values)) == 1


def test_support_sees_every_organisation(two: TwoOrganisations) -> None:
    support = two.mine.database.restricted_to(SUPPORT.row_scope)

    for model in READABLE:
        if model not in {IdempotencyKey, *OF_MANAGERS}:
            seen = support.transact(owners_of, model)
            assert seen >= {two.mine.organisation.id, two.theirs.organisation.id}, model
    assert "idempotency_keys" in refused(support, lambda session: session.exec(select(IdempotencyKey)).all())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants SET name = 'Mine'",
        "UPDATE runs SET error = 'x'",
        "DELETE FROM members",
        "INSERT INTO plans VALUES ('x', 'X', 1, 1)",
        "SELECT id FROM tenants FOR UPDATE",
        "SELECT id FROM organisations FOR UPDATE",
    ],
)
def test_support_changes_nothing(two: TwoOrganisations, statement: str) -> None:
    refused(two.mine.database.restricted_to(SUPPORT.row_scope), lambda session: session.execute(text(statement)))


def test_support_can_emit_only_its_own_denials(changeable: TwoOrganisations) -> None:
    support = changeable.mine.database.restricted_to(SUPPORT.row_scope)
    theirs = changeable.theirs.organisation.id

    support.transact(emit_for_organisation, theirs, EventType.ACCESS_DENIED, {}, by=SUPPORT)

    for kind, by in ((EventType.SUSPENDED, SUPPORT), (EventType.ACCESS_DENIED, changeable.theirs.operator)):
        emit: Any = lambda session, kind=kind, by=by: emit_for_organisation(session, theirs, kind, {}, by=by)  # noqa: E731  # binds the loop variables
        assert "row-level security" in refused(support, emit)
    denials = select(Event.actor_id).where(Event.type == "access.denied", Event.organisation_id == theirs)
    assert changeable.theirs.read(lambda session: list(session.exec(denials))) == [SUPPORT.id]


@pytest.mark.parametrize("role", ["tenantry_api", "tenantry_manager", "tenantry_limited"])
def test_a_transaction_without_a_caller_finds_nothing(two: TwoOrganisations, role: str) -> None:
    def found(session: Session) -> int:
        session.execute(text(f"SET LOCAL ROLE {role}"))
        readable = READABLE if role == "tenantry_manager" else [one for one in READABLE if one not in OF_MANAGERS]
        return sum(len(session.exec(select(model)).all()) for model in readable)

    assert two.mine.read(found) == 0


@pytest.fixture(params=["tenantry_api", "tenantry_manager", "tenantry_limited", "tenantry_support"])
def caller_database(two: TwoOrganisations, request: pytest.FixtureRequest) -> Database:
    """The database under one of the roles, for a caller that has rows."""
    return {
        "tenantry_api": two.mine.database.restricted_to(two.mine.operator.row_scope),
        "tenantry_manager": two.as_caller(),
        "tenantry_limited": two.as_caller(tenant_ids=frozenset({two.mine.tenant_id})),
        "tenantry_support": two.mine.database.restricted_to(SUPPORT.row_scope),
    }[request.param]


FORBIDDEN = [
    "DELETE FROM events",
    "UPDATE events SET data = '{}'",
    "TRUNCATE events",
    "SET LOCAL tenantry.retention = 'on'; DELETE FROM events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "DROP TRIGGER events_are_append_only ON events",
    "CREATE OR REPLACE FUNCTION refuse_to_change_events() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
    "SET LOCAL session_replication_role = replica",
    "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
    "DROP POLICY within_reach ON tenants",
    "CREATE POLICY more ON tenants USING (true)",
    "SET LOCAL row_security = off; SELECT count(*) FROM tenants",
    "DROP TABLE idempotency_keys",
    "CREATE TABLE loot (id int)",
    "DELETE FROM tenants",
    "DELETE FROM runs",
    "DELETE FROM run_steps",
    "DELETE FROM resources",
    "DELETE FROM organisations",
    "DELETE FROM idempotency_keys",
    "INSERT INTO resources (id) VALUES (gen_random_uuid())",
    "INSERT INTO organisations (id) VALUES (gen_random_uuid())",
    "INSERT INTO absence_checks (id) VALUES (gen_random_uuid())",
    "UPDATE resources SET released_at = now()",
    "UPDATE absence_checks SET found = '{}'",
    "UPDATE organisations SET plan_code = 'enterprise'",
    "UPDATE organisations SET name = 'Mine'",
    "UPDATE plans SET tenants_allowed = NULL",
    "SELECT sealed_private_key FROM signing_keys",
    "SELECT kid FROM signing_keys",
    "SELECT email FROM tenant_accounts",
    "SELECT name FROM host_names",
    "SELECT name FROM workloads",
    "SELECT version_num FROM alembic_version",
    "UPDATE alembic_version SET version_num = '0'",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "CREATE ROLE loot",
    "GRANT tenantry_support TO tenantry_api",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY tenants TO PROGRAM 'cat'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_a_forbidden_statement_is_refused_for_every_role_of_callers(caller_database: Database, statement: str) -> None:
    refused(caller_database, lambda session: session.execute(text(statement)))


def test_the_roles_of_callers_own_nothing_and_cannot_log_in(two: TwoOrganisations) -> None:
    roles = "SELECT oid FROM pg_roles WHERE rolname LIKE 'tenantry\\_%'"
    owned = text(f"SELECT count(*) FROM pg_shdepend WHERE refobjid IN ({roles}) AND deptype = 'o'")
    able = text(
        "SELECT rolname FROM pg_roles WHERE rolname IN"
        " ('tenantry_api', 'tenantry_manager', 'tenantry_limited', 'tenantry_support')"
        " AND NOT (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)"
    )

    assert two.mine.read(lambda session: session.scalar(owned)) == 0
    assert two.mine.read(lambda session: len(session.scalars(able).all())) == 4


@pytest.fixture
def separate_login(two: TwoOrganisations, database_url: str) -> Iterator[Database]:
    """The database with a separate login for callers' transactions, created as docs/operating.md describes."""
    name = f"front_{new_id().hex[-12:]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD 'front'").format(role))
        connection.execute(sql.SQL("GRANT tenantry_api, tenantry_limited, tenantry_support TO {}").format(role))
        parts = urlsplit(database_url)
        url = urlunsplit(parts._replace(netloc=f"{name}:front@{parts.netloc.rpartition('@')[2]}"))
        database = Database(settings_with(database_url, api_database_url=url))
        try:
            yield database
        finally:
            database.close()
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


ROLE_RESETS = ["RESET ROLE", "SET LOCAL ROLE NONE", "SET SESSION AUTHORIZATION DEFAULT"]


@pytest.mark.parametrize("role_reset", ROLE_RESETS)
def test_a_separate_login_gains_nothing_by_resetting_its_role(
    two: TwoOrganisations, separate_login: Database, role_reset: str
) -> None:
    callers = separate_login.restricted_to(two.mine.operator.row_scope)

    assert callers.transact(owners_of, Tenant) == {two.mine.organisation.id}
    for forbidden in ("SELECT id FROM tenants", "DELETE FROM events", "SELECT sealed_private_key FROM signing_keys"):
        refused(callers, partial(Session.execute, statement=text(f"{role_reset}; {forbidden}")))
    assert separate_login.transact(owners_of, Tenant) >= {two.mine.organisation.id, two.theirs.organisation.id}


def commits(session: Session) -> None:
    session.execute(text("SELECT 1"))


def raises(_: Session) -> None:
    raise LookupError


def fails(session: Session) -> None:
    session.execute(text("SELECT 1 / 0"))


def is_refused(session: Session) -> None:
    session.execute(text("DELETE FROM events"))


def is_cancelled(session: Session) -> None:
    session.execute(text("SET LOCAL statement_timeout = '20ms'"))
    session.execute(text("SELECT pg_sleep(60)"))


def rolls_back_a_savepoint(session: Session) -> None:
    with session.begin_nested():
        raise LookupError


CONNECTION_STATE = text(
    "SELECT pg_backend_pid(), current_user = session_user, "
    "concat(current_setting('tenantry.caller', true), current_setting('tenantry.organisation', true), "
    "current_setting('tenantry.tenants', true))"
)


@pytest.fixture
def one_connection(database_url: str) -> Iterator[Database]:
    """A pool that reuses the same connection for every transaction."""
    database = Database(settings_with(database_url, database_pool=2))
    yield database
    database.close()


@pytest.mark.parametrize("ends", [commits, raises, fails, is_refused, is_cancelled, rolls_back_a_savepoint])
def test_a_connection_returns_to_the_pool_without_the_callers_role_and_settings(
    one_connection: Database, two: TwoOrganisations, ends: Callable[[Session], None]
) -> None:
    pid, *clean = one_connection.transact(lambda session: session.execute(CONNECTION_STATE).one())
    assert clean == [True, ""]

    with suppress(LookupError, DBAPIError):
        one_connection.restricted_to(two.mine.operator.row_scope).transact(ends)

    assert one_connection.transact(lambda session: session.execute(CONNECTION_STATE).one()) == (pid, True, "")


def test_callers_on_one_connection_find_their_own_rows_with_prepared_statements(
    one_connection: Database, two: TwoOrganisations
) -> None:
    count = text("SELECT count(DISTINCT organisation_id) FROM tenants")
    mine, theirs = (one_connection.restricted_to(one.operator.row_scope) for one in (two.mine, two.theirs))
    support = one_connection.restricted_to(SUPPORT.row_scope)

    for _ in range(8):  # more often than the driver executes a statement before it prepares it
        assert mine.transact(lambda session: session.scalar(count)) == 1
        assert theirs.transact(owners_of, Tenant) == {two.theirs.organisation.id}
        assert mine.transact(owners_of, Tenant) == {two.mine.organisation.id}
        assert support.transact(lambda session: session.scalar(count)) >= 2
        assert one_connection.transact(lambda session: session.scalar(count)) >= 2
        with pytest.raises(OperationalError):
            theirs.transact(is_cancelled)


def test_a_retried_transaction_is_limited_to_the_caller_again(one_connection: Database, two: TwoOrganisations) -> None:
    tries: list[Any] = []

    def fail_once(session: Session) -> Any:
        tries.append(session.execute(CONNECTION_STATE).one())
        if len(tries) == 1:
            session.execute(text("DO $$ BEGIN RAISE 'again' USING ERRCODE = 'serialization_failure'; END $$"))
        return owners_of(session, Tenant)

    assert one_connection.restricted_to(two.mine.operator.row_scope).transact(fail_once) == {two.mine.organisation.id}
    assert [clean for _, clean, _ in tries] == [False, False]


def test_setting_the_role_takes_one_statement(one_connection: Database, two: TwoOrganisations) -> None:
    sent: list[str] = []
    event.listen(one_connection.engine, "before_cursor_execute", lambda _c, _k, statement, *_: sent.append(statement))

    one_connection.restricted_to(two.mine.operator.row_scope).transact(commits)

    assert sent == [SET_ROLE, "SELECT 1"]
