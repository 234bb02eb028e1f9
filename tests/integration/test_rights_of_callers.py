"""The database gives each role of callers the rights that the API needs of it: attacks are tried as that role."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection, sql

from access import members, service_accounts
from access.members import Invitation
from access.service_accounts import Grantor, NewAccount
from models import ActorKind, Member, Role, ServiceAccount, TenantState
from models.columns import new_id
from provisioning.actors import Actor
from provisioning.event_types import EventType
from provisioning.events import emit, emit_for_organisation
from runtime.database import clock
from runtime.row_level_security import RowScope
from tests.run_harness import RunHarness
from tests.sql_attacks import CHANGES_OF_ACCESS, READS_OF_PERSONAL_DATA
from tests.tenant_states import bring_tenant_to

ROLES = ("tenantry_api", "tenantry_manager", "tenantry_limited", "tenantry_support")
NOT_MANAGERS = ("tenantry_api", "tenantry_limited", "tenantry_support")
LONG_AGO = "2020-01-01 00:00:00+00"


@dataclass
class Scene:
    """An organisation with an owner, a viewer and a service account in its tables, and a tenant."""

    harness: RunHarness
    owner: Member
    viewer: Member
    account: ServiceAccount
    url: str

    @contextmanager
    def logged_in(
        self, role: str, caller: UUID | None = None, *, inheriting: bool = False
    ) -> Iterator[Connection[Any]]:
        """A login of its own that was granted the role, as an attacker would use it: with SQL of its own.

        It takes the role on, or inherits its rights.
        """
        login = f"eve_{new_id().hex[-12:]}"
        with psycopg.connect(self.url, autocommit=True) as superuser:
            inherits = "INHERIT" if inheriting else "NOINHERIT"
            superuser.execute(f"CREATE ROLE {login} LOGIN {inherits} IN ROLE {role}".encode())
            try:
                with psycopg.connect(self.url, user=login, autocommit=True) as connection:
                    if not inheriting:
                        connection.execute(f"SET ROLE {role}".encode())
                    self.claim_to_be(connection, role, caller or self.viewer.id)
                    yield connection
            finally:
                superuser.execute(f"DROP OWNED BY {login}; DROP ROLE {login}".encode())

    def claim_to_be(self, connection: Connection[Any], role: str, caller: UUID) -> None:
        organisation = "" if role == "tenantry_support" else str(self.harness.organisation.id)
        for name, value in {
            "caller": str(caller),
            "organisation": organisation,
            "tenants": f"{{{self.harness.tenant_id}}}",
        }.items():
            connection.execute("SELECT set_config(%s, %s, false)", [f"tenantry.{name}", value])

    def event(self, **facts: Any) -> dict[str, Any]:
        return {
            "id": new_id(),
            "organisation_id": self.harness.organisation.id,
            "type": "access.denied",
            "actor_kind": "USER",
            "actor_id": self.viewer.id,
            "actor_name": "Vera",
            "data": "{}",
            "request_id": str(new_id()),
            "created_at": LONG_AGO,
        } | facts

    def stored(self, event: dict[str, Any]) -> dict[str, Any]:
        """The row of the event, found by the request: the database sets its id."""
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row) as connection:
            found = connection.execute("SELECT * FROM events WHERE request_id = %s", [event["request_id"]]).fetchone()
        assert found is not None
        return found


@pytest.fixture
def scene(harness: RunHarness, database_url: str) -> Scene:
    bring_tenant_to(harness, TenantState.ACTIVE)
    facts: dict[str, Any] = {"organisation_id": harness.organisation.id, "created_at": harness.read(clock)}
    owner = Member(email="ada@shop.example", name="Ada", role=Role.OWNER, **facts)
    viewer = Member(email="vera@shop.example", name="Vera", role=Role.VIEWER, **facts)
    account = ServiceAccount(name="Billing", scopes=["tenants:read"], token_sha256=new_id().hex * 2, **facts)
    harness.transact(lambda session: session.add_all([owner, viewer, account]))
    return Scene(harness, owner, viewer, account, database_url)


@pytest.mark.parametrize("how", ["takes the role on", "inherits it"])
@pytest.mark.parametrize("role", NOT_MANAGERS)
def test_only_managers_read_addresses_and_change_members_and_accounts(scene: Scene, role: str, how: str) -> None:
    with scene.logged_in(role, inheriting=how == "inherits it") as connection:
        for statement in (*READS_OF_PERSONAL_DATA, *CHANGES_OF_ACCESS):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())

        names = connection.execute(
            "SELECT name FROM members WHERE organisation_id = %s ORDER BY name", [scene.harness.organisation.id]
        )
        assert names.fetchall() == [("Ada",), ("Vera",)], "names are shown to every caller"


FORBIDDEN_TO_MANAGERS = (
    "UPDATE members SET email = 'eve@shop.example'",
    "UPDATE members SET subject = 'https://login.example sub'",
    "UPDATE members SET organisation_id = gen_random_uuid()",
    "UPDATE service_accounts SET id = gen_random_uuid()",
    "UPDATE service_accounts SET last_used_at = NULL",
    "DELETE FROM service_accounts",
)


@pytest.mark.parametrize("statement", FORBIDDEN_TO_MANAGERS)
def test_a_manager_cannot_change_an_identity(scene: Scene, statement: str) -> None:
    with scene.logged_in("tenantry_manager") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_a_manager_can_delete_no_owner_and_add_no_member_who_has_signed_in(scene: Scene) -> None:
    values = (new_id(), scene.harness.organisation.id)
    insert = (
        "INSERT INTO members (id, organisation_id, name, created_at, email, role, subject)"
        " VALUES (%s, %s, 'Eve', now(), "
    )
    with scene.logged_in("tenantry_manager") as connection:
        assert connection.execute("DELETE FROM members").rowcount == 1
        assert connection.execute("SELECT name FROM members").fetchall() == [("Ada",)]
        for rest in ("'eve@shop.example', 'OWNER', NULL)", "'eve@shop.example', 'ADMIN', 'https://login.example sub')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                connection.execute((insert + rest).encode(), values)


def test_managers_manage(scene: Scene) -> None:
    """Every command on members and accounts works under the role of managers, and under no other."""
    by = Actor(ActorKind.USER, scene.owner.id, "Ada", scene.owner.email, scene.harness.organisation.id)
    database = scene.harness.database
    managing = database.restricted_to(RowScope(by.id, by.organisation_id, manages=True))
    grantor = Grantor(frozenset({"tenants:read"}), frozenset({"tenants:read"}))

    invited = managing.transact(members.invite, Invitation("ivy@shop.example", Role.VIEWER), by=by)
    managing.transact(members.change_role, invited.id, Role.ADMIN, by=by)
    managing.transact(members.remove, invited.id, by=by)
    issued = managing.transact(
        service_accounts.create, NewAccount(name="New", scopes=["tenants:read"]), by=by, grantor=grantor
    )
    managing.transact(service_accounts.rotate, issued.account.id, timedelta(hours=1), by=by)
    managing.transact(service_accounts.revoke, issued.account.id, by=by)

    with pytest.raises(Exception, match="permission denied for table members"):
        database.restricted_to(by.row_scope).transact(members.invite, Invitation("x@shop.example", Role.VIEWER), by=by)


def insert_event(connection: Connection[Any], facts: dict[str, Any]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, facts))
    values = sql.SQL(", ").join(map(sql.Literal, facts.values()))
    connection.execute(sql.SQL("INSERT INTO events ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(columns, values))


@pytest.mark.parametrize("how", ["takes the role on", "inherits it"])
@pytest.mark.parametrize("role", ["tenantry_api", "tenantry_manager", "tenantry_limited"])
@pytest.mark.parametrize("claimed", ["SUPPORT", "SYSTEM", "INTEGRATION", "USER"])
def test_the_database_sets_who_and_when_of_a_callers_event(scene: Scene, role: str, claimed: str, how: str) -> None:
    event = scene.event(actor_kind=claimed, actor_name="Someone Else", actor_email="else@shop.example", rank=1)
    with scene.logged_in(role, inheriting=how == "inherits it") as connection:
        insert_event(connection, event)

    stored = scene.stored(event)
    assert (stored["actor_kind"], stored["actor_name"], stored["actor_email"]) == ("USER", "Vera", None)
    assert abs(stored["created_at"] - scene.harness.read(clock)) < timedelta(minutes=1)
    assert stored["rank"] == stored["transaction_id"] > 1, "nor does it sort among older events"
    assert stored["id"] != event["id"]


def test_the_event_of_a_service_account_is_one_of_an_integration(scene: Scene) -> None:
    event = scene.event(actor_id=scene.account.id, actor_email="vera@shop.example")
    with scene.logged_in("tenantry_limited", scene.account.id) as connection:
        insert_event(connection, event)

    stored = scene.stored(event)
    assert (stored["actor_kind"], stored["actor_name"], stored["actor_email"]) == ("INTEGRATION", "Billing", None)


def test_the_event_of_support_is_one_of_support(scene: Scene) -> None:
    staff = new_id()
    event = scene.event(actor_id=staff, actor_kind="SYSTEM", actor_name="Sam", type="access.support_looked")
    with scene.logged_in("tenantry_support", staff) as connection:
        insert_event(connection, event)

    stored = scene.stored(event)
    assert (stored["actor_kind"], stored["actor_name"]) == ("SUPPORT", "Sam")
    assert abs(stored["created_at"] - scene.harness.read(clock)) < timedelta(minutes=1)


def test_no_caller_writes_as_the_platform_outside_a_run(scene: Scene) -> None:
    event = scene.event(actor_id=UUID(int=0), actor_kind="SYSTEM")
    for role in ("tenantry_api", "tenantry_manager", "tenantry_limited"):
        with scene.logged_in(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            insert_event(connection, event)


@pytest.mark.parametrize("facts", [{"position": 1}, {"transaction_id": 1}], ids=["position", "transaction"])
@pytest.mark.parametrize("role", ROLES)
def test_no_caller_chooses_the_place_of_an_event_in_the_feed(scene: Scene, role: str, facts: dict[str, Any]) -> None:
    with scene.logged_in(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert_event(connection, scene.event(**facts))


@pytest.mark.parametrize("type_", ["org.member_removed", "org.service_account_created", "tenant.created"])
def test_a_limited_caller_writes_events_of_its_own_tenants_only(scene: Scene, type_: str) -> None:
    with scene.logged_in("tenantry_limited") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert_event(connection, scene.event(type=type_))


def test_only_managers_write_events_about_members(scene: Scene) -> None:
    with scene.logged_in("tenantry_api") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert_event(connection, scene.event(type="org.member_removed"))
    with scene.logged_in("tenantry_manager") as connection:
        insert_event(connection, scene.event(type="org.member_removed"))


def test_an_event_of_the_product_itself_keeps_its_facts(scene: Scene) -> None:
    event = scene.event(actor_kind="SUPPORT", actor_id=new_id(), actor_name="Sam", actor_email="sam@tenantry.example")
    with psycopg.connect(scene.url, autocommit=True) as connection:
        insert_event(connection, event)

    stored = scene.stored(event)
    assert (stored["actor_kind"], stored["actor_name"], stored["actor_email"]) == (
        "SUPPORT",
        "Sam",
        "sam@tenantry.example",
    )
    assert stored["created_at"].year == 2020


def test_a_callers_event_has_the_address_that_the_member_has(scene: Scene) -> None:
    viewer = Actor(ActorKind.USER, scene.viewer.id, "Vera", scene.viewer.email, scene.harness.organisation.id)
    database = scene.harness.database.restricted_to(viewer.row_scope)

    database.transact(emit_for_organisation, scene.harness.organisation.id, EventType.ACCESS_DENIED, {}, by=viewer)
    database.transact(lambda session: emit(session, scene.harness.tenant(), EventType.SUSPENDED, {}, by=viewer))

    with psycopg.connect(scene.url) as connection:
        found = connection.execute(
            "SELECT actor_kind, actor_name, actor_email FROM events WHERE actor_id = %s", [viewer.id]
        )
        assert found.fetchall() == [("USER", "Vera", "vera@shop.example")] * 2


def test_no_address_can_be_learned_from_an_event(scene: Scene) -> None:
    """A caller that sets itself to another member gets no address back that it did not know."""
    event = scene.event(actor_id=scene.owner.id, tenant_id=scene.harness.tenant_id, sequence=1, type="tenant.suspended")
    with scene.logged_in("tenantry_limited", scene.owner.id) as connection:
        connection.execute("UPDATE tenants SET last_sequence = last_sequence + 1")
        insert_event(connection, event)

        mine = "SELECT actor_name, actor_email FROM events WHERE request_id = %s"
        seen = connection.execute(mine, [event["request_id"]]).fetchall()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT set_author_of_event()")

    assert seen == [("Ada", None)]


COLUMNS = """
    SELECT table_name || '.' || column_name FROM information_schema.column_privileges
    WHERE grantee = %s AND privilege_type = %s AND table_name IN ('members', 'service_accounts', 'organisations')
    ORDER BY 1
"""


@pytest.mark.parametrize("role", NOT_MANAGERS)
def test_the_rights_on_people_and_accounts_are_those_that_the_api_needs(database_url: str, role: str) -> None:
    needed: dict[str, Callable[[str], bool]] = {"SELECT": lambda _: True, "UPDATE": lambda _: True}
    with psycopg.connect(database_url) as connection:
        granted = {kind: [name for (name,) in connection.execute(COLUMNS, [role, kind])] for kind in needed}

    people = [
        f"{table}.{column}" for table in ("members", "service_accounts") for column in ("id", "name", "organisation_id")
    ]
    assert [name for name in granted["SELECT"] if not name.startswith("organisations.")] == (
        [] if role == "tenantry_limited" else people  # it inherits those of tenantry_api
    )
    assert granted["UPDATE"] == (["organisations.name"] if role == "tenantry_api" else [])
