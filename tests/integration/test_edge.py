"""The edge answers on a tenant's host name, depending on the tenant's state only."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from adapters.identity import PostgresIdentity
from adapters.sealing import Seal
from edge.app import Edge, edge_app
from models import ActorKind, Organisation, Run, RunKind, RunStatus, Tenant, TenantState
from provisioning.actors import PLATFORM
from provisioning.resource_names import ResourceNames
from runtime.database import Database, clock
from runtime.settings import Settings
from server.request_log import RequestLog
from tests.builders import settings_with

REQUEST_ID = "edge-1"
NOT_FOUND = {"status": 404, "message": "There is nothing at this address.", "requestId": REQUEST_ID}
NOT_LIVE = [TenantState.PENDING, TenantState.PROVISIONING, TenantState.FAILED]
PATHS = ["/", "/healthz", "/.well-known/openid-configuration", "/.well-known/jwks.json", "/anything"]


@pytest.fixture
def settings(database_url: str) -> Settings:
    return settings_with(database_url, tenant_scheme="https", tenant_domain="tenants.example")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    yield database
    database.close()


@pytest.fixture
def identity(settings: Settings, database: Database) -> PostgresIdentity:
    return PostgresIdentity(database, Seal(settings.secret_key))


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[TestClient]:
    with client_of(settings, database) as client:
        yield client


def client_of(settings: Settings, database: Database) -> TestClient:
    """A client of the edge behind the middleware that gives each request its id."""
    return TestClient(RequestLog(edge_app(settings, database)), headers={"X-Request-ID": REQUEST_ID})


def tenant_in(database: Database, state: TenantState, *, address: str = "", age: timedelta = timedelta(0)) -> Tenant:
    organisation = uuid4().hex[:10]
    with database.transaction() as session:
        now = clock(session) - age
        owner = Organisation(slug=f"o{organisation}", name="Acme", plan_code="pro", created_at=now)
        session.add(owner)
        session.flush()
        tenant = Tenant(
            organisation_id=owner.id,
            slug="shop",
            name="The Shop",
            region="eu-central",
            plan_code="pro",
            first_admin_email="ada@example.com",
            address=address or f"shop-o{organisation}",
            state=state,
            created_at=now,
            updated_at=now,
        )
        session.add(tenant)
    return tenant


def live_tenant(database: Database, identity: PostgresIdentity) -> tuple[Tenant, ResourceNames]:
    tenant = tenant_in(database, TenantState.ACTIVE)
    names = ResourceNames(tenant.id, tenant.address, 1)
    identity.create(names, "ada@example.com")
    return tenant, names


def at(address: str, **headers: str) -> dict[str, str]:
    return {"Host": f"{address}.tenants.example", **headers}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("state", NOT_LIVE)
def test_a_tenant_that_was_never_live_is_answered_like_an_unknown_address(
    client: TestClient, database: Database, state: TenantState, path: str
) -> None:
    tenant = tenant_in(database, state)

    answer = client.get(path, headers=at(tenant.address))
    unknown = client.get(path, headers=at("never-was"))

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert (unknown.status_code, unknown.content, dict(unknown.headers)) == (
        404,
        answer.content,
        dict(answer.headers),
    )


def test_an_active_tenant_is_healthy(client: TestClient, database: Database, identity: PostgresIdentity) -> None:
    tenant, _ = live_tenant(database, identity)

    answer = client.get("/healthz", headers=at(tenant.address))

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_an_active_tenant_without_its_key_is_not_healthy(client: TestClient, database: Database) -> None:
    tenant = tenant_in(database, TenantState.ACTIVE)

    answer = client.get("/healthz", headers=at(tenant.address))

    assert answer.status_code == 503


def test_the_published_key_verifies_the_tenants_tokens(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant, names = live_tenant(database, identity)
    token = identity.sign(names, {"sub": "ada"})

    published = client.get("/.well-known/jwks.json", headers=at(tenant.address))

    [key] = jwt.PyJWKSet.from_dict(published.json()).keys
    assert jwt.decode(token, key, algorithms=["ES256"]) == {"sub": "ada"}
    assert "d" not in published.json()["keys"][0]


def test_only_the_key_of_the_run_that_went_live_is_published(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant = tenant_in(database, TenantState.ACTIVE)
    abandoned, destroyed, used = [ResourceNames(tenant.id, tenant.address, number) for number in (1, 2, 3)]
    for names in (abandoned, destroyed, used):
        identity.create(names, "ada@example.com")
    identity.destroy(destroyed)

    published = client.get("/.well-known/jwks.json", headers=at(tenant.address)).json()["keys"]

    kid = jwt.get_unverified_header(identity.sign(used, {}))["kid"]
    assert [key["kid"] for key in published] == [kid]


def test_the_discovery_document_names_the_tenants_own_address(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant, _ = live_tenant(database, identity)

    document = client.get("/.well-known/openid-configuration", headers=at(tenant.address)).json()

    issuer = f"https://{tenant.address}.tenants.example"
    assert document == {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "response_types_supported": ["id_token"],
        "grant_types_supported": ["implicit"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce"],
    }


def test_signing_in_is_refused_because_no_application_is_registered(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant, _ = live_tenant(database, identity)

    answer = client.get("/authorize?client_id=x", headers=at(tenant.address))

    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


def test_an_active_tenant_has_nothing_on_other_paths(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant, _ = live_tenant(database, identity)

    answer = client.get("/graphql", headers=at(tenant.address))

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", PATHS)
def test_a_suspended_tenant_says_that_it_is_paused(client: TestClient, database: Database, path: str) -> None:
    tenant = tenant_in(database, TenantState.SUSPENDED)

    answer = client.get(path, headers=at(tenant.address))

    assert (answer.status_code, answer.json()) == (
        503,
        {"status": 503, "message": "This account is paused.", "requestId": REQUEST_ID},
    )
    assert answer.headers["retry-after"] == "60"


@pytest.mark.parametrize("state", [TenantState.DECOMMISSIONING, TenantState.DECOMMISSIONED])
def test_a_closed_tenant_is_gone(client: TestClient, database: Database, state: TenantState) -> None:
    tenant = tenant_in(database, state)

    answer = client.get("/healthz", headers=at(tenant.address))

    assert (answer.status_code, answer.json()) == (
        410,
        {"status": 410, "message": "This account was closed.", "requestId": REQUEST_ID},
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_tenant_that_was_closed_before_it_was_live_is_answered_like_an_unknown_address(
    client: TestClient, database: Database, path: str
) -> None:
    tenant = tenant_in(database, TenantState.DECOMMISSIONED)
    run_in(database, tenant, RunStatus.CANCELLED, number=1)
    run_in(database, tenant, RunStatus.FAILED, number=2)

    answer = client.get(path, headers=at(tenant.address))
    unknown = client.get(path, headers=at("never-was"))

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert (unknown.status_code, unknown.content, unknown.headers) == (404, answer.content, answer.headers)


def test_a_tenant_that_was_live_once_is_gone_after_it_was_closed(client: TestClient, database: Database) -> None:
    tenant = tenant_in(database, TenantState.DECOMMISSIONED)
    run_in(database, tenant, RunStatus.CANCELLED, number=1)
    run_in(database, tenant, RunStatus.SUCCEEDED, number=2)

    assert client.get("/", headers=at(tenant.address)).status_code == 410


def run_in(database: Database, tenant: Tenant, status: RunStatus, *, number: int) -> None:
    with database.transaction() as session:
        now = clock(session)
        asked = status is RunStatus.CANCELLED
        session.add(
            Run(
                organisation_id=tenant.organisation_id,
                tenant_id=tenant.id,
                number=number,
                address=tenant.address,
                kind=RunKind.PROVISION,
                status=status,
                started_by_kind=ActorKind.SYSTEM,
                started_by_id=PLATFORM.id,
                started_by_name=PLATFORM.name,
                cancel_requested_at=now if asked else None,
                cancel_actor_kind=ActorKind.SYSTEM if asked else None,
                cancel_actor_id=PLATFORM.id if asked else None,
                created_at=now,
                finished_at=now,
            )
        )


@pytest.mark.parametrize("age", [timedelta(days=1), -timedelta(days=1)], ids=["older", "younger"])
@pytest.mark.parametrize(("state", "status"), [(TenantState.ACTIVE, 200), (TenantState.PROVISIONING, 404)])
def test_a_closed_tenant_does_not_hide_the_one_that_has_its_address(
    client: TestClient, database: Database, identity: PostgresIdentity, state: TenantState, status: int, age: timedelta
) -> None:
    closed = tenant_in(database, TenantState.DECOMMISSIONED, age=age)
    newer = tenant_in(database, state, address=closed.address)
    identity.create(ResourceNames(newer.id, newer.address, 1), "ada@example.com")

    answer = client.get("/healthz", headers=at(closed.address))

    assert answer.status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_edge_refuses_methods_other_than_get_and_head(client: TestClient, database: Database, method: str) -> None:
    tenant = tenant_in(database, TenantState.ACTIVE)

    answer = client.request(method, "/", headers=at(tenant.address))

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_answered_like_get(client: TestClient, database: Database, identity: PostgresIdentity) -> None:
    tenant, _ = live_tenant(database, identity)

    assert client.head("/healthz", headers=at(tenant.address)).status_code == 200


@pytest.mark.parametrize("state", list(TenantState))
def test_no_answer_may_be_cached_or_sniffed(client: TestClient, database: Database, state: TenantState) -> None:
    tenant = tenant_in(database, state)

    answer = client.get("/", headers=at(tenant.address))

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("state", "method", "path", "status"),
    [
        (TenantState.PENDING, "GET", "/", 404),
        (TenantState.ACTIVE, "GET", "/nothing", 404),
        (TenantState.ACTIVE, "POST", "/", 405),
        (TenantState.ACTIVE, "GET", "/healthz", 503),
        (TenantState.ACTIVE, "GET", "/authorize", 400),
        (TenantState.SUSPENDED, "GET", "/", 503),
        (TenantState.DECOMMISSIONED, "GET", "/", 410),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_every_error_has_the_id_of_its_request_in_header_and_body(
    client: TestClient, database: Database, state: TenantState, method: str, path: str, status: int, accept: str
) -> None:
    tenant = tenant_in(database, state)

    answer = client.request(method, path, headers=at(tenant.address, Accept=accept))

    assert (answer.status_code, answer.headers["x-request-id"]) == (status, REQUEST_ID)
    assert answer.json()["requestId"] == REQUEST_ID


def test_an_unexpected_error_has_the_id_of_its_request_and_not_its_text(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("an inner detail")

    monkeypatch.setattr("edge.app.tenant_at", fail)
    app = RequestLog(edge_app(settings, database))

    answer = TestClient(app, raise_server_exceptions=False).get("/", headers=at("shop-acme"))

    assert answer.status_code == 500
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert "an inner detail" not in answer.text


def test_an_answer_that_is_no_error_has_no_request_id_in_its_body(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant, _ = live_tenant(database, identity)

    assert "requestId" not in client.get("/", headers=at(tenant.address)).json()


def test_a_browser_gets_a_text(client: TestClient, database: Database) -> None:
    tenant = tenant_in(database, TenantState.SUSPENDED)

    answer = client.get("/", headers=at(tenant.address, Accept="text/html,application/xhtml+xml,*/*;q=0.8"))

    assert (answer.text, answer.headers["content-type"]) == (
        f"This account is paused.\nRequest id: {REQUEST_ID}\n",
        "text/plain; charset=utf-8",
    )


@pytest.mark.parametrize("host", ["", "tenants.example", "a-b.other.example", "a-b.c.tenants.example", "[::1]:8000"])
def test_the_host_name_of_no_tenant_is_not_found(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 404


def test_the_port_and_the_capitals_of_the_host_do_not_matter(
    client: TestClient, database: Database, identity: PostgresIdentity
) -> None:
    tenant, _ = live_tenant(database, identity)

    answer = client.get("/healthz", headers={"Host": f"{tenant.address.upper()}.Tenants.Example.:8443"})

    assert answer.status_code == 200


def test_an_answer_takes_one_query(client: TestClient, database: Database, identity: PostgresIdentity) -> None:
    tenant, _ = live_tenant(database, identity)
    queries: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cur, query, *_: queries.append(query))

    client.get("/.well-known/jwks.json", headers=at(tenant.address))

    assert len(queries) == 1


def test_the_edge_uses_at_most_a_quarter_of_the_connection_pool(settings: Settings, database: Database) -> None:
    for pool, limit in [(20, 5), (2, 1)]:
        edge = Edge(settings.model_copy(update={"database_pool": pool}), database)

        assert edge.limiter.total_tokens == limit


def test_an_unreachable_database_is_answered_with_503_and_without_its_address() -> None:
    settings = settings_with("postgresql://postgres@127.0.0.1:1/none")
    database = Database(settings)

    with client_of(settings, database) as client:
        answer = client.get("/healthz", headers={"Host": "shop-acme.localhost"})
    database.close()

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json()["requestId"] == REQUEST_ID
    assert "127.0.0.1" not in answer.text
