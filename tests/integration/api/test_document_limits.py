"""What a document may be: each limit, over HTTP and over a socket, and how quickly it is told."""

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

ENDLESS = "query { ...F0 } " + " ".join(
    f"fragment F{number} on Query {{ viewer {{ scopes }} ...F{number + 1} ...F{number + 1} }}" for number in range(40)
)
DEEP = "{ tenants { nodes { " + "recreatedFrom { " * 11 + "id" + " }" * 13 + " }"
QUICKLY = 0.5


@pytest.mark.parametrize(
    ("document", "says"),
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
        (ENDLESS, "root fields: 20"),
        ("{ viewer { scopes } }" + " " * 33_000, "32 kB"),
        ("{ " + "viewer { scopes } " * 900 + "}", "1000 tokens"),
        ("{ tenantBySlug(slug: " + '"' + "x" * 33_000 + '") { id } }', "32 kB"),
        ("{" * 999, "DOCUMENT_TOO_COMPLEX"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_too_large_is_refused_quickly(owner: Client, document: str, says: str) -> None:
    began = time.process_time()  # the API is in this process; how busy the machine is does not count
    refused = owner.error(document)
    with owner.subscribed(document) as subscription:
        message = subscription.message()
    took = time.process_time() - began

    if says == "DOCUMENT_TOO_COMPLEX":
        assert refused["extensions"]["code"] in {says, "GRAPHQL_PARSE_FAILED"}
    else:
        assert says in refused["message"]
        assert refused["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert message["type"] == "error"
    assert message["payload"][0]["message"] == refused["message"]
    assert took < QUICKLY * 2


def test_what_is_just_small_enough_is_answered(owner: Client) -> None:
    aliases = " ".join(f"a{number}: scopes" for number in range(30))
    directives = "@include(if: true) " * 20

    assert owner.execute("{ " + f"viewer {{ {aliases} scopes }} " + "}")
    assert "errors" in owner.result("{ viewer { scopes " + directives + "} }")  # one directive once at a place
    assert owner.execute("{ viewer { " + "scopes " * 499 + "} }")


def test_a_long_list_is_refused_wherever_it_lies(owner: Client) -> None:
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert owner.error(document, ids=["x"] * 501)["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
    assert owner.error(document, ids=[{"deep": [["x"] * 501]}])["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"


def test_tools_may_unwrap_the_schema_deeper_than_data(owner: Client) -> None:
    of_type = "ofType { " * 14 + "name" + " }" * 14

    assert owner.execute("{ __schema { types { fields { type { " + of_type + " } } } } }")
    assert (
        "20 levels"
        in owner.error('{ __type(name: "Query") { fields { type { ' + "ofType { " * 18 + "name" + " }" * 21 + " }")[
            "message"
        ]
    )


def test_whoever_lacks_the_right_learns_nothing_of_the_schema(api: Api, harness: RunHarness) -> None:
    partner = api.service_account(harness.organisation.id, "tenants:read")
    explorer = api.service_account(harness.organisation.id, "tenants:read", "schema:read")

    refused = partner.error(get_introspection_query())
    guessed, helped = partner.error("{ tenantz { totalCount } }"), explorer.error("{ tenantz { totalCount } }")

    assert refused["extensions"]["code"] == "FORBIDDEN"
    assert guessed["message"] == "Cannot query field 'tenantz' on type 'Query'."
    assert "Did you mean" in helped["message"]
    assert guessed["extensions"] == helped["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert explorer.execute(get_introspection_query())["__schema"]
    assert partner.execute("{ __typename }")


def test_an_answer_lists_five_errors_at_the_most(owner: Client) -> None:
    document = "{ " + " ".join(f"nothing{number}" for number in range(15)) + " }"

    assert len(owner.result(document)["errors"]) == 5


def test_an_operation_that_takes_too_long_is_given_up_and_its_statement_cancelled(
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
    wait_until(lambda: api.services.limiter.borrowed_tokens == 0)


def test_a_client_that_leaves_has_its_statement_cancelled(
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
