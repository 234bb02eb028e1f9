"""Export of the audit feed: its content, its authorization, its limits, and the database cursor that it reads."""

import csv
import io
import json
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlmodel import col

from models import Role, ServiceAccount, TenantState
from models.columns import new_id
from provisioning import audit_export
from schema.node import global_id
from server.audit_export import endpoint
from server.audit_export.formats import COLUMNS
from tests.api import TIMEOUT, Api, Client, Facts, member_identity, running_api, service_account_identity, tenant_gid
from tests.http_client import HTTP
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to
from tests.waiting import wait_until

EVENTS = """
query Page($filter: AuditEventFilter, $after: String) { auditEvents(first: 100, filter: $filter, after: $after) {
  edges { node {
    id cursor type occurredAt actor { id kind displayName } tenant { id } run { id } requestId data
  } }
  pageInfo { hasNextPage endCursor }
} }
"""


def export(client: Client, path: str = "audit.jsonl", /, **parameters: str | list[str]) -> httpx.Response:
    authorization = {"Authorization": client.authorization} if client.authorization else {}
    return HTTP.get(
        f"http://{client.address}/export/{path}",
        params=parameters,
        headers=client.headers | authorization,
        timeout=TIMEOUT,
    )


def json_lines(client: Client, **parameters: str | list[str]) -> list[Facts]:
    response = export(client, "audit.jsonl", **parameters)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def csv_rows(client: Client, **parameters: str | list[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(client, "audit.csv", **parameters).text, newline="")))


def graphql_events(client: Client, **conditions: object) -> list[Facts]:
    """The same events from auditEvents, oldest first."""
    nodes: list[Facts] = []
    after = None
    while True:
        page = client.execute(EVENTS, filter=conditions, after=after)["auditEvents"]
        nodes += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes[::-1]


def recorded_exports(client: Client) -> list[Facts]:
    return graphql_events(client, typeIn=["org.feed_exported"])


def test_json_lines_have_the_same_events_as_graphql_oldest_first(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    expected = graphql_events(owner)

    response = export(owner)

    assert [json.loads(line) for line in response.text.splitlines()] == expected
    assert len(expected) > 5
    assert response.headers["content-type"] == "application/jsonl"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-disposition"].startswith(
        f'attachment; filename="audit-{harness.organisation.slug}-'
    )
    assert "content-length" not in response.headers


def test_csv_rows_have_the_same_events_as_graphql(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    expected = graphql_events(owner)

    response = export(owner, "audit.csv")

    header, *found = csv.reader(io.StringIO(response.text, newline=""))
    assert header == list(COLUMNS)
    assert [(row[0], row[6], json.loads(row[10])) for row in found] == [
        (event["id"], event["actor"]["displayName"], event["data"]) for event in expected
    ]
    assert response.text.count("\r\n") == len(expected) + 1
    assert response.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "＝1", 'he said "no",\r\nso=there'])  # noqa: RUF001  # wide
def test_csv_cells_are_never_formulas_and_their_quotes_are_doubled(api: Api, harness: RunHarness, name: str) -> None:
    identity = service_account_identity(harness.organisation.id, "audit:read", "audit:export")
    renamed = update(ServiceAccount).where(col(ServiceAccount.id) == identity.actor.id).values(name=name)
    harness.transact(lambda session: session.execute(renamed))
    client = api.client(identity)
    export(client)

    (row,) = csv_rows(client, typeIn="org.feed_exported")
    (line,) = json_lines(client, typeIn="org.feed_exported")[:1]

    assert row["actorName"] == (name if name.startswith("he") else f"'{name}")
    assert line["actor"]["displayName"] == name


