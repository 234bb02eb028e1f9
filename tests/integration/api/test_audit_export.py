"""The audit feed as a file: whole, as GraphQL tells it, for those who may, and from a cursor that is let go of."""

import csv
import io
import json
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlmodel import col

from models import Role, ServiceAccount, TenantState
from provisioning import audit_export
from schema.node import global_id
from server.audit_export import endpoint
from server.audit_export.formats import COLUMNS
from tests.api import TIMEOUT, Api, Client, Facts, member_identity, running_api, service_account_identity, tenant_gid
from tests.run_harness import RunHarness
from tests.scenarios import bring_tenant_to
from tests.waiting import wait_until

EVENTS = """
query Page($filter: AuditEventFilter, $after: String) { auditEvents(first: 100, filter: $filter, after: $after) {
  edges { node {
    id cursor type occurredAt actor { id kind displayName } tenant { id } run { id } requestId data
  } }
  pageInfo { hasNextPage endCursor }
} }
"""


def taken(client: Client, path: str = "audit.jsonl", /, **wanted: str | list[str]) -> httpx.Response:
    authorization = {"Authorization": client.authorization} if client.authorization else {}
    return httpx.get(
        f"http://{client.address}/export/{path}",
        params=wanted,
        headers=client.headers | authorization,
        timeout=TIMEOUT,
        trust_env=False,
    )


def lines(client: Client, **wanted: str | list[str]) -> list[Facts]:
    response = taken(client, "audit.jsonl", **wanted)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def rows(client: Client, **wanted: str | list[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(taken(client, "audit.csv", **wanted).text, newline="")))


def told(client: Client, **wanted: object) -> list[Facts]:
    """The same by GraphQL, oldest first."""
    nodes: list[Facts] = []
    after = None
    while True:
        page = client.execute(EVENTS, filter=wanted, after=after)["auditEvents"]
        nodes += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes[::-1]


def exports_on_record(client: Client) -> list[Facts]:
    return told(client, typeIn=["org.feed_exported"])


def test_json_lines_tell_what_graphql_tells_oldest_first(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    expected = told(owner)

    response = taken(owner)

    assert [json.loads(line) for line in response.text.splitlines()] == expected
    assert len(expected) > 5
    assert response.headers["content-type"] == "application/jsonl"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-disposition"].startswith(
        f'attachment; filename="audit-{harness.organisation.slug}-'
    )
    assert "content-length" not in response.headers


def test_csv_has_the_same_facts_in_columns(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    expected = told(owner)

    response = taken(owner, "audit.csv")

    head, *found = csv.reader(io.StringIO(response.text, newline=""))
    assert head == list(COLUMNS)
    assert [(row[0], row[6], json.loads(row[10])) for row in found] == [
        (one["id"], one["actor"]["displayName"], one["data"]) for one in expected
    ]
    assert response.text.count("\r\n") == len(expected) + 1
    assert response.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "＝1", 'he said "no",\r\nso=there'])  # noqa: RUF001  # wide
def test_no_cell_is_a_formula_and_every_quote_is_doubled(api: Api, harness: RunHarness, name: str) -> None:
    sly = service_account_identity(harness.organisation.id, "audit:read", "audit:export")
    renamed = update(ServiceAccount).where(col(ServiceAccount.id) == sly.actor.id).values(name=name)
    harness.transact(lambda session: session.execute(renamed))
    client = api.client(sly)
    taken(client)

    (row,) = rows(client, typeIn="org.feed_exported")
    (line,) = lines(client, typeIn="org.feed_exported")[:1]

    assert row["actorName"] == (name if name.startswith("he") else f"'{name}")
    assert line["actor"]["displayName"] == name


