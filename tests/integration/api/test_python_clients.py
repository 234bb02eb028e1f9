"""gql, the GraphQL client for Python, works with the API over HTTP and websockets."""

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

VIEWER = "query { viewer { actor { kind } } }"
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
PROVISIONING = """
subscription Provisioning($tenantId: ID!, $after: String) {
  tenantProvisioning(tenantId: $tenantId, after: $after) { cursor sequence kind step }
}
"""
NEW_TENANT = {"slug": "books", "plan": "starter", "firstAdminEmail": "ada@example.com"}

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


class TcpProxy:
    """Forwards TCP connections to the API until they are reset."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen on a free port for the length of the block; gives the address."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as listener:
            host, port = listener.sockets[0].getsockname()
            yield f"{host}:{port}"
            self.reset()

    def reset(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        api_reader, api_writer = await asyncio.open_connection(self._host, int(self._port))
        self._writers |= {writer, api_writer}
        await asyncio.gather(_forward(reader, api_writer), _forward(api_reader, writer))


async def _forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.transport.abort()


async def execute(address: str, caller: Client, connect: Connect, document: str, **variables: object) -> Facts:
    request = gql(document)
    request.variable_values = variables
    async with Gql(transport=connect(address, caller)) as session:
        found: Facts = await session.execute(request)
    return found


async def subscribe(
    address: str, caller: Client, harness: RunHarness, after: str | None = None
) -> AsyncGenerator[Facts, None]:
    request = gql(PROVISIONING)
    request.variable_values = {"tenantId": tenant_gid(harness.tenant_id), "after": after}
    async with Gql(transport=over_websocket(address, caller)) as session, aclosing(session.subscribe(request)) as found:
        async for data in found:
            yield data["tenantProvisioning"]


def timeline_numbers(harness: RunHarness) -> list[int | None]:
    """The sequence numbers of the timeline entries in the database."""
    return [event.sequence for event in harness.events() if event.run_id and event.type in audit_feed.TIMELINE]


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def within_a_minute() -> Any:
        async with asyncio.timeout(60):
            return await scenario()

    return asyncio.run(within_a_minute())


@pytest.fixture(params=[over_http, over_websocket])
def connect(request: pytest.FixtureRequest) -> Connect:
    chosen: Connect = request.param
    return chosen


def test_gql_executes_a_query(api: Api, owner: Client, connect: Connect) -> None:
    found = run(lambda: execute(api.address, owner, connect, VIEWER))

    assert found == {"viewer": {"actor": {"kind": "USER"}}}


def test_gql_reads_pages_by_cursor(api: Api, harness: RunHarness, owner: Client, connect: Connect) -> None:
    for slug in ("alpha", "beta", "gamma"):
        harness.create(slug, start=False)

    first = run(lambda: execute(api.address, owner, connect, PAGE))["tenants"]
    cursor = first["pageInfo"]["endCursor"]
    second = run(lambda: execute(api.address, owner, connect, PAGE, after=cursor))["tenants"]

    assert first["edges"] == [{"node": {"slug": "alpha"}}, {"node": {"slug": "beta"}}]
    assert first["pageInfo"]["hasNextPage"] is True
    assert second["edges"] == [{"node": {"slug": "gamma"}}]
    assert second["pageInfo"]["hasNextPage"] is False


def test_gql_executes_a_mutation_and_gets_user_errors_as_data(api: Api, owner: Client, connect: Connect) -> None:
    made = run(lambda: execute(api.address, owner, connect, CREATE, input=NEW_TENANT))["createTenant"]
    again = run(lambda: execute(api.address, owner, connect, CREATE, input=NEW_TENANT))["createTenant"]

    assert made == {
        "tenant": {"slug": "books", "state": "PROVISIONING"},
        "run": {"number": 1, "status": "QUEUED"},
        "userErrors": [],
    }
    assert again == {"tenant": None, "run": None, "userErrors": [{"code": "TAKEN", "field": ["input", "slug"]}]}


def test_gql_subscribes_to_a_cancel_until_its_end(api: Api, harness: RunHarness, owner: Client) -> None:
    async def scenario() -> list[Facts]:
        entries = []
        async with aclosing(subscribe(api.address, owner, harness)) as found:
            async for entry in found:
                entries.append(entry)
                if entry["kind"] == "RUN_STARTED":
                    await asyncio.to_thread(harness.make_moves, until="allocate_traffic")
                if entry["kind"] == "STEP_SUCCEEDED" and entry["step"] == "allocate_identity":
                    await asyncio.to_thread(harness.cancel)
                    await asyncio.to_thread(harness.make_moves)
        return entries

    harness.create()
    entries = run(scenario)

    assert [entry["sequence"] for entry in entries] == timeline_numbers(harness)
    assert entries[-1]["kind"] == "RUN_FINISHED"
    assert sum(entry["kind"] == "CANCEL_REQUESTED" for entry in entries) == 1


def test_gql_resumes_a_subscription_after_a_connection_reset_without_gap_or_repeat(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    proxy, seen = TcpProxy(api.address), list[Facts]()

    async def read_until_reset(address: str) -> None:
        async for entry in subscribe(address, owner, harness):
            seen.append(entry)
            if entry["step"] == "allocate_storage" and entry["kind"] == "STEP_SUCCEEDED":
                proxy.reset()

    async def scenario() -> None:
        async with proxy.listening() as address:
            await asyncio.to_thread(harness.make_moves, until="allocate_identity")
            with pytest.raises(TransportConnectionFailed):
                await read_until_reset(address)
            await asyncio.to_thread(harness.make_moves)
            seen.extend([entry async for entry in subscribe(address, owner, harness, after=seen[-1]["cursor"])])

    harness.create()
    run(scenario)

    assert [entry["sequence"] for entry in seen] == timeline_numbers(harness)
    assert seen[-1]["kind"] == "RUN_FINISHED"


def test_gql_gets_an_error_over_http_for_an_invalid_token(api: Api) -> None:
    with pytest.raises(TransportQueryError) as refusal:
        run(lambda: execute(api.address, Client(api.address, "Bearer nonsense"), over_http, VIEWER))

    assert refusal.value.errors is not None
    assert refusal.value.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_gql_gets_a_closed_websocket_for_an_invalid_token(api: Api) -> None:
    with pytest.raises(TransportConnectionFailed) as refusal:
        run(lambda: execute(api.address, Client(api.address, "Bearer nonsense"), over_websocket, VIEWER))

    assert isinstance(refusal.value.__cause__, ConnectionClosed)
    assert refusal.value.__cause__.rcvd is not None
    assert refusal.value.__cause__.rcvd.code == 4401
