"""Trusted documents: referenced by hash over every transport, and the only documents that partners may send."""

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


def document_file(folder: Path, documents: object) -> str:
    path = folder / "trusted.json"
    path.write_text(documents if isinstance(documents, str) else json.dumps(documents))
    return str(path)


def settings_with_documents(harness: RunHarness, path: str, *, only: bool = True) -> Settings:
    return harness.settings.model_copy(update={"trusted_documents": path, "trusted_only": only})


@pytest.fixture
def restricted_api(harness: RunHarness, tmp_path: Path, redis_url: str) -> Iterator[Api]:
    with running_api(settings_with_documents(harness, document_file(tmp_path, {HASH: KNOWN}))) as running:
        yield running


@pytest.fixture
def partner(restricted_api: Api, harness: RunHarness) -> Client:
    return restricted_api.service_account(harness.organisation.id, "tenants:read")


def post(client: Client, **request: object) -> Facts:
    result: Facts = json.loads(attacks.send_request(client, "POST", "/graphql", json.dumps(request)).text)
    return result


def send(client: Client, **payload: object) -> Facts:
    with client.connected() as connection:
        subscription = Subscription(connection)
        subscription.send(id="1", type="subscribe", payload=payload)
        return subscription.message()


ANSWER = {"viewer": {"actor": {"kind": "INTEGRATION"}}}


def test_a_document_is_referenced_by_its_hash_over_every_transport(partner: Client) -> None:
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": HASH}}
    stream = {"Accept": "text/event-stream"}

    assert post(partner, extensions=persisted) == {"data": ANSWER}
    assert post(partner, documentId=f"sha256:{HASH}") == {"data": ANSWER}
    assert json.loads(attacks.send_request(partner, "GET", f"/graphql?documentId={HASH}").text) == {"data": ANSWER}
    assert send(partner, extensions=persisted)["payload"] == {"data": ANSWER}
    assert send(partner, documentId=HASH)["payload"] == {"data": ANSWER}
    assert (
        f'"data": {json.dumps(ANSWER)}'
        in attacks.send_request(partner, "POST", "/graphql/stream", json.dumps({"documentId": HASH}), **stream).text
    )


def test_a_partner_may_send_the_text_of_a_known_document_and_no_other(partner: Client) -> None:
    assert post(partner, query=KNOWN) == {"data": ANSWER}
    assert post(partner, query=OTHER)["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert post(partner, query=KNOWN + " ")["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert send(partner, query=OTHER)["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    streamed = attacks.send_request(
        partner, "POST", "/graphql/stream", json.dumps({"query": OTHER}), Accept="text/event-stream"
    )
    assert "FORBIDDEN" in streamed.text


def test_an_unknown_hash_gives_the_error_persisted_query_not_found(partner: Client) -> None:
    code = "PERSISTED_QUERY_NOT_FOUND"

    assert post(partner, documentId=UNKNOWN)["errors"][0]["extensions"]["code"] == code
    assert send(partner, documentId=UNKNOWN)["payload"][0]["extensions"]["code"] == code


def test_a_caller_with_schema_read_may_send_any_document(restricted_api: Api, harness: RunHarness) -> None:
    assert restricted_api.member(harness.organisation.id).execute(OTHER)["viewer"]["scopes"]
    assert restricted_api.service_account(harness.organisation.id, "schema:read").execute(OTHER) == {
        "viewer": {"scopes": ["schema:read"]}
    }


def test_without_the_setting_any_document_may_be_sent_and_no_hash_is_known(api: Api, harness: RunHarness) -> None:
    partner = api.service_account(harness.organisation.id, "tenants:read")

    assert partner.execute(OTHER)
    assert post(partner, documentId=HASH)["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


def test_document_limits_apply_to_trusted_documents_too(harness: RunHarness, tmp_path: Path, redis_url: str) -> None:
    deep = "{ tenants { nodes { " + "recreatedFrom { " * 12 + "id" + " }" * 14 + " }"
    path = document_file(tmp_path, {hashlib.sha256(deep.encode()).hexdigest(): deep})

    with running_api(settings_with_documents(harness, path)) as running:
        refused = running.member(harness.organisation.id).error(deep)

    assert refused["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ("{", "cannot be read as JSON"),
        ([KNOWN], "must map hashes to documents"),
        ({HASH: 1}, "must map hashes to documents"),
        ({HASH: OTHER}, "is not the SHA-256 of its document"),
        ({"md5:abc": KNOWN}, "is not the SHA-256 of its document"),
    ],
    ids=str,
)
def test_an_invalid_file_of_documents_is_refused_at_startup(
    harness: RunHarness, tmp_path: Path, documents: object, message: str
) -> None:
    with pytest.raises(SettingsRefused, match=message):
        create_app(settings_with_documents(harness, document_file(tmp_path, documents)))


def test_a_missing_file_of_documents_is_refused_at_startup(harness: RunHarness) -> None:
    with pytest.raises(SettingsRefused, match="TENANTRY_TRUSTED_DOCUMENTS"):
        load_trusted_documents(settings_with_documents(harness, "nowhere.json"))


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
def test_a_request_without_a_valid_hash_has_no_reference(request_: Facts) -> None:
    assert reference_in(request_) is None


def test_a_hash_resolves_to_its_document_and_a_text_to_itself() -> None:
    trusted = TrustedDocuments({HASH: KNOWN}, only=True)

    assert trusted.text_of(f"#sha256:{HASH}", may_read_schema=False) == KNOWN
    assert trusted.text_of(OTHER, may_read_schema=True) == OTHER
    with pytest.raises(UnknownDocument):
        trusted.text_of(f"#sha256:{UNKNOWN}", may_read_schema=True)
