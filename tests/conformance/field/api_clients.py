"""GraphQL clients of the scenarios: the members and the partner of one organisation."""

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from access.permissions import Identity
from models import Organisation, Role
from models.columns import new_id
from runtime.database import Database, clock
from schema.node import global_id, parts_of
from server.auth.tokens import sign_token
from tests.api import Facts, member_identity, service_account_identity
from tests.conformance.field.testbed import Testbed

RUN = "id number status cancelRequest { requestedBy { id displayName } reason stepInFlight }"
ERRORS = "userErrors { __typename code message ... on InvalidStateError { currentState } }"
DOCUMENTS = {
    "createTenant": "tenant { id databaseId slug url state } run { id }",
    "updateTenant": "tenant { name }",
    "cancelProvisioning": f"alreadyRequested tenant {{ state }} run {{ {RUN} }}",
    "cancelProvisionings": f"results {{ alreadyRequested tenant {{ id }} run {{ {RUN} }} {ERRORS} }}",
    "retryProvisioning": "tenant { state } run { id number }",
    "resumeCompensation": f"tenant {{ state }} run {{ {RUN} }}",
    "decommissionTenant": "tenant { state } run { id number }",
}
ANSWERED_WITHIN = 120.0
"""Seconds until a mutation has to be answered under any fault: three timeouts of a call (40 s) in a row."""


class NoAnswer(Exception):
    """The API did not answer, or answered with an error: it is unknown whether the request took effect."""


@dataclass(frozen=True)
class Saga:
    """A tenant that is being provisioned, with its first run."""

    id: str
    uuid: UUID
    slug: str
    url: str
    run: str
    run_id: str


@dataclass
class ApiClient:
    """A client with a token. Safe to use from several threads."""

    name: str
    testbed: Testbed
    token: str
    identity: Identity

    @property
    def id(self) -> str:
        """The actor id of this client in the feed."""
        return str(global_id("Actor", self.identity.actor.id))

    def execute(self, document: str, **variables: object) -> Facts:
        """Execute a GraphQL document; returns the data. Raises NoAnswer on a transport or GraphQL error."""
        try:
            answer = self.testbed.http.post(
                f"http://{self.testbed.address}/graphql",
                content=json.dumps({"query": document, "variables": variables}),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
            )
        except httpx.TransportError as error:
            raise NoAnswer(repr(error)) from error
        body: Facts = answer.json()
        if "errors" in body:
            raise NoAnswer(str(body["errors"])[:500])
        data: Facts = body["data"]
        return data

    def mutate(self, mutation: str, **fields: object) -> Facts:
        """Execute one mutation; returns its payload. Raises NoAnswer."""
        kind = mutation[0].upper() + mutation[1:]
        document = (
            f"mutation M($input: {kind}Input!) {{ it: {mutation}(input: $input) {{ {DOCUMENTS[mutation]} {ERRORS} }} }}"
        )
        payload: Facts = self.execute(document, input=fields)["it"]
        return payload

    def retry_until_available(self, mutation: str, **fields: object) -> Facts:
        """Repeat a mutation with one idempotency key until there is an answer."""
        key, began = str(uuid4()), time.monotonic()
        while True:
            try:
                payload = self.mutate(mutation, idempotencyKey=key, **fields)
            except NoAnswer as failure:
                if time.monotonic() - began > ANSWERED_WITHIN:
                    message = f"V8: {mutation} is never answered: {failure}\n{self.testbed.log_excerpts()}"
                    raise AssertionError(message) from failure
            else:
                if "IDEMPOTENCY_IN_PROGRESS" not in codes(payload):
                    return payload
            time.sleep(0.05)  # between two attempts, as a client would do

    def create(self, slug: str, **fields: object) -> Saga:
        """Create a tenant and start its provisioning."""
        order = {"slug": slug, "plan": "starter", "firstAdminEmail": self.mail_of(slug)} | fields
        payload = self.retry_until_available("createTenant", **order)
        assert not payload["userErrors"], payload["userErrors"]
        tenant, run = payload["tenant"], payload["run"]["id"]
        return Saga(tenant["id"], UUID(tenant["databaseId"]), slug, tenant["url"], run, uuid_of(run))

    def mail_of(self, slug: str) -> str:
        """The address of a tenant's first administrator, which gets the welcome email."""
        return f"{slug}@{self.identity.actor.organisation_id}.example"

    def cancel(self, saga: Saga, **fields: object) -> Facts:
        """Cancel; returns the payload, also of a refusal."""
        return self.retry_until_available(
            "cancelProvisioning", **({"tenantId": saga.id, "reason": f"{self.name} cancels"} | fields)
        )

    def retry(self, saga: Saga) -> Facts:
        """Retry; returns the payload, also of a refusal."""
        return self.retry_until_available("retryProvisioning", tenantId=saga.id)

    def read(self, saga: Saga) -> Facts:
        """The tenant with its newest run as ``run``."""
        document = (
            "query Q($id: ID!) { tenant(id: $id) { state slug url availableActions heldResources { name }"
            " runs(first: 1) { edges { node { id number status elapsed cancelRequest { requestedBy { id displayName }"
            " reason stepInFlight } steps { name status attempts compensationAttempts error interruptible }"
            " absenceChecks { askedAt found } resources { name status } } } } } }"
        )
        tenant: Facts = self.execute(document, id=saga.id)["tenant"]
        return tenant | {"run": tenant["runs"]["edges"][0]["node"]}


@dataclass(frozen=True)
class ApiClients:
    """The clients of an organisation that only one scenario uses."""

    testbed: Testbed
    organisation: Organisation
    owner: ApiClient
    admin: ApiClient
    viewer: ApiClient
    partner: ApiClient

    def client(self, name: str, identity: Identity) -> ApiClient:
        """A client with another identity."""
        return ApiClient(name, self.testbed, sign_token(self.testbed.settings, identity, timedelta(hours=3)), identity)


def create_clients(testbed: Testbed) -> ApiClients:
    """Create an organisation with its clients. The API has no mutation for that: the platform creates organisations."""
    slug = f"o{new_id().hex[-10:]}"
    database = Database(testbed.settings, name="tenantry-api-clients")
    try:
        with database.transaction() as session:
            organisation = Organisation(slug=slug, name=slug, plan_code="enterprise", created_at=clock(session))
            session.add(organisation)
    finally:
        database.close()

    def client(name: str, identity: Identity) -> ApiClient:
        return ApiClient(name, testbed, sign_token(testbed.settings, identity, timedelta(hours=3)), identity)

    return ApiClients(
        testbed,
        organisation,
        owner=client("the owner", member_identity(organisation.id, settings=testbed.settings)),
        admin=client("the admin", member_identity(organisation.id, Role.ADMIN, testbed.settings)),
        viewer=client("the viewer", member_identity(organisation.id, Role.VIEWER, testbed.settings)),
        partner=client(
            "the partner",
            service_account_identity(
                organisation.id, "tenants:read", "tenants:cancel", "audit:read", settings=testbed.settings
            ),
        ),
    )


def uuid_of(global_id: str) -> str:
    """The UUID in a global id."""
    parts = parts_of(global_id)
    assert parts is not None, global_id
    return str(parts[1])


def codes(payload: Facts) -> list[str]:
    """The codes of a payload's user errors."""
    return [error["code"] for error in payload["userErrors"]]


def accepted(payload: Facts) -> bool:
    """Whether a cancel was accepted, by this request or an earlier one."""
    return not payload["userErrors"]
