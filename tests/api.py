"""Runs the API in a thread, with a client for each kind of caller."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from sqlalchemy import event
from sqlmodel import Session, select
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from access.permissions import Identity
from models import ActorKind, Member, Role, ServiceAccount
from models.columns import new_id
from provisioning.actors import Actor
from runtime.database import Database
from runtime.row_level_security import SET_ROLE
from runtime.settings import Settings
from runtime.settings import settings as settings_of_this_process
from schema.node import global_id
from server.asgi import create_app
from server.auth.tokens import sign_token
from server.services import Services
from server.uvicorn_config import Server, configuration
from tests.http_client import HTTP
from tests.waiting import wait_until

Facts = dict[str, Any]
PROTOCOL = Subprotocol("graphql-transport-ws")
TIMEOUT = 10.0
"""Seconds for a response over HTTP, and for a message over a websocket."""

AUTHENTICATION_QUERY = re.compile(r"(SELECT|UPDATE) (members|service_accounts)\b")


@dataclass
class Client:
    """Calls the API with one Authorization header."""

    address: str
    authorization: str | None
    headers: dict[str, str] = field(default_factory=dict)

    def post(self, document: str, **variables: object) -> httpx.Response:
        authorization = {"Authorization": self.authorization} if self.authorization else {}
        return HTTP.post(
            f"http://{self.address}/graphql",
            content=json.dumps({"query": document, "variables": variables}),
            headers={"Content-Type": "application/json"} | self.headers | authorization,
            timeout=TIMEOUT,
        )

    def result(self, document: str, **variables: object) -> Facts:
        """The response's JSON, errors included."""
        body: Facts = self.post(document, **variables).json()
        return body

    def execute(self, document: str, **variables: object) -> Facts:
        """The result's data; an error fails the test."""
        result = self.result(document, **variables)
        assert "errors" not in result, result["errors"]
        data: Facts = result["data"]
        return data

    def error(self, document: str, **variables: object) -> Facts:
        """The result's only error."""
        (error,) = self.result(document, **variables)["errors"]
        assert isinstance(error, dict)
        return error

    def mutate(self, mutation: str, fields: str = "", **input: object) -> Facts:
        """Execute one mutation; returns its payload with the user errors."""
        name = mutation[0].upper() + mutation[1:]
        document = (
            f"mutation M($input: {name}Input!) {{ it: {mutation}(input: $input) {{ {fields} userErrors {{ "
            "__typename code message field ... on InvalidStateError { currentState allowedStates } } } }"
        )
        payload: Facts = self.execute(document, input=input)["it"]
        return payload

    @contextmanager
    def subscribed(self, document: str, **variables: object) -> Iterator["Subscription"]:
        """A subscription over a websocket, for the length of the block."""
        with self.connected() as socket:
            subscription = Subscription(socket)
            subscription.send(id="1", type="subscribe", payload={"query": document, "variables": variables})
            yield subscription

    @contextmanager
    def connected(self) -> Iterator[ClientConnection]:
        """A websocket on which the server has acknowledged the connection."""
        # With a limit on unread messages, the client would not read the close frame behind them.
        options: Any = {"subprotocols": [PROTOCOL], "proxy": None, "close_timeout": 2, "max_queue": None}
        with connect(f"ws://{self.address}/graphql", **options) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": self.authorization}}))
            assert json.loads(socket.recv(TIMEOUT)) == {"type": "connection_ack"}
            yield socket


