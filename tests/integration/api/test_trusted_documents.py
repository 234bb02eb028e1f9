"""Documents that the operator knows: named instead of sent, over every transport, and all that partners may send."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.settings import Settings, SettingsRefused
from server.asgi import create_app
from server.graphql.trusted_documents import TrustedDocuments, UnknownDocument, load_trusted_documents, reference_in
from tests import attacks
from tests.api import Api, Client, Facts, Subscription, running_api
from tests.run_harness import RunHarness

KNOWN = "query Who { viewer { actor { kind } } }"
OTHER = "{ viewer { scopes } }"
HASH = hashlib.sha256(KNOWN.encode()).hexdigest()
UNKNOWN = "0" * 64


def kept(folder: Path, documents: object) -> str:
    path = folder / "trusted.json"
    path.write_text(documents if isinstance(documents, str) else json.dumps(documents))
    return str(path)


def trusting(harness: RunHarness, path: str, *, only: bool = True) -> Settings:
    return harness.settings.model_copy(update={"trusted_documents": path, "trusted_only": only})


@pytest.fixture
def strict(harness: RunHarness, tmp_path: Path, redis_url: str) -> Iterator[Api]:
    with running_api(trusting(harness, kept(tmp_path, {HASH: KNOWN}))) as running:
        yield running


@pytest.fixture
def partner(strict: Api, harness: RunHarness) -> Client:
    return strict.service_account(harness.organisation.id, "tenants:read")


def posted(client: Client, **request: object) -> Facts:
    answer: Facts = json.loads(attacks.send_request(client, "POST", "/graphql", json.dumps(request)).text)
    return answer


def sent(client: Client, **payload: object) -> Facts:
    with client.connected() as connection:
        subscription = Subscription(connection)
        subscription.send(id="1", type="subscribe", payload=payload)
        return subscription.message()


ANSWER = {"viewer": {"actor": {"kind": "INTEGRATION"}}}


def test_a_document_is_named_by_its_hash_over_every_transport(partner: Client) -> None:
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": HASH}}
    stream = {"Accept": "text/event-stream"}

    assert posted(partner, extensions=persisted) == {"data": ANSWER}
    assert posted(partner, documentId=f"sha256:{HASH}") == {"data": ANSWER}
    assert json.loads(attacks.send_request(partner, "GET", f"/graphql?documentId={HASH}").text) == {"data": ANSWER}
    assert sent(partner, extensions=persisted)["payload"] == {"data": ANSWER}
    assert sent(partner, documentId=HASH)["payload"] == {"data": ANSWER}
    assert (
        f'"data": {json.dumps(ANSWER)}'
        in attacks.send_request(partner, "POST", "/graphql/stream", json.dumps({"documentId": HASH}), **stream).text
    )


def test_a_partner_may_send_the_text_of_a_known_document_and_no_other(partner: Client) -> None:
    assert posted(partner, query=KNOWN) == {"data": ANSWER}
    assert posted(partner, query=OTHER)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert posted(partner, query=KNOWN + " ")["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert sent(partner, query=OTHER)["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    streamed = attacks.send_request(
        partner, "POST", "/graphql/stream", json.dumps({"query": OTHER}), Accept="text/event-stream"
    )
    assert "FORBIDDEN" in streamed.text


def test_an_unknown_hash_is_said_to_be_unknown(partner: Client) -> None:
    code = "PERSISTED_QUERY_NOT_FOUND"

    assert posted(partner, documentId=UNKNOWN)["errors"][0]["extensions"]["code"] == code
    assert sent(partner, documentId=UNKNOWN)["payload"][0]["extensions"]["code"] == code


def test_who_may_explore_sends_what_comes_to_mind(strict: Api, harness: RunHarness) -> None:
    assert strict.member(harness.organisation.id).execute(OTHER)["viewer"]["scopes"]
    assert strict.service_account(harness.organisation.id, "schema:read").execute(OTHER) == {
        "viewer": {"scopes": ["schema:read"]}
    }


def test_without_the_setting_any_document_may_be_sent_and_a_hash_is_not_known(api: Api, harness: RunHarness) -> None:
    partner = api.service_account(harness.organisation.id, "tenants:read")

    assert partner.execute(OTHER)
    assert posted(partner, documentId=HASH)["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


def test_limits_hold_for_trusted_documents_too(harness: RunHarness, tmp_path: Path, redis_url: str) -> None:
    deep = "{ tenants { nodes { " + "recreatedFrom { " * 12 + "id" + " }" * 14 + " }"
    path = kept(tmp_path, {hashlib.sha256(deep.encode()).hexdigest(): deep})

    with running_api(trusting(harness, path)) as running:
        refused = running.member(harness.organisation.id).error(deep)

    assert refused["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ("{", "cannot be read as JSON"),
        ([KNOWN], "must map hashes to documents"),
        ({HASH: 1}, "must map hashes to documents"),
        ({HASH: OTHER}, "is not the SHA-256 of its document"),
        ({"md5:abc": KNOWN}, "is not the SHA-256 of its document"),
    ],
    ids=str,
)
def test_a_file_that_makes_no_sense_stops_the_start(
    harness: RunHarness, tmp_path: Path, documents: object, says: str
) -> None:
    with pytest.raises(SettingsRefused, match=says):
        create_app(trusting(harness, kept(tmp_path, documents)))


def test_a_file_that_is_not_there_stops_the_start(harness: RunHarness) -> None:
    with pytest.raises(SettingsRefused, match="TENANTRY_TRUSTED_DOCUMENTS"):
        load_trusted_documents(trusting(harness, "nowhere.json"))


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"documentId": 7},
        {"documentId": "x"},
        {"documentId": HASH.upper()},
        {"extensions": []},
        {"extensions": {"persistedQuery": HASH}},
        {"extensions": {"persistedQuery": {"sha256Hash": [HASH]}}},
        {"documentId": HASH, "query": OTHER},
    ],
    ids=str,
)
def test_what_names_no_document_is_no_reference(request_: Facts) -> None:
    assert reference_in(request_) is None


def test_a_text_beside_a_hash_is_what_counts() -> None:
    trusted = TrustedDocuments({HASH: KNOWN}, only=True)

    assert trusted.text_of(f"#sha256:{HASH}", may_read_schema=False) == KNOWN
    assert trusted.text_of(OTHER, may_read_schema=True) == OTHER
    with pytest.raises(UnknownDocument):
        trusted.text_of(f"#sha256:{UNKNOWN}", may_read_schema=True)