def test_the_conditions_are_those_of_graphql(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    first = tenant_gid(harness.tenant_id)
    harness.create("other")
    everything = told(owner)
    middle = everything[4]
    begun = ["tenant.created", "tenant.provisioning.started"]
    conditions: list[tuple[dict[str, str | list[str]], list[Facts]]] = [
        ({"tenantId": first}, [one for one in everything if one["tenant"]["id"] == first]),
        ({"runId": middle["run"]["id"]}, [one for one in everything if one["run"] == middle["run"]]),
        ({"actorId": middle["actor"]["id"]}, [one for one in everything if one["actor"] == middle["actor"]]),
        ({"typeIn": "tenant.provisioning.*"}, [one for one in everything if "provisioning." in one["type"]]),
        ({"typeIn": ",".join(begun)}, [one for one in everything if one["type"] in begun]),
        ({"typeIn": begun}, [one for one in everything if one["type"] in begun]),
        ({"occurredFrom": middle["occurredAt"]}, everything[4:]),
        ({"occurredUntil": middle["occurredAt"]}, everything[:4]),
        ({"tenantId": first, "typeIn": "nothing.*"}, []),
    ]

    for wanted, expected in conditions:
        found = [one for one in lines(owner, **wanted) if one["type"] != "org.feed_exported"]
        assert found == expected, wanted


def test_an_export_goes_on_behind_the_line_where_another_broke_off(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    everything = lines(owner, tenantId=tenant_gid(harness.tenant_id))

    rest = lines(owner, tenantId=tenant_gid(harness.tenant_id), after=everything[3]["cursor"])
    of_all = lines(owner, after=everything[3]["cursor"])

    assert rest == everything[4:]
    assert of_all[: len(rest)] == rest


def test_an_old_cursor_gives_way_to_another_and_nothing_is_missing(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    expected = lines(owner)
    monkeypatch.setattr(endpoint, "CURSOR_TIMEOUT", -1.0)
    monkeypatch.setattr(audit_export, "BATCH_SIZE", 3)

    assert lines(owner)[:-1] == expected


def test_who_exports_is_put_on_record_before_the_first_line(api: Api, harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    owner.headers["X-Request-ID"] = "case-17"
    taken(owner, "audit.csv", tenantId=tenant_gid(harness.tenant_id), typeIn="tenant.*")
    taken(api.support(), organization=harness.organisation.slug)

    first, second = exports_on_record(owner)

    assert first["data"] == {
        "format": "csv",
        "filter": {"tenant_id": str(harness.tenant_id), "types": ["tenant.*"]},
        "after": None,
    }
    assert (first["requestId"], first["actor"]["kind"]) == ("case-17", "USER")
    assert second["data"] == {"format": "jsonl", "filter": {}, "after": None}
    assert (second["actor"]["kind"], second["actor"]["displayName"]) == ("SUPPORT", "sam@tenantry.example")


def test_an_export_does_not_hold_its_own_record(harness: RunHarness, owner: Client) -> None:
    assert lines(owner) == []
    assert [one["type"] for one in lines(owner)] == ["org.feed_exported"]


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_managers_may(api: Api, harness: RunHarness, role: Role) -> None:
    assert taken(api.member(harness.organisation.id, role)).status_code == 200


def test_others_may_not_and_leave_no_record(api: Api, harness: RunHarness, owner: Client) -> None:
    for client in (
        api.member(harness.organisation.id, Role.VIEWER),
        api.service_account(harness.organisation.id, "audit:read"),
    ):
        refused = taken(client)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    assert exports_on_record(owner) == []


def test_a_partner_takes_what_concerns_its_tenants_and_sees_of_tenants_what_it_may(
    api: Api, harness: RunHarness
) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    mine = harness.tenant_id
    harness.create("other")
    limited = api.service_account(harness.organisation.id, "audit:export", "tenants:read", only={mine})
    blind = api.service_account(harness.organisation.id, "audit:export")

    assert {line["tenant"]["id"] for line in lines(limited)} == {tenant_gid(mine)}
    assert {line["tenant"] for line in lines(blind)} == {None}
    assert "first_admin_email" not in json.dumps(lines(blind))


def test_support_names_an_organisation_and_sees_no_first_administrators(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    bring_tenant_to(harness, TenantState.PENDING)
    other.create()

    unnamed, found = taken(api.support()), lines(api.support(), organization=harness.organisation.slug)

    assert unnamed.status_code == 400
    assert {line["tenant"]["id"] for line in found} == {tenant_gid(harness.tenant_id)}
    assert "first_admin_email" not in json.dumps(found)
    assert "first_admin_email" in json.dumps(lines(owner))


def test_anothers_feed_does_not_exist(harness: RunHarness, other: RunHarness, owner: Client) -> None:
    other.create()

    foreign = taken(owner, organization=other.organisation.slug)
    unknown = taken(owner, organization="no-such-organisation")

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["errors"][0]["message"] == unknown.json()["errors"][0]["message"]
    assert taken(owner, organization=harness.organisation.slug).status_code == 200
    assert lines(owner, tenantId=tenant_gid(other.tenant_id)) == []


@pytest.mark.parametrize(
    ("wanted", "status"),
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
        ({"typeIn": "tenant.*,,"}, 400),
        ({"typeIn": "x" * 81}, 400),
        ({"typeIn": ",".join(["x"] * 101)}, 400),
        ({"typeIn": "a\0b"}, 400),
    ],
    ids=str,
)
def test_what_is_misspelt_is_refused_and_exports_nothing(
    owner: Client, wanted: dict[str, str | list[str]], status: int
) -> None:
    refused = taken(owner, "audit.csv", **wanted)

    (error,) = refused.json()["errors"]
    assert refused.status_code == status
    assert error["extensions"]["code"] in {"BAD_USER_INPUT", "NOT_FOUND"}
    assert error["extensions"]["requestId"] == refused.headers["X-Request-ID"]
    assert len(error["message"]) <= 300
    assert exports_on_record(owner) == []


def test_who_shows_no_token_or_uses_another_method_gets_nothing(api: Api, owner: Client) -> None:
    posted = httpx.post(f"http://{api.address}/export/audit.csv", timeout=TIMEOUT, trust_env=False)
    foreign = taken(Client(api.address, owner.authorization, {"Origin": "https://evil.example"}))
    unknown = taken(Client(api.address, None))

    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET")
    assert foreign.status_code == 403
    assert unknown.status_code == 401
    assert unknown.headers["WWW-Authenticate"].startswith("Bearer")
    assert taken(owner, "audit.xml").status_code == 404


@contextmanager
def opened(client: Client) -> Iterator[socket.socket]:
    """An export that nobody reads."""
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lines = [f"Host: {client.address}", f"Authorization: {client.authorization}"]
        connection.sendall("\r\n".join(["GET /export/audit.jsonl HTTP/1.1", *lines, "", ""]).encode())
        yield connection


@pytest.fixture
def long_feed(harness: RunHarness) -> RunHarness:
    """Twenty thousand events, more than the kernel keeps for somebody who does not read."""
    many_events(harness, 20_000)
    return harness


def many_events(harness: RunHarness, count: int) -> None:
    with psycopg.connect(harness.settings.database_url) as connection:
        connection.execute(
            "INSERT INTO events (id, organisation_id, type, actor_kind, actor_id, actor_name, data, created_at) "
            "SELECT gen_random_uuid(), %s, 'access.denied', 'USER', gen_random_uuid(), 'Somebody', "
            "jsonb_build_object('action', 'suspendTenant', 'reason', repeat('No. ', 100)), now() "
            "FROM generate_series(1, %s)",
            [harness.organisation.id, count],
        )


def cursors_open(harness: RunHarness) -> int:
    with psycopg.connect(harness.settings.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name = 'tenantry-export' AND xact_start IS NOT NULL"
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_a_client_that_leaves_ends_the_cursor(long_feed: RunHarness, owner: Client) -> None:
    with opened(owner) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        wait_until(lambda: cursors_open(long_feed) == 1)

    wait_until(lambda: cursors_open(long_feed) == 0, within=10)  # sooner than one that does not read


def test_a_client_that_does_not_read_is_given_up(
    long_feed: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.graphql.sse.SEND_TIMEOUT", 0.3)

    with opened(owner):
        wait_until(lambda: cursors_open(long_feed) == 1)
        wait_until(lambda: cursors_open(long_feed) == 0)


def test_one_caller_has_two_exports_at_a_time(long_feed: RunHarness, owner: Client) -> None:
    with opened(owner), opened(owner):
        wait_until(lambda: cursors_open(long_feed) == 2)
        refused = taken(owner)

    assert refused.status_code == 429
    assert refused.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"
    assert "Retry-After" in refused.headers
    wait_until(lambda: taken(owner, occurredFrom="2200-01-01T00:00:00Z").status_code == 200)


def test_an_organisation_leaves_a_place_for_another(
    api: Api, long_feed: RunHarness, other: RunHarness, owner: Client
) -> None:
    second = api.member(long_feed.organisation.id, Role.ADMIN)
    with opened(owner), opened(owner), opened(second):
        wait_until(lambda: cursors_open(long_feed) == 3)
        refused = taken(second)
        elsewhere = taken(api.member(other.organisation.id))

    assert refused.status_code == 429
    assert "in your organisation" in refused.json()["errors"][0]["message"]
    assert elsewhere.status_code == 200


def test_an_export_is_paid_for(harness: RunHarness, redis_url: str) -> None:
    with running_api(harness.settings.model_copy(update={"budget": endpoint.COST + 50, "budget_refill": 1})) as poor:
        owner = poor.member(harness.organisation.id)
        first, second = taken(owner), taken(owner)

    assert first.status_code == 200
    assert second.status_code == 429
    assert second.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert 1 <= int(second.headers["Retry-After"]) <= endpoint.COST


def test_an_export_that_breaks_in_the_middle_does_not_look_whole(
    long_feed: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = audit_export.batches

    def brittle(*args: object, **kwargs: object) -> Iterator[object]:
        for number, batch in enumerate(genuine(*args, **kwargs)):  # type: ignore[arg-type]  # passed through
            if number == 3:
                raise OperationalError("FETCH", {}, psycopg.errors.DataCorrupted())
            yield batch

    monkeypatch.setattr(audit_export, "batches", brittle)

    with pytest.raises(httpx.RemoteProtocolError):
        taken(owner)
    wait_until(lambda: cursors_open(long_feed) == 0)


@contextmanager
def streamed(client: Client) -> Iterator[httpx.Response]:
    """An export that is read as it comes."""
    address, headers = f"http://{client.address}/export/audit.jsonl", {"Authorization": client.authorization or ""}
    with httpx.stream("GET", address, headers=headers, timeout=TIMEOUT, trust_env=False) as response:
        yield response


def test_memory_does_not_grow_with_the_export(long_feed: RunHarness, owner: Client) -> None:
    tracemalloc.start()
    try:
        with streamed(owner) as response:
            size = sum(len(chunk) for chunk in response.iter_bytes())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 15_000_000
    assert peak < 5_000_000


def test_an_export_outlives_its_connection(long_feed: RunHarness, owner: Client) -> None:
    with streamed(owner) as response:
        found = response.iter_lines()
        ids = [json.loads(next(found))["id"]]
        with psycopg.connect(long_feed.settings.database_url, autocommit=True) as other:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenantry-export'"
            assert other.execute(cut).fetchall()
        ids += [json.loads(line)["id"] for line in found]

    assert len(ids) == len(set(ids)) == 20_000


def test_a_token_that_runs_out_ends_the_export(api: Api, long_feed: RunHarness) -> None:
    brief = api.client(member_identity(long_feed.organisation.id), timedelta(seconds=1.5))

    with opened(brief):
        wait_until(lambda: cursors_open(long_feed) == 1)
        wait_until(lambda: cursors_open(long_feed) == 0)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("SELECT", {}, Exception("host db.internal")), 503, "SERVICE_UNAVAILABLE"),
        (OperationalError("SELECT", {}, psycopg.errors.UndefinedTable("relation x")), 500, "INTERNAL_SERVER_ERROR"),
    ],
    ids=["away", "fault"],
)
def test_what_cannot_begin_is_refused_without_a_word_about_why(
    owner: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(audit_export, "batches", broken)

    refused = taken(owner)

    assert refused.status_code == status
    assert refused.json()["errors"][0]["extensions"]["code"] == code
    assert "SELECT" not in refused.text
    assert "relation" not in refused.text
    assert "db.internal" not in refused.text


def test_an_id_of_another_type_names_nothing(harness: RunHarness, owner: Client) -> None:
    assert taken(owner, tenantId=global_id("ProvisioningRun", harness.tenant_id)).status_code == 404
