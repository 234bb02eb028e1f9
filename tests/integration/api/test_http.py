"""GraphQL over HTTP: which requests are accepted, and the status and code of each error."""

import json
import time
from typing import Any

import httpx
import psycopg
import pytest
from graphql import get_introspection_query
from sqlalchemy.exc import OperationalError

from provisioning import commands, queries
from tests.api import TIMEOUT, Api, Client, tenant_gid
from tests.http_client import HTTP
from tests.run_harness import RunHarness

OUT_OF_RANGE = [
    "0001-01-01T00:00:00+00:01",
    "0001-01-01T23:58:59+23:59",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T00:01:00-23:59",
    "0000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-30T24:00:01Z",
]

QUERY = "{ viewer { actor { kind } } }"
ANSWER = {"data": {"viewer": {"actor": {"kind": "USER"}}}}


def send(client: Client, content: bytes | str, method: str = "POST", **headers: str) -> httpx.Response:
    assert client.authorization is not None
    return HTTP.request(
        method,
        f"http://{client.address}/graphql",
        content=content,
        headers={"Content-Type": "application/json", "Authorization": client.authorization} | headers,
        timeout=TIMEOUT,
    )


def get(client: Client, **parameters: str) -> httpx.Response:
    assert client.authorization is not None
    return HTTP.get(
        f"http://{client.address}/graphql",
        params=parameters,
        headers={"Authorization": client.authorization},
        timeout=TIMEOUT,
    )


