"""The limits on documents over HTTP and websockets, and the cancelling of operations that take too long."""

import threading
import time
from typing import Any

import pytest
from graphql import get_introspection_query
from sqlalchemy import text
from sqlmodel import Session

from provisioning import queries
from server.limits import document_limits
from tests.api import Api, Client
from tests.run_harness import RunHarness
from tests.waiting import wait_until

EXPONENTIAL = "query { ...F0 } " + " ".join(
    f"fragment F{number} on Query {{ viewer {{ scopes }} ...F{number + 1} ...F{number + 1} }}" for number in range(40)
)
DEEP = "{ tenants { nodes { " + "recreatedFrom { " * 11 + "id" + " }" * 13 + " }"
MAX_PROCESSOR_TIME = 1.0
"""Seconds of processor time for the two refusals."""


@pytest.mark.parametrize(
    ("document", "message_part"),
    [
        (DEEP, "levels: 12"),
        (
            "{ " + " ".join(f"a{number}: viewer {{ scopes }}" for number in range(20)) + " b: viewer { scopes } }",
            "root",
        ),
        ("{ viewer { " + " ".join(f"a{number}: scopes" for number in range(31)) + " } }", "aliases: 30"),
        ("{ viewer { scopes " + "@include(if: true) " * 21 + "} }", "directives: 20"),
        ("{ viewer { " + "scopes " * 500 + "} }", "fields: 500"),
        ("query (" + " ".join(f"$v{number}: Int" for number in range(51)) + ") { viewer { scopes } }", "variables: 50"),
        (" ".join(f"query Q{number} {{ viewer {{ scopes }} }}" for number in range(6)), "operations: 5"),
        (EXPONENTIAL, "root fields: 20"),
        ("{ viewer { scopes } }" + " " * 33_000, "32 kB"),
        ("{ " + "viewer { scopes } " * 900 + "}", "1000 tokens"),
        ("{ tenantBySlug(slug: " + '"' + "x" * 33_000 + '") { id } }', "32 kB"),
        ("{" * 999, "DOCUMENT_TOO_COMPLEX"),
    ],
    ids=lambda value: value[:20],
)
def test_a_document_above_a_limit_is_refused_at_little_cost(owner: Client, document: str, message_part: str) -> None:
    began = time.process_time()  # of the API too, which is in this process; the load of the machine does not count
    refused = owner.error(document)
    with owner.subscribed(document) as subscription:
        message = subscription.message()
    took = time.process_time() - began

    if message_part == "DOCUMENT_TOO_COMPLEX":
        assert refused["extensions"]["code"] in {message_part, "GRAPHQL_PARSE_FAILED"}
    else:
        assert message_part in refused["message"]
        assert refused["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert message["type"] == "error"
    assert message["payload"][0]["message"] == refused["message"]
    assert took < MAX_PROCESSOR_TIME


def test_a_document_at_the_limits_is_executed(owner: Client) -> None:
    aliases = " ".join(f"a{number}: scopes" for number in range(30))
    directives = "@include(if: true) " * 20

    assert owner.execute("{ " + f"viewer {{ {aliases} scopes }} " + "}")
    assert "errors" in owner.result(
        "{ viewer { scopes " + directives + "} }"
    )  # a directive may occur once per location
    assert owner.execute("{ viewer { " + "scopes " * 499 + "} }")


def test_a_list_above_the_limit_is_refused_at_any_depth_of_the_variables(owner: Client) -> None:
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert owner.error(document, ids=["x"] * 501)["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert owner.error(document, ids=[{"deep": [["x"] * 501]}])["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"


def test_introspection_may_be_deeper_than_other_queries(owner: Client) -> None:
    of_type = "ofType { " * 14 + "name" + " }" * 14

    assert owner.execute("{ __schema { types { fields { type { " + of_type + " } } } } }")
    assert (
        "20 levels"
        in owner.error('{ __type(name: "Query") { fields { type { ' + "ofType { " * 18 + "name" + " }" * 21 + " }")[
            "message"
        ]
    )


def test_a_caller_without_schema_read_gets_no_introspection_and_no_suggestions(api: Api, harness: RunHarness) -> None:
    partner = api.service_account(harness.organisation.id, "tenants:read")
    explorer = api.service_account(harness.organisation.id, "tenants:read", "schema:read")

    refused = partner.error(get_introspection_query())
    without_hint, with_hint = partner.error("{ tenantz { totalCount } }"), explorer.error("{ tenantz { totalCount } }")

    assert refused["extensions"]["code"] == "FORBIDDEN"
    assert without_hint["message"] == "Cannot query field 'tenantz' on type 'Query'."
    assert "Did you mean" in with_hint["message"]
    assert without_hint["extensions"] == with_hint["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert explorer.execute(get_introspection_query())["__schema"]
    assert partner.execute("{ __typename }")


def test_a_result_has_at_most_five_errors(owner: Client) -> None:
    document = "{ " + " ".join(f"nothing{number}" for number in range(15)) + " }"

    assert len(owner.result(document)["errors"]) == 5


def test_an_operation_that_takes_too_long_times_out_and_its_statement_is_cancelled(
    api: Api, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def slow(session: Session, *_: Any, **__: Any) -> None:
        try:
            session.execute(text("SELECT pg_sleep(30)"))
        finally:
            ended.set()

    monkeypatch.setattr(queries, "organisation_of_slug", slow)
    monkeypatch.setattr(document_limits, "OPERATION_TIMEOUT", 0.2)
    began = time.monotonic()

    over_http = owner.error('{ organization(slug: "x") { id } }')
    assert ended.wait(5)
    ended.clear()
    with owner.subscribed('{ organization(slug: "x") { id } }') as subscription:
        message = subscription.message()
    assert ended.wait(5)

    assert over_http["extensions"]["code"] == "TIMEOUT"
    assert message["payload"][0]["extensions"]["code"] == "TIMEOUT"
    assert time.monotonic() - began < 10
    wait_until(lambda: api.services.connections.used == 0)


def test_the_statement_of_a_client_that_disconnects_is_cancelled(
    api: Api, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ended = threading.Event(), threading.Event()

    def slow(session: Session, *_: Any, **__: Any) -> None:
        began.set()
        try:
            session.execute(text("SELECT pg_sleep(30)"))
        finally:
            ended.set()

    monkeypatch.setattr(queries, "organisation_of_slug", slow)
    with owner.subscribed('{ organization(slug: "x") { id } }'):
        assert began.wait(5)

    assert ended.wait(5)
