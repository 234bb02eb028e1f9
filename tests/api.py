"""A real API process in a thread, and a client for each kind of caller."""

import json
import re
import socket
import threading
from collections.abc import Iterator
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
from schema.context import Context
from schema.node import global_id
from server.asgi import create_app
from server.auth.tokens import sign_token
from server.services import Services
from server.uvicorn_config import Server, configuration
from tests.waiting import wait_until

Facts = dict[str, Any]
PROTOCOL = Subprotocol("graphql-transport-ws")
PATIENCE = 10.0
FINDS_OUT_WHO_CALLS = re.compile(r"(SELECT|UPDATE) (members|service_accounts)\b")


@dataclass
class Client:
    """Somebody who calls the API."""

    address: str
    authorization: str | None
    headers: dict[str, str] = field(default_factory=dict)

    def post(self, document: str, **variables: object) -> httpx.Response:
        authorization = {"Authorization": self.authorization} if self.authorization else {}
        return httpx.post(
            f"http://{self.address}/graphql",
            content=json.dumps({"query": document, "variables": variables}),
            headers={"Content-Type": "application/json"} | self.headers | authorization,
            timeout=PATIENCE,
            trust_env=False,
        )

    def answer(self, document: str, **variables: object) -> Facts:
        body: Facts = self.post(document, **variables).json()
        return body

    def ask(self, document: str, **variables: object) -> Facts:
        """What the document asks for; an error fails the test."""
        answer = self.answer(document, **variables)
        assert "errors" not in answer, answer["errors"]
        data: Facts = answer["data"]
        return data

    def error(self, document: str, **variables: object) -> Facts:
        """The one error."""
        (error,) = self.answer(document, **variables)["errors"]
        assert isinstance(error, dict)
        return error

    def mutate(self, mutation: str, fields: str = "", **input: object) -> Facts:
        """One mutation's payload."""
        name = mutation[0].upper() + mutation[1:]
        document = (
            f"mutation M($input: {name}Input!) {{ it: {mutation}(input: $input) {{ {fields} userErrors {{ "
            "__typename code message field ... on InvalidStateError { currentState allowedStates } } } }"
        )
        payload: Facts = self.ask(document, input=input)["it"]
        return payload

    @contextmanager
    def subscribed(self, document: str, **variables: object) -> Iterator["Subscription"]:
        """Subscribe over a real websocket, for the length of the block."""
        with self.connected() as socket:
            subscription = Subscription(socket)
            subscription.send(id="1", type="subscribe", payload={"query": document, "variables": variables})
            yield subscription

    @contextmanager
    def connected(self) -> Iterator[ClientConnection]:
        """An acknowledged socket."""
        # No limit to what waits to be read: it would keep the socket from hearing that it is closed.
        options: Any = {"subprotocols": [PROTOCOL], "proxy": None, "close_timeout": 2, "max_queue": None}
        with connect(f"ws://{self.address}/graphql", **options) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": self.authorization}}))
            assert json.loads(socket.recv(PATIENCE)) == {"type": "connection_ack"}
            yield socket


@dataclass
class Subscription:
    """What one subscription delivers."""

    socket: ClientConnection

    def send(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def message(self, within: float = PATIENCE) -> Facts:
        message: Facts = json.loads(self.socket.recv(within))
        return message

    def next(self, within: float = PATIENCE) -> Facts:
        """The one root field of the next result."""
        message = self.message(within)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (entry,) = message["payload"]["data"].values()
        assert isinstance(entry, dict)
        return entry

    def entries(self, count: int) -> list[Facts]:
        """So many numbered entries of a timeline, without the progress between them."""
        found: list[Facts] = []
        while len(found) < count:
            entry = self.next()
            found += [entry] if entry["sequence"] is not None else []
        return found

    def rest(self) -> list[Facts]:
        """Everything up to the end."""
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
        """Ask it to stop, as a signal does."""
        self.server.should_exit = True

    def client(self, identity: Identity, life: timedelta = timedelta(hours=1)) -> Client:
        return Client(self.address, f"Bearer {sign_token(self.settings, identity, life)}")

    def person(self, organisation_id: UUID, role: Role = Role.OWNER) -> Client:
        return self.client(person(organisation_id, role, self.settings))

    def integration(self, organisation_id: UUID, *scopes: str, only: set[UUID] | None = None) -> Client:
        return self.client(integration(organisation_id, *scopes, only=only, settings=self.settings))

    def support(self) -> Client:
        return self.client(Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example")))

    def await_watchers(self, count: int, within: float = PATIENCE) -> None:
        """Wait until exactly so many watch. Those of an earlier test leave within two seconds (``POLL_EVERY``)."""
        wait_until(lambda: self.services.feed.watchers == count, within=within)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://{self.address}{path}", headers=headers, timeout=PATIENCE, trust_env=False)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """What the API sends during the block, besides finding out who calls and going under a role."""
        sent: list[str] = []

        def note(_c: object, _k: object, statement: str, *_: object) -> None:
            if statement != SET_ROLE and not FINDS_OUT_WHO_CALLS.match(statement):
                sent.append(statement)

        engine = self.services.database.engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            event.remove(engine, "before_cursor_execute", note)


def person(organisation_id: UUID, role: Role = Role.OWNER, settings: Settings | None = None) -> Identity:
    """The organisation's member with this role; a new one unless there is one."""
    made = Member(
        organisation_id=organisation_id,
        email=f"{role.value.lower()}@shop.example",
        name=f"{role.value.title()} of {organisation_id}",
        role=role,
        created_at=datetime.now(UTC),
    )
    with _rows(settings) as session:
        here = select(Member).where(Member.organisation_id == organisation_id, Member.role == role)
        row = session.exec(here).first() or made
        session.add(row)
    return Identity(Actor(ActorKind.USER, row.id, row.name, row.email, organisation_id), role)


def integration(
    organisation_id: UUID, *scopes: str, only: set[UUID] | None = None, settings: Settings | None = None
) -> Identity:
    """A new service account of the organisation."""
    limited = frozenset(only) if only is not None else None
    made = ServiceAccount(
        organisation_id=organisation_id,
        name="Partner",
        scopes=sorted(scopes),
        tenant_ids=sorted(only) if only is not None else None,
        created_at=datetime.now(UTC),
    )
    with _rows(settings) as session:
        session.add(made)
    actor = Actor(ActorKind.INTEGRATION, made.id, made.name, None, organisation_id, limited)
    return Identity(actor, granted=frozenset(scopes))


@contextmanager
def _rows(settings: Settings | None) -> Iterator[Session]:
    """A transaction beside the API's own."""
    database = Database(settings or settings_of_this_process(), name="tenantry-tests")
    try:
        with database.transaction() as session:
            yield session
    finally:
        database.close()


def tenant_gid(tenant_id: UUID) -> str:
    return str(global_id("Tenant", tenant_id))


@contextmanager
def api_in(settings: Settings) -> Iterator[Api]:
    """The API on a free port, for the length of the block."""
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


__all__ = ["Api", "Client", "Context", "Facts", "Subscription", "api_in", "integration", "person", "tenant_gid"]