def test_an_export_filters_as_graphql_does(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    first = tenant_gid(harness.tenant_id)
    harness.create("other")
    all_events = graphql_events(owner)
    middle = all_events[4]
    begun = ["tenant.created", "tenant.provisioning.started"]
    conditions: list[tuple[dict[str, str | list[str]], list[Facts]]] = [
        ({"tenantId": first}, [event for event in all_events if event["tenant"]["id"] == first]),
        ({"runId": middle["run"]["id"]}, [event for event in all_events if event["run"] == middle["run"]]),
        ({"actorId": middle["actor"]["id"]}, [event for event in all_events if event["actor"] == middle["actor"]]),
        ({"typeIn": "tenant.provisioning.*"}, [event for event in all_events if "provisioning." in event["type"]]),
        ({"typeIn": ",".join(begun)}, [event for event in all_events if event["type"] in begun]),
        ({"typeIn": begun}, [event for event in all_events if event["type"] in begun]),
        ({"occurredFrom": middle["occurredAt"]}, all_events[4:]),
        ({"occurredUntil": middle["occurredAt"]}, all_events[:4]),
        ({"tenantId": first, "typeIn": "nothing.*"}, []),
    ]

    for parameters, expected in conditions:
        found = [event for event in json_lines(owner, **parameters) if event["type"] != "org.feed_exported"]
        assert found == expected, parameters


def test_an_export_with_after_continues_behind_that_line(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    all_events = json_lines(owner, tenantId=tenant_gid(harness.tenant_id))

    rest = json_lines(owner, tenantId=tenant_gid(harness.tenant_id), after=all_events[3]["cursor"])
    without_filter = json_lines(owner, after=all_events[3]["cursor"])

    assert rest == all_events[4:]
    assert without_filter[: len(rest)] == rest


def test_an_export_that_opens_further_cursors_misses_no_event(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    expected = json_lines(owner)
    monkeypatch.setattr(endpoint, "CURSOR_TIMEOUT", -1.0)
    monkeypatch.setattr(audit_export, "BATCH_SIZE", 3)

    assert json_lines(owner)[:-1] == expected


def test_an_export_is_recorded_with_its_actor_format_and_filter(api: Api, harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    owner.headers["X-Request-ID"] = "case-17"
    export(owner, "audit.csv", tenantId=tenant_gid(harness.tenant_id), typeIn="tenant.*")
    export(api.support(), organization=harness.organisation.slug)

    first, second = recorded_exports(owner)

    assert first["data"] == {
        "format": "csv",
        "filter": {"tenant_id": str(harness.tenant_id), "types": ["tenant.*"]},
        "after": None,
    }
    assert (first["requestId"], first["actor"]["kind"]) == ("case-17", "USER")
    assert second["data"] == {"format": "jsonl", "filter": {}, "after": None}
    assert (second["actor"]["kind"], second["actor"]["displayName"]) == ("SUPPORT", "sam@tenantry.example")


def test_an_export_does_not_contain_its_own_record(harness: RunHarness, owner: Client) -> None:
    assert json_lines(owner) == []
    assert [event["type"] for event in json_lines(owner)] == ["org.feed_exported"]


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_owners_and_admins_may_export(api: Api, harness: RunHarness, role: Role) -> None:
    assert export(api.member(harness.organisation.id, role)).status_code == 200


def test_a_refused_export_is_not_recorded(api: Api, harness: RunHarness, owner: Client) -> None:
    for client in (
        api.member(harness.organisation.id, Role.VIEWER),
        api.service_account(harness.organisation.id, "audit:read"),
    ):
        refused = export(client)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    assert recorded_exports(owner) == []


def test_a_service_accounts_export_is_limited_to_its_tenants_and_scopes(api: Api, harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    mine = harness.tenant_id
    harness.create("other")
    limited = api.service_account(harness.organisation.id, "audit:export", "tenants:read", only={mine})
    without_tenants_read = api.service_account(harness.organisation.id, "audit:export")

    assert {line["tenant"]["id"] for line in json_lines(limited)} == {tenant_gid(mine)}
    assert {line["tenant"] for line in json_lines(without_tenants_read)} == {None}
    assert "first_admin_email" not in json.dumps(json_lines(without_tenants_read))


def test_support_must_name_an_organisation_and_gets_no_first_admins_address(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    other.create()

    unnamed, found = export(api.support()), json_lines(api.support(), organization=harness.organisation.slug)

    assert unnamed.status_code == 400
    assert {line["tenant"]["id"] for line in found} == {tenant_gid(harness.tenant_id)}
    assert "first_admin_email" not in json.dumps(found)
    assert "first_admin_email" in json.dumps(json_lines(owner))


def test_the_feed_of_another_organisation_is_not_found(harness: RunHarness, other: RunHarness, owner: Client) -> None:
    other.create()

    foreign = export(owner, organization=other.organisation.slug)
    unknown = export(owner, organization="no-such-organisation")

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["errors"][0]["message"] == unknown.json()["errors"][0]["message"]
    assert export(owner, organization=harness.organisation.slug).status_code == 200
    assert json_lines(owner, tenantId=tenant_gid(other.tenant_id)) == []


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"tenantid": "x"}, 400),
        ({"limit": "5"}, 400),
        ({"tenantId": ""}, 400),
        ({"tenantId": ["a", "b"]}, 400),
        ({"tenantId": "nonsense"}, 404),
        ({"runId": "nonsense"}, 404),
        ({"after": "nonsense"}, 400),
        ({"occurredFrom": "yesterday"}, 400),
        ({"occurredFrom": "2026-11-22T09:30:00+02:00\0"}, 400),
        ({"occurredFrom": "0001-01-01T00:00:00+00:01"}, 400),
        ({"occurredUntil": "9999-12-31T23:59:59-23:59"}, 400),
        ({"typeIn": "tenant.*,,"}, 400),
        ({"typeIn": "x" * 81}, 400),
        ({"typeIn": ",".join(["x"] * 101)}, 400),
        ({"typeIn": "a\0b"}, 400),
    ],
    ids=str,
)
def test_an_invalid_parameter_is_refused_and_exports_nothing(
    owner: Client, parameters: dict[str, str | list[str]], status: int
) -> None:
    refused = export(owner, "audit.csv", **parameters)

    (error,) = refused.json()["errors"]
    assert refused.status_code == status
    assert error["extensions"]["code"] in {"BAD_USER_INPUT", "NOT_FOUND"}
    assert error["extensions"]["requestId"] == refused.headers["X-Request-ID"]
    assert len(error["message"]) <= 300
    assert recorded_exports(owner) == []


def test_an_export_needs_get_a_token_a_known_format_and_no_foreign_origin(api: Api, owner: Client) -> None:
    posted = HTTP.post(f"http://{api.address}/export/audit.csv", timeout=TIMEOUT)
    foreign = export(Client(api.address, owner.authorization, {"Origin": "https://evil.example"}))
    unknown = export(Client(api.address, None))

    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET")
    assert foreign.status_code == 403
    assert unknown.status_code == 401
    assert unknown.headers["WWW-Authenticate"].startswith("Bearer")
    assert export(owner, "audit.xml").status_code == 404


@contextmanager
def unread_export(client: Client) -> Iterator[socket.socket]:
    """An export with a client that does not read the response."""
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lines = [f"Host: {client.address}", f"Authorization: {client.authorization}"]
        connection.sendall("\r\n".join(["GET /export/audit.jsonl HTTP/1.1", *lines, "", ""]).encode())
        yield connection


@pytest.fixture
def long_feed(harness: RunHarness) -> RunHarness:
    """A feed of 10,000 events and 15 MB, which is more than the kernel buffers for a client that does not read."""
    add_events(harness, 10_000)
    return harness


def add_events(harness: RunHarness, count: int) -> None:
    with psycopg.connect(harness.settings.database_url) as connection:
        connection.execute(
            "INSERT INTO events (id, organisation_id, type, actor_kind, actor_id, actor_name, data, created_at) "
            "SELECT id, %s, 'access.denied', 'USER', gen_random_uuid(), 'Olive', "
            "jsonb_build_object('action', 'suspendTenant', 'reason', repeat('No. ', 300)), now() "
            "FROM unnest(%s::uuid[]) AS id",
            # In the order of their creation, as all ids: the newest event of the database is found by its id.
            [harness.organisation.id, [new_id() for _ in range(count)]],
        )


def open_cursors(harness: RunHarness) -> int:
    with psycopg.connect(harness.settings.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name = 'tenantry-export' AND xact_start IS NOT NULL"
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_a_client_that_disconnects_ends_the_cursor(long_feed: RunHarness, owner: Client) -> None:
    with unread_export(owner) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: open_cursors(long_feed) == 1)

    wait_until(lambda: open_cursors(long_feed) == 0, within=10)  # sooner than for a client that does not read


def test_a_client_that_does_not_read_is_disconnected(
    long_feed: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.graphql.sse.SEND_TIMEOUT", 0.3)

    with unread_export(owner):
        wait_until(lambda: open_cursors(long_feed) == 1)
        wait_until(lambda: open_cursors(long_feed) == 0)


def test_a_caller_may_run_two_exports_at_a_time(long_feed: RunHarness, owner: Client) -> None:
    with unread_export(owner), unread_export(owner):
        wait_until(lambda: open_cursors(long_feed) == 2)
        refused = export(owner)

    assert refused.status_code == 429
    assert refused.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"
    assert "Retry-After" in refused.headers
    wait_until(lambda: export(owner, occurredFrom="2200-01-01T00:00:00Z").status_code == 200)


def test_an_organisation_may_not_use_every_slot_for_exports(
    api: Api, long_feed: RunHarness, other: RunHarness, owner: Client
) -> None:
    second = api.member(long_feed.organisation.id, Role.ADMIN)
    with unread_export(owner), unread_export(owner), unread_export(second):
        wait_until(lambda: open_cursors(long_feed) == 3)
        refused = export(second)
        of_other = export(api.member(other.organisation.id))

    assert refused.status_code == 429
    assert "in your organisation" in refused.json()["errors"][0]["message"]
    assert of_other.status_code == 200


def test_an_export_costs_points_of_the_rate_limit(harness: RunHarness, redis_url: str) -> None:
    with running_api(harness.settings.model_copy(update={"budget": endpoint.COST + 50, "budget_refill": 1})) as limited:
        owner = limited.member(harness.organisation.id)
        first, second = export(owner), export(owner)

    assert first.status_code == 200
    assert second.status_code == 429
    assert second.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert 1 <= int(second.headers["Retry-After"]) <= endpoint.COST


def test_an_export_that_fails_midway_ends_without_the_last_chunk(
    long_feed: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = audit_export.batches

    def failing(*args: object, **kwargs: object) -> Iterator[object]:
        for number, batch in enumerate(batches(*args, **kwargs)):  # type: ignore[arg-type]  # passed through
            if number == 3:
                raise OperationalError("FETCH", {}, psycopg.errors.DataCorrupted())
            yield batch

    monkeypatch.setattr(audit_export, "batches", failing)

    with pytest.raises(httpx.RemoteProtocolError):
        export(owner)
    wait_until(lambda: open_cursors(long_feed) == 0)


@contextmanager
def streamed_export(client: Client) -> Iterator[httpx.Response]:
    """An export with a client that reads the response as it arrives."""
    address, headers = f"http://{client.address}/export/audit.jsonl", {"Authorization": client.authorization or ""}
    with HTTP.stream("GET", address, headers=headers, timeout=TIMEOUT) as response:
        yield response


def test_memory_does_not_grow_with_the_size_of_an_export(long_feed: RunHarness, owner: Client) -> None:
    tracemalloc.start()
    try:
        with streamed_export(owner) as response:
            size = sum(len(chunk) for chunk in response.iter_bytes())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 15_000_000
    assert peak < 5_000_000


def test_an_export_continues_after_its_database_connection_was_terminated(long_feed: RunHarness, owner: Client) -> None:
    with streamed_export(owner) as response:
        found = response.iter_lines()
        ids = [json.loads(next(found))["id"]]
        with psycopg.connect(long_feed.settings.database_url, autocommit=True) as other:
            terminate = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenantry-export'"
            )
            assert other.execute(terminate).fetchall()
        ids += [json.loads(line)["id"] for line in found]

    assert len(ids) == len(set(ids)) == 10_000


def test_an_expired_token_ends_the_export(api: Api, long_feed: RunHarness) -> None:
    client = api.expiring_client(member_identity(long_feed.organisation.id))

    with unread_export(client):
        wait_until(lambda: open_cursors(long_feed) == 1)
        wait_until(lambda: open_cursors(long_feed) == 0)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("SELECT", {}, Exception("host db.internal")), 503, "SERVICE_UNAVAILABLE"),
        (OperationalError("SELECT", {}, psycopg.errors.UndefinedTable("relation x")), 500, "INTERNAL_SERVER_ERROR"),
    ],
    ids=["unreachable", "internal error"],
)
def test_an_export_that_cannot_begin_is_refused_with_a_masked_error(
    owner: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(audit_export, "batches", broken)

    refused = export(owner)

    assert refused.status_code == status
    assert refused.json()["errors"][0]["extensions"]["code"] == code
    assert "SELECT" not in refused.text
    assert "relation" not in refused.text
    assert "db.internal" not in refused.text


def test_an_export_filtered_by_an_id_of_another_type_is_not_found(harness: RunHarness, owner: Client) -> None:
    assert export(owner, tenantId=global_id("ProvisioningRun", harness.tenant_id)).status_code == 404