def code_of(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    code: str = error["extensions"]["code"]
    return code


def test_a_query_is_executed_over_post_and_get(owner: Client) -> None:
    posted, got = owner.post(QUERY), get(owner, query=QUERY)

    assert posted.status_code == got.status_code == 200
    assert posted.json() == got.json() == ANSWER
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["cache-control"] == "no-store"
    assert "server" not in posted.headers


def test_variables_of_a_get_are_json_in_the_url(harness: RunHarness, owner: Client) -> None:
    document = "query T($slug: String!) { tenantBySlug(slug: $slug) { id } }"

    assert get(owner, query=document, variables='{"slug": "x"}').json() == {"data": {"tenantBySlug": None}}
    assert get(owner, query=document, variables="{").status_code == 400


def test_a_mutation_by_get_is_refused_and_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create()
    document = (
        f'mutation {{ cancelProvisioning(input: {{tenantId: "{tenant_gid(harness.tenant_id)}"}}) {{ run {{ id }} }} }}'
    )

    response = get(owner, query=document)

    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert harness.run().cancel_requested is False


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_media_type_than_json_is_refused(owner: Client, media_type: str) -> None:
    response = send(owner, '{"query": "{ viewer { scopes } }"}', **{"Content-Type": media_type})

    assert response.status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"text"',
        b"1",
        b"{",
        b"\xff\xfe",
        b"{}",
        b'{"query": null}',
        b'{"query": 7}',
        b'{"query": " "}',
        b'[{"query": "{ viewer { scopes } }"}]',
        b'{"query": "{ viewer { scopes } }", "variables": []}',
        b'{"query": "{ viewer { scopes } }", "operationName": 1}',
        b'{"query": "{ viewer { scopes } }", "extensions": "x"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_a_graphql_request_is_refused(owner: Client, body: bytes) -> None:
    response = send(owner, body)

    assert response.status_code == 400
    assert code_of(response) == "BAD_REQUEST"
    assert "data" not in response.json()


def test_a_body_above_the_size_limit_is_refused(owner: Client) -> None:
    assert send(owner, b'{"query": "' + b" " * 256 * 1024 + b'"}').status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_methods_other_than_get_and_post_are_refused(owner: Client, method: str) -> None:
    response = send(owner, b"{}", method)

    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{ viewer {", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query Q($id: ID!) { tenant(id: $id) { slug } }", "BAD_USER_INPUT"),
        ("{ tenants(first: 1000) { totalCount } }", "BAD_USER_INPUT"),
        ('{ tenants(filter: {createdFrom: "yesterday"}) { totalCount } }', "GRAPHQL_VALIDATION_FAILED"),
        (r'{ tenantBySlug(slug: "a\u0000b") { id } }', "BAD_USER_INPUT"),
        (r'{ tenants(filter: {slugPrefix: "a\u0000"}) { totalCount } }', "BAD_USER_INPUT"),
    ],
)
def test_every_error_in_a_document_has_its_code(owner: Client, document: str, code: str) -> None:
    assert owner.error(document)["extensions"]["code"] == code


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("DateTime", "2026-11-22"),
        ("DateTime", "2026-11-22T09:30:00"),
        ("DateTime", 7),
        ("DateTime", "9999-99-99T00:00:00Z"),
    ],
)
def test_an_invalid_datetime_in_a_variable_is_refused(owner: Client, type_name: str, value: object) -> None:
    document = f"query Q($at: {type_name}) {{ tenants(filter: {{createdFrom: $at}}) {{ totalCount }} }}"

    assert owner.error(document, at=value)["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("value", OUT_OF_RANGE)
def test_a_datetime_that_does_not_exist_in_utc_is_refused_as_bad_input(owner: Client, value: str) -> None:
    literal = owner.error(f'{{ auditEvents(filter: {{occurredUntil: "{value}"}}) {{ edges {{ cursor }} }} }}')
    variable = owner.error(
        "query Q($at: DateTime) { auditEvents(filter: {occurredFrom: $at}) { edges { cursor } } }", at=value
    )

    assert literal["extensions"]["code"] == variable["extensions"]["code"] == "BAD_USER_INPUT"
    assert "years 1 to 9999" in literal["message"]
    assert "years 1 to 9999" in variable["message"]


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T23:59:00+23:59"])
def test_the_first_and_the_last_datetime_can_be_used_in_a_filter(owner: Client, value: str) -> None:
    document = (
        f'{{ auditEvents(filter: {{occurredFrom: "{value}", occurredUntil: "{value}"}}) {{ edges {{ cursor }} }} }}'
    )

    assert owner.execute(document) == {"auditEvents": {"edges": []}}


def test_an_error_message_has_at_most_three_hundred_characters(owner: Client) -> None:
    assert len(owner.error("{ " + "x" * 5000 + " }")["message"]) <= 300


def test_half_of_a_surrogate_pair_is_refused_and_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create()
    before = harness.event_lines()

    document = (
        "mutation ($id: ID!, $why: String!) "
        "{ cancelProvisioning(input: {tenantId: $id, reason: $why}) { userErrors { code message } } }"
    )
    variables = {"id": tenant_gid(harness.tenant_id), "why": "\ud800"}

    answer = send(owner, json.dumps({"query": document, "variables": variables}))

    (refusal,) = answer.json()["data"]["cancelProvisioning"]["userErrors"]
    assert refusal["code"] == "INVALID"
    assert "unpaired surrogates" in refusal["message"]
    assert harness.event_lines() == before


def test_the_operation_name_selects_one_of_several_operations(owner: Client) -> None:
    both = "query A { viewer { scopes } } query B { viewer { actor { kind } } }"

    named = send(owner, f'{{"query": "{both}", "operationName": "B"}}')
    wrong = send(owner, f'{{"query": "{both}", "operationName": "C"}}')

    assert named.json() == ANSWER
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_several_operations_without_an_operation_name_are_refused_and_none_is_executed(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    before = harness.event_lines()
    cancel = f'cancelProvisioning(input: {{tenantId: "{tenant_gid(harness.tenant_id)}"}}) {{ alreadyRequested }}'
    document = f"mutation A {{ {cancel} }} query B {{ viewer {{ scopes }} }}"

    refused = owner.post(document)
    with owner.subscribed(document) as subscription:
        message = subscription.message()

    (error,) = refused.json()["errors"]
    assert refused.status_code == 400
    assert error["extensions"]["code"] == message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"] == message["payload"][0]["message"]
    assert (message["type"], "operationName" in error["message"]) == ("error", True)
    assert harness.event_lines() == before


def test_a_document_of_too_many_tokens_is_refused_at_little_cost(owner: Client) -> None:
    document = "{ " + "viewer { scopes } " * 900 + "}"
    began = time.process_time()  # of the API too, which is in this process; the load of the machine does not count

    refused = owner.error(document)
    with owner.subscribed(document) as subscription:
        message = subscription.message()

    assert len(document) > 16_000
    assert refused["extensions"]["code"] == message["payload"][0]["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert time.process_time() - began < 1


def test_introspection_is_allowed_for_a_caller_with_the_right_to_it(owner: Client) -> None:
    assert owner.execute(get_introspection_query())["__schema"]["queryType"]["name"] == "Query"


def test_a_subscription_over_post_is_refused(owner: Client) -> None:
    response = owner.post("subscription { auditEventAdded { type } }")

    assert response.status_code == 400


def test_an_internal_error_is_masked_and_has_the_request_id(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(queries, "organisation_of_slug", broken)
    owner.headers["X-Request-ID"] = "case-17"

    response = owner.post('{ viewer { actor { kind } } organization(slug: "x") { id } }')

    body = response.json()
    assert "hunter2" not in response.text
    assert body["data"] == {"viewer": {"actor": {"kind": "USER"}}, "organization": None}
    assert body["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "case-17"}
    assert body["errors"][0]["path"] == ["organization"]


def test_an_internal_error_in_one_mutation_does_not_affect_the_next(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    harness.create()
    monkeypatch.setattr(commands, "suspend_tenant", broken)
    document = """mutation Both($id: ID!) {
      suspend: suspendTenant(input: {tenantId: $id}) { userErrors { code } }
      cancel: cancelProvisioning(input: {tenantId: $id}) { userErrors { code } }
    }"""

    body = owner.result(document, id=tenant_gid(harness.tenant_id))

    assert body["data"] == {"suspend": None, "cancel": {"userErrors": []}}
    assert body["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


def test_an_unreachable_database_gives_the_error_service_unavailable(
    owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(queries, "organisation_of_slug", unreachable)

    error = owner.error('{ organization(slug: "x") { id } }')

    assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert error["message"] == "The database cannot be reached; try again in a moment."


@pytest.mark.parametrize("error", [psycopg.errors.LockNotAvailable(), psycopg.errors.QueryCanceled()], ids=repr)
def test_a_busy_database_gives_the_error_service_unavailable(
    owner: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT", {}, error)

    monkeypatch.setattr(queries, "organisation_of_slug", busy)

    error_in_result = owner.error('{ organization(slug: "x") { id } }')

    assert error_in_result["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert error_in_result["message"] == "The database is too busy; try again in a moment."


@pytest.mark.parametrize(("given", "kept"), [("case-17", True), ("x" * 65, False), ("a b", False), ("", False)])
def test_a_valid_request_id_is_kept_and_an_invalid_one_replaced(owner: Client, given: str, kept: bool) -> None:  # noqa: FBT001  # parametrised
    owner.headers["X-Request-ID"] = given

    returned = owner.post(QUERY).headers["X-Request-ID"]

    assert (returned == given) is kept
    assert returned


def test_the_index_is_html_for_browsers_and_json_for_programs(api: Api) -> None:
    html, program = api.get("/", Accept="text/html"), api.get("/")

    assert html.status_code == program.status_code == 200
    assert html.headers["content-type"].startswith("text/html")
    assert "/graphql" in html.text
    assert "/readyz" in program.json()["places"]


def test_requests_to_a_tenants_host_name_go_to_the_edge(api: Api, harness: RunHarness) -> None:
    harness.create()
    host = f"shop-{harness.organisation.slug}.localhost"

    for path in ("/graphql", "/healthz", "/readyz", "/"):
        answer = api.get(path, Host=host, **{"X-Request-ID": "edge-1"})
        assert answer.json() == {
            "status": 404,
            "message": "There is nothing at this address.",
            "requestId": "edge-1",
        }
    assert api.get("/healthz", Host="localhost").json() == {"status": "ok"}
