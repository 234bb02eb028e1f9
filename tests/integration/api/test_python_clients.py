"""gql, the client that Python has: it asks, turns pages, commands, watches, is cut off and goes on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from gql import Client as Gql
from gql import gql
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from provisioning import audit_feed
from tests.api import PROTOCOL, Api, Client, Facts, tenant_gid
from tests.run_harness import RunHarness

WHO = "query { viewer { actor { kind } } }"
PAGE = """
query Page($after: String) {
  tenants(first: 2, after: $after, orderBy: {field: SLUG, direction: ASC}) {
    edges { node { slug } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
CREATE = """
mutation Create($input: CreateTenantInput!) {
  createTenant(input: $input) {
    tenant { slug state }
    run { number status }
    userErrors { code field }
  }
}
"""
WATCH = """
subscription Watch($tenantId: ID!, $after: String) {
  tenantProvisioning(tenantId: $tenantId, after: $after) { cursor sequence kind step }
}
"""
ORDER = {"slug": "books", "plan": "starter", "firstAdminEmail": "ada@example.com"}

Connect = Callable[[str, Client], HTTPXAsyncTransport | WebsocketsTransport]


def over_http(address: str, caller: Client) -> HTTPXAsyncTransport:
    return HTTPXAsyncTransport(
        f"http://{address}/graphql", headers={"Authorization": caller.authorization}, trust_env=False
    )


def over_websocket(address: str, caller: Client) -> WebsocketsTransport:
    return WebsocketsTransport(
        f"ws://{address}/graphql",
        subprotocols=[PROTOCOL],
        init_payload={"authorization": caller.authorization},
        connect_args={"proxy": None},
    )


class Cable:
    """Carries TCP connections to the API, and can be cut."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._ends: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        """The address of its near end."""
        async with await asyncio.start_server(self._join, "127.0.0.1", 0) as listener:
            host, port = listener.sockets[0].getsockname()
            yield f"{host}:{port}"
            self.cut()

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, int(self._port))
        self._ends |= {writer, far_writer}
        await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.transport.abort()


async def ask(address: str, caller: Client, connect: Connect, document: str, **variables: object) -> Facts:
    request = gql(document)
    request.variable_values = variables
    async with Gql(transport=connect(address, caller)) as session:
        found: Facts = await session.execute(request)
    return found


async def watch(
    address: str, caller: Client, harness: RunHarness, after: str | None = None
) -> AsyncGenerator[Facts, None]:
    request = gql(WATCH)
    request.variable_values = {"tenantId": tenant_gid(harness.tenant_id), "after": after}
    async with Gql(transport=over_websocket(address, caller)) as session, aclosing(session.subscribe(request)) as found:
        async for data in found:
            yield data["tenantProvisioning"]


def told(harness: RunHarness) -> list[int | None]:
    """The numbers of the timeline's entries, from the rows themselves."""
    return [event.sequence for event in harness.events() if event.run_id and event.type in audit_feed.TIMELINE]


def run(story: Callable[[], Awaitable[Any]]) -> Any:
    async def within_a_minute() -> Any:
        async with asyncio.timeout(60):
            return await story()

    return asyncio.run(within_a_minute())


@pytest.fixture(params=[over_http, over_websocket])
def connect(request: pytest.FixtureRequest) -> Connect:
    chosen: Connect = request.param
    return chosen


def test_it_asks_who_it_is(api: Api, owner: Client, connect: Connect) -> None:
    found = run(lambda: ask(api.address, owner, connect, WHO))

    assert found == {"viewer": {"actor": {"kind": "USER"}}}


def test_it_turns_pages_by_cursor(api: Api, harness: RunHarness, owner: Client, connect: Connect) -> None:
    for slug in ("alpha", "beta", "gamma"):
        harness.create(slug, start=False)

    first = run(lambda: ask(api.address, owner, connect, PAGE))["tenants"]
    cursor = first["pageInfo"]["endCursor"]
    second = run(lambda: ask(api.address, owner, connect, PAGE, after=cursor))["tenants"]

    assert first["edges"] == [{"node": {"slug": "alpha"}}, {"node": {"slug": "beta"}}]
    assert first["pageInfo"]["hasNextPage"] is True
    assert second["edges"] == [{"node": {"slug": "gamma"}}]
    assert second["pageInfo"]["hasNextPage"] is False


def test_it_commands_and_is_refused_with_data(api: Api, owner: Client, connect: Connect) -> None:
    made = run(lambda: ask(api.address, owner, connect, CREATE, input=ORDER))["createTenant"]
    again = run(lambda: ask(api.address, owner, connect, CREATE, input=ORDER))["createTenant"]

    assert made == {
        "tenant": {"slug": "books", "state": "PROVISIONING"},
        "run": {"number": 1, "status": "QUEUED"},
        "userErrors": [],
    }
    assert again == {"tenant": None, "run": None, "userErrors": [{"code": "TAKEN", "field": ["input", "slug"]}]}


def test_it_watches_a_cancel_live_to_its_end(api: Api, harness: RunHarness, owner: Client) -> None:
    async def story() -> list[Facts]:
        entries = []
        async with aclosing(watch(api.address, owner, harness)) as found:
            async for entry in found:
                entries.append(entry)
                if entry["kind"] == "RUN_STARTED":
                    await asyncio.to_thread(harness.make_moves, until="allocate_traffic")
                if entry["kind"] == "STEP_SUCCEEDED" and entry["step"] == "allocate_identity":
                    await asyncio.to_thread(harness.cancel)
                    await asyncio.to_thread(harness.make_moves)
        return entries

    harness.create()
    entries = run(story)

    assert [entry["sequence"] for entry in entries] == told(harness)
    assert entries[-1]["kind"] == "RUN_FINISHED"
    assert sum(entry["kind"] == "CANCEL_REQUESTED" for entry in entries) == 1


def test_it_is_cut_off_in_the_middle_and_goes_on_without_gap_or_repeat(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    cable, seen = Cable(api.address), list[Facts]()

    async def until_it_breaks(address: str) -> None:
        async for entry in watch(address, owner, harness):
            seen.append(entry)
            if entry["step"] == "allocate_storage" and entry["kind"] == "STEP_SUCCEEDED":
                cable.cut()

    async def story() -> None:
        async with cable.laid() as address:
            await asyncio.to_thread(harness.make_moves, until="allocate_identity")
            with pytest.raises(TransportConnectionFailed):
                await until_it_breaks(address)
            await asyncio.to_thread(harness.make_moves)
            seen.extend([entry async for entry in watch(address, owner, harness, after=seen[-1]["cursor"])])

    harness.create()
    run(story)

    assert [entry["sequence"] for entry in seen] == told(harness)
    assert seen[-1]["kind"] == "RUN_FINISHED"


def test_it_is_told_over_http_that_its_token_is_no_good(api: Api) -> None:
    with pytest.raises(TransportQueryError) as refusal:
        run(lambda: ask(api.address, Client(api.address, "Bearer nonsense"), over_http, WHO))

    assert refusal.value.errors is not None
    assert refusal.value.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_it_is_told_over_a_websocket_that_its_token_is_no_good(api: Api) -> None:
    with pytest.raises(TransportConnectionFailed) as refusal:
        run(lambda: ask(api.address, Client(api.address, "Bearer nonsense"), over_websocket, WHO))

    assert isinstance(refusal.value.__cause__, ConnectionClosed)
    assert refusal.value.__cause__.rcvd is not None
    assert refusal.value.__cause__.rcvd.code == 4401