@dataclass
class Subscription:
    """Reads what the server sends for one subscription."""

    socket: ClientConnection

    def send(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def message(self, within: float = TIMEOUT) -> Facts:
        message: Facts = json.loads(self.socket.recv(within))
        return message

    def next(self, within: float = TIMEOUT) -> Facts:
        """The one root field of the next result."""
        message = self.message(within)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (entry,) = message["payload"]["data"].values()
        assert isinstance(entry, dict)
        return entry

    def entries(self, count: int) -> list[Facts]:
        """The next ``count`` numbered entries of a timeline; entries of progress, which have no number, are dropped."""
        found: list[Facts] = []
        while len(found) < count:
            entry = self.next()
            found += [entry] if entry["sequence"] is not None else []
        return found

    def until_complete(self) -> list[Facts]:
        """Every result until the server completes the subscription."""
        entries: list[Facts] = []
        while (message := self.message())["type"] == "next":
            entries.extend(message["payload"]["data"].values())
        assert message == {"id": "1", "type": "complete"}, message
        return entries


@dataclass
class Api:
    """The running API."""

    settings: Settings
    services: Services
    address: str
    server: uvicorn.Server

    def stop(self) -> None:
        """Start the shutdown, as SIGTERM does."""
        self.server.should_exit = True

    def client(self, identity: Identity, life: timedelta = timedelta(hours=1)) -> Client:
        return Client(self.address, f"Bearer {sign_token(self.settings, identity, life)}")

    def expiring_client(self, identity: Identity) -> Client:
        """A client with a token that expires in one to two seconds, later on a busy machine.

        The token must outlive the beginning of a subscription or an export, so its lifetime includes ten times what a
        request takes now. A token's expiry is rounded down to whole seconds.
        """
        began = time.monotonic()
        self.client(identity).execute("{ viewer { scopes } }")
        return self.client(identity, timedelta(seconds=2 + 10 * (time.monotonic() - began)))

    def member(self, organisation_id: UUID, role: Role = Role.OWNER) -> Client:
        with self.services.database.transaction() as session:
            identity = _member_identity(session, organisation_id, role)
        return self.client(identity)

    def service_account(self, organisation_id: UUID, *scopes: str, only: set[UUID] | None = None) -> Client:
        with self.services.database.transaction() as session:
            identity = _service_account_identity(session, organisation_id, scopes, only)
        return self.client(identity)

    def support(self) -> Client:
        return self.client(Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example")))

    def await_watchers(self, count: int, within: float = TIMEOUT) -> None:
        """Wait for exactly ``count`` watchers. A watcher of an earlier test leaves within ``POLL_EVERY`` (2 s)."""
        wait_until(lambda: self.services.feed.watchers == count, within=within)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return HTTP.get(f"http://{self.address}{path}", headers=headers, timeout=TIMEOUT)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The statements that the API sends during the block, without authentication and SET ROLE."""
        sent: list[str] = []

        def record(_c: object, _k: object, statement: str, *_: object) -> None:
            if statement != SET_ROLE and not AUTHENTICATION_QUERY.match(statement):
                sent.append(statement)

        engine = self.services.database.engine
        event.listen(engine, "before_cursor_execute", record)
        try:
            yield sent
        finally:
            event.remove(engine, "before_cursor_execute", record)


def member_identity(organisation_id: UUID, role: Role = Role.OWNER, settings: Settings | None = None) -> Identity:
    """The organisation's first member with this role; created when it has none."""
    with _transaction(settings) as session:
        return _member_identity(session, organisation_id, role)


def _member_identity(session: Session, organisation_id: UUID, role: Role) -> Identity:
    created = Member(
        organisation_id=organisation_id,
        email=f"{role.value.lower()}@shop.example",
        name=f"{role.value.title()} of {organisation_id}",
        role=role,
        created_at=datetime.now(UTC),
    )
    existing = select(Member).where(Member.organisation_id == organisation_id, Member.role == role)
    row = session.exec(existing).first() or created
    session.add(row)
    return Identity(Actor(ActorKind.USER, row.id, row.name, row.email, organisation_id), role)


def service_account_identity(
    organisation_id: UUID, *scopes: str, only: set[UUID] | None = None, settings: Settings | None = None
) -> Identity:
    """A new service account of the organisation, limited to the tenants in ``only`` if given."""
    with _transaction(settings) as session:
        return _service_account_identity(session, organisation_id, scopes, only)


def _service_account_identity(
    session: Session, organisation_id: UUID, scopes: Sequence[str], only: set[UUID] | None
) -> Identity:
    limited = frozenset(only) if only is not None else None
    created = ServiceAccount(
        organisation_id=organisation_id,
        name="Partner",
        scopes=sorted(scopes),
        tenant_ids=sorted(only) if only is not None else None,
        created_at=datetime.now(UTC),
    )
    session.add(created)
    actor = Actor(ActorKind.INTEGRATION, created.id, created.name, None, organisation_id, limited)
    return Identity(actor, granted=frozenset(scopes))


@contextmanager
def _transaction(settings: Settings | None) -> Iterator[Session]:
    """A transaction on a connection of the tests' own."""
    database = Database(settings or settings_of_this_process(), name="tenantry-tests")
    try:
        with database.transaction() as session:
            yield session
    finally:
        database.close()


def tenant_gid(tenant_id: UUID) -> str:
    return str(global_id("Tenant", tenant_id))


@contextmanager
def running_api(settings: Settings) -> Iterator[Api]:
    """Run the API on a free port, for the length of the block."""
    app = create_app(settings)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = Server(configuration(app))
        thread = threading.Thread(target=server.run, args=[[listener]], daemon=True, name="api")
        thread.start()
        wait_until(lambda: server.started)
        yield Api(settings, app.state.services, f"127.0.0.1:{listener.getsockname()[1]}", server)
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive(), "the API did not stop"
